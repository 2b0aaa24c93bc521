"""A media worker without a process or a socket: `media.wire` kept in memory, written for being read, not for speed.

`FakeWorker` relays packets that are handed to it; it passes the same contract suite as the real worker
(tests/machines/test_wire_contract.py), and does not import it. It does not play digits: it keeps what it was told to
play in `played`, and does not renumber packets. Nor does it recode: a packet of a payload type that is to be recoded
gets the other number and keeps its octets. It has no jitter, no round trip, and no engine but its own.
Time is the clock's; what is due is told when `tick` asks. Who uses it: `testing.media`.
"""

import ipaddress
from collections.abc import Callable, Iterable
from typing import Final

import msgspec
from msgspec import Struct

from sbc.core.address import Address, canonical_ip
from sbc.media import wire
from sbc.testing.media_source import Numbers, Source

_SESSIONS_PER_REPORT: Final = 8
_MOVED_SECONDS: Final = 1.0  # a pair that another session gets sooner than that is the same leg in another call


class Packet(Struct, frozen=True):
    """One datagram between one of our media ports (`local`) and a far end (`remote`)."""

    local: Address
    remote: Address
    data: bytes


class _Count:
    """Counters of one end; kept by our port as long as the session lives."""

    def __init__(self) -> None:
        self.received = self.received_octets = self.sent = self.sent_octets = 0
        self.rtcp_received = self.rtcp_sent = self.dropped = self.foreign = 0
        self.digits_received = self.digits_sent = self.excess = 0
        self.foreign_source = ""
        self._second, self._in_second = -1.0, 0

    def is_excess(self, limit: int, now: float) -> bool:
        """One more packet: is it beyond `limit` (0: none) in the second that runs?"""
        if now - self._second >= 1:
            self._second, self._in_second = now, 0
        self._in_second += 1
        too_many = 0 < limit < self._in_second
        self.excess += too_many
        return too_many

    def value(self, source: Source, numbers: Numbers) -> wire.EndCount:
        return wire.EndCount(
            **{name: count for name, count in vars(self).items() if name[0] != "_"},
            lost=numbers.lost,
            reordered=numbers.reordered,
            duplicates=numbers.duplicates,
            source=str(source.locked or ""),
            engine="userland" if self.received else "",
        )


class _Session:
    def __init__(self, put: wire.PutSession) -> None:
        self.put = put
        self.counts: dict[Address, _Count] = {}
        self.numbers: dict[Address, Numbers] = {}
        self.sources: dict[Address, Source] = {}
        self.digit: tuple[Address, bytes] | None = None  # the event that began last: its end, SSRC and timestamp
        self.said: tuple[Address, bytes] | None = None  # the one that was told last
        self.heard_at = 0.0  # a packet of anybody who may send; or the latest put
        self.is_silent = False
        self.ownerless_since: float | None = None

    def count(self, end: wire.End) -> _Count:
        return self.counts.setdefault(_rtp_address(end), _Count())

    def number(self, end: wire.End) -> Numbers:
        return self.numbers.setdefault(_rtp_address(end), Numbers())

    def source(self, end: wire.End) -> Source:
        return self.sources.setdefault(_rtp_address(end), Source(end))

    def replace(self, put: wire.PutSession, now: float) -> None:
        self.put = put
        self.heard_at, self.is_silent, self.ownerless_since = now, False, None
        used = [end for stream in put.streams for end in (stream.ingress, stream.egress)]
        self.sources = {_rtp_address(end): self.source(end) for end in used}
        for end in used:
            self.source(end).put(end, now)

    def streams(self) -> tuple[wire.StreamCount, ...]:
        return tuple(
            wire.StreamCount(self._value(stream.ingress), self._value(stream.egress)) for stream in self.put.streams
        )

    def _value(self, end: wire.End) -> wire.EndCount:
        return self.count(end).value(self.source(end), self.number(end))


