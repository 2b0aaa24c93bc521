"""The report that explains a bill: calls, minutes and the most call paths at once, by trunk, direction and day.

Call paths are held per leg (contract, section 7): one that came in from its first INVITE to the call's end, one that
went out from its INVITE to its refusal or the call's end. The peak is computed from these spans, not sampled. Legs come
in the order in which they began, and only those that are held at a time are remembered, so that a year of calls takes
no more memory than an hour of them.
Pure: time, zone and legs are arguments. Used by the HTTP API and `sbc cdr report`.
"""

import datetime as dt
import heapq
from collections.abc import Container, Iterable, Sequence
from typing import Any, Final, Literal

from msgspec import Struct

from sbc.cdr.calendar import Calendar, Hour, milliseconds
from sbc.cdr.format import time_text

Direction = Literal["inbound", "outbound", "both"]
ROWS: Final = 20_000  # of one report; a year of two directions of 27 trunks
_NOBODY: Final[frozenset[str]] = frozenset()


class Leg(Struct, frozen=True, gc=False):
    """What one peer had of a call. Times are milliseconds (UTC).

    `held`: it held a call path. `counts`: False where a later leg of the same call counts for it (a second server of
    the same trunk). Answered and billable is only the leg that was talked on.
    """

    peer: str
    direction: Direction
    started_at: int
    ended_at: int
    answered_at: int | None
    billable_ms: int
    emergency: bool
    disaster: bool
    held: bool
    counts: bool


class Row(Struct, frozen=True):
    """`day` None: of the whole time. `minutes`: each call's seconds rounded up, summed; `minutes_started`: each call's
    minutes rounded up, summed. `peak_paths`: most call paths at once in this direction, `trunk_peak_paths` in both
    together. `busy_hour`: start of the clock hour with the most traffic, `busy_hour_paths` the peak within it.
    """

    day: str | None
    trunk: str
    direction: Direction
    calls: int
    answered: int
    asr_percent: float | None
    minutes: float
    minutes_started: int
    acd_seconds: float | None
    peak_paths: int
    peak_at: str | None
    busy_hour: str | None
    busy_hour_paths: int
    trunk_peak_paths: int
    trunk_peak_at: str | None
    emergency: int
    disaster: int


class Report(Struct, frozen=True):
    """`rows` by day, trunk and direction; `totals` by trunk, each direction and `both`."""

    timezone: str
    since: str
    until: str
    rows: list[Row]
    totals: list[Row]


def make_report(
    legs: Iterable[Leg], since: int, until: int, zone: dt.tzinfo, without: Container[str] = _NOBODY
) -> Report:
    """Calls of `since` <= answer (beginning, of one without answer) < `until`, and paths that were held in that time.

    `legs` in the order of `started_at`, with those that began before `since` and lasted. `without`: peers that are no
    trunks. ValueError where there would be more than `ROWS` rows.
    """
    calendar = Calendar(zone)
    counts: dict[_Key, _Count] = {}
    gauges: dict[tuple[str, Direction], _Gauge] = {}
    for leg in legs:
        if leg.peer in without:
            continue
        _count(leg, since, until, calendar, counts)
        start, end = max(leg.started_at, since), min(leg.ended_at, until)
        is_within = since < leg.ended_at or since <= leg.started_at  # what ended as the time began held nothing in it
        if leg.held and is_within and start < until:
            for direction in (leg.direction, _BOTH):
                gauge = gauges.get((leg.peer, direction))
                if gauge is None:
                    gauge = gauges[leg.peer, direction] = _Gauge(calendar, start)
                gauge.hold(start, end)
        if len(counts) > ROWS:
            raise ValueError(f"this report would have more than {ROWS} rows; ask for less time, or for one trunk")
    for gauge in gauges.values():
        gauge.finish(until)
    return Report(str(zone), _text(since), _text(until), _rows(counts, gauges), _totals(counts, gauges))


def leg_of(row: Sequence[Any]) -> Leg | None:
    """A row of the store, columns in the order of `Leg`'s fields; None for one that makes no sense (a foreign hand).

    A wall clock that was set back during a call makes its end no earlier than its beginning.
    """
    peer, direction, started, ended, answered, billable, emergency, disaster, held, counts = row
    try:
        start = _moment(started)
        answered_at = None if answered is None else _moment(answered)
        return Leg(
            str(peer), direction, start, max(start, _moment(ended)), answered_at, max(0, int(billable)),
            bool(emergency), bool(disaster), bool(held), bool(counts),
        )  # fmt: skip
    except (TypeError, ValueError):
        return None


# --- counting ---------------------------------------------------------------------------------------------------------

_Key = tuple[str, str, Direction]  # day, peer, direction
_BOTH: Final = "both"


