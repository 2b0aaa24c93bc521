"""The reading half of the CDR store: pages, the newest records, all of them in a stream, and the legs for a report.

Each reader has a read-only connection of its own: it never holds up the writer, and sees only what is durable. Nothing
here holds more than a page. Used by the HTTP API, `sbc cdr` and the copy to another database.
"""

import sqlite3
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from msgspec import Struct

from sbc.cdr.database import (
    DATABASE,
    StoreError,
    check_version,
    columns_of,
    connect_read_only,
    exists,
    told_to_operators,
)
from sbc.cdr.filters import Filters
from sbc.cdr.format import ATTEMPT_COLUMNS, CDR_COLUMNS, cdr_object, time_text
from sbc.cdr.report import Leg, leg_of

PAGE_RECORDS: Final = 100
PAGE_RECORDS_MAXIMUM: Final = 1_000
_STEPS_BETWEEN_LOOKS: Final = 20_000  # of SQLite's machine, well below a millisecond
_ROWS_BETWEEN_BREATHS: Final = 200
_EVERYTHING: Final = Filters()


class Page(Struct, frozen=True):
    """Calls, oldest end first, as `format.cdr_object` shows them; `next` asks for what comes after, None at the end."""

    cdrs: list[dict[str, Any]]
    next: str | None


class Place(Struct, frozen=True):
    """A record's place in the order of writing. Its `ref` tells whether the numbers still are what they were."""

    row: int
    ref: str


class CdrReader:
    """May be used from any thread, by one at a time."""

    def __init__(self, connection: sqlite3.Connection, path: Path, found: Container[str]) -> None:
        """`found`: the columns that `cdr` has; one that an older program has not made reads as null."""
        self._connection = connection
        self._columns = ", ".join(column if column in found else f"NULL AS {column}" for column in CDR_COLUMNS)
        self._breathe: Callable[[], None] | None = None
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

    def be_considerate(self, *, is_late: Callable[[], bool], breathe: Callable[[], None]) -> None:
        """For a reader that shares a process with calls: no question goes on after `is_late` (StoreError), and
        `breathe` is called now and then while many rows are worked on, to let others run.
        """
        self._connection.set_progress_handler(is_late, _STEPS_BETWEEN_LOOKS)
        self._breathe = breathe

    # --- records ------------------------------------------------------------------------------------------------------

    def page(self, chosen: Filters = _EVERYTHING, *, after: str | None = None, limit: int = PAGE_RECORDS) -> Page:
        """The chosen calls in the order of their ends, following the cursor `after`.

        The cursor is the last record's place in the order (ended_at, ref), so pages neither skip nor repeat while
        records are being added. ValueError for a cursor that is none.
        """
        limit = max(1, min(limit, PAGE_RECORDS_MAXIMUM))
        where, values = chosen.conditions()
        if after is not None:
            ended_at, ref = _read_cursor(after)
            where.append("(ended_at, ref) > (?, ?)")
            values += [ended_at, ref]
        rows = self._rows(where, "ended_at, ref", [*values, limit + 1])
        more = len(rows) > limit
        rows = rows[:limit]
        return Page(self._objects(rows), _cursor(rows[-1]) if more else None)

    def latest(self, chosen: Filters = _EVERYTHING, *, limit: int = PAGE_RECORDS) -> Page:
        """The last `limit` calls, oldest end first: what a person at a terminal wants to see."""
        where, values = chosen.conditions()
        rows = self._rows(where, "ended_at DESC, ref DESC", [*values, max(1, limit)])
        return Page(self._objects(rows[::-1]), None)

    def every(self, chosen: Filters = _EVERYTHING) -> Iterator[dict[str, Any]]:
        """All chosen calls, a page at a time, so that no transaction stays open for long."""
        after: str | None = None
        while True:
            page = self.page(chosen, after=after, limit=PAGE_RECORDS_MAXIMUM)
            yield from page.cdrs
            if page.next is None:
                return
            after = page.next

    # --- for a report -------------------------------------------------------------------------------------------------

    def legs(self, since: float, until: float, trunk: str | None = None) -> Iterator[Leg]:
        """What was held on any peer between these times (wall seconds), in the order in which it began.

        SQLite sorts, on the disk where there is much to sort.
        """
        start, end = time_text(since), time_text(until)
        one = "" if trunk is None else " WHERE peer = ?"
        # What ended before is left out by the index; the rest is looked at.
        values: list[str] = [start, end, start, end, *([] if trunk is None else [trunk])]
        with told_to_operators(self.path):
            for number, row in enumerate(self._connection.execute(_LEGS.format(one=one), values)):
                self._let_others_run(number)
                leg = leg_of(row)
                if leg is not None:
                    yield leg

    # --- for a copy ---------------------------------------------------------------------------------------------------

    def written_after(self, place: Place | None, limit: int) -> list[tuple[Any, ...]]:
        """Records in the order of writing, led by the number of their rows: those after `place`; None: from the first.

        Where `place` is not what it was (a foreign hand has deleted it, or `VACUUM` has numbered the rows anew), all of
        them again: better twice than not at all.
        """
        with told_to_operators(self.path):
            known = (
                place is not None
                and self._connection.execute(
                    "SELECT 1 FROM cdr WHERE rowid = ? AND ref = ?", (place.row, place.ref)
                ).fetchone()
            )
            first = place.row + 1 if place is not None and known else 0
            query = f"SELECT rowid, {self._columns} FROM cdr WHERE rowid >= ? ORDER BY rowid LIMIT ?"  # noqa: S608
            return self._connection.execute(query, (first, limit)).fetchall()

    def written_as(self, ref: str) -> list[tuple[Any, ...]]:
        """That one alone, as `written_after` has it; none where it is gone."""
        with told_to_operators(self.path):
            query = f"SELECT rowid, {self._columns} FROM cdr WHERE ref = ?"  # noqa: S608
            return self._connection.execute(query, (ref,)).fetchall()

    def attempts(self, ref: str) -> list[tuple[Any, ...]]:
        with told_to_operators(self.path):
            return self._connection.execute(_SELECT_ATTEMPTS, (ref,)).fetchall()

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
        objects = []
        for number, row in enumerate(rows):
            self._let_others_run(number)
            objects.append(cdr_object(row, self.attempts(row[0])))
        return objects

    def _let_others_run(self, number: int) -> None:
        if self._breathe is not None and number % _ROWS_BETWEEN_BREATHS == 0:
            self._breathe()


