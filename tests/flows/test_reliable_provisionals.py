"""Reliable provisional responses (RFC 3262): each side for itself, whatever the other side knows of them."""
# RFC: 3262

import re

import pytest

from sbc.sip.message import Response
from sbc.testing.build import sdp_of
from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR, POLICY

OFF = POLICY.replace("office: {", "office: {reliable: off, ").replace("carrier: {", "carrier: {reliable: off, ")
SUPPORTED = ("Supported", "100rel")
REQUIRED = ("Require", "100rel")


def phones(world, *, reliable="caller callee", policy=POLICY):
    sbc = world(policy)
    office, carrier = sbc.office(), sbc.carrier()
    for phone, name in ((office, "caller"), (carrier, "callee")):
        if name in reliable:
            phone.uses_100rel()
    return sbc, office, carrier


def by_hand(world, *fields, reliable="callee", sdp=True, policy=POLICY):
    """The caller's messages are written by the test; it says that it knows 100rel, or `fields`."""
    sbc, office, carrier = phones(world, reliable=reliable, policy=policy)
    hand = ByHand(sbc, office)
    hand.sends("INVITE", f"sip:{FAR}@10.0.0.1", sdp=sdp, fields=fields or (SUPPORTED,))
    return sbc, hand, carrier


def provisionals(hand):
    """Those that we sent reliably, without repetitions: (status, RSeq)."""
    responses = [message for message in hand.heard if isinstance(message, Response) and message.header("RSeq")]
    return list(dict.fromkeys((response.status, int(response.header("RSeq"))) for response in responses))


def prack(hand, n=-1, *, cseq=2, rack=None, **options):
    """For the `n`th of our reliable provisionals, or with another RAck."""
    rseq = provisionals(hand)[n][1]
    hand.sends("PRACK", to_tag=hand.our_tag, cseq=cseq, fields=(("RAck", rack or f"{rseq} 1 INVITE"),), **options)


def ends(sbc, hand, carrier, cseq=9):
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1)
    hand.sends("BYE", to_tag=hand.our_tag, cseq=cseq)
    assert hand.statuses("BYE") == [200]
    assert carrier.got("BYE")
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def talks_and_ends(sbc, office, carrier):
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    carrier.hangs_up()
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


# --- who knows it -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [180, 183])
@pytest.mark.parametrize("sdp", [True, False])
@pytest.mark.parametrize("reliable", ["caller callee", "caller", "callee", ""])
def test_each_side_uses_it_as_it_knows_it(world, reliable, sdp, status):
    sbc, office, carrier = phones(world, reliable=reliable)
    office.invites(FAR)
    carrier.rings(status=status, sdp=sdp, reliably="callee" in reliable)
    assert office.got(status)
    assert carrier.got("PRACK") is ("callee" in reliable)
    assert office.got("200 PRACK") is ("caller" in reliable and sdp)  # a mere "it rings" needs no answer
    carrier.answers()
    talks_and_ends(sbc, office, carrier)


def test_it_is_never_required_of_a_callee(world):
    sbc, office, carrier = phones(world)
    office.uses_100rel(required=True)
    office.invites(FAR)
    assert carrier.last("INVITE").require == ()
    assert "100rel" in carrier.last("INVITE").supported
    carrier.rings()
    carrier.answers()
    talks_and_ends(sbc, office, carrier)


def test_a_caller_that_requires_it_gets_every_provisional_so(world):
    """ "the UAS MUST … send any non-100 provisional response … reliably" where it is required, §3."""
    sbc, office, carrier = phones(world, reliable="")
    office.uses_100rel(required=True)
    office.invites(FAR)
    carrier.rings()
    carrier.progresses()
    carrier.rings()
    assert office.call.heard == ["100", "180", "200 PRACK", "183", "200 PRACK", "180", "200 PRACK"]
    carrier.answers()
    talks_and_ends(sbc, office, carrier)