class FakeWorker:
    """Keeps the wire contract in memory. Its sessions outlive the connection to signalling: `start` begins another."""

    def __init__(self, pid: int = 1, clock: Callable[[], float] = lambda: 0.0) -> None:
        self._pid = pid
        self._clock = clock
        self._configured = wire.Configure("")
        self._ports: set[Address] = set()
        self._sessions: dict[str, _Session] = {}
        self._owner: dict[Address, str] = {}  # RTP address of an end -> the session that put it last
        self._resting: dict[Address, str] = {}  # RTP address of a pair that was let go -> host of the former remote
        self._still_heard: dict[Address, float] = {}  # when it was said last
        self._left: dict[Address, tuple[float, Source]] = {}  # pairs that were let go: when, and who was there
        self._put_here: set[str] = set()  # on this connection
        self._added_here: set[Address] = set()
        self.played: list[wire.PlayDigit] = []
        self.news: list[wire.News] = []  # for signalling, unasked; whoever reads it clears it

    def start(self) -> bytes:
        """A connection of signalling: what the worker says first."""
        self._put_here.clear()
        self._added_here.clear()
        return wire.encode(wire.Running(self._pid, wire.VERSION))

    def receive(self, data: bytes) -> list[bytes]:
        try:
            request = wire.decode_request(data)
        except msgspec.DecodeError as error:
            return [wire.encode(wire.Refused("", f"no request: {error}"))]
        return [wire.encode(reply) for reply in self.handle(request)]

    def handle(self, request: wire.Request) -> list[wire.News]:
        match request:
            case wire.Configure(engine=engine):
                self._configured = request
                return [wire.EngineReady("userland", "" if engine == "userland" else "this worker is in memory")]
            case wire.AddPorts(local=local, ports=ports):
                self._ports.update(Address(local, port) for port in ports)
                self._added_here.update(Address(local, port) for port in ports)
                return []
            case wire.DropPorts(local=local, ports=ports):
                self._drop({Address(local, port) for port in ports})
                return []
            case wire.TakeOver():
                return []  # it has no keys
            case wire.PutSession():
                return self._put(request)
            case wire.DeleteSession(ref=ref):
                return [wire.SessionEnded(ref, self._delete(ref))]
            case wire.Synced():
                self._synced()
                return []
            case wire.Query(ref=ref):
                return list(self._report([ref] if ref else list(self._sessions)))
            case wire.PlayDigit():
                return self._play(request)

    def tick(self, now: float) -> None:
        """What is due goes to `news`: silence, and the end of sessions that nobody owns."""
        for ref, session in list(self._sessions.items()):
            limit = session.put.silence_seconds
            is_silent = 0 < limit <= now - session.heard_at
            since = session.ownerless_since
            if since is not None and (is_silent or now - since >= self._configured.orphan_seconds):
                self.news.append(wire.SessionEnded(ref, self._delete(ref)))
            elif since is None and is_silent and not session.is_silent:
                session.is_silent = True
                self.news.append(wire.Silent(ref, limit))

    def relay(self, packet: Packet) -> list[Packet]:
        """What the worker sends when `packet` reaches its port."""
        on_odd = packet.local.port % 2 == 1
        rtp = Address(packet.local.host, packet.local.port - on_odd)
        session = self._sessions.get(self._owner.get(rtp, ""))
        found = session and _find(session.put.streams, rtp)
        if not session or not found:
            self._rest(rtp, packet)
            return []
        stream, end, other = found
        is_rtcp = on_odd or (stream.rtp and end.mux and _is_rtcp(packet.data))
        if session.put.early or (on_odd and end.mux):
            return []
        if end.remote is None:
            session.count(end).dropped += 1
            return []
        let_in = self._let_in(session, stream, end, packet, is_rtcp=is_rtcp)
        sent = [self._cross(session, stream, end, other, data, is_rtcp=is_rtcp) for data in let_in]
        return [packet for packet in sent if packet]

    @property
    def sessions(self) -> tuple[str, ...]:
        return tuple(self._sessions)

    def session(self, ref: str) -> wire.PutSession:
        return self._sessions[ref].put

    # --- packets ------------------------------------------------------------------------------------------------------

    def _let_in(
        self, session: _Session, stream: wire.Stream, end: wire.End, packet: Packet, *, is_rtcp: bool
    ) -> list[bytes]:
        """The packets of this source that are relayed now; strangers and nonsense are counted."""
        count, source = session.count(end), session.source(end)
        own = self._configured.own
        is_shaped = not stream.rtp or _is_shaped(packet.data, is_rtcp=is_rtcp)
        if is_rtcp:
            is_ours = source.hears_rtcp(packet.remote, own)
            if is_ours and is_shaped and end.latching == "nat" and not end.mux:
                source.rtcp = packet.remote
            let_in, strange = [packet.data] * is_ours, int(not is_ours)
        elif is_shaped:
            let_in, strange = source.hear(packet.remote, packet.data, own, self._clock())
        else:
            let_in, strange = ([packet.data], 0) if source.locked in (None, packet.remote) else ([], 1)
        count.foreign += strange
        if strange and not let_in:
            count.foreign_source = str(packet.remote)
        if let_in and not is_shaped:
            count.dropped += 1
            return []
        if let_in:
            session.heard_at, session.is_silent = self._clock(), False
        return let_in

    def _cross(
        self, session: _Session, stream: wire.Stream, end: wire.End, other: wire.End, data: bytes, *, is_rtcp: bool
    ) -> Packet | None:
        target = session.source(other).target(is_rtcp=is_rtcp)
        owned = self._owner.get(_rtp_address(other)) == session.put.ref
        if target is None or not owned:
            session.count(end).dropped += 1
            return None
        if not is_rtcp and session.count(end).is_excess(stream.packets_per_second, self._clock()):
            return None
        if stream.rtp and not is_rtcp:
            session.number(end).take(data)
            if self._hear(session, stream, end, data):
                return None
            data = _rewritten(data, stream, "ingress" if end is stream.ingress else "egress")
        self._count(session.count(end), session.count(other), len(data), is_rtcp=is_rtcp)
        return Packet(Address(other.local, other.port + (is_rtcp and not other.mux)), target, data)

    def _rest(self, rtp: Address, packet: Packet) -> None:
        """A pair that nobody uses: its former remote is noticed, once a second."""
        now = self._clock()
        if packet.remote.host == self._resting.get(rtp) and now - self._still_heard.get(rtp, now - 1) >= 1:
            self._still_heard[rtp] = now
            self.news.append(wire.StillHeard(rtp.host, rtp.port))

    # --- sessions -----------------------------------------------------------------------------------------------------

    def _put(self, put: wire.PutSession) -> list[wire.News]:
        put = msgspec.structs.replace(put, streams=tuple(map(_without_idle_mux, put.streams)))
        session = self._sessions.get(put.ref)
        if session is not None and put.generation < session.put.generation:
            return []
        if put.adopted:
            if session is not None and _is_the_same(put, session.put):
                session.ownerless_since, session.is_silent = None, False
                self._put_here.add(put.ref)
                return []
            put = msgspec.structs.replace(put, resumed=True)
        ends = [end for stream in put.streams for end in (stream.ingress, stream.egress)]
        addresses = [_rtp_address(end) for end in ends]
        problem = self._problem(put, ends, addresses)
        if problem:
            return [wire.Refused(put.ref, problem)]
        if session is None:
            session = self._sessions[put.ref] = _Session(put)
        self._release(put.ref, but=addresses)
        for address in addresses:
            owner = self._owner.get(address)
            if owner != put.ref:
                self._move(address, self._sessions.get(owner or ""), session, put)
            self._owner[address] = put.ref
            self._resting.pop(address, None)
        session.replace(put, self._clock())
        self._put_here.add(put.ref)
        return []

    def _move(self, address: Address, former: _Session | None, heir: _Session, put: wire.PutSession) -> None:
        """The far end of a leg that goes on in another session is known there, also if it has just left the other."""
        heir.sources.pop(address, None)
        at, source = self._left.pop(address, (-_MOVED_SECONDS, None))
        if former is not None:
            source = former.sources.get(address)
        elif self._clock() - at >= _MOVED_SECONDS:
            source = None
        if source and not put.resumed:
            heir.sources[address] = source

    def _problem(self, put: wire.PutSession, ends: list[wire.End], addresses: list[Address]) -> str:
        missing = [address for address in addresses if address not in self._ports]
        if missing:
            return f"no such media port: {missing[0]}"
        if len(set(addresses)) != len(addresses):
            return "a media port is named twice"
        if not put.ref or not all(_is_usable(end) for end in ends):
            return "no name, or no remote address"
        return "" if all(_has_payload_types(stream) for stream in put.streams) else "no payload type can be so"

    def _play(self, play: wire.PlayDigit) -> list[wire.News]:
        session = self._sessions.get(play.ref)
        if len(play.digit) != 1 or play.digit not in wire.DIGITS:
            return [wire.Refused(play.ref, "no such digit")]
        if session is None:
            return []
        if not 0 <= play.stream < len(session.put.streams):
            return [wire.Refused(play.ref, "no such stream")]
        stream = session.put.streams[play.stream]
        end, events = (stream.ingress, 0) if play.to == "ingress" else (stream.egress, 1)
        is_told = stream.rtp and stream.events is not None and stream.events[events] != wire.NO_EVENTS
        if is_told and end.remote is not None and not session.put.early:
            self.played.append(play)
            session.count(end).digits_sent += 1
        return []

    def _hear(self, session: _Session, stream: wire.Stream, end: wire.End, data: bytes) -> bool:
        """Read a telephone-event (RFC 4733 §2.3); True where it is told and does not cross."""
        side: wire.SideName = "ingress" if end is stream.ingress else "egress"
        expected = stream.events[0 if side == "ingress" else 1] if stream.events else wire.NO_EVENTS
        if data[1] & 127 != expected or len(data) < 16 or data[12] >= len(wire.DIGITS):
            return False
        digit = (_rtp_address(end), data[4:12])
        is_told = side in stream.report_digits
        if session.digit != digit:
            session.digit = digit
            session.count(end).digits_received += 1
            other = stream.egress if side == "ingress" else stream.ingress
            session.count(other).digits_sent += not is_told
        if is_told and data[13] & 0x80 and session.said != digit:
            session.said = digit
            rate = stream.event_rates[0 if side == "ingress" else 1]
            milliseconds = int.from_bytes(data[14:16]) * 1000 // rate
            n = session.put.streams.index(stream)
            self.news.append(wire.DigitHeard(session.put.ref, n, side, wire.DIGITS[data[12]], milliseconds))
        return is_told

    def _delete(self, ref: str) -> tuple[wire.StreamCount, ...]:
        session = self._sessions.get(ref)
        for stream in session.put.streams if session else ():
            for end in (stream.ingress, stream.egress):
                if end.remote and self._owner.get(_rtp_address(end)) == ref:
                    self._resting[_rtp_address(end)] = end.remote.host
        self._release(ref)
        self._sessions.pop(ref, None)
        return session.streams() if session else ()

    def _release(self, ref: str, but: Iterable[Address] = ()) -> None:
        kept = set(but)
        sources = self._sessions[ref].sources if ref in self._sessions else {}
        for address, owner in self._owner.items():
            if owner == ref and address not in kept and address in sources:
                self._left[address] = (self._clock(), sources[address])
        self._owner = {address: owner for address, owner in self._owner.items() if owner != ref or address in kept}

    def _drop(self, addresses: set[Address]) -> None:
        self._ports -= addresses
        self._added_here -= addresses
        for address in addresses:
            self._owner.pop(address, None)
            self._resting.pop(address, None)

    def _synced(self) -> None:
        for ref, session in self._sessions.items():
            if ref not in self._put_here and session.ownerless_since is None:
                session.ownerless_since = self._clock()
        self._ports &= self._added_here | set(self._owner)
        self._resting = {address: host for address, host in self._resting.items() if address in self._ports}

    def _report(self, refs: list[str]) -> Iterable[wire.Report]:
        counts = [
            wire.SessionCount(ref, session.put.generation, session.streams(), _ports_of(session.put))
            for ref in refs
            if (session := self._sessions.get(ref))
        ]
        for at in range(0, max(len(counts), 1), _SESSIONS_PER_REPORT):
            some = tuple(counts[at : at + _SESSIONS_PER_REPORT])
            yield wire.Report(some, last=at + _SESSIONS_PER_REPORT >= len(counts))

    def _count(self, end: _Count, other: _Count, octets: int, *, is_rtcp: bool) -> None:
        if is_rtcp:
            end.rtcp_received += 1
            other.rtcp_sent += 1
            return
        end.received += 1
        end.received_octets += octets
        other.sent += 1
        other.sent_octets += octets


