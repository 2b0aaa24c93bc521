"""The carrier forks: several early dialogs, several 2xx, provisionals that say little (RFC 3261 §13.2.2.4, §12.1.2)."""
# RFC: 6228

import pytest

from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR, OUTSIDE, POLICY

TWO_SERVERS = POLICY.replace('["sip:198.51.100.7:5060"]', '["sip:198.51.100.7:5060", "sip:198.51.100.8:5060"]')


def calling(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    return sbc, office, hand


def test_early_media_of_one_fork_and_the_answer_of_another(world):
    sbc, office, hand = calling(world)
    hand.replies(183, tag="a", sdp=True)
    hand.replies(180, tag="b")
    hand.replies(200, tag="b", sdp=True, contact="sip:b@198.51.100.9:5070")
    assert office.got(183, 180, 200)
    assert [ack.uri_text for ack in hand.requests("ACK")] == []  # it goes to the Contact of fork b
    acks = [s for s in sbc.net.log if s.data.startswith(b"ACK") and s.sender == "sbc"]
    assert str(acks[0].target) == "198.51.100.9:5070"
    office.hangs_up()
    byes = [s for s in sbc.net.log if s.data.startswith(b"BYE") and s.sender == "sbc"]
    assert str(byes[0].target) == "198.51.100.9:5070"
    assert b";tag=b" in byes[0].data
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_the_2xx_of_a_second_fork_is_acked_and_byed_every_time(world):
    sbc, office, hand = calling(world)
    hand.replies(200, tag="a", sdp=True)
    invite = hand.requests("INVITE")[0]
    for _ in range(3):
        hand.replies(200, to=invite, tag="b", sdp=True)
        hand.replies(200, to=invite, tag="a", sdp=True)
    acks = [ack.to.tag for ack in hand.requests("ACK")]
    assert acks == ["a", "b", "a", "b", "a", "b", "a"]
    assert [bye.to.tag for bye in hand.requests("BYE")] == ["b"]
    hand.replies(200, to=hand.requests("BYE")[0])
    assert office.is_talking
    office.hangs_up()
    assert [bye.to.tag for bye in hand.requests("BYE")] == ["b", "a"]
    hand.replies(200, to=hand.requests("BYE")[1])
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_the_2xx_of_a_fork_after_the_call_is_gone(world):
    sbc, office, hand = calling(world)
    hand.replies(200, tag="a", sdp=True)
    invite = hand.requests("INVITE")[0]
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.switch.is_idle
    hand.replies(200, to=invite, tag="b", sdp=True)
    assert [ack.to.tag for ack in hand.requests("ACK")] == ["a", "b"]
    assert [bye.to.tag for bye in hand.requests("BYE")] == ["a", "b"]
    assert sbc.idle()


def test_a_2xx_without_to_tag_is_one_dialog(world):
    """Peers of RFC 2543: a missing tag counts as empty (§12.1.2)."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.script.acks = False
    office.invites(FAR, sdp=False)
    for _ in range(2):
        hand.replies(200, tag="", sdp=True)
    assert hand.methods() == ["INVITE"]
    office.script.acks = True
    sbc.run(1.0)
    assert hand.methods() == ["INVITE", "ACK"]
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.idle()


def test_provisionals_after_the_final_response_change_nothing(world):
    sbc, office, hand = calling(world)
    hand.replies(200, tag="a", sdp=True)
    invite = hand.requests("INVITE")[0]
    hand.replies(183, to=invite, tag="b", sdp=True)
    hand.replies(486, to=invite, tag="b")
    assert office.is_talking
    assert office.call.heard == ["100", "200"]
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.idle()


def test_a_final_failure_after_which_a_2xx_comes(world):
    sbc, office, hand = calling(world)
    hand.replies(486)
    hand.replies(200, sdp=True)
    assert office.got(486)
    assert sbc.cdr.only.cause == "busy"
    assert sbc.idle()


@pytest.mark.parametrize("status", [101, 150, 199])
def test_a_provisional_that_is_no_18x_does_not_stop_the_hunt(world, status):
    """199 says that an early dialog has ended (RFC 6228): nothing rings."""
    sbc = world(TWO_SERVERS)
    office, carrier = sbc.office(), sbc.carrier()
    second = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(100)
    hand.replies(status)
    hand.replies(503)
    assert second.got("INVITE")
    assert office.call.heard == ["100"]
    second.answers()
    office.hangs_up()
    record = sbc.cdr.only
    assert record.ringing_at is None
    assert sbc.idle()


def test_provisionals_of_an_attempt_that_was_given_up_are_not_heard(world):
    sbc = world(TWO_SERVERS)
    office, carrier = sbc.office(), sbc.carrier()
    second = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    sbc.run(4.5)
    assert second.got("INVITE")
    invite = hand.requests("INVITE")[0]
    hand.replies(183, to=invite, sdp=True)
    assert office.call.heard == ["100"]
    assert hand.methods()[-1] == "CANCEL"
    hand.replies(200, to=invite, sdp=True)
    assert hand.methods()[-2:] == ["ACK", "BYE"]
    hand.replies(200, to=hand.requests("BYE")[0])
    second.rings()
    second.answers()
    assert sbc.hears(office, second)
    office.hangs_up()
    record = sbc.cdr.only
    assert [(a.cause, a.sip_status) for a in record.attempts] == [("no_reply", 408), ("normal", 200)]
    assert sbc.idle()
