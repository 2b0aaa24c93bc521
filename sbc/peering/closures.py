"""The operator's orders about peers: a trunk that is busied out, a PBX that a drill treats as down. A restart keeps
them.

It knows what is ordered since when, and says what is to be logged and stored. What follows from it for calls and for
registrations is `relations`', which uses it.
"""

import struct
from collections.abc import Mapping
from typing import Final, Literal

from msgspec import Struct

from sbc.core.commands import Log, StoreState
from sbc.policy.model import Peer

Order = Literal["busyout", "drill"]
KIND_OF_ORDER: Final[Mapping[Order, str]] = {"busyout": "trunk", "drill": "pbx"}
_SINCE: Final = struct.Struct("<d")


class Closed(Struct, frozen=True):
    """No new calls from or to a peer, by this order."""

    order: Order
    since: float


class Closures:
    """`closed`: by peer."""

    def __init__(self) -> None:
        self.closed: dict[str, Closed] = {}
        self._opened: dict[str, float] = {}  # when calls to a peer were allowed again
        self._outdated: list[str] = []  # keys that were kept for peers that are gone

    def restore(self, order: Order, name: str, value: bytes, peer: Peer | None, now: float) -> None:
        """What was kept before the last stop. `peer`: who has this name now."""
        if peer is not None and peer.kind == KIND_OF_ORDER[order]:
            self.closed[name] = Closed(order, min(_since(value, now), now))
        else:
            self._outdated.append(f"{order}/{name}")

    def start(self) -> list[Log | StoreState]:
        outs: list[Log | StoreState] = [StoreState(key, None) for key in self._outdated]
        self._outdated.clear()
        for name, closed in self.closed.items():
            fields = ((KIND_OF_ORDER[closed.order], name), ("kept", True))
            outs.append(Log("warning", f"{closed.order}.on", fields))
        return outs

    def order(self, order: Order, peer: Peer, now: float, *, on: bool) -> list[Log | StoreState]:
        """Nothing is said where nothing changes."""
        outs: list[Log | StoreState] = []
        if on != (peer.name in self.closed):
            outs.append(Log("warning", f"{order}.{'on' if on else 'off'}", ((peer.kind, peer.name),)))
            outs.append(StoreState(f"{order}/{peer.name}", _SINCE.pack(now) if on else None))
        if on:
            self.closed.setdefault(peer.name, Closed(order, now))
        elif self.closed.pop(peer.name, None) is not None:
            self.opened(peer.name, now)
        return outs

    def is_busied_out(self, name: str) -> bool:
        closed = self.closed.get(name)
        return closed is not None and closed.order == "busyout"

    def opened(self, name: str, now: float) -> None:
        """Whatever kept calls from this peer does so no more."""
        self._opened[name] = now

    def opened_at(self, name: str) -> float:
        return self._opened.get(name, 0.0)

    def forget(self, name: str) -> list[StoreState]:
        """This peer is gone. What comes back under its name some day is treated as new."""
        self._opened.pop(name, None)
        closed = self.closed.pop(name, None)
        return [] if closed is None else [StoreState(f"{closed.order}/{name}", None)]


def _since(value: bytes, now: float) -> float:
    """When it was ordered, by the engine's clock. An earlier version kept `1` instead."""
    return float(_SINCE.unpack(value)[0]) if len(value) == _SINCE.size else now
