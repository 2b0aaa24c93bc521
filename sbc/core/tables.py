"""How full a table is: what the metrics show, and what an alarm is made of.

A value that whoever owns a table, a queue or a buffer makes when somebody asks. It bounds nothing itself; that is done
where the table is filled, by the number of `limits` that `most` is. Used by engine, runtime and admin.
"""

from msgspec import Struct


class Table(Struct, frozen=True):
    """`used` of `most`, in places or in octets. `is_ring`: what is oldest makes room: full is as it should be."""

    name: str
    used: int
    most: int
    is_ring: bool = False
