"""One direction of RTP or RTCP: what arrives at one of our sockets and leaves by the socket of the other end.

A socket may be connected to its far end (`connection`); then another one hears everybody else, for the same inlet.
There is one buffer for all packets, because each is sent before the next is read. `way` makes inlets; `relay` and
`carry` bring packets through them.
"""

import errno
from collections.abc import Callable
from typing import Final, Protocol

from msgspec import Struct

from sbc.media.worker.lane import Lane, Recv, RecvFrom, Send, SendTo
from sbc.media.worker.latch import NOWHERE, Kept, Source, Target
from sbc.media.worker.ports import Udp
from sbc.media.worker.statistics import Statistics

RTP_OCTETS: Final = 12  # fixed header, RFC 3550 §5.1
RTCP_OCTETS: Final = 8  # header and SSRC of the first packet, SR or RR, RFC 3550 §6.4
CLOCK_RATE: Final = 8000  # where nothing else is said, Hz

NO_SOURCE: Final[Source] = ("", 0)

_UNLIMITED: Final = 1 << 62
# What a connected socket is told of ICMP: no port, no protocol, filtered, too large, malformed.
REPORTED: Final = frozenset(
    {
        errno.ECONNREFUSED,
        errno.ENOPROTOOPT,
        errno.EHOSTUNREACH,
        errno.ENONET,
        errno.EACCES,
        errno.EMSGSIZE,
        errno.EPROTO,
    }
)

# Changes the packet that fills the first octets of a buffer, in place. Returns its size, which may be another then; 0
# where it must not be relayed, and has been counted where it has to be.
Edit = Callable[[bytearray, int], int]
Clock = Callable[[], float]

BUFFER: Final = bytearray(65_536)
VIEW: Final = memoryview(BUFFER)


class Gate(Protocol):
    """`Latch`, `RtcpLatch` or `MuxLatch`. `foreign`: packets that it kept, of strangers; `carry` counts and takes them,
    and notes the last `stranger`.
    """

    foreign: int
    stranger: Source | None

    def may_hear(self, source: Source, /) -> bool: ...
    def may_learn(self, source: Source, now: float, /) -> bool: ...
    def hears(self, packet: bytearray, size: int, source: Source, now_ns: int, /) -> int: ...
    def take_kept(self) -> list[Kept]: ...


class Rules(Struct, frozen=True):
    """What the session says of a way of RTP.

    `special`: payload types that `edit` has to see, telephone-event among them; None: it has to see every packet.
    `table`: what the second octet becomes, by what it is; None: it stays. `clocks`: Hz by payload type, where it is
    not CLOCK_RATE. `silent`: the type of telephone-event, whose timestamps say nothing of jitter; or NO_EVENTS.
    """

    special: frozenset[int] | None = frozenset()
    table: bytes | None = None
    clocks: dict[int, int] = {}
    silent: int = -1

    def is_simple(self, payload_type: int) -> bool:
        """Whether such packets need no edit but perhaps another payload type. Those that RTCP looks like never are."""
        return self.special is not None and payload_type not in self.special and not 64 <= payload_type < 96

    def is_plain(self, payload_type: int) -> bool:
        return self.is_simple(payload_type) and (self.table is None or self.table[payload_type] == payload_type)


