"""`sbc cdr export`: all records that match as CSV or JSON lines, to stdout or, whole or not at all, to a file."""

import contextlib
import json
import os
import signal
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from types import FrameType
from typing import Any, Literal, TextIO

from sbc.cdr import sheet
from sbc.cdr.filters import Filters
from sbc.cli import UsageError
from sbc.cli.records import every_record
from sbc.cli.running import Running
from sbc.core.errors import OperatorError

Format = Literal["csv", "jsonl"]
_FILE_MODE = 0o640  # who called whom is nobody else's business


def export_records(
    chosen: Filters,
    *,
    form: Format,
    attempts: bool,
    raw: bool,
    output: Path | None,
    data_dir: Path | None,
    sbc: Running,
) -> int:
    if sbc.json:
        form = "jsonl"
    if raw and form == "jsonl":
        raise UsageError("--raw: JSON lines are always exact; this is for --format csv")
    found = every_record(chosen, data_dir, sbc)
    first = list(islice(found, 1))  # before the header, so that where there is nobody to ask nothing is written
    records = chain(first, found)
    if form == "csv":
        lines = sheet.attempts(records, raw=raw) if attempts else sheet.calls(records, raw=raw)
    else:
        lines = map(_json_line, _attempts(records) if attempts else records)
    if output is None:
        with _as_it_is(sys.stdout) as stream:
            stream.writelines(lines)
    else:
        with _whole_file(output) as stream:
            stream.writelines(lines)
    return 0


def _attempts(records: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for record in records:
        for attempt in record.get("attempts", ()):
            yield {"ref": record["ref"], **attempt}


def _json_line(value: dict[str, Any]) -> str:
    """ASCII: every character that could move a cursor is an escape of JSON's, and reads as what it was."""
    return json.dumps(value, separators=(",", ":")).replace("\x7f", "\\u007f") + "\n"


@contextlib.contextmanager
def _as_it_is(stdout: TextIO) -> Iterator[TextIO]:
    """The lines end as RFC 4180 has it; a text stream makes no other end of it, and UTF-8 whatever the locale."""
    stdout.flush()
    try:
        number = stdout.fileno()
    except (OSError, ValueError):  # not a real one: somebody catches what we print
        yield stdout
        return
    with open(number, "w", encoding="utf-8", errors="backslashreplace", newline="", closefd=False) as stream:
        yield stream


@contextlib.contextmanager
def _whole_file(path: Path) -> Iterator[TextIO]:
    """Written beside its place and moved there when it is complete and on the disk; else nothing has changed."""
    if path.exists() and not stat.S_ISREG(path.stat().st_mode):  # a pipe, /dev/stdout: there is no moving to it
        with path.open("w", encoding="utf-8", errors="backslashreplace", newline="") as stream:
            yield stream
        return
    folder = path.resolve().parent
    if not folder.is_dir():
        raise OperatorError(f"{path}: there is no folder {folder}")
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:100]}.", suffix=".part", dir=folder)
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace", newline="") as stream:  # noqa: PTH123
            yield stream
            stream.flush()
            os.fchmod(descriptor, _FILE_MODE)
            os.fsync(descriptor)
        Path(name).replace(path.resolve())
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    """As Ctrl-C: what is half written goes away."""
    raise KeyboardInterrupt
