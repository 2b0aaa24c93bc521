"""Challenges on calls: from carriers, which are answered with the account of that trunk alone, and to PBXs."""
# RFC: 7616

import re

import pytest

from sbc.sip.message import Request
from sbc.sip.parse import parse_message
from sbc.sip.serialize import serialize
from sbc.testing.build import response_to
from sbc.testing.world import DID, FAR, INSIDE, OUTSIDE, POLICY

ACCOUNT = "auth: {username: acme, password: s3cret}"
WITH_ACCOUNT = POLICY.replace('sip:198.51.100.7:5060"]}', f'sip:198.51.100.7:5060"], {ACCOUNT}}}')
SPARE = "  spare: {interface: outside, servers: ['sip:198.51.100.8:5060'], auth: {username: other, password: else1}}\n"
TWO_TRUNKS = WITH_ACCOUNT.replace("routes:\n", f"{SPARE}routes:\n").replace("via: [carrier]", "via: [carrier, spare]")
TWO_SERVERS = WITH_ACCOUNT.replace('["sip:198.51.100.7:5060"]', '["sip:198.51.100.7:5060", "sip:198.51.100.8:5060"]')
OUR_ACCOUNT = "auth: {username: office, password: 0ff1ce}, address: sip:10.0.0.5:5060"
CHALLENGED_PBX = POLICY.replace("address: sip:10.0.0.5:5060", OUR_ACCOUNT)


def calls(world, policy=WITH_ACCOUNT):
    sbc = world(policy)
    return sbc, sbc.office(), sbc.carrier()


def second(sbc):
    return sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)


def requests_to(sbc, phone, method="INVITE"):
    messages = [parse_message(data, stream=False) for data in sbc.net.sent_to(phone.name)]
    return [m for m in messages if isinstance(m, Request) and m.method == method]


@pytest.mark.parametrize("status", [401, 407])
@pytest.mark.parametrize("algorithm", ["MD5", "SHA-256", "SHA-512-256", ("SHA-256", "MD5")], ids=str)
def test_a_carrier_that_challenges_everything_is_answered_each_time(world, algorithm, status):
    sbc, office, carrier = calls(world)
    door = carrier.challenges("acme", "s3cret", algorithm=algorithm, status=status)
    office.invites(FAR)
    carrier.answers()
    assert sbc.hears(office, carrier)
    office.holds()
    office.resumes()
    office.hangs_up()
    assert office.got(100, 200, 200, 200, "200 BYE")
    assert door.accepted == door.challenged == ["INVITE", "INVITE", "INVITE", "BYE"]
    topmost = algorithm if isinstance(algorithm, str) else algorithm[0]
    assert [params["algorithm"] for params in door.tries] == [topmost] * 4
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_the_caller_sees_nothing_of_the_challenge(world):
    sbc, office, carrier = calls(world)
    carrier.challenges("acme", "s3cret")
    office.invites(FAR)
    carrier.rings()
    carrier.answers()
    assert office.call.heard == ["100", "180", "200"]
    assert not re.search(rb"401|[Aa]uthenticat|carrier\.example", b"".join(sbc.net.sent_to(office.name)))
    carrier.hangs_up()
    assert sbc.idle()


def test_a_challenged_try_is_no_attempt_of_its_own(world):
    sbc, office, carrier = calls(world)
    carrier.challenges("acme", "s3cret")
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert [(a.n, a.peer, a.sip_status, a.cause) for a in sbc.cdr.only.attempts] == [(1, "carrier", 200, "normal")]
    assert len({invite.call_id for invite in requests_to(sbc, carrier)}) == 1
    assert sbc.idle()


def test_the_answer_to_a_challenge_goes_to_the_server_that_made_it(world):
    sbc, office, first = calls(world, TWO_SERVERS)
    other = second(sbc)
    first.script.refuses = 503
    door = other.challenges("acme", "s3cret")
    office.invites(FAR)
    other.answers()
    assert door.accepted == ["INVITE"]
    assert len(requests_to(sbc, first)) == 1
    office.hangs_up()
    assert [(a.server, a.sip_status) for a in sbc.cdr.only.attempts] == [
        ("sip:198.51.100.7:5060", 503),
        ("sip:198.51.100.8:5060", 200),
    ]
    assert sbc.idle()


