"""A 2xx whose answer lacks a stream, has one too many, or is missing (RFC 3264 §6): nobody is left in half a call."""

import pytest

from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR

AUDIO = "m=audio 4000 RTP/AVP 0\r\n"
VIDEO = "m=video 4002 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n"


def sdp(*streams):
    return (
        "v=0\r\no=- 1 1 IN IP4 198.51.100.7\r\ns=-\r\nc=IN IP4 198.51.100.7\r\nt=0 0\r\n" + "".join(streams)
    ).encode()


@pytest.mark.parametrize("body", [sdp(AUDIO), sdp(AUDIO, VIDEO, VIDEO), sdp(VIDEO, AUDIO), b""])
def test_the_first_answer(world, body):
    sbc = world()
    office, carrier = sbc.office(video_port=4002), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(200, body=body)
    assert hand.methods() == ["INVITE", "ACK", "BYE"]
    hand.replies(200, to=hand.requests("BYE")[0])
    assert office.got(488)
    record = sbc.cdr.only
    assert (record.cause, record.ended_by, record.sip_status) == ("failed", "sbc", 488)
    assert record.answered_at is None
    assert sbc.idle()


def test_an_early_answer_stands_for_a_2xx_without_one(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(183, sdp=True)
    hand.replies(200)
    assert office.is_talking
    assert hand.methods() == ["INVITE", "ACK"]
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.idle()


def test_an_early_answer_that_does_not_fit_is_not_shown(world):
    sbc = world()
    office, carrier = sbc.office(video_port=4002), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(183, body=sdp(AUDIO))
    assert office.got(183)
    assert office.call.remote_sdp is None
    hand.replies(200, body=sdp(AUDIO, VIDEO))
    assert office.is_talking
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.idle()
