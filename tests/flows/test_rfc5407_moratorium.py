"""RFC 5407 §3.1: requests that meet a callee whose 2xx has no ACK yet; the SBC is that callee, and then the caller.

As callee it is on the ingress leg (`office` is Alice), as caller on the egress leg (`carrier` is Bob).
"""
# RFC: 5407

import pytest

from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR

from .racing import about_to_call

T1 = 0.5  # after so many seconds an INVITE, or its 200, is repeated for the first time


def test_3_1_1_the_invite_comes_again_while_our_200_is_on_its_way(world):
    """§3.1.1, we are Bob: F4 is no new call."""
    race = about_to_call(world, "ingress")
    sbc, office, carrier = race.sbc, race.peer, race.other
    sbc.net.loses("SIP/2.0 1", to=office.name, times=2)
    office.invites(FAR)
    carrier.rings()
    with sbc.net.holding(office.agent):
        sbc.run(T1)
        carrier.answers()
    sbc.run(1.0)
    assert race.rungs()[:6] == [
        "> INVITE sdp",
        "< 100 Trying (INVITE)",
        "< 180 Ringing (INVITE)",
        "< 200 OK (INVITE) sdp",
        "> INVITE sdp",
        "> ACK",
    ]
    assert office.heard == ["200 INVITE"]
    assert len(sbc.switch.calls) == 1
    assert carrier.heard == ["INVITE", "ACK"]
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_3_1_1_our_invite_goes_again_while_the_200_is_on_its_way(world):
    """§3.1.1, we are Alice: F4 is F1 to the octet, and F3 is acknowledged once."""
    race = about_to_call(world, "egress")
    sbc, carrier, office = race.sbc, race.peer, race.other
    sbc.net.loses("SIP/2.0 1", by=carrier.name, times=2)
    office.invites(FAR)
    carrier.rings()
    with sbc.net.holding(carrier.agent):
        sbc.run(T1)
        carrier.answers()
    sbc.run(1.0)
    invites = [data for data in sbc.net.sent_to(carrier.name) if data.startswith(b"INVITE")]
    assert len(invites) == 2
    assert invites[0] == invites[1]
    assert race.rungs() == ["< INVITE sdp", "< INVITE sdp", "> 200 OK (INVITE) sdp", "< ACK"]
    assert office.heard == ["100 INVITE", "200 INVITE"]
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_3_1_2_cancel_meets_our_200(world):
    """§3.1.2, we are Bob: 200 to the CANCEL means only that it came; the callee hears of a call that is hung up."""
    race = about_to_call(world, "ingress")
    sbc, office, carrier = race.sbc, race.peer, race.other
    office.invites(FAR)
    carrier.rings()
    with sbc.net.holding(office.agent):
        office.cancels()
        carrier.answers()
    assert race.rungs(after=3) == [
        "< 200 OK (INVITE) sdp",
        "> CANCEL",
        "< 200 OK (CANCEL)",
        "> ACK",
        "> BYE",
        "< 200 OK (BYE)",
    ]
    assert carrier.heard == ["INVITE", "ACK", "BYE"]
    record = sbc.cdr.only
    assert (record.cause, record.ended_by, record.sip_status) == ("normal", "caller", 200)
    assert sbc.idle()


@pytest.mark.parametrize("status", [200, 481])
def test_3_1_2_our_cancel_meets_the_200(world, status):
    """§3.1.2, we are Alice: whatever the CANCEL gets, the 200 is acknowledged and hung up."""
    race = about_to_call(world, "egress")
    sbc, carrier, office = race.sbc, race.peer, race.other
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    invite = hand.requests("INVITE")[0]
    hand.replies(180)
    office.cancels()
    hand.replies(200, to=invite, sdp=True)
    hand.replies(status, to=hand.requests("CANCEL")[0])
    assert hand.methods() == ["INVITE", "CANCEL", "ACK", "BYE"]
    hand.replies(200, to=hand.requests("BYE")[0])
    assert office.got(180, 487)
    assert not office.got(200)
    record = sbc.cdr.only
    assert (record.cause, record.ended_by, record.billable_ms) == ("cancelled", "caller", 0)
    assert sbc.idle()


