"""Call detail records on disk: SQLite in `data_dir/cdr.db`, one writer, any number of readers.

Tables and columns as in `docs/reference/cdr.md`. What `write` has returned for is on the disk (WAL, fsynced at each
commit). It knows no queue and no thread: the runtime's sink calls `CdrWriter` from its one writer thread; the HTTP API
and `sbc cdr` ask a `CdrReader` (of `reader`).
"""

import contextlib
import os
import sqlite3
from collections.abc import Sequence
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
from sbc.cdr.format import ATTEMPT_COLUMNS, CDR_COLUMNS, Row, attempt_row, cdr_row
from sbc.cdr.reader import PAGE_RECORDS, PAGE_RECORDS_MAXIMUM, CdrReader, Page
from sbc.cdr.record import CallRecord

__all__ = ["PAGE_RECORDS", "PAGE_RECORDS_MAXIMUM", "CdrReader", "CdrWriter", "Page", "StoreError"]


class CdrWriter:
    """The one connection that writes. Opening takes the data_dir's lock, so that a second SBC on it is refused.

    It may be used from any thread, by one at a time.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, lock: int) -> None:
        self._connection = connection
        self._lock = lock
        self._file = identity(path)
        self.path = path

    @classmethod
    def open(cls, data_dir: Path) -> Self:
        """Open or create the store. StoreError when the folder, the lock or the database cannot be had."""
        path = data_dir / DATABASE
        lock = lock_folder(data_dir)
        try:
            connection = open_for_writing(path)
        except BaseException:
            os.close(lock)
            raise
        return cls(connection, path, lock)

    def write(self, records: Sequence[CallRecord]) -> None:
        """Store all or none; once this returns they are durable. A `ref` that is already there stays as it is.

        Where the file is not in its place any more, a new one is begun, and StoreError says so: write again.
        """
        if self._file is None or identity(self.path) != self._file:
            self._begin_anew()
        calls = [cdr_row(record) for record in records]
        attempts = [attempt_row(record.ref, attempt) for record in records for attempt in record.attempts]
        try:
            self._insert(calls, attempts)
        except UnicodeEncodeError:
            self._insert([_storable(row) for row in calls], [_storable(row) for row in attempts])

    def _insert(self, calls: list[Row], attempts: list[Row]) -> None:
        with told_to_operators(self.path), transaction(self._connection):
            self._connection.executemany(_INSERT_CDR, calls)
            self._connection.executemany(_INSERT_ATTEMPT, attempts)

    def _begin_anew(self) -> NoReturn:
        """Somebody moved the file away, or its folder: what is written to it now would be looked for in vain."""
        if self._file is not None:
            # SQLite leaves the log of a file that has moved as it is, and a new database would find it as its own.
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self.close()
        self._lock = lock_folder(self.path.parent)
        try:
            self._connection = open_for_writing(self.path)
        except BaseException:
            os.close(self._lock)
            raise
        self._file = identity(self.path)
        raise StoreError(f"{self.path}: was moved or removed while in use; a new one is begun")

    def close(self) -> None:
        """Closing folds the write-ahead log into the database and gives the lock back."""
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


def _storable(row: Row) -> Row:
    """Octets of a peer that were no UTF-8 and came in as lone surrogates cannot be stored as they are."""
    return tuple(v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) else v for v in row)


def _insert(table: str, columns: Sequence[str], *, key: str) -> str:
    values = ", ".join("?" * len(columns))
    return f"INSERT INTO {table}({', '.join(columns)}) VALUES ({values}) ON CONFLICT({key}) DO NOTHING"  # noqa: S608


_INSERT_CDR: Final = _insert("cdr", CDR_COLUMNS, key="ref")
_INSERT_ATTEMPT: Final = _insert("attempt", ATTEMPT_COLUMNS, key="ref, n")
