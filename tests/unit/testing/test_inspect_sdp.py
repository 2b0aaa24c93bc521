"""What a phone says of descriptions that break RFC 3264; two phones of which one spoils what it says."""

import pytest

from sbc.sdp import describe, serialize_sdp
from sbc.testing.inspect_sdp import (
    complaints_about_answer,
    complaints_about_meanings,
    complaints_about_offer,
    complaints_about_sdp,
)

AUDIO = describe("192.0.2.1", 4000)
VIDEO = describe("192.0.2.1", 4000, video_port=4002)


def version(session, number):
    return session.__class__(f"- 1 {number} IN IP4 192.0.2.1", session.name, None, session.lines, session.media)


@pytest.mark.parametrize(
    ("before", "after", "may_skip", "fault"),
    [
        (version(AUDIO, 1), version(AUDIO, 1), False, None),
        (version(AUDIO, 1), version(VIDEO, 2), False, None),
        (version(AUDIO, 1), version(VIDEO, 1), False, "stayed"),
        (version(AUDIO, 1), version(AUDIO, 2), False, "went up by 1, not 0"),
        (version(AUDIO, 1), version(VIDEO, 3), False, "went up by 2, not 1"),
        (version(AUDIO, 1), version(VIDEO, 3), True, None),
        (version(AUDIO, 3), version(VIDEO, 2), True, "went back"),
    ],
)
def test_the_version_rule(before, after, may_skip, fault):
    found = complaints_about_sdp(before, after, may_skip=may_skip)
    assert [fault in text for text in found] == ([] if fault is None else [True])


def test_the_identity_of_a_session_stays():
    other = describe("192.0.2.1", 4000, session_id=2)
    assert "changed its session" in complaints_about_sdp(AUDIO, other)[0]


@pytest.mark.parametrize(
    ("offer", "answer", "fault"),
    [
        (AUDIO, VIDEO, "2 m= lines to an offer with 1"),
        (AUDIO, describe("192.0.2.2", 0), None),
        (describe("192.0.2.1", 0), AUDIO, "offered with port 0"),
        (describe("192.0.2.1", 4000, ("PCMU",)), describe("192.0.2.1", 4000, ("PCMA",)), "no codec in common"),
        (describe("192.0.2.1", 4000, direction="sendonly"), AUDIO, "sendrecv answers sendonly"),
        (describe("192.0.2.1", 4000, direction="sendonly"), describe("192.0.2.1", 1, direction="inactive"), None),
    ],
)
def test_what_cannot_be_an_answer(offer, answer, fault):
    found = complaints_about_answer(offer, answer)
    assert [fault in text for text in found] == ([] if fault is None else [True])


def test_streams_do_not_vanish():
    assert complaints_about_offer(VIDEO, AUDIO) == ["offer with 1 m= lines after 2"]


def test_a_payload_type_keeps_its_meaning():
    meanings = {}
    assert complaints_about_meanings(meanings, describe("192.0.2.1", 4000, ("opus",))) == []
    assert complaints_about_meanings(meanings, describe("192.0.2.1", 4000, ("opus", "PCMU"))) == []
    found = complaints_about_meanings(meanings, describe("192.0.2.1", 4000, ("iLBC",)))
    assert found == ["m= line 0: payload type 96 was opus/48000/2 and is ilbc/8000"]


SPOILED = {
    "another kind": (lambda body: body.replace(b"m=audio", b"m=video"), "video answers audio"),
    "one stream more": (lambda body: body + b"m=audio 5000 RTP/AVP 0\r\n", "2 m= lines to an offer with 1"),
    "nothing": (lambda body: b"", "no answer to our offer"),
    "no description": (lambda body: b"x", "unreadable SDP"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_a_phone_complains_about_the_answer(pair, how):
    two = pair()
    spoil, fault = SPOILED[how]
    two.bob.agent.line.spoil = spoil
    two.talk()
    assert fault in two.alice.agent.complaints[0]


def test_a_phone_complains_about_an_answer_to_nothing(pair):
    two = pair()
    alice, bob = two.talk()
    alice.never_acks()
    alice.reinvites()
    request, _ = alice.call.acks[alice.call.invite_seq]
    alice.call.acks[alice.call.invite_seq] = (request, serialize_sdp(alice.call.local_sdp))
    alice.acks()
    assert bob.agent.complaints == ["ACK with a description, but the 2xx had no offer"]


def test_an_offer_while_one_is_open_is_a_fault(pair):
    two = pair()
    alice, bob = two.talk()
    bob.answers_reinvites(None)
    alice.reinvites()
    alice.updates()
    assert bob.agent.complaints == ["UPDATE: an offer while one of theirs is open"]
    assert alice.got("500 UPDATE")
