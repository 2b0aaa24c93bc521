"""Which addresses of the policy's interfaces this machine has lost, or has on a link that is down. Pure; see `network`.

Bad news counts at once. Good news does too, unless there has been much of both lately: then the interface must be well
for a while first, longer each time, so that a loose plug does not move every call to and fro.
"""

import ipaddress
from collections.abc import Collection, Iterator, Mapping
from typing import Final

from msgspec import Struct

from sbc.b2bua.events import InterfaceChanged
from sbc.policy.model import Interface

SETTLE_SECONDS: Final = 0.05  # an address comes back in several steps
FLAPPING_SECONDS: Final = 60.0  # losses within that count together
LONGEST_WAIT_SECONDS: Final = 30.0

Network = ipaddress.IPv4Interface | ipaddress.IPv6Interface


class Link(Struct, frozen=True):
    """A device. `is_up`: by order, and it has a carrier."""

    name: str
    is_up: bool
    is_loopback: bool = False


class Held(Struct, frozen=True):
    """An address on a link, with its network."""

    address: Network
    link: str


class Picture(Struct, frozen=True):
    """All of the machine's links and addresses at one moment."""

    links: tuple[Link, ...]
    held: tuple[Held, ...]


class InterfaceWatch:
    """Fed with pictures, says what changes for the policy's interfaces."""

    def __init__(self, interfaces: Mapping[str, Interface], were_here: Collection[str] = ()) -> None:
        """`were_here`: addresses that this machine had before we began to look."""
        self._interfaces = interfaces
        self._states: dict[str, _State] = {}
        self._seen: set[str] = set(were_here)  # addresses that have been here: what never was is not watched
        self._picture: Picture | None = None

    def change_interfaces(self, interfaces: Mapping[str, Interface], now: float) -> list[InterfaceChanged]:
        """A reload. Their sockets are open, so that they are here or never were."""
        self._interfaces = interfaces
        self._states = {name: state for name, state in self._states.items() if name in interfaces}
        return [] if self._picture is None else self.look(self._picture, now)

    def look(self, picture: Picture, now: float) -> list[InterfaceChanged]:
        self._picture = picture
        reach = _Reach(picture)
        changes: list[InterfaceChanged] = []
        for interface in self._interfaces.values():
            lost = dict(self._lost(interface, reach))
            changes += self._weigh(interface.name, lost, now)
        return changes

    def tick(self, now: float) -> list[InterfaceChanged]:
        due = [name for name, state in self._states.items() if state.well_at is not None and state.well_at <= now]
        return [self._say(name, self._states[name]) for name in due]

    def forget(self, why: str) -> list[InterfaceChanged]:
        """Nothing is known any more: what has been told as lost counts as well. `why`, for people."""
        told = [name for name, state in self._states.items() if state.told]
        self._states, self._picture = {}, None
        return [InterfaceChanged(name, (), why) for name in told]

    def next_deadline(self) -> float | None:
        return min((state.well_at for state in self._states.values() if state.well_at is not None), default=None)

    def _lost(self, interface: Interface, reach: "_Reach") -> Iterator[tuple[str, str]]:
        """Addresses, and what is wrong with each."""
        hosts = (*(listener.address.host for listener in interface.listeners), *interface.media)
        for host in dict.fromkeys(hosts):
            links = reach.links_of(host)
            if any(link.is_up for link in links):
                self._seen.add(host)
            elif links:
                yield host, f"link {links[0].name} is down"
            elif host in self._seen:
                yield host, f"{host} is gone"

    def _weigh(self, name: str, lost: dict[str, str], now: float) -> list[InterfaceChanged]:
        state = self._states.get(name)
        if state is None:
            if not lost:
                return []
            state = self._states[name] = _State()
        state.lost = lost
        if lost.items() == state.told.items():
            state.well_at = None
            return []
        if lost.keys() - state.told.keys():
            state.losses = [at for at in state.losses if now - at < FLAPPING_SECONDS] + [now]
            return [self._say(name, state)]
        if not lost or lost.keys() < state.told.keys():
            if state.well_at is None:
                state.well_at = now + state.wait(now)
            return []
        return [self._say(name, state)]  # the same addresses, for another reason

    def _say(self, name: str, state: "_State") -> InterfaceChanged:
        state.told, state.well_at = state.lost, None
        return InterfaceChanged(name, tuple(state.lost), ", ".join(dict.fromkeys(state.lost.values())))


class _State:
    """Of one interface: what is wrong now, what has been told, and when the better is to be believed."""

    __slots__ = ("losses", "lost", "told", "well_at")

    def __init__(self) -> None:
        self.lost: dict[str, str] = {}
        self.told: dict[str, str] = {}
        self.losses: list[float] = []
        self.well_at: float | None = None

    def wait(self, now: float) -> float:
        lately = sum(now - at < FLAPPING_SECONDS for at in self.losses)
        return SETTLE_SECONDS if lately < 2 else min(2.0 ** (lately - 1), LONGEST_WAIT_SECONDS)


class _Reach:
    """Which links an address is on."""

    def __init__(self, picture: Picture) -> None:
        links = {link.name: link for link in picture.links}
        self._exact: dict[str, list[Link]] = {}
        self._loopback: list[tuple[Network, Link]] = []
        for held in picture.held:
            link = links.get(held.link)
            if link is None:
                continue
            self._exact.setdefault(str(held.address.ip), []).append(link)
            if link.is_loopback:
                self._loopback.append((held.address, link))

    def links_of(self, host: str) -> list[Link]:
        """Of a loopback device's network every address is there, as all of 127.0.0.0/8."""
        bare, _, scope = host.partition("%")
        exact = [link for link in self._exact.get(bare, ()) if scope in ("", link.name)]
        if exact or not self._loopback:
            return exact
        address = ipaddress.ip_address(bare)
        return [link for held, link in self._loopback if address in held.network]
