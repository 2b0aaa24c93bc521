"""Contacts that change within a call, and requests that come when the call does not want them (RFC 3261 §12.2)."""

import pytest

from sbc.sip.parse import parse_message
from sbc.testing.byhand import ByHand
from sbc.testing.world import DID, FAR


def test_a_reinvite_moves_the_caller(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, office)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True)
    carrier.answers()
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1)
    hand.sends("INVITE", to_tag=hand.our_tag, cseq=2, sdp=True, contact="sip:moved@10.0.0.6:5062;x=y?Evil=1")
    hand.sends("ACK", to_tag=hand.our_tag, cseq=2)
    carrier.hangs_up()
    bye = next(s for s in sbc.net.log if s.sender == "sbc" and s.data.startswith(b"BYE"))
    assert str(bye.target) == "10.0.0.6:5062"
    assert bye.data.startswith(b"BYE sip:moved@10.0.0.6:5062;x=y SIP/2.0\r\n")
    sbc.run(40.0)
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_the_2xx_of_a_reinvite_moves_the_callee(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(200, sdp=True)
    office.holds()
    hand.replies(200, sdp=True, contact="sip:moved@198.51.100.9")
    to = {s.data[:3]: str(s.target) for s in sbc.net.log if s.sender == "sbc"}
    assert to[b"ACK"] == "198.51.100.9:5060"
    office.hangs_up()
    sbc.run(40.0)
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_requests_out_of_order_get_500_and_end_nothing(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, office)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True, cseq=10)
    carrier.answers()
    hand.sends("ACK", to_tag=hand.our_tag, cseq=10)
    hand.sends("BYE", to_tag=hand.our_tag, cseq=9)
    assert hand.statuses("BYE") == [500]
    assert carrier.is_talking
    hand.sends("BYE", to_tag=hand.our_tag, cseq=11)
    assert hand.statuses("BYE") == [500, 200]
    assert sbc.idle()


@pytest.mark.parametrize("method", ["SUBSCRIBE", "PUBLISH", "MESSAGE"])
def test_methods_that_are_not_served_are_refused_within_the_call_too(world, method):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    carrier.invites(DID)
    office.answers()
    office.requests(method)
    assert office.got(f"405 {method}")
    assert office.is_talking
    office.hangs_up()
    assert sbc.idle()


def test_a_bye_for_a_dialog_that_is_over_gets_481(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, office)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True)
    carrier.answers()
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1)
    hand.sends("BYE", to_tag=hand.our_tag, cseq=2)
    hand.sends("BYE", to_tag=hand.our_tag, cseq=3)
    hand.sends("INVITE", to_tag=hand.our_tag, cseq=4, sdp=True)
    assert hand.statuses("BYE") == [200, 481]
    assert hand.statuses()[-1] == 481
    hand.sends("ACK", to_tag=hand.our_tag, cseq=4)
    assert sbc.idle()


def test_the_2xx_of_an_offer_after_the_call_is_gone_is_acked_along_its_route(world):
    """The ACK of a 2xx takes the dialog's route set, also when the call has been forgotten (§13.2.2.4)."""
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(200, sdp=True, fields=(("Record-Route", "<sip:198.51.100.1;lr>"),))
    office.holds()
    log = [s for s in sbc.net.log if s.sender == "sbc" and str(s.target).startswith("198.51.100.1:")]
    reinvite = next(s.data for s in log if s.data.startswith(b"INVITE"))
    made = parse_message(reinvite, stream=False)
    hand.replies(100, to=made)
    office.hangs_up()
    bye = next(s.data for s in sbc.net.log if s.sender == "sbc" and s.data.startswith(b"BYE"))
    hand.replies(200, to=parse_message(bye, stream=False))
    assert sbc.switch.is_idle
    hand.replies(200, to=made, sdp=True)
    acks = [s for s in sbc.net.log if s.sender == "sbc" and s.data.startswith(b"ACK sip:198.51.100.7")]
    assert str(acks[-1].target) == "198.51.100.1:5060"
    assert b"Route: <sip:198.51.100.1;lr>\r\n" in acks[-1].data
    assert sbc.idle()
