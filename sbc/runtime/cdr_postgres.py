"""Call records into PostgreSQL: one connection, tables where they are missing, a batch in one statement.

A batch goes as one JSON text and is unpacked by the server, so that a thread of ours spends next to nothing on it while
calls want the processor. The statement is one transaction: all of a batch is there, or nothing. What is there already
stays as it is. It knows no cursor and no thread; `cdr_copy` decides what is copied and when. Needs psycopg (the extra
`postgres`).
"""

import contextlib
import importlib
import importlib.util
import os
import socket
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import msgspec

from sbc.cdr.format import ATTEMPT_COLUMNS, CDR_COLUMNS
from sbc.core.errors import OperatorError
from sbc.policy.model import Postgres

if TYPE_CHECKING:
    import psycopg

_CONNECT_SECONDS: Final = 10
_STATEMENT_SECONDS: Final = 20  # the server ends it then
_PATIENCE_SECONDS: Final = 25.0  # for a server that does not even do that: the connection is cut
_REASON_CHARACTERS: Final = 300
# Classes of SQLSTATE that are about the record and not about the server: data, integrity, a view's WITH CHECK OPTION,
# limits of a program, and what a trigger refuses in words of its own (RAISE EXCEPTION).
_ABOUT_RECORDS: Final = ("22", "23", "44", "54", "P0")

Row = Sequence[Any]
Refused = tuple[str, str]  # ref and reason


class CopyError(OperatorError):
    """The records could not be copied now. The message is for the log: it holds no password."""


def need_psycopg(postgres: Postgres | None) -> None:
    """OperatorError where records are to be copied and the library is missing. It is not loaded yet: that is slow."""
    if postgres is not None and importlib.util.find_spec("psycopg") is None:
        raise OperatorError("sbc.cdr.postgres: psycopg is not installed; pip install 'sbc[postgres]' brings it")


class PostgresCopy:
    """One connection. All methods but `cut` from one thread."""

    def __init__(self, postgres: Postgres) -> None:
        """Connected, with tables. CopyError says what is in the way."""
        self._secret = "" if postgres.password is None else postgres.password.text
        self._psycopg = _load()
        with self._explained():
            self._connection = self._connect(postgres)
        # A descriptor of its own for the socket: others can cut it whatever has become of the connection.
        self._door = socket.socket(fileno=os.dup(self._connection.fileno()))
        try:
            with self._explained(), self._at_most():
                self._prepare()
        except BaseException:
            self.close()
            raise

    def put(self, calls: Sequence[Row], attempts: Sequence[Row]) -> list[Refused]:
        """All of them, in the order of `CDR_COLUMNS` and `ATTEMPT_COLUMNS`. What it returns for is committed; the rest
        is refused by the server for good, each alone.
        """
        values = [_json(CDR_COLUMNS, calls), _json(ATTEMPT_COLUMNS, attempts)]
        try:
            with self._explained(), self._at_most():
                self._connection.execute(_INSERT, values)
        except _RecordRefusedError as error:
            if len(calls) == 1:
                return [(calls[0][0], str(error))]
        else:
            return []
        # One of them is to blame: the half with it is found, and the others are not held up.
        middle = len(calls) // 2
        refused: list[Refused] = []
        for half in (calls[:middle], calls[middle:]):
            refs = {row[0] for row in half}
            refused += self.put(half, [row for row in attempts if row[0] in refs])
        return refused

    def cut(self) -> None:
        """From any thread: whatever waits for the server waits no longer, and fails."""
        with contextlib.suppress(OSError):
            self._door.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._door.close()
        with contextlib.suppress(Exception):
            self._connection.close()

    def _connect(self, postgres: Postgres) -> "psycopg.Connection[tuple[Any, ...]]":
        asked = self._psycopg.conninfo.conninfo_to_dict(postgres.url)
        ours: dict[str, Any] = {
            "connect_timeout": _CONNECT_SECONDS,
            "tcp_user_timeout": int(_PATIENCE_SECONDS * 1000),
            "keepalives_idle": 60,
            "keepalives_interval": 10,
            "keepalives_count": 3,
            "application_name": "sbc",
        }
        ours = {key: value for key, value in ours.items() if key not in asked}
        if postgres.password is not None:
            ours["password"] = postgres.password.text
        # Nothing is prepared in the server: there may be a pooler between.
        connection: psycopg.Connection[tuple[Any, ...]] = self._psycopg.connect(
            postgres.url, autocommit=True, prepare_threshold=None, client_encoding="utf8", **ours
        )
        return connection

    def _prepare(self) -> None:
        """A commit must be one: what is copied is not looked at again. And no lock of somebody's holds us for ever."""
        execute = self._connection.execute
        for key, value in (
            ("synchronous_commit", "on"),
            ("statement_timeout", f"{_STATEMENT_SECONDS}s"),
            ("lock_timeout", f"{_STATEMENT_SECONDS}s"),
        ):
            execute("SELECT set_config(%s, %s, false)", (key, value))
        (encoding,) = execute("SHOW server_encoding").fetchone() or ("",)
        if encoding != "UTF8":
            raise CopyError(
                f"the database's encoding is {encoding}; expected UTF8, for numbers and names can be any text"
            )
        for table, create, columns in _TABLES:
            if execute("SELECT to_regclass(%s)", (table,)).fetchone() == (None,):
                for statement in create:
                    execute(statement)
            self._add_columns(table, columns)

    def _add_columns(self, table: str, columns: dict[str, str]) -> None:
        """A table of an older version gets what it lacks."""
        cursor = self._connection.execute(_COLUMNS, (table,))
        found = {name for (name,) in cursor.fetchall()}
        for name, statement in columns.items():
            if name not in found:
                self._connection.execute(statement)

    @contextlib.contextmanager
    def _at_most(self) -> Iterator[None]:
        """What it takes longer than the patience, fails: a server that hangs does not see to its own timeouts."""
        timer = threading.Timer(_PATIENCE_SECONDS, self.cut)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except self._psycopg.Error as error:
            reason = self._reason(error)
            if (error.sqlstate or "").startswith(_ABOUT_RECORDS):
                raise _RecordRefusedError(reason) from None
            raise CopyError(reason) from None

    def _reason(self, error: "psycopg.Error") -> str:
        """One line, without the password, and without the lines in which a server quotes the record."""
        text = error.diag.message_primary or next(iter(str(error).strip().splitlines()), "") or type(error).__name__
        if self._secret:
            text = text.replace(self._secret, "***")
        return text[:_REASON_CHARACTERS]


