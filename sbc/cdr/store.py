"""Call detail records on disk: SQLite in `data_dir/cdr.db`, one writer, any number of readers.

Tables and columns as in `docs/reference/cdr.md`. What `write` has returned for is on the disk (WAL, fsynced at each
commit). It knows no queue and no thread: the runtime calls `CdrWriter` from the one thread that feeds it of the spool;
the HTTP API and `sbc cdr` ask a `CdrReader` (of `reader`).
"""

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, NoReturn, Self

from sbc.cdr.database import (
    DATABASE,
    StoreError,
    identity,
    lock_folder,
    open_for_writing,
    told_to_operators,
    transaction,
)
from sbc.cdr.format import ATTEMPT_COLUMNS, CDR_COLUMNS, Row, attempt_row, cdr_row, time_text
from sbc.cdr.reader import PAGE_RECORDS, PAGE_RECORDS_MAXIMUM, CdrReader, Page, Place
from sbc.cdr.record import CallRecord
from sbc.cdr.spool import Spot
from sbc.core import limits
from sbc.core.surrogates import spelled

__all__ = ["PAGE_RECORDS", "PAGE_RECORDS_MAXIMUM", "CdrReader", "CdrWriter", "Page", "Place", "StoreError"]


class CdrWriter:
    """The one connection that writes. Opening takes the data_dir's lock, so that a second SBC on it is refused.

    It may be used from any thread; one waits for the other.
    """

    _connection: sqlite3.Connection  # there is none while it `is_late`

    def __init__(self, path: Path, lock: int) -> None:
        self._lock = lock
        self._file: tuple[int, int] | None = None
        self._turn = threading.Lock()
        self.is_late = True
        self.path = path
        self.newest = 0  # the number of the row that was written last; 0: there is none

    @classmethod
    def open(cls, data_dir: Path, *, is_restart: bool = False) -> Self:
        """Open or create the store. StoreError when the folder, the lock or the database cannot be had.

        `is_restart`: a database that cannot be had now is late: each use of it tries again, and says why not. So it is
        with a full disk at any start where there is a database: the spool has what it lacks.
        """
        path = data_dir / DATABASE
        writer, is_new = cls(path, lock_folder(data_dir)), identity(path) is None
        try:
            writer._open()
        except StoreError as error:
            if not is_restart and not (error.is_full and not is_new):
                os.close(writer._lock)
                raise
        except BaseException:
            os.close(writer._lock)
            raise
        return writer

    def _open(self) -> None:
        self._connection = open_for_writing(self.path)
        with told_to_operators(self.path):
            self.newest = newest_row(self._connection)
        self._file = identity(self.path)
        self.is_late = False

    def fed(self) -> Spot:
        """Up to where it has the records of the spool; the beginning, where it has none."""
        with self._working():
            found = self._connection.execute(_SELECT_FED).fetchone()
            return Spot() if found is None else Spot(*found)

    def take(self, records: Sequence[CallRecord], spot: Spot) -> None:
        """`feed.Destination`."""
        self.write(records, spot)

    def write(self, records: Sequence[CallRecord], spot: Spot | None = None) -> None:
        """Store all or none; once this returns they are durable. A `ref` that is already there stays as it is.

        `spot`: what `fed` says from then on.

        Where the file is not in its place any more, a new one is begun, and StoreError says so: write again.
        """
        calls = [cdr_row(record) for record in records]
        attempts = [attempt_row(record.ref, attempt) for record in records for attempt in record.attempts]
        with self._turn:
            if self.is_late:
                self._open()
            if self._file is None or identity(self.path) != self._file:
                self._begin_anew()
            try:
                self._insert(calls, attempts, spot)
            except UnicodeEncodeError:
                self._insert([_storable(row) for row in calls], [_storable(row) for row in attempts], spot)

    # --- copies in other databases ------------------------------------------------------------------------------------

    def copied_to(self, destination: str) -> Place | None:
        """The last record that this destination has for certain; None: it may have none."""
        with self._working():
            return place_of_copy(self._connection, destination)

    def rows_before(self) -> int:
        """The number before that of the first row: so many rows are no more."""
        with self._working():
            found: int | None = self._connection.execute("SELECT min(rowid) FROM cdr").fetchone()[0]
            return (found or 1) - 1

    def set_copied(self, destination: str, place: Place, refused: Sequence[tuple[str, str]] = ()) -> None:
        """It has everything up to `place`, but for the refs in `refused`, each with its reason, which are set aside."""
        with self._working(), transaction(self._connection):
            for statement in _FORGET_OTHER_COPIES:
                self._connection.execute(statement, (destination,))
            self._connection.execute(_SET_COPIED, (destination, place.row, place.ref))
            self._connection.executemany(_SET_ASIDE, [(destination, ref, reason) for ref, reason in refused])

    def set_aside(self, destination: str) -> list[str]:
        """Refs that it has refused."""
        with self._working():
            return [ref for (ref,) in self._connection.execute(_SELECT_ASIDE, (destination,))]

    def take_back(self, destination: str, ref: str) -> None:
        """It has that one now."""
        with self._working(), transaction(self._connection):
            self._connection.execute(_TAKE_BACK, (destination, ref))

    # --- an end of records --------------------------------------------------------------------------------------------

    def forget(self, before: float, destination: str | None, limit: int) -> int:
        """Remove at most `limit` records of calls that ended before that (wall seconds), with their attempts; how many.

        With a `destination` only what it has, and nothing that it has refused. The newest row stays always: its number
        must not be given again, or a copy would take a new record for one that it has.
        """
        with self._working():
            place = None if destination is None else place_of_copy(self._connection, destination)
            end = self.newest if destination is None else min(self.newest, place.row if place is not None else 0)
            # No more rows are looked at than can be set aside, and the ones that are removed.
            values = (time_text(before), limit + limits.CDR_SET_ASIDE, end, destination, limit)
            rows = self._connection.execute(_SELECT_OLD, values).fetchall()
            if rows:
                with transaction(self._connection):
                    self._connection.executemany(_DELETE_CDR, [(row,) for row, _ in rows])
                    self._connection.executemany(_DELETE_ATTEMPTS, [(ref,) for _, ref in rows])
            return len(rows)

    @contextlib.contextmanager
    def _working(self) -> Iterator[None]:
        with self._turn, told_to_operators(self.path):
            if self.is_late:
                self._open()
            if self._file is None:
                raise StoreError(f"{self.path}: is closed")
            if identity(self.path) != self._file:
                self._begin_anew()
            yield

    def _insert(self, calls: list[Row], attempts: list[Row], spot: Spot | None) -> None:
        with told_to_operators(self.path), transaction(self._connection):
            self._connection.executemany(_INSERT_CDR, calls)
            self._connection.executemany(_INSERT_ATTEMPT, attempts)
            if spot is not None:
                self._connection.execute(_SET_FED, (spot.segment, spot.offset))
        self.newest = newest_row(self._connection)

    def _begin_anew(self) -> NoReturn:
        """Somebody moved the file away, or its folder: what is written to it now would be looked for in vain."""
        if self._file is not None:
            # SQLite leaves the log of a file that has moved as it is, and a new database would find it as its own.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._close()
        self._lock = lock_folder(self.path.parent)
        try:
            self._connection = open_for_writing(self.path)
        except BaseException:
            os.close(self._lock)
            raise
        self._file = identity(self.path)
        self.newest = newest_row(self._connection)
        raise StoreError(f"{self.path}: was moved or removed while in use; a new one is begun")

    def close(self) -> None:
        """Closing folds the write-ahead log into the database and gives the lock back."""
        with self._turn:
            self._close()

    def _close(self) -> None:
        if self.is_late:
            self.is_late = False
            os.close(self._lock)
        if self._file is None:
            return
        self._file = None
        try:
            with contextlib.suppress(sqlite3.Error):
                self._connection.close()
        finally:
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def newest_row(connection: sqlite3.Connection) -> int:
    found: int | None = connection.execute("SELECT max(rowid) FROM cdr").fetchone()[0]
    return found or 0


