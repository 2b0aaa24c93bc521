"""Carriers that challenge, and PBXs that are challenged: digests by SIPp where it knows them, else by the test kit."""

import time

import pytest

from sbc.sip.parse import parse_message
from sbc.sip.serialize import serialize
from sbc.testing.build import response_to

from .children import until
from .kit import KitPhone, credentials_in
from .node import Node
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

REALM = "carrier-a.example"
ACCOUNT, PASSWORD = "acme", "open-sesame-7"
AUTH = f'auth: {{username: {ACCOUNT}, password: "{PASSWORD}"}}'
KEYS = {"realm": REALM, "account": ACCOUNT, "password": PASSWORD}
OTHER_FIRST = """
trunks:
  carrier-b:
    interface: outside
    servers: ["sip:{host}:5060"]
    {auth}
routes:
  - {{name: hunt, from: office, to: [national], via: [carrier-b, carrier-a]}}
"""
ALGORITHMS = ["MD5", "SHA-256", "SHA-512-256"]


def tried(sbc: Node) -> list[tuple[str, int]]:
    """Attempts of the only call, with what came of them."""
    sbc.cdr_of_only_call()
    return [(row["peer"], row["sip_status"]) for row in sbc.attempts()]


# --- carriers that challenge ------------------------------------------------------------------------------------------


