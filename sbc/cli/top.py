"""`sbc top`: the running SBC on a terminal, once a second, until `q` or Ctrl-C. In a pipe it is one frame, and the end.

A thread reads the event stream, and begins anew where it breaks off; this one draws and listens for keys. What the
terminal was like before, it is afterwards, whatever ends us.
"""

import datetime as dt
import os
import select
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final

from msgspec.structs import replace
from rich.console import Console
from rich.live import Live

from sbc.cli.events import Seen, listen
from sbc.cli.output import show_json
from sbc.cli.running import Running
from sbc.cli.top_frame import Look, Order, Picture, frame
from sbc.core.errors import OperatorError

_FRAME_SECONDS: Final = 1.0
_FIRST_SECONDS: Final = 5.0
_AGAIN_SECONDS: Final = 1.0
_PIPE_WIDTH: Final = 160
_PIPE_HEIGHT: Final = 600
_LONGEST_KEY: Final = 32  # octets; an arrow is three


def show_top(sbc: Running) -> int:
    if not _is_terminal():
        return _show_once(sbc)
    watch = _Watch(sbc)
    watch.start()
    watch.wait_for_first()
    with _ended_by_signals(), _quiet_keyboard():
        _run(watch)
    return 0


class _Watch(threading.Thread):
    """Keeps a picture up to date. `problem`: why there is nothing newer; empty: all is well."""

    def __init__(self, sbc: Running) -> None:
        super().__init__(name="sbc top", daemon=True)
        self._sbc = sbc
        self._first = threading.Event()
        self._failure: OperatorError | None = None
        self._lock = threading.Lock()
        self._picture: Picture | None = None
        self._problem = ""

    def run(self) -> None:
        while True:
            try:
                for picture in _pictures(self._sbc):
                    self._tell(picture, "")
            except OperatorError as error:
                self._failure = error
                self._tell(None, str(error))
            self._first.set()
            threading.Event().wait(_AGAIN_SECONDS)

    def wait_for_first(self) -> None:
        """Raises what is wrong before there is anything to show."""
        self._first.wait(_FIRST_SECONDS)
        if self._picture is None:
            raise self._failure or OperatorError(f"no picture of the SBC within {_FIRST_SECONDS:.0f} s")

    def now(self) -> tuple[Picture | None, str]:
        with self._lock:
            return self._picture, self._problem

    def _tell(self, picture: Picture | None, problem: str) -> None:
        with self._lock:
            self._picture, self._problem = picture or self._picture, problem
        if picture is not None:
            self._first.set()


def _pictures(sbc: Running) -> Iterator[Picture]:
    seen = Seen()
    for event in listen(sbc):
        try:
            seen.take(event)
        except (KeyError, TypeError) as error:
            raise OperatorError(f"the event stream says what no sbc says: {error!r}") from error
        if seen.is_whole:
            yield _picture_of(seen)


def _picture_of(seen: Seen) -> Picture:
    state = seen.state
    trunks, alarms = tuple(state.get("trunks", ())), tuple(state.get("alarms", ()))
    return Picture(_now(), dict(state["status"]), trunks, tuple(seen.calls.values()), alarms, seen.total)


def _run(watch: _Watch) -> None:
    look, console = Look(), Console()
    picture, _ = watch.now()
    with Live(console=console, screen=True, auto_refresh=False) as live:
        while picture is not None:
            latest, problem = watch.now()
            picture = latest or picture
            look = replace(look, problem=problem)
            live.update(frame(picture, look, _now(), console.width, console.height), refresh=True)
            key = _key(_FRAME_SECONDS)
            if key in ("q", "Q"):
                return
            look = turned(look, key, picture)


def turned(look: Look, key: str, picture: Picture) -> Look:
    """`s`: the next order; `t`: the calls of the next trunk, after the last those of all."""
    if key == "s":
        orders = list(Order)
        return replace(look, order=orders[(orders.index(look.order) + 1) % len(orders)])
    if key == "t":
        trunks = ["", *(str(trunk["name"]) for trunk in picture.trunks)]
        at = trunks.index(look.trunk) if look.trunk in trunks else -1
        return replace(look, trunk=trunks[(at + 1) % len(trunks)])
    return look


def _show_once(sbc: Running) -> int:
    picture = next(_pictures(sbc))
    if sbc.json:
        show_json({"status": picture.status, "trunks": picture.trunks, "calls": picture.calls,
                   "alarms": picture.alarms, "total": picture.total})  # fmt: skip
        return 0
    console = Console(width=_PIPE_WIDTH, color_system=None, highlight=False, force_terminal=False)
    console.print(frame(picture, Look(keys=False), _now(), _PIPE_WIDTH, _PIPE_HEIGHT))
    return 0


# --- the terminal -----------------------------------------------------------------------------------------------------


def _is_terminal() -> bool:
    return sys.stdout.isatty() and sys.stdin.isatty() and os.environ.get("TERM", "dumb") != "dumb"


@contextmanager
def _quiet_keyboard() -> Iterator[None]:
    """Keys come at once and are not shown; Ctrl-C stays what it is."""
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    try:
        tty.setcbreak(keyboard)
        yield
    except KeyboardInterrupt:
        pass  # as good an end as `q`
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end us as Ctrl-C does, so that the terminal is put right."""

    def end(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _key(seconds: float) -> str:
    """What is typed within this time; of a burst or an arrow nothing."""
    keyboard = sys.stdin.fileno()
    ready, _, _ = select.select([keyboard], [], [], seconds)
    typed: Any = os.read(keyboard, _LONGEST_KEY) if ready else b""
    if ready and not typed:
        raise KeyboardInterrupt  # the terminal is gone
    return typed.decode("ascii", "replace") if len(typed) == 1 else ""


def _now() -> float:
    return dt.datetime.now(dt.UTC).timestamp()
