"""The alarm board: what is wrong now, and what was within the last hour. The one place that knows.

Page, metrics, `sbc alarms` and the webhook all ask it. It is fed with log lines, keyed by event and subject, and
bounded; what is over goes first. It has no lock and no clock, and masks nothing: `runtime.alerts` brings all three.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from msgspec import Struct

from sbc.admin.alarm_kinds import CLEARS, KINDS, sentence_of, subject_of
from sbc.admin.state import AlarmView
from sbc.core import limits

MOMENT_SECONDS: Final = 300.0  # that an alarm which nothing clears counts as active after it was last said
QUIET_SECONDS: Final = 300.0  # between two posts of one alarm
REMEMBERED_SECONDS: Final = 3_600.0  # after its end

Key = tuple[str, str]


class Raised(Struct, frozen=True):
    """`is_news`: tell the operator. `repeated`: how often it was said meanwhile without being told."""

    is_news: bool
    repeated: int = 0


class AlarmBoard:
    """Times are seconds of any steady clock, the same for all calls."""

    def __init__(self) -> None:
        self._entries: dict[Key, _Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def raise_alarm(self, event: str, fields: Mapping[str, Any], now: float, *, is_told: bool = True) -> Raised:
        """A line with `alarm`. `is_told`: somebody is told of it if it is news."""
        for other in CLEARS.get(event, ()):
            if other != event:
                self._end((other, subject_of(other, fields)), now)
        key = (event, subject_of(event, fields))
        entry = self._entries.get(key)
        if entry is None or not entry.is_active(now):
            entry = self._add(key, now)
        entry.last, entry.fields = now, fields
        entry.count += 1
        return _tell(entry, now) if is_told else Raised(is_news=False)

    def clear(self, event: str, fields: Mapping[str, Any], now: float) -> bool:
        """A line that may be the end of alarms; whether somebody was told of one of these."""
        ended = [self._end((alarm, subject_of(alarm, fields)), now) for alarm in CLEARS.get(event, ())]
        return any(ended)

    def forget(self, keys: Iterable[Key], now: float) -> None:
        """These are over: what they are about is no more."""
        for key in keys:
            self._end(key, now)

    def untold(self, now: float) -> list[AlarmView]:
        """What is active and nobody was told; it counts as told from now on."""
        waiting = [(key, entry) for key, entry in self._entries.items() if entry.is_active(now) and not entry.is_told]
        for _, entry in waiting:
            _tell(entry, now)
        return [_view(key, entry, now) for key, entry in waiting]

    def nobody_was_told(self) -> None:
        """There is no webhook any more."""
        for entry in self._entries.values():
            entry.told_at, entry.is_told, entry.untold = None, False, 0

    def view(self, now: float) -> tuple[AlarmView, ...]:
        """Active ones first, then by when they were last said or ended, the newest first."""
        self._sweep(now)
        views = [_view(key, entry, now) for key, entry in self._entries.items()]
        views.sort(key=lambda one: (one.is_active, one.last if one.ended_at is None else one.ended_at), reverse=True)
        return tuple(views)

    # --- the table ----------------------------------------------------------------------------------------------------

    def _add(self, key: Key, now: float) -> "_Entry":
        if key not in self._entries and len(self._entries) >= limits.ALARMS:
            self._sweep(now)
            if len(self._entries) >= limits.ALARMS:
                del self._entries[min(self._entries, key=lambda one: self._worth(one, now))]
        entry = self._entries[key] = _Entry(now, stands=bool(key[0] in KINDS and KINDS[key[0]].cleared_by))
        return entry

    def _end(self, key: Key, now: float) -> bool:
        entry = self._entries.get(key)
        if entry is None or not entry.is_active(now):
            return False
        entry.ended_at = now
        return entry.is_told

    def _sweep(self, now: float) -> None:
        old = [key for key, entry in self._entries.items() if entry.end(now) < now - REMEMBERED_SECONDS]
        for key in old:
            del self._entries[key]

    def _worth(self, key: Key, now: float) -> tuple[bool, bool, float]:
        """What matters least is the smallest."""
        entry = self._entries[key]
        return entry.is_active(now), entry.stands, entry.last


class _Entry:
    __slots__ = ("count", "ended_at", "fields", "is_told", "last", "since", "stands", "told_at", "untold")

    def __init__(self, now: float, *, stands: bool) -> None:
        self.since = self.last = now
        self.stands = stands
        self.count = 0
        self.fields: Mapping[str, Any] = {}
        self.ended_at: float | None = None
        self.told_at: float | None = None
        self.is_told = False
        self.untold = 0

    def end(self, now: float) -> float:
        """When it ended; `now` or later while it is active."""
        if self.ended_at is not None:
            return self.ended_at
        return now if self.stands else self.last + MOMENT_SECONDS

    def is_active(self, now: float) -> bool:
        return self.ended_at is None and (self.stands or now < self.last + MOMENT_SECONDS)


def _tell(entry: _Entry, now: float) -> Raised:
    if entry.told_at is not None and now - entry.told_at < QUIET_SECONDS:
        entry.untold += 1
        return Raised(is_news=False)
    repeated, entry.untold = entry.untold, 0
    entry.told_at, entry.is_told = now, True
    return Raised(is_news=True, repeated=repeated)


def _view(key: Key, entry: _Entry, now: float) -> AlarmView:
    event, subject = key
    ended_at = None if entry.is_active(now) else min(entry.end(now), now)
    text = sentence_of(event, entry.fields)
    return AlarmView(event, subject, text, entry.since, entry.last, entry.count, ended_at, entry.fields)
