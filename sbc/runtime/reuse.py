"""Which connection a request goes out by that names none: the pool (RFC 3261 §18.1.1, RFC 5923).

Keyed by transport, interface, local and remote address and, over TLS, by the profile that the other side has proved, or
is to prove: what goes to one peer never goes out on a connection that was verified for another. Used by `tcp`.
"""

from sbc.core.address import Address, Flow, Transport
from sbc.runtime.connection import Connection

Place = tuple[Transport, str, Address, Address, str]


class Pool:
    def __init__(self) -> None:
        self._at: dict[Place, Connection] = {}
        self._places: dict[Connection, list[Place]] = {}

    def find(self, flow: Flow) -> Connection | None:
        """One that has ended is none: who learns of its end sends elsewhere before its tasks are over."""
        places = _places(flow)
        found = self._at.get(places[0]) if places else None
        if found is not None and found.is_finishing:
            self.forget(found)
            return None
        return found

    def put(self, connection: Connection, flow: Flow) -> None:
        """For what goes out by flows like this; who is there first stays."""
        for place in _places(flow):
            if self._at.setdefault(place, connection) is connection:
                mine = self._places.setdefault(connection, [])
                if place not in mine:
                    mine.append(place)

    def has(self, connection: Connection) -> bool:
        return connection in self._places

    def forget(self, connection: Connection) -> None:
        for place in self._places.pop(connection, ()):
            del self._at[place]

    def forget_profile(self, connection: Connection, profile: str) -> None:
        """It goes on, but nothing that begins for this profile goes out by it."""
        mine = self._places.get(connection, [])
        for place in [place for place in mine if place[4] == profile]:
            mine.remove(place)
            del self._at[place]
        if not mine:
            self._places.pop(connection, None)


def _places(flow: Flow) -> list[Place]:
    names = flow.proved if flow.transport is Transport.TLS else ("",)
    return [(flow.transport, flow.interface, flow.local, flow.remote, name) for name in names]