class _RecordRefusedError(CopyError):
    pass


def _load() -> Any:
    """Slow, so in the thread that needs it."""
    try:
        found = importlib.import_module("psycopg")
        importlib.import_module("psycopg.conninfo")
    except ImportError as error:  # also where it is there, and its C library is not
        raise CopyError(f"psycopg cannot be used: {str(error).splitlines()[0]}") from error
    return found


def _json(columns: Sequence[str], rows: Sequence[Row]) -> str:
    """What a text of JSON cannot be in PostgreSQL (NUL) is written as its escape."""
    objects = [{name: _plain(name, value) for name, value in zip(columns, row, strict=True)} for row in rows]
    return msgspec.json.encode(objects).decode()


def _plain(name: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if name == "media" and "\\u0000" not in value and _is_json(value):
        return msgspec.Raw(value.encode())
    return value.replace("\x00", "\\x00") if "\x00" in value else value


def _is_json(text: str) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return False
    return True


_CDR_TYPES: Final[dict[str, str]] = {
    "ref": "text", "ingress": "text", "egress": "text", "route": "text", "caller": "text", "called": "text",
    "called_as_sent": "text", "started_at": "timestamptz", "ringing_at": "timestamptz", "answered_at": "timestamptz",
    "ended_at": "timestamptz", "billable_ms": "bigint", "sip_status": "integer", "q850": "integer", "ended_by": "text",
    "cause": "text", "emergency": "boolean", "disaster": "boolean", "media": "jsonb", "ingress_call_id": "text",
    "egress_call_id": "text", "joined_to": "text", "estimated": "boolean",
}  # fmt: skip
_ATTEMPT_TYPES: Final[dict[str, str]] = {
    "ref": "text", "n": "integer", "peer": "text", "server": "text", "called_as_sent": "text",
    "started_at": "timestamptz", "ended_at": "timestamptz", "sip_status": "integer", "cause": "text", "call_id": "text",
}  # fmt: skip


def _definitions(types: dict[str, str]) -> str:
    return ", ".join([f"{name} {kind}" for name, kind in types.items()])


_COLUMNS: Final = (
    "SELECT attname FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped"
)
_TABLES: Final[tuple[tuple[str, tuple[str, ...], dict[str, str]], ...]] = (
    (
        "cdr",
        (
            f"CREATE TABLE IF NOT EXISTS cdr({_definitions(_CDR_TYPES)}, PRIMARY KEY (ref))",
            "CREATE INDEX IF NOT EXISTS cdr_by_end ON cdr(ended_at)",
        ),
        {name: f"ALTER TABLE cdr ADD COLUMN IF NOT EXISTS {name} {kind}" for name, kind in _CDR_TYPES.items()},
    ),
    (
        "attempt",
        (f"CREATE TABLE IF NOT EXISTS attempt({_definitions(_ATTEMPT_TYPES)}, PRIMARY KEY (ref, n))",),
        {name: f"ALTER TABLE attempt ADD COLUMN IF NOT EXISTS {name} {kind}" for name, kind in _ATTEMPT_TYPES.items()},
    ),
)


def _insert(table: str, types: dict[str, str], key: str) -> str:
    names = ", ".join(types)
    return (
        f"INSERT INTO {table}({names}) SELECT {names} FROM json_to_recordset(%s::json) AS r({_definitions(types)}) "  # noqa: S608
        f"ON CONFLICT ({key}) DO NOTHING"
    )


# One statement, so that it is one transaction and one journey.
_INSERT: Final = f"WITH calls AS ({_insert('cdr', _CDR_TYPES, 'ref')}) {_insert('attempt', _ATTEMPT_TYPES, 'ref, n')}"
