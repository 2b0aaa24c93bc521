"""`sbc cdr list`: the last calls as a table or JSON, from the running SBC or from its folder."""

import datetime as dt
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from sbc.cdr.format import parse_time, time_text
from sbc.cdr.store import PAGE_RECORDS_MAXIMUM, CdrReader
from sbc.cli import UsageError
from sbc.cli.output import show_json, show_table
from sbc.cli.remote import minutes, short_time
from sbc.cli.running import Running


def list_records(
    *,
    since: str | None,
    trunk: str | None,
    limit: int,
    data_dir: Path | None,
    sbc: Running,
) -> int:
    if not 1 <= limit <= PAGE_RECORDS_MAXIMUM:
        raise UsageError(f"--limit {limit}: expected 1 to {PAGE_RECORDS_MAXIMUM}")
    start = None if since is None else since_seconds(since, dt.datetime.now(dt.UTC).timestamp())
    body = _from_api(sbc, start, trunk, limit) if data_dir is None else _from_disk(data_dir, start, trunk, limit)
    if sbc.json:
        show_json(body)
    else:
        _show(body["cdrs"])
    return 0


def _show(records: Sequence[dict[str, Any]]) -> None:
    """With one column more where calls became part of others, so that the table of all other days stays narrow."""
    rows = [_row(record) for record in records]
    joined = [record.get("joined_to") for record in records]
    if any(joined):
        show_table((*_COLUMNS, "JOINED TO"), [[*row, ref] for row, ref in zip(rows, joined, strict=True)])
    else:
        show_table(_COLUMNS, rows)


def since_seconds(text: str, now: float) -> float:
    """`2h` ago, or a date or time."""
    ago = re.fullmatch(r"(\d{1,6})(s|m|h|d)", text, re.ASCII)
    if ago is not None:
        return now - int(ago[1]) * _SECONDS[ago[2]]
    try:
        return parse_time(text)
    except ValueError as error:
        raise UsageError(f"--since: {error}, or 30m, 2h, 7d") from error


def _from_disk(data_dir: Path, start: float | None, trunk: str | None, limit: int) -> dict[str, Any]:
    with CdrReader.open(data_dir) as reader:
        page = reader.latest(since=start, trunk=trunk, limit=limit)
    return {"cdrs": page.cdrs, "next": page.next}


def _from_api(sbc: Running, start: float | None, trunk: str | None, limit: int) -> dict[str, Any]:
    query = {"last": str(limit)}
    if start is not None:
        query["since"] = time_text(start)
    if trunk is not None:
        query["trunk"] = trunk
    return sbc.ask("/api/v1/cdrs", query, key="cdrs")


def _row(record: dict[str, Any]) -> list[str | int | None]:
    return [
        short_time(record["started_at"]),
        record["ref"],
        record["ingress"],
        record["egress"],
        record["caller"],
        record["called"],
        minutes(record["billable_ms"] / 1000),
        record["sip_status"],
        record["cause"],
        record["ended_by"],
    ]


_COLUMNS: Final = ("STARTED", "REF", "INGRESS", "EGRESS", "CALLER", "CALLED", "BILLABLE", "STATUS", "CAUSE", "ENDED BY")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400}
