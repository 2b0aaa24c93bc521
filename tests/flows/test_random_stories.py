"""Stories that nobody wrote: both sides do whatever they may at random times on a bad network.

Whatever happens: one CDR for each call, nothing left alive, no word of one side at the other.
"""

import random

import pytest

from sbc.sdp import Direction
from sbc.testing.net import Conditions
from sbc.testing.party import Stage
from sbc.testing.world import DID, FAR

SEEDS = 60


def possible_moves(phone, party, now):
    """What this phone may do with this call, as a real one might."""
    agent = phone.agent
    if party.stage is Stage.TALKING:
        moves = [lambda: agent.hang_up(party, now), lambda: agent.cancel(party, now)]
        if party.last_status or not party.is_caller:
            moves += [
                lambda: agent.reinvite(party, now, Direction.SENDONLY),
                lambda: agent.reinvite(party, now, Direction.SENDRECV),
                lambda: agent.reinvite(party, now, sdp=False),
                lambda: agent.request(party, "OPTIONS", now),
            ]
        return moves
    if party.is_caller and party.stage in (Stage.CALLING, Stage.RINGING) and not party.cancelled:
        return [lambda: agent.cancel(party, now)]
    if not party.is_caller and party.invite_key is not None and party.stage in (Stage.NEW, Stage.RINGING):
        return [
            lambda: agent.ring(party, now),
            lambda: agent.ring(party, now, 183, sdp=True),
            lambda: agent.accept(party, now),
            lambda: agent.accept(party, now),
            lambda: agent.refuse(party, 486, now),
        ]
    return []


@pytest.mark.parametrize("bad", [False, True], ids=["good network", "bad network"])
@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_there_is_one_record_and_nothing_is_left(world, seed, bad):
    dice = random.Random(seed)
    conditions = Conditions(delay=0.01, jitter=0.03, loss=0.2, duplicate=0.1, reorder=0.2) if bad else None
    sbc = world(seed=seed, conditions=conditions)
    office, carrier = sbc.office(), sbc.carrier()
    office.agent.script.reinvites = dice.choice([200, 200, 488])
    for _ in range(40):
        if dice.random() < 0.15:
            caller, number = dice.choice([(office, FAR), (carrier, DID)])
            caller.invites(number, sdp=dice.random() < 0.8)
        phone = dice.choice([office, carrier])
        if phone.agent.parties:
            moves = possible_moves(phone, dice.choice(phone.agent.parties), sbc.now)
            if moves:
                sbc.net.perform(phone.agent, dice.choice(moves)())
        sbc.run(dice.choice([0.001, 0.01, 0.1, 1.0, 3.0]))
    sbc.run(40.0)
    for phone in (office, carrier):
        for party in phone.agent.parties:
            if party.stage is Stage.TALKING:
                sbc.net.perform(phone.agent, phone.agent.hang_up(party, sbc.now))
                sbc.run(40.0)
    sbc.run(300.0)
    arrived = sum(
        party.is_caller and party.heard != ["timeout"] for p in (office, carrier) for party in p.agent.parties
    )
    assert len({record.ref for record in sbc.cdr}) == len(sbc.cdr)
    assert arrived <= len(sbc.cdr) <= sum(party.is_caller for p in (office, carrier) for party in p.agent.parties)
    assert sbc.idle(but=["complaints"] if bad else [])
