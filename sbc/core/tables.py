"""How full a table is: what the metrics show, and what an alarm is made of.

A value that whoever owns a table, a queue or a buffer makes when somebody asks. It bounds nothing itself; that is done
where the table is filled, by the number of `limits` that `most` is. Used by engine, runtime, admin and media worker.
"""

from collections.abc import Iterable

from msgspec import Struct


class Table(Struct, frozen=True):
    """`used` of `most`, in places or in octets. `is_ring`: what is oldest makes room: full is as it should be."""

    name: str
    used: int
    most: int
    is_ring: bool = False


def fullest(tables: Iterable[Table]) -> tuple[Table, ...]:
    """Of those with one name, as several workers have them, the one that is nearest to its bound."""
    found: dict[str, Table] = {}
    for table in tables:
        other = found.setdefault(table.name, table)
        if table.used * other.most > other.used * table.most:
            found[table.name] = table
    return tuple(found.values())
