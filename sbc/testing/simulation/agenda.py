"""What is to happen when, in a simulation: a heap of moves. Of two at one instant the first that was said is first."""

import heapq
from collections.abc import Callable


class Agenda:
    def __init__(self) -> None:
        self._moves: list[tuple[float, int, Callable[[], None]]] = []
        self._n = 0

    def at(self, at: float, move: Callable[[], None]) -> None:
        self._n += 1
        heapq.heappush(self._moves, (at, self._n, move))

    def next(self) -> float | None:
        return self._moves[0][0] if self._moves else None

    def pop_due(self, now: float) -> Callable[[], None] | None:
        return heapq.heappop(self._moves)[2] if self._moves and self._moves[0][0] <= now else None

    def clear(self) -> None:
        self._moves.clear()
