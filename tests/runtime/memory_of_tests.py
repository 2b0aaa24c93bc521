"""Memory that stops in the middle of a store, and forgets nothing: what a killed process leaves behind."""

import random

from sbc.runtime import memory_journal
from sbc.runtime.memory_journal import MemoryJournal


class KilledError(BaseException):
    """The process is no more."""


class MemoryOfTests:
    """`stops_at`: the number of the store, from 0, that is not done, or by a part. `has`: extents that there are."""

    def __init__(self, extents=8, octets=None):
        self.octets = bytearray(memory_journal.EXTENT_OCTETS * extents) if octets is None else octets
        self.stores = 0
        self.stops_at = None
        self.tear = "nothing"
        self.has = extents

    def __len__(self):
        return len(self.octets)

    def __getitem__(self, where):
        return bytes(self.octets[where])

    def __setitem__(self, where, value):
        assert where.stop - where.start == len(value)
        if self.stores == self.stops_at:
            self._tear(where.start, value)
            raise KilledError
        self.stores += 1
        self.octets[where] = value

    def _tear(self, at, value):
        """Which octets were there before the end, in whatever order the machine copies."""
        chance = random.Random(f"{self.stops_at} {self.tear}")
        match self.tear:
            case "nothing":
                there = []
            case "beginning":
                there = range(chance.randrange(len(value)))
            case "end":
                there = range(chance.randrange(len(value)), len(value))
            case "pieces":
                there = [n for n in range(len(value)) if chance.random() < 0.5]
            case "words":  # of eight octets, as they are copied
                words = [chance.random() < 0.5 for _ in range(len(value) // 8 + 1)]
                there = [n for n in range(len(value)) if words[n // 8]]
        for n in there:
            self.octets[at + n] = value[n]

    def grow(self, offset, octets):
        if offset + octets > self.has * memory_journal.EXTENT_OCTETS:
            raise OSError(28, "No space left on device")

    def clear(self):
        self.octets[:] = bytes(len(self.octets))

    def left(self):
        """What the next process maps."""
        return MemoryOfTests(octets=bytearray(self.octets), extents=self.has)

    def journal(self):
        return MemoryJournal(self, self)


TEARS = ("nothing", "beginning", "end", "pieces", "words")
