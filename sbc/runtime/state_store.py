"""What the engine wants to find again after a restart (`StoreState`): `data_dir/state.db`, one small SQLite table.

A dict of what is not yet on the disk, the last value of a key standing for all, and one thread that writes it in
batches: within about a twentieth of a second a value is out of this process and survives its death, and a fsync for
each batch lets it survive the machine's. SQLite and not a file of our own, because it is atomic and gets no longer.

It never stops the program: a file that cannot be read is moved aside, a full disk is an alarm, and values are kept
until there is room. That no other process writes here is the CDR store's lock. Used by `app`.
"""

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import structlog
import trio

from sbc.core import limits
from sbc.core.commands import StoreState

STATE_FILE: Final = "state.db"
_GATHER_SECONDS: Final = 0.05  # what comes within this is one transaction
_PAUSES_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)  # after a failure; then the last for ever
_ROOM_SHARE: Final = 0.95  # of what may be kept: below that there is room again
_BUSY_SECONDS: Final = 2.0
_FILE_MODE: Final = 0o600  # telephone numbers and where they are reached
_SCHEMA: Final = "CREATE TABLE IF NOT EXISTS state(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
_PUT: Final = "INSERT INTO state(key, value) VALUES (?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value"
_ENDINGS: Final = ("", "-wal", "-shm")  # of the files that SQLite makes of one

Items = tuple[tuple[str, bytes], ...]

log = structlog.get_logger("state")


class StateStore:
    """`load` before anything else, once; `start` when values may come; `finish` at the end."""

    def __init__(self, data_dir: Path) -> None:
        self.path = data_dir / STATE_FILE
        self._connection: sqlite3.Connection | None = None
        self._keys: set[str] = set()  # that are kept or on their way: what bounds the file
        self._waiting: dict[str, bytes | None] = {}
        self._lock = threading.Lock()
        self._more = threading.Event()
        self._finishing = threading.Event()
        self._giving_up = threading.Event()
        self._is_full_said = False
        self._is_failing = False  # the last try to read or to write
        self._thread = threading.Thread(target=self._write_all, name="state-writer", daemon=True)

    @property
    def keys(self) -> int:
        """Values that are kept or on their way."""
        return len(self._keys)

    def load(self) -> Items:
        """What was kept. Never raises: what cannot be read is moved aside, and the program begins without it."""
        try:
            self._connection, items = _open(self.path)
        except (sqlite3.DatabaseError, OSError, UnicodeError) as error:
            if _is_for_now(error):
                self._is_failing = True
                log.error("state.not_read", alarm=True, path=str(self.path), reason=str(error))  # noqa: TRY400
                return ()
            items = self._begin_anew(error)
        self._keys = {key for key, _ in items}
        return items

    def _begin_anew(self, why: Exception) -> Items:
        aside = f"{self.path.name}.unreadable-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
        try:
            for ending in _ENDINGS:
                with contextlib.suppress(FileNotFoundError):
                    Path(f"{self.path}{ending}").rename(self.path.with_name(aside + ending))
            self._connection, items = _open(self.path)
        except (sqlite3.Error, OSError) as error:
            self._is_failing = True
            log.error("state.not_read", alarm=True, path=str(self.path), reason=str(error))  # noqa: TRY400
            return ()
        log.error("state.unreadable", alarm=True, path=str(self.path), reason=str(why), moved_to=aside)
        return items

    # --- on the engine's side -----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def store(self, command: StoreState) -> None:
        """Returns at once. Of several values of one key that wait for the disk, the last counts."""
        with self._lock:
            if command.value is None:
                self._keys.discard(command.key)
                self._say_room()
            elif command.key not in self._keys:
                if len(self._keys) >= limits.STATE_KEYS:
                    self._say_full(command.key)
                    return
                self._keys.add(command.key)
            self._waiting[command.key] = command.value
        self._more.set()

    async def finish(self, patience: float) -> int:
        """Write what waits; how many values could not be written within `patience` seconds."""
        self._finishing.set()
        self._more.set()
        if self._thread.is_alive():
            await trio.to_thread.run_sync(self._thread.join, patience)
            self._giving_up.set()
            await trio.to_thread.run_sync(self._thread.join, 1.0)
        if self._connection is not None and not self._thread.is_alive():
            self._connection.close()
        return len(self._waiting)

    def _say_full(self, key: str) -> None:
        if not self._is_full_said:
            self._is_full_said = True
            log.error("state.full", alarm=True, keys=len(self._keys), kind=key.partition("/")[0])

    def _say_room(self) -> None:
        if self._is_full_said and len(self._keys) < limits.STATE_KEYS * _ROOM_SHARE:
            self._is_full_said = False
            log.warning("state.room_again", keys=len(self._keys))

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        failures = 0
        while not (self._finishing.is_set() and not self._waiting) and not self._giving_up.is_set():
            self._more.wait()
            self._finishing.wait(_GATHER_SECONDS)
            self._more.clear()
            with self._lock:
                batch, self._waiting = self._waiting, {}
            failures = self._write(batch, failures) if batch else 0
            if failures:
                self._giving_up.wait(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS)) - 1])
                self._more.set()

    def _write(self, batch: Mapping[str, bytes | None], failures: int) -> int:
        """How often in a row it could not be written."""
        try:
            if self._connection is None:
                self._connection, _ = _open(self.path)
            _store(self._connection, batch)
        except Exception as error:  # noqa: BLE001 - whatever it was, the values must not be lost with the thread
            with self._lock:
                self._waiting = {**batch, **self._waiting}
            self._is_failing = True
            log.error("state.not_stored", alarm=True, values=len(batch), failures=failures + 1, reason=str(error))  # noqa: TRY400
            return failures + 1
        if self._is_failing:
            self._is_failing = False
            log.warning("state.stored_again", values=len(batch), failures=failures)
        return 0


def _open(path: Path) -> tuple[sqlite3.Connection, Items]:
    """Everything in it is read now: what is damaged shows at the start and not in the middle of a call."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE))
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute(_SCHEMA)
        rows = connection.execute("SELECT key, value FROM state ORDER BY key").fetchall()
        items = tuple((key, value) for key, value in rows if isinstance(key, str) and isinstance(value, bytes))
    except BaseException:
        connection.close()
        raise
    return connection, items


def _store(connection: sqlite3.Connection, batch: Mapping[str, bytes | None]) -> None:
    """All or none of it."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany(_PUT, [(key, value) for key, value in batch.items() if value is not None])
        gone = [(key,) for key, value in batch.items() if value is None]
        connection.executemany("DELETE FROM state WHERE key = ?", gone)
        connection.execute("COMMIT")
    except BaseException:
        with contextlib.suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _is_for_now(error: Exception) -> bool:
    """A full disk, no permission, somebody else's lock: the file itself may be good, and stays where it is."""
    if isinstance(error, sqlite3.OperationalError):
        return "malformed" not in str(error) and "no such column" not in str(error)
    return isinstance(error, OSError) and not isinstance(error, IsADirectoryError)
