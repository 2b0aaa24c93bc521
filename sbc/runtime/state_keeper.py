"""What keeps the values that the engine orders to be kept (`StoreState`), whatever it is.

`StateStore` is the one that there is: memory of the supervisor, and SQLite in `data_dir`. A store that several nodes
share (Valkey, Redis: SET and DEL) would be another one. Used by `app`.
"""

from typing import Protocol

from sbc.core.commands import StoreState
from sbc.core.tables import Table

Items = tuple[tuple[str, bytes], ...]


class StateKeeper(Protocol):
    """What it must promise, for the engine's promises to hold:

    - `store` returns at once: the loop calls it between two messages. It raises nothing.
    - When it has returned, the value survives the death of this process (the first tier; of `StateStore`, of all of
      ours). What is said to a peer is said after that; so no peer can know what we do not.
    - Within a documented bound the value survives more than that (the second tier): of `StateStore` the machine's power
      cut, after some 200 ms; of a shared store the machine's loss.
    - Of two values of one key the later counts, always. Of two keys the earlier `store` is there when the later one is,
      in the first tier; in the second all of a group are, or none.
    - A value is whole or not there: never half of it, never of two mixed.
    - There is one writer. A shared store must refuse a node that was taken for dead and is not (a fence: an epoch
      that each write carries) before another one loads its values.
    - `load` gives everything back, in no order that matters, or says why not in the log and gives nothing: it never
      keeps the program down.
    - What cannot be kept, for want of room, is an alarm, and a value that is not the latest is not given back for it.
    """

    @property
    def place(self) -> str:
        """Where the second tier is, for people."""
        ...

    def load(self) -> Items:
        """Once, before anything else. The engine's clock (`clock.go_on`) goes on from where it was."""
        ...

    @property
    def is_late(self) -> bool:
        """What `load` gave may lack what was said last: it is from the second tier, and nobody had finished it; or what
        peers have said since, in a time longer than they repeat it.
        """
        ...

    def start(self) -> None:
        """Values may come."""
        ...

    def store(self, command: StoreState) -> None: ...

    def lag(self) -> tuple[int, float]:
        """How many values have not reached the second tier yet, and how many seconds the oldest of them has waited."""
        ...

    def tables(self) -> tuple[Table, ...]:
        """How full it is."""
        ...

    async def watch(self) -> None:
        """For ever, beside everything else: says when the second tier is behind for long."""
        ...

    async def finish(self, patience: float) -> int:
        """The end: how many values did not reach the second tier within `patience` seconds."""
        ...
