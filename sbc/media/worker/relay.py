"""The hot path: one packet in, its source compared, counted, one packet out.

An `Inlet` is one direction of RTP or RTCP: what arrives at one of our sockets and leaves by the socket of the other
end. Sockets are not connected: a connected socket would never show us a stranger's packet to count, nor the first one
of a source that is still to be learned. `relay` itself carries the packet that nearly all are: from the locked source,
the next number of the same RTP stream, of a payload type that leaves as it came; it writes out `Statistics.take` for
that. Everything else is `take_in`'s. It knows neither sessions nor the poller; what has to be changed in a packet is an
`Edit`, and most streams have none.
"""

import struct
from collections import deque
from collections.abc import Callable
from itertools import repeat
from math import gcd
from typing import Final, Protocol

from msgspec import Struct

from sbc.media.worker import slots
from sbc.media.worker.latch import FOREIGN, KEPT, LOCKED, NOWHERE, Kept, Source, Target
from sbc.media.worker.ports import QUEUED_AT_MOST, Udp
from sbc.media.worker.rtcp import is_rtcp
from sbc.media.worker.statistics import FARTHEST, FULL, LONGEST_NS, Statistics, shifted

RTP_OCTETS: Final = 12  # fixed header, RFC 3550 §5.1
CLOCK_RATE: Final = 8000  # where nothing else is said, Hz
RTCP_OCTETS: Final = 8  # header and SSRC of the first packet, SR or RR, RFC 3550 §6.4

_CAUGHT_UP: Final = 4  # packets of 20 ms: more than an answer takes, less than an ear minds
_DRAINED: Final = 64  # packets at once of a way that waits for its socket to be empty
_SECOND_NS: Final = 1_000_000_000
_UNLIMITED: Final = 1 << 62
NEVER: Final = -1  # in place of a packet's first octets
# Sender report to APP: "payload type values 72-76 … have been reserved" for them, RFC 3551 §6. They are relayed where
# somebody sends them to the port of RTP, and say nothing of the stream.
_REPORTS: Final = range(200, 205)

# Changes the packet that fills the first octets of a buffer, in place. Returns its size, which may be another then; 0
# where it must not be relayed, and has been counted where it has to be.
Edit = Callable[[bytearray, int], int]
Clock = Callable[[], float]

_buffer = bytearray(65_536)
_view = memoryview(_buffer)
_VIEWS: Final = 1500
_views: Final = tuple(_view[:size] for size in range(_VIEWS))  # cutting costs more than looking up

_header = struct.Struct("!HHII").unpack_from  # version to payload type, sequence number, timestamp, SSRC
_words = struct.Struct("!III").unpack_from  # the same, in fewer numbers
_write_hot = struct.Struct(slots.HOT).pack_into


