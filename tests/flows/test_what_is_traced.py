"""What no call takes stands in the ladder of the call that it is about, and what a call does is said there."""

import json
import re

from sbc.admin.state import TraceView
from sbc.admin.trace import trace_object
from sbc.core import limits
from sbc.testing.world import DID, FAR, POLICY
from sbc.trace.hep import packet
from sbc.trace.ladder import draw, moves
from sbc.trace.pcap import capture

OUR_ACCOUNT = "auth: {username: office, password: 0ff1ce}, address: sip:10.0.0.5:5060"
CHALLENGED_PBX = POLICY.replace("address: sip:10.0.0.5:5060", OUR_ACCOUNT)


def notes(sbc, ref=None):
    entries = sbc.switch.trace.entries(ref or sbc.cdr.only.ref)
    return "\n".join(str(entry.note) for entry in entries if entry.note is not None)


def test_a_call_that_was_challenged_begins_with_the_challenge(world):
    sbc = world(CHALLENGED_PBX)
    office, carrier = sbc.office(), sbc.carrier()
    office.has_credentials("office", "0ff1ce")
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    sbc.run(1)
    said = moves(sbc.switch.trace.entries(sbc.cdr.only.ref))
    assert said[:4] == [
        "ingress > INVITE sdp",
        "ingress < 401 Unauthorized (INVITE)",
        "ingress > ACK",
        "ingress > INVITE sdp",
    ]
    texts = b"".join(entry.data or b"" for entry in sbc.switch.trace.entries(sbc.cdr.only.ref))
    assert b"response=" not in texts
    assert sbc.idle()


# BOUND: TRACE_AT_THE_DOOR
def test_what_is_challenged_and_never_comes_again_is_bounded(world, monkeypatch):
    monkeypatch.setattr(limits, "TRACE_AT_THE_DOOR", 3)
    sbc = world(CHALLENGED_PBX)
    office, _ = sbc.office(), sbc.carrier()
    for _ in range(5):
        office.invites(FAR)
    assert len(sbc.switch.reception.doorstep) == 3
    assert sbc.switch.trace.refs() == ()
    assert sbc.idle()


def test_a_goodbye_that_comes_too_late_stands_in_its_calls_ladder_with_our_answer(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    office.hangs_up()
    bye = next(data for data in reversed(sbc.net.sent_by(office.name)) if data.startswith(b"BYE"))
    sbc.run(60)
    sbc.inject(bye.replace(b"z9hG4bK", b"z9hG4bKlate"), office)
    said = moves(sbc.switch.trace.entries(sbc.cdr.only.ref))
    assert said[-2:] == ["ingress > BYE", "ingress < 481 Call/Transaction Does Not Exist (BYE)"]
    assert sbc.idle()


def test_a_request_in_a_call_that_we_refuse_stands_in_its_ladder(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    ack = next(data for data in reversed(sbc.net.sent_by(office.name)) if data.startswith(b"ACK"))
    odd = ack.replace(b"ACK", b"INFO").replace(b"z9hG4bK", b"z9hG4bKodd").replace(b"CSeq: 1", b"CSeq: 7")
    sbc.inject(odd.replace(b"Max-Forwards", b"Require: teleportation\r\nMax-Forwards"), office)
    said = moves(sbc.switch.trace.entries(sbc.switch.trace.refs()[-1]))
    assert said[-2:] == ["ingress > INFO", "ingress < 420 Bad Extension (INFO)"]
    office.hangs_up()
    assert sbc.idle()


def test_a_cancel_and_its_answers_stand_in_the_ladder_of_both_legs(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.rings()
    office.cancels()
    sbc.run(1)
    said = moves(sbc.switch.trace.entries(sbc.cdr.only.ref))
    for line in ("ingress > CANCEL", "ingress < 200 OK (CANCEL)", "ingress > ACK", "egress < CANCEL", "egress < ACK"):
        assert line in said
    assert sbc.idle()


def test_the_course_of_a_call_is_said_in_words(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    sbc.run(2)
    carrier.rings()
    sbc.run(3)
    carrier.answers()
    office.holds()
    office.resumes()
    carrier.hangs_up()
    sbc.run(2)
    said = notes(sbc)
    for line in (
        "trying carrier (attempt 1): ",
        "ringing at carrier after 2.0 s",
        "answered by carrier after 5.0 s",
        "held by office",
        "resumed: both sides hear each other",
        "ended: normal (200) by callee",
        "media from office: ",
    ):
        assert line in said
    order = [
        said.index(word) for word in ("trying", "ringing", "answered", "held by", "resumed", "ended", "media from")
    ]
    assert order == sorted(order)
    assert sbc.idle()


def test_a_refusal_says_whether_the_hunt_goes_on(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    office.refuses(486)
    assert "office refuses with 486: nobody else is tried after that" in notes(sbc)
    office.invites(FAR)
    carrier.refuses(503)
    sbc.run(1)
    last = max(sbc.switch.trace.refs(), key=lambda ref: sbc.switch.trace.entries(ref)[0].at)
    assert "carrier refuses with 503: the hunt goes on" in notes(sbc, last)
    assert sbc.idle()


def test_no_secret_and_no_digit_is_in_anything_that_shows_a_call(world):
    """Digest towards a carrier, digits by INFO and by RFC 4733, keys in a description: in none of the four ways out."""
    auth = "auth: {username: a, password: s3cret}"
    policy = POLICY.replace('sip:198.51.100.7:5060"]}', f'sip:198.51.100.7:5060"], {auth}}}')
    sbc = world(policy, peers={"office": {"dtmf": "info"}})
    sbc.switch.trace.lay_out(on=True)
    office, carrier = sbc.office(), sbc.carrier()
    door = carrier.challenges("a", "s3cret")
    office.invites(FAR)
    carrier.answers()
    office.presses("7")
    office.hangs_up()
    sbc.run(1)
    ref = sbc.cdr.only.ref
    tape = sbc.switch.trace
    sent = b"".join(sbc.net.sent_to(carrier.name))
    computed = set(re.findall(rb'response="([0-9a-f]{32})"', sent))
    assert computed
    assert len(door.accepted) >= 1
    assert b"Signal=7" in b"".join(sbc.net.sent_by(office.name))

    view = TraceView(ref, False, tape.peers(ref), tape.entries(ref), 0.0)
    shown = {
        "ladder": draw(tape.entries(ref), peers=tape.peers(ref)).encode(),
        "json": json.dumps(trace_object(view)).encode(),
        "pcap": capture(tape.entries(ref, keeps_length=True), 0.0),
        "hep": b"".join(packet(ref, entry, 0.0, 1, None) or b"" for ref, entry in tape.fetch(1000)),
    }
    assert shown["hep"].count(b"HEP3") == sum(entry.data is not None for entry in tape.entries(ref))
    for way, octets in shown.items():
        assert not [secret for secret in (*computed, b"s3cret", b"Signal") if secret in octets], way
    assert sbc.idle()
