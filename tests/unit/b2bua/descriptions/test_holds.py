"""Hold in all its forms (RFC 3264 §8.4, RFC 6337 §5.3): what the held side hears of it, and what it may answer."""

import pytest

from sbc.sdp.direction import Direction, direction_of

from .calls import CARRIER, OFFICE, media, sdp, session, talk

OFFER = sdp(OFFICE, "audio 4000 0 101")
ANSWER = sdp(CARRIER, "audio 5000 0 101")


def at_session(body: bytes, direction: str) -> bytes:
    return body.replace(b"t=0 0\r\n", b"t=0 0\r\na=" + direction.encode() + b"\r\n")


def directions(body: bytes) -> list[Direction]:
    described = session(body)
    return [direction_of(described, stream) for stream in described.media]


@pytest.mark.parametrize("direction", ["sendonly", "recvonly", "inactive"])
@pytest.mark.parametrize("form", ["stream", "session"])
@pytest.mark.parametrize("answer", ["", "a=sendrecv\r\n", "a=inactive\r\n"])
def test_a_hold_crosses_and_no_answer_breaks_it(direction, form, answer):
    call = media()
    talk(call, OFFER, ANSWER)
    offer = OFFER + f"a={direction}\r\n".encode() if form == "stream" else at_session(OFFER, direction)
    asked, answered = talk(call, offer, ANSWER + answer.encode())
    assert directions(asked) == [Direction(direction)]
    inactive = "inactive" in answer
    assert directions(answered) == [Direction.INACTIVE if inactive else Direction(direction).reversed()]
    asked, answered = talk(call, OFFER, ANSWER)
    assert directions(asked) == directions(answered) == [Direction.SENDRECV]


@pytest.mark.parametrize("form", ["stream", "session"])
def test_the_hold_of_rfc_2543_is_said_in_todays_words_and_undone(form):
    call = media()
    talk(call, OFFER, ANSWER)
    offer = (
        sdp(OFFICE, "audio 4000 0 101;c=IN IP4 0.0.0.0")
        if form == "stream"
        else sdp(OFFICE, "audio 4000 0 101", head="0.0.0.0")
    )
    asked, answered = talk(call, offer, ANSWER)
    assert b"0.0.0.0" not in asked
    assert directions(asked) == [Direction.SENDONLY]
    assert directions(answered) == [Direction.RECVONLY]
    assert call.relay().streams[0].ingress.remote is None
    talk(call, OFFER, ANSWER)
    assert call.relay().streams[0].ingress.remote is not None


def test_each_stream_is_held_for_itself():
    call = media()
    offer = sdp(OFFICE, "audio 4000 0;a=sendonly", "video 4002 96=H264/90000")
    asked, answered = talk(call, offer, sdp(CARRIER, "audio 5000 0", "video 5002 96=H264/90000"))
    assert directions(asked) == [Direction.SENDONLY, Direction.SENDRECV]
    assert directions(answered) == [Direction.RECVONLY, Direction.SENDRECV]


def test_a_fork_that_was_offered_a_hold_is_not_taken_for_one_that_holds():
    call = media()
    call.pass_offer("ingress", call.read(OFFER + b"a=sendonly\r\n"), 1.0)
    first = call.offer
    call.pass_answer(call.read(ANSWER + b"a=recvonly\r\n"))
    call.settle(1.0)
    call.pass_answer(call.read(ANSWER + b"a=recvonly\r\n"), first)
    call.settle(1.0)
    wanted = call.described("egress")
    assert wanted is not None
    assert direction_of(wanted, wanted.media[0]) is Direction.SENDRECV