def test_3_1_2_a_200_and_a_cancel_that_cross_between_two_phones(world):
    """§3.1.2, we are Alice, and Bob is a phone that ends what he has answered."""
    race = about_to_call(world, "egress")
    sbc, carrier, office = race.sbc, race.peer, race.other
    office.invites(FAR)
    carrier.rings()
    with sbc.net.holding(carrier.agent):
        carrier.answers()
        office.cancels()
    assert race.rungs(after=3) == [
        "< CANCEL",
        "> 200 OK (INVITE) sdp",
        "< ACK",
        "< BYE",
        "> 200 OK (CANCEL)",
        "> 200 OK (BYE)",
    ]
    assert race.rungs("ingress", after=3) == [
        "> CANCEL",
        "< 200 OK (CANCEL)",
        "< 487 Request Terminated (INVITE)",
        "> ACK",
    ]
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()


@pytest.mark.parametrize("ack", ["before the 200 of the BYE", "after it", "never"])
def test_3_1_3_a_bye_for_the_early_dialog_meets_our_200(world, ack):
    """§3.1.3, we are Bob: it "functions normally"; the ACK completes the three-way handshake, and starts nothing."""
    race = about_to_call(world, "ingress")
    sbc, office, carrier = race.sbc, race.peer, race.other
    hand = ByHand(sbc, office)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True)
    carrier.rings()
    tag = hand.our_tag
    carrier.answers()
    if ack == "before the 200 of the BYE":
        hand.sends("ACK", to_tag=tag, cseq=1)
    hand.sends("BYE", to_tag=tag, cseq=2)
    if ack == "after it":
        hand.sends("ACK", to_tag=tag, cseq=1)
    assert hand.statuses("BYE") == [200]
    sbc.run(40.0)
    assert hand.statuses() == [100, 180, 200]
    assert carrier.heard == ["INVITE", "ACK", "BYE"]
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("normal", "caller")
    assert sbc.idle()


def test_3_1_3_a_bye_for_the_early_dialog_is_a_cancel_to_the_callee_whose_200_meets_it(world):
    """§3.1.3, we are Alice: "CANCEL is appropriate when the goal is to abandon the call attempt" (appendix A)."""
    race = about_to_call(world, "egress")
    sbc, carrier, office = race.sbc, race.peer, race.other
    hand = ByHand(sbc, office)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=True)
    carrier.rings()
    with sbc.net.holding(carrier.agent):
        carrier.answers()
        hand.sends("BYE", to_tag=hand.our_tag, cseq=2)
    assert carrier.heard == ["INVITE", "ACK", "BYE"]
    assert "< CANCEL" in race.rungs()
    assert hand.statuses("BYE") == [200]
    assert hand.statuses() == [100, 180, 487]
    hand.sends("ACK", f"sip:{FAR}@10.0.0.1", to_tag=hand.our_tag, branch="z9hG4bKbyhand1")
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("cancelled", "caller")
    assert sbc.idle()


