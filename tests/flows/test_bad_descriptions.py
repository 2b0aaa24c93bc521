"""Offers and answers that cannot be used: the call ends, on both sides, and nothing is left."""

import pytest

from sbc.testing.party import Stage
from sbc.testing.world import FAR

SPOILED = {
    "nothing readable": lambda body: b"v=?",
    "one stream more than offered": lambda body: body + b"m=video 4010 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\n",
    "another kind of stream": lambda body: body.replace(b"m=audio", b"m=video"),
    "no stream at all": lambda body: body[: body.index(b"m=")],
    "a multicast address": lambda body: body.replace(b"198.51.100.7", b"224.2.1.1/127"),
    "a service of this machine": lambda body: body.replace(b"c=IN IP4 198.51.100.7", b"c=IN IP4 127.0.0.53").replace(
        b"m=audio 4000", b"m=audio 53"
    ),
    "our own media address": lambda body: body.replace(b"c=IN IP4 198.51.100.7", b"c=IN IP4 203.0.113.1").replace(
        b"m=audio 4000", b"m=audio 20000"
    ),
}


@pytest.mark.parametrize("how", SPOILED)
def test_an_answer_that_cannot_be_used_ends_the_call(world, how):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.agent.line.spoil = SPOILED[how]
    office.invites(FAR)
    carrier.answers()
    sbc.run(2.0)
    assert office.call.stage is Stage.ENDED
    assert 400 <= office.call.status < 600
    assert carrier.got("INVITE", "ACK", "BYE")
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("failed", "sbc")
    assert sbc.idle()


@pytest.mark.parametrize(
    "how",
    [
        "nothing readable",
        "no stream at all",
        "a multicast address",
        "a service of this machine",
        "our own media address",
    ],
)
def test_an_offer_that_cannot_be_used_is_refused(world, how):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.agent.line.spoil = lambda body: SPOILED[how](body.replace(b"10.0.0.5", b"198.51.100.7"))
    office.invites(FAR)
    sbc.run(2.0)
    if how == "no stream at all":
        carrier.answers()
        office.hangs_up()
    else:
        assert office.call.status in (400, 488)
        assert carrier.heard == []
    assert sbc.idle()


def test_a_200_without_an_answer_ends_the_call(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.agent.line.spoil = lambda body: b""
    office.invites(FAR)
    carrier.answers()
    sbc.run(2.0)
    assert office.call.stage is Stage.ENDED
    assert carrier.got("ACK", "BYE")
    assert sbc.idle(but=["complaints"])


def test_an_unusable_answer_to_a_hold_leaves_the_call_or_ends_it(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    carrier.agent.line.spoil = SPOILED["one stream more than offered"]
    office.holds()
    sbc.run(5.0)
    carrier.agent.line.spoil = bytes
    if office.is_talking:
        office.hangs_up()
    assert carrier.got("ACK", "INVITE", "ACK", "BYE")
    assert len(sbc.cdr) == 1
    assert sbc.idle()


def test_an_unusable_early_description_does_not_end_the_call(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.agent.line.spoil = SPOILED["nothing readable"]
    office.invites(FAR)
    carrier.progresses()
    assert office.got(183)
    carrier.agent.line.spoil = bytes
    carrier.answers()
    assert office.is_talking
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()
