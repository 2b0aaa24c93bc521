"""The shape of every machine: events and the time go in, commands come out.

1. Run to completion: one call handles one event entirely. No callbacks, no awaits, no re-entry.
2. Drain before you feed: the caller performs every output before the next input.
3. Never raises for what a peer can cause: peer nonsense is an output. An exception out of a machine is our bug.
4. Time never goes backwards and never comes from inside; nor does randomness.
5. Outputs are values: frozen, comparable; a test is an equality.
"""

from typing import Protocol, TypeVar

EventT = TypeVar("EventT", contravariant=True)
OutT = TypeVar("OutT")


class Machine(Protocol[EventT, OutT]):
    def handle(self, event: EventT, now: float) -> list[OutT]: ...

    def tick(self, now: float) -> list[OutT]:
        """Fire what is due; safe early, late or twice."""
        ...

    def next_deadline(self) -> float | None: ...
