"""Who may send to one of the fake worker's ports, and what its packets' numbers say: latching and statistics, simply.

The rules are those of `media.wire` (`End`, `EndCount`); the worker has its own code for them. Sequence numbers follow
RFC 3550 §A.1. Jitter is left out: it stays 0.
"""

import ipaddress
from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from sbc.core.address import Address
from sbc.media import wire

PROBATION: Final = 4  # consecutive packets that lock a source which the SDP does not name
LEARNING_SECONDS: Final = 10.0  # how long a new description lets a locked source be replaced
_CANDIDATES: Final = 8
_MAX_DROPOUT: Final = 3000
_WINDOW: Final = 64


class Source:
    """The far end of one of our ports, as far as it is known."""

    def __init__(self, end: wire.End) -> None:
        self._end = end
        self._open_until = 0.0
        self._is_exact_due = False  # only the SDP's address and port may replace the locked one
        self._held: dict[Address, list[bytes]] = {}  # of each source that may yet be learned, its packets in a row
        self.locked: Address | None = None
        self.rtcp: Address | None = None  # where RTCP came from first, with nat

    def put(self, end: wire.End, now: float) -> None:
        """The end as it is from now on; a new description, or another far end, lets the source be learned again."""
        former, self._end = self._end, end
        if end == replace(former, mux=end.mux, epoch=min(end.epoch, former.epoch)):
            return
        self._held.clear()
        self._open_until, self._is_exact_due = now + LEARNING_SECONDS, False
        remote, before = end.remote, former.remote
        if remote is None or self.locked is None:
            self.locked = None
        elif self.locked != Address(remote.host, remote.port):
            is_kept = before and before.host == remote.host and self._may_be_learned(self.locked)
            self.locked = self.locked if is_kept else None

    def hear(self, remote: Address, data: bytes, own: Collection[str], now: float) -> tuple[list[bytes], int]:
        """The packets that are let in because of this one, and how many are found to be a stranger's."""
        end = self._end
        if self.locked == remote:
            return [data], 0
        if remote.host in own or end.remote is None:
            return [], 1
        if self.locked and now >= self._open_until:
            return [], 1
        exact = Address(end.remote.host, end.remote.port)
        if remote == exact:
            return [data], self._lock(remote)
        if (self.locked and self._is_exact_due) or not self._may_be_learned(remote):
            return [], 1
        before = self.locked
        heard = self._probe(remote, data)
        if self.locked == remote and (end.latching == "address" or before == exact):
            self._open_until, self._is_exact_due = now + LEARNING_SECONDS, True
        return heard

    def hears_rtcp(self, remote: Address, own: Collection[str]) -> bool:
        end = self._end
        if remote.host in own or end.remote is None:
            return False
        if end.mux:
            return remote in (self.locked, Address(end.remote.host, end.remote.port))
        if end.latching == "nat":
            return remote == self.rtcp if self.rtcp else self.locked is not None and remote.host == self.locked.host
        return remote.host == end.remote.host and (end.latching == "address" or remote.port == end.remote.rtcp_port)

    def target(self, *, is_rtcp: bool) -> Address | None:
        """Where packets for this end go: where its SDP says; with nat, to what is locked."""
        end = self._end
        if end.remote is None:
            return None
        rtp = Address(end.remote.host, end.remote.port)
        if end.latching == "nat" and self.locked:
            rtp = self.locked
        if not is_rtcp or end.mux:
            return rtp
        if not end.remote.rtcp_port:
            return None
        if end.latching == "nat" and self.locked:
            return self.rtcp or Address(rtp.host, rtp.port + 1)
        return Address(end.remote.host, end.remote.rtcp_port)

    def _lock(self, remote: Address) -> int:
        """How many packets of other candidates are thrown away."""
        self.locked, self.rtcp = remote, None
        self._open_until, self._is_exact_due = 0.0, False
        thrown = sum(len(held) for held in self._held.values())
        self._held.clear()
        return thrown

    def _may_be_learned(self, remote: Address) -> bool:
        end = self._end
        match end.latching:
            case "strict":
                return False
            case "address":
                return end.remote is not None and remote.host == end.remote.host
            case "nat":
                host = ipaddress.ip_address(remote.host)
                return any(host in ipaddress.ip_network(network) for network in end.media_from)

    def _probe(self, remote: Address, data: bytes) -> tuple[list[bytes], int]:
        thrown = 0
        held = self._held.pop(remote, [])  # the latest stands last
        if held and not _follows(held[-1], data):
            thrown, held = len(held), []
        held.append(data)
        if len(held) == PROBATION:
            return held, thrown + self._lock(remote)
        self._held[remote] = held
        if len(self._held) > _CANDIDATES:
            thrown += len(self._held.pop(next(iter(self._held))))
        return [], thrown


class Numbers:
    """Lost, reordered and doubled packets of one end, by their sequence numbers."""

    def __init__(self) -> None:
        self.lost = self.reordered = self.duplicates = 0
        self._ssrc = b""
        self._highest = 0
        self._window = 0
        self._bad: int | None = None

    def take(self, data: bytes) -> None:
        sequence, ssrc = int.from_bytes(data[2:4]), data[8:12]
        if ssrc != self._ssrc:
            self._ssrc = ssrc
            self._begin(sequence)
            return
        ahead = (sequence - self._highest) % 65_536
        behind = (65_536 - ahead) % 65_536
        if 1 <= ahead <= _MAX_DROPOUT:
            self.lost += ahead - 1
            self._window = (self._window << ahead | 1) % 2**_WINDOW
            self._highest = sequence
        elif behind < _WINDOW:
            self._behind(behind)
        elif self._bad == sequence:
            self._begin(sequence)
        else:
            self._bad = (sequence + 1) % 65_536

    def _behind(self, by: int) -> None:
        if self._window >> by & 1:
            self.duplicates += 1
            return
        self._window |= 1 << by
        self.reordered += 1
        self.lost -= 1

    def _begin(self, sequence: int) -> None:
        self._highest, self._window, self._bad = sequence, 1, None


def _follows(earlier: bytes, later: bytes) -> bool:
    """Of one synchronization source, the next number."""
    return later[8:12] == earlier[8:12] and later[2:4] == ((int.from_bytes(earlier[2:4]) + 1) % 65_536).to_bytes(2)
