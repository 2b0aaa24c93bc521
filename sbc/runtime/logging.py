"""Log lines: structlog in front, one thread behind, a bounded queue between, so that a stalled pipe stops nobody.

JSON or console lines on stderr; under journald each has its priority (sd-daemon(3)). Telephone numbers are masked here,
in the thread, for every line whatever its source, unless the policy wants them whole. A full queue drops lines and
counts them; the count is said when there is room again. That lines cannot be written is an alarm of its own, which
needs no line. Used by `app`.
"""

import contextlib
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Mapping, MutableMapping
from functools import partial
from typing import Any, Final, Literal, Self, TextIO

import msgspec
import structlog
import trio

from sbc.b2bua.commands import Log
from sbc.core import limits
from sbc.policy.model import LogRules
from sbc.runtime.notify import PRIORITIES, is_journal

LogFormat = Literal["console", "json"]

_GATHER_SECONDS: Final = 0.02  # between batches of lines: a thread that wakes up for each takes turns from the loop
STALLED_SECONDS: Final = 3.0  # that one line takes to be written, before it is called stalled
_AGAIN_SECONDS: Final = 10.0  # between two words about a log that stays stalled; and without a loss before it flows
_LOOK_SECONDS: Final = 1.0
_NUMBER_KEYS: Final = frozenset({"caller", "called", "called_as_sent", "number"})
_SHOWN_DIGITS: Final = 2
# A number in running text: seven digits or more, or a plus and five. Dots end it, so that addresses stay readable.
_NUMBER: Final = re.compile(r"(?<![0-9A-Za-z.])(?:\+\d(?:-?\d){4,}|\d{7,})(?![0-9A-Za-z])")
_LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}


def mask(text: str) -> str:
    """Telephone numbers in running text lose all but their last digits; see also `printable`."""
    return _NUMBER.sub(lambda found: "…" + found[0][-_SHOWN_DIGITS:], printable(text))


def printable(text: str) -> str:
    """What a terminal would obey, what is no text at all, and what turns or hides other text is escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\t\n" else ascii(c)[1:-1] for c in text)


def masked(key: str, value: Any, *, whole: bool = False) -> Any:
    """A field as it may be shown: numbers as they are, lists with commas, all else as text; no telephone number.

    `whole`: telephone numbers too, as `sbc.log.numbers: full` asks for.
    """
    if isinstance(value, list | tuple):
        value = ", ".join(str(one) for one in value)
    if not isinstance(value, str):
        if value is None or isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**63):
            return value
        value = str(value)
    value = value[: limits.LOG_EXCEPTION_CHARACTERS if key == "exception" else limits.LOG_FIELD_CHARACTERS]
    if whole:
        return printable(value)
    if key in _NUMBER_KEYS and sum(character.isdigit() for character in value) > _SHOWN_DIGITS + 1:
        return "…" + mask(value[-_SHOWN_DIGITS:])
    return mask(value)


class LogWriter:
    """The queue and its thread. As a context manager it is where all logging of the process goes.

    `notice` is told the event and fields of every line, also of those below the level, in the thread that says it,
    before anything is masked. `set_rules` may be called at any time.
    """

    def __init__(self, stream: TextIO, log_format: LogFormat, rules: LogRules | None = None) -> None:
        self.dropped = 0
        self.notice: Callable[[str, Mapping[str, Any]], None] = _ignore
        self._write = _sink(stream)
        self._prefixes = PRIORITIES if _is_journal(stream) else {}
        self._render = _renderer(stream, log_format, os.environ)
        self._indent = "\n" if log_format == "json" else "\n    "
        self._queue: queue.SimpleQueue[dict[str, Any] | str | None] = queue.SimpleQueue()
        self._said_dropped = 0
        self._writing_since: float | None = None  # monotonic; None: the thread has nothing to write
        self._failure = ""  # why the last line could not be written
        self._stall = _Stall()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="log-writer", daemon=True)
        self.set_rules(rules or LogRules())

    def __enter__(self) -> Self:
        self._thread.start()
        structlog.configure(
            processors=[_exception_as_text, self._take],
            wrapper_class=structlog.make_filtering_bound_logger(_LEVELS["debug"]),  # `put` knows the level
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

    def set_rules(self, rules: LogRules) -> None:
        self._threshold = _LEVELS[rules.level]
        self._is_whole = rules.numbers == "full"

    # --- in front -------------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Lines."""
        return self._queue.qsize()

    def perform(self, command: Log) -> None:
        """The engine's own log command."""
        self.put(command.level, command.event, dict(command.fields))

    def put(self, level: str, event: str, fields: Mapping[str, Any]) -> None:
        self.notice(event, fields)
        if _LEVELS[level] < self._threshold:
            return
        if self._queue.qsize() >= limits.LOG_LINES:
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

    # --- whether it flows -----------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Raises and clears `log.stalled`, until cancelled."""
        while True:
            await trio.sleep(_LOOK_SECONDS)
            self.look(time.monotonic())

    def look(self, now: float) -> None:
        writing_since = self._writing_since
        reason = self._failure
        if writing_since is not None and now - writing_since >= STALLED_SECONDS:
            reason = "nobody reads them"
        elif not reason and self.dropped > self._stall.dropped:
            reason = "there are more than can be written"
        what = self._stall.look(reason, self.dropped, now)
        if what == "flows":
            self.put("warning", "log.flowing", {"dropped": self.dropped})
        elif what == "stalled" or (what and self._failure):  # whether a failure is over is found out by writing
            self.put("error", "log.stalled", {"alarm": True, "reason": reason, "dropped": self.dropped})
        elif what:
            self.notice("log.stalled", {"alarm": True, "reason": reason, "dropped": self.dropped})

    # --- in the thread --------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        is_empty = True
        while True:
            item = self._queue.get()
            if item is not None:
                self._write_line(item)
            is_empty = item is None or self._queue.empty()
            if is_empty:
                self._say_dropped()
            if item is None:
                return
            if is_empty:
                self._ending.wait(_GATHER_SECONDS)

    def _write_line(self, item: dict[str, Any] | str) -> bool:
        try:
            line = item + "\n" if isinstance(item, str) else self._line(item)
        except Exception:  # noqa: BLE001 - a value that cannot be printed; the others can
            self.dropped += 1
            return False
        self._writing_since = time.monotonic()
        try:
            self._write(line)
            self._failure = ""
        except Exception as error:  # noqa: BLE001 - nobody reads any more, or the disk is full; the calls go on
            self._failure = getattr(error, "strerror", "") or type(error).__name__
            self.dropped += 1
        self._writing_since = None
        return not self._failure

    def _line(self, item: dict[str, Any]) -> str:
        at, level = item["at"], item["level"]
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at)) + f".{int(at % 1 * 1000):03d}Z"
        event: dict[str, Any] = {"timestamp": stamp, "level": level, "event": mask(item["event"])}
        for key, value in item["fields"].items():
            if value is not None:  # not known (yet): nothing to say
                event[key] = masked(key, value, whole=self._is_whole)
        line = str(self._render(None, level, event))
        prefix = f"<{self._prefixes[level]}>" if level in self._prefixes else ""
        # What belongs to one line looks like it: no text in it can pass for a line of its own.
        return prefix + line.replace("\n", self._indent if not prefix else f"\n{prefix}    ") + "\n"

    def _say_dropped(self) -> None:
        dropped = self.dropped
        if dropped > self._said_dropped:
            fields = {"lines": dropped - self._said_dropped}
            if self._write_line({"at": time.time(), "level": "warning", "event": "log.dropped", "fields": fields}):
                self._said_dropped = dropped
            else:
                self.dropped = dropped  # that this line was lost is of no interest