def _is_the_same(put: wire.PutSession, before: wire.PutSession) -> bool:
    """Whoever has said it."""
    return msgspec.structs.replace(put, adopted=before.adopted, resumed=before.resumed) == before


def _without_idle_mux(stream: wire.Stream) -> wire.Stream:
    """What is no RTP has no RTCP on its port."""
    if stream.rtp or not (stream.ingress.mux or stream.egress.mux):
        return stream
    ends = [msgspec.structs.replace(end, mux=False) for end in (stream.ingress, stream.egress)]
    return msgspec.structs.replace(stream, ingress=ends[0], egress=ends[1])


def _rtp_address(end: wire.End) -> Address:
    return Address(end.local, end.port)


def _find(streams: Iterable[wire.Stream], rtp: Address) -> tuple[wire.Stream, wire.End, wire.End] | None:
    """The stream that uses this port, its end there, and the other end."""
    for stream in streams:
        if _rtp_address(stream.ingress) == rtp:
            return stream, stream.ingress, stream.egress
        if _rtp_address(stream.egress) == rtp:
            return stream, stream.egress, stream.ingress
    return None


def _ports_of(put: wire.PutSession) -> tuple[tuple[str, int], ...]:
    return tuple((end.local, end.port) for stream in put.streams for end in (stream.ingress, stream.egress))


