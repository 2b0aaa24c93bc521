"""`data_dir/state.db`: one small SQLite table of keys and values, and another with two values about the file itself.

SQLite and not a file of our own, because it is atomic and gets no longer. A batch is one transaction, written by few
statements of many rows: each statement gives up the interpreter's lock, and would have to fight the engine for it.
It has no thread and no rule about when to write; `state_store`, its only user, has.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeVar

STATE_FILE: Final = "state.db"
IDENTITY: Final = "identity"  # 16 octets, drawn when the file was made
CLOCK: Final = "clock"  # the last `clock.ClockMark`

_BUSY_SECONDS: Final = 2.0
_FILE_MODE: Final = 0o600  # telephone numbers and where they are reached, keys of encrypted calls
_TABLE: Final = "CREATE TABLE IF NOT EXISTS {}(key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
_PUT: Final = "INSERT INTO {}(key, value) VALUES {} ON CONFLICT(key) DO UPDATE SET value = excluded.value"
_DRAW: Final = "INSERT INTO about(key, value) VALUES (?, randomblob(16)) ON CONFLICT DO NOTHING"
_ENDINGS: Final = ("", "-wal", "-shm")  # of the files that SQLite makes of one
_ROWS: Final = (64, 8, 1)  # of one statement
_READ_ROWS: Final = 256
_PUTS: Final = {rows: _PUT.format("state", ", ".join(["(?, ?)"] * rows)) for rows in _ROWS}
_DELETES: Final = {rows: f"DELETE FROM state WHERE key IN ({', '.join('?' * rows)})" for rows in _ROWS}  # noqa: S608

_Row = TypeVar("_Row")


class StateFile:
    """Open. Every method may raise sqlite3.Error; not from two threads at once."""

    def __init__(self, path: Path) -> None:
        """Raises OSError, too."""
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE))
        self._connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=FULL")
            self._connection.execute(_TABLE.format("state"))
            self._connection.execute(_TABLE.format("about"))
            about = self._read_about()
            if IDENTITY not in about:  # a write, for which somebody who looks into the file may let us wait
                self._connection.execute(_DRAW, (IDENTITY,))
                about = self._read_about()
        except BaseException:
            self._connection.close()
            raise
        self._about = about

    def _read_about(self) -> dict[str, bytes]:
        about = self._connection.execute("SELECT key, value FROM about").fetchall()
        return {key: value for key, value in about if isinstance(key, str) and isinstance(value, bytes)}

    @property
    def identity(self) -> bytes:
        return self._about.get(IDENTITY, b"")

    def identify(self, identity: bytes) -> None:
        """It takes the place of the file that had this one."""
        self._connection.execute(_PUT.format("about", "(?, ?)"), (IDENTITY, identity))
        self._about[IDENTITY] = identity

    @property
    def is_new(self) -> bool:
        """Nothing was ever written here."""
        return CLOCK not in self._about

    @property
    def clock(self) -> bytes | None:
        """As it was when the file was opened, or has been written since."""
        return self._about.get(CLOCK)

    def items(self) -> Iterator[tuple[str, bytes]]:
        """All of it, by key: what is damaged shows now and not in the middle of a call."""
        cursor = self._connection.execute("SELECT key, value FROM state ORDER BY key")
        while rows := cursor.fetchmany(_READ_ROWS):
            yield from ((key, value) for key, value in rows if isinstance(key, str) and isinstance(value, bytes))

    def write(self, batch: Mapping[str, bytes | None], clock: bytes) -> None:
        """All or none of it, and on the disk when it returns."""
        put = [(key, value) for key, value in batch.items() if value is not None]
        gone = [key for key, value in batch.items() if value is None]
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for rows in _in_statements(put):
                self._connection.execute(_PUTS[len(rows)], [word for row in rows for word in row])
            for keys in _in_statements(gone):
                self._connection.execute(_DELETES[len(keys)], keys)
            self._connection.execute(_PUT.format("about", "(?, ?)"), (CLOCK, clock))
            self._connection.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise
        self._about[CLOCK] = clock

    def close(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            self._connection.close()


def move_aside(path: Path) -> str:
    """The new name of a file that cannot be read. Raises OSError."""
    aside = f"{path.name}.unreadable-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    for ending in _ENDINGS:
        with contextlib.suppress(FileNotFoundError):
            Path(f"{path}{ending}").rename(path.with_name(aside + ending))
    return aside


def is_for_now(error: Exception) -> bool:
    """A full disk, no permission, somebody else's lock: the file itself may be good, and stays where it is."""
    if isinstance(error, sqlite3.OperationalError):
        return "malformed" not in str(error) and "no such column" not in str(error)
    return isinstance(error, OSError) and not isinstance(error, IsADirectoryError)


def _in_statements(rows: Sequence[_Row]) -> Iterator[Sequence[_Row]]:
    """Cut into pieces of lengths that there are statements of."""
    at = 0
    for length in _ROWS:
        while len(rows) - at >= length:
            yield rows[at : at + length]
            at += length
