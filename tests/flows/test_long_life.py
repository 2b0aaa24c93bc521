"""Calls that last: hours of refreshes and changes, ACKs that never come, peers that reboot.

RFC 3261 §12.2, §13.3.1.4; RFC 3264 §8 (versions); RFC 4028. `peer` is the phone on the leg that the story is about,
`other` the one beyond the SBC.
"""
# RFC: 3261

import re
from itertools import pairwise

import pytest

from sbc.sdp import Direction
from sbc.testing.agent import STANDING
from sbc.testing.byhand import ByHand
from sbc.testing.world import FAR

from .racing import BOTH_LEGS, about_to_call, ends, talking, to_peer

HOUR = 3600.0

both_legs = pytest.mark.parametrize("leg", BOTH_LEGS)


def numbers(race, phone, *methods):
    """The CSeq numbers of our requests to a phone, repetitions apart."""
    found = [
        int(match[1])
        for data in race.sbc.net.sent_to(phone.name)
        if data.startswith(methods) and (match := re.search(rb"CSeq: (\d+) ", data))
    ]
    return list(dict.fromkeys(found))


def origins(race, phone):
    """(session id, version) of every description that a phone was told."""
    return [
        (int(match[1]), int(match[2]))
        for data in race.sbc.net.sent_to(phone.name)
        if (match := re.search(rb"\r\no=\S+ (\d+) (\d+) ", data))
    ]


# --- hours ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
def test_a_call_of_twelve_hours_with_hundreds_of_changes(world, by):
    """Numbers and versions go up by one, on each leg for itself; nothing heaps up."""
    race = about_to_call(world, "ingress")
    sbc, office, carrier = race.sbc, race.peer, race.other
    for phone in (office, carrier):
        phone.uses_session_timer(1800)
    office.invites(FAR)
    carrier.answers()
    for _ in range(150):
        office.holds(by=by)
        sbc.run(120.0)
        office.resumes(by=by)
        carrier.holds(Direction.INACTIVE, by=by)
        carrier.resumes(by=by)
        sbc.run(168.0)
    assert sbc.now - 1000.0 >= 12 * HOUR
    assert sbc.hears(office, carrier)
    assert sbc.hears(carrier, office)
    methods = (b"INVITE", b"UPDATE")
    for phone in (office, carrier):
        sent = numbers(race, phone, *methods)
        assert sent == list(range(sent[0], sent[0] + len(sent)))
        assert len(sent) >= 300
        told = origins(race, phone)
        assert len({ids for ids, _ in told}) == 1
        versions = [version for _, version in told]
        assert all(after - before in (0, 1) for before, after in pairwise(versions))
    (call,) = sbc.switch.calls.values()
    view = sbc.switch.snapshot(sbc.now)
    assert (len(call.legs), view.dialogs, view.ports) == (2, 2, 2)
    sbc.run(80.0)
    assert sbc.switch.endpoint.layer.count(but=STANDING) == 0
    carrier.hangs_up()
    record = sbc.cdr.only
    assert record.cause == "normal"
    assert record.billable_ms >= 12 * HOUR * 1000
    assert sbc.idle()


@pytest.mark.parametrize("refreshes", ["INVITE", "UPDATE"])
@both_legs
def test_a_silent_call_of_a_day_is_kept_by_its_timer_on_one_leg(world, leg, refreshes):
    """Nobody says anything for a day: the refreshes are the leg's own, and the other phone hears nothing at all."""
    race = about_to_call(world, leg)
    race.peer.uses_session_timer(600, refreshes=refreshes)
    caller, callee = (race.peer, race.other) if leg == "ingress" else (race.other, race.peer)
    caller.invites(FAR)
    callee.answers()
    beyond = race.count(race.beyond)
    before = len(race.sbc.net.log)
    race.sbc.run(24 * HOUR)
    assert race.peer.is_talking
    assert race.other.is_talking
    assert race.count(race.beyond) == beyond
    refreshed = [one for one in race.sbc.net.log[before:] if one.data.startswith((b"INVITE", b"UPDATE"))]
    assert 24 * 12 - 2 <= len(refreshed) <= 24 * 12 + 2
    assert ends(race)


