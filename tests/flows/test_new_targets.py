"""Peers that are to be reached elsewhere from now on: target refresh by requests and responses.

RFC 3261 §12.2, RFC 6141 §4. `peer` is the phone on the leg that the story is about, `other` the one beyond the SBC.
"""
# RFC: 6141

import pytest

from .racing import BOTH_LEGS, ends, talking, to_peer

MOVED = {"ingress": "10.0.0.5:5090", "egress": "198.51.100.7:5090"}
pytestmark = pytest.mark.parametrize("leg", BOTH_LEGS)


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
def test_the_peer_moves(world, leg, by):
    """From now on our requests go to its new Contact, and nobody beyond us knows."""
    race = talking(world, leg)
    if by == "INVITE":
        race.peer.reinvites()  # says all that it can, so that the next one says nothing new
    beyond = race.count(race.beyond)
    race.peer.changes_contact(MOVED[leg], by=by)
    assert race.rungs(race.beyond, after=beyond) == []
    race.other.holds()
    assert str(to_peer(race, "INVITE")[-1].target) == MOVED[leg]
    race.other.hangs_up()
    assert str(to_peer(race, "BYE")[-1].target) == MOVED[leg]
    assert race.sbc.cdr.only.cause == "normal"
    assert race.sbc.idle()


def test_the_peer_says_that_it_has_moved_in_its_answer(world, leg):
    """ "a 2xx response to a target refresh request": the ACK goes there already."""
    race = talking(world, leg)
    race.peer.changes_contact(MOVED[leg], by=None)
    race.other.holds()
    assert str(to_peer(race, "ACK")[-1].target) == MOVED[leg]
    race.other.resumes()
    assert str(to_peer(race, "INVITE")[-1].target) == MOVED[leg]
    assert ends(race)


def test_both_phones_move_at_once(world, leg):
    """Each leg has a target of its own."""
    race = talking(world, leg)
    with race.sbc.net.holding("sbc"):
        race.peer.changes_contact(MOVED[leg])
        race.other.changes_contact(MOVED[race.beyond])
    race.sbc.run(10.0)
    race.peer.holds()
    to_other = [one for one in race.sbc.net.log if one.receiver == race.other.name and one.data.startswith(b"INVITE")]
    assert str(to_other[-1].target) == MOVED[race.beyond]
    race.other.resumes()
    race.other.hangs_up()
    assert str(to_peer(race, "BYE")[-1].target) == MOVED[leg]
    assert race.sbc.cdr.only.cause == "normal"
    assert race.sbc.idle()


def test_the_peer_moves_while_the_other_offers(world, leg):
    """Its target refresh meets our re-INVITE: both are said again, and the new target holds."""
    race = talking(world, leg)
    with race.sbc.net.holding(race.peer.agent):
        race.peer.changes_contact(MOVED[leg])
        race.other.holds()
    race.sbc.run(15.0)
    assert race.peer.call.last_status == race.other.call.last_status == 200
    race.other.resumes()
    assert str(to_peer(race, "INVITE")[-1].target) == MOVED[leg]
    assert ends(race)


@pytest.mark.parametrize("by", ["INVITE", "UPDATE"])
def test_an_offer_that_is_refused_moves_nobody(world, leg, by):
    """ "the UA generates an error response to the target-refresh request, the UA MUST NOT update", RFC 6141 §4.6."""
    race = talking(world, leg)
    race.other.answers_reinvites(488)
    race.other.answers_updates(488)
    race.peer.changes_contact(MOVED[leg], by=None)
    race.peer.holds(by=by)
    assert race.peer.got("488 UPDATE" if by == "UPDATE" else 488)
    race.other.hangs_up()
    assert to_peer(race, "BYE")[-1].target == race.peer.address
    assert race.sbc.cdr.only.cause == "normal"
    assert race.sbc.idle()
