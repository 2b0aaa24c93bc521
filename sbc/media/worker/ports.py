"""The port pairs that were handed down: their sockets, and which session uses which.

A pair that no session uses is muted in the kernel and not watched, so that strangers can neither fill it nor wake us.
The runtime opens pairs muted; they are muted again here when a session lets go of them.
"""

import contextlib
import math
from collections.abc import Sequence
from typing import Final, Protocol

from sbc.media.mute import mute, unmute

QUEUED_AT_MOST: Final = 4096  # more datagrams than one socket's queue holds; a muted one cannot grow meanwhile


class Udp(Protocol):
    """What the relay uses of a UDP socket; tests have one in memory."""

    def fileno(self) -> int: ...
    def recvfrom_into(self, buffer: bytearray, /) -> tuple[int, tuple[str, int]]: ...
    def sendto(self, data: bytes | memoryview, address: tuple[str, int], /) -> int: ...
    def setsockopt(self, level: int, option: int, value: bytes | int, /) -> None: ...


class Pair:
    """RTP and RTCP socket of one even port, and the session that uses them ("": none)."""

    __slots__ = ("closed_at", "local", "owner", "port", "rtcp", "rtp")

    def __init__(self, local: str, port: int, rtp: Udp, rtcp: Udp) -> None:
        self.local = local
        self.port = port
        self.rtp = rtp
        self.rtcp = rtcp
        self.owner = ""
        self.closed_at = -math.inf

    def open(self, *, drained: bool) -> None:
        """Hear again. `drained`: what came before belongs to nobody and is thrown away."""
        for one in (self.rtp, self.rtcp):
            if drained:
                _drain(one)
            unmute(one)

    def close(self, now: float) -> None:
        self.closed_at = now
        for one in (self.rtp, self.rtcp):
            mute(one)


class Ports:
    __slots__ = ("_pairs",)

    def __init__(self) -> None:
        self._pairs: dict[tuple[str, int], Pair] = {}

    def add(self, local: str, ports: Sequence[int], sockets: Sequence[Udp]) -> None:
        """Sockets come as RTP, RTCP of each port. A pair that we have already stays as it is: it may be in use."""
        for i, port in enumerate(ports):
            self._pairs.setdefault((local, port), Pair(local, port, sockets[2 * i], sockets[2 * i + 1]))

    def __contains__(self, key: tuple[str, int]) -> bool:
        return key in self._pairs

    def pair(self, local: str, port: int) -> Pair:
        return self._pairs[local, port]


def _drain(one: Udp) -> None:
    scrap = bytearray(1)
    with contextlib.suppress(BlockingIOError):
        for _ in range(QUEUED_AT_MOST):
            with contextlib.suppress(ConnectionError):  # an ICMP refusal is reported once and is gone then
                one.recvfrom_into(scrap)