class _Count(Struct):
    calls: int = 0
    answered: int = 0
    billable_ms: int = 0
    seconds: int = 0
    minutes: int = 0
    emergency: int = 0
    disaster: int = 0

    def add(self, other: "_Count") -> None:
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def _count(leg: Leg, since: int, until: int, calendar: Calendar, counts: dict[_Key, _Count]) -> None:
    at = leg.started_at if leg.answered_at is None else leg.answered_at
    if not leg.counts or not since <= at < until:
        return
    key = (calendar.hour(at).day, leg.peer, leg.direction)
    count = counts.get(key)
    if count is None:
        count = counts[key] = _Count()
    count.calls += 1
    count.emergency += leg.emergency
    count.disaster += leg.disaster
    if leg.answered_at is not None:
        seconds = -(-leg.billable_ms // 1000)
        count.answered += 1
        count.billable_ms += leg.billable_ms
        count.seconds += seconds
        count.minutes += -(-seconds // 60)


# --- call paths -------------------------------------------------------------------------------------------------------


class _Peak(Struct):
    """Of a day, or of all days. `traffic`: path-milliseconds of the busiest hour."""

    paths: int = 0
    at: int | None = None
    busy: int | None = None
    busy_paths: int = 0
    traffic: int = -1

    def add(self, other: "_Peak") -> None:
        if other.paths > self.paths:
            self.paths, self.at = other.paths, other.at
        if other.traffic > self.traffic:
            self.busy, self.busy_paths, self.traffic = other.busy, other.busy_paths, other.traffic


class _Gauge:
    """How many paths are held, followed through time."""

    def __init__(self, calendar: Calendar, at: int) -> None:
        self.days: dict[str, _Peak] = {}
        self._calendar = calendar
        self._ends: list[int] = []  # of what is held: a heap
        self._at = at
        self._hour: Hour | None = None
        self._in_hour = _Peak(traffic=0)

    def hold(self, start: int, end: int) -> None:
        """From `start`, which is no earlier than in the call before. What ends in this moment has ended."""
        self._go_to(start)
        heapq.heappush(self._ends, end)
        self._see()

    def finish(self, until: int) -> None:
        self._go_to(until)
        self._end_hour()

    def _go_to(self, at: int) -> None:
        while self._ends and self._ends[0] <= at:
            self._pass(self._ends[0])
            heapq.heappop(self._ends)
        self._pass(at)

    def _pass(self, until: int) -> None:
        """Time goes by in which nothing changes."""
        while self._at < until and self._ends:
            hour = self._see()
            end = min(until, hour.end)
            self._in_hour.traffic += len(self._ends) * (end - self._at)
            self._at = end
        self._at = max(self._at, until)

    def _see(self) -> Hour:
        hour = self._hour
        if hour is None or not hour.start <= self._at < hour.end:
            self._end_hour()
            hour = self._hour = self._calendar.hour(self._at)
            self._in_hour.busy = hour.start
        if len(self._ends) > self._in_hour.paths:
            self._in_hour.paths, self._in_hour.at = len(self._ends), self._at
        return hour

    def _end_hour(self) -> None:
        if self._hour is not None:
            seen = self._in_hour
            seen.busy_paths = seen.paths
            self.days.setdefault(self._hour.day, _Peak()).add(seen)
        self._hour, self._in_hour = None, _Peak(traffic=0)


# --- rows -------------------------------------------------------------------------------------------------------------

_Gauges = dict[tuple[str, Direction], _Gauge]
_NOTHING: Final = _Peak()


def _rows(counts: dict[_Key, _Count], gauges: _Gauges) -> list[Row]:
    held = {(day, *key) for key, gauge in gauges.items() if key[1] != _BOTH for day in gauge.days}
    return [
        _row(
            day,
            peer,
            direction,
            counts.get((day, peer, direction)) or _Count(),
            _peak_of_day(gauges, peer, direction, day),
            _peak_of_day(gauges, peer, _BOTH, day),
        )
        for day, peer, direction in sorted(counts.keys() | held)
    ]


def _totals(counts: dict[_Key, _Count], gauges: _Gauges) -> list[Row]:
    sums: dict[tuple[str, Direction], _Count] = {key: _Count() for key in gauges}
    for (_, peer, direction), count in counts.items():
        for name in (direction, _BOTH):
            sums.setdefault((peer, name), _Count()).add(count)
    return [
        _row(None, peer, direction, sums[peer, direction], _peak(gauges, peer, direction), _peak(gauges, peer, _BOTH))
        for peer, direction in sorted(sums, key=lambda key: (key[0], _ORDER.index(key[1])))
    ]


def _peak_of_day(gauges: _Gauges, peer: str, direction: Direction, day: str) -> _Peak:
    gauge = gauges.get((peer, direction))
    return _NOTHING if gauge is None else gauge.days.get(day, _NOTHING)


def _peak(gauges: _Gauges, peer: str, direction: Direction) -> _Peak:
    highest, gauge = _Peak(), gauges.get((peer, direction))
    for peak in () if gauge is None else gauge.days.values():
        highest.add(peak)
    return highest


def _row(day: str | None, peer: str, direction: Direction, count: _Count, peak: _Peak, trunk: _Peak) -> Row:
    return Row(
        day=day,
        trunk=peer,
        direction=direction,
        calls=count.calls,
        answered=count.answered,
        asr_percent=round(100 * count.answered / count.calls, 1) if count.calls else None,
        minutes=round(count.seconds / 60, 2),
        minutes_started=count.minutes,
        acd_seconds=round(count.billable_ms / count.answered / 1000, 1) if count.answered else None,
        peak_paths=peak.paths,
        peak_at=_optional(peak.at),
        busy_hour=_optional(peak.busy),
        busy_hour_paths=peak.busy_paths,
        trunk_peak_paths=trunk.paths,
        trunk_peak_at=_optional(trunk.at),
        emergency=count.emergency,
        disaster=count.disaster,
    )


def _moment(text: str) -> int:
    return milliseconds(dt.datetime.fromisoformat(text))


def _text(at: int) -> str:
    return time_text(at / 1000)


def _optional(at: int | None) -> str | None:
    return None if at is None else _text(at)


_ORDER: Final = ("inbound", "outbound", "both")