def test_each_trunk_gets_its_own_account_and_no_other(world):
    sbc, office, carrier = calls(world, TWO_TRUNKS)
    spare = second(sbc)
    doors = [carrier.challenges("acme", "wrong-one", realm="same"), spare.challenges("other", "else1", realm="same")]
    office.invites(FAR)
    spare.answers()
    office.hangs_up()
    assert {params["username"] for params in doors[0].tries} == {"acme"}
    assert {params["username"] for params in doors[1].tries} == {"other"}
    assert b"other" not in b"".join(sbc.net.sent_to(carrier.name))
    assert b"acme" not in b"".join(sbc.net.sent_to(spare.name))
    assert sbc.idle()


def test_a_trunk_without_account_answers_no_challenge(world):
    sbc, office, carrier = calls(world, POLICY)
    door = carrier.challenges("acme", "s3cret")
    office.invites(FAR)
    assert office.call.status >= 400
    assert not office.got(401)
    assert door.tries == []
    assert len(requests_to(sbc, carrier)) == 1
    assert sbc.idle()


def test_a_wrong_password_is_sent_once_and_the_hunt_goes_on(world):
    sbc, office, carrier = calls(world, TWO_TRUNKS)
    spare = second(sbc)
    door = carrier.challenges("acme", "not-this")
    office.invites(FAR)
    spare.answers()
    assert office.got(200)
    assert len(door.tries) == 1
    office.hangs_up()
    assert [(a.peer, a.cause) for a in sbc.cdr.only.attempts] == [("carrier", "rejected"), ("spare", "normal")]
    assert sbc.idle()


def test_a_wrong_password_at_the_last_trunk_ends_the_call_without_a_challenge_to_the_caller(world):
    sbc, office, carrier = calls(world)
    carrier.challenges("acme", "not-this", status=407)
    office.invites(FAR)
    assert office.call.status >= 400
    assert not office.got(401)
    assert not office.got(407)
    assert sbc.cdr.only.cause != "normal"
    assert sbc.idle()


def test_a_stale_nonce_is_tried_again(world):
    sbc, office, carrier = calls(world)
    door = carrier.challenges("acme", "s3cret", stale=True)
    office.invites(FAR)
    carrier.answers()
    assert len(door.tries) == 2
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize(("stale", "sent"), [(True, 3), (False, 2)])
def test_a_fresh_nonce_each_time_ends_soon(world, stale, sent):
    sbc, office, carrier = calls(world)
    carrier.challenges("acme", "s3cret", fresh=True, stale=stale)
    office.invites(FAR)
    assert office.call.status >= 400
    assert len(requests_to(sbc, carrier)) == sent
    assert sbc.idle()


def test_a_proxy_and_then_the_server_behind_it_are_both_answered(world):
    sbc, office, carrier = calls(world)
    proxy = carrier.challenges("acme", "s3cret", status=407, realm="proxy.example", algorithm="SHA-256")
    server = carrier.challenges("acme", "s3cret", status=401, realm="carrier.example")
    office.invites(FAR)
    carrier.answers()
    assert office.got(200)
    assert (proxy.accepted, server.accepted) == (["INVITE", "INVITE"], ["INVITE"])
    last = requests_to(sbc, carrier)[-1]
    assert len(last.headers("Authorization")) == len(last.headers("Proxy-Authorization")) == 1
    office.hangs_up()
    assert sbc.idle()


def test_a_carrier_that_restarts_and_forgets_its_nonces_is_answered_anew(world):
    sbc, office, carrier = calls(world)
    door = carrier.challenges("acme", "s3cret")
    office.invites(FAR)
    carrier.answers()
    door.forget_nonces()
    office.holds()
    office.hangs_up()
    assert door.accepted == ["INVITE", "INVITE", "BYE"]
    assert sbc.idle()


