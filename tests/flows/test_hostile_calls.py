"""Peers that say within a call what no phone would say: nothing of it needs the crash barrier."""

from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR

from .transferring import called


def test_who_says_that_he_knows_update_and_then_that_he_does_not_gets_a_reinvite(world):
    sbc = world()
    office = sbc.office()
    far = ByHand(sbc, sbc.carrier())
    office.invites(FAR)
    knows = (("Allow", "INVITE, ACK, BYE, UPDATE"),)
    far.replies(200, sdp=True, fields=knows)
    invite = far.requests("INVITE")[0]
    office.holds(by="UPDATE")
    asked = far.requests("UPDATE")[0]
    names = {"uri": "sip:203.0.113.1", "call_id": invite.call_id, "from_tag": "to-1", "to_tag": invite.from_.tag}
    far.sends("UPDATE", **names, cseq=5, fields=knows)  # its Allow comes anew, and nobody has looked at it yet
    far.replies(405, to=asked)
    assert len(far.requests("INVITE")) == 2
    far.sends("BYE", **names, cseq=6)
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_who_fails_to_take_a_call_over_leaves_no_offer_of_the_other_side_without_an_answer(world):
    sbc, office, carrier, _ = called(world)
    desk = office.call
    office.answers_reinvites(None)
    carrier.retries_glare(wanted=False)
    carrier.holds()
    office.invites(FAR, replaces=desk, codecs=("G729",))
    assert office.call.status == 488
    sbc.run(1)
    assert carrier.call.last_status == 491
    carrier.hangs_up()
    assert sbc.idle(but=["complaints"])
