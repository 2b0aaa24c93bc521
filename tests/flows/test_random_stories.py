"""Stories that nobody wrote: both sides do whatever they may at random times on a bad network.

Whatever happens: one CDR for each call, nothing left alive, no word of one side at the other.
"""

import random

import pytest

from sbc.b2bua.events import HangUpOrdered
from sbc.core.address import Transport
from sbc.sdp import Direction
from sbc.testing.net import Conditions
from sbc.testing.party import Stage
from sbc.testing.world import DID, FAR, OUTSIDE, POLICY

SEEDS = 40


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
            lambda: agent.refuse(party, 503, now),
        ]
    return []


NETWORKS = {
    "good": None,
    "bad": Conditions(delay=0.01, jitter=0.03, loss=0.2, duplicate=0.1, reorder=0.2),
    "streams": Conditions(delay=0.01, jitter=0.03, loss=0.1, pieces=True),
}
TWO_SERVERS = POLICY.replace('["sip:198.51.100.7:5060"]', '["sip:198.51.100.7:5060", "sip:198.51.100.8:5060"]')
OVER_TCP = POLICY.replace('5060"]}', '5060;transport=tcp"]}').replace(
    "address: sip:10.0.0.5:5060", "address: 'sip:10.0.0.5:5060;transport=tcp'"
)


def something_happens(sbc, dice):
    """What nobody at either side has done."""
    kind = dice.random()
    if kind < 0.02:
        sbc.worker_dies()
    elif kind < 0.05:
        sbc.worker_starts()
    elif kind < 0.07 and sbc.switch.calls:
        sbc.tell(HangUpOrdered(dice.choice(list(sbc.switch.calls))))
    elif kind < 0.09:
        for phone in sbc.phones:
            sbc.net.reset(phone.agent)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("seed", range(SEEDS))
def test_whatever_happens_there_is_one_record_and_nothing_is_left(world, seed, network):
    dice = random.Random(seed)
    transport = Transport.TCP if network == "streams" else Transport.UDP
    sbc = world(OVER_TCP if network == "streams" else TWO_SERVERS, seed=seed, conditions=NETWORKS[network])
    office, carrier = sbc.office(transport=transport), sbc.carrier(transport=transport)
    second = sbc.phone("second.carrier.net", "198.51.100.8:5060", through=OUTSIDE)
    second.answers_by_itself(after=2.0)
    office.script.reinvites = dice.choice([200, 200, 488])
    for _ in range(40):
        if dice.random() < 0.15:
            caller, number = dice.choice([(office, FAR), (carrier, DID)])
            caller.invites(number, sdp=dice.random() < 0.8)
        phone = dice.choice([office, carrier])
        if phone.agent.parties:
            moves = possible_moves(phone, dice.choice(phone.agent.parties), sbc.now)
            if moves:
                sbc.net.perform(phone.agent, dice.choice(moves)())
        something_happens(sbc, dice)
        sbc.run(dice.choice([0.001, 0.01, 0.1, 1.0, 3.0]))
    sbc.worker_starts()
    sbc.run(40.0)
    for phone in sbc.phones:
        for party in phone.agent.parties:
            if party.stage is Stage.TALKING:
                sbc.net.perform(phone.agent, phone.agent.hang_up(party, sbc.now))
                sbc.run(40.0)
    sbc.run(300.0)
    calls = [party for phone in sbc.phones for party in phone.agent.parties if party.is_caller]
    assert len({record.ref for record in sbc.cdr}) == len(sbc.cdr)
    assert sum(party.heard != ["timeout"] for party in calls) <= len(sbc.cdr) <= len(calls)
    assert sbc.idle(but=["complaints"] if network == "bad" else [])
