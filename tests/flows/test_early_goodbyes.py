"""BYE and CANCEL at unusual moments: twice, before the ACK, in an early dialog, crossing each other (RFC 5407 §3.1)."""
# RFC: 5407

import pytest

from sbc.b2bua.events import HangUpOrdered
from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR


def by_hand(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    return sbc, ByHand(sbc, office), carrier


def test_bye_overtakes_the_ack(world):
    sbc, hand, carrier = by_hand(world)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True)
    carrier.answers()
    hand.sends("BYE", to_tag=hand.our_tag, cseq=2)
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1)
    assert hand.statuses("BYE") == [200]
    assert carrier.got("ACK", "BYE")
    sbc.run(10.0)
    assert hand.statuses() == [100, 200]  # nobody repeats a 200 of a dialog that is over
    record = sbc.cdr.only
    assert (record.cause, record.ended_by, record.sip_status) == ("normal", "caller", 200)
    assert sbc.idle()


def test_bye_instead_of_the_ack_that_would_bring_the_answer(world):
    sbc, hand, carrier = by_hand(world)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1")
    carrier.answers()
    hand.sends("BYE", to_tag=hand.our_tag, cseq=2)
    assert carrier.got("ACK", "BYE")
    assert sbc.cdr.only.ended_by == "caller"
    assert sbc.idle()


def test_an_ack_without_the_answer_that_it_owes_ends_the_call(world):
    sbc, hand, carrier = by_hand(world)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1")
    carrier.answers()
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1)
    assert carrier.got("ACK", "BYE")
    assert hand.methods() == ["BYE"]
    hand.replies(200, to=hand.requests("BYE")[0])
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("failed", "sbc")
    assert sbc.idle()


def test_cancel_twice_and_with_the_same_branch(world):
    sbc, hand, carrier = by_hand(world)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True, branch="z9hG4bKone")
    carrier.rings()
    for _ in range(3):
        hand.sends("CANCEL", f"sip:{FAR}@10.0.0.1", branch="z9hG4bKone")
    assert hand.statuses("CANCEL") == [200, 200, 200]
    assert hand.statuses().count(487) == 1
    assert carrier.heard.count("CANCEL") == 1
    hand.sends("ACK", f"sip:{FAR}@10.0.0.1", to_tag=hand.our_tag, branch="z9hG4bKone")
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()


def test_cancel_of_nothing_gets_481(world):
    sbc, hand, _carrier = by_hand(world)
    hand.sends("CANCEL", f"sip:{FAR}@10.0.0.1", branch="z9hG4bKnone")
    assert hand.statuses("CANCEL") == [481]
    assert sbc.cdr == []
    assert sbc.idle()


def test_cancel_that_crosses_486(world):
    sbc, hand, carrier = by_hand(world)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True, branch="z9hG4bKone")
    carrier.refuses(486)
    hand.sends("CANCEL", f"sip:{FAR}@10.0.0.1", branch="z9hG4bKone")
    assert hand.statuses("CANCEL") == [200]
    assert hand.statuses()[:2] == [100, 486]
    hand.sends("ACK", f"sip:{FAR}@10.0.0.1", to_tag=hand.our_tag, branch="z9hG4bKone")
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("busy", "callee")
    assert sbc.idle()


def test_486_that_crosses_our_cancel(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(180)
    office.cancels()
    hand.replies(486, to=hand.requests("INVITE")[0])
    assert hand.methods() == ["INVITE", "CANCEL", "ACK"]
    hand.replies(481, to=hand.requests("CANCEL")[0])
    assert office.got(180, 487)
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("cancelled", "caller")
    assert [(a.sip_status, a.cause) for a in sbc.cdr.only.attempts] == [(487, "cancelled")]
    assert sbc.idle()


def test_bye_of_an_early_dialog_that_crosses_our_200(world):
    """RFC 5407 §3.1.3: the caller believes that it is early, we know that it is not."""
    sbc, hand, carrier = by_hand(world)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True)
    carrier.rings()
    tag = hand.our_tag
    carrier.answers()
    hand.sends("BYE", to_tag=tag, cseq=2)
    assert hand.statuses("BYE") == [200]
    assert hand.statuses() == [100, 180, 200]
    assert carrier.got("ACK", "BYE")
    hand.sends("ACK", to_tag=tag, cseq=1)
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_bye_of_the_callee_before_it_has_answered_ends_nothing(world):
    """ "The callee's UA MUST NOT send a BYE on an early dialog", RFC 3261 §15."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(180)
    invite = hand.requests("INVITE")[0]
    hand.sends("BYE", "sip:203.0.113.1", call_id=invite.call_id, from_tag="to-1", to_tag=invite.from_.tag)
    assert hand.statuses("BYE") == [200]
    hand.replies(200, to=invite, sdp=True)
    assert office.is_talking
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.idle()


@pytest.mark.parametrize("acks", ["late", "never"])
def test_the_operator_hangs_up_before_the_ack(world, acks):
    """No BYE before the ACK or its time-out (§15): the callee of that dialog are we."""
    sbc, hand, carrier = by_hand(world)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True)
    carrier.answers()
    sbc.tell(HangUpOrdered(next(iter(sbc.switch.calls))))
    assert carrier.got("ACK", "BYE")
    assert hand.methods() == []
    if acks == "late":
        hand.sends("ACK", to_tag=hand.our_tag, cseq=1)
        assert hand.methods() == ["BYE"]
    else:
        sbc.run(33.0)
        assert "BYE" in hand.methods()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("operator", "sbc")
    assert sbc.idle()


def test_a_bye_crosses_the_bye_that_waits_for_an_ack(world):
    sbc, hand, carrier = by_hand(world)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True)
    carrier.answers()
    sbc.tell(HangUpOrdered(next(iter(sbc.switch.calls))))
    hand.sends("BYE", to_tag=hand.our_tag, cseq=2)
    assert hand.statuses("BYE") == [200]
    assert hand.methods() == []
    assert sbc.cdr.only.cause == "operator"
    assert sbc.idle()


def test_the_reason_of_a_bye_crosses_as_a_number(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    office.invites(FAR)
    carrier.answers()
    carrier.hangs_up(fields=(("Reason", 'Q.850;cause=31;text="switch-3 of carrier.net"'),))
    bye = next(data for data in sbc.net.sent_to(office.name) if data.startswith(b"BYE"))
    assert b"Reason: Q.850;cause=31\r\n" in bye
    assert sbc.cdr.only.q850 == 31
    assert sbc.idle()
