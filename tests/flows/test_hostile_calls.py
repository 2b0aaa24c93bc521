"""Peers that say within a call what no phone would say: nothing of it needs the crash barrier."""

from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR


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