# --- ACKs that do not come --------------------------------------------------------------------------------------------


def test_the_first_200_is_repeated_until_64_t1_and_then_both_are_hung_up(world):
    """ "… without receiving an ACK, the dialog is confirmed, but the session SHOULD be terminated", §13.3.1.4."""
    race = about_to_call(world, "ingress")
    sbc, office, carrier = race.sbc, race.peer, race.other
    office.never_acks()
    office.invites(FAR)
    carrier.answers()
    began = sbc.now
    sbc.run(33.0)
    repeated = [one.at - began for one in to_peer(race, "SIP/2.0 200")][:11]
    assert [round(at, 1) for at in repeated] == [0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]
    assert office.got(200, "BYE")
    assert carrier.got("ACK", "BYE")
    record = sbc.cdr.only
    assert (record.cause, record.ended_by) == ("no_ack", "sbc")
    assert sbc.idle()


@pytest.mark.parametrize("patience", ["the callee's", "ours"])
def test_the_first_200_made_the_offer_and_its_ack_never_brings_an_answer(world, patience):
    """The callee waits for the same ACK, and has one in the end, whoever loses patience first."""
    race = about_to_call(world, "ingress")
    sbc, office, carrier = race.sbc, race.peer, race.other
    hand = ByHand(sbc, carrier)
    office.never_acks()
    office.invites(FAR, sdp=False)
    (invite,) = hand.requests("INVITE")
    hand.replies(200, sdp=True)
    sbc.run(20.0)
    assert hand.methods() == ["INVITE"]
    if patience == "ours":
        sbc.run(12.3)
        hand.replies(200, to=hand.requests("BYE")[0])
    else:
        said = {"call_id": invite.call_id, "from_tag": "to-1", "to_tag": invite.from_.tag}
        hand.sends("BYE", "sip:203.0.113.1", **said)
        sbc.run(13.0)
    assert hand.methods() == (["INVITE", "ACK", "BYE"] if patience == "ours" else ["INVITE", "ACK"])
    assert office.got(200, "BYE")
    assert sbc.cdr.only.cause == ("no_ack" if patience == "ours" else "normal")
    assert sbc.idle()


@pytest.mark.parametrize("late", [False, True])
@both_legs
def test_the_200_to_a_reinvite_never_has_its_ack(world, leg, late):
    """The same in a call that is up, on whichever leg, also where that ACK was to bring an answer."""
    race = talking(world, leg)
    race.peer.never_acks()
    if late:
        race.peer.reinvites(sdp=False)
    else:
        race.peer.holds()
    race.sbc.run(33.0)
    assert race.peer.got(200, "BYE")
    assert race.rungs(race.beyond)[-3:-1] == (["> BYE", "< 200 OK (BYE)"] if late else ["< ACK", "< BYE"])
    record = race.sbc.cdr.only
    # Where the ACK was to bring an answer, the other phone has had none either, and has waited a little longer.
    assert (record.cause, record.ended_by) == (("normal", race.who[1]) if late else ("no_ack", "sbc"))
    assert race.sbc.idle()


@both_legs
def test_none_of_our_acks_arrives(world, leg):
    """The peer repeats its 200, each gets an ACK, and at last it hangs up: for both."""
    race = talking(world, leg)
    race.sbc.net.loses("ACK", to=race.peer.name, times=99)
    race.other.holds()
    race.sbc.run(40.0)
    assert race.peer.got("INVITE", "no ack")
    assert len(to_peer(race, "ACK")) >= 11
    assert race.other.heard[-1] == "BYE"
    assert race.other.heard.count("200 INVITE") <= 2
    assert (race.sbc.cdr.only.cause, race.sbc.cdr.only.ended_by) == ("normal", race.who[0])
    assert race.sbc.idle()


