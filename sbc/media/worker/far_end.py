"""One end of one stream, for as long as its session uses the port pair: who may send, and what was counted of it.

What must outlive a change of the streams is here: the latches, the slot, what RTCP told. Who relays its packets, and
where to, is `session`'s. Counters are read from the slot; a pair that leaves takes none along: they are folded into the
session's `Tally` of that end.
"""

from collections import deque
from collections.abc import Collection
from typing import TYPE_CHECKING

from sbc.media import wire
from sbc.media.worker import slots
from sbc.media.worker.events import EVENT_PACKET_OCTETS
from sbc.media.worker.inlet import Inlet
from sbc.media.worker.lane import Recv, RecvFrom, Send, SendTo
from sbc.media.worker.latch import NOWHERE, Latch, Target, canonical, origin
from sbc.media.worker.ports import Pair
from sbc.media.worker.rtcp import RoundTrip
from sbc.media.worker.rtcp_latch import RtcpLatch
from sbc.media.worker.statistics import Statistics

if TYPE_CHECKING:
    from sbc.media.worker.association import Association
    from sbc.media.worker.securing import Security
    from sbc.media.worker.srtp_keyring import Keyring

Key = tuple[str, int]  # local address and RTP port of a pair


class Tally:
    """What was counted of one end in slots that it had, and by ends that sent to it, before. `counts` by the names of
    `wire.EndCount`; `last`: what is no sum, as it was at the last.
    """

    __slots__ = ("counts", "last")

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.last = wire.EndCount()

    def add(self, counts: dict[str, int]) -> None:
        self.counts = merged(self.counts, counts)


class Latches:
    """Of one port pair. They stay with it when it goes on in another session."""

    __slots__ = ("rtcp", "rtp")

    def __init__(self) -> None:
        self.rtp = Latch()
        self.rtcp = RtcpLatch(self.rtp)


