"""Offers of both ends that meet on one leg: RFC 5407 §3.3.1 and §3.3.2, RFC 3261 §14, RFC 3311 §5.

The leg bears it: `other`, beyond the SBC, sees its own offer answered, later, and then the offer of `peer`. On the
ingress leg the peer owns the Call-ID, and we are the first to try again; on the egress leg we own it.
"""
# RFC: 3311, 5407

import random

import pytest

from sbc.sdp import Direction
from sbc.testing.byhand import ByHand
from sbc.testing.referring import refer_to_replacing
from sbc.testing.world import DID, FAR

from .racing import BOTH_LEGS, about_to_call, ends, talking
from .transferring import called, can_talk, refers

WAYS = ["INVITE", "UPDATE"]
OWNER = (2.1, 4.1)  # seconds that the owner of the Call-ID waits; a little more for the way
NOT_OWNER = (0.0, 2.1)


def test_3_3_1_two_reinvites_meet(world, leg):
    """§3.3.1: each gets 491; who does not own the Call-ID tries again first."""
    race = talking(world, leg)
    before, beyond, began = race.count(), race.count(race.beyond), race.sbc.now
    with race.sbc.net.holding(race.peer.agent):
        race.peer.holds()
        race.other.holds(Direction.INACTIVE)
    assert race.rungs(after=before) == [
        "< INVITE sdp inactive",
        "> INVITE sdp sendonly",
        "< 491 Request Pending (INVITE)",
        "> 491 Request Pending (INVITE)",
        "< ACK",
        "> ACK",
    ]
    assert race.rungs(race.beyond, after=beyond) == ["> INVITE sdp inactive", "< 100 Trying (INVITE)"]
    race.sbc.run(15.0)
    first, last = OWNER if leg == "egress" else NOT_OWNER
    ours = [at - began for at, data in sent(race) if data.startswith(b"INVITE")]
    assert len(ours) == 2
    assert first <= ours[1] <= last
    seen = [rung for rung in race.rungs(race.beyond, after=beyond) if "100" not in rung]
    theirs = ["< INVITE sdp sendonly", "> 200 OK (INVITE) sdp inactive", "< ACK"] if leg == "ingress" else []
    assert seen == ["> INVITE sdp inactive", "< 200 OK (INVITE) sdp inactive", "> ACK", *theirs]
    assert race.peer.got(491, 200)
    assert ends(race)


@pytest.mark.parametrize("theirs", WAYS)
@pytest.mark.parametrize("ours", WAYS)
def test_3_3_2_offers_meet_whatever_brings_them(world, leg, ours, theirs):
    """§3.3.2: an UPDATE with an offer is as a re-INVITE here, and the other phone is told the news once."""
    race = talking(world, leg)
    beyond = race.count(race.beyond)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.holds(by=theirs)
        race.other.offers_codecs("PCMA", by=ours)
    race.sbc.run(15.0)
    told = race.rungs()
    assert told.count(f"< 491 Request Pending ({theirs})") == 1
    assert told.count(f"> 491 Request Pending ({ours})") == 1
    assert f"< 200 OK ({theirs}) sdp recvonly" in told
    seen = list(dict.fromkeys(race.rungs(race.beyond, after=beyond)))
    assert not any("491" in rung for rung in seen)
    offers = [rung for rung in seen if rung.startswith((f"> {ours} sdp", f"< {theirs} sdp"))]
    # Who does not own the Call-ID is first: on the egress leg the peer, of whose hold the other hears in its answer.
    assert offers == [f"> {ours} sdp", *([f"< {theirs} sdp sendonly"] if leg == "ingress" else [])]
    assert race.other.direction is Direction.SENDONLY
    assert [media.formats[0] for media in race.peer.call.remote_sdp.media] == ["8"]
    assert ends(race)


def test_3_3_2_an_update_that_only_refreshes_meets_a_reinvite(world, leg):
    """§3.3.2: "both requests succeed with 200 (491 means that a UA has a pending request)"."""
    race = talking(world, leg)
    before, beyond = race.count(), race.count(race.beyond)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.updates(sdp=False)
        race.other.holds()
    race.sbc.run(1.0)
    assert sorted(race.rungs(after=before)) == [
        "< 200 OK (UPDATE)",
        "< ACK",
        "< INVITE sdp sendonly",
        "> 100 Trying (INVITE)",
        "> 200 OK (INVITE) sdp recvonly",
        "> UPDATE",
    ] or "> 100 Trying (INVITE)" not in race.rungs(after=before)
    assert "< 200 OK (UPDATE)" in race.rungs(after=before)
    assert "< 200 OK (INVITE) sdp recvonly" in race.rungs(race.beyond, after=beyond)
    assert not any("UPDATE" in rung for rung in race.rungs(race.beyond))
    assert ends(race)


