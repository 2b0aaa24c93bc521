"""Whoever keeps `media.wire`, for the contract suites: the fake worker, the real worker's service, its process.

A subject says requests and sends packets; packets that come out are returned with the far end that got them.
"""

import ctypes
import ipaddress
import os
import select
import socket
import struct
import subprocess
import sys
from collections import deque
from typing import Protocol

from sbc.core.address import Address
from sbc.media import wire
from sbc.media.worker.ports import Udp
from sbc.media.worker.relay import Inlet, relay
from sbc.media.worker.service import Service
from sbc.runtime.media_sockets import Pair, open_pairs
from sbc.testing.media import FakeWorker, Packet

INSIDE, OUTSIDE = "127.0.0.10", "127.0.0.20"
PBX, CARRIER, STRANGER = "127.0.0.30", "127.0.0.40", "127.0.0.66"
RTP = bytes([0x80, 8, 0, 1]) + bytes(168)
RTCP = bytes([0x80, 200, 0, 6]) + bytes(24)
STUN = bytes([0, 1, 0, 0]) + bytes(16)
OWN = "127.0.0.99"  # an address of ours, beside those of the ports
CONFIGURE = wire.Configure("contract", "userland", own=(INSIDE, OUTSIDE, OWN), orphan_seconds=60.0)

SO_ATTACH_FILTER, SO_DETACH_FILTER, SO_DOMAIN = 26, 27, 39  # socket(7)
JUMP_IF_EQUAL = 0x15
_FAMILY = (socket.AF_INET, socket.AF_INET6)

TURNS = 200  # answers to wait for before a packet counts as not relayed

Heard = list[tuple[Address, Address, bytes]]  # from which of our ports, who, what


class Subject(Protocol):
    inside: list[int]  # even ports that are open on INSIDE
    outside: list[int]

    def say(self, request: wire.Request) -> list[wire.Reply]: ...
    def far(self, host: str, n: int) -> int:
        """The port of the n-th far end on a host; even n are RTP, n + 1 is the port above."""

    def send(self, host: str, n: int, local: str, port: int, data: bytes) -> Heard: ...


class InMemory(Subject, Protocol):
    """What only a subject without a process can do: let time go by, and lose its signalling."""

    def connect(self, *ports: int) -> None:
        """A connection of signalling that brings these ports, on both addresses."""

    def add(self, local: str, port: int) -> None: ...
    def wait(self, seconds: float) -> None: ...
    def news(self) -> list[wire.Reply]:
        """What it has said unasked since this was asked last."""


class Fake:
    def __init__(self) -> None:
        self.now = 0.0
        self.worker = FakeWorker(clock=lambda: self.now)
        self.inside = self.outside = [20000, 20002, 20004, 20006]
        self.connect(*self.inside)

    def connect(self, *ports: int) -> None:
        self.worker.start()
        self.say(CONFIGURE)
        for local in (INSIDE, OUTSIDE):
            for port in ports:
                self.add(local, port)

    def add(self, local: str, port: int) -> None:
        self.say(wire.AddPorts(local, (port,)))

    def wait(self, seconds: float) -> None:
        self.now += seconds
        self.worker.tick(self.now)

    def say(self, request: wire.Request) -> list[wire.Reply]:
        return [wire.decode_reply(data) for data in self.worker.receive(wire.encode(request))]

    def far(self, host: str, n: int) -> int:
        return 40000 + n

    def news(self) -> list[wire.Reply]:
        news = self.worker.news[:]
        self.worker.news.clear()
        return news

    def send(self, host: str, n: int, local: str, port: int, data: bytes) -> Heard:
        out = self.worker.relay(Packet(Address(local, port), Address(host, self.far(host, n)), data))
        return [(packet.local, packet.remote, packet.data) for packet in out]


class MemorySocket:
    def __init__(self, address: Address, sent: Heard) -> None:
        self.address = address
        self.queue: deque[tuple[bytes, Address]] = deque()
        self.sent = sent
        self.lets_in: str | None = ""  # one host; nobody; or None: everybody

    def fileno(self) -> int:
        return id(self)

    def arrive(self, data: bytes, source: Address) -> None:
        if self.lets_in in (None, source.host):
            self.queue.append((data, source))

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, tuple[str, int]]:
        if not self.queue:
            raise BlockingIOError
        data, source = self.queue.popleft()
        data = data[: len(buffer)]
        buffer[: len(data)] = data
        return len(data), (source.host, source.port)

    def sendto(self, data: bytes | memoryview, address: tuple[str, int]) -> int:
        self.sent.append((self.address, Address(*address), bytes(data)))
        return len(data)

    def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
        if option in (SO_ATTACH_FILTER, SO_DETACH_FILTER):
            self.lets_in = _host_of(value) if isinstance(value, bytes) else None

    def getsockopt(self, level: int, option: int) -> int:
        return _FAMILY[":" in self.address.host] if option == SO_DOMAIN else 0

    def close(self) -> None:
        """A descriptor less; the socket is open elsewhere too."""