def test_a_caller_that_requires_it_where_it_is_off_gets_420(world):
    sbc, office, _carrier = phones(world, policy=OFF)
    office.uses_100rel(required=True)
    office.invites(FAR)
    assert office.got(420)
    refusal = next(data for data in sbc.net.sent_to(office.name) if data.startswith(b"SIP/2.0 420"))
    assert b"Unsupported: 100rel" in refusal
    assert sbc.cdr.only.sip_status == 420
    assert sbc.idle()


def test_where_it_is_off_we_never_say_that_we_know_it(world):
    sbc, office, carrier = phones(world, policy=OFF)
    office.invites(FAR)
    carrier.progresses()
    carrier.answers()
    office.holds()
    office.updates(sdp=False)
    office.hangs_up()
    for phone in (office, carrier):
        assert not re.search(rb"(?mi)^(supported|require):[^\r]*100rel", b"".join(sbc.net.sent_to(phone.name)))
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


def test_a_callee_that_requires_it_of_us_and_does_not_get_it_is_refused(world):
    """421 crosses as what it is for the caller: nothing that it could change."""
    sbc, office, carrier = phones(world, reliable="", policy=OFF)
    carrier.uses_100rel(required=True)
    office.invites(FAR)
    assert office.call.status >= 400
    assert office.call.status != 421
    assert len(sbc.cdr) == 1
    assert sbc.idle()


# --- PRACK ------------------------------------------------------------------------------------------------------------


def test_numbers_rise_by_one_and_one_waits_for_the_prack_of_the_other(world):
    sbc, hand, carrier = by_hand(world, REQUIRED, SUPPORTED)
    carrier.rings()
    carrier.progresses()
    carrier.rings()
    assert len(provisionals(hand)) == 1
    prack(hand, cseq=2)
    assert len(provisionals(hand)) == 2
    prack(hand, cseq=3)
    assert len(provisionals(hand)) == 3
    prack(hand, cseq=4)
    first = provisionals(hand)[0][1]
    assert provisionals(hand) == [(180, first), (183, first + 1), (180, first + 2)]
    assert 1 <= first <= 2**31 - 1
    assert hand.statuses("PRACK") == [200, 200, 200]
    carrier.answers()
    assert hand.statuses()[-1] == 200
    ends(sbc, hand, carrier)


def test_a_reliable_provisional_is_repeated_at_doubling_intervals_until_its_prack(world):
    sbc, hand, carrier = by_hand(world)
    carrier.progresses(reliably=True)
    sbc.run(8.0)
    assert hand.statuses().count(183) == 5  # at 0, 0.5, 1.5, 3.5 and 7.5 s
    prack(hand)
    sbc.run(20.0)
    assert hand.statuses().count(183) == 5
    carrier.answers()
    ends(sbc, hand, carrier)


def test_a_lost_provisional_and_a_lost_prack_are_repeated(world):
    sbc, office, carrier = phones(world)
    sbc.net.loses("SIP/2.0 183", to=office.name, times=2)
    sbc.net.loses("PRACK", by=office.name, times=2)
    sbc.net.loses("PRACK", by="sbc", times=2)
    sbc.net.loses("SIP/2.0 183", to="sbc", times=1)
    office.invites(FAR)
    carrier.progresses(reliably=True)
    carrier.answers()
    sbc.run(10.0)
    assert office.is_talking
    assert office.call.heard.count("183") <= 3
    talks_and_ends(sbc, office, carrier)


@pytest.mark.parametrize(
    "rack", ["1 1 INVITE", "{rseq} 2 INVITE", "{rseq} 1 OPTIONS", "nonsense", "99999999999 1 INVITE"]
)
def test_a_prack_for_nothing_of_ours_gets_481_and_changes_nothing(world, rack):
    sbc, hand, carrier = by_hand(world)
    carrier.progresses(reliably=True)
    rseq = provisionals(hand)[0][1]
    prack(hand, rack=rack.format(rseq=rseq), cseq=2)
    assert hand.statuses("PRACK") == [481]
    prack(hand, cseq=3)
    prack(hand, cseq=4)  # once more, as a request of its own
    assert hand.statuses("PRACK") == [481, 200, 481]
    carrier.answers()
    ends(sbc, hand, carrier)


