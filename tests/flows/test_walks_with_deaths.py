"""Random walks during which signalling dies, between two commands or between two steps, and lives again.

Whatever phones do, nothing is left in the end, no call has two records, and no request of ours has the number of an
earlier one. What a death may cost is no fault here: an offer that was on its way has used up a version, and of a
transfer nobody hears the end.
"""

import os
import random

import pytest

from .test_random_walks import Walk

SEEDS = range(120 if os.environ.get("SBC_TEST_FULL") else 25)


class Dying(Walk):
    def __init__(self, world, seed):
        super().__init__(world, seed)
        self.fate = random.Random(seed * 7 + 1)
        self.deaths = 0

    def _does(self, name, phone, party, move):
        fate = self.fate
        if fate.random() < 0.15:
            self.sbc.signalling_dies(after=fate.choice([0, 0, 0, *range(1, 9)]))
        super()._does(name, phone, party, move)
        self.goes_on(fate.choice([0.1, 0.5, 3.0]))

    def goes_on(self, after=0.0):
        if self.sbc.lives.is_dead:
            self.deaths += 1
            self.tale.append(f"{self.sbc.now:.3f} lives again")
            self.sbc.signalling_lives(after=after)

    def comes_to_its_end(self):
        self.walks()
        self.sbc.lives.dies_after = None
        self.goes_on()
        self.rests()
        self.ends()
        self.sbc.lives.dies_after = None
        self.goes_on()
        self.sbc.run(400.0)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_walk_with_deaths_leaves_nothing(world, seed):
    walk = Dying(world, seed)
    try:
        walk.comes_to_its_end()
        sbc = walk.sbc
        assert not {"call.crashed", "call.not_recovered"} & {log.event for log in sbc.logs}
        assert sbc.idle(but=["complaints"])
        assert len({record.ref for record in sbc.cdr}) == len(sbc.cdr)
        complaints = [text for phone in walk.phones for text in phone.agent.complaints]
        assert not [text for text in complaints if "CSeq" in text]
    except BaseException:
        print("\n".join(walk.tale))
        raise


def test_there_are_deaths(world):
    walks = [Dying(world, seed) for seed in range(5)]
    for walk in walks:
        walk.comes_to_its_end()
    assert sum(walk.deaths for walk in walks) > 5
