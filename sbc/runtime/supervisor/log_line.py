"""The supervisor's own lines on stderr, as the log of signalling looks (`runtime.logging`), without what that needs.

Who does not read its end of a pipe must not stop the supervisor: a line that would be waited for is left out.
Used by `main`.
"""

import os
import select
import time
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from sbc.runtime.notify import PRIORITIES

LogFormat = Literal["console", "json"]
Field = str | int | float | bool

_EVENT_COLUMNS: Final = 30  # structlog's ConsoleRenderer
_LEVEL_COLUMNS: Final = 9


def log_line(
    log_format: LogFormat, level: str, event: str, fields: Mapping[str, Field], at: float, *, journal: bool = False
) -> bytes:
    """`at`: Unix time. `journal`: with its priority for journald."""
    prefix = f"<{PRIORITIES[level]}>".encode() if journal else b""
    return prefix + _line(log_format, level, event, fields, at)


def _line(log_format: LogFormat, level: str, event: str, fields: Mapping[str, Field], at: float) -> bytes:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
    if log_format == "json":
        return msgspec.json.encode({"timestamp": stamp, "level": level, "event": event, **fields}) + b"\n"
    shown = " ".join(f"{key}={_shown(value)}" for key, value in fields.items())
    return f"{stamp} [{level:<{_LEVEL_COLUMNS}}] {event:<{_EVENT_COLUMNS}} {shown}".rstrip().encode() + b"\n"


def write_line(fd: int, line: bytes) -> None:
    """A pipe that polls as writable takes PIPE_BUF octets at once (pipe(7)); our lines are shorter."""
    asking = select.poll()
    asking.register(fd, select.POLLOUT)
    try:
        if any(events & select.POLLOUT for _, events in asking.poll(0)):
            os.write(fd, line[: select.PIPE_BUF])
    except OSError:
        pass


def _shown(value: Field) -> str:
    return repr(value) if isinstance(value, str) and (not value or " " in value or "=" in value) else str(value)