def test_a_prack_without_rack(world):
    sbc, hand, carrier = by_hand(world)
    carrier.progresses(reliably=True)
    hand.sends("PRACK", to_tag=hand.our_tag, cseq=2)
    assert hand.statuses("PRACK") == [481]
    prack(hand, cseq=3)
    carrier.answers()
    ends(sbc, hand, carrier)


def test_a_prack_where_nothing_is_reliable_gets_481(world):
    sbc, hand, carrier = by_hand(world)
    carrier.rings()
    hand.sends("PRACK", to_tag=hand.our_tag, cseq=2, fields=(("RAck", "1 1 INVITE"),))
    assert hand.statuses("PRACK") == [481]
    carrier.answers()
    ends(sbc, hand, carrier)


def test_a_prack_whose_offer_is_refused_may_come_again_without_one(world):
    """ "In that case, UAC may send again a PRACK request without an offer", RFC 6337 §2.3."""
    sbc, hand, carrier = by_hand(world, SUPPORTED, ("Allow", "INVITE, ACK, BYE, CANCEL, PRACK, UPDATE"))
    carrier.disallows("UPDATE")
    carrier.progresses(reliably=True)
    rack = ("RAck", f"{provisionals(hand)[0][1]} 1 INVITE")
    hold = sdp_of("10.0.0.5").replace(b"m=audio", b"a=sendonly\r\nm=audio")
    hand.sends("PRACK", to_tag=hand.our_tag, cseq=2, fields=(rack, ("Content-Type", "application/sdp")), body=hold)
    prack(hand, cseq=3)
    prack(hand, cseq=4, rack="7 1 INVITE")
    assert hand.statuses("PRACK") == [488, 200, 481]
    carrier.answers()
    assert hand.statuses()[-1] == 200
    ends(sbc, hand, carrier)


def test_who_rings_for_long_is_heard_of_every_minute(world):
    """RFC 3261 §13.3.1.1; what has its PRACK is not acknowledged again."""
    sbc, office, carrier = phones(world)
    office.uses_100rel(required=True)
    office.invites(FAR)
    carrier.rings()
    sbc.run(130.0)
    assert office.call.heard.count("200 PRACK") == 1
    assert [data[:11] for data in sbc.net.sent_to(office.name)].count(b"SIP/2.0 180") == 3
    carrier.answers()
    talks_and_ends(sbc, office, carrier)


def test_without_a_prack_the_invite_fails(world):
    """ "the UAS SHOULD reject the original request with a 5xx", §3."""
    sbc, hand, carrier = by_hand(world)
    carrier.progresses(reliably=True)
    sbc.run(33.0)
    assert hand.statuses()[-1] == 504
    assert carrier.got("PRACK", "CANCEL")
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1, branch="z9hG4bKbyhand1")
    record = sbc.cdr.only
    assert (record.sip_status, record.ended_by) == (504, "sbc")
    assert "no PRACK" in sbc.story()
    assert sbc.idle()


def test_our_prack_that_is_never_answered_harms_nobody(world):
    """The callee repeats its 183 until it gives up; we have done what we can."""
    sbc, office, carrier = phones(world)
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(183, sdp=True, fields=(REQUIRED, ("RSeq", "7")))
    sbc.run(40.0)
    assert len(set(hand.methods())) == 2
    hand.replies(200, to=hand.requests("INVITE")[0])
    assert office.is_talking
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


@pytest.mark.parametrize("status", [481, 500])
def test_our_prack_that_is_refused_harms_nobody(world, status):
    sbc, office, carrier = phones(world)
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(183, sdp=True, fields=(REQUIRED, ("RSeq", "7")))
    hand.replies(status, to=hand.requests("PRACK")[0])
    hand.replies(200, to=hand.requests("INVITE")[0])
    assert office.is_talking
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.cdr.only.cause == "normal"
    assert sbc.idle()


# --- what the callee sends --------------------------------------------------------------------------------------------