def test_3_3_1_a_refresh_meets_an_offer(world, leg):
    """§3.3.1: one of the two "is for session modification", the other "for session refresh"; F12, to that, is 200."""
    race = talking(world, leg)
    beyond = race.count(race.beyond)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.reinvites()
        race.other.holds()
    race.sbc.run(15.0)
    assert race.rungs().count("< 491 Request Pending (INVITE)") == 1
    assert race.peer.got(491, 200)
    seen = [rung for rung in race.rungs(race.beyond, after=beyond) if "100" not in rung]
    assert seen[:3] == ["> INVITE sdp sendonly", "< 200 OK (INVITE) sdp recvonly", "> ACK"]
    assert race.peer.direction is Direction.SENDONLY
    assert ends(race)


def test_the_peer_holds_while_an_offer_to_it_waits_and_that_is_refused_at_last(world, leg):
    """Whose offer waited hears of the hold all the same: it has no answer that could tell it."""
    race = talking(world, leg)
    race.other.retries_glare(wanted=False)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.holds()
        race.other.offers_codecs("PCMA")
    race.peer.answers_reinvites(488)
    race.sbc.run(15.0)
    assert race.peer.got(491, 200)
    assert race.other.got(488, "INVITE" if leg == "ingress" else "UPDATE")
    assert race.other.direction is Direction.SENDONLY
    race.peer.answers_reinvites(200)
    race.peer.resumes()
    assert race.sbc.hears(race.peer, race.other)
    assert race.sbc.hears(race.other, race.peer)
    assert ends(race)


def test_a_question_for_an_offer_waits_and_the_peer_holds(world, leg):
    """A re-INVITE without offer has met the hold: its answer is the offer of somebody who holds."""
    race = talking(world, leg)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.holds()
        race.other.reinvites(sdp=False)
    race.sbc.run(15.0)
    assert race.rungs().count("< 491 Request Pending (INVITE)") == 1
    assert race.peer.got(491, 200)
    assert race.other.call.last_status == 200
    race.peer.resumes()
    assert race.sbc.hears(race.peer, race.other)
    assert race.sbc.hears(race.other, race.peer)
    assert ends(race)


def test_a_refresh_of_ours_meets_an_offer_and_is_not_needed_any_more(world, leg):
    """§3.3.1: the offer that comes again refreshes "and modif[ies] the session at the same time"; ours need not."""
    race = about_to_call(world, leg)
    race.peer.uses_session_timer(600, refresher="uas" if leg == "ingress" else "uac")
    race.peer.disallows("UPDATE")
    caller, callee = (race.peer, race.other) if leg == "ingress" else (race.other, race.peer)
    caller.invites(FAR)
    callee.answers()
    race.sbc.run(299.5)
    before = len(sent(race, "INVITE"))
    with race.sbc.net.holding(race.peer.agent):
        race.sbc.run(0.9)
        race.peer.holds()
    race.sbc.run(15.0)
    assert race.peer.got(491, 200)
    ours = len(sent(race, "INVITE")) - before
    assert ours == 2 if leg == "ingress" else ours == 1  # on the ingress leg ours is due first
    assert race.other.direction is Direction.SENDONLY
    race.sbc.run(700.0)
    assert race.peer.is_talking
    assert len(sent(race, "INVITE")) - before - ours >= 2
    assert ends(race)


def test_the_peer_wants_more_than_a_hold_while_an_offer_to_it_waits(world, leg):
    """Its other codecs concern the other phone, which must have been asked: 491 until its turn has come."""
    race = talking(world, leg)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.offers_codecs("PCMU")
        race.other.holds()
    race.sbc.run(20.0)
    assert race.peer.call.last_status == race.other.call.last_status == 200
    assert [media.formats for media in race.other.call.remote_sdp.media] == [("0", "8")]
    assert ends(race)


@pytest.mark.parametrize("by", WAYS)
def test_a_peer_that_refuses_every_offer_with_491_has_that_told_at_last(world, leg, by):
    """We try for some time; then whoever offered hears 491, and the session is what it was."""
    race = talking(world, leg)
    beyond = race.count(race.beyond)
    race.peer.answers_reinvites(491)
    race.peer.answers_updates(491)
    race.other.retries_glare(wanted=False)
    race.other.holds(by=by)
    race.sbc.run(40.0)
    assert race.other.got("491 UPDATE" if by == "UPDATE" else 491)
    tries = [data for _, data in sent(race) if data.startswith(by.encode())][
        0 if by == "UPDATE" or leg == "ingress" else 1 :
    ]
    assert 2 <= len(tries) <= 6
    assert len({line for data in tries for line in data.split(b"\r\n") if line.startswith(b"o=")}) == 1
    seen = race.rungs(race.beyond, after=beyond)
    assert seen.count(f"< 491 Request Pending ({by})") == 1
    assert race.sbc.hears(race.other, race.peer)
    race.peer.answers_reinvites(200)
    race.peer.answers_updates(200)
    race.other.resumes(by=by)
    assert race.sbc.hears(race.peer, race.other)
    assert ends(race)