def _host_of(program: bytes) -> str:
    """The IPv4 host that a filter compares the source with, "" where it compares nothing (linux/filter.h)."""
    count, at = struct.unpack("@HP", program)
    instructions = struct.iter_unpack("=HBBI", ctypes.string_at(at, 8 * count))
    compared = [operand for code, _, _, operand in instructions if code == JUMP_IF_EQUAL]
    return str(ipaddress.IPv4Address(compared[0])) if len(compared) == 1 else ""


class MemoryService:
    """The real service and relay, without epoll."""

    def __init__(self) -> None:
        self.sent: Heard = []
        self.watched: dict[int, Inlet] = {}
        self.now = 0.0
        self.service = Service(self, lambda: self.now)
        self.inside = self.outside = [20000, 20002, 20004, 20006]
        self.sockets: dict[Address, MemorySocket] = {}
        self.connect(*self.inside)

    def connect(self, *ports: int) -> None:
        self.service.connected()
        self.say(CONFIGURE)
        for local in (INSIDE, OUTSIDE):
            for port in ports:
                self.add(local, port)

    def add(self, local: str, port: int) -> None:
        """The same sockets again, as far as they are known: they are open elsewhere too."""
        addresses = [Address(local, port), Address(local, port + 1)]
        for address in addresses:
            self.sockets.setdefault(address, MemorySocket(address, self.sent))
        sockets = [self.sockets[address] for address in addresses]
        self.service.receive(wire.encode(wire.AddPorts(local, (port,))), sockets)

    def wait(self, seconds: float) -> None:
        """In steps, as a loop that has other things to do."""
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 0.25, end)
            self.service.agenda.tick(self.now)

    def set(self, socket: Udp, inlet: Inlet) -> None:
        self.watched[socket.fileno()] = inlet

    def unset(self, socket: Udp) -> None:
        self.watched.pop(socket.fileno(), None)

    def say(self, request: wire.Request) -> list[wire.Reply]:
        return [wire.decode_reply(wire.encode(reply)) for reply in self.service.receive(wire.encode(request))]

    def far(self, host: str, n: int) -> int:
        return 40000 + n

    def news(self) -> list[wire.Reply]:
        news = self.service.news[:]
        self.service.news.clear()
        return news

    def send(self, host: str, n: int, local: str, port: int, data: bytes) -> Heard:
        one = self.sockets[Address(local, port)]
        one.arrive(data, Address(host, self.far(host, n)))
        self.sent.clear()
        inlet = self.watched.get(one.fileno())
        if inlet:
            relay(inlet, 32)
        return list(self.sent)


