"""Call records as a CSV file (RFC 4180) that a spreadsheet may open and a database can import.

A cell comes from strangers: a calling number, a Call-ID. A spreadsheet takes a cell that begins with = + - @, a tab or
a return for a formula, and runs it. Such a cell gets an apostrophe in front, and so does one that begins with an
apostrophe itself: who takes one apostrophe from the front of every cell that has one has the text again. A plus and
nothing but digits stays as it is: it is a telephone number, can at worst become a number, and can be imported. Control
and other invisible characters are written as their escapes (`\\x07`), and a semicolon before a formula as `\\x3b`,
because some spreadsheets begin a new cell there.
Pure. Used by `sbc cdr export`.
"""

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from sbc.cdr.format import ATTEMPT_COLUMNS, CDR_COLUMNS

Cell = str | int | float | None
Object = Mapping[str, Any]

# Also in full width, as some spreadsheets take them, and behind blanks, which some leave out.
_BEGINNINGS: Final = r"=+\-@\uff1d\uff0b\uff0d\uff20"
_FORMULA: Final = re.compile(rf"\s*[{_BEGINNINGS}\t\r']")
_NUMBER: Final = re.compile(r"\+[0-9]+", re.ASCII)
_NEW_CELL: Final = re.compile(rf";(?=[\s\"']*[{_BEGINNINGS}])")
_MEDIA_COLUMNS: Final = ("codec", "packets", "lost", "jitter_max_ms", "mos")
_PLAIN: Final = tuple(column for column in CDR_COLUMNS if column != "media")
CALL_COLUMNS: Final = (
    *_PLAIN,
    *(f"{side}_{column}" for side in ("ingress", "egress") for column in _MEDIA_COLUMNS),
    "one_way",
)


def calls(records: Iterable[Object], *, raw: bool = False) -> Iterator[str]:
    """Lines, the header first."""
    return _lines(CALL_COLUMNS, map(_call, records), raw=raw)


def attempts(records: Iterable[Object], *, raw: bool = False) -> Iterator[str]:
    """A line for each attempt of each call, the header first."""
    return _lines(ATTEMPT_COLUMNS, (row for record in records for row in _attempts(record)), raw=raw)


def defused(text: str) -> str:
    """A cell that can do nothing."""
    if not text.isprintable():
        text = "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)
    if ";" in text:
        text = _NEW_CELL.sub(r"\\x3b", text)
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


def _lines(columns: Sequence[str], rows: Iterable[Sequence[Cell]], *, raw: bool) -> Iterator[str]:
    line = _Line()
    writer = csv.writer(line)  # commas, CRLF, quotes where they are needed: RFC 4180
    writer.writerow(columns)
    yield line.text
    shown: Callable[[str], str] = str if raw else defused
    for row in rows:
        writer.writerow([shown(cell) if isinstance(cell, str) else cell for cell in row])
        yield line.text


class _Line:
    """What csv writes to."""

    text = ""

    def write(self, text: str) -> None:
        self.text = text


def _call(record: Object) -> list[Cell]:
    media = record.get("media")
    media = media if isinstance(media, dict) else {}
    return [
        *(record.get(column) for column in _PLAIN),
        *_side(media.get("ingress")),
        *_side(media.get("egress")),
        media.get("one_way"),
    ]


def _attempts(record: Object) -> Iterator[list[Cell]]:
    for attempt in record.get("attempts", ()):
        yield [record.get("ref"), *(attempt.get(column) for column in ATTEMPT_COLUMNS[1:])]


def _side(streams: object) -> list[Cell]:
    """All streams of a side in one: the codecs, packets summed, the worst of what is a quality; empty: not known."""
    rows = [row for row in streams if isinstance(row, dict)] if isinstance(streams, list) else []
    codecs = list(dict.fromkeys(str(row["codec"]) for row in rows if row.get("codec")))
    jitter = [row.get("jitter_max_ms", row.get("jitter_ms")) for row in rows]
    return [
        " ".join(codecs) or None,
        _of(sum, [row.get("packets") for row in rows]),
        _of(sum, [row.get("lost") for row in rows]),
        _of(max, jitter),
        _of(min, [row.get("mos") for row in rows]),
    ]


def _of(what: Callable[[list[Any]], Any], values: list[Any]) -> Cell:
    known = [value for value in values if isinstance(value, int | float)]
    return what(known) if known else None
