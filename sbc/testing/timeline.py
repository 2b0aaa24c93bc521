"""Lets only time pass: runs a machine from deadline to deadline and writes down what came out when.

For unit tests of machines with the four methods of `core.machine`. No real time, no network.
"""

from typing import Protocol, TypeVar

T = TypeVar("T")

_STUCK = 10_000


class Ticking(Protocol[T]):
    def tick(self, now: float) -> list[T]: ...

    def next_deadline(self) -> float | None: ...


def run_until(machine: Ticking[T], start: float, end: float) -> list[tuple[float, T]]:
    """Everything that `machine` does between `start` and `end` (inclusive) if nothing reaches it: (time, output)."""
    timeline: list[tuple[float, T]] = []
    now, ticks = start, 0
    while (deadline := machine.next_deadline()) is not None and deadline <= end:
        now = max(now, deadline)
        timeline += [(round(now, 6), out) for out in machine.tick(now)]
        ticks += 1
        if ticks > _STUCK:
            raise AssertionError(f"{ticks} ticks before {end}; at {now} the next deadline is {machine.next_deadline()}")
    return timeline


class Timeline:
    """A clock that moves when it is told to. Never backwards."""

    __slots__ = ("now",)

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def advance(self, seconds: float) -> float:
        if seconds < 0:
            raise ValueError(f"time cannot go back by {-seconds} s")
        self.now += seconds
        return self.now

    def reach(self, at: float) -> float:
        """Move on to `at`; an instant that has gone by changes nothing."""
        self.now = max(self.now, at)
        return self.now
