"""The database file of the CDR store: lock, permissions, schema and its version, and errors as sentences.

A database that cannot be read is never touched: the operator gets a sentence and decides. It knows connections and no
records; `store` reads and writes those.
"""

import contextlib
import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote

from sbc.cdr.format import ATTEMPT_COLUMNS, CDR_COLUMNS
from sbc.core.errors import OperatorError

DATABASE: Final = "cdr.db"
LOCK: Final = "lock"
# What older programs cannot live with raises it; a column that is added does not, so that one can go back to them.
SCHEMA_VERSION: Final = 1
_FILE_MODE: Final = 0o640
_FOLDER_MODE: Final = 0o750
_MAGIC: Final = b"SQLite format 3\0"  # https://www.sqlite.org/fileformat2.html, section 1.3
_LOG_OCTETS: Final = 16_777_216  # that the write-ahead log keeps after a reader has held it up
_BUSY_SECONDS: Final = 5.0  # how long a writer waits for a foreign hand in the database (an operator's sqlite3 shell)


class StoreError(OperatorError):
    """The store cannot be opened, read or written; the message names the file and what to do."""

    is_full = False  # the disk


def lock_folder(data_dir: Path) -> int:
    """SQLite before 3.51.3 can lose pages of a write-ahead log with two writing connections: there must be one."""
    path = data_dir / LOCK
    try:
        data_dir.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        descriptor = _open_lock(path)
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


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    except OSError as error:
        # A disk that has failed is mounted read-only by the kernel.
        if error.errno != errno.EROFS:
            raise
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def open_for_writing(path: Path) -> sqlite3.Connection:
    _prepare_file(path)
    with told_to_operators(path):
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        try:
            if _is_empty(connection):
                _create(connection)
            check_version(connection, path)
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            connection.execute("PRAGMA secure_delete=ON")  # a record that is removed is gone from the file as well
            connection.execute(f"PRAGMA journal_size_limit={_LOG_OCTETS}").fetchall()
            # With the write lock, also where nothing is missing: a read-only file or folder shows now, not at the
            # first call.
            with transaction(connection):
                _add_columns(connection)
                for statement in _ADDED_TABLES:
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        except BaseException:
            connection.close()
            raise
    return connection


def _prepare_file(path: Path) -> None:
    """Who called whom is nobody else's business: SQLite gives its other files the permissions of this one.

    SQLite takes a file of a few octets for an empty database and would write over it. This may only look before the
    first connection: closing a file drops every lock that this process has on it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        start = os.read(descriptor, len(_MAGIC))
        os.close(descriptor)
    except OSError as error:
        raise StoreError(f"{path}: cannot be opened: {_reason(error)}") from error
    if start not in (b"", _MAGIC):
        raise StoreError(f"{path}: {_SENTENCES[sqlite3.SQLITE_NOTADB]}")


def connect_read_only(path: Path) -> sqlite3.Connection:
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
    with transaction(connection):
        for statement in _SCHEMA:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")


def _add_columns(connection: sqlite3.Connection) -> None:
    """A database of an older program gets the columns that it lacks; its rows have null there."""
    found = columns_of(connection, "cdr")
    for column, kind in _ADDED.items():
        if column not in found:
            connection.execute(f"ALTER TABLE cdr ADD COLUMN {column} {kind}")


def columns_of(connection: sqlite3.Connection, table: str) -> set[str]:
    return {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}


def check_version(connection: sqlite3.Connection, path: Path) -> None:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: written by a newer sbc (schema {version}, this one knows {SCHEMA_VERSION}); "
            "run that version, or give another data_dir"
        )
    tables = {"cdr": set(CDR_COLUMNS) - set(_ADDED), "attempt": set(ATTEMPT_COLUMNS)}
    for table, expected in tables.items():
        if version == 0 or not expected <= columns_of(connection, table):
            raise StoreError(f"{path}: a database, but not one of sbc's CDRs; it is left as it is")
    connection.execute(
        "SELECT * FROM cdr ORDER BY ended_at DESC LIMIT 1"
    ).fetchall()  # touches a page of the data, not only the header


@contextlib.contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
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
def told_to_operators(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        # The extended code's low octet is the primary one.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        told = StoreError(f"{path}: {_SENTENCES.get(code) or error}")
        told.is_full = code == sqlite3.SQLITE_FULL
        raise told from error


def exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError as error:
        raise StoreError(f"{path}: {_reason(error)}") from error


def identity(path: Path) -> tuple[int, int] | None:
    """What tells the file at `path` from one that had the path before; None where there is none to be had."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


_SENTENCES: Final = {
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_NOTADB: "is not an SQLite database; it is left as it is: move it away, or give another data_dir",
    sqlite3.SQLITE_CORRUPT: (
        "the CDR database is damaged; it is left as it is: move it away (sqlite3's .recover can read most of it), "
        "or give another data_dir"
    ),
    sqlite3.SQLITE_CANTOPEN: "cannot be opened; check that this user may read and write it and its folder",
    sqlite3.SQLITE_READONLY: "may not be written by this user, or its file system is read-only",
    sqlite3.SQLITE_PERM: "may not be opened by this user",
    sqlite3.SQLITE_BUSY: "is locked by another program (an open sqlite3 shell?)",
    sqlite3.SQLITE_INTERRUPT: "this takes too long; ask for less time (since, until), or read the folder (--data-dir)",
    sqlite3.SQLITE_IOERR: "the disk gave an input/output error",
}

# Columns of `cdr` that the first version had not. They stand at its end, in this order.
_ADDED: Final = {"joined_to": "TEXT", "estimated": "INTEGER"}

# No NOT NULL: a record with a gap is worth more than one that was refused.
_SCHEMA: Final = (
    """CREATE TABLE cdr(
        ref TEXT PRIMARY KEY NOT NULL, ingress TEXT, egress TEXT, route TEXT, caller TEXT, called TEXT,
        called_as_sent TEXT, started_at TEXT, ringing_at TEXT, answered_at TEXT, ended_at TEXT, billable_ms INTEGER,
        sip_status INTEGER, q850 INTEGER, ended_by TEXT, cause TEXT, emergency INTEGER, disaster INTEGER, media TEXT,
        ingress_call_id TEXT, egress_call_id TEXT, joined_to TEXT, estimated INTEGER)""",
    """CREATE TABLE attempt(
        ref TEXT NOT NULL, n INTEGER NOT NULL, peer TEXT, server TEXT, called_as_sent TEXT, started_at TEXT,
        ended_at TEXT, sip_status INTEGER, cause TEXT, call_id TEXT, PRIMARY KEY (ref, n)) WITHOUT ROWID""",
    "CREATE INDEX cdr_by_end ON cdr(ended_at, ref)",
)

# Tables that the first version had not, and that an older program does not look at. `fed`: up to where this database
# has everything of the spool. `copied`: up to which row another database has everything; with the ref, because the
# numbers of rows change where a foreign hand runs VACUUM.
_ADDED_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS copied(destination TEXT PRIMARY KEY NOT NULL, row INTEGER, ref TEXT)",
    "CREATE TABLE IF NOT EXISTS fed(destination TEXT PRIMARY KEY NOT NULL, segment INTEGER, place INTEGER)",
    """CREATE TABLE IF NOT EXISTS set_aside(
        ref TEXT NOT NULL, destination TEXT NOT NULL, reason TEXT, PRIMARY KEY (ref, destination)) WITHOUT ROWID""",
)
