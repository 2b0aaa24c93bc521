"""Call detail records on disk: SQLite in `data_dir/cdr.db`, one writer, any number of readers.

Tables and columns as in `docs/reference/cdr.md`. What `write` has returned for is on the disk (WAL, fsynced at each
commit). A database that cannot be read is never touched: the operator gets a sentence and decides.
It knows no queue and no thread: the runtime's sink calls `CdrWriter` from its one writer thread; the HTTP API and
`sbc cdr` ask a `CdrReader`.
"""

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote

from msgspec import Struct

from sbc.cdr.format import ATTEMPT_COLUMNS, CDR_COLUMNS, Row, attempt_row, cdr_object, cdr_row, time_text
from sbc.cdr.record import CallRecord
from sbc.core.errors import OperatorError

DATABASE: Final = "cdr.db"
LOCK: Final = "lock"
SCHEMA_VERSION: Final = 1
PAGE_RECORDS: Final = 100
PAGE_RECORDS_MAXIMUM: Final = 1_000
_FILE_MODE: Final = 0o640
_FOLDER_MODE: Final = 0o750
_MAGIC: Final = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat2.html, section 1.3
_BUSY_SECONDS: Final = 5.0  # how long a writer waits for a foreign hand in the database (an operator's sqlite3 shell)


class StoreError(OperatorError):
    """The store cannot be opened, read or written; the message names the file and what to do."""


class CdrWriter:
    """The one connection that writes. Opening takes the data_dir's lock, so that a second SBC on it is refused.

    It may be used from any thread, by one at a time.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path, lock: int) -> None:
        self._connection = connection
        self._lock = lock
        self.path = path

    @classmethod
    def open(cls, data_dir: Path) -> Self:
        """Open or create the store. StoreError when the folder, the lock or the database cannot be had."""
        path = data_dir / DATABASE
        lock = _lock_folder(data_dir)
        try:
            connection = _open_for_writing(path)
        except BaseException:
            os.close(lock)
            raise
        return cls(connection, path, lock)

    def write(self, records: Sequence[CallRecord]) -> None:
        """Store all or none; once this returns they are durable. A `ref` that is already there stays as it is."""
        calls = [cdr_row(record) for record in records]
        attempts = [attempt_row(record.ref, attempt) for record in records for attempt in record.attempts]
        try:
            self._insert(calls, attempts)
        except UnicodeEncodeError:
            self._insert([_storable(row) for row in calls], [_storable(row) for row in attempts])

    def _insert(self, calls: list[Row], attempts: list[Row]) -> None:
        with _told_to_operators(self.path), _transaction(self._connection):
            self._connection.executemany(_INSERT_CDR, calls)
            self._connection.executemany(_INSERT_ATTEMPT, attempts)

    def close(self) -> None:
        """Closing folds the write-ahead log into the database and gives the lock back."""
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

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection = connection
        self.path = path

    @classmethod
    def open(cls, data_dir: Path) -> Self:
        path = data_dir / DATABASE
        if not _exists(path):
            raise StoreError(f"{path}: there is no CDR database here (sbc run creates it; is this the right data_dir?)")
        with _told_to_operators(path):
            connection = _connect_read_only(path)
            try:
                _check_version(connection, path)
            except BaseException:
                connection.close()
                raise
        return cls(connection, path)

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
        query = f"SELECT {', '.join(CDR_COLUMNS)} FROM cdr{condition} ORDER BY {order} LIMIT ?"  # noqa: S608
        with _told_to_operators(self.path):
            return self._connection.execute(query, values).fetchall()

    def _objects(self, rows: list[tuple[Any, ...]]) -> list[dict[str, Any]]:
        attempts: dict[str, list[tuple[Any, ...]]] = {}
        with _told_to_operators(self.path):
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


def _lock_folder(data_dir: Path) -> int:
    """SQLite before 3.51.3 can lose pages of a write-ahead log with two writing connections: there must be one."""
    path = data_dir / LOCK
    try:
        data_dir.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    except OSError as error:
        raise StoreError(f"{data_dir}: cannot keep CDRs here: {_reason(error)}") from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno in (errno.EAGAIN, errno.EACCES):
            raise StoreError(f"{data_dir}: this data_dir is in use by another sbc process") from error
        raise StoreError(f"{path}: cannot be locked: {_reason(error)}") from error
    return descriptor


def _open_for_writing(path: Path) -> sqlite3.Connection:
    _prepare_file(path)
    with _told_to_operators(path):
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            if _is_empty(connection):
                _create(connection)
            _check_version(connection, path)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            # An empty transaction with the write lock: a read-only file or folder shows now, not at the first call.
            with _transaction(connection):
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare_file(path: Path) -> None:
    """Who called whom is nobody else's business: SQLite gives its other files the permissions of this one.

    SQLite takes a file of a few octets for an empty database and would write over it. This may only look before the first
    connection: closing a file drops every lock that this process has on it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        with open(descriptor, "rb") as file:
            start = file.read(len(_MAGIC))
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {_reason(error)}") from error
    if start not in (b"", _MAGIC):
        raise StoreError(f"{path}: {_SENTENCES[sqlite3.SQLITE_NOTADB]}")


