"""A media worker without a process or a socket, for whole-SBC tests in memory.

`FakeWorker` speaks `media.wire` and relays packets that are handed to it; it passes the same contract suite as the
real worker (tests/machines/test_wire_contract.py). It does not play digits: it keeps what it was told to play in
`played`, and does not renumber packets. `FakeMedia` puts a `MediaClient` before it, so that a test can also
kill it: to the engine it looks like the runtime's media pool. Written for being read, not for speed; it does not
import the worker.
"""

from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from sbc.core.address import Address, canonical_ip
from sbc.media import wire
from sbc.media.client import Asked, MediaClient, Outgoing

_SESSIONS_PER_REPORT: Final = 8


class Packet(Struct, frozen=True):
    """One datagram between one of our media ports (`local`) and a far end (`remote`)."""

    local: Address
    remote: Address
    data: bytes


class _Count:
    """Counters of one end; kept by our port as long as the session lives."""

    def __init__(self) -> None:
        self.received = self.received_octets = self.sent = self.sent_octets = 0
        self.rtcp_received = self.rtcp_sent = self.dropped = 0
        self.digits_received = self.digits_sent = 0

    def value(self) -> wire.EndCount:
        return wire.EndCount(**vars(self))


class _Session:
    def __init__(self, put: wire.PutSession) -> None:
        self.put = put
        self.counts: dict[Address, _Count] = {}
        self.digit: tuple[Address, bytes] | None = None  # the event that began last: its end, SSRC and timestamp
        self.said: tuple[Address, bytes] | None = None  # the one that was told last

    def count(self, end: wire.End) -> _Count:
        return self.counts.setdefault(_rtp_address(end), _Count())

    def streams(self) -> tuple[wire.StreamCount, ...]:
        return tuple(
            wire.StreamCount(self.count(stream.ingress).value(), self.count(stream.egress).value())
            for stream in self.put.streams
        )