def test_what_is_out_of_order_is_neither_acknowledged_nor_told(world):
    """ "MUST NOT be acknowledged with a PRACK, and MUST NOT be processed further", §4."""
    sbc, office, carrier = phones(world)
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(180, fields=(REQUIRED, ("RSeq", "7")))
    hand.replies(183, sdp=True, fields=(REQUIRED, ("RSeq", "9")))
    assert len(hand.requests("PRACK")) == 1
    assert not office.got(183)
    hand.replies(181, fields=(REQUIRED, ("RSeq", "8")))
    hand.replies(183, sdp=True, fields=(REQUIRED, ("RSeq", "9")))
    hand.replies(183, sdp=True, fields=(REQUIRED, ("RSeq", "9")))
    racks = [request.header("RAck") for request in hand.requests("PRACK")]
    number = hand.requests("INVITE")[0].cseq.number
    assert racks == [f"{rseq} {number} INVITE" for rseq in (7, 8, 9)]
    assert office.call.heard.count("183") == 1
    for request in hand.requests("PRACK"):
        hand.replies(200, to=request)
    hand.replies(200, to=hand.requests("INVITE")[0])
    assert office.is_talking
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.idle()


def test_a_reliable_provisional_that_we_never_allowed_is_taken_as_an_ordinary_one(world):
    """ "the UAC MUST NOT" … and yet: a peer that does not heed our Supported rings all the same."""
    sbc, office, carrier = phones(world, policy=OFF)
    hand = ByHand(sbc, carrier)
    office.invites(FAR)
    hand.replies(183, sdp=True, fields=(REQUIRED, ("RSeq", "7")))
    assert office.got(183)
    for request in hand.requests("PRACK"):
        hand.replies(200, to=request)
    hand.replies(200, to=hand.requests("INVITE")[0], sdp=True)
    assert office.is_talking
    office.hangs_up()
    hand.replies(200, to=hand.requests("BYE")[0])
    assert sbc.idle()


# --- the 200 and the end ----------------------------------------------------------------------------------------------


def test_the_200_waits_for_the_prack_of_a_description(world):
    """ "the UAS MUST delay sending the 2xx until the provisional response is acknowledged", §5."""
    sbc, hand, carrier = by_hand(world)
    carrier.progresses(reliably=True)
    carrier.answers()
    sbc.run(3.0)
    assert 200 not in hand.statuses()
    prack(hand)
    assert hand.statuses()[-1] == 200
    assert hand.heard[-1].body == b""
    ends(sbc, hand, carrier)


def test_the_200_does_not_wait_for_the_prack_of_a_mere_ringing(world):
    sbc, hand, carrier = by_hand(world, REQUIRED, SUPPORTED)
    carrier.rings()
    carrier.answers()
    assert hand.statuses()[-1] == 200
    prack(hand)  # late: "MUST be prepared to process PRACK requests for those outstanding responses", §3
    assert hand.statuses("PRACK") == [200]
    sbc.run(5.0)
    assert hand.statuses().count(180) == 1
    ends(sbc, hand, carrier)


def test_a_prack_that_never_comes_while_the_200_waits(world):
    sbc, hand, carrier = by_hand(world)
    carrier.progresses(reliably=True)
    carrier.answers()
    sbc.run(40.0)
    assert hand.statuses()[-1] == 504
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1, branch="z9hG4bKbyhand1")
    assert carrier.got("ACK", "BYE")
    assert sbc.cdr.only.cause == "no_ack"
    assert sbc.idle()


@pytest.mark.parametrize("answered", [True, False])
def test_a_cancel_while_a_prack_is_awaited(world, answered):
    sbc, hand, carrier = by_hand(world)
    carrier.progresses(reliably=True)
    if answered:
        carrier.answers()
    hand.sends("CANCEL", f"sip:{FAR}@10.0.0.1", cseq=1, branch="z9hG4bKbyhand1")
    assert hand.statuses()[-1] == 487
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1, branch="z9hG4bKbyhand1")
    assert carrier.got("BYE" if answered else "CANCEL")
    prack(hand)  # it was on its way
    assert hand.statuses("PRACK")[0] in (200, 481)
    sbc.run(5.0)
    assert hand.statuses().count(183) == 1
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()