class FarEnd:
    """`tally`: the session's, of this end. `inlets`: RTP and RTCP, as wired now. `security`: None: it is plain RTP."""

    __slots__ = (
        "end",
        "inlets",
        "installs",
        "latches",
        "owner",
        "pair",
        "round_trip",
        "security",
        "statistics",
        "tally",
    )

    def __init__(self, pair: Pair, end: wire.End, latches: Latches, tally: Tally, owner: int, slot: Statistics) -> None:
        self.pair = pair
        self.end = end
        self.latches = latches
        self.tally = tally
        self.owner = owner
        self.statistics = slot
        self.round_trip = RoundTrip()
        self.installs: deque[float] = deque()
        self.inlets: tuple[Inlet, ...] = ()
        self.security: Security | None = None

    def counts(self) -> dict[str, int]:
        """What the slot says, by the names of `wire.EndCount`."""
        slot = self.statistics.slot()
        packets, octets = slot[:2]
        lost, reordered, duplicates, foreign, excess, _, _, in_kernel = slot[11:19]
        rtcp, dropped, digits, rtcp_sent, digits_sent, played = slot[19:25]
        forged, replayed = (0, 0) if self.security is None else self.security.refused.counts
        return {
            "received": packets,
            "received_octets": octets,
            "sent": played,
            "sent_octets": played * EVENT_PACKET_OCTETS,
            "rtcp_received": rtcp,
            "rtcp_sent": rtcp_sent,
            "dropped": dropped,
            "digits_received": digits,
            "digits_sent": digits_sent,
            "in_kernel": in_kernel,
            "foreign": foreign,
            "excess": excess,
            "forged": forged,
            "replayed": replayed,
            "lost": lost,
            "reordered": reordered,
            "duplicates": duplicates,
        }

    def passed_on(self) -> tuple[int, int, int]:
        """What came from here and was relayed: packets, octets, RTCP packets."""
        slot = self.statistics.slot()
        return slot[0], slot[1], slot[19]

    @property
    def described_at(self) -> Target:
        """Where its SDP says."""
        remote = self.end.remote
        return NOWHERE if remote is None else (canonical(remote.host), remote.port)

    @property
    def jitter_ms(self) -> float:
        self.statistics.load()
        return self._milliseconds(self.statistics.jitter)

    @property
    def jitter_max_ms(self) -> float:
        return max(self._milliseconds(self.statistics.jitter_max), self.tally.last.jitter_max_ms)

    @property
    def source(self) -> str:
        """The locked one, as text; empty: none."""
        return _text(self.latches.rtp.locked)

    @property
    def stranger(self) -> str:
        """Who sent last of those that may not, as far as userland has seen him; RTP before RTCP. Empty: nobody."""
        last = self.latches.rtp.stranger or self.latches.rtcp.stranger
        return "" if last is None else _text(origin(last))

    def _milliseconds(self, sixteenths: int) -> float:
        return sixteenths / 16 / self.statistics.rate * 1000

    def put(self, end: wire.End, own: Collection[str], now: float, *, is_rtp: bool) -> None:
        """The end as it is from now on."""
        self.end = end
        self.latches.rtp.put(end, own, now, is_rtp=is_rtp)
        self.latches.rtcp.put(end, own)
        self.latches.rtcp.moved()
        if self.latches.rtp.foreign:
            self.statistics.add(slots.FOREIGN, self.latches.rtp.foreign)
            self.latches.rtp.foreign = 0

    def secure(
        self,
        keyring: "Keyring",
        ref: str,
        associations: "dict[bool, Association]",
        *,
        is_resumed: bool,
        is_adopted: bool = False,
    ) -> None:
        """As `end` says, which is secured. What was refused is counted on, also where the end is secured no more."""
        from sbc.media.worker.securing import Security  # noqa: PLC0415 - takes long, and plain calls need none of it

        if self.security is None:
            self.security = Security(keyring.counter(self.owner))
        self.security.associations = associations
        if self.pair.is_awaited:
            self.security.wait()
        else:
            is_lost = self.pair.is_lost
            self.security.put(self.end, ref, keyring, is_resumed=is_resumed, is_lost=is_lost, is_adopted=is_adopted)
            self.pair.is_lost = False  # of that key it is remembered; another was never used

    @property
    def shield(self) -> "Security | None":
        """What stands before the sockets; None: nothing does."""
        return None if self.end.secured is None else self.security

    def hearing(self, inlet: Inlet, recv_from: RecvFrom) -> RecvFrom:
        """How the inlet reads what comes from here."""
        return recv_from if self.shield is None else self.shield.hearing(inlet, recv_from)

    def hearing_only(self, inlet: Inlet, recv: Recv) -> Recv:
        """The same of a socket that is connected."""
        return recv if self.shield is None else self.shield.hearing_only(inlet, recv)

    def saying_to(self, inlet: Inlet, sendto: SendTo) -> SendTo:
        """How the inlet sends what goes here."""
        return sendto if self.shield is None else self.shield.saying_to(sendto, is_rtcp=inlet.is_rtcp)

    def saying(self, send: Send) -> Send:
        """The same by a socket that is connected."""
        return send if self.shield is None else self.shield.saying(send)

    @property
    def suite(self) -> str:
        """Empty: it is not secured, or not yet."""
        crypto = None if self.shield is None else self.shield.rtp.crypto
        return "" if crypto is None else crypto.suite

    def key_states(self, keyring: "Keyring") -> "list[wire.KeyState]":
        """How far its keys have come, for another worker."""
        shields = () if self.shield is None else {self.shield.rtp, self.shield.rtcp}
        return [one for shield in shields if shield.crypto is not None for one in keyring.states(shield.crypto)]

    def fold(self) -> None:
        """The slot is given up: what it says is the tally's from now on."""
        self.tally.add(self.counts())

    def heard_ns(self) -> int:
        """When RTP or RTCP of this end came last, in nanoseconds; 0: never."""
        self.statistics.load()
        heard: int = self.statistics.last_ns
        return max(heard, max((inlet.heard_ns for inlet in self.inlets), default=0))

    def former(self) -> tuple[Target, ...]:
        """Where it sent from, RTP and RTCP; where its SDP says, as long as it has not been heard."""
        remote = self.end.remote
        rtp, rtcp = self.latches.rtp, self.latches.rtcp
        where: list[Target] = []
        if rtp.source is not None:
            where.append((rtp.source[0], rtp.source[1]))
        elif remote is not None:
            where.append((remote.host, remote.port))
        if rtcp.source is not None:
            where.append((rtcp.source[0], rtcp.source[1]))
        elif remote is not None and remote.rtcp_port:
            where.append((where[0][0], remote.rtcp_port))
        return tuple(where)


def _text(at: Target) -> str:
    host, port = at
    if not host:
        return ""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def merged(*counts: dict[str, int]) -> dict[str, int]:
    """Sums, name by name."""
    total: dict[str, int] = {}
    for some in counts:
        for name, count in some.items():
            total[name] = total.get(name, 0) + count
    return total