def place_of_copy(connection: sqlite3.Connection, destination: str) -> Place | None:
    """None also where the row is not that record any more: a foreign hand, or a VACUUM that numbered them anew."""
    found = connection.execute(_SELECT_COPIED, (destination,)).fetchone()
    return None if found is None else Place(*found)


def _storable(row: Row) -> Row:
    """Octets of a peer that were no UTF-8 and came in as lone surrogates cannot be stored as they are."""
    return tuple(spelled(value) if isinstance(value, str) else value for value in row)


def _insert(table: str, columns: Sequence[str], *, key: str) -> str:
    values = ", ".join("?" * len(columns))
    return f"INSERT INTO {table}({', '.join(columns)}) VALUES ({values}) ON CONFLICT({key}) DO NOTHING"  # noqa: S608


_INSERT_CDR: Final = _insert("cdr", CDR_COLUMNS, key="ref")
_INSERT_ATTEMPT: Final = _insert("attempt", ATTEMPT_COLUMNS, key="ref, n")
_SELECT_FED: Final = "SELECT segment, place FROM fed WHERE destination = 'cdr.db'"
_SET_FED: Final = "INSERT OR REPLACE INTO fed(destination, segment, place) VALUES ('cdr.db', ?, ?)"
_SELECT_COPIED: Final = """
SELECT row, copied.ref FROM copied JOIN cdr ON cdr.rowid = row AND cdr.ref = copied.ref WHERE destination = ?"""
_SET_COPIED: Final = "INSERT OR REPLACE INTO copied(destination, row, ref) VALUES (?, ?, ?)"
_FORGET_OTHER_COPIES: Final = (
    "DELETE FROM copied WHERE destination <> ?",
    "DELETE FROM set_aside WHERE destination <> ?",
)
_SET_ASIDE: Final = "INSERT OR REPLACE INTO set_aside(destination, ref, reason) VALUES (?, ?, ?)"
_SELECT_ASIDE: Final = "SELECT ref FROM set_aside WHERE destination = ?"
_TAKE_BACK: Final = "DELETE FROM set_aside WHERE destination = ? AND ref = ?"
_SELECT_OLD: Final = """
SELECT row, ref FROM (SELECT rowid AS row, ref FROM cdr WHERE ended_at < ? ORDER BY ended_at, ref LIMIT ?) AS old
WHERE row < ? AND NOT EXISTS (SELECT 1 FROM set_aside WHERE set_aside.ref = old.ref AND destination = ?) LIMIT ?"""
_DELETE_CDR: Final = "DELETE FROM cdr WHERE rowid = ?"
_DELETE_ATTEMPTS: Final = "DELETE FROM attempt WHERE ref = ?"
