"""Listeners that a reload has taken away while something went by them: calls that are up go on as they began.

Requests of such a call leave by the listener that its dialogs know, and name that in Via and Contact, for as long as
the call lasts. Who else speaks to a listener that is gone begins nothing there. It opens and closes nothing: the
runtime keeps the sockets, and asks the switch when they are not needed any more. Used by the switch.
"""

from collections.abc import Iterable, Iterator, Mapping

from sbc.core.address import Address, Flow, Transport
from sbc.policy.model import Interface
from sbc.sip.locate import Local, LocalKey

Locals = Mapping[LocalKey, Local]
Place = tuple[Transport, Address]


class FormerListeners:
    """`removed` are those that the policy in force has not, and that are open still."""

    def __init__(self) -> None:
        self.removed: set[Place] = set()
        self._ways: dict[str, _Way] = {}  # of the calls that began before the latest change
        self._guests: dict[str, list[str]] = {}  # by ref of a call: those with ways that it has taken in
        self._left: Locals = {}  # those of now, and removed ones where there is none now

    def __bool__(self) -> bool:
        return bool(self.removed or self._ways)

    def replaced(
        self,
        old: Locals,
        new: Locals,
        before: Iterable[Interface],
        after: Iterable[Interface],
        calls: Iterable[str],
        moved: Iterable[tuple[str, str]] = (),
    ) -> None:
        """`calls`: refs of those that are up, which began by the `old` ones, or by older ones still. `moved`: refs of
        those whose legs are another one's by now, each with that other's.
        """
        is_now = _places(after)
        self.removed = (self.removed | _places(before)) - is_now
        if old != new:
            way = _Way(old)
            for ref in calls:
                self._ways.setdefault(ref, way)
            for ref, into in moved:
                if ref not in self._ways:
                    self._ways[ref] = way
                    self.taken_in(ref, into)
        gone = {key: local for key, local in {**self._left, **old}.items() if self._is_open(key, local)}
        self._left = {**gone, **new}
        for way in set(self._ways.values()):
            way.now = {**self._left, **way.began}

    def taken_in(self, ref: str, into: str) -> None:
        """The legs of this call are another one's from now on, and go on by the listeners that they began by."""
        guests = self._guests.pop(ref, [])
        if ref in self._ways:
            guests.append(ref)
        if guests:
            self._guests.setdefault(into, []).extend(guests)

    def forget(self, ref: str) -> None:
        """This call is gone."""
        for one in (ref, *self._guests.pop(ref, ())):
            self._ways.pop(one, None)

    def cut(self, old: Locals, new: Locals) -> set[str]:
        """Interfaces of which one of the `old` ones is removed, and those that are no more."""
        lost = {key[0] for key, local in old.items() if self._is_open(key, local)}
        return lost | ({key[0] for key in old} - {key[0] for key in new})

    def is_removed(self, flow: Flow) -> bool:
        return (flow.transport, flow.local) in self.removed

    def of(self, ref: str) -> Locals:
        """By which requests of legs that began in this call leave, or anybody else's (`ref` unknown)."""
        way = self._ways.get(ref)
        return self._left if way is None else way.now

    def users(self, transport: Transport, address: Address) -> Iterator[tuple[str, str]]:
        """Calls that began while it was there, by ref, and the interface that it was one of."""
        place = (transport, address)
        interfaces = {
            way: next((key[0] for key, local in way.began.items() if (key[1], local.address) == place), "")
            for way in set(self._ways.values())
        }
        return ((ref, interfaces[way]) for ref, way in self._ways.items() if interfaces[way])

    def closed(self, transport: Transport, address: Address) -> None:
        self.removed.discard((transport, address))
        self._left = {
            key: local for key, local in self._left.items() if (key[1], local.address) != (transport, address)
        }

    def _is_open(self, key: LocalKey, local: Local) -> bool:
        return (key[1], local.address) in self.removed


class _Way:
    """By what some calls began; `now`: and what there is besides for what they begin later."""

    __slots__ = ("began", "now")

    def __init__(self, began: Locals) -> None:
        self.began = dict(began)
        self.now: Locals = began


def _places(interfaces: Iterable[Interface]) -> set[Place]:
    return {(listener.transport, listener.address) for interface in interfaces for listener in interface.listeners}
