"""Deadlines as data: the timers of one machine, and the deadlines of many machines.

Nothing here knows what time it is; `now` and `at` are seconds of one clock that the runtime reads.
"""

import heapq
from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


def earlier(one: float | None, other: float | None) -> float | None:
    """Of two deadlines; None: never."""
    if one is None or other is None:
        return other if one is None else one
    return min(other, one)


class TimerTable(Generic[K]):
    """Pending deadlines of one machine, keyed by the timer's RFC name. A handful at a time: a dict is enough."""

    __slots__ = ("_at",)

    def __init__(self) -> None:
        self._at: dict[K, float] = {}

    def set(self, timer: K, at: float) -> None:
        self._at[timer] = at

    def stop(self, *timers: K) -> None:
        for timer in timers:
            self._at.pop(timer, None)

    def clear(self) -> None:
        self._at.clear()

    def is_set(self, timer: K) -> bool:
        return timer in self._at

    def at(self, timer: K) -> float | None:
        return self._at.get(timer)

    def next(self) -> float | None:
        return min(self._at.values()) if self._at else None

    def pop_due(self, now: float) -> list[K]:
        """Timers due at `now`, earliest first; each is gone from the table."""
        if not self._at:
            return []
        due = sorted((at, i, timer) for i, (timer, at) in enumerate(self._at.items()) if at <= now)
        for _, _, timer in due:
            del self._at[timer]
        return [timer for _, _, timer in due]

    def pop_due_but(self, useless: K, last: K, now: float) -> list[K]:
        """As `pop_due`. Who comes so late that `last` is due as well has no use for the other: what it repeats is given
        up in the same moment.
        """
        due = self.pop_due(now)
        return [timer for timer in due if timer != useless] if len(due) > 1 and last in due else due


class Schedule(Generic[K]):
    """The next deadline of each of many machines: a heap whose outdated entries are skipped, not searched for."""

    __slots__ = ("_at", "_heap", "_n")

    def __init__(self) -> None:
        self._at: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._n = 0

    def __len__(self) -> int:
        return len(self._at)

    def __contains__(self, key: K) -> bool:
        return key in self._at

    def __iter__(self) -> Iterator[K]:
        return iter(self._at)

    def set(self, key: K, at: float | None) -> None:
        """`at` None takes the key out."""
        if at is None:
            self._at.pop(key, None)
            return
        if self._at.get(key) == at:
            return
        self._at[key] = at
        self._n += 1
        heapq.heappush(self._heap, (at, self._n, key))
        if len(self._heap) > 64 and len(self._heap) > 4 * len(self._at):
            self._rebuild()

    def next(self) -> float | None:
        heap = self._heap
        while heap and self._at.get(heap[0][2]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else None

    def pop_due(self, now: float, at_most: int | None = None) -> list[K]:
        """Keys whose deadline has come, earliest first; each is out of the schedule until set again.

        `at_most`: so many; the others are due still. For what takes time or sends, so that a clock that jumps ahead (a
        machine that slept) is no storm.
        """
        due: list[K] = []
        heap = self._heap
        while heap and heap[0][0] <= now and len(due) != at_most:
            at, _, key = heapq.heappop(heap)
            if self._at.get(key) == at:
                del self._at[key]
                due.append(key)
        return due

    def _rebuild(self) -> None:
        self._heap = [(at, i, key) for i, (key, at) in enumerate(self._at.items())]
        self._n = len(self._heap)
        heapq.heapify(self._heap)