class Inlet:
    """One direction: packets from `source` that reach `socket` leave by `outlet` for `target`.

    `gate` judges packets from elsewhere; None: nobody is let in. `target` None: there is nowhere to send to. `rules`:
    what is said of RTP, None where it is none; `is_rtcp`: the stream's second port. `is_opaque`: neither is read.
    `rtcp`: the inlet for RTCP that comes on this port (RFC 5761). `edit`: for packets that do not leave as they came;
    `edit_report`: for RTCP that comes here all the same. `limit`: packets in a second, 0: no limit.
    The owner may set `on_lock` (the gate has another source), `on_source` (another SSRC is about to be heard), `offer`
    (asked when the socket is empty; True: look once more) and `hear` (RTCP that is relayed). While `is_shared`, the
    engine relays and counts in the slot too, and `on_simple` is told of packets that could have been its; `is_stale`:
    it did, or the short way.
    `lane`: the socket as the loop has it; `peer`: who sends what comes without a source.
    """

    __slots__ = (
        "clock",
        "edit",
        "edit_report",
        "gate",
        "hear",
        "heard_ns",
        "is_opaque",
        "is_rtcp",
        "is_shared",
        "is_stale",
        "lane",
        "limit",
        "offer",
        "on_lock",
        "on_simple",
        "on_source",
        "peer",
        "quota",
        "rtcp",
        "rules",
        "second_ns",
        "send",
        "source",
        "statistics",
        "target",
        "types",
    )

    def __init__(
        self,
        socket: Udp,
        outlet: Udp,
        gate: Gate | None,
        target: Target | None,
        statistics: Statistics,
        clock: Clock,
        *,
        rules: Rules | None = None,
        is_rtcp: bool = False,
        is_opaque: bool = False,
        edit: Edit | None = None,
        limit: int = 0,
    ) -> None:
        statistics.load()  # the way before may have counted in the slot alone
        self.send: SendTo = outlet.sendto
        self.lane = Lane(self, socket.recvfrom_into, statistics.memory, statistics.offset)
        self.peer = NO_SOURCE
        self.gate = gate
        self.target = target
        self.statistics = statistics
        self.clock = clock
        self.rules = rules
        self.is_rtcp = is_rtcp
        self.is_opaque = is_opaque
        self.edit = edit
        self.edit_report: Edit | None = None
        self.limit = limit
        self.source: Source | None = None
        self.rtcp: Inlet | None = None
        self.types: dict[int, int] = {}  # simple payload types that were seen, and their clocks
        # What `packets` may become in this second; of RTCP, how many may still come.
        self.quota = (0 if is_rtcp else statistics.packets) if limit else _UNLIMITED
        self.second_ns = 0
        self.heard_ns: int = 0
        self.is_shared = False
        self.is_stale = False
        self.on_lock: Callable[[], None] | None = None
        self.on_source: Callable[[], None] | None = None
        self.on_simple: Callable[[int], None] | None = None
        self.offer: Callable[[float], bool] | None = None
        self.hear: Callable[[bytearray, int, float], None] | None = None

    @property
    def recv(self) -> RecvFrom:
        """Whoever has sent."""
        return self.lane.recv_from

    @recv.setter
    def recv(self, recv: RecvFrom) -> None:
        self.lane.recv_from = recv

    def share(self) -> None:
        """From now on somebody else relays this way, and what comes here has been passed up."""
        self.is_shared = self.is_stale = True
        self.lane.shut()

    def unshare(self) -> None:
        self.is_shared = False

    def offer_to(self, offer: Callable[[float], bool] | None) -> None:
        """Ask `offer` when the socket is empty. Until then no packet takes the short way."""
        self.offer = offer
        if offer is not None:
            self.lane.shut()

    def hear_only(self, peer: Source, recv: Recv) -> None:
        """Everything that comes by the socket is `peer`'s from now on."""
        self.peer, self.lane.recv = peer, recv

    def hear_all(self) -> None:
        """The source of each packet has to be looked at."""
        self.peer, self.lane.recv = NO_SOURCE, None

    def send_by(self, send: Send | None) -> None:
        """The outlet is connected to the target; None: it is not."""
        self.lane.send = send

    def aim(self, target: Target | None) -> None:
        """Packets go elsewhere from now on."""
        if target != self.target:
            self.lane.send = None
            self.lane.shut()
        self.target = target


def send(inlet: Inlet, data: bytes | memoryview) -> bool:
    """Send one packet where the inlet's packets go; False where it cannot be."""
    try:
        inlet.send(data, inlet.target or NOWHERE)
    except OSError as error:
        return _sent_again(inlet, data, error)
    return True


def _sent_again(inlet: Inlet, data: bytes | memoryview, error: OSError) -> bool:
    """What the network reported of an earlier packet is told on a send, and this one was not tried yet. Anything else
    is final.
    """
    if error.errno not in REPORTED:
        return False
    try:
        inlet.send(data, inlet.target or NOWHERE)
    except OSError:
        return False
    return True