def test_a_carrier_that_challenges_invite_reinvite_and_bye_finds_right_credentials(node, started, tmp_path):
    calls = 20
    sbc = node(trunk_more=AUTH)
    carrier = started(
        Sipp("carrier", "uas_challenges", tmp_path, local=sbc.carrier, calls=calls, keys=KEYS, trace=True)
    )
    pbx = started(
        Sipp("pbx", "uac_holds", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060", calls=calls, rate=20, trace=True)
    )
    assert pbx.child.wait() == 0, pbx.errors
    assert carrier.child.wait() == 0, carrier.errors
    assert (pbx.successful, pbx.errors, carrier.successful, carrier.errors) == (calls, "", calls, "")
    assert not {401, 407} & {message.status for message in pbx.messages()}
    until(lambda: len(sbc.cdrs()) == calls, "the records")
    assert {(cdr["cause"], cdr["sip_status"], cdr["ended_by"]) for cdr in sbc.cdrs()} == {("normal", 200, "caller")}
    assert len(sbc.attempts()) == calls
    assert not any(PASSWORD in message.text for message in carrier.messages())
    sbc.has_no_call_within(2)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_credentials_are_right_by_every_algorithm(algorithm, node, started):
    sbc = node(trunk_more=AUTH)
    carrier, pbx = started(KitPhone(sbc.carrier)), started(KitPhone(sbc.pbx))
    door = carrier.challenges(ACCOUNT, PASSWORD, realm=REALM, algorithm=algorithm)
    carrier.answers_by_itself()
    call = pbx.calls("4155559999", sbc.inside)
    pbx.is_talking(call)
    pbx.hangs_up(call)
    pbx.is_over(call)
    until(lambda: door.accepted == ["INVITE", "BYE"], "the BYE with credentials", 2, lambda: door.challenged)
    assert {params["algorithm"] for params in door.tries} == {algorithm}
    assert len(door.tries) == 2
    assert carrier.agent.complaints == pbx.agent.complaints == []


@pytest.mark.parametrize(
    "own", ["", 'auth: {username: bob, password: "quite-another"}'], ids=["no-account", "own-account"]
)
def test_another_carrier_that_challenges_with_the_carriers_realm_gets_none_of_its_credentials(
    own, net, node, started, tmp_path
):
    sbc = node(more=OTHER_FIRST.format(host=f"{net}.41", auth=own), trunk_more=AUTH)
    thief, carrier, pbx = started(KitPhone(f"{net}.41")), started(KitPhone(sbc.carrier)), started(KitPhone(sbc.pbx))
    thief.challenges(ACCOUNT, PASSWORD, realm=REALM)
    door = carrier.challenges(ACCOUNT, PASSWORD, realm=REALM)
    carrier.answers_by_itself()
    call = pbx.calls("4155559999", sbc.inside)
    pbx.is_talking(call)
    pbx.hangs_up(call)
    until(lambda: door.accepted == ["INVITE", "BYE"], "the end of the call")
    heard = "".join(thief.texts)
    assert ACCOUNT not in heard
    assert len(credentials_in(heard)) == (1 if own else 0)
    assert heard.count('username="bob"') == (1 if own else 0)
    assert "bob" not in "".join(carrier.texts)
    assert tried(sbc) == [("carrier-b", 401), ("carrier-a", 200)]


def test_sipp_as_the_thief_gets_no_credentials_either(net, node, started, tmp_path):
    sbc = node(more=OTHER_FIRST.format(host=f"{net}.41", auth=""), trunk_more=AUTH)
    thief = started(Sipp("thief", "uas_door", tmp_path, local=f"{net}.41", keys={"realm": REALM}, trace=True))
    carrier = started(Sipp("carrier", "uas_challenges", tmp_path, local=sbc.carrier, keys=KEYS))
    pbx = started(Sipp("pbx", "uac_holds", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060"))
    for one in (pbx, thief, carrier):
        assert one.child.wait() == 0, one.errors
        assert one.errors == ""
    assert [message.method for message in thief.messages() if message.method] == ["INVITE", "ACK"]
    assert not any(credentials_in(message.text) for message in thief.messages())


@pytest.mark.parametrize("who", ["stranger", "another-trunk"])
def test_a_challenge_that_somebody_else_sends_for_the_carriers_invite_is_not_answered(who, net, node, started):
    forger_at = f"{net}.60" if who == "stranger" else f"{net}.41"
    sbc = node(more=OTHER_FIRST.format(host=f"{net}.41", auth="").replace("[carrier-b, carrier-a]", "[carrier-a]"),
               trunk_more=AUTH)  # fmt: skip
    carrier, pbx, forger = started(KitPhone(sbc.carrier)), started(KitPhone(sbc.pbx)), started(KitPhone(forger_at))
    carrier.agent.script.ignored = frozenset({"INVITE"})
    carrier.answers_by_itself()
    call = pbx.calls("4155559999", sbc.inside)
    until(lambda: carrier.texts, "the INVITE")
    challenge = ("WWW-Authenticate", f'Digest realm="{REALM}", nonce="catch", algorithm=MD5, qop="auth"')
    invite = parse_message(carrier.texts[0].encode(), stream=False)
    forger.sends(serialize(response_to(invite, 401, fields=(challenge,))), sbc.outside)
    time.sleep(0.3)
    carrier.agent.script.ignored = frozenset()
    if who == "stranger":  # it was not heard at all
        pbx.is_talking(call)
        pbx.hangs_up(call)
        pbx.is_over(call)
    assert not [text for text in carrier.texts + forger.texts if credentials_in(text)]
    assert not any(forger.texts)


@pytest.mark.parametrize(("stale", "invites"), [(True, 3), (False, 2)], ids=["stale", "not-stale"])
def test_a_fresh_nonce_each_time_ends_after_two_tries_and_the_hunt_goes_on(stale, invites, net, node, started):
    sbc = node(more=OTHER_FIRST.format(host=f"{net}.41", auth=AUTH))
    restless, carrier, pbx = started(KitPhone(f"{net}.41")), started(KitPhone(sbc.carrier)), started(KitPhone(sbc.pbx))
    restless.challenges(ACCOUNT, PASSWORD, realm=REALM, fresh=True, stale=stale)
    carrier.answers_by_itself()
    call = pbx.calls("4155559999", sbc.inside)
    pbx.is_talking(call)
    pbx.hangs_up(call)
    pbx.is_over(call)
    assert len(restless.requests("INVITE")) == invites
    assert len([text for text in restless.requests("INVITE") if credentials_in(text)]) == invites - 1
    assert tried(sbc) == [("carrier-b", 401), ("carrier-a", 200)]


def test_refused_credentials_at_the_only_carrier_are_a_403_to_the_caller(node, started):
    sbc = node(trunk_more=AUTH)
    carrier, pbx = started(KitPhone(sbc.carrier)), started(KitPhone(sbc.pbx))
    carrier.challenges(ACCOUNT, "another password", realm=REALM)
    call = pbx.calls("4155559999", sbc.inside)
    pbx.is_over(call)
    assert call.heard == ["100", "403"]
    assert len(carrier.requests("INVITE")) == 2
    assert "Authenticate" not in "".join(pbx.texts)
    cdr = sbc.cdr_of_only_call()
    assert (cdr["cause"], cdr["sip_status"], cdr["ended_by"]) == ("rejected", 403, "callee")


# --- PBXs that are challenged -----------------------------------------------------------------------------------------

PBX_AUTH = 'auth: {{username: office, password: "{password}", algorithms: [{algorithm}]}}'


def test_a_pbx_with_an_account_calls_with_the_credentials_of_sipp(node, started, tmp_path):
    calls = 20
    sbc = node(pbx_more=PBX_AUTH.format(password=PASSWORD, algorithm="md5"))
    started(Sipp("carrier", "uas", tmp_path, local=sbc.carrier, calls=calls))
    pbx = started(
        Sipp("pbx", "uac_account", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060", calls=calls, rate=20,
             more=["-au", "office", "-ap", PASSWORD, "-auth_uri", f"4155559999@{sbc.inside}:5060"])
    )  # fmt: skip
    assert pbx.child.wait() == 0, pbx.errors
    assert (pbx.successful, pbx.errors) == (calls, "")
    until(lambda: len(sbc.cdrs()) == calls, "the records")
    assert {cdr["cause"] for cdr in sbc.cdrs()} == {"normal"}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_pbx_is_let_in_by_every_algorithm(algorithm, node, started):
    sbc = node(pbx_more=PBX_AUTH.format(password=PASSWORD, algorithm=algorithm.lower()))
    carrier, pbx = started(KitPhone(sbc.carrier)), started(KitPhone(sbc.pbx))
    pbx.has_credentials("office", PASSWORD)
    carrier.answers_by_itself()
    call = pbx.calls("4155559999", sbc.inside)
    pbx.is_talking(call)
    pbx.hangs_up(call)
    pbx.is_over(call)
    challenges = [text for text in pbx.texts if text.startswith("SIP/2.0 401")]
    assert len(challenges) == 1
    assert f"algorithm={algorithm}" in challenges[0]
    assert pbx.agent.complaints == []


@pytest.mark.parametrize(
    "account", [("office", "guessed"), ("nobody", PASSWORD), None], ids=["password", "user", "none"]
)
def test_without_the_right_credentials_nothing_of_a_call_begins(account, node, started):
    sbc = node(pbx_more=PBX_AUTH.format(password=PASSWORD, algorithm="md5"))
    carrier, pbx = started(KitPhone(sbc.carrier)), started(KitPhone(sbc.pbx))
    if account is not None:
        pbx.has_credentials(*account)
    carrier.answers_by_itself()
    call = pbx.calls("4155559999", sbc.inside)
    pbx.is_over(call)
    assert call.heard == (["401"] if account is None else ["401", "401"])
    assert not carrier.texts
    # Who cannot prove to be the PBX is not the PBX: there is no record of a call of its.
    time.sleep(0.3)
    assert sbc.cdrs() == []
    assert sbc.alive()["calls"] == 0