class Gate(Protocol):
    """`Latch` or `RtcpLatch`. `foreign`: packets that it kept, of strangers; `relay` counts and takes them."""

    foreign: int

    def may_hear(self, source: Source, /) -> bool: ...
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
    `rtcp`: the inlet for RTCP that comes on this port (RFC 5761). `edit`: for packets that do not leave as they came.
    `limit`: packets in a second, 0: no limit.
    The owner may set `on_lock` (the gate has another source), `on_source` (another SSRC is about to be heard), `offer`
    (asked when the socket is empty; True: look once more) and `hear` (RTCP that is relayed). While `is_shared`, the
    engine relays and counts in the slot too, and `on_simple` is told of packets that could have been its; `is_stale`:
    it did.
    """

    __slots__ = (
        "clock",
        "edit",
        "following",
        "gate",
        "hear",
        "heard_ns",
        "is_opaque",
        "is_rtcp",
        "is_shared",
        "is_stale",
        "limit",
        "offer",
        "on_lock",
        "on_simple",
        "on_source",
        "per_ns",
        "quota",
        "recv",
        "rtcp",
        "rules",
        "second_ns",
        "send",
        "source",
        "statistics",
        "target",
        "types",
        "units",
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
        self.recv = socket.recvfrom_into
        self.send = outlet.sendto
        self.gate = gate
        self.target = target
        self.statistics = statistics
        self.clock = clock
        self.rules = rules
        self.is_rtcp = is_rtcp
        self.is_opaque = is_opaque
        self.edit = edit
        self.limit = limit
        self.source: Source | None = None
        self.rtcp: Inlet | None = None
        self.types: dict[int, int] = {}  # simple payload types that were seen, and their clocks
        self.following = NEVER  # the first four octets of the packet that needs no more than a look
        self.units = self.per_ns = 1  # its clock: so many units of the timestamp in so many nanoseconds
        self.quota = statistics.packets if limit else _UNLIMITED
        self.second_ns = 0
        self.heard_ns: int = 0
        self.is_shared = False
        self.is_stale = False
        self.on_lock: Callable[[], None] | None = None
        self.on_source: Callable[[], None] | None = None
        self.on_simple: Callable[[int], None] | None = None
        self.offer: Callable[[float], bool] | None = None
        self.hear: Callable[[bytearray, int, float], None] | None = None

    def share(self) -> None:
        """From now on somebody else relays this way, and what comes here has been passed up."""
        self.is_shared = self.is_stale = True
        self.following = NEVER

    def unshare(self) -> None:
        self.is_shared = False


def relay(inlet: Inlet, budget: int) -> None:
    """Relay what waits at an inlet, `budget` packets at most."""
    recv = inlet.recv
    statistics = inlet.statistics
    now_ns = int(inlet.clock() * 1e9)
    for _ in repeat(None, budget if inlet.offer is None else _DRAINED):
        try:
            size, source = recv(_buffer)
        except BlockingIOError:
            if inlet.offer is None or not inlet.offer(now_ns / 1e9):
                return
            continue
        except OSError:
            continue  # an error that the network reported for an earlier packet: reading it has cleared it
        if source != inlet.source or size < RTP_OCTETS:
            take_in(inlet, size, source, now_ns)
            continue
        word, timestamp, ssrc = _words(_buffer)
        # RFC 3550 §A.8; only where the difference is small do its two sides not have to be compared modulo 2**32
        elapsed = now_ns - statistics.last_ns
        difference = elapsed * inlet.units // inlet.per_ns - timestamp + statistics.timestamp
        if difference < 0:
            difference = -difference
        if (
            word != inlet.following
            or ssrc != statistics.ssrc
            or difference > FARTHEST
            or not 0 <= elapsed <= LONGEST_NS
            or statistics.packets >= inlet.quota
            or size >= _VIEWS
        ):
            take_in(inlet, size, source, now_ns)
            continue
        try:
            inlet.send(_views[size], inlet.target)  # type: ignore[arg-type]  # without one nothing is plain
        except OSError as error:
            if not _sent_again(inlet, _view[:size], error):
                inlet.following = NEVER
                statistics.take(word & 0xFFFF, timestamp, ssrc, statistics.rate, now_ns)
                statistics.add(slots.DROPPED)
                continue
        statistics.sequence = sequence = word & 0xFFFF
        inlet.following = word + 1 if sequence != 0xFFFF else word - 0xFFFF
        jitter = statistics.jitter
        statistics.jitter = jitter = jitter + difference - ((jitter + 8) >> 4)
        if jitter > statistics.jitter_max:  # noqa: PLR1730 - a call costs more than all of the jitter
            statistics.jitter_max = jitter
        window = statistics.window
        if window is not FULL:
            statistics.window = window = shifted(window, 1)
        statistics.timestamp = timestamp
        statistics.last_ns = now_ns
        statistics.packets = packets = statistics.packets + 1
        statistics.octets = octets = statistics.octets + size
        _write_hot(
            statistics.memory,
            statistics.offset,
            packets,
            octets,
            now_ns,
            window,
            timestamp,
            jitter,
            statistics.jitter_max,
            sequence,
        )
    if inlet.offer is not None and budget < _DRAINED:
        relay(inlet, _DRAINED)  # a packet has brought the way back: it waits for its socket to be empty


def take_in(inlet: Inlet, size: int, source: Source, now_ns: int) -> None:
    """Judge and carry the packet that fills the first octets of the buffer. It may be any; most have a shorter way."""
    if inlet.rtcp is not None and size > 1 and is_rtcp(_buffer[1]):
        inlet = inlet.rtcp
    if inlet.is_stale:
        inlet.statistics.load()
        inlet.is_stale = inlet.is_shared
    is_shaped = _is_shaped(inlet, size)
    if source != inlet.source and not _lets_in(inlet, size, source, now_ns, is_shaped=is_shaped):
        return
    if is_shaped:
        _carry(inlet, size, now_ns)
    else:
        inlet.statistics.add(slots.DROPPED)


def _is_shaped(inlet: Inlet, size: int) -> bool:
    """ "Version (V): 2 bits … two (2)" RFC 3550 §5.1, §6.4.1: STUN, DTLS and other guests of the port are none."""
    if inlet.is_opaque:
        return True
    return size >= (RTCP_OCTETS if inlet.is_rtcp else RTP_OCTETS) and 128 <= _buffer[0] < 192


def _lets_in(inlet: Inlet, size: int, source: Source, now_ns: int, *, is_shaped: bool) -> bool:
    """Ask the gate about a packet from elsewhere; what it kept is carried first."""
    gate, statistics = inlet.gate, inlet.statistics
    if gate is None or (not is_shaped and inlet.source is None and not inlet.is_rtcp):
        statistics.add(slots.DROPPED)
        return False
    verdict = gate.hears(_buffer, size, source, now_ns) if is_shaped or inlet.is_rtcp else FOREIGN
    strangers = gate.foreign + (verdict == FOREIGN)
    if strangers:
        gate.foreign = 0
        statistics.add(slots.FOREIGN, strangers)
    if verdict == LOCKED:
        if inlet.on_lock is not None:
            inlet.on_lock()
        _carry_kept(inlet, gate.take_kept(), size)
    return verdict not in {FOREIGN, KEPT}


def _carry_kept(inlet: Inlet, kept: list[Kept], size: int) -> None:
    """Relay them, and leave the buffer as it is."""
    if not kept:
        return
    present = bytes(_view[:size])
    for data, at_ns in kept:
        _buffer[: len(data)] = data
        _carry(inlet, len(data), at_ns)
    _buffer[:size] = present


def _carry(inlet: Inlet, size: int, now_ns: int) -> None:
    """Relay the packet in the buffer, which is ours and has the shape of its stream."""
    inlet.heard_ns = now_ns
    if inlet.target is None:
        inlet.statistics.add(slots.DROPPED)
    elif inlet.is_rtcp:
        _carry_rtcp(inlet, size, now_ns)
    elif inlet.statistics.packets < inlet.quota or not _is_excess(inlet, now_ns):
        if inlet.rules is None or _buffer[1] in _REPORTS:
            _send_on(inlet, size, size)
        else:
            _carry_rtp(inlet, inlet.rules, size, now_ns)


def _carry_rtp(inlet: Inlet, rules: Rules, size: int, now_ns: int) -> None:
    statistics = inlet.statistics
    head, sequence, timestamp, ssrc = _header(_buffer)
    inlet.following = NEVER
    if ssrc != statistics.ssrc and inlet.on_source is not None:
        inlet.on_source()
    payload_type = head & 127
    rate = rules.clocks.get(payload_type, CLOCK_RATE)
    statistics.take(sequence, timestamp, ssrc, 0 if payload_type == rules.silent else rate, now_ns)
    left = size if inlet.edit is None else inlet.edit(_buffer, size)
    if left:
        _send_on(inlet, size, left)
        if rules.is_simple(payload_type):
            _carried_simple(inlet, payload_type, rate)
        if rules.is_plain(payload_type) and not inlet.is_shared:
            _expect(inlet, head, sequence, rate)


def _carried_simple(inlet: Inlet, payload_type: int, rate: int) -> None:
    inlet.types[payload_type] = rate
    if inlet.is_shared and inlet.on_simple is not None:
        inlet.on_simple(payload_type)


def _expect(inlet: Inlet, head: int, sequence: int, rate: int) -> None:
    """The next packet needs no more than a look if it is like this one, which came as the latest."""
    if sequence == inlet.statistics.sequence:
        inlet.following = head << 16 | (sequence + 1) & 0xFFFF
        divisor = gcd(rate, _SECOND_NS)
        inlet.units, inlet.per_ns = rate // divisor, _SECOND_NS // divisor


def _carry_rtcp(inlet: Inlet, size: int, now_ns: int) -> None:
    if inlet.hear is not None:
        inlet.hear(_buffer, size, now_ns / 1e9)
    left = size if inlet.edit is None else inlet.edit(_buffer, size)
    if left:
        inlet.statistics.add(slots.RTCP_PACKETS if send(inlet, _view[:left]) else slots.DROPPED)


def _send_on(inlet: Inlet, size: int, left: int) -> None:
    """Send `left` octets of the buffer, which came as `size`, and count the packet."""
    statistics = inlet.statistics
    if not send(inlet, _view[:left]):
        statistics.add(slots.DROPPED)
        return
    statistics.packets += 1
    statistics.octets += size
    statistics.store()


def _is_excess(inlet: Inlet, now_ns: int) -> bool:
    """What one second allows is used up: it may be over, or the packet is one too many."""
    if now_ns - inlet.second_ns >= _SECOND_NS:
        inlet.second_ns = now_ns
        inlet.quota = inlet.statistics.packets + inlet.limit
        return False
    inlet.statistics.add(slots.EXCESS)
    return True


def catch_up(inlet: Inlet) -> None:
    """Relay the newest few of what waits at an inlet that has just learned who may send, and where to; drop the older.

    Strangers, however many, do not take their place.
    """
    gate, now_ns = inlet.gate, int(inlet.clock() * 1e9)
    newest: deque[tuple[bytes, Source]] = deque(maxlen=_CAUGHT_UP)
    for _ in repeat(None, QUEUED_AT_MOST):
        try:
            size, source = inlet.recv(_buffer)
        except BlockingIOError:
            break
        except OSError:
            continue
        if gate is not None and not gate.may_hear(source):
            inlet.statistics.add(slots.FOREIGN)
            continue
        if len(newest) == _CAUGHT_UP:
            inlet.statistics.add(slots.DROPPED)
        newest.append((bytes(_view[:size]), source))
    for data, sender in newest:
        _buffer[: len(data)] = data
        take_in(inlet, len(data), sender, now_ns)


def send(inlet: Inlet, data: bytes | memoryview) -> bool:
    """Send one packet where the inlet's packets go; False where it cannot be."""
    try:
        inlet.send(data, inlet.target or NOWHERE)
    except OSError as error:
        return _sent_again(inlet, data, error)
    return True


def _sent_again(inlet: Inlet, data: bytes | memoryview, error: OSError) -> bool:
    """A refusal reported on a send concerns an earlier packet: this one was not tried yet. Anything else is final."""
    if not isinstance(error, ConnectionRefusedError):
        return False
    try:
        inlet.send(data, inlet.target or NOWHERE)
    except OSError:
        return False
    return True
