"""The pool of media port pairs, as numbers: what is free, what is in use, what must rest before it is used again.

The runtime opens the sockets and passes them to the media worker; a pair is handed out only once it is known to be
open, so that no call waits for a socket. Pairs stay open and are used again. RTP takes the even port, RTCP the odd one
above. A pair rests after use until its former peer has been silent for a while: that may go on sending, and the next
call must not hear it. What strangers send there changes nothing. When no other pair is left, the one whose peer has
been silent longest is taken, provided that this is a minimum; and where no peer has been silent, the one whose call
ended first, provided that this is long ago: else whoever goes on sending, with a packet a second to each port that it
has ever had, would leave us none.

A reload may add addresses and remove some. The ports of a removed one go on with the calls that have them, rest, and
are closed then; an address that comes back meanwhile has them again.
"""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import Final

from sbc.b2bua.commands import ClosePorts, HoldPorts, OpenPorts
from sbc.core.ids import IdSource
from sbc.core.limits import (
    PORT_QUARANTINE_MAXIMUM_SECONDS,
    PORT_QUARANTINE_MINIMUM_SECONDS,
    PORT_QUARANTINE_SECONDS,
)

_BATCH: Final = 64  # pairs kept ready, and opened at a time
_RETRY_SECONDS: Final = 5.0  # after the system had fewer ports than we asked for


class _Address:
    """The pairs of one local address."""

    __slots__ = ("asked", "ended", "is_removed", "outside", "ready", "resting", "retry_at", "used")

    def __init__(self) -> None:
        self.is_removed = False
        self.ready: list[int] = []
        self.resting: dict[int, float] = {}  # since when all is quiet there, the longest first
        self.ended: dict[int, float] = {}  # of those that rest, when they were given back, the earliest first
        self.used: set[int] = set()
        self.outside: list[int] = []  # of a range that was in force once, to be closed
        self.asked = 0
        self.retry_at = 0.0

    @property
    def is_empty(self) -> bool:
        return not (self.ready or self.resting or self.used or self.asked)