def test_a_bye_of_ours_is_answered_when_the_caller_is_the_carrier(world):
    sbc, office, carrier = calls(world)
    door = carrier.challenges("acme", "s3cret")
    carrier.invites(DID)
    office.answers()
    office.reinvites()
    office.hangs_up()
    assert door.accepted == ["INVITE", "BYE"]
    assert carrier.got("BYE", "BYE")
    assert sbc.idle()


def test_a_cancel_while_the_challenge_is_on_its_way_ends_the_call(world):
    sbc, office, carrier = calls(world)
    carrier.challenges("acme", "s3cret")
    with sbc.net.holding(carrier.agent):
        office.invites(FAR)
        office.cancels()
        sbc.run(0.1)
    sbc.run(1.0)
    assert office.got(487)
    assert not carrier.is_talking
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()


def test_challenges_survive_bad_networks(world, chaos):
    sbc = world(WITH_ACCOUNT, **chaos)
    office, carrier = sbc.office(), sbc.carrier()
    door = carrier.challenges("acme", "s3cret")
    carrier.answers_by_itself(after=2.0)
    office.script.hangs_up_after = 40.0
    for _ in range(5):
        office.invites(FAR)
    sbc.run(200.0)
    assert [party.status for party in office.agent.parties] == [200] * 5
    assert door.accepted.count("INVITE") == door.accepted.count("BYE") == 5
    assert [(r.cause, r.ended_by, len(r.attempts)) for r in sbc.cdr] == [("normal", "caller", 1)] * 5
    assert sbc.idle()


@pytest.mark.parametrize("address", ["198.51.100.66:5060", "198.51.100.8:5060"], ids=["stranger", "other trunk"])
def test_a_challenge_with_the_carriers_realm_from_somebody_else_gets_no_credentials(world, address):
    sbc, office, carrier = calls(world, TWO_TRUNKS)
    thief = sbc.phone("thief.example", address, through=OUTSIDE)
    thief.ignores()
    carrier.ignores()
    office.invites(FAR)
    (invite,) = requests_to(sbc, carrier)
    challenge = (("WWW-Authenticate", 'Digest realm="carrier.example", nonce="n", qop="auth"'),)
    sbc.inject(serialize(response_to(invite, 401, fields=challenge)), thief)
    sbc.run(60.0)
    assert not [sent for sent in sbc.net.log if b"Authorization" in sent.data]
    assert office.call.status >= 400
    assert sbc.idle()


def test_no_log_line_and_no_ladder_shows_the_password(world):
    sbc, office, carrier = calls(world)
    carrier.challenges("acme", "s3cret")
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert "s3cret" not in repr(sbc.logs) + sbc.story()
    assert sbc.idle()


# --- PBXs that we challenge -------------------------------------------------------------------------------------------


def test_a_pbx_with_an_account_is_challenged_and_let_in(world):
    sbc, office, carrier = calls(world, CHALLENGED_PBX)
    office.has_credentials("office", "0ff1ce")
    office.invites(FAR)
    carrier.answers()
    assert office.got(401, 100, 200)
    assert carrier.got("INVITE", "ACK")
    office.hangs_up()
    assert "401 BYE" not in office.heard
    assert sbc.idle()


@pytest.mark.parametrize("account", [None, ("office", "wrong"), ("nobody", "0ff1ce")])
def test_a_pbx_without_the_right_credentials_gets_nowhere(world, account):
    sbc, office, carrier = calls(world, CHALLENGED_PBX)
    if account:
        office.has_credentials(*account)
    office.invites(FAR)
    assert office.call.status == 401
    assert carrier.heard == []
    assert sbc.idle()


