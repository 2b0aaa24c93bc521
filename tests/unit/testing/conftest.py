"""Two phones, or three, that call each other without an SBC between them."""

import pytest

from sbc.testing.net import Network
from sbc.testing.phone import Phone
from sbc.testing.seeds import seeded_ids

ALICE, BOB, CAROL = "192.0.2.1:5060", "192.0.2.2:5060", "192.0.2.3:5060"


class Pair:
    """`alice` calls `bob` and he her; `is_over` says that nothing is left and nobody complained."""

    def __init__(self, seed=0, conditions=None, **options):
        self.net = Network(seed=seed, conditions=conditions)
        self.ids = seeded_ids(seed)
        self.alice = Phone(self.net, "alice", ALICE, self.ids, through=BOB, **options)
        self.bob = Phone(self.net, "bob", BOB, self.ids, through=ALICE, **options)
        self.phones = [self.alice, self.bob]
        self.options = options

    def carol(self):
        self.phones.append(Phone(self.net, "carol", CAROL, self.ids, through=ALICE, **self.options))
        return self.phones[-1]

    def talk(self):
        self.alice.invites("bob")
        self.bob.answers()
        return self.alice, self.bob

    def is_over(self, but=()):
        self.net.run(100.0)
        found = [f"{phone.name}: {text}" for phone in self.phones for text in phone.agent.complaints]
        assert found == list(but)
        assert [phone.name for phone in self.phones if not phone.agent.is_idle] == []
        return True


@pytest.fixture
def pair():
    return Pair
