"""What people read on stdout: tables (drawn on a terminal, plain columns in a pipe) and JSON.

Colour is for terminals alone, and for none where NO_COLOR is set (no-color.org); words say the same without it.
Nothing that a peer sent can move the cursor: every character that is not printable is shown as its escape.
"""

import json
import sys
from collections.abc import Sequence
from typing import Any, Final

Cell = str | int | float | None

# Of the words in a column STATE, of trunks, PBXs and their servers.
STATE_COLOURS: Final = {
    "up": "green", "bound": "green", "ready": "green",
    "active": "red", "down": "red", "excluded": "red", "suspended": "yellow", "busyout": "yellow", "drill": "yellow",
}  # fmt: skip


def printable(text: str) -> str:
    """Control, format and surrogate characters as escapes; a line stays one line."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def printable_lines(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def show_json(value: Any) -> None:
    """ASCII only: JSON leaves C1 controls and bidirectional overrides as they are."""
    print(json.dumps(value, indent=2 if sys.stdout.isatty() else None))


def show_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    cells = [["-" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        _draw(columns, cells)
        return
    lines = [list(columns), *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _draw(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        # Text, not str: a caller's name in brackets is no markup.
        named = zip(columns, row, strict=True)
        table.add_row(*(Text(cell, _style(column, cell), overflow="fold") for column, cell in named))
    Console().print(table)


def _style(column: str, cell: str) -> str:
    return STATE_COLOURS.get(cell, "") if column == "STATE" else ""