def test_algorithms_are_offered_in_the_order_of_the_policy(world):
    policy = CHALLENGED_PBX.replace("password: 0ff1ce", "password: 0ff1ce, algorithms: [sha-256, md5]")
    sbc, office, carrier = calls(world, policy)
    office.has_credentials("office", "0ff1ce").knows = ("MD5",)
    office.invites(FAR)
    carrier.answers()
    challenge = next(data for data in sbc.net.sent_to(office.name) if data.startswith(b"SIP/2.0 401"))
    assert re.findall(rb"algorithm=([A-Z0-9-]+)", challenge) == [b"SHA-256", b"MD5"]
    office.hangs_up()
    assert sbc.idle()


def test_a_pbx_that_may_be_anywhere_is_known_by_its_credentials(world):
    policy = CHALLENGED_PBX.replace("auth: {username: office", "accept: any, auth: {username: office")
    sbc = world(policy)
    office = sbc.phone("pbx-77.office.internal", "10.0.0.99:5060", through=INSIDE, user=DID)
    carrier = sbc.carrier()
    office.has_credentials("office", "0ff1ce")
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert sbc.cdr.only.ingress == "office"
    assert sbc.idle()


# --- registrations ----------------------------------------------------------------------------------------------------


def test_registration_and_calls_share_one_account(world):
    register = 'register: {aor: "sip:+14155550100@carrier.example", expires: 600s}'
    sbc = world(WITH_ACCOUNT.replace(ACCOUNT, f"{ACCOUNT}, {register}"), seed=5)
    carrier = sbc.carrier()
    door, registrar = carrier.challenges("acme", "s3cret", stale=True), carrier.becomes_registrar()
    office = sbc.office()
    sbc.run(2000.0)
    assert len(registrar.contacts("sip:+14155550100@carrier.example", sbc.now)) == 1
    assert len(registrar.registers) >= 3
    assert len(registrar.call_ids) == 1
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    assert {"REGISTER", "INVITE", "BYE"} <= set(door.accepted)
    assert sbc.idle()


def test_a_pbx_registers_with_credentials_and_is_called_where_it_is(world):
    policy = POLICY.replace(
        "address: sip:10.0.0.5:5060", "registers: true, accept: any, auth: {username: office, password: 0ff1ce}"
    )
    sbc = world(policy)
    office, carrier = sbc.office(), sbc.carrier()
    office.has_credentials("office", "0ff1ce")
    binding = office.registers("sip:office@sbc.example", expires=600, gin=True)
    assert binding.is_registered
    carrier.invites(DID)
    office.answers()
    assert office.call.called == DID
    carrier.hangs_up()
    office.agent.keyring.password = "wrong"
    office.unregisters()
    assert not binding.is_registered
    assert binding.status == 401
    assert sbc.idle()


def test_a_carrier_that_challenges_and_is_silent_then_is_left_after_no_reply(world):
    sbc, office, carrier = calls(world, TWO_TRUNKS.replace(ACCOUNT, f"{ACCOUNT}, no_reply: 2s"))
    spare = second(sbc)
    carrier.challenges("acme", "s3cret")
    carrier.script.trying = False
    begun = sbc.now
    office.invites(FAR)
    spare.waits_for("INVITE", at_most=2.3)
    assert 1.9 < sbc.now - begun < 2.3
    assert len({invite.cseq.number for invite in requests_to(sbc, carrier)}) == 2
    spare.answers()
    carrier.refuses(487)
    office.hangs_up()
    assert [(a.peer, a.cause) for a in sbc.cdr.only.attempts] == [("carrier", "no_reply"), ("spare", "normal")]
    assert sbc.idle()


def test_the_last_carrier_that_challenges_and_is_silent_then_has_timer_b(world):
    sbc, office, carrier = calls(world)
    carrier.challenges("acme", "s3cret")
    carrier.script.trying = False
    office.invites(FAR)
    sbc.run(31.0)
    assert not office.got(408)
    sbc.run(2.0)
    assert office.got(408)
    assert sbc.cdr.only.cause == "no_reply"
    carrier.refuses(408)
    assert sbc.idle()
