"""Peers that say within a call what no phone would say: nothing of it needs the crash barrier."""

from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR

from .transferring import ABROAD, called


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


def test_who_is_silent_to_a_refer_does_not_let_its_sender_wait_until_he_gives_the_call_up(world):
    sbc, office, carrier, _ = called(world, "pass")
    carrier.ignores("REFER")
    office.transfers(ABROAD)
    sbc.run(30)
    assert office.call.referrals[-1].status == 504
    sbc.run(10)
    assert (office.is_talking, carrier.is_talking) == (True, True)
    office.hangs_up()
    assert sbc.idle()


def test_a_notification_that_cannot_be_read_makes_no_subscription_but_its_subscriber_is_answered(world):
    presence = {"methods": ["INVITE", "SUBSCRIBE", "NOTIFY"], "events": ["presence"]}
    sbc = world(peers={"office": presence, "carrier": presence})
    office = sbc.office()
    far = ByHand(sbc, sbc.carrier())
    one = office.subscribes("presence", FAR)
    (asked,) = far.requests("SUBSCRIBE")
    far.sends(
        "NOTIFY",
        uri="sip:203.0.113.1",
        call_id=asked.call_id,
        from_tag="to-1",
        to_tag=asked.from_.tag,
        fields=(("Event", "presence"), ("Subscription-State", "active"), ("Content-Type", "text/html")),
        body=b"<p>",
    )
    assert far.statuses("NOTIFY") == [415]
    sbc.run(31)
    assert one.status == 504
    assert sbc.idle()
