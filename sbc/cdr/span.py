"""The time that a report is about: from texts of people to milliseconds, in a time zone.

A date without a time begins at its midnight in that zone. It reads the system's table of zones, and no clock. Used by
the HTTP API and `sbc cdr report`.
"""

import datetime as dt
import re
from typing import Final
from zoneinfo import ZoneInfo

from msgspec import Struct

from sbc.cdr.calendar import milliseconds

DEFAULT_DAYS: Final = 7  # with today
_ZONE: Final = re.compile(r"[A-Za-z0-9_+-]{1,40}(/[A-Za-z0-9_+-]{1,40}){0,2}", re.ASCII)
_FIRST: Final = dt.datetime(1971, 1, 1, tzinfo=dt.UTC)
_LAST: Final = dt.datetime(9998, 12, 31, tzinfo=dt.UTC)


class Span(Struct, frozen=True):
    """From `since` up to `until`, milliseconds."""

    since: int
    until: int
    zone: ZoneInfo


def span_of(since: str | None, until: str | None, timezone: str | None, now: float) -> Span:
    """Without `since`: the last seven days, today included. Without `until`: up to now (wall-clock seconds).

    ValueError says what is wrong.
    """
    zone = zone_of(timezone or "UTC")
    present = dt.datetime.fromtimestamp(now, zone)
    first = present.date() - dt.timedelta(days=DEFAULT_DAYS - 1)
    start = dt.datetime.combine(first, dt.time(), zone) if not since else _moment(since, zone)
    end = present if not until else _moment(until, zone)
    if end <= start:
        raise ValueError(f"the time ends ({end.isoformat()}) before it begins ({start.isoformat()})")
    return Span(milliseconds(start), milliseconds(end), zone)


def zone_of(name: str) -> ZoneInfo:
    """ValueError for one that this machine does not know."""
    try:
        if not _ZONE.fullmatch(name):
            raise ValueError  # noqa: TRY301 - the same words for every name that is none
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError; a folder's name an OSError
        raise ValueError(f"{name[:40]!r} is not a time zone of this machine; expected one as Europe/Berlin") from None


def _moment(text: str, zone: ZoneInfo) -> dt.datetime:
    # A `+` in a query string that nobody escaped arrives as a space.
    iso = re.sub(r"(:\d\d(?:\.\d+)?) (\d\d:?\d\d)$", r"\1+\2", text.strip())
    try:
        moment = dt.datetime.fromisoformat(iso)
        moment = (moment if moment.tzinfo is not None else moment.replace(tzinfo=zone)).astimezone(dt.UTC)
    except (ValueError, OverflowError):
        moment = None
    if moment is None or not _FIRST <= moment <= _LAST:
        raise ValueError(f"{text[:40]!r} is not a time; expected 2025-01-31 or 2025-01-31T09:00:00Z")
    return moment
