"""The parts that have deadlines besides calls, each behind a barrier: a bug in one stops the timers of no other, and
keeps no other from its start.

One that has failed rests for a second, because its deadline is most likely due still. Used by the switch, whose calls
have a barrier each (`living`).
"""

from collections.abc import Callable, Iterable
from typing import Final, Generic, TypeVar

from sbc.b2bua.commands import Log
from sbc.b2bua.living import crash_log

REST_SECONDS: Final = 1.0

Out = TypeVar("Out")
Tick = Callable[[float], Iterable[Out]]
Next = Callable[[], float | None]


def apart(*parts: Callable[[], Iterable[Out] | None]) -> list[Out | Log]:
    """What these order. What one of them cannot live with (a value of another age) keeps none of the others down."""
    outs: list[Out | Log] = []
    for part in parts:
        try:
            outs += part() or ()
        except Exception as error:  # noqa: BLE001  see the docstring
            outs.append(crash_log("", error))
    return outs


class Ticks(Generic[Out]):
    """`parts`: what is ticked, in this order, and when it wants to be."""

    __slots__ = ("_parts", "_rests")

    def __init__(self, *parts: tuple[Tick[Out], Next]) -> None:
        self._parts = parts
        self._rests: dict[int, float] = {}  # by part that has failed: until when

    def tick(self, now: float) -> list[Out | Log]:
        outs: list[Out | Log] = []
        for n, (tick, _) in enumerate(self._parts):
            if self._rests and self._rests.get(n, now) > now:
                continue
            try:
                outs += tick(now)
            except Exception as error:  # noqa: BLE001  see the docstring
                self._rests[n] = now + REST_SECONDS
                outs.append(crash_log("", error))
            else:
                if self._rests:
                    self._rests.pop(n, None)
        return outs

    def next_deadline(self) -> float | None:
        earliest: float | None = None
        for n, (_, next_deadline) in enumerate(self._parts):
            at = next_deadline()
            if at is None:
                continue
            if self._rests:
                at = max(at, self._rests.get(n, at))
            if earliest is None or at < earliest:
                earliest = at
        return earliest
