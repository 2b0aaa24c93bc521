"""Log lines: structlog in front, one thread behind, a bounded queue between, so that a stalled pipe stops nobody.

JSON or console lines on stderr. Telephone numbers are masked here, in the thread, for every line whatever its source.
A full queue drops lines and counts them; the count is said when there is room again. Used by `app`.
"""

import logging
import queue
import re
import sys
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from typing import Any, Final, Literal, Self, TextIO

import msgspec
import structlog

from sbc.b2bua.commands import Log

LogFormat = Literal["console", "json"]

QUEUE_LINES: Final = 10_000
_GATHER_SECONDS: Final = 0.02  # between batches of lines: a thread that wakes up for each takes turns from the loop
_NUMBER_KEYS: Final = frozenset({"caller", "called", "called_as_sent", "number"})
_SHOWN_DIGITS: Final = 2
# A number in running text: seven digits or more, or a plus and five. Dots end it, so that addresses stay readable.
_NUMBER: Final = re.compile(r"(?<![0-9A-Za-z.])(?:\+\d(?:-?\d){4,}|\d{7,})(?![0-9A-Za-z])")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def mask(text: str) -> str:
    """Telephone numbers in running text lose all but their last digits; see also `printable`."""
    return _NUMBER.sub(lambda found: "…" + found[0][-_SHOWN_DIGITS:], printable(text))


def printable(text: str) -> str:
    """What a terminal would obey, and what is no text at all, is escaped."""
    return text if text.isprintable() else _CONTROL.sub(lambda found: ascii(found[0])[1:-1], text)


def masked(key: str, value: Any) -> Any:
    """A field as it may be shown: numbers as they are, lists with commas, all else as text; no telephone number."""
    if isinstance(value, list | tuple):
        value = ", ".join(str(one) for one in value)
    if not isinstance(value, str):
        return value if value is None or isinstance(value, int | float) else mask(str(value))
    if key in _NUMBER_KEYS and sum(character.isdigit() for character in value) > _SHOWN_DIGITS + 1:
        return "…" + mask(value[-_SHOWN_DIGITS:])
    return mask(value)


class LogWriter:
    """The queue and its thread. As a context manager it is where all logging of the process goes.

    `notice` is told the event and fields of every line, in the thread that says it, before anything is masked.
    """

    def __init__(self, stream: TextIO, log_format: LogFormat, level: str = "info") -> None:
        self.dropped = 0
        self.notice: Callable[[str, Mapping[str, Any]], None] = _ignore
        self._stream = stream
        self._threshold = _LEVELS[level]
        self._render = _renderer(stream, log_format)
        self._queue: queue.SimpleQueue[dict[str, Any] | str | None] = queue.SimpleQueue()
        self._said_dropped = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="log-writer", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        structlog.configure(
            processors=[_exception_as_text, self._take],
            wrapper_class=structlog.make_filtering_bound_logger(self._threshold),
            logger_factory=_NoLogger,
            cache_logger_on_first_use=False,
        )
        self._bridge = _Bridge(self)
        logging.getLogger().addHandler(self._bridge)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger().removeHandler(self._bridge)
        structlog.reset_defaults()
        self._queue.put(None)
        self._ending.set()
        self._thread.join(timeout=1.0)

    # --- in front -------------------------------------------------------------------------------------------------

    def perform(self, command: Log) -> None:
        """The engine's own log command."""
        if _LEVELS[command.level] >= self._threshold:
            self.put(command.level, command.event, dict(command.fields))

    def put(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        self.notice(event, fields)
        if self._queue.qsize() >= QUEUE_LINES:
            self.dropped += 1
            return
        self._queue.put({"at": time.time(), "level": level, "event": event, "fields": fields})

    def plain(self, line: str) -> None:
        """A line as it is, in order with the others."""
        self._queue.put(line)

    def _take(self, _logger: object, method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
        fields = {key: value for key, value in event.items() if key != "event"}
        self.put("error" if method == "exception" else method, str(event.get("event", "")), fields)
        raise structlog.DropEvent

    # --- in the thread --------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        is_empty = True
        while True:
            item = self._queue.get()
            try:
                if item is not None:
                    self._stream.write(item + "\n" if isinstance(item, str) else self._line(item))
                is_empty = item is None or self._queue.empty()
                if is_empty:
                    self._say_dropped()
                    self._stream.flush()
            except Exception:  # noqa: BLE001 - nobody reads any more, or a value cannot be printed; the calls go on
                self.dropped += 1
            if item is None:
                return
            if is_empty:
                self._ending.wait(_GATHER_SECONDS)

    def _line(self, item: dict[str, Any]) -> str:
        at = item["at"]
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
        event: dict[str, Any] = {"timestamp": stamp, "level": item["level"], "event": mask(item["event"])}
        for key, value in item["fields"].items():
            if value is not None:  # not known (yet): nothing to say
                event[key] = masked(key, value)
        return str(self._render(None, item["level"], event)) + "\n"

    def _say_dropped(self) -> None:
        if self.dropped > self._said_dropped:
            self._said_dropped, more = self.dropped, self.dropped - self._said_dropped
            fields = {"lines": more}
            self._stream.write(
                self._line({"at": time.time(), "level": "warning", "event": "log.dropped", "fields": fields})
            )


class _Bridge(logging.Handler):
    """Libraries that use the standard library's logging are heard as well, from warnings up."""

    def __init__(self, writer: LogWriter) -> None:
        super().__init__(logging.WARNING)
        self._writer = writer

    def emit(self, record: logging.LogRecord) -> None:
        level = record.levelname.lower()
        self._writer.put(level if level in _LEVELS else "warning", "library", {
            "logger": record.name, "text": self.format(record),
        })  # fmt: skip


def _ignore(_event: str, _fields: Mapping[str, Any]) -> None:
    pass


class _NoLogger:
    """structlog wants a logger at the end of the chain; nothing gets that far."""

    def __init__(self, *_: object) -> None:
        pass


def _exception_as_text(_logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Only the thread that holds the exception can print it."""
    return structlog.processors.format_exc_info(_logger, method, event)


def _json(event: Any, **how: Any) -> str:
    return msgspec.json.encode(event, enc_hook=how["default"]).decode("utf-8", "backslashreplace")


def _renderer(stream: TextIO, log_format: LogFormat) -> structlog.typing.Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer(_json, default=str)
    return structlog.dev.ConsoleRenderer(colors=stream.isatty() and stream is sys.stderr, sort_keys=False)