@both_legs
def test_an_ack_comes_late_and_all_is_well(world, leg):
    race = talking(world, leg)
    race.peer.never_acks()
    race.peer.holds()
    race.sbc.run(20.0)
    race.peer.acks()
    race.peer.acks_again()
    race.sbc.run(40.0)
    assert race.peer.is_talking
    race.peer.resumes()
    assert race.sbc.hears(race.other, race.peer)
    assert ends(race)


# --- peers that reboot ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
@both_legs
def test_a_peer_that_has_rebooted_says_481_to_an_offer(world, leg, by):
    """ "If the response … is a 481 … the UAC SHOULD terminate the dialog" (§12.2.1.2): the other phone gets its BYE."""
    race = talking(world, leg)
    race.peer.reboots()
    race.other.holds(by=by)
    assert race.other.got("487 UPDATE" if by == "UPDATE" else 487, "BYE")
    assert race.other.call.stage == "ended"
    assert (race.sbc.cdr.only.cause, race.sbc.cdr.only.ended_by) == ("failed", "sbc")
    assert race.sbc.idle()


@pytest.mark.parametrize("allows", [True, False])
@both_legs
def test_a_peer_that_has_rebooted_says_481_to_a_refresh(world, leg, allows):
    """By UPDATE, or by re-INVITE where it knows no UPDATE (RFC 4028 §10)."""
    race = about_to_call(world, leg)
    race.peer.uses_session_timer(600, refresher="uas" if leg == "ingress" else "uac")
    if not allows:
        race.peer.disallows("UPDATE")
    caller, callee = (race.peer, race.other) if leg == "ingress" else (race.other, race.peer)
    caller.invites(FAR)
    callee.answers()
    race.peer.reboots()
    race.sbc.run(601.0)
    assert race.other.heard[-1] == "BYE"
    assert (race.sbc.cdr.only.cause, race.sbc.cdr.only.ended_by) == ("session_expired", "sbc")
    assert race.sbc.idle()


@pytest.mark.parametrize("by", ["INVITE", "UPDATE", "refresh"])
@both_legs
def test_a_peer_whose_machine_is_gone(world, leg, by):
    """Silence: 32 seconds after what it never answers, the call is over for the other phone too."""
    race = about_to_call(world, leg)
    if by == "refresh":
        race.peer.uses_session_timer(600, refresher="uas" if leg == "ingress" else "uac")
    caller, callee = (race.peer, race.other) if leg == "ingress" else (race.other, race.peer)
    caller.invites(FAR)
    callee.answers()
    race.peer.dies(silently=True)
    if by == "refresh":
        race.sbc.run(580.0)
    else:
        race.other.holds(by=by)
        race.sbc.run(40.0)
    assert race.other.heard[-1] == "BYE"
    assert race.sbc.cdr.only.cause == ("session_expired" if by == "refresh" else "failed")
    assert race.sbc.idle()


@both_legs
def test_a_peer_that_has_rebooted_calls_again(world, leg):
    """Its new call is one of its own; the old one goes on until somebody notices."""
    race = talking(world, leg)
    race.peer.reboots()
    caller = race.peer
    caller.invites(FAR if leg == "ingress" else "+14155550100")
    race.other.answers()
    assert len(race.sbc.switch.calls) == 2
    old = race.other.calls[0]
    race.other.hangs_up(call=old)
    race.other.hangs_up()
    assert [record.cause for record in race.sbc.cdr] == ["normal", "normal"]
    assert race.sbc.idle()


@both_legs
def test_our_reinvites_do_not_make_provisionals_reliable(world, leg):
    """A peer that asks a person first rings; nobody is to acknowledge that."""
    race = about_to_call(world, leg)
    race.peer.uses_100rel()
    race.other.uses_100rel()
    caller, callee = (race.peer, race.other) if leg == "ingress" else (race.other, race.peer)
    caller.invites(FAR)
    callee.answers()
    race.peer.answers_reinvites(None)
    race.other.holds()
    assert "100rel" not in race.peer.last("INVITE").supported
    race.peer.rings()
    race.peer.answers()
    assert race.other.direction is Direction.RECVONLY
    assert ends(race)
