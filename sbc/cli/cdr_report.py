"""`sbc cdr report`: what each trunk carried, by day and direction, as a table or JSON."""

import datetime as dt
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec

from sbc.cdr.report import make_report
from sbc.cdr.span import Span, span_of
from sbc.cdr.store import CdrReader
from sbc.cli import UsageError
from sbc.cli.output import printable, show_json, show_table
from sbc.cli.records import since_seconds
from sbc.cli.running import Running
from sbc.core.errors import OperatorError


def show_report(
    *,
    since: str | None,
    until: str | None,
    trunk: str | None,
    timezone: str,
    data_dir: Path | None,
    sbc: Running,
) -> int:
    span = _span(since, until, timezone)
    body = _from_api(span, trunk, sbc) if data_dir is None else _from_disk(data_dir, span, trunk, sbc)
    if sbc.json:
        show_json(body)
        return 0
    print(f"{_short(body['since'], span.zone)} to {_short(body['until'], span.zone)}, {printable(timezone)}\n")
    if not body["rows"]:
        print("No trunk carried a call in this time. Calls that were refused before they reached one: sbc cdr list")
        return 0
    show_table(("DAY", *_COLUMNS), [[row["day"], *_cells(row, span.zone, "%H:%M")] for row in body["rows"]])
    print("\nAll days\n")
    show_table(_COLUMNS, [_cells(row, span.zone, "%Y-%m-%d %H:%M") for row in body["totals"]])
    return 0


def _span(since: str | None, until: str | None, timezone: str) -> Span:
    now = dt.datetime.now(dt.UTC).timestamp()
    try:
        return span_of(_moment(since, now), _moment(until, now), timezone, now)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _moment(text: str | None, now: float) -> str | None:
    """A date is one of the report's time zone; only `2h` is reckoned here."""
    if text is None or not re.fullmatch(r"\d{1,6}[smhd]", text, re.ASCII):
        return text
    return dt.datetime.fromtimestamp(since_seconds(text, now), dt.UTC).isoformat()


def _from_api(span: Span, trunk: str | None, sbc: Running) -> dict[str, Any]:
    query = {"since": _text(span.since), "until": _text(span.until), "timezone": str(span.zone)}
    return sbc.ask("/api/v1/report", query | ({} if trunk is None else {"trunk": trunk}), key="rows")


def _from_disk(data_dir: Path, span: Span, trunk: str | None, sbc: Running) -> dict[str, Any]:
    from sbc.policy.testcall import NAME

    pbxs = frozenset({NAME}) | (_pbxs(sbc.policy) if sbc.policy else frozenset[str]())
    with CdrReader.open(data_dir) as reader:
        legs = reader.legs(span.since / 1000, span.until / 1000, trunk)
        try:
            report = make_report(legs, span.since, span.until, span.zone, frozenset() if trunk is not None else pbxs)
        except ValueError as error:
            raise OperatorError(str(error)) from error
    body: dict[str, Any] = msgspec.to_builtins(report)
    return body


def _pbxs(policy: Sequence[Path]) -> frozenset[str]:
    from sbc.policy.load import load_policy

    peers = load_policy(policy, environment=os.environ).peers
    return frozenset(name for name, peer in peers.items() if peer.kind == "pbx")


def _cells(row: dict[str, Any], zone: ZoneInfo, form: str) -> list[str | int | None]:
    return [
        row["trunk"],
        row["direction"].removesuffix("bound"),
        row["calls"],
        row["answered"],
        _one_place(row["asr_percent"]),
        f"{row['minutes']:.2f}",
        row["minutes_started"],
        _one_place(row["acd_seconds"]),
        row["peak_paths"],
        _at(row["peak_at"], zone, f"{form}:%S"),
        row["trunk_peak_paths"],
        _at(row["busy_hour"], zone, form),
        row["busy_hour_paths"],
        row["emergency"] or None,
        row["disaster"] or None,
    ]


def _one_place(value: float | None) -> str | None:
    return None if value is None else f"{value:.1f}"


def _at(text: str | None, zone: ZoneInfo, form: str) -> str | None:
    return None if text is None else dt.datetime.fromisoformat(text).astimezone(zone).strftime(form)


def _short(text: str, zone: ZoneInfo) -> str:
    return dt.datetime.fromisoformat(text).astimezone(zone).strftime("%Y-%m-%d %H:%M")


def _text(milliseconds: int) -> str:
    return dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC).isoformat(timespec="milliseconds")


_COLUMNS: Final = (
    "TRUNK", "DIR", "CALLS", "ANSWERED", "ASR %", "MINUTES", "STARTED", "ACD S", "PEAK", "AT", "TRUNK PEAK",
    "BUSY HOUR", "PEAK THEN", "EMERGENCY", "DISASTER",
)  # fmt: skip