@pytest.mark.parametrize("by", WAYS)
def test_a_peer_that_says_500_and_when_to_come_again(world, leg, by):
    """ "MUST return a 500 … and MUST include a Retry-After" (§14.2): we come again then, unheard beyond us."""
    race = talking(world, leg)
    hand = ByHand(race.sbc, race.peer)
    began = race.sbc.now
    race.other.holds(by=by)
    hand.replies(500, to=hand.requests(by)[-1], fields=(("Retry-After", "7"),))
    count = len(hand.requests(by))
    race.sbc.run(6.9)
    assert len(hand.requests(by)) == count
    race.sbc.run(0.2)
    assert len(hand.requests(by)) == count + 1
    hand.replies(200, to=hand.requests(by)[-1], sdp=True)
    assert race.other.got("200 UPDATE") if by == "UPDATE" else race.other.call.last_status == 200
    assert not race.other.got(500)
    assert not race.other.got("500 UPDATE")
    assert race.sbc.now - began < 8.0
    race.peer.wakes()
    assert ends(race)


def test_an_update_has_its_answer_before_its_sender_gives_up(world, leg):
    """32 seconds after it nobody would hear the answer, and a time-out ends dialogs (RFC 3261 §12.2.1.2)."""
    race = talking(world, leg)
    hand = ByHand(race.sbc, race.peer)
    race.other.holds(by="UPDATE")
    for _ in range(60):
        hand.replies(500, to=hand.requests("UPDATE")[-1], fields=(("Retry-After", "10"),))
        race.sbc.run(0.5)
    assert race.other.got("504 UPDATE")
    assert race.other.is_talking
    race.peer.wakes()
    race.other.resumes()
    assert race.sbc.hears(race.other, race.peer)
    assert ends(race)


def test_a_500_that_says_nothing_of_time_is_a_refusal(world, leg):
    race = talking(world, leg)
    race.peer.answers_reinvites(500)
    race.other.holds()
    assert race.other.call.last_status == 500
    assert race.sbc.hears(race.other, race.peer)
    assert ends(race)


def test_glare_and_whose_offer_waits_gives_up(world, leg):
    """CANCEL while ours waits for its time: it is never sent again, and the peer's own goes through."""
    race = talking(world, leg)
    race.other.retries_glare(wanted=False)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.holds()
        race.other.holds()
    ours = len(sent(race, "INVITE"))
    race.sbc.net.perform(race.other.agent, race.other.agent.cancel(race.other.call, race.sbc.now))
    race.sbc.run(15.0)
    assert race.other.call.last_status == 487
    assert len(sent(race, "INVITE")) == ours
    assert race.other.direction is Direction.SENDONLY
    assert ends(race)


def test_an_offer_that_was_made_anew_and_never_sent_has_used_up_no_version(world, leg):
    """The peer's hold is answered while ours waits, which then would say something else; but its sender gives up."""
    race = talking(world, leg)
    for phone in (race.peer, race.other):
        phone.retries_glare(wanted=False)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.reinvites()
        race.other.offers_codecs("PCMA")
    race.peer.holds()
    race.sbc.net.perform(race.other.agent, race.other.agent.cancel(race.other.call, race.sbc.now))
    race.sbc.run(15.0)
    assert race.other.call.last_status == 487
    race.peer.resumes()
    race.peer.holds()
    assert race.peer.got(491, 200, 200, 200)
    assert ends(race)


@pytest.mark.parametrize("who", ["peer", "other"])
def test_glare_and_somebody_hangs_up_meanwhile(world, leg, who):
    """The offer that waits for its time is gone with the call."""
    race = talking(world, leg)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.holds()
        race.other.holds()
    ours = len(sent(race, "INVITE"))
    assert ends(race, who)
    assert len(sent(race, "INVITE")) == ours


def test_both_ends_offer_at_once_and_meet_within_us(world, leg):
    """No leg has glare, for each peer's offer reaches us; but they meet here: one crosses, the other gets 491."""
    race = talking(world, leg)
    with race.sbc.net.holding("sbc"):
        race.peer.holds()
        race.other.holds(Direction.INACTIVE)
    race.sbc.run(15.0)
    assert race.peer.direction is Direction.INACTIVE
    assert race.other.direction in (Direction.SENDONLY, Direction.INACTIVE)
    assert race.peer.call.last_status == race.other.call.last_status == 200
    assert ends(race)


