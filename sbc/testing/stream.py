"""Stream connections of the network in memory: two ends each, ordered octets, a framer at each end.

It holds them and finds them; what happens when, `net` decides. Both ends know a connection by one number.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct

from sbc.core.address import Address, Flow
from sbc.sip.framing import BadFrame, Ping, StreamFramer

_FIRST_EPHEMERAL: Final = 40_000


class Odd(Struct, frozen=True):
    """What a framer found that is no message: a keep-alive, or something that cannot be framed."""

    is_ping: bool
    data: bytes = b""
    reason: str = ""


class End:
    """One end: whose it is, and the flow as its host sees it."""

    __slots__ = ("_framer", "arrives_at", "flow", "host")

    def __init__(self, host: str, flow: Flow) -> None:
        self.host = host
        self.flow = flow
        self.arrives_at = 0.0  # when the last octet on its way here arrives
        self._framer = StreamFramer()

    def feed(self, data: bytes, now: float) -> list[bytes | Odd]:
        frames: list[bytes | Odd] = []
        for frame in self._framer.feed(data, now):
            if isinstance(frame, Ping):
                frames.append(Odd(is_ping=True))
            elif isinstance(frame, BadFrame):
                frames.append(Odd(is_ping=False, data=frame.data, reason=frame.reason))
            else:
                frames.append(frame)
        return frames

    @property
    def deadline(self) -> float | None:
        return self._framer.deadline


class Connection(Struct, frozen=True, eq=False):
    number: int
    ends: tuple[End, End]  # who opened it, who was called

    def far_end(self, host: str, flow: Flow) -> End:
        """The end that `host` speaks to."""
        opener, called = self.ends
        if opener.host == called.host:
            return called if flow.local == opener.flow.local else opener
        return called if opener.host == host else opener

    def end_of(self, flow: Flow) -> End:
        opener, called = self.ends
        return opener if flow == opener.flow else called


class Connections:
    def __init__(self) -> None:
        self._open: dict[int, Connection] = {}
        self._n = 0

    def open(self, opener: str, flow: Flow, called: str, interface: str) -> Connection:
        self._n += 1
        source = Address(flow.local.host, _FIRST_EPHEMERAL + self._n)
        ours = Flow(flow.transport, flow.interface, source, flow.remote, self._n)
        theirs = Flow(flow.transport, interface, flow.remote, source, self._n)
        connection = Connection(self._n, (End(opener, ours), End(called, theirs)))
        self._open[self._n] = connection
        return connection

    def find(self, host: str, flow: Flow) -> Connection | None:
        """By number, or where that is 0 any connection of this host to that address that has proved what it must."""
        if flow.connection:
            return self._open.get(flow.connection)
        for connection in self._open.values():
            for end in connection.ends:
                is_there = end.host == host and end.flow.remote == flow.remote and end.flow.transport is flow.transport
                if is_there and set(flow.proved) <= set(end.flow.proved):
                    return connection
        return None

    def numbered(self, number: int) -> Connection | None:
        return self._open.get(number)

    def has(self, connection: Connection) -> bool:
        return connection.number in self._open

    def of(self, host: str) -> Sequence[Connection]:
        return [c for c in self._open.values() if host in (c.ends[0].host, c.ends[1].host)]

    def forget(self, connection: Connection) -> None:
        self._open.pop(connection.number, None)

    def next_deadline(self) -> float | None:
        """When some message must be complete that has begun (limits.INCOMPLETE_MESSAGE_SECONDS)."""
        times = [end.deadline for c in self._open.values() for end in c.ends if end.deadline is not None]
        return min(times) if times else None

    def overdue(self, now: float) -> Sequence[Connection]:
        return [c for c in self._open.values() if any(e.deadline is not None and e.deadline <= now for e in c.ends)]