def test_3_1_4_a_reinvite_overtakes_the_repeated_ack(world):
    """§3.1.4, we are Bob: 200, and the late ACK with the number of the first INVITE is nothing wrong."""
    race = about_to_call(world, "ingress")
    sbc, office, carrier = race.sbc, race.peer, race.other
    sbc.net.loses("ACK", by=office.name)
    office.invites(FAR)
    carrier.answers()
    sbc.run(T1 - 0.1)
    with sbc.net.holding(office.agent):
        office.holds()
        sbc.run(0.2)
    assert race.rungs(after=2) == [
        "< 200 OK (INVITE) sdp",
        "< 200 OK (INVITE) sdp",
        "> INVITE sdp sendonly",
        "< 100 Trying (INVITE)",
        "> ACK",
        "< 200 OK (INVITE) sdp recvonly",
        "> ACK",
    ]
    assert race.rungs("egress", after=2) == [
        "> 200 OK (INVITE) sdp",
        "< ACK",
        "< INVITE sdp sendonly",
        "> 200 OK (INVITE) sdp recvonly",
        "< ACK",
    ]
    sbc.run(40.0)
    assert office.is_talking
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_3_1_4_our_reinvite_overtakes_our_repeated_ack(world):
    """§3.1.4, we are Alice: the repeated 200 gets its ACK again; the offer is answered; the caller sees only that."""
    race = about_to_call(world, "egress")
    sbc, carrier, office = race.sbc, race.peer, race.other
    sbc.net.loses("ACK", to=carrier.name)
    office.invites(FAR)
    carrier.answers()
    sbc.run(T1 - 0.1)
    with sbc.net.holding(carrier.agent):
        office.holds()
        sbc.run(0.2)
    sbc.run(1.0)
    acks = [data for data in sbc.net.sent_to(carrier.name) if data.startswith(b"ACK")]
    assert [b"CSeq: 1 ACK" in ack for ack in acks] == [True, True, False]
    assert carrier.heard == ["INVITE", "INVITE", "ACK", "ACK"]
    assert race.rungs("ingress", after=3) == [
        "> ACK",
        "> INVITE sdp sendonly",
        "< 100 Trying (INVITE)",
        "< 200 OK (INVITE) sdp recvonly",
        "> ACK",
    ]
    sbc.run(40.0)
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
def test_3_1_5_an_offer_overtakes_the_ack_that_has_the_answer(world, by):
    """§3.1.5, we are Bob: 491, because we are "not able to properly handle a new request until" the answer comes."""
    race = about_to_call(world, "ingress")
    sbc, office, carrier = race.sbc, race.peer, race.other
    sbc.net.loses("ACK", by=office.name)
    office.invites(FAR, sdp=False)
    carrier.answers()
    before = race.count("egress")
    sbc.run(T1 - 0.1)
    with sbc.net.holding(office.agent):
        office.holds(by=by)
        sbc.run(0.2)
    sbc.run(0.5)
    assert f"< 491 Request Pending ({by})" in race.rungs()
    assert race.rungs("egress", after=before) == ["> 200 OK (INVITE) sdp", "< ACK sdp"]  # it waits for that ACK too
    sbc.run(4.0)  # Alice owns the Call-ID, and so waits for 2.1 to 4 seconds
    assert race.rungs("egress", after=before + 2)[0] == f"< {by} sdp sendonly"
    assert carrier.got("ACK", by)
    office.resumes()
    assert sbc.hears(office, carrier)
    office.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
