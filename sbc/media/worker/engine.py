"""What relays a way instead of the userland loop, once its source is locked: the protocol, and the engine that cannot.

Userland is always there and comes first; an engine that offers more takes a `Flow` and relays all of its packets that
are plain, counts them in the flow's slot (see `slots`), and passes every other packet up to the socket. `handover`
decides when; `kernel` implements it.
"""

from typing import Final, Protocol

from msgspec import Struct

PASS_UP: Final = 255  # in `Flow.types`
NOT_YET: Final = "its device is not ready yet"  # what `put` says for the first moment; ask again in a second


class Flow(Struct, frozen=True):
    """One way of one stream as an engine relays it. Hosts are canonical IP literals, both ends of one family.

    Packets from `source` to our (`local`, `port`) leave from `out` to `target`. `types`: 128 octets, what payload type
    each becomes, PASS_UP where userland shall see it. Packets with another SSRC are passed up, those from elsewhere
    dropped and counted as foreign. `rate`: Hz. `slot`: octet offset of its counters. `dscp`: 0 to 63.
    """

    local: str
    port: int
    source: tuple[str, int]
    out: tuple[str, int]
    target: tuple[str, int]
    slot: int
    ssrc: int
    rate: int
    types: bytes
    dscp: int = 0
    packets_per_second: int = 0


class Engine(Protocol):
    """Nothing here waits or raises: what cannot be done is said in words."""

    def put(self, flow: Flow) -> str:
        """Relay this from now on, in place of what there was on that port. Empty, or why not; then nothing is there."""

    def remove(self, local: str, port: int) -> None:
        """When it returns, every packet goes to the socket again. Harmless where there is no such flow."""

    def flows(self) -> set[tuple[str, int]]:
        """(local, port) of each flow that is in force, also of those that a former worker has left."""

    def held(self, local: str, port: int) -> Flow | None:
        """The flow that is in force there, also one that a former worker has left: as it was put."""

    def beat(self) -> None:
        """Said once a second or so: flows end by themselves when it stays out for long."""


class NoEngine:
    """The userland engine alone. `why`: the reason, for people."""

    def __init__(self, why: str = "") -> None:
        self.why = why

    def put(self, flow: Flow) -> str:  # noqa: ARG002 - as the protocol has it
        return self.why or "userland"

    def remove(self, local: str, port: int) -> None:
        pass

    def flows(self) -> set[tuple[str, int]]:
        return set()

    def held(self, local: str, port: int) -> Flow | None:  # noqa: ARG002 - as the protocol has it
        return None

    def beat(self) -> None:
        pass