def _cursor(row: tuple[Any, ...]) -> str:
    return f"{row[_ENDED_AT]},{row[0]}"


def _read_cursor(text: str) -> tuple[str, str]:
    ended_at, comma, ref = text.partition(",")
    if not comma or len(text) > 200:
        raise ValueError("this is not a cursor; expected the `next` of an earlier answer")
    return ended_at, ref


_ENDED_AT: Final = CDR_COLUMNS.index("ended_at")
_SELECT_ATTEMPTS: Final = f"SELECT {', '.join(ATTEMPT_COLUMNS)} FROM attempt WHERE ref = ? ORDER BY n"  # noqa: S608
# Columns in the order of `report.Leg`. A call that came in and neither was answered nor went anywhere was refused at
# the door, and held nothing. The last attempt of an answered call is the one that was answered: it is held until the
# call's end, any other one until its own.
_LEGS: Final = """
SELECT * FROM (
  SELECT ingress AS peer, 'inbound' AS direction, started_at, ended_at, answered_at, billable_ms, emergency, disaster,
    answered_at IS NOT NULL OR EXISTS (SELECT 1 FROM attempt WHERE attempt.ref = cdr.ref) AS held, 1 AS counts
  FROM cdr WHERE ended_at >= ? AND started_at < ?
  UNION ALL
  SELECT peer, 'outbound', attempt_at, iif(won, ended_at, coalesce(attempt_ended_at, ended_at)),
    iif(won, answered_at, NULL), iif(won, billable_ms, 0), emergency, disaster, 1, counts
  FROM (
    SELECT a.peer, a.started_at AS attempt_at, a.ended_at AS attempt_ended_at, cdr.ended_at, answered_at, billable_ms,
      emergency, disaster,
      answered_at IS NOT NULL AND a.sip_status = 200
        AND NOT EXISTS (SELECT 1 FROM attempt AS b WHERE b.ref = a.ref AND b.n > a.n) AS won,
      NOT EXISTS (SELECT 1 FROM attempt AS b WHERE b.ref = a.ref AND b.n > a.n AND b.peer = a.peer) AS counts
    FROM cdr CROSS JOIN attempt AS a ON a.ref = cdr.ref
    WHERE cdr.ended_at >= ? AND a.started_at < ?
  )
){one}
ORDER BY started_at, ended_at
"""
