"""What a fraudster tries from outside, and from a source that anybody may have."""

import pytest
from msgspec.structs import replace

from sbc.core.address import Flow, Transport
from sbc.sip.auth.digest import Terms, digest_response
from sbc.sip.commands import CloseFlow
from sbc.sip.headers.credentials import digests_in
from sbc.sip.parse import parse_message
from sbc.testing.phone import address_of
from sbc.testing.world import DID, FAR, INSIDE, POLICY

ACCOUNT = "auth: {username: office, password: 0ff1ce}"
ANYWHERE = POLICY.replace("address: sip:10.0.0.5:5060", f"registers: true, accept: any, {ACCOUNT}")
BRANCH_OFFICE = (
    "  branch: {interface: inside, registers: true, accept: any, auth: {username: branch, password: x9, %s}}\n"
)
STRANGER = "192.0.2.66:5060"


def message(method, *, branch="z9hG4bK1", to_tag="", fields="", cseq=1, version="SIP/2.0"):
    tag = f";tag={to_tag}" if to_tag else ""
    return (
        f"{method} sip:{FAR}@10.0.0.1 {version}\r\nVia: SIP/2.0/UDP 192.0.2.66:5060;branch={branch};rport\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:office@10.0.0.1>;tag=a\r\nTo: <sip:{FAR}@10.0.0.1>{tag}\r\nCall-ID: x@y\r\n"
        f"CSeq: {cseq} {method}\r\nContact: <sip:office@192.0.2.66>\r\n{fields}"
        "User-Agent: phone/1.0\r\nAllow: INVITE, ACK, BYE, CANCEL, OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def door(world, policy=ANYWHERE):
    sbc = world(policy)
    return sbc, sbc.phone("stranger.example", STRANGER, through=INSIDE)


@pytest.mark.parametrize("method", ["INVITE", "REGISTER"])
def test_a_challenge_to_anybody_is_one_datagram_and_keeps_nothing(world, method):
    sbc, stranger = door(world)
    stranger.ignores("100", "401")
    before = len(sbc.net.sent_to(stranger.name))
    sbc.inject(message(method), stranger)
    assert sbc.switch.snapshot(sbc.now).transactions == 0
    sbc.run(40.0)
    (answer,) = sbc.net.sent_to(stranger.name)[before:]
    assert parse_message(answer, stream=False).status == 401
    assert sbc.cdr == []
    assert sbc.idle()


def test_the_same_request_again_gets_the_same_tag(world):
    sbc, stranger = door(world)
    sbc.inject(message("INVITE"), stranger)
    sbc.inject(message("INVITE"), stranger)
    sbc.inject(message("INVITE", branch="z9hG4bK2"), stranger)
    tags = [parse_message(data, stream=False).to.tag for data in sbc.net.sent_to(stranger.name)]
    assert tags[0] == tags[1] != tags[2]
    assert sbc.idle()


SILENCED = {
    "options": message("OPTIONS"),
    "a cancel of nothing": message("CANCEL"),
    "a bye of nothing": message("BYE", to_tag="guess"),
    "an invite within nothing": message("INVITE", to_tag="guess"),
    "a register within nothing": message("REGISTER", to_tag="guess"),
    "an ack": message("ACK", to_tag="guess"),
    "an unknown method": message("NONSENSE"),
    "what cannot be read": message("INVITE").replace(b"CSeq: 1 INVITE", b"CSeq: x"),
    "another version": message("INVITE", version="SIP/3.0"),
    "two lengths": message("INVITE", fields="Content-Length: 7\r\n"),
    "a response": b"SIP/2.0 200 OK\r\n" + message("INVITE").partition(b"\r\n")[2],
}


@pytest.mark.parametrize("what", SILENCED)
def test_all_else_from_anywhere_meets_silence_and_leaves_nothing(world, what):
    sbc, stranger = door(world)
    sbc.inject(SILENCED[what], stranger)
    assert sbc.switch.snapshot(sbc.now).transactions == 0
    sbc.run(40.0)
    assert sbc.net.sent_to(stranger.name) == []
    assert sbc.idle()


def test_a_bad_frame_from_anywhere_is_neither_answered_nor_written_down(world):
    sbc = world(ANYWHERE)
    flow = Flow(Transport.TCP, "inside", address_of(INSIDE), address_of(STRANGER), 1)
    assert sbc.switch.bad_frame(message("INVITE"), flow, "no length", sbc.now) == [CloseFlow(flow)]
    assert sbc.idle()


@pytest.mark.parametrize("algorithms", ["algorithms: [sha-256]", "algorithms: [md5, sha-512-256]"])
def test_the_challenge_does_not_tell_which_users_there_are(world, algorithms):
    policy = ANYWHERE.replace("trunks:\n", (BRANCH_OFFICE % algorithms) + "trunks:\n")
    sbc, stranger = door(world, policy)
    claims = ["office", "branch", "nobody"]
    for n, user in enumerate(claims):
        who = f'username="{user}", realm="{sbc.policy.name}"'
        given = f'Authorization: Digest {who}, nonce="n", uri="sip:x", response="0"\r\n'
        sbc.inject(message("REGISTER", branch=f"z9hG4bK{n}", fields=given), stranger)
    # As long as the others: a challenge is never longer than what it answers, and may offer less for that.
    sbc.inject(message("REGISTER", branch="z9hG4bKnone", fields=f"Subject: {'x' * 100}\r\n"), stranger)
    answers = [parse_message(data, stream=False) for data in sbc.net.sent_to(stranger.name)]
    shapes = {tuple(text.partition("algorithm=")[2] for text in a.headers("WWW-Authenticate")) for a in answers}
    assert len(answers) == 4
    assert len(shapes) == 1
    assert sbc.idle()


def test_a_second_account_at_the_same_door_registers_and_calls(world):
    policy = ANYWHERE.replace("trunks:\n", (BRANCH_OFFICE % "algorithms: [sha-256]") + "trunks:\n")
    sbc = world(policy.replace("from: office", "from: [office, branch]"))
    branch = sbc.phone("branch.internal", "192.0.2.80:5060", through=INSIDE, user="21")
    branch.has_credentials("branch", "x9")
    assert branch.registers("sip:branch@10.0.0.1").is_registered
    carrier = sbc.carrier()
    branch.invites(FAR)
    carrier.answers()
    branch.hangs_up()
    assert sbc.cdr.only.ingress == "branch"
    assert sbc.idle()


def test_an_account_cannot_speak_as_its_neighbour(world):
    """Credentials of a foreign realm in front name the neighbour; only those of our realm count."""
    policy = ANYWHERE.replace("trunks:\n", (BRANCH_OFFICE % "algorithms: [md5]") + "trunks:\n")
    sbc, thief = door(world, policy)
    sbc.inject(message("REGISTER"), thief)
    (challenge,) = digests_in(parse_message(sbc.net.sent_to(thief.name)[-1], stream=False), "WWW-Authenticate")
    realm, nonce = challenge.value("realm"), challenge.value("nonce")
    terms = Terms("REGISTER", "sip:x", realm, nonce, qop="auth", nc="00000001", cnonce="c")
    given = (
        'Authorization: Digest username="office", realm="elsewhere", nonce="n", uri="sip:x", response="0"\r\n'
        f'Authorization: Digest username="branch", realm="{realm}", nonce="{nonce}", uri="sip:{FAR}@x", qop=auth, '
        f'nc=00000001, cnonce="c", response="{digest_response(replace(terms, uri=f"sip:{FAR}@x"), "branch", "x9")}"\r\n'
    )
    claim = message("REGISTER", branch="z9hG4bK2", cseq=2, fields=given).replace(
        b"To: <sip:" + FAR.encode(), b"To: <sip:office"
    )
    sbc.inject(claim, thief)
    assert parse_message(sbc.net.sent_to(thief.name)[-1], stream=False).status == 404
    assert [peer.bindings for peer in sbc.switch.snapshot(sbc.now).peers if peer.kind == "pbx"] == [(), ()]
    sbc.run(40.0)
    assert sbc.idle()


def test_a_503_that_answers_nothing_does_not_suspend_the_carrier(world):
    """Who forges the carrier's address must not be able to take the trunk away with one datagram."""
    watched = POLICY.replace('sip:198.51.100.7:5060"]}', 'sip:198.51.100.7:5060"], health: {options: 30s}}')
    sbc = world(watched)
    office, carrier = sbc.office(), sbc.carrier()
    sbc.run(5.0)
    for method in ("INVITE", "REGISTER", "BYE"):
        forged = (
            "SIP/2.0 503 Service Unavailable\r\nVia: SIP/2.0/UDP 203.0.113.1:5060;branch=z9hG4bKguess\r\n"
            f"From: <sip:a@b>;tag=1\r\nTo: <sip:c@d>;tag=2\r\nCall-ID: 5\r\nCSeq: 2 {method}\r\nRetry-After: 600\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        sbc.inject(forged.encode(), carrier)
    office.invites(FAR)
    carrier.answers()
    assert office.is_talking
    office.hangs_up()
    assert sbc.idle()


def registered(world, policy=ANYWHERE):
    sbc = world(policy)
    pbx = sbc.phone("pbx-77.office.internal", "10.0.0.5:5060", through=INSIDE, user=DID)
    pbx.has_credentials("office", "0ff1ce")
    return sbc, pbx, sbc.carrier()


def test_one_number_is_one_address_of_record_however_it_is_written(world):
    sbc, pbx, carrier = registered(world)
    for user in ("+1-415-555-0100", "+1.415.555.0100", "+1(415)5550100", "%2B14155550100", "+14155550100;a=b"):
        assert pbx.registers(f"sip:{user}@10.0.0.1").is_registered
    assert list(sbc.kept) == ["binding/office/+14155550100"]
    carrier.invites(DID)
    pbx.answers()
    assert carrier.is_talking
    carrier.hangs_up()
    assert sbc.idle()


def test_the_path_of_a_registration_cannot_smuggle_other_routes_into_our_invites(world):
    sbc, pbx, carrier = registered(world)
    path = "<sip:a,sip:evil@10.0.0.5;lr>"
    sbc.inject(signed_register(sbc, pbx, f"Path: {path}\r\nSupported: path\r\n"), pbx)
    carrier.invites(DID)
    (invite,) = [m for m in map(read, sbc.net.sent_to(pbx.name)) if getattr(m, "method", "") == "INVITE"]
    assert invite.headers("Route") == [path]
    carrier.cancels()
    assert sbc.idle()


def read(data):
    return parse_message(data, stream=False)


def signed_register(sbc, phone, fields):
    """A REGISTER of the office with credentials and these fields."""
    sbc.inject(message("REGISTER", branch="z9hG4bKs1"), phone)
    (challenge,) = digests_in(read(sbc.net.sent_to(phone.name)[-1]), "WWW-Authenticate")
    realm, nonce = challenge.value("realm"), challenge.value("nonce")
    uri = f"sip:{FAR}@10.0.0.1"
    response = digest_response(
        Terms("REGISTER", uri, realm, nonce, qop="auth", nc="00000001", cnonce="c"), "office", "0ff1ce"
    )
    who = f'username="office", realm="{realm}", nonce="{nonce}", uri="{uri}"'
    given = f'Authorization: Digest {who}, qop=auth, nc=00000001, cnonce="c", response="{response}"\r\n'
    asked = message("REGISTER", branch="z9hG4bKs2", cseq=2, fields=given + fields)
    return asked.replace(f"To: <sip:{FAR}".encode(), b"To: <sip:office").replace(b"192.0.2.66", b"10.0.0.5")


def test_no_credentials_are_in_ladders_logs_records_or_what_is_kept(world):
    with_account = ANYWHERE.replace(
        'sip:198.51.100.7:5060"]}', 'sip:198.51.100.7:5060"], auth: {username: acme, password: s3cret}}'
    )
    sbc, pbx, carrier = registered(world, with_account)
    gate = carrier.challenges("acme", "s3cret")
    assert pbx.registers("sip:office@10.0.0.1").is_registered
    pbx.invites(FAR)
    carrier.answers()
    pbx.hangs_up()
    carrier.challenges("acme", "another")
    pbx.invites(FAR)
    assert pbx.call.status == 403
    shown = [sbc.story(), str(sbc.cdr), str(sbc.kept), str(sbc.switch.snapshot(sbc.now)), str(sbc.policy.peers)]
    responses = [params["response"] for params in gate.tries]
    assert len(responses) >= 2
    for secret in ("0ff1ce", "s3cret", "response=", "nonce=", "cnonce", *responses):
        assert not any(secret in text for text in shown), secret
    assert sbc.idle()


def test_a_response_that_is_seen_cannot_be_used_again_nor_for_another_number(world):
    sbc, pbx, carrier = registered(world)
    assert pbx.registers("sip:office@10.0.0.1").is_registered
    pbx.invites(FAR)
    carrier.answers()
    pbx.hangs_up()
    invites = [d for d in sbc.net.sent_by(pbx.name) if d.startswith(b"INVITE") and b"Authorization" in d]
    sbc.run(40.0)
    thief = sbc.phone("thief.example", STRANGER, through=INSIDE)
    again = invites[0].replace(b"z9hG4bK", b"z9hG4bKagain")
    for data in (again, again.replace(FAR.encode(), b"+19005550100", 1), again.replace(b"INVITE", b"REGISTER")):
        sbc.inject(data, thief)
    assert {read(data).status for data in sbc.net.sent_to(thief.name)} == {401}
    assert len(sbc.cdr) == 1
    assert sbc.idle()