def _connect_read_only(path: Path) -> sqlite3.Connection:
    """A clean store has no write-ahead log; who may not create one (not our folder) reads the file as it lies."""
    uri = f"file:{quote(str(path.absolute()))}?mode=ro"
    connection = sqlite3.connect(uri, uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema")
    except sqlite3.OperationalError:
        connection.close()
        if Path(f"{path}-wal").exists() or not os.access(path, os.R_OK):
            raise
        return sqlite3.connect(f"{uri}&immutable=1", uri=True, isolation_level=None, check_same_thread=False)
    return connection


def _is_empty(connection: sqlite3.Connection) -> bool:
    tables: int = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return tables == 0 and version == 0


def _create(connection: sqlite3.Connection) -> None:
    with _transaction(connection):
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _check_version(connection: sqlite3.Connection, path: Path) -> None:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: written by a newer sbc (schema {version}, this one knows {SCHEMA_VERSION}); "
            "run that version, or give another data_dir"
        )
    tables = {"cdr": set(CDR_COLUMNS), "attempt": set(ATTEMPT_COLUMNS)}
    for table, expected in tables.items():
        found = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        if version == 0 or not expected <= found:
            raise StoreError(f"{path}: a database, but not one of sbc's CDRs; it is left as it is")
    connection.execute(
        "SELECT * FROM cdr ORDER BY ended_at DESC LIMIT 1"
    ).fetchall()  # touches a page of the data, not only the header


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        # A full disk has already rolled back by itself in some cases.
        if connection.in_transaction:
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
        raise


@contextlib.contextmanager
def _told_to_operators(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        # The extended code's low octet is the primary one.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        raise StoreError(f"{path}: {_SENTENCES.get(code) or error}") from error


def _storable(row: Row) -> Row:
    """Octets of a peer that were no UTF-8 and came in as lone surrogates cannot be stored as they are."""
    return tuple(v.encode("utf-8", "backslashreplace").decode() if isinstance(v, str) else v for v in row)


def _insert(table: str, columns: Sequence[str], *, key: str) -> str:
    values = ", ".join("?" * len(columns))
    return f"INSERT INTO {table}({', '.join(columns)}) VALUES ({values}) ON CONFLICT({key}) DO NOTHING"  # noqa: S608


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"{path}: {_reason(error)}") from error


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


_ENDED_AT: Final = CDR_COLUMNS.index("ended_at")
_INSERT_CDR: Final = _insert("cdr", CDR_COLUMNS, key="ref")
_INSERT_ATTEMPT: Final = _insert("attempt", ATTEMPT_COLUMNS, key="ref, n")
_SELECT_ATTEMPTS: Final = f"SELECT {', '.join(ATTEMPT_COLUMNS)} FROM attempt WHERE ref = ? ORDER BY n"  # noqa: S608

_SENTENCES: Final = {
    sqlite3.SQLITE_FULL: "the disk is full; nothing of this batch was stored",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database; it is left as it is: move it away, or give another data_dir",
    sqlite3.SQLITE_CORRUPT: (
        "the CDR database is damaged; it is left as it is: move it away (sqlite3's .recover can read most of it), "
        "or give another data_dir"
    ),
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that this user may read and write it and its folder",
    sqlite3.SQLITE_READONLY: "may not be written by this user, or its file system is read-only",
    sqlite3.SQLITE_PERM: "may not be opened by this user",
    sqlite3.SQLITE_BUSY: "is locked by another program (an open sqlite3 shell?)",
    sqlite3.SQLITE_IOERR: "the disk gave an input/output error",
}

# No NOT NULL: a record with a gap is worth more than one that was refused.
_SCHEMA: Final = (
    """CREATE TABLE cdr(
        ref TEXT PRIMARY KEY NOT NULL, ingress TEXT, egress TEXT, route TEXT, caller TEXT, called TEXT,
        called_as_sent TEXT, started_at TEXT, ringing_at TEXT, answered_at TEXT, ended_at TEXT, billable_ms INTEGER,
        sip_status INTEGER, q850 INTEGER, ended_by TEXT, cause TEXT, emergency INTEGER, disaster INTEGER, media TEXT,
        ingress_call_id TEXT, egress_call_id TEXT)""",
    """CREATE TABLE attempt(
        ref TEXT NOT NULL, n INTEGER NOT NULL, peer TEXT, server TEXT, called_as_sent TEXT, started_at TEXT,
        ended_at TEXT, sip_status INTEGER, cause TEXT, call_id TEXT, PRIMARY KEY (ref, n)) WITHOUT ROWID""",
    "CREATE INDEX cdr_by_end ON cdr(ended_at, ref)",
)