class PortPool:
    def __init__(self, locals_: tuple[str, ...], first: int, last: int, ids: IdSource) -> None:
        self._addresses = {local: _Address() for local in dict.fromkeys(locals_)}
        self._range = range(first + first % 2, last, 2)
        self._capacity = len(self._range)
        self._ids = ids

    @property
    def in_use(self) -> int:
        """Pairs held by calls; those that rest are not counted."""
        return sum(len(address.used) for address in self._addresses.values())

    @property
    def in_all(self) -> int:
        """Pairs that there may be, those of removed addresses not counted."""
        return self._capacity * sum(not address.is_removed for address in self._addresses.values())

    @property
    def resting(self) -> int:
        return sum(len(address.resting) for address in self._addresses.values())

    def start(self) -> list[OpenPorts | HoldPorts]:
        """What calls of an earlier life hold comes first, before anybody else opens just those."""
        held: list[OpenPorts | HoldPorts] = [
            HoldPorts(local, tuple(sorted({*address.used, *address.resting})))
            for local, address in self._addresses.items()
            if address.used or address.resting
        ]
        return held + [
            order for local, one in self._addresses.items() if not one.is_removed for order in self._ask(local, 0.0)
        ]

    def change(self, locals_: Iterable[str], now: float) -> list[OpenPorts | ClosePorts]:
        """From now on ports are taken on these addresses, and no others."""
        wanted = dict.fromkeys(locals_)
        added = [local for local in wanted if local not in self._addresses or self._addresses[local].is_removed]
        for local in added:
            self._addresses.setdefault(local, _Address()).is_removed = False
        for local, address in self._addresses.items():
            address.is_removed = local not in wanted
        orders: list[OpenPorts | ClosePorts] = [*self.close_rested(now)]
        for local in added:
            if len(self._addresses[local].ready) < _BATCH // 2 and not self._addresses[local].asked:
                orders += self._ask(local, now)
        return orders

    def close_rested(self, now: float) -> list[ClosePorts]:
        """Ports of removed addresses, or outside of the range, that nobody uses, and whose former peers are silent."""
        orders: list[ClosePorts] = []
        for local, address in list(self._addresses.items()):
            if address.is_removed:
                self._wake(address, now - PORT_QUARANTINE_SECONDS)
                self._wake_haunted(address, now - PORT_QUARANTINE_MAXIMUM_SECONDS, len(address.ended))
            if address.outside:
                orders.append(ClosePorts(local, tuple(sorted(address.outside))))
                address.outside = []
            if not address.is_removed:
                continue
            if address.ready:
                orders.append(ClosePorts(local, tuple(sorted(address.ready))))
                address.ready = []
            if address.is_empty:
                del self._addresses[local]
        return orders

    def next_deadline(self) -> float | None:
        """When ports of removed addresses have rested."""
        rests = [
            min(next(iter(one.resting.values())) + PORT_QUARANTINE_SECONDS,
                next(iter(one.ended.values())) + PORT_QUARANTINE_MAXIMUM_SECONDS)
            for one in self._addresses.values() if one.is_removed and one.resting
        ]  # fmt: skip
        return min(rests, default=None)

    def opened(self, local: str, ports: tuple[int, ...], now: float) -> None:
        address = self._addresses.get(local)
        if address is None:
            return
        if len(ports) < address.asked:
            address.retry_at = now + _RETRY_SECONDS
        address.asked = 0
        known = address.used.union(address.ready, address.resting)
        address.ready.extend(port for port in ports if port not in known)

    def take(self, local: str, count: int, now: float) -> list[int] | None:
        """`count` even ports on `local`, or None where so many are not to be had; then nothing is taken."""
        address = self._addresses.get(local)
        if address is None or address.is_removed:
            return None
        self._wake(address, now - PORT_QUARANTINE_SECONDS)
        if len(address.ready) < count:
            self._wake(address, now - PORT_QUARANTINE_MINIMUM_SECONDS, count - len(address.ready))
        if len(address.ready) < count:
            self._wake_haunted(address, now - PORT_QUARANTINE_MAXIMUM_SECONDS, count - len(address.ready))
        if len(address.ready) < count:
            return None
        taken = [self._pick(address.ready) for _ in range(count)]
        address.used.update(taken)
        return taken

    def hold(self, local: str, ports: Iterable[int]) -> None:
        """These are in use already, by calls that an earlier life of signalling began: nobody is given them, whether or
        not they are open yet. Where the address is none of the policy's any more, they are all that is there.
        """
        address = self._addresses.get(local)
        if address is None:
            address = self._addresses[local] = _Address()
            address.is_removed = True
        for port in ports:
            if port in address.ready:
                address.ready.remove(port)
            address.resting.pop(port, None)
            address.ended.pop(port, None)
            address.used.add(port)

    def lost(self, local: str, ports: Collection[int]) -> None:
        """Held pairs that could not be opened again: they are nobody's."""
        address = self._addresses.get(local)
        if address is not None:
            address.used.difference_update(ports)
            for port in ports:
                address.resting.pop(port, None)
                address.ended.pop(port, None)

    def give_back(self, local: str, ports: list[int], now: float) -> None:
        """Ports that are not in use are ignored: giving back twice changes nothing."""
        address = self._addresses.get(local)
        if address is None:
            return
        for port in ports:
            if port in address.used:
                address.used.discard(port)
                address.resting[port] = address.ended[port] = now

    def heard(self, local: str, port: int, now: float) -> None:
        """The former peer of a pair that rests still sends there: its rest begins anew."""
        address = self._addresses.get(local)
        if address is not None and address.resting.pop(port, None) is not None:
            address.resting[port] = now

    def replenish(self, now: float) -> list[OpenPorts]:
        """Orders for more pairs where the ready ones run low; asked after calls have taken theirs."""
        orders: list[OpenPorts] = []
        for local, address in self._addresses.items():
            if len(address.ready) < _BATCH // 2 and not address.asked and not address.is_removed:
                orders += self._ask(local, now)
        return orders

    def _ask(self, local: str, now: float) -> list[OpenPorts]:
        address = self._addresses[local]
        known = len(address.ready) + len(address.used) + len(address.resting)
        pairs = min(_BATCH, self._capacity - known)
        if pairs <= 0 or now < address.retry_at:
            return []
        address.asked = pairs
        return [OpenPorts(local, pairs)]

    def _wake(self, address: _Address, rested_since: float, at_most: int | None = None) -> None:
        rested: list[int] = []
        for port, since in islice(address.resting.items(), at_most):
            if since > rested_since:
                break
            rested.append(port)
        self._make_ready(address, rested)

    def _wake_haunted(self, address: _Address, ended_before: float, at_most: int) -> None:
        """Their former peers are heard to this day."""
        ended = islice(address.ended.items(), at_most)
        self._make_ready(address, [port for port, at in ended if at <= ended_before])

    def _make_ready(self, address: _Address, ports: list[int]) -> None:
        for port in ports:
            del address.resting[port], address.ended[port]
            if port in self._range:
                address.ready.append(port)
            else:
                address.outside.append(port)

    def _pick(self, ready: list[int]) -> int:
        """A random one, so that a stranger cannot guess the next call's port."""
        at = self._ids.number(len(ready))
        ready[at], ready[-1] = ready[-1], ready[at]
        return ready.pop()
