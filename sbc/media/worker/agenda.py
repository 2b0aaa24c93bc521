"""What the worker has to do at which time: digits to play, pairs that rest, a sweep over the sessions each second.

The loop waits for packets until the first of these times; machines book one and are asked again when it has come. A
time that is booked for nothing any more does no harm: the machine then finds nothing due.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count
from typing import Protocol


class Machine(Protocol):
    def tick(self, now: float) -> None: ...


class Agenda:
    """`broke`: what becomes of an exception that a machine raised, and never should have; it may be set anew."""

    __slots__ = ("_numbers", "broke", "entries")

    def __init__(self) -> None:
        self.broke: Callable[[Exception], None] = _raise
        self.entries: list[tuple[float, int, Machine]] = []
        self._numbers = count()

    def book(self, at: float, machine: Machine) -> None:
        heappush(self.entries, (at, next(self._numbers), machine))

    def next_deadline(self) -> float | None:
        return self.entries[0][0] if self.entries else None

    def tick(self, now: float) -> None:
        """Ask every machine whose time has come; those book again what is left to do. One that breaks is asked no more,
        unless it has booked already; the others do not notice.
        """
        while self.entries and self.entries[0][0] <= now:
            machine = heappop(self.entries)[2]
            try:
                machine.tick(now)
            except Exception as error:  # noqa: BLE001
                self.broke(error)


def _raise(error: Exception) -> None:
    raise error
