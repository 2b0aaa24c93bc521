"""What goes round in circles: our own INVITE that comes back, and what only looks so (RFC 3261 §16.3, RFC 7332)."""

from sbc.testing.byhand import ByHand
from sbc.testing.world import DID, FAR, POLICY

# The carrier's proxy sends what we send it back to us, and our routes send it there again.
TURNS = POLICY.replace(
    "  - {name: inbound", "  - {name: turn, from: carrier, to: ['+44X.'], via: [carrier]}\n  - {name: inbound"
)


def back(hand, invite, branch):
    """The carrier's proxy passes our INVITE back to us: our Via is below its own."""
    vias = tuple(("Via", str(via)) for via in invite.vias)
    hand.sends(
        "INVITE",
        invite.uri_text,
        branch=branch,
        sdp=True,
        sender=str(invite.from_.uri),
        from_tag=invite.from_.tag,
        call_id=invite.call_id,
        cseq=invite.cseq.number,
        fields=vias,
    )


def test_an_own_invite_that_comes_back_for_the_same_number_by_the_same_peer_gets_482(world):
    sbc = world(TURNS)
    carrier = sbc.carrier()
    hand = ByHand(sbc, carrier)
    hand.sends("INVITE", f"sip:{FAR}@203.0.113.1", sdp=True)
    out = hand.requests("INVITE")[0]
    assert FAR in out.uri_text
    back(hand, out, "z9hG4bKround1")
    assert hand.statuses().count(482) == 1
    assert len(hand.requests("INVITE")) == 1
    hand.replies(482, to=out)
    assert len(sbc.cdr) == 2
    assert sbc.idle(but=["leaks"])


def test_a_pbx_that_dials_its_own_number_through_a_proxying_carrier_is_no_loop(world):
    sbc = world()
    office, carrier = sbc.office(), sbc.carrier()
    hand = ByHand(sbc, carrier)
    office.invites(DID)
    office_call = office.call
    out = hand.requests("INVITE")[0]
    back(hand, out, "z9hG4bKround2")
    assert 482 not in hand.statuses()
    assert office.call is not office_call
    office.rings()
    assert 180 in hand.statuses()
    sbc.run(0.1)
    hand.replies(486, to=out)
    sbc.run(300.0)
    assert sbc.idle(but=["leaks"])


def test_a_loop_that_has_passed_another_number_on_its_way_is_one(world):
    """The first number was sent on to a second by somebody behind the carrier, and that one to the first again."""
    other = "+442079460002"
    sbc = world(TURNS)
    carrier = sbc.carrier()
    hand = ByHand(sbc, carrier)
    hand.sends("INVITE", f"sip:{FAR}@203.0.113.1", sdp=True)
    first = hand.requests("INVITE")[0]
    vias = tuple(("Via", str(via)) for via in first.vias)
    hand.sends("INVITE", f"sip:{other}@203.0.113.1", branch="z9hG4bKround1", sdp=True, call_id="second", fields=vias)
    second = hand.requests("INVITE")[1]
    vias = (*(("Via", str(via)) for via in second.vias), *vias)
    hand.sends("INVITE", f"sip:{FAR}@203.0.113.1", branch="z9hG4bKround2", sdp=True, call_id="third", fields=vias)
    assert hand.statuses().count(482) == 1
    assert len(hand.requests("INVITE")) == 2
    for out in (first, second):
        hand.replies(480, to=out)
    assert sbc.idle(but=["leaks"])