def test_a_bye_of_the_caller_while_a_prack_is_awaited(world):
    sbc, hand, carrier = by_hand(world)
    carrier.progresses(reliably=True)
    hand.sends("BYE", to_tag=hand.our_tag, cseq=2)
    assert hand.statuses("BYE") == [200]
    assert hand.statuses()[-1] == 487
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1, branch="z9hG4bKbyhand1")
    assert carrier.got("CANCEL")
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()


@pytest.mark.parametrize("status", [486, 503])
def test_the_callee_refuses_while_a_prack_is_awaited(world, status):
    sbc, hand, carrier = by_hand(world)
    carrier.progresses(reliably=True)
    carrier.refuses(status)
    sbc.run(1.0)
    assert hand.statuses()[-1] == status
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1, branch="z9hG4bKbyhand1")
    sbc.run(5.0)
    assert hand.statuses().count(183) <= 2
    assert len(sbc.cdr) == 1
    assert sbc.idle()


def test_the_callee_hangs_up_while_its_200_waits_for_the_callers_prack(world):
    """The caller has heard of no answer: for him the call has failed."""
    sbc, hand, carrier = by_hand(world)
    carrier.progresses(reliably=True)
    carrier.answers()
    carrier.hangs_up()
    assert hand.statuses()[-1] == 487
    hand.sends("ACK", to_tag=hand.our_tag, cseq=1, branch="z9hG4bKbyhand1")
    prack(hand)
    sbc.run(1.0)
    assert len(sbc.cdr) == 1
    assert sbc.idle()


def test_a_delayed_answer_in_a_prack_that_is_late(world):
    """INVITE without offer: the callee's offer waits for the caller's PRACK; both sides repeat what they must."""
    sbc, office, carrier = phones(world)
    office.holds_back_pracks()
    office.invites(FAR, sdp=False)
    carrier.progresses(reliably=True)
    sbc.run(6.0)
    assert not carrier.got("PRACK")
    office.pracks()
    assert carrier.got("PRACK")
    carrier.answers()
    talks_and_ends(sbc, office, carrier)


def test_a_delayed_answer_in_a_prack_that_never_comes(world):
    sbc, office, carrier = phones(world)
    office.holds_back_pracks()
    office.invites(FAR, sdp=False)
    carrier.progresses(reliably=True)
    sbc.run(40.0)
    assert office.call.status >= 400
    assert len(sbc.cdr) == 1
    assert sbc.idle()


def test_a_bad_network(world, chaos):
    """A fifth of all is lost: the numbers hold, and the call is set up."""
    sbc = world(**chaos)
    office, carrier = sbc.office(), sbc.carrier()
    for phone in (office, carrier):
        phone.uses_100rel()
    office.invites(FAR)
    carrier.progresses(reliably=True)
    carrier.rings(reliably=True)
    carrier.answers()
    office.waits_for("200")
    sbc.run(40.0)
    if office.is_talking:
        office.hangs_up()
    assert sbc.idle()
    assert len(sbc.cdr) == 1


def test_a_200_that_crosses_the_cancel_gets_a_bye_numbered_above_the_prack(world):
    """A BYE that is numbered below what came before "is out of order and MUST be rejected", RFC 3261 §12.2.2."""
    sbc, office, carrier = phones(world)
    office.invites(FAR)
    carrier.progresses(reliably=True)
    with sbc.net.holding(carrier.agent):
        office.cancels()
        carrier.answers()
    assert carrier.last("BYE").cseq.number > carrier.last("PRACK").cseq.number
    assert carrier.got("PRACK", "ACK", "BYE")
    assert not carrier.is_talking
    assert sbc.cdr.only.cause == "cancelled"
    assert sbc.idle()


def test_a_second_fork_that_answers_gets_a_bye_that_counts_on_from_its_prack(world):
    sbc, office, carrier = phones(world)
    office.script.sees_forks = True
    office.invites(FAR)
    first = carrier.call
    second = carrier.forks()
    for party in (first, second):
        carrier.rings(reliably=True, call=party)
    with sbc.net.holding(carrier.agent):
        carrier.answers(call=first)
        carrier.answers(call=second)
    assert second.heard[-2:] == ["ACK", "BYE"]
    assert second.stage == "ended"
    office.hangs_up()
    assert sbc.idle()
