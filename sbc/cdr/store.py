"""Call detail records on disk: SQLite in `data_dir/cdr.db`, one writer, any number of readers.

Tables and columns as in `docs/reference/cdr.md`. What `write` has returned for is on the disk (WAL, fsynced at each
commit). It knows no queue and no thread: the runtime's sink calls `CdrWriter` from its one writer thread; the HTTP API
and `sbc cdr` ask a `CdrReader`.
"""

import contextlib
import os
import sqlite3
from collections.abc import Container, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self

from msgspec import Struct

from sbc.cdr.database import (
    DATABASE,
    StoreError,
    check_version,
    columns_of,
    connect_read_only,
    exists,
    identity,
    lock_folder,
    open_for_writing,
    told_to_operators,
    transaction,
)
from sbc.cdr.format import ATTEMPT_COLUMNS, CDR_COLUMNS, Row, attempt_row, cdr_object, cdr_row, time_text
from sbc.cdr.record import CallRecord

__all__ = ["PAGE_RECORDS", "PAGE_RECORDS_MAXIMUM", "CdrReader", "CdrWriter", "Page", "StoreError"]

PAGE_RECORDS: Final = 100
PAGE_RECORDS_MAXIMUM: Final = 1_000


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


class Page(Struct, frozen=True):
    """Calls, oldest end first, as `format.cdr_object` shows them; `next` asks for what comes after, None at the end."""

    cdrs: list[dict[str, Any]]
    next: str | None


class CdrReader:
    """A read-only connection of its own: it never holds up the writer, and sees only what is durable."""

    def __init__(self, connection: sqlite3.Connection, path: Path, found: Container[str]) -> None:
        """`found`: the columns that `cdr` has; one that an older program has not made reads as null."""
        self._connection = connection
        self._columns = ", ".join(column if column in found else f"NULL AS {column}" for column in CDR_COLUMNS)
        self.path = path

    @classmethod
    def open(cls, data_dir: Path) -> Self:
        path = data_dir / DATABASE
        if not exists(path):
            raise StoreError(f"{path}: there is no CDR database here (sbc run creates it; is this the right data_dir?)")
        with told_to_operators(path):
            connection = connect_read_only(path)
            try:
                check_version(connection, path)
                found = columns_of(connection, "cdr")
            except BaseException:
                connection.close()
                raise
        return cls(connection, path, found)

    def page(
        self,
        *,
        since: float | None = None,
        trunk: str | None = None,
        after: str | None = None,
        limit: int = PAGE_RECORDS,
    ) -> Page:
        """Calls that ended at `since` (wall seconds) or later and touched `trunk`, following the cursor `after`.

        The cursor is the last record's place in the order (ended_at, ref), so pages neither skip nor repeat while
        records are being added. ValueError for a cursor that is none.
        """
        limit = max(1, min(limit, PAGE_RECORDS_MAXIMUM))
        where, values = _filters(since, trunk)
        if after is not None:
            ended_at, ref = _read_cursor(after)
            where.append("(ended_at, ref) > (?, ?)")
            values += [ended_at, ref]
        rows = self._rows(where, "ended_at, ref", [*values, limit + 1])
        more = len(rows) > limit
        rows = rows[:limit]
        return Page(self._objects(rows), _cursor(rows[-1]) if more else None)

    def latest(self, *, since: float | None = None, trunk: str | None = None, limit: int = PAGE_RECORDS) -> Page:
        """The last `limit` calls, oldest end first: what a person at a terminal wants to see."""
        where, values = _filters(since, trunk)
        rows = self._rows(where, "ended_at DESC, ref DESC", [*values, max(1, limit)])
        return Page(self._objects(rows[::-1]), None)

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _rows(self, where: list[str], order: str, values: list[str | int]) -> list[tuple[Any, ...]]:
        condition = f" WHERE {' AND '.join(where)}" if where else ""
        query = f"SELECT {self._columns} FROM cdr{condition} ORDER BY {order} LIMIT ?"  # noqa: S608
        with told_to_operators(self.path):
            return self._connection.execute(query, values).fetchall()

    def _objects(self, rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
        attempts: dict[str, list[tuple[Any, ...]]] = {}
        with told_to_operators(self.path):
            for row in rows:
                attempts[row[0]] = self._connection.execute(_SELECT_ATTEMPTS, (row[0],)).fetchall()
        return [cdr_object(row, attempts[row[0]]) for row in rows]


def _filters(since: float | None, trunk: str | None) -> tuple[list[str], list[str | int]]:
    where: list[str] = []
    values: list[str | int] = []
    if since is not None:
        where.append("ended_at >= ?")
        values.append(time_text(since))
    if trunk is not None:
        where.append("(ingress = ? OR egress = ?)")
        values += [trunk, trunk]
    return where, values


def _cursor(row: tuple[Any, ...]) -> str:
    return f"{row[_ENDED_AT]},{row[0]}"


def _read_cursor(text: str) -> tuple[str, str]:
    ended_at, comma, ref = text.partition(",")
    if not comma or len(text) > 200:
        raise ValueError("this is not a cursor; expected the `next` of an earlier answer")
    return ended_at, ref


def _storable(row: Row) -> Row:
    """Octets of a peer that were no UTF-8 and came in as lone surrogates cannot be stored as they are."""
    return tuple(v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) else v for v in row)


def _insert(table: str, columns: Sequence[str], *, key: str) -> str:
    values = ", ".join("?" * len(columns))
    return f"INSERT INTO {table}({', '.join(columns)}) VALUES ({values}) ON CONFLICT({key}) DO NOTHING"  # noqa: S608


_ENDED_AT: Final = CDR_COLUMNS.index("ended_at")
_INSERT_CDR: Final = _insert("cdr", CDR_COLUMNS, key="ref")
_INSERT_ATTEMPT: Final = _insert("attempt", ATTEMPT_COLUMNS, key="ref, n")
_SELECT_ATTEMPTS: Final = f"SELECT {', '.join(ATTEMPT_COLUMNS)} FROM attempt WHERE ref = ? ORDER BY n"  # noqa: S608
