"""The second tier of what is kept: `state.db`, written by one thread in groups.

A dict has what is not yet on the disk, the last value of a key standing for all: what lives shorter than a group never
gets there. Each group is a transaction with an fsync. A full disk is an alarm, and values wait until there is room; a
file that cannot be read is moved aside. It knows nothing of memory. Used by `state_store`.
"""

import sqlite3
import threading
import time
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import structlog
import trio

from sbc.runtime import clock, state_file
from sbc.runtime.state_file import STATE_FILE, StateFile
from sbc.runtime.state_keeper import Items

GATHER_SECONDS: Final = 0.2  # what comes within this is one transaction: at a twentieth it would cost twice as much
_PAUSES_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)  # after a failure; then the last for ever
_MARK_SECONDS: Final = 60.0  # between two marks of the clock while there is nothing else to be written

log = structlog.get_logger("state")


class StateWriter:
    """`open`, `read` or `make_like`, `start`; then `put`, and at the end `finish`."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / STATE_FILE
        self.noted: Callable[[bytes, bytes], None] = _nobody  # told how the file is, and how it may be from now on
        self.is_all_known = True  # of what the file has
        self._file: StateFile | None = None
        self._goal: Mapping[str, bytes] | None = None  # what the file shall hold, when it has been compared
        self._identity = b""  # that it shall have then
        self._mark: bytes | None = None  # that goes with what is written: the same until it is there for certain
        self._waiting: dict[str, bytes | None] = {}
        self._waiting_since = 0.0  # monotonic, of the oldest in `_waiting`
        self._writing_since: float | None = None
        self._lock = threading.Lock()
        self._more = threading.Event()
        self._finishing = threading.Event()
        self._giving_up = threading.Event()
        self._is_failing = False  # the last try to read or to write
        self._thread = threading.Thread(target=self._write_all, name="state-writer", daemon=True)

    @property
    def pending(self) -> int:
        """Values that are not on the disk yet."""
        return len(self._waiting)

    @property
    def behind(self) -> float:
        """Seconds that the oldest of them has waited."""
        with self._lock:
            since = [] if self._writing_since is None else [self._writing_since]
            since += [self._waiting_since] if self._waiting else []
        return time.monotonic() - min(since) if since else 0.0

    # --- the start ----------------------------------------------------------------------------------------------------

    def open(self) -> None:
        """Never raises: what cannot be read is moved aside, and what cannot be opened is tried again later."""
        try:
            self._file = StateFile(self.path)
        except (sqlite3.DatabaseError, OSError, UnicodeError) as error:
            self._not_read(error)

    @property
    def identity(self) -> bytes | None:
        """Of the file; None where it could not be opened."""
        return None if self._file is None else self._file.identity

    @property
    def state(self) -> bytes:
        """Four octets that are others when the file has been written since by anybody who marks the clock; empty where
        it could not be opened.
        """
        return b"" if self._file is None else _state_of(self._file.clock)

    @property
    def is_new(self) -> bool:
        """There is nothing in the file, and there was none, or none that could be read."""
        return self._file is None or self._file.is_new

    @property
    def mark(self) -> clock.ClockMark | None:
        return None if self._file is None else clock.read_mark(self._file.clock)

    def read(self) -> Items:
        """Never raises, as `open`."""
        try:
            return () if self._file is None else tuple(self._file.items())
        except (sqlite3.DatabaseError, UnicodeError) as error:
            self._not_read(error)
            return ()

    def make_like(self, kept: Mapping[str, bytes], identity: bytes) -> None:
        """Instead of `read`: an earlier life of ours may have known more than it has written. The thread compares."""
        self._goal = kept
        self._identity = identity
        self.is_all_known = True

    def _not_read(self, error: Exception) -> None:
        """A new file in its place where that one is damaged."""
        identity = b""
        if self._file is not None:
            identity = self._file.identity
            self._file.close()
            self._file = None
        aside = ""
        if not state_file.is_for_now(error):
            try:
                aside = state_file.move_aside(self.path)
                self._file = StateFile(self.path)
                if identity:  # by which the memory is found again after the death of all
                    self._file.identify(identity)
            except (sqlite3.Error, OSError) as again:
                error = again
        if self._file is None:
            self._is_failing = True
            self.is_all_known = False
            log.error("state.not_read", alarm=True, path=str(self.path), reason=str(error))
        else:
            log.error("state.unreadable", alarm=True, path=str(self.path), reason=str(error), moved_to=aside)

    # --- on the engine's side -----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def put(self, key: str, value: bytes | None) -> None:
        """Returns at once. None: no more."""
        with self._lock:
            is_first = not self._waiting
            if is_first:
                self._waiting_since = time.monotonic()
            self._waiting[key] = value
        if is_first:
            self._more.set()

    async def finish(self, patience: float) -> int:
        """Write what waits; how many values could not be written within `patience` seconds."""
        self._finishing.set()
        self._more.set()
        if self._thread.is_alive():
            await trio.to_thread.run_sync(self._thread.join, patience)
            self._giving_up.set()
            await trio.to_thread.run_sync(self._thread.join, 1.0)
        if self._thread.is_alive():
            self.noted = _nobody  # the memory goes with us
        elif self._file is not None:
            self._file.close()
        return len(self._waiting)

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        failures = 0
        while not (self._finishing.is_set() and not self._has_work) and not self._giving_up.is_set():
            if self._has_work or self._more.wait(_MARK_SECONDS):
                self._finishing.wait(GATHER_SECONDS)
            self._more.clear()
            failures = self._try_to_write(failures)
            if failures:
                self._giving_up.wait(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS)) - 1])

    @property
    def _has_work(self) -> bool:
        return bool(self._waiting) or self._goal is not None

    def _try_to_write(self, failures: int) -> int:
        """How often in a row it could not be written."""
        batch: dict[str, bytes | None] = {}
        try:
            file = self._file = self._file or StateFile(self.path)
            if self._goal is not None:
                file = self._compare(file, self._goal, self._identity)
            batch = self._take()
            self._write(file, batch)
        except Exception as error:  # noqa: BLE001 - whatever it was, the values must not be lost with the thread
            self._give_back(batch)
            self._is_failing = True
            log.error("state.not_stored", alarm=True, values=self.pending, failures=failures + 1, reason=str(error))  # noqa: TRY400
            return failures + 1
        self._writing_since = None
        if self._is_failing:
            self._is_failing = False
            log.warning("state.stored_again", values=len(batch), failures=failures)
        return 0

    def _write(self, file: StateFile, batch: Mapping[str, bytes | None]) -> None:
        """A write that fails may be there all the same after the next death: so its mark is that of the next try."""
        mark = self._mark = self._mark or clock.write_mark(clock.mark())
        self.noted(_state_of(file.clock), _state_of(mark))
        file.write(batch, mark)
        self._mark = None
        self.noted(_state_of(mark), _state_of(mark))

    def _take(self) -> dict[str, bytes | None]:
        with self._lock:
            batch, self._waiting = self._waiting, {}
            self._writing_since = self._waiting_since if batch else None
        return batch

    def _give_back(self, batch: Mapping[str, bytes | None]) -> None:
        with self._lock:
            self._waiting = {**batch, **self._waiting}
            if self._writing_since is not None:
                self._waiting_since, self._writing_since = self._writing_since, None

    def _compare(self, file: StateFile, goal: Mapping[str, bytes], identity: bytes) -> StateFile:
        """The file, or the one in its place where it turns out to be damaged. What differs waits to be written."""
        differing: dict[str, bytes | None] = dict(goal)
        try:
            for key, value in file.items():
                if key not in goal:
                    differing[key] = None
                elif goal[key] == value:
                    del differing[key]
        except (sqlite3.DatabaseError, UnicodeError) as error:
            self._not_read(error)
            if self._file is None:
                raise
            file, differing = self._file, dict(goal)
        if file.identity != identity:
            self.noted(_state_of(file.clock), _state_of(file.clock))
            file.identify(identity)
        with self._lock:
            if not self._waiting:
                self._waiting_since = time.monotonic()
            self._waiting = {**differing, **self._waiting}
        self._goal = None
        return file


def _state_of(mark: bytes | None) -> bytes:
    return (zlib.crc32(mark or b"") or 1).to_bytes(4, "little")


def _nobody(_was: bytes, _becomes: bytes) -> None:
    pass