@pytest.mark.parametrize("seed", range(12))
def test_glare_in_a_bad_network(
    world,
    leg,
    seed,
):
    """Whatever the timers draw: both offers get through in the end."""
    race = talking(world, leg, seed=seed)
    for _ in range(3):
        with race.sbc.net.holding(race.peer.agent):
            race.peer.holds()
            race.other.holds()
        race.sbc.run(30.0)
        assert (race.peer.call.last_status, race.other.call.last_status) == (200, 200)
        race.peer.resumes()
        race.other.resumes()
        race.sbc.run(30.0)
        assert race.sbc.hears(race.peer, race.other)
        assert race.sbc.hears(race.other, race.peer)
    assert ends(race)


@pytest.mark.parametrize("seed", range(4))
def test_who_owns_the_call_id_is_not_forgotten_in_a_transfer(world, leg, seed):
    """Both had called the office, which put them through: neither Call-ID is ours, and we are first on both legs."""
    sbc, office, carrier, branch = called(world, seed=seed)
    first = office.call
    branch.invites(DID)
    office.answers()
    refers(office, party=first, to=refer_to_replacing(office.call))
    sbc.run(5.0)
    assert can_talk(sbc, carrier, branch)
    peer, other = (carrier, branch) if leg == "ingress" else (branch, carrier)
    began = sbc.now
    with sbc.net.holding(peer.agent):
        peer.holds()
        other.holds()
    sbc.run(15.0)
    ours = [one for one in sbc.net.log if one.sender == "sbc" and one.receiver == peer.name]
    offers = [one.at - began for one in ours if one.data.startswith((b"INVITE", b"UPDATE")) and one.at > began]
    assert NOT_OWNER[0] <= offers[1] <= NOT_OWNER[1]
    assert peer.call.last_status == other.call.last_status == 200
    peer.hangs_up()
    assert sbc.idle()


def is_free(phone):
    """It may make an offer (RFC 3264 §4)."""
    party = phone.call
    is_open = party.talk.our_offer is not None or party.talk.their_offer is not None
    return not (party.inviting or is_open or party.invite_key is not None)


def wants_something(phone, dice):
    by = dice.choice(WAYS)
    match dice.randrange(6):
        case 0:
            phone.holds(dice.choice([Direction.SENDONLY, Direction.INACTIVE]), by=by)
        case 1:
            phone.resumes(by=by)
        case 2:
            phone.reinvites(sdp=False)
        case 3:
            phone.offers_codecs(dice.choice(["PCMA", "PCMU"]), by=by)
        case 4:
            phone.offers_codecs("PCMU", "PCMA", "telephone-event", by=by)
        case _:
            phone.reinvites()


@pytest.mark.parametrize("seed", range(20))
def test_whatever_two_phones_want_at_the_same_moment(world, leg, seed):
    """Holds, codecs, questions, by whichever request: offers and answers fit, and in the end both hear each other."""
    dice = random.Random(seed)
    race = talking(world, leg, seed=seed)
    phones = [race.peer, race.other]
    for _ in range(6):
        race.sbc.net.run_while(lambda: not all(is_free(phone) for phone in phones), at_most=70.0)
        with race.sbc.net.holding(dice.choice([race.peer.agent, "sbc"])):
            for phone in phones:
                wants_something(phone, dice)
        race.sbc.run(dice.choice([0.5, 3.0, 15.0, 40.0]))
    race.sbc.run(60.0)
    for phone in phones:
        phone.changes(direction=Direction.SENDRECV, codecs=("PCMU", "PCMA", "telephone-event"))
        race.sbc.run(20.0)
    race.peer.resumes()
    assert [phone.direction for phone in phones] == [Direction.SENDRECV, Direction.SENDRECV]
    assert race.sbc.hears(race.peer, race.other)
    assert race.sbc.hears(race.other, race.peer)
    assert ends(race)


def sent(race, method=""):
    """What we sent to the peer, and when."""
    return [
        (one.at, one.data)
        for one in race.sbc.net.log
        if one.sender == "sbc" and one.receiver == race.peer.name and one.data.startswith(method.encode())
    ][1 if race.leg == "egress" and method in ("", "INVITE") else 0 :]


pytestmark = pytest.mark.parametrize("leg", BOTH_LEGS)


def test_an_offer_that_was_cancelled_and_met_another_is_not_sent_again(world, leg):
    """CANCEL is on its way to a peer whose 491 is on its way to us."""
    race = talking(world, leg)
    for phone in (race.peer, race.other):
        phone.retries_glare(wanted=False)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.reinvites()
        race.other.offers_codecs("PCMA")
        race.sbc.net.perform(race.other.agent, race.other.agent.cancel(race.other.call, race.sbc.now))
        race.sbc.net.settle()
    ours = len(sent(race, "INVITE"))
    race.sbc.run(15.0)
    assert race.other.call.last_status == 487
    assert len(sent(race, "INVITE")) == ours
    race.peer.holds()
    assert race.other.direction is Direction.SENDONLY
    assert ends(race)
