"""How a call detail record looks outside: database rows, and plain objects for JSON and tables.

Column order here is the order of `docs/reference/cdr.md`. Times become UTC text with milliseconds and a `Z`.
It opens no file. Used by the store, the HTTP API and `sbc cdr`.
"""

import datetime as dt
import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from sbc.cdr.record import AttemptRecord, CallRecord

CDR_COLUMNS: Final = (
    "ref", "ingress", "egress", "route", "caller", "called", "called_as_sent", "started_at", "ringing_at",
    "answered_at", "ended_at", "billable_ms", "sip_status", "q850", "ended_by", "cause", "emergency", "disaster",
    "media", "ingress_call_id", "egress_call_id", "joined_to", "estimated",
)  # fmt: skip
ATTEMPT_COLUMNS: Final = (
    "ref", "n", "peer", "server", "called_as_sent", "started_at", "ended_at", "sip_status", "cause", "call_id",
)  # fmt: skip

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

Row = tuple[str | int | None, ...]


def time_text(seconds: float) -> str:
    """Wall-clock seconds as `2025-01-31T09:00:00.123Z`; such texts sort like the times that they stand for."""
    moment = _EPOCH + dt.timedelta(milliseconds=round(seconds * 1000))
    return moment.isoformat(timespec="milliseconds")[: -len("+00:00")] + "Z"  # strftime's year may have three digits


def parse_time(text: str) -> float:
    """Wall-clock seconds of an ISO 8601 date or time; UTC where it names no offset. ValueError says what is wrong."""
    # A `+` in a query string that nobody escaped arrives as a space.
    iso = re.sub(r"(:\d\d(?:\.\d+)?) (\d\d:?\d\d)$", r"\1+\2", text.strip())
    try:
        moment = dt.datetime.fromisoformat(iso)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=dt.UTC)
        seconds = moment.timestamp()
        time_text(seconds)
    except (ValueError, OverflowError):
        shown = text if len(text) <= 40 else text[:40] + "…"
        raise ValueError(f"{shown!r} is not a time; expected 2025-01-31 or 2025-01-31T09:00:00Z") from None
    return seconds


def cdr_row(record: CallRecord) -> Row:
    """The record in the order of `CDR_COLUMNS`."""
    return (
        record.ref,
        record.ingress,
        record.egress,
        record.route,
        record.caller,
        record.called,
        record.called_as_sent,
        time_text(record.started_at),
        _optional(record.ringing_at),
        _optional(record.answered_at),
        time_text(record.ended_at),
        record.billable_ms,
        record.sip_status,
        record.q850,
        record.ended_by,
        record.cause,
        int(record.emergency),
        int(record.disaster),
        record.media,
        record.ingress_call_id,
        record.egress_call_id,
        record.joined_to,
        int(record.estimated),
    )


def attempt_row(ref: str, attempt: AttemptRecord) -> Row:
    """The attempt in the order of `ATTEMPT_COLUMNS`."""
    return (
        ref,
        attempt.n,
        attempt.peer,
        attempt.server,
        attempt.called_as_sent,
        time_text(attempt.started_at),
        _optional(attempt.ended_at),
        attempt.sip_status,
        attempt.cause,
        attempt.call_id,
    )


def cdr_object(row: Sequence[Any], attempts: Sequence[Sequence[Any]] = ()) -> dict[str, Any]:
    """What the API shows of one call: the columns by name, `media` as an object, the attempts without their `ref`."""
    shown = dict(zip(CDR_COLUMNS, row, strict=True))
    shown["media"] = _json(shown["media"])
    shown["attempts"] = [dict(zip(ATTEMPT_COLUMNS[1:], attempt[1:], strict=True)) for attempt in attempts]
    return shown


def _optional(seconds: float | None) -> str | None:
    return None if seconds is None else time_text(seconds)


def _json(text: str | None) -> object:
    """Media as an object; text that is no JSON (a foreign hand in the database) is shown as it is."""
    if text is None:
        return None
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        return text