def test_3_1_5_our_offer_overtakes_our_ack_that_has_the_answer(world, by):
    """§3.1.5, we are Alice: the 491 is ours to bear, and 2.1 to 4 seconds later the offer gets its answer."""
    race = about_to_call(world, "egress")
    sbc, carrier, office = race.sbc, race.peer, race.other
    hand = ByHand(sbc, carrier)
    office.invites(FAR, sdp=False)
    hand.replies(200, sdp=True, fields=(("Allow", "INVITE, ACK, BYE, UPDATE"),))
    first = hand.requests("INVITE")[0]
    before = race.count("ingress")
    office.holds(by=by)
    began, offered = sbc.now, hand.requests(by)[-1]
    hand.replies(200, to=first, sdp=True)
    hand.replies(491, to=offered)
    assert race.rungs("ingress", after=before)[0] == f"> {by} sdp sendonly"
    assert not any(rung.startswith("< 491") for rung in race.rungs("ingress"))
    acks = [(ack.cseq.number, b"m=audio" in ack.body) for ack in hand.requests("ACK")]
    assert acks[:2] == [(1, True), (1, True)]
    sbc.run(2.0)
    assert hand.requests(by)[-1] is not None
    assert len({request.cseq.number for request in hand.requests(by)} - {1}) == 1
    sbc.run(2.1)
    again = hand.requests(by)[-1]
    assert again.cseq.number > offered.cseq.number
    assert again.body == offered.body
    hand.replies(200, to=again, sdp=True)
    assert office.got(200, "200 UPDATE" if by == "UPDATE" else 200)
    assert sbc.now - began < 4.2
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
def test_3_1_5_the_callee_offers_again_before_our_ack_has_answered_its_200(world, by):
    """The other way about: "an INVITE it had sent … is in progress" (RFC 3261 §14.2, RFC 3311 §5.2), so 491."""
    race = about_to_call(world, "egress")
    sbc, carrier, office = race.sbc, race.peer, race.other
    hand = ByHand(sbc, carrier)
    office.never_acks()
    office.invites(FAR, sdp=False)
    (invite,) = hand.requests("INVITE")
    hand.replies(200, sdp=True)
    before = race.count("ingress")
    said = {"call_id": invite.call_id, "from_tag": "to-1", "to_tag": invite.from_.tag}
    hand.sends(by, "sip:203.0.113.1", sdp=True, **said)
    assert hand.statuses(by) == [491]
    assert race.rungs("ingress", after=before) == []
    office.acks()
    assert hand.methods()[-1] == "ACK"
    hand.sends("BYE", "sip:203.0.113.1", cseq=2, **said)
    assert hand.statuses("BYE") == [200]
    assert office.got(200, "BYE")
    assert sbc.cdr.only.ended_by == "callee"
    assert sbc.idle()


@pytest.mark.parametrize("sdp", [True, False])
def test_3_1_6_a_bye_overtakes_the_repeated_ack(world, sdp):
    """§3.1.6, we are Bob: over is over, also "if the UAS receives a retransmitted ACK after receiving a BYE"."""
    race = about_to_call(world, "ingress")
    sbc, office, carrier = race.sbc, race.peer, race.other
    sbc.net.loses("ACK", by=office.name)
    office.invites(FAR, sdp=sdp)
    carrier.answers()
    sbc.run(T1 - 0.1)
    with sbc.net.holding(office.agent):
        office.hangs_up()
        sbc.run(0.2)
    said = "> ACK" if sdp else "> ACK sdp"
    assert race.rungs(after=2) == [
        "< 200 OK (INVITE) sdp",
        "< 200 OK (INVITE) sdp",
        "> BYE",
        "< 200 OK (BYE)",
        said,
    ]
    sbc.run(40.0)
    assert carrier.heard == ["INVITE", "ACK", "BYE"]
    assert race.rungs()[-1] == said
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("normal", "caller")
    assert sbc.idle()


@pytest.mark.parametrize("sdp", [True, False])
def test_3_1_6_our_bye_overtakes_our_repeated_ack(world, sdp):
    """§3.1.6, we are Alice: in the Mortal state the 200 still gets its ACK, and nothing begins anew."""
    race = about_to_call(world, "egress")
    sbc, carrier, office = race.sbc, race.peer, race.other
    sbc.net.loses("ACK", to=carrier.name)
    office.invites(FAR, sdp=sdp)
    carrier.answers()
    before = race.count("ingress")
    sbc.run(T1 - 0.1)
    with sbc.net.holding(carrier.agent):
        office.hangs_up()
        sbc.run(0.2)
    sbc.run(40.0)
    assert carrier.heard[:2] == ["INVITE", "BYE"]
    acks = [data for data in sbc.net.sent_to(carrier.name) if data.startswith(b"ACK")]
    assert len(acks) == 2
    assert all((b"m=audio" in ack) is not sdp for ack in acks)
    assert race.rungs("ingress", after=before) == ["> BYE", "< 200 OK (BYE)"]
    assert (sbc.cdr.only.cause, sbc.cdr.only.ended_by) == ("normal", "caller")
    assert sbc.idle()
