"""Which digits come from one end: the reports of RFC 4733 events made into digits, each once (a machine).

One digit is many packets: a report every few tens of milliseconds, and the last one three times (§2.5.1.4). They share
a timestamp. Any of them may be lost, late or doubled, so a digit begins with the first report that is seen of it and is
over with its first end, with the next digit, or when nothing more is heard of it (§2.5.2.2). Used by `voice`.
"""

from typing import Final

from msgspec import Struct

from sbc.media.wire import DIGITS
from sbc.media.worker.events import Event

SILENCE_SECONDS: Final = (
    0.2  # a digit without an end: "SHOULD NOT be extended by more than three packet interarrival times"
)
_LATE_SECONDS: Final = 5.0  # by how much a report may be older than the digit heard last, and be a late one of it
_SHORTEST_PAUSE: Final = 25  # of a second: 40 ms (§3.1)
_SEGMENT: Final = 0x3FFF  # the shortest report that a long event may be divided behind (§2.5.1.3, §2.5.1.3.1)


class Digit(Struct, frozen=True):
    digit: str
    milliseconds: int


class Hearing:
    """The digit that is heard, or was last. `begun` counts digits."""

    __slots__ = ("_at", "_before", "_event", "_is_over", "_rate", "_source", "begun")

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._source = b""
        self._event: Event | None = None  # as last reported
        self._before = 0  # timestamp units of the digit's earlier segments
        self._is_over = True
        self._at = 0.0
        self.begun = 0

    def take(self, source: bytes, event: Event, now: float) -> list[Digit]:
        """A report of an event; the digits that are over by it. `source` is the SSRC."""
        if event.code >= len(DIGITS):
            return []
        last = self._event if source == self._source else None
        if last is not None and self._is_same(last, event, now):
            return self._go_on(last, event, now)
        if last is not None and self._is_late(last, event, now):
            return []
        ended = self._end()
        self._source, self._event, self._before, self._at, self._is_over = source, event, 0, now, False
        self.begun += 1
        return ended + self._end() if event.is_over else ended

    def tick(self, now: float) -> list[Digit]:
        """A digit whose end was lost is over after a while."""
        return self._end() if now >= self._at + SILENCE_SECONDS else []

    def next_deadline(self) -> float | None:
        return None if self._is_over else self._at + SILENCE_SECONDS

    def _is_same(self, last: Event, event: Event, now: float) -> bool:
        if event.code != last.code:
            return False
        if event.timestamp == last.timestamp:
            return True
        if event.is_marked or now >= self._at + SILENCE_SECONDS:
            return False
        # A new segment of a long event has no marker (§2.5.1.3). Some senders also move the timestamp with each report,
        # and with each repetition of the end: theirs would be as many digits. A digit can only begin behind the last.
        ahead = (event.timestamp - last.timestamp) & 0xFFFFFFFF
        if self._is_over:
            return event.is_over and event.duration == last.duration and ahead < last.duration
        return ahead <= max(last.duration, self._rate // _SHORTEST_PAUSE)

    def _go_on(self, last: Event, event: Event, now: float) -> list[Digit]:
        if self._is_over:
            return []
        self._at = now
        if event.timestamp != last.timestamp and last.duration >= _SEGMENT:
            self._before += last.duration
        elif event.duration < last.duration and not event.is_over:
            return []  # overtaken by a later report
        self._event = event
        return self._end() if event.is_over else []

    def _is_late(self, last: Event, event: Event, now: float) -> bool:
        """A report of a digit before the last one, which was overtaken."""
        behind = (last.timestamp - event.timestamp) & 0xFFFFFFFF
        return 0 < behind < _LATE_SECONDS * self._rate and now < self._at + _LATE_SECONDS

    def _end(self) -> list[Digit]:
        event = self._event
        if event is None or self._is_over:
            return []
        self._is_over = True
        return [Digit(DIGITS[event.code], (self._before + event.duration) * 1000 // self._rate)]
