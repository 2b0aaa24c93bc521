"""What an operator's `sbc ping` has asked and been told: a bounded table of questions, the oldest forgotten first.

It sends nothing. Used by `health`.
"""

from msgspec import Struct
from msgspec.structs import replace

from sbc.core import limits
from sbc.core.timers import Schedule
from sbc.peering.views import PingView


class _Ping(Struct, frozen=True):
    view: PingView
    sent_at: float


class Pings:
    """By the number of the OPTIONS that asks."""

    def __init__(self) -> None:
        self._pings: dict[int, _Ping] = {}
        self._deadlines: Schedule[int] = Schedule()

    def asked(self, number: int, view: PingView, now: float, patience: float) -> None:
        if len(self._pings) >= limits.PINGS:
            oldest = next(iter(self._pings))
            del self._pings[oldest]
            self._deadlines.set(oldest, None)
        self._pings[number] = _Ping(view, now)
        if view.status is None:
            self._deadlines.set(number, now + patience)

    def answered(self, number: int, status: int, reason: str, now: float) -> None:
        """Also too late: then the view says how late."""
        ping = self._pings.get(number)
        if ping is None:
            return
        milliseconds = round((now - ping.sent_at) * 1000, 1)
        view = replace(ping.view, status=status, milliseconds=milliseconds, why=reason)
        self._pings[number] = _Ping(view, ping.sent_at)
        self._deadlines.set(number, None)

    def failed(self, number: int, why: str) -> None:
        ping = self._pings.get(number)
        if ping is None or ping.view.status is not None:
            return
        self._pings[number] = _Ping(replace(ping.view, status=0, why=why), ping.sent_at)
        self._deadlines.set(number, None)

    def tick(self, now: float) -> None:
        for number in self._deadlines.pop_due(now):
            self.failed(number, "no answer")

    def next_deadline(self) -> float | None:
        return self._deadlines.next()

    def views(self) -> tuple[PingView, ...]:
        return tuple(ping.view for ping in self._pings.values())
