"""Digits that are played towards one end: which report of which event is due when (a machine).

Every 20 ms a report with a longer duration, the final one three times at the same interval (RFC 4733 §2.5.1.4), then a
pause before the next digit. It knows durations; sequence numbers, timestamps and sockets are `voice`'s.
"""

from collections import deque
from typing import Final

from msgspec import Struct

from sbc.core.limits import DIGIT_MILLISECONDS, DIGITS_WAITING
from sbc.media.worker.events import LONGEST

STEP_MILLISECONDS: Final = 20  # "a natural interval is the spacing between non-event audio packets" §2.5.1.2
_STEP: Final = STEP_MILLISECONDS / 1000
_FINAL_REPORTS: Final = 3
# From the third final report, 20 to 40 ms behind the tone's end, to the next tone: with it "pauses >= 50 ms" §3.1.
_PAUSE: Final = 0.04
_TOO_LATE: Final = 0.1  # a loop that was held up so long does not catch up: reports at once help nobody


class Step(Struct, frozen=True):
    """One report to send now."""

    code: int
    milliseconds: int  # since the digit began
    is_first: bool
    is_over: bool


class Playing:
    """Waiting digits, and the one that is played. `due` is when the next report is; None while there is nothing."""

    __slots__ = ("_free_at", "_left", "_milliseconds", "_now", "_waiting", "due")

    def __init__(self) -> None:
        self._waiting: deque[tuple[int, int]] = deque()
        self._now: tuple[int, int] | None = None  # code and length of the digit that is played
        self._milliseconds = 0
        self._left = 0
        self._free_at = 0.0
        self.due: float | None = None

    def add(self, code: int, milliseconds: int, rate: int, now: float) -> bool:
        """False: too many wait. The length is cut to what is bearable, and to what one report can express at `rate`."""
        if len(self._waiting) >= DIGITS_WAITING:
            return False
        least, most = DIGIT_MILLISECONDS
        self._waiting.append((code, min(max(milliseconds, least), most, LONGEST * 1000 // rate)))
        if self.due is None:
            self.due = max(now, self._free_at)
        return True

    def step(self, now: float) -> Step:
        """The report that is due: to be called when `due` has come."""
        is_first = self._now is None
        if self._now is None:
            self._now = self._waiting.popleft()
            self._milliseconds, self._left = 0, _FINAL_REPORTS
        code, length = self._now
        self._milliseconds = min(self._milliseconds + STEP_MILLISECONDS, length)
        is_over = self._milliseconds == length
        if is_over:
            self._left -= 1
            if not self._left:
                self._now = None
        self._schedule(now)
        return Step(code, self._milliseconds, is_first, is_over)

    def stop(self) -> None:
        self._waiting.clear()
        self._now = self.due = None

    def _schedule(self, now: float) -> None:
        at = now if self.due is None or now - self.due > _TOO_LATE else self.due
        if self._now is not None:
            self.due = at + _STEP
            return
        self._free_at = at + _PAUSE
        self.due = self._free_at if self._waiting else None
