"""Three phones that transfer, replace, hold and hang up at random, also over a network that loses and reorders."""

import random

import pytest

from sbc.b2bua.events import HangUpOrdered
from sbc.sdp import Direction
from sbc.testing.net import Conditions
from sbc.testing.party import Stage
from sbc.testing.referring import refer_to, refer_to_replacing
from sbc.testing.world import DID, FAR

from .transferring import ABROAD, BRANCH, three

NUMBERS = (DID, FAR, BRANCH, ABROAD, "+14155550150", "+14155550250", "201")
ACTS = (
    ("invite",) * 4
    + ("refer",) * 3
    + ("attended",) * 3
    + ("replace", "hold", "cancel", "hang up", "wait", "wait", "operator", "busy")
)
PAUSES = (0.0, 0.0005, 0.001, 0.002, 0.004, 0.1, 0.1, 1.0, 1.0, 5.0)
MOST_CALLS = 12
BAD = Conditions(loss=0.1, duplicate=0.05, reorder=0.1)


class Storm:
    def __init__(self, sbc, phones, chance):
        self.sbc, self.phones, self.chance = sbc, phones, chance

    def step(self):
        phone, act = self.chance.choice(self.phones), self.chance.choice(ACTS)
        agent, now = phone.agent, self.sbc.now
        talking = [party for party in agent.parties if party.stage is Stage.TALKING]
        number = self.chance.choice(NUMBERS)
        one = self.chance.choice(talking) if talking else None
        sends = []
        if act == "invite" and self._alive() < MOST_CALLS:
            sends = agent.invite(number, phone.through, now)
        elif act == "busy":
            phone.script.refuses = self.chance.choice([None, None, 486])
        elif act == "operator" and self.sbc.switch.calls and self.chance.random() < 0.3:
            self.sbc.tell(HangUpOrdered(self.chance.choice(sorted(self.sbc.switch.calls))))
        elif one is not None:
            sends = self._in_call(act, phone, one, number)
        self.sbc.net.perform(agent, sends)
        self.sbc.net.run(self.chance.choice(PAUSES))

    def _in_call(self, act, phone, one, number):
        agent, now = phone.agent, self.sbc.now
        other = self.chance.choice([party for party in agent.parties if party.stage in (Stage.TALKING, Stage.RINGING)])
        if act == "refer":
            agent.referring.refer(one, refer_to(number, "10.0.0.1"), now)
            return agent.drain()
        if act == "attended" and other is not one and other.remote_tag:
            agent.referring.refer(one, refer_to_replacing(other), now)
            return agent.drain()
        if act == "cancel" and other.is_caller and other.stage is Stage.RINGING and not other.cancelled:
            return agent.cancel(other, now)
        if act == "replace":
            return agent.invite(number, phone.through, now, fields=(("Replaces", one.replaces),))
        if act == "hold" and not one.inviting:
            return agent.reinvite(one, now, self.chance.choice([Direction.SENDONLY, Direction.SENDRECV]))
        if act == "hang up":
            return agent.hang_up(one, now)
        return []

    def _alive(self):
        return sum(party.stage is not Stage.ENDED for phone in self.phones for party in phone.agent.parties)

    def ends(self):
        self.sbc.net.conditions = Conditions()
        self.sbc.run(60)
        for phone in self.phones:
            for party in phone.agent.parties:
                if party.stage is Stage.TALKING:
                    self.sbc.net.perform(phone.agent, phone.agent.hang_up(party, self.sbc.now))
        self.sbc.run(400)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("conditions", [None, BAD], ids=["calm", "bad"])
def test_every_storm_ends(world, seed, conditions):
    """Nothing is left, no record is missing, no bug was met; on a good network nobody has complained either."""
    chance = random.Random(seed)
    sbc, *phones = three(world, chance.choice(["terminate", "terminate", "pass"]), seed=seed, conditions=conditions)
    for phone in phones:
        phone.script.in_order = conditions is None
        phone.agent.line.outbound = phone.through
        phone.answers_by_itself(chance.choice([0.001, 0.01, 0.01, 0.5, 2.0]))
        phone.script.patience = 30.0
        phone.script.hangs_up_when_transferred = chance.random() < 0.5
    storm = Storm(sbc, phones, chance)
    for _ in range(chance.randint(20, 80)):
        storm.step()
    storm.ends()
    assert "call.crashed" not in [log.event for log in sbc.logs]
    assert len({record.ref for record in sbc.cdr}) == len(sbc.cdr)
    # On a bad network phones may wait for what nobody owes them any more, and miss what has come to somebody else.
    assert sbc.idle(but=() if conditions is None else ("phones", "complaints"))
