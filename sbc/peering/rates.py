"""How often and how much: calls per second, and the limits of a PBX or a route.

Exact counts, not estimates: no window of one second ever holds more than was allowed. Minutes are counted by days of
the wall clock in UTC, running calls with their time so far. No RFC; the rules are the contract's, section 2. It refuses
and ends nothing: the longest call is the call's own timer. The switch holds one `Rate` per trunk and one for the node,
one `Usage` per PBX and route.
"""

from collections import deque
from typing import Final

from sbc.policy.model import Limits

_WINDOW: Final = 1.0  # seconds
_DAY: Final = 86_400
_MINUTE_MS: Final = 60_000
_LONGEST_SAVED: Final = 60  # octets


class Rate:
    """At most `per_second` in any window of one second. 0 refuses all."""

    __slots__ = ("_admitted",)

    def __init__(self, per_second: int) -> None:
        self._admitted: deque[float] = deque(maxlen=per_second)  # when; the newest push the oldest out

    @property
    def per_second(self) -> int:
        return self._admitted.maxlen or 0

    @per_second.setter
    def per_second(self, per_second: int) -> None:
        """After a reload: what was admitted lately goes on counting."""
        if per_second != self._admitted.maxlen:
            self._admitted = deque(self._admitted, maxlen=per_second)

    def would_allow(self, now: float) -> bool:
        admitted = self._admitted
        if len(admitted) < (admitted.maxlen or 0):
            return True
        return bool(admitted) and now - admitted[0] >= _WINDOW

    def allows(self, now: float) -> bool:
        """As `would_allow`, and counts it if so."""
        if not self.would_allow(now):
            return False
        self._admitted.append(now)
        return True


class Usage:
    """What counts against one `Limits`. `wall` is wall-clock seconds (UTC) at `now`."""

    __slots__ = ("_answered", "_day", "_limits", "_rate", "_running", "_saved_at_ms", "_spent_ms", "_starts_ms")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._rate = None if limits.cps is None else Rate(limits.cps)
        self._running: set[str] = set()  # begun and not ended
        self._answered: dict[str, int] = {}  # of those: since when they count for this day, in ms of the engine's clock
        self._starts_ms = 0  # sum of the values of `_answered`, so that nobody needs to add them up for each call
        self._spent_ms = 0  # this day, by calls that have ended
        self._day = 0
        self._saved_at_ms = 0  # of the engine's clock: up to when what was restored had been reckoned

    @property
    def running(self) -> int:
        return len(self._running)

    @property
    def limits(self) -> Limits:
        return self._limits

    @limits.setter
    def limits(self, limits: Limits) -> None:
        """After a reload: calls that are up and minutes that are spent go on counting."""
        self._limits = limits
        if limits.cps is None:
            self._rate = None
        elif self._rate is None:
            self._rate = Rate(limits.cps)
        else:
            self._rate.per_second = limits.cps

    def begin(self, ref: str, now: float, wall: float) -> str:
        """ "" where the call is admitted and counted, else the limit that it would exceed, by its key in the policy."""
        if ref in self._running:
            return ""
        limits = self._limits
        if limits.call_paths is not None and len(self._running) >= limits.call_paths:
            return "call_paths"
        if limits.minutes_per_day is not None and self.minutes(now, wall) >= limits.minutes_per_day:
            return "minutes_per_day"
        if self._rate is not None and not self._rate.allows(now):
            return "cps"
        self._running.add(ref)
        return ""

    def resume(self, ref: str, answered_at: float | None, now: float, wall: float) -> None:
        """A call that was admitted before signalling was started again.

        What it had spent when `saved` was written is in there; it counts from then on, on this day.
        """
        self._turn_to(now, wall)
        self._running.add(ref)
        if answered_at is not None and ref not in self._answered:
            start = max(_ms(answered_at), self._saved_at_ms, _ms(now - wall % _DAY))
            self._answered[ref] = start
            self._starts_ms += start

    def answered(self, ref: str, now: float, wall: float) -> None:
        """From here on the call spends minutes."""
        self._turn_to(now, wall)
        if ref in self._running and ref not in self._answered:
            self._answered[ref] = _ms(now)
            self._starts_ms += _ms(now)

    def end(self, ref: str, now: float, wall: float) -> None:
        """A call that has not begun, or has ended already, changes nothing."""
        self._turn_to(now, wall)
        self._running.discard(ref)
        start = self._answered.pop(ref, None)
        if start is not None:
            self._starts_ms -= start
            self._spent_ms += _ms(now) - start

    def minutes(self, now: float, wall: float) -> float:
        """Spent on this day."""
        self._turn_to(now, wall)
        return self._so_far_ms(now) / _MINUTE_MS

    def saved(self, now: float) -> bytes:
        """The day, what was spent on it by all calls, and up to when: a restart must not open the wall again."""
        return f"{self._day} {self._so_far_ms(now)} {_ms(now)}".encode("ascii")

    def restore(self, saved: bytes) -> None:
        """What `saved` gave before the last stop; anything else counts as nothing."""
        words = saved.split(b" ")
        if len(words) in (2, 3) and all(map(bytes.isdigit, words)) and len(saved) <= _LONGEST_SAVED:
            self._day, self._spent_ms = int(words[0]), int(words[1])
            self._saved_at_ms = int(words[2]) if len(words) == 3 else 0  # an earlier version had no calls to go on with

    def _so_far_ms(self, now: float) -> int:
        return self._spent_ms + len(self._answered) * _ms(now) - self._starts_ms

    def _turn_to(self, now: float, wall: float) -> None:
        """On a new day nothing is spent, and what runs counts from its midnight on. A clock set back gives nothing."""
        day = int(wall // _DAY)
        if day > self._day:
            midnight = _ms(now - wall % _DAY)
            self._answered = {ref: max(start, midnight) for ref, start in self._answered.items()}
            self._starts_ms = sum(self._answered.values())
            self._spent_ms = 0
        self._day = day


def _ms(seconds: float) -> int:
    """Whole numbers, so that the sum of starts stays exact over years."""
    return round(seconds * 1000)
