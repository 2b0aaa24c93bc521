"""What one exchange or subscription is known by: the users of its transactions, and the tags of its dialogs.

Used by `beside`, which keeps the table, and by the machines.
"""

from sbc.b2bua.beside.errand import User
from sbc.core.ids import IdSource


class Names:
    """`table` is shared: our tag of each dialog, to the id of its subscription and the leg there."""

    __slots__ = ("_ids", "_n", "_table", "_tags", "id")

    def __init__(self, ids: IdSource, table: dict[str, tuple[str, int]]) -> None:
        self.id = ids.ref()
        self._ids = ids
        self._table = table
        self._tags: list[str] = []
        self._n = 0

    def next_user(self) -> User:
        self._n += 1
        return ("beside", self.id, self._n)

    def tag(self, leg: int) -> str:
        """A new tag of ours, by which requests of this leg's peer are found."""
        tag = self._ids.tag()
        self._tags.append(tag)
        self._table[tag] = (self.id, leg)
        return tag

    def forget(self, leg: int | None = None) -> None:
        """The tags of this leg, or all."""
        for tag in [tag for tag in self._tags if leg is None or self._table[tag][1] == leg]:
            self._tags.remove(tag)
            del self._table[tag]
