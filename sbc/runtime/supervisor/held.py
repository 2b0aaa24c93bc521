"""The sockets that outlive signalling, and its memory journal: made for it, kept, handed out again to its next life.

What waits in them meanwhile is not lost. Each thing is either claimed by the present life of signalling or left from
an earlier one; `sweep` closes what is left. It reads no socket. Used by `main`.
"""

import os
import socket
from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from sbc.runtime.media_sockets import Pair, descriptor_ceiling, open_pairs, why_short
from sbc.runtime.sip_sockets import open_sip_socket, set_dscp
from sbc.runtime.supervisor import shared_memory, wire
from sbc.runtime.supervisor.inheritance import Inheritance, LeftListener, LeftPairs

_JOURNAL: Final = "journal"  # of `inheritance.memories`


class _Listener(Struct, eq=False):
    socket: socket.socket
    is_claimed: bool = True


class Left(Struct, frozen=True):
    """Descriptors in the order of `inheritance`: of listeners and pairs, and of memories."""

    listeners: tuple[LeftListener, ...]
    pairs: tuple[LeftPairs, ...]
    sockets: tuple[int, ...]
    journal: tuple[int, ...]

    @property
    def memories(self) -> tuple[str, ...]:
        return (_JOURNAL,) if self.journal else ()


class Held:
    """All methods may raise OSError, and nothing has changed then."""

    def __init__(self) -> None:
        self._listeners: dict[tuple[str, str, int], _Listener] = {}
        self._pairs: dict[str, dict[int, Pair]] = {}
        self._left: dict[tuple[str, int], Pair] = {}  # not claimed by the present life
        self._ceiling = descriptor_ceiling()
        self._journal: int | None = None

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

    def journal_memory(self, name: str) -> int:
        """Which signalling sizes and fills; nobody reads it here. `name`: of what it belongs to."""
        if self._journal is None:
            self._journal = shared_memory.open_memory(name)
        return self._journal

    def forget_journal(self) -> None:
        """Signalling has ended in order: nobody needs it any more."""
        if self._journal is not None:
            shared_memory.remove(self._journal)

    # --- from one supervisor to the next ------------------------------------------------------------------------------

    def left(self, *, with_memory: bool) -> Left:
        """What the next supervisor gets."""
        listeners = {LeftListener(*key): one.socket for key, one in self._listeners.items()}
        pairs = [LeftPairs(local, tuple(of_local)) for local, of_local in self._pairs.items() if of_local]
        media = [one for left in pairs for port in left.ports for one in self._sockets(left.local, port)]
        journal = [] if self._journal is None or not with_memory else [self._journal]
        return Left(
            tuple(listeners),
            tuple(pairs),
            tuple(one.fileno() for one in (*listeners.values(), *media)),
            tuple(journal),
        )

    def take_sockets(self, left: Inheritance, descriptors: Iterator[int]) -> None:
        """From the supervisor before us; `new_life` follows."""
        for listener in left.listeners:
            key = (listener.kind, listener.host, listener.port)
            self._listeners[key] = _Listener(socket.socket(fileno=next(descriptors)))
        for of_local in left.pairs:
            self._pairs[of_local.local] = {
                port: Pair(of_local.local, port, *(socket.socket(fileno=next(descriptors)) for _ in ("rtp", "rtcp")))
                for port in of_local.ports
            }

    def take_memories(self, left: Inheritance, descriptors: Iterator[int]) -> None:
        for name in left.memories:
            if name == _JOURNAL and self._journal is None:
                self._journal = next(descriptors)
            else:  # of a later version
                os.close(next(descriptors))

    def _sockets(self, local: str, port: int) -> tuple[socket.socket, socket.socket]:
        pair = self._pairs[local][port]
        return pair.rtp, pair.rtcp

    def close(self) -> None:
        for one in self._all():
            one.close()
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None
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
