"""What people read on stdout: tables (drawn on a terminal, plain columns in a pipe) and JSON.

A table that is too wide for the terminal has several lines for each row, and its heading as many: words and numbers
stay whole, so that a night's 80 columns can be read and copied from.

Colour is for terminals alone, and for none where NO_COLOR is set (no-color.org); words say the same without it.
Nothing that a peer sent can move the cursor: every character that is not printable is shown as its escape.
"""

import json
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from rich.console import Console

Cell = str | int | float | None

_GAP: Final = 2  # between the columns of a folded table
_INDENT: Final = 4  # of a row's further lines; names of servers below their trunk have 2
_LEAST_LAST: Final = 30  # columns of the terminal in which a last column of sentences can still be read

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


def show_table(columns: Sequence[str], rows: Sequence[Sequence[Cell]], none: str = "") -> None:
    """`none`: what a person is told in place of an empty table."""
    cells = [["-" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    if sys.stdout.isatty():
        if none and not cells:
            print(none)
        else:
            _draw(columns, cells)
        return
    lines = [list(columns), *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def _draw(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    widths = [max(map(cell_len, column)) for column in zip(columns, *rows, strict=True)]
    frame = 3 * len(columns)
    if sum(widths[:-1]) + min(widths[-1], _LEAST_LAST) + frame > console.width:
        _draw_folded(console, columns, rows, widths)
        return
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, no_wrap=column is not columns[-1])
    for row in rows:
        # Text, not str: a caller's name in brackets is no markup.
        named = zip(columns, row, strict=True)
        table.add_row(*(Text(cell, _style(column, cell), overflow="fold") for column, cell in named))
    console.print(table)


def _draw_folded(
    console: "Console", columns: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int]
) -> None:
    from rich.padding import Padding
    from rich.text import Text

    spans = _spans(widths, console.width)
    styles = [["bold"] * len(columns), *([_style(*pair) for pair in zip(columns, row, strict=True)] for row in rows)]
    console.print()
    for number, (row, style) in enumerate(zip([columns, *rows], styles, strict=True)):
        for first, end in spans:
            if first and number and not any(cell.strip("- ") for cell in row[first:end]):
                continue  # nothing to say in this line
            line = Text(" " * _GAP).join(
                [
                    Text(cell + " " * (width - Text(cell).cell_len), style=look, overflow="fold")
                    for cell, width, look in zip(row[first:end], widths[first:end], style[first:end], strict=True)
                ]
            )
            line.rstrip()
            console.print(Padding(line, (0, 0, 0, _INDENT if first else 0)))
        if not number:
            console.print("\N{BOX DRAWINGS LIGHT HORIZONTAL}" * console.width, style="dim")
    console.print()


def _spans(widths: Sequence[int], room: int) -> list[tuple[int, int]]:
    """Which columns share a line: as many as there is room for, at least one."""
    starts, used = [0], 0
    for n, width in enumerate(widths):
        used += width + _GAP
        if n > starts[-1] and used - _GAP > room:
            starts.append(n)
            used = _INDENT + width + _GAP
    return list(zip(starts, [*starts[1:], len(widths)], strict=True))


def _style(column: str, cell: str) -> str:
    return STATE_COLOURS.get(cell, "") if column == "STATE" else ""
