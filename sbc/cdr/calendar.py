"""Hours and days as a wall clock in some time zone shows them, as spans of real time.

A day on which the clock is put forward has 23 hours, one on which it is put back 25, two of which have the same name.
Pure; times are whole milliseconds since 1970 (UTC). Used by `report`.
"""

import datetime as dt
from typing import Final

from msgspec import Struct

_HOUR: Final = 3_600_000
_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MILLISECOND: Final = dt.timedelta(milliseconds=1)


class Hour(Struct, frozen=True):
    """From `start` up to `end`, on the day `day` (2025-01-31). Shorter where the clock is set within it."""

    start: int
    end: int
    day: str


class Calendar:
    def __init__(self, zone: dt.tzinfo) -> None:
        self._zone = zone
        self._last = Hour(0, 0, "")  # most questions are about the hour of the question before

    def hour(self, at: int) -> Hour:
        last = self._last
        if last.start <= at < last.end:
            return last
        local = self._local(at)
        offset = _offset(local)
        start = (at + offset) // _HOUR * _HOUR - offset
        end = start + _HOUR
        if _offset(self._local(start)) != offset:
            start = self._change(start, at)
        if _offset(self._local(end - 1)) != offset:
            end = self._change(at, end - 1)
        self._last = Hour(start, end, local.date().isoformat())
        return self._last

    def _local(self, at: int) -> dt.datetime:
        return (_EPOCH + at * _MILLISECOND).astimezone(self._zone)

    def _change(self, before: int, after: int) -> int:
        """The first moment after `before` from which the clock is set as it is at `after`."""
        wanted = _offset(self._local(after))
        while after - before > 1:
            middle = (before + after) // 2
            if _offset(self._local(middle)) == wanted:
                after = middle
            else:
                before = middle
        return after


def milliseconds(moment: dt.datetime) -> int:
    """Of an aware datetime."""
    return (moment - _EPOCH) // _MILLISECOND


def _offset(local: dt.datetime) -> int:
    offset = local.utcoffset()
    return 0 if offset is None else offset // _MILLISECOND
