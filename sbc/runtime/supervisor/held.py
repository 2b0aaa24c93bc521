"""The sockets that outlive signalling: opened for it, kept, handed out again to its next life.

What waits in them meanwhile is not lost. Each thing is either claimed by the present life of signalling or left from
an earlier one; `sweep` closes what is left. It reads no socket. Used by `main`.
"""

import os
import socket
from collections.abc import Iterator

from msgspec import Struct

from sbc.runtime.media_sockets import Pair, descriptor_ceiling, open_pairs, why_short
from sbc.runtime.sip_sockets import open_sip_socket, set_dscp
from sbc.runtime.supervisor import wire


class _Listener(Struct, eq=False):
    socket: socket.socket
    is_claimed: bool = True


class Held:
    """All methods may raise OSError, and nothing has changed then."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, str, int], _Listener] = {}
        self._pairs: dict[str, dict[int, Pair]] = {}
        self._left: dict[tuple[str, int], Pair] = {}  # not claimed by the present life
        self._ceiling = descriptor_ceiling()

    def new_life(self) -> None:
        """Signalling has died; the next one is about to start."""
        for listener in self._listeners.values():
            listener.is_claimed = False
        self._left = {(pair.local, pair.port): pair for pairs in self._pairs.values() for pair in pairs.values()}

    def sweep(self) -> None:
        """Signalling is ready: what it has not asked for is not needed any more."""
        for key, listener in list(self._listeners.items()):
            if not listener.is_claimed:
                self._listeners.pop(key).socket.close()
        for pair in self._left.values():
            self._pairs[pair.local].pop(pair.port).close()
        self._left = {}

    def listen(self, asked: wire.Listen) -> socket.socket:
        key = (asked.kind, asked.host, asked.port)
        listener = self._listeners.get(key)
        if listener is None:
            one = open_sip_socket(asked.kind, asked.host, asked.port, asked.dscp)
            listener = self._listeners[key] = _Listener(one)
        else:
            set_dscp(listener.socket, asked.dscp)
            listener.is_claimed = True
        return listener.socket

    def close_listener(self, kind: str, host: str, port: int) -> None:
        """Signalling needs it no more, in this life."""
        listener = self._listeners.pop((kind, host, port), None)
        if listener is not None:
            listener.socket.close()

    def open_pairs(self, asked: wire.OpenPairs) -> tuple[list[Pair], str]:
        """The second: why there are fewer than were asked for, for people."""
        have = self._pairs.setdefault(asked.local, {})
        wanted = min(asked.pairs, wire.PAIRS_AT_ONCE)
        opened = open_pairs(
            asked.local, (asked.first, asked.last), wanted, have, _number, dscp=asked.dscp, ceiling=self._ceiling
        )
        have.update((pair.port, pair) for pair in opened)
        return opened, why_short(self._ceiling) if len(opened) < wanted else ""

    def close_pairs(self, local: str, ports: tuple[int, ...]) -> None:
        for port in ports:
            pair = self._pairs.get(local, {}).pop(port, None)
            if pair is not None:
                self._left.pop((local, port), None)
                pair.close()

    def take_left(self) -> list[Pair]:
        """Some pairs of an earlier life, all on one address; empty when the present one has claimed all."""
        some: list[Pair] = []
        for key, pair in list(self._left.items()):
            if len(some) == wire.PAIRS_AT_ONCE or (some and some[0].local != pair.local):
                break
            some.append(self._left.pop(key))
        return some

    def close(self) -> None:
        for one in self._all():
            one.close()
        self._listeners.clear()
        self._pairs.clear()
        self._left.clear()

    def _all(self) -> Iterator[socket.socket | Pair]:
        for listener in self._listeners.values():
            yield listener.socket
        for pairs in self._pairs.values():
            yield from pairs.values()


def _number(below: int) -> int:
    return int.from_bytes(os.urandom(8), "little") % below
