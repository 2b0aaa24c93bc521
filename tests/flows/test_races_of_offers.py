"""Offers that cross each other, their CANCEL, a lost ACK or the clock (RFC 3261 §14, RFC 5407 §3)."""

import pytest

from sbc.b2bua.events import HangUpOrdered
from sbc.b2bua.modify import ANSWER_SECONDS, CANCEL_SECONDS, TURN_SECONDS
from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR


def talking(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    return sbc, office, carrier


def test_an_offer_while_a_cancelled_one_has_no_final_response_gets_491(world):
    """A UAC must not start another INVITE in a dialog while one is in progress (§14.1), cancelled or not."""
    sbc, office, carrier = talking(world)
    hand = ByHand(sbc, carrier)
    office.script.retries_glare = False
    office.holds()
    hand.replies(100)
    sbc.net.perform(office.agent, office.agent.cancel(office.call, sbc.now))
    sbc.run(CANCEL_SECONDS + 1.0)
    office.holds()
    sbc.run(TURN_SECONDS + 1.0)
    assert office.got(200, 487, 491)
    sbc.run(40.0)
    carrier.wakes()
    office.resumes()
    assert office.got(200, 487, 491, 200)
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_reinvite_that_overtakes_the_ack_with_an_answer(world):
    """Its 2xx made the offer: the answer is still to come, and no other offer can be taken before it (RFC 3264 §4)."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.script.acks = False
    office.invites(FAR, sdp=False)
    carrier.answers()
    office.reinvites()
    assert office.got(200, 491)
    assert office.is_talking
    assert carrier.is_talking
    office.script.acks = True
    sbc.run(5.0)  # the 200 comes again, and has its ACK now
    assert carrier.got("ACK")
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_reinvite_proves_that_a_lost_ack_was_sent(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.script.acks = False
    office.invites(FAR)
    carrier.answers()
    office.script.acks = True
    office.holds()
    assert office.got(200, 200)
    assert carrier.got("ACK", "INVITE", "ACK")
    sbc.run(40.0)
    assert office.is_talking
    office.hangs_up()
    assert sbc.idle()


@pytest.mark.parametrize("moment", [0.0005, 0.0015, 0.0025, 0.0035, 0.0045])
def test_a_late_offer_answered_about_when_patience_ends(world, moment):
    sbc, office, carrier = talking(world)
    carrier.script.reinvites = None
    began = sbc.now
    office.reinvites(sdp=False)
    sbc.run(began + ANSWER_SECONDS - 0.003 + moment - sbc.now)
    carrier.answers()
    sbc.run(40.0)
    assert carrier.is_talking
    assert office.is_talking
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("status", [408, 481])
def test_a_dialog_that_the_peer_has_forgotten_ends_the_call(world, status):
    sbc, office, carrier = talking(world)
    carrier.script.reinvites = status
    office.holds()
    assert carrier.got("INVITE", "ACK", "INVITE", "BYE")
    assert office.got(200, 487, "BYE")
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("failed", "sbc")
    assert sbc.idle()


def test_an_invite_within_an_early_dialog_gets_500(world):
    """ "a second INVITE before it sends the final response to a first … MUST return a 500", §14.2."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, office)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True)
    carrier.rings()
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True, to_tag=hand.our_tag, cseq=2)
    assert 481 not in hand.statuses()
    refusal = hand.heard[-1]
    assert refusal.status == 500
    assert 0 <= int(refusal.header("Retry-After")) <= 10
    carrier.answers()
    assert hand.statuses()[-1] == 200
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1)
    hand.sends("BYE", to_tag=hand.our_tag, cseq=3)
    assert hand.statuses("BYE") == [200]
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_an_offer_that_crosses_a_bye_gets_481(world):
    sbc, office, carrier = talking(world)
    with sbc.net.holding(office.agent):
        office.holds()
        carrier.hangs_up()
    sbc.run(1.0)
    assert office.got(200, "BYE")
    assert office.call.last_status == 481
    assert sbc.cdr.only.ended_by == "callee"
    assert sbc.idle()


def test_hang_up_by_the_operator_while_an_offer_is_under_way(world):
    sbc, office, carrier = talking(world)
    carrier.script.reinvites = None
    office.holds()
    sbc.tell(HangUpOrdered(next(iter(sbc.switch.calls))))
    sbc.run(1.0)
    assert office.got(200, 487, "BYE")
    assert carrier.got("INVITE", "ACK", "INVITE", "BYE")
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("operator", "sbc")
    assert sbc.idle()


@pytest.mark.parametrize("late", [False, True])
def test_an_offer_whose_cancel_comes_too_late_has_taken_effect(world, late):
    """The 200 of the asked side crosses the CANCEL: the asking side gets a 200 too, so that both have one session."""
    sbc, office, carrier = talking(world)
    carrier.script.reinvites = None
    if late:
        office.reinvites(sdp=False)
    else:
        office.holds()
    with sbc.net.holding(carrier.agent):
        sbc.net.perform(carrier.agent, carrier.agent.accept(carrier.call, sbc.now))
        sbc.net.perform(office.agent, office.agent.cancel(office.call, sbc.now))
        sbc.run(0.1)
    sbc.run(5.0)
    assert office.got(200, 200)
    assert not office.got(487)
    acks = [data for data in sbc.net.sent_to(carrier.name) if data.startswith(b"ACK")]
    assert (b"m=audio" in acks[-1]) is late
    carrier.script.reinvites = 200
    office.resumes()
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_cancelled_offer_that_the_asked_side_never_ends(world):
    sbc, office, carrier = talking(world)
    hand = ByHand(sbc, carrier)
    office.script.retries_glare = False
    office.holds()
    hand.replies(100)
    sbc.net.perform(office.agent, office.agent.cancel(office.call, sbc.now))
    sbc.run(CANCEL_SECONDS + 1.0)
    assert hand.methods()[-1] == "CANCEL"
    assert office.got(200, 487)
    assert office.is_talking
    sbc.run(40.0)
    carrier.wakes()
    office.hangs_up()
    assert carrier.got("BYE")
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()
