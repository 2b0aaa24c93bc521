"""The port pairs that were handed down: their sockets, and which session uses which.

A pair that no session uses is muted in the kernel and not watched, so that strangers can neither fill it nor wake us.
The runtime opens pairs muted; when a session lets go of them they rest (see `resting`), and are mute in the end.
"""

import contextlib
import math
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from sbc.media.mute import mute, unmute

if TYPE_CHECKING:
    from sbc.media.worker.resting import Rest

QUEUED_AT_MOST: Final = 4096  # more datagrams than one socket's queue holds; a muted one cannot grow meanwhile

_TRAFFIC_CLASS: Final = {
    socket.AF_INET: (socket.IPPROTO_IP, socket.IP_TOS),
    socket.AF_INET6: (socket.IPPROTO_IPV6, socket.IPV6_TCLASS),
}

_scrap = bytearray(1)

Key = tuple[str, int]  # local address and RTP port


class Udp(Protocol):
    """What the worker uses of a UDP socket; tests have one in memory."""

    def fileno(self) -> int: ...
    def recvfrom_into(self, buffer: bytearray, /) -> tuple[int, tuple[str, int]]: ...
    def recv_into(self, buffer: bytearray, /) -> int: ...
    def sendto(self, data: bytes | memoryview, address: tuple[str, int], /) -> int: ...
    def send(self, data: memoryview, /) -> int: ...
    def connect(self, address: tuple[str, int], /) -> None: ...
    def getpeername(self) -> tuple[str, int]: ...
    def getsockname(self) -> tuple[str, int]: ...
    def setsockopt(self, level: int, option: int, value: bytes | int, /) -> None: ...
    def getsockopt(self, level: int, option: int, /) -> int: ...
    def close(self) -> None: ...


class Pair:
    """RTP and RTCP socket of one even port, and the session that uses them ("": none)."""

    __slots__ = (
        "_is_muted",
        "closed_at",
        "is_awaited",
        "is_leaving",
        "is_lost",
        "local",
        "owner",
        "port",
        "rest",
        "rtcp",
        "rtp",
    )

    def __init__(self, local: str, port: int, rtp: Udp, rtcp: Udp) -> None:
        self.local = local
        self.port = port
        self.rtp = rtp
        self.rtcp = rtcp
        self.owner = ""
        self.rest: Rest | None = None
        self.closed_at = -math.inf
        self.is_leaving = False  # somebody else may have it already, whose the state of its sockets is
        self.is_awaited = False  # another worker has used its SRTP keys, and is about to tell how far
        self.is_lost = False  # it has not told
        self._is_muted = False  # by us; the worker before us may have left it open

    @property
    def key(self) -> Key:
        return self.local, self.port

    def open(self, *, drained: bool) -> None:
        """Hear again. `drained`: what came before belongs to nobody and is thrown away."""
        self._wake()
        if drained:
            self.mute()
        for one in (self.rtp, self.rtcp):
            if drained:
                drain(one)
            unmute(one)
        self._is_muted = False

    def mute(self) -> None:
        self._wake()
        if not self._is_muted:
            mute(self.rtp)
            mute(self.rtcp)
        self._is_muted = True

    def let_go(self) -> None:
        """It is somebody else's. The sockets stay as they are, there; here they are closed."""
        self._wake()
        self.rtp.close()
        self.rtcp.close()

    def _wake(self) -> None:
        if self.rest is not None:
            self.rest.end()
            self.rest = None
            self._is_muted = False


class Ports:
    """`disconnect`: from whoever a worker before us has connected a socket to; see `connecting`."""

    __slots__ = ("_disconnect", "_pairs")

    def __init__(self, disconnect: Callable[[Udp], None] | None = None) -> None:
        self._pairs: dict[Key, Pair] = {}
        self._disconnect = disconnect

    def add(self, local: str, ports: Sequence[int], sockets: Sequence[Udp]) -> None:
        """Sockets come as RTP, RTCP of each port. A pair that we have already stays as it is: it may be in use."""
        for i, port in enumerate(ports):
            rtp, rtcp = sockets[2 * i], sockets[2 * i + 1]
            pair = self._pairs.setdefault((local, port), Pair(local, port, rtp, rtcp))
            if pair.rtp is rtp and self._disconnect is not None:
                self._disconnect(rtp)
            for one in (rtp, rtcp):
                if one not in {pair.rtp, pair.rtcp}:
                    one.close()

    def drop(self, local: str, port: int) -> Pair | None:
        """Forget a pair; None where there is none."""
        return self._pairs.pop((local, port), None)

    def __contains__(self, key: Key) -> bool:
        return key in self._pairs

    def __iter__(self) -> Iterator[Pair]:
        return iter(self._pairs.values())

    def pair(self, local: str, port: int) -> Pair:
        """One that was dropped, and that a session still names, neither hears nor sends; it is nobody's."""
        return self._pairs.get((local, port)) or Pair(local, port, _ABSENT, _ABSENT)


def drain(one: Udp) -> None:
    """Throw away what waits in a socket."""
    with contextlib.suppress(BlockingIOError):
        for _ in range(QUEUED_AT_MOST):
            with contextlib.suppress(ConnectionError):  # an ICMP refusal is reported once and is gone then
                one.recvfrom_into(_scrap)


def is_waiting(one: Udp) -> bool:
    """Takes one packet, where there is one, and throws it away."""
    try:
        one.recvfrom_into(_scrap)
    except OSError:  # nothing, or an error that the network reported for an earlier packet
        return False
    return True


def dscp(one: Udp) -> int:
    """The code point that leaves with what is sent by this socket, 0 to 63."""
    level, option = _TRAFFIC_CLASS[socket.AddressFamily(one.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN))]
    return one.getsockopt(level, option) >> 2  # RFC 2474 §3: the upper six bits


class _Absent:
    """In place of a socket that is not there."""

    def fileno(self) -> int:
        return -1

    def recvfrom_into(self, _buffer: bytearray, /) -> tuple[int, tuple[str, int]]:
        raise BlockingIOError

    def recv_into(self, _buffer: bytearray, /) -> int:
        raise BlockingIOError

    def sendto(self, _data: bytes | memoryview, _address: tuple[str, int], /) -> int:
        raise BlockingIOError

    def send(self, _data: memoryview, /) -> int:
        raise BlockingIOError

    def connect(self, _address: tuple[str, int], /) -> None:
        raise BlockingIOError

    def getpeername(self) -> tuple[str, int]:
        raise BlockingIOError

    def getsockname(self) -> tuple[str, int]:
        raise BlockingIOError

    def setsockopt(self, _level: int, _option: int, _value: bytes | int, /) -> None:
        pass

    def getsockopt(self, _level: int, _option: int, /) -> int:
        return 0

    def close(self) -> None:
        pass


_ABSENT: Final = _Absent()