class Process:
    """The real thing: a process, descriptors passed to it, sockets on 127/8."""

    def __init__(self) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(10)
        number = str(theirs.fileno())
        command = [sys.executable, "-m", "sbc.media.worker", "--control-fd", number]
        self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        self.running = wire.decode_reply(self.control.recv(65536))
        self.say(CONFIGURE)
        self.pairs = [self.open(local) for local in (INSIDE, OUTSIDE)]
        self.inside, self.outside = ([pair.port for pair in pairs] for pairs in self.pairs)
        self.fars: dict[tuple[str, int], socket.socket] = {}

    def open(self, local: str) -> list[Pair]:
        pairs = open_pairs(local, (20000, 29999), 4, (), lambda below: int.from_bytes(os.urandom(4)) % below)
        fds = [one.fileno() for pair in pairs for one in (pair.rtp, pair.rtcp)]
        request = wire.AddPorts(local, tuple(pair.port for pair in pairs))
        socket.send_fds(self.control, [wire.encode(request)], fds)
        return pairs

    def say(self, request: wire.Request) -> list[wire.Reply]:
        """All answers: up to the last of a query's, or else up to that of a query that is sent behind the request."""
        self.control.send(wire.encode(request))
        if not isinstance(request, wire.Query):
            self.control.send(wire.encode(wire.Query()))
        replies = [wire.decode_reply(self.control.recv(65536))]
        while not (isinstance(replies[-1], wire.Report) and replies[-1].last):
            replies.append(wire.decode_reply(self.control.recv(65536)))
        return replies if isinstance(request, wire.Query) else [r for r in replies if not isinstance(r, wire.Report)]

    def seen(self) -> tuple[int, int]:
        """Packets of all sessions: relayed, dropped."""
        reports = [reply for reply in self.say(wire.Query()) if isinstance(reply, wire.Report)]
        streams = [stream for report in reports for session in report.sessions for stream in session.streams]
        ends = [end for stream in streams for end in (stream.ingress, stream.egress)]
        return sum(end.received + end.rtcp_received for end in ends), sum(end.dropped + end.foreign for end in ends)

    def far(self, host: str, n: int) -> int:
        if (host, n) not in self.fars:
            pair = _far_pair(host)
            self.fars[host, n & ~1], self.fars[host, n | 1] = pair
        port: int = self.fars[host, n].getsockname()[1]
        return port

    def send(self, host: str, n: int, local: str, port: int, data: bytes) -> Heard:
        """The kernel delivers when it likes: wait until the packet is counted, which on an idle port it never is."""
        self.far(host, n)
        before = self.seen()
        self.fars[host, n].sendto(data, (local, port))
        for _ in range(TURNS):
            now = self.seen()
            if now != before:
                break
        heard: Heard = []
        while len(heard) < now[0] - before[0]:
            ready, _, _ = select.select(list(self.fars.values()), [], [], 10)
            assert ready, "what was relayed did not come"
            for one in ready:
                got, source = one.recvfrom(2048)
                heard.append((Address(*source), Address(*one.getsockname()), got))
        return heard

    def close(self) -> None:
        self.control.close()
        assert self.process.wait(10) == 0
        for pairs in self.pairs:
            for pair in pairs:
                pair.close()
        for one in self.fars.values():
            one.close()


def _far_pair(host: str) -> tuple[socket.socket, socket.socket]:
    """Two sockets on neighbouring ports, even and odd."""
    while True:
        rtp, rtcp = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
        rtp.bind((host, 0))
        port = rtp.getsockname()[1]
        try:
            if port % 2 == 0:
                rtcp.bind((host, port + 1))
                rtp.setblocking(False)
                rtcp.setblocking(False)
                return rtp, rtcp
        except OSError:
            pass
        rtp.close()
        rtcp.close()


def remote(worker: Subject, host: str, n: int = 0, rtcp: int | None = None) -> wire.Remote:
    return wire.Remote(host, worker.far(host, n), worker.far(host, n + 1) if rtcp is None else rtcp)


def stream(worker: Subject, i: int = 0, *, latching: wire.Latching = "address", rtp: bool = True) -> wire.Stream:
    ingress = wire.End(INSIDE, worker.inside[i], remote(worker, PBX), latching)
    egress = wire.End(OUTSIDE, worker.outside[i], remote(worker, CARRIER), latching)
    return wire.Stream(ingress, egress, rtp)


def put(worker: Subject, *streams: wire.Stream, ref: str = "a", generation: int = 1) -> list[wire.Reply]:
    return worker.say(wire.PutSession(ref, generation, streams))


def counts(worker: Subject, ref: str = "a") -> tuple[wire.StreamCount, ...]:
    (report,) = worker.say(wire.Query(ref))
    assert isinstance(report, wire.Report)
    return report.sessions[0].streams


def rtp(sequence: int, ssrc: int = 7, payload_type: int = 8) -> bytes:
    return bytes([0x80, payload_type]) + sequence.to_bytes(2) + bytes(4) + ssrc.to_bytes(4) + bytes(160)


def refused(replies: list[wire.Reply], ref: str) -> bool:
    return [reply.ref for reply in replies if isinstance(reply, wire.Refused)] == [ref] and len(replies) == 1


def from_pbx(worker: Subject, data: bytes = RTP, n: int = 0, host: str = PBX, i: int = 0) -> Heard:
    return worker.send(host, n, INSIDE, worker.inside[i] + n % 2, data)


def from_carrier(worker: Subject, data: bytes = RTP, n: int = 0, host: str = CARRIER, i: int = 0) -> Heard:
    return worker.send(host, n, OUTSIDE, worker.outside[i] + n % 2, data)


def at_carrier(worker: Subject, data: bytes, n: int = 0, i: int = 0) -> Heard:
    return [(Address(OUTSIDE, worker.outside[i] + n % 2), Address(CARRIER, worker.far(CARRIER, n)), data)]


def at_pbx(worker: Subject, data: bytes, n: int = 0, i: int = 0) -> Heard:
    return [(Address(INSIDE, worker.inside[i] + n % 2), Address(PBX, worker.far(PBX, n)), data)]