class _Stall:
    """Whether lines are being lost or held up, and what to say of it when."""

    def __init__(self) -> None:
        self.dropped = 0  # when somebody looked last
        self._said_at: float | None = None  # monotonic; None: it flows
        self._lost_at = 0.0

    def look(self, reason: str, dropped: int, now: float) -> Literal["", "stalled", "again", "flows"]:
        self.dropped = dropped
        if reason:
            self._lost_at = now
            if self._said_at is None:
                self._said_at = now
                return "stalled"
            if now - self._said_at >= _AGAIN_SECONDS:
                self._said_at = now
                return "again"
        elif self._said_at is not None and now - self._lost_at >= _LOOK_SECONDS:
            self._said_at = None
            return "flows"
        return ""


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


def _renderer(stream: TextIO, log_format: LogFormat, environment: Mapping[str, str]) -> structlog.typing.Processor:
    if log_format == "json":
        return structlog.processors.JSONRenderer(_json, default=str)
    colours = stream.isatty() and not environment.get("NO_COLOR")
    return structlog.dev.ConsoleRenderer(colors=colours, sort_keys=False)


def _is_journal(stream: TextIO) -> bool:
    with contextlib.suppress(OSError, ValueError):
        return is_journal(stream.fileno(), os.environ)
    return False


def _sink(stream: TextIO) -> Callable[[str], None]:
    """Past the stream's own buffer: a thread that is stuck in there could not be left behind when the program ends."""
    try:
        fd = stream.fileno()
    except (OSError, ValueError):
        return partial(_write_and_flush, stream)
    return _Descriptor(fd).write


def _write_and_flush(stream: TextIO, text: str) -> None:
    stream.write(text)
    stream.flush()


class _Descriptor:
    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._is_torn = False  # a line has its beginning there, and not its end

    def write(self, text: str) -> None:
        """Raises OSError."""
        data = memoryview(("\n" * self._is_torn + text).encode("utf-8", "backslashreplace"))
        whole = len(data)
        try:
            while data:
                data = data[os.write(self._fd, data) :]
        finally:
            if len(data) < whole:
                self._is_torn = bool(data)
