"""`sbc cdr list`: the last calls as a table or JSON; and where `sbc cdr` finds records: an SBC, or its folder."""

import datetime as dt
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sbc.cdr.filters import NUMBER_CHARACTERS, Filters
from sbc.cdr.format import parse_time, time_text
from sbc.cdr.store import PAGE_RECORDS_MAXIMUM, CdrReader
from sbc.cli import UsageError
from sbc.cli.output import show_json, show_table
from sbc.cli.remote import minutes, short_time
from sbc.cli.running import Running
from sbc.core.cause import Cause


def list_records(chosen: Filters, *, limit: int, data_dir: Path | None, sbc: Running) -> int:
    if not 1 <= limit <= PAGE_RECORDS_MAXIMUM:
        raise UsageError(f"--limit {limit}: expected 1 to {PAGE_RECORDS_MAXIMUM}")
    if data_dir is None:
        body = sbc.ask("/api/v1/cdrs", {"last": str(limit)} | query_of(chosen), key="cdrs")
    else:
        with CdrReader.open(data_dir) as reader:
            page = reader.latest(chosen, limit=limit)
        body = {"cdrs": page.cdrs, "next": page.next}
    if sbc.json:
        show_json(body)
    else:
        _show(body["cdrs"])
    return 0


def filters_of(
    *,
    since: str | None = None,
    until: str | None = None,
    trunk: str | None = None,
    number: str | None = None,
    cause: str | None = None,
    ref: str | None = None,
) -> Filters:
    """What was typed. UsageError for what cannot be meant."""
    now = dt.datetime.now(dt.UTC).timestamp()
    if cause is not None and cause not in set(Cause):
        raise UsageError(f"--cause {cause}: expected one of {', '.join(sorted(Cause))}")
    if number is not None and not 0 < len(number) <= NUMBER_CHARACTERS:
        raise UsageError(f"--number: expected 1 to {NUMBER_CHARACTERS} characters")
    return Filters(
        since=None if since is None else since_seconds(since, now),
        until=None if until is None else since_seconds(until, now, "--until"),
        trunk=trunk,
        number=number,
        cause=cause,
        ref=ref,
    )


def every_record(chosen: Filters, data_dir: Path | None, sbc: Running) -> Iterator[dict[str, Any]]:
    """All of them, in the order of their ends; never more than a page is held."""
    if data_dir is not None:
        with CdrReader.open(data_dir) as reader:
            yield from reader.every(chosen)
        return
    query = query_of(chosen) | {"limit": str(PAGE_RECORDS_MAXIMUM)}
    while True:
        body = sbc.ask("/api/v1/cdrs", query, key="cdrs")
        yield from body["cdrs"]
        if body.get("next") is None:
            return
        query["next"] = body["next"]


def query_of(chosen: Filters) -> dict[str, str]:
    """As the API takes it."""
    query = {
        "since": None if chosen.since is None else time_text(chosen.since),
        "until": None if chosen.until is None else time_text(chosen.until),
        "trunk": chosen.trunk,
        "number": chosen.number,
        "cause": chosen.cause,
        "ref": chosen.ref,
    }
    return {key: value for key, value in query.items() if value is not None}


def since_seconds(text: str, now: float, option: str = "--since") -> float:
    """`2h` ago, or a date or time."""
    ago = re.fullmatch(r"(\d{1,6})(s|m|h|d)", text, re.ASCII)
    if ago is not None:
        return now - int(ago[1]) * _SECONDS[ago[2]]
    try:
        return parse_time(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}, or 30m, 2h, 7d") from error


def _show(records: Sequence[dict[str, Any]]) -> None:
    """With one column more where calls became part of others, so that the table of all other days stays narrow."""
    rows = [_row(record) for record in records]
    joined = [record.get("joined_to") for record in records]
    if any(joined):
        show_table((*_COLUMNS, "JOINED TO"), [[*row, ref] for row, ref in zip(rows, joined, strict=True)])
    else:
        show_table(_COLUMNS, rows, none="No call record matches.")


def _row(record: dict[str, Any]) -> list[str | int | None]:
    return [
        short_time(record["started_at"]),
        record["ref"],
        record["ingress"],
        record["egress"],
        record["caller"],
        record["called"],
        minutes(record["billable_ms"] / 1000) + ("?" if record.get("estimated") else ""),
        record["sip_status"],
        record["cause"],
        record["ended_by"],
    ]


_COLUMNS: Final = ("STARTED", "REF", "INGRESS", "EGRESS", "CALLER", "CALLED", "BILLABLE", "STATUS", "CAUSE", "ENDED BY")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
