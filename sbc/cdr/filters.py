"""Which call records somebody wants to see: a question as a value, and as a condition for SQLite.

Used by the reader of the store, the HTTP API and `sbc cdr`.
"""

import re
from typing import Final

from msgspec import Struct

from sbc.cdr.format import time_text

_SEPARATORS: Final = re.compile(r"[\s()./-]+")
NUMBER_CHARACTERS: Final = 128  # of a number that is looked for


class Filters(Struct, frozen=True):
    """All that are given must hold. Times are wall-clock seconds and about a call's end: `since` <= end < `until`.

    `trunk`: it came from this peer or went to it. `number`: contained in the caller's or the called number, also as it
    was sent. `ref`: that call.
    """

    since: float | None = None
    until: float | None = None
    trunk: str | None = None
    number: str | None = None
    cause: str | None = None
    ref: str | None = None

    def conditions(self) -> tuple[list[str], list[str | int]]:
        """SQL terms about `cdr` that are joined by AND, and their values."""
        where: list[str] = []
        values: list[str | int] = []
        if self.since is not None:
            where.append("ended_at >= ?")
            values.append(time_text(self.since))
        if self.until is not None:
            where.append("ended_at < ?")
            values.append(time_text(self.until))
        if self.trunk is not None:
            where.append("(ingress = ? OR egress = ?)")
            values += [self.trunk, self.trunk]
        if self.number is not None:
            where.append("(instr(caller, ?) OR instr(called, ?) OR instr(called_as_sent, ?))")
            values += [plain_number(self.number)] * 3
        if self.cause is not None:
            where.append("cause = ?")
            values.append(self.cause)
        if self.ref is not None:
            where.append("ref = ?")
            values.append(self.ref)
        return where, values


def plain_number(text: str) -> str:
    """A number as people write it, without what they group its digits with; other text as it is.

    The plus goes as well: an unescaped one in a query string is a space, and a number is found without it.
    """
    digits = _SEPARATORS.sub("", text).removeprefix("+")
    return digits if digits.isascii() and digits.isdigit() else text.strip()