def _is_usable(end: wire.End) -> bool:
    if not all(_is_network(network) for network in end.media_from):
        return False
    if end.remote is None:
        return True
    host = end.remote.host
    same_family = (":" in host) == (":" in end.local)
    return same_family and canonical_ip(host) == host and 0 < end.remote.port < 65_536


def _is_network(text: str) -> bool:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        return False
    return True


def _has_payload_types(stream: wire.Stream) -> bool:
    pairs = (*stream.ingress_to_egress, *stream.egress_to_ingress)
    types = [number for pair in pairs for number in pair]
    types += [number for number in stream.events or () if number != wire.NO_EVENTS]
    types += [number for recoded in stream.transcodings for number in (recoded.payload_type, recoded.becomes)]
    clocks = (*stream.ingress_clocks, *stream.egress_clocks)
    types += [number for number, _ in clocks]
    rates = (*stream.event_rates, *(rate for _, rate in clocks))
    codings = {coding for recoded in stream.transcodings for coding in (recoded.source, recoded.target)}
    return (
        all(0 <= number < 128 for number in types)
        and all(1000 <= rate <= 192_000 for rate in rates)
        and codings <= {"PCMA", "PCMU"}
        and stream.packets_per_second >= 0
    )


def _rewritten(data: bytes, stream: wire.Stream, side: wire.SideName) -> bytes:
    table = dict(stream.ingress_to_egress if side == "ingress" else stream.egress_to_ingress)
    table |= {recoded.payload_type: recoded.becomes for recoded in stream.transcodings if recoded.side == side}
    marker, payload_type = data[1] & 128, data[1] & 127
    return data[:1] + bytes([marker | table.get(payload_type, payload_type)]) + data[2:]


def _is_shaped(data: bytes, *, is_rtcp: bool) -> bool:
    return len(data) >= (8 if is_rtcp else 12) and data[0] >> 6 == 2


def _is_rtcp(data: bytes) -> bool:
    """On a port that both share (RFC 5761 §4)."""
    return len(data) > 1 and 192 <= data[1] <= 223