class FakeWorker:
    """Keeps the wire contract in memory."""

    def __init__(self, pid: int = 1) -> None:
        self._pid = pid
        self._ports: set[Address] = set()
        self._sessions: dict[str, _Session] = {}
        self._owner: dict[Address, str] = {}  # RTP address of an end -> the session that put it last
        self.played: list[wire.PlayDigit] = []
        self.news: list[wire.DigitHeard] = []  # for signalling, unasked; whoever reads it clears it

    def start(self) -> bytes:
        return wire.encode(wire.Running(self._pid, wire.VERSION))

    def receive(self, data: bytes) -> list[bytes]:
        try:
            request = wire.decode_request(data)
        except msgspec.DecodeError as error:
            return [wire.encode(wire.Refused("", f"no request: {error}"))]
        return [wire.encode(reply) for reply in self.handle(request)]

    def handle(self, request: wire.Request) -> list[wire.Reply]:
        match request:
            case wire.AddPorts(local=local, ports=ports):
                self._ports.update(Address(local, port) for port in ports)
                return []
            case wire.PutSession():
                return self._put(request)
            case wire.DeleteSession(ref=ref):
                return [wire.SessionEnded(ref, self._delete(ref))]
            case wire.Query(ref=ref):
                return list(self._report([ref] if ref else list(self._sessions)))
            case wire.PlayDigit():
                return self._play(request)

    def relay(self, packet: Packet) -> list[Packet]:
        """What the worker sends when `packet` reaches its port."""
        is_rtcp = packet.local.port % 2 == 1
        rtp = Address(packet.local.host, packet.local.port - is_rtcp)
        session = self._sessions.get(self._owner.get(rtp, ""))
        found = session and _find(session.put.streams, rtp)
        if not session or not found:
            return []
        stream, end, other = found
        target = _target(other, is_rtcp=is_rtcp)
        owned = self._owner.get(_rtp_address(other)) == session.put.ref
        if not owned or target is None or not _is_expected(end, packet, is_rtcp=is_rtcp, is_rtp=stream.rtp):
            session.count(end).dropped += 1
            return []
        data = packet.data
        if stream.rtp and not is_rtcp:
            if self._hear(session, stream, end, data):
                return []
            data = _rewritten(data, stream.ingress_to_egress if end is stream.ingress else stream.egress_to_ingress)
        self._count(session.count(end), session.count(other), len(data), is_rtcp=is_rtcp)
        return [Packet(Address(other.local, other.port + is_rtcp), target, data)]

    @property
    def sessions(self) -> tuple[str, ...]:
        return tuple(self._sessions)

    def session(self, ref: str) -> wire.PutSession:
        return self._sessions[ref].put

    def _put(self, put: wire.PutSession) -> list[wire.Reply]:
        session = self._sessions.get(put.ref)
        if session is not None and put.generation < session.put.generation:
            return []
        ends = [end for stream in put.streams for end in (stream.ingress, stream.egress)]
        addresses = [_rtp_address(end) for end in ends]
        missing = [address for address in addresses if address not in self._ports]
        if missing:
            return [wire.Refused(put.ref, f"no such media port: {missing[0]}")]
        if len(set(addresses)) != len(addresses):
            return [wire.Refused(put.ref, "a media port is named twice")]
        if not put.ref or not all(_is_usable(end) for end in ends):
            return [wire.Refused(put.ref, "no name, or no remote address")]
        if not all(_has_payload_types(stream) for stream in put.streams):
            return [wire.Refused(put.ref, "no payload type can be so")]
        if session is None:
            session = self._sessions[put.ref] = _Session(put)
        self._release(put.ref)
        session.put = put
        for address in addresses:
            self._owner[address] = put.ref
        return []

    def _play(self, play: wire.PlayDigit) -> list[wire.Reply]:
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
        session = self._sessions.pop(ref, None)
        self._release(ref)
        return session.streams() if session else ()

    def _release(self, ref: str) -> None:
        self._owner = {address: owner for address, owner in self._owner.items() if owner != ref}

    def _report(self, refs: list[str]) -> Iterable[wire.Report]:
        counts = [
            wire.SessionCount(ref, session.put.generation, session.streams())
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


class FakeMedia:
    """The runtime's media pool, in memory: open ports, ask, kill and start the worker, relay packets."""

    def __init__(self, first_port: int = 20000, last_port: int = 29999) -> None:
        self.client = MediaClient()
        self.worker: FakeWorker | None = None
        self._first = first_port + first_port % 2
        self._last = last_port
        self._next: dict[str, int] = {}
        self._generation = 0
        self.start()

    def open_ports(self, local: str, pairs: int) -> tuple[int, ...]:
        """The even ports opened: fewer than asked when the range is used up."""
        at = self._next.get(local, self._first)
        ports = tuple(range(at, min(at + 2 * pairs, self._last), 2))
        self._next[local] = at + 2 * len(ports)
        self._say(self.client.ports_opened(local, ports))
        return ports

    def ask(self, request: Asked) -> list[wire.Reply]:
        return self._say(self.client.ask(request))

    def relay(self, packet: Packet) -> list[Packet]:
        return self.worker.relay(packet) if self.worker else []

    def news(self) -> list[wire.Reply]:
        """What the worker said unasked since this was asked last: digits that were in relayed packets."""
        if self.worker is None:
            return []
        said = [wire.encode(reply) for reply in self.worker.news]
        self.worker.news.clear()
        return [reply for data in said for reply in self.client.received(data)]

    @property
    def played(self) -> tuple[wire.PlayDigit, ...]:
        """The digits that the worker which runs now was told to play."""
        return tuple(self.worker.played) if self.worker else ()

    def poll(self) -> list[wire.Reply]:
        return self._say(self.client.poll())

    def kill(self) -> None:
        self.worker = None
        self.client.worker_lost()

    def start(self) -> list[wire.Reply]:
        """A fresh worker; returns the answers to what had to be said again."""
        self._generation += 1
        self.worker = FakeWorker(self._generation)
        self.client.received(self.worker.start())
        return self._say(self.client.worker_started())

    def _say(self, messages: Iterable[Outgoing]) -> list[wire.Reply]:
        worker = self.worker
        if worker is None:
            return []
        answers = [answer for message in messages for answer in worker.receive(message.data)]
        return [reply for answer in answers for reply in self.client.received(answer)]


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


def _is_usable(end: wire.End) -> bool:
    if end.remote is None:
        return True
    host = end.remote.host
    same_family = (":" in host) == (":" in end.local)
    return same_family and canonical_ip(host) == host and 0 < end.remote.port < 65_536


def _has_payload_types(stream: wire.Stream) -> bool:
    pairs = (*stream.ingress_to_egress, *stream.egress_to_ingress)
    types = [number for pair in pairs for number in pair]
    types += [number for number in stream.events or () if number != wire.NO_EVENTS]
    return all(0 <= number < 128 for number in types) and all(1000 <= rate <= 192_000 for rate in stream.event_rates)


def _rewritten(data: bytes, pairs: tuple[tuple[int, int], ...]) -> bytes:
    marker, payload_type = data[1] & 128, data[1] & 127
    return data[:1] + bytes([marker | dict(pairs).get(payload_type, payload_type)]) + data[2:]


def _target(end: wire.End, *, is_rtcp: bool) -> Address | None:
    if end.remote is None:
        return None
    port = end.remote.rtcp_port if is_rtcp else end.remote.port
    return Address(end.remote.host, port) if port else None


def _is_expected(end: wire.End, packet: Packet, *, is_rtcp: bool, is_rtp: bool) -> bool:
    """Does the packet come from where the SDP says, and is it what the stream carries?"""
    if end.remote is None or packet.remote.host != end.remote.host:
        return False
    port = end.remote.rtcp_port if is_rtcp else end.remote.port
    if end.latching == "strict" and packet.remote.port != port:
        return False
    return not is_rtp or (len(packet.data) >= (8 if is_rtcp else 12) and packet.data[0] >> 6 == 2)
