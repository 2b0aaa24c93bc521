"""What the loop touches of a stream at each packet, and nothing else: one small object, and the stream's slot.

With a thousand streams, most of what a packet costs is memory that is not in the cache. So what differs from stream to
stream is here, in two cache lines, what is equal is shared, and what changes with each packet is in the slot alone.
A lane is open while the next packet is expected to be like the last one; `carry` opens it, `relay` uses it. Whether the
sockets are connected is `connection`'s to say.
"""

from collections.abc import Callable
from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING, Final

from sbc.media.worker.slots import Memory

if TYPE_CHECKING:
    from sbc.media.worker.inlet import Inlet
    from sbc.media.worker.latch import Source

SHUT: Final = -1 << 20  # in place of a packet's first two octets: with any sequence number it is less than every packet

_SECOND_NS: Final = 1_000_000_000

RecvFrom = Callable[[bytearray], "tuple[int, Source]"]
Recv = Callable[[bytearray], int]
Send = Callable[[memoryview], int]
SendTo = Callable[["bytes | memoryview", "tuple[str, int]"], int]


class Lane:
    """One socket of an inlet. `head`: the first two octets of the packet that needs no more than a look, 16 bits up.

    `recv`: of a socket that hears its peer alone; None: `recv_from` tells who has sent. `send`: of a socket that is
    connected to the inlet's target; None: it has to be said at each packet. `memory` and `offset`: the slot. `quota`:
    what its packets may become. `units` in `per_ns`: the clock of the timestamps.
    """

    __slots__ = ("head", "inlet", "memory", "offset", "per_ns", "quota", "recv", "recv_from", "send", "units")

    def __init__(self, inlet: "Inlet", recv_from: RecvFrom, memory: Memory, offset: int) -> None:
        self.inlet = inlet
        self.recv_from = recv_from
        self.recv: Recv | None = None
        self.send: Send | None = None
        self.memory = memory
        self.offset = offset
        self.head = SHUT
        self.quota = 0
        self.units = self.per_ns = 1

    def open(self, head: int, rate: int, quota: int) -> None:
        """The packet behind the slot's sequence number is expected, with these two first octets; `rate` in Hz."""
        self.head = _head(head)
        self.units, self.per_ns = _clock(rate)
        self.quota = quota

    def shut(self) -> None:
        """Every packet goes the long way."""
        self.head = SHUT


# Streams share these numbers.


@lru_cache(maxsize=256)
def _head(head: int) -> int:
    return head << 16


@lru_cache(maxsize=64)
def _clock(rate: int) -> tuple[int, int]:
    divisor = gcd(rate, _SECOND_NS)
    return rate // divisor, _SECOND_NS // divisor
