"""What `media.wire` promises, asked of the fake worker, of the real worker's service in memory, and of its process.

A subject says requests and sends packets; packets that come out are returned with the far end that got them.
"""

import os
import select
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from typing import Protocol

import pytest
from hypothesis import given
from hypothesis import strategies as st

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

SO_ATTACH_FILTER = 26  # how a socket is muted, socket(7)

TURNS = 200  # answers to wait for before a packet counts as not relayed

Heard = list[tuple[Address, Address, bytes]]  # from which of our ports, who, what


class Subject(Protocol):
    inside: list[int]  # even ports that are open on INSIDE
    outside: list[int]

    def say(self, request: wire.Request) -> list[wire.Reply]: ...
    def far(self, host: str, n: int) -> int:
        """The port of the n-th far end on a host; even n are RTP, n + 1 is the port above."""

    def send(self, host: str, n: int, local: str, port: int, data: bytes) -> Heard: ...


class Fake:
    def __init__(self) -> None:
        self.worker = FakeWorker()
        self.inside = self.outside = [20000, 20002, 20004, 20006]
        for local in (INSIDE, OUTSIDE):
            self.say(wire.AddPorts(local, tuple(self.inside)))

    def say(self, request: wire.Request) -> list[wire.Reply]:
        return [wire.decode_reply(data) for data in self.worker.receive(wire.encode(request))]

    def far(self, host: str, n: int) -> int:
        return 40000 + n

    def news(self) -> list[wire.DigitHeard]:
        return self.worker.news

    def send(self, host: str, n: int, local: str, port: int, data: bytes) -> Heard:
        out = self.worker.relay(Packet(Address(local, port), Address(host, self.far(host, n)), data))
        return [(packet.local, packet.remote, packet.data) for packet in out]


class MemorySocket:
    def __init__(self, address: Address, sent: Heard) -> None:
        self.address = address
        self.queue: deque[tuple[bytes, Address]] = deque()
        self.sent = sent
        self.is_muted = True

    def fileno(self) -> int:
        return id(self)

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, tuple[str, int]]:
        if not self.queue:
            raise BlockingIOError
        data, source = self.queue.popleft()
        buffer[: len(data)] = data
        return len(data), (source.host, source.port)

    def sendto(self, data: bytes | memoryview, address: tuple[str, int]) -> int:
        self.sent.append((self.address, Address(*address), bytes(data)))
        return len(data)

    def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
        self.is_muted = option == SO_ATTACH_FILTER


class MemoryService:
    """The real service and relay, without epoll."""

    def __init__(self) -> None:
        self.sent: Heard = []
        self.watched: dict[int, Inlet] = {}
        self.service = Service(self, lambda: 0.0)
        self.inside = self.outside = [20000, 20002, 20004, 20006]
        self.sockets: dict[Address, MemorySocket] = {}
        for local in (INSIDE, OUTSIDE):
            addresses = [Address(local, port + i) for port in self.inside for i in (0, 1)]
            sockets = [MemorySocket(address, self.sent) for address in addresses]
            self.sockets |= dict(zip(addresses, sockets, strict=True))
            self.service.receive(wire.encode(wire.AddPorts(local, tuple(self.inside))), sockets)

    def set(self, socket: Udp, inlet: Inlet) -> None:
        self.watched[socket.fileno()] = inlet

    def unset(self, socket: Udp) -> None:
        self.watched.pop(socket.fileno(), None)

    def say(self, request: wire.Request) -> list[wire.Reply]:
        return [wire.decode_reply(wire.encode(reply)) for reply in self.service.receive(wire.encode(request))]

    def far(self, host: str, n: int) -> int:
        return 40000 + n

    def news(self) -> list[wire.DigitHeard]:
        return [reply for reply in self.service.news if isinstance(reply, wire.DigitHeard)]

    def send(self, host: str, n: int, local: str, port: int, data: bytes) -> Heard:
        one = self.sockets[Address(local, port)]
        if not one.is_muted:
            one.queue.append((data, Address(host, self.far(host, n))))
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
        return sum(end.received + end.rtcp_received for end in ends), sum(end.dropped for end in ends)

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
        ready, _, _ = select.select(list(self.fars.values()), [], [], 10 if now[0] > before[0] else 0)
        return [
            (Address(*source), Address(*one.getsockname()), got)
            for one in ready
            for got, source in [one.recvfrom(2048)]
        ]

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


@pytest.fixture(params=["fake", "service", pytest.param("process", marks=pytest.mark.loopback)])
def worker(request: pytest.FixtureRequest) -> Iterator[Subject]:
    if request.param == "fake":
        yield Fake()
    elif request.param == "service":
        yield MemoryService()
    else:
        process = Process()
        yield process
        process.close()


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


def from_pbx(worker: Subject, data: bytes = RTP, n: int = 0, host: str = PBX, i: int = 0) -> Heard:
    return worker.send(host, n, INSIDE, worker.inside[i] + n % 2, data)


def from_carrier(worker: Subject, data: bytes = RTP, n: int = 0, host: str = CARRIER, i: int = 0) -> Heard:
    return worker.send(host, n, OUTSIDE, worker.outside[i] + n % 2, data)


def at_carrier(worker: Subject, data: bytes, n: int = 0, i: int = 0) -> Heard:
    return [(Address(OUTSIDE, worker.outside[i] + n % 2), Address(CARRIER, worker.far(CARRIER, n)), data)]


def at_pbx(worker: Subject, data: bytes, n: int = 0, i: int = 0) -> Heard:
    return [(Address(INSIDE, worker.inside[i] + n % 2), Address(PBX, worker.far(PBX, n)), data)]


# --- relaying ---------------------------------------------------------------------------------------------------------


def test_a_put_session_relays_rtp_both_ways_out_of_the_other_ends_port(worker: Subject) -> None:
    assert put(worker, stream(worker)) == []
    assert from_pbx(worker) == at_carrier(worker, RTP)
    assert from_carrier(worker) == at_pbx(worker, RTP)


def test_rtcp_takes_the_odd_ports(worker: Subject) -> None:
    put(worker, stream(worker))
    assert from_pbx(worker, RTCP, 1) == at_carrier(worker, RTCP, 1)
    assert from_carrier(worker, RTCP, 1) == at_pbx(worker, RTCP, 1)
    (count,) = counts(worker)
    assert (count.ingress.rtcp_received, count.ingress.rtcp_sent, count.ingress.received) == (1, 1, 0)


def test_a_side_that_wants_no_rtcp_gets_none(worker: Subject) -> None:
    both = stream(worker)
    egress = wire.End(both.egress.local, both.egress.port, remote(worker, CARRIER, rtcp=0))
    put(worker, wire.Stream(both.ingress, egress))
    assert from_pbx(worker, RTCP, 1) == []
    assert counts(worker)[0].ingress.dropped == 1
    assert from_pbx(worker) == at_carrier(worker, RTP)


def test_packets_and_octets_are_counted_at_both_ends(worker: Subject) -> None:
    put(worker, stream(worker))
    for _ in range(3):
        from_pbx(worker)
    from_carrier(worker)
    assert counts(worker) == (
        wire.StreamCount(wire.EndCount(3, 516, 1, 172, 0, 0, 0), wire.EndCount(1, 172, 3, 516, 0, 0, 0)),
    )


def test_an_end_without_remote_gets_nothing_and_lets_nobody_in(worker: Subject) -> None:
    both = stream(worker)
    early = wire.Stream(both.ingress, wire.End(OUTSIDE, worker.outside[0], None))
    put(worker, early)
    assert from_pbx(worker) == []
    assert from_carrier(worker) == []
    (count,) = counts(worker)
    assert (count.ingress.dropped, count.egress.dropped) == (1, 1)
    put(worker, both, generation=2)
    assert from_pbx(worker) == at_carrier(worker, RTP)


def test_each_stream_of_a_session_has_its_own_ports(worker: Subject) -> None:
    put(worker, stream(worker, 0), stream(worker, 1))
    assert from_pbx(worker, i=1) == at_carrier(worker, RTP, i=1)
    assert [count.ingress.received for count in counts(worker)] == [0, 1]


def test_an_idle_port_relays_nothing(worker: Subject) -> None:
    put(worker, stream(worker, 0))
    assert from_pbx(worker, i=1) == []


# --- sources ----------------------------------------------------------------------------------------------------------


def test_a_foreign_source_is_dropped_and_counted(worker: Subject) -> None:
    put(worker, stream(worker))
    assert from_pbx(worker, host=STRANGER) == []
    assert from_pbx(worker, RTCP, 1, host=STRANGER) == []
    assert counts(worker)[0].ingress.dropped == 2
    assert from_pbx(worker) == at_carrier(worker, RTP)


def test_address_latching_goes_on_when_the_source_port_changes_and_still_sends_to_the_sdps(worker: Subject) -> None:
    put(worker, stream(worker))
    assert from_pbx(worker) == at_carrier(worker, RTP)
    assert from_pbx(worker, n=2) == at_carrier(worker, RTP)
    assert from_carrier(worker) == at_pbx(worker, RTP)


def test_strict_latching_wants_the_sdps_port(worker: Subject) -> None:
    put(worker, stream(worker, latching="strict"))
    assert from_pbx(worker, n=2) == []
    assert from_pbx(worker, RTCP, 3) == []
    assert counts(worker)[0].ingress.dropped == 2
    assert from_pbx(worker) == at_carrier(worker, RTP)
    assert from_pbx(worker, RTCP, 1) == at_carrier(worker, RTCP, 1)


def test_strict_latching_lets_no_rtcp_in_from_a_side_that_has_none(worker: Subject) -> None:
    both = stream(worker, latching="strict")
    ingress = wire.End(INSIDE, worker.inside[0], remote(worker, PBX, rtcp=0), "strict")
    put(worker, wire.Stream(ingress, both.egress))
    assert from_pbx(worker, RTCP, 1) == []
    assert counts(worker)[0].ingress.dropped == 1


@pytest.mark.parametrize(
    "data", [STUN, b"", b"\x80", RTP[:11], bytes([0xC0]) + RTP[1:], bytes([0x40]) + RTP[1:], bytes([20]) + RTP[1:]]
)
def test_what_is_not_rtp_is_dropped_and_counted(worker: Subject, data: bytes) -> None:
    put(worker, stream(worker))
    assert from_pbx(worker, data) == []
    assert counts(worker)[0].ingress == wire.EndCount(dropped=1)


def test_rtcp_has_a_header_of_its_own_length(worker: Subject) -> None:
    put(worker, stream(worker))
    empty_receiver_report = bytes([0x80, 201, 0, 1]) + bytes(4)
    assert from_pbx(worker, empty_receiver_report, 1) == at_carrier(worker, empty_receiver_report, 1)
    assert from_pbx(worker, empty_receiver_report[:7], 1) == []


@pytest.mark.parametrize("data", [b"x", b"\x00\x01t38", STUN])
def test_an_opaque_stream_relays_anything(worker: Subject, data: bytes) -> None:
    put(worker, stream(worker, rtp=False))
    assert from_pbx(worker, data) == at_carrier(worker, data)
    assert counts(worker)[0].ingress.received_octets == len(data)


# --- payload types and digits ----------------------------------------------------------------------------------------


def telling(worker: Subject, *report: wire.SideName) -> wire.Stream:
    """The PBX numbers telephone-event 101, the carrier 96; digits of `report` are told."""
    both = stream(worker)
    types = ((101, 96),), ((96, 101),), (101, 96)
    return wire.Stream(both.ingress, both.egress, True, *types, report_digits=report)


def digit(n: int, *, started: int, is_over: bool = False, payload_type: int = 101) -> bytes:
    head = bytes([0x80, payload_type, 0, n]) + started.to_bytes(4) + b"ssrc"
    return head + bytes([5, 0x80 * is_over + 10, 0x03, 0x20])


def test_payload_types_are_rewritten_each_way_and_others_pass(worker: Subject) -> None:
    put(worker, telling(worker))
    assert from_pbx(worker, digit(1, started=800)) == at_carrier(worker, digit(1, started=800, payload_type=96))
    marked = bytes([0x80, 0x80 | 96, 0, 1]) + bytes(168)
    assert from_carrier(worker, marked) == at_pbx(worker, bytes([0x80, 0x80 | 101, 0, 1]) + bytes(168))
    assert from_pbx(worker, RTP) == at_carrier(worker, RTP)


def test_digits_are_counted_once_at_both_ends(worker: Subject) -> None:
    put(worker, telling(worker))
    for started in (800, 9600):
        for n in (1, 2, 3, 4):
            from_pbx(worker, digit(n, started=started, is_over=n > 1))
    (count,) = counts(worker)
    assert (count.ingress.digits_received, count.egress.digits_sent, count.ingress.received) == (2, 2, 8)
    assert (count.egress.digits_received, count.ingress.digits_sent) == (0, 0)


@pytest.mark.parametrize("worker", ["fake", "service"], indirect=True)  # the process: tests/loopback/test_digits.py
def test_told_digits_do_not_cross_and_are_told_once(worker: Fake | MemoryService) -> None:
    put(worker, telling(worker, "ingress"))
    for n in (1, 2, 3, 4):
        assert from_pbx(worker, digit(n, started=800, is_over=n > 1)) == []
    assert worker.news() == [wire.DigitHeard("a", 0, "ingress", "5", 100)]
    assert from_pbx(worker, digit(5, started=9600, is_over=True)) == []
    assert from_carrier(worker, digit(1, started=800, payload_type=96)) == at_pbx(worker, digit(1, started=800))
    (count,) = counts(worker)
    assert (count.ingress.digits_received, count.egress.digits_sent, count.ingress.received) == (2, 0, 0)
    assert (count.egress.digits_received, count.ingress.digits_sent, count.ingress.dropped) == (1, 1, 0)


def test_a_digit_to_play_is_counted_where_it_can_be_told(worker: Subject) -> None:
    put(worker, telling(worker))
    assert worker.say(wire.PlayDigit("a", 0, "egress", "#", 100)) == []
    assert worker.say(wire.PlayDigit("nobody", 0, "egress", "#", 100)) == []
    assert counts(worker)[0].egress.digits_sent == 1
    put(worker, stream(worker), generation=2)
    assert worker.say(wire.PlayDigit("a", 0, "egress", "#", 100)) == []
    assert counts(worker)[0].egress.digits_sent == 1


@pytest.mark.parametrize(("key", "n"), [("x", 0), ("", 0), ("12", 0), ("1", 1), ("1", -1)])
def test_a_digit_or_a_stream_that_does_not_exist_is_refused(worker: Subject, key: str, n: int) -> None:
    put(worker, telling(worker))
    assert _refused(worker.say(wire.PlayDigit("a", n, "egress", key, 100)), "a")


def test_a_payload_type_that_cannot_be_is_refused(worker: Subject) -> None:
    both = stream(worker)
    assert _refused(put(worker, wire.Stream(both.ingress, both.egress, events=(128, 101))), "a")
    assert _refused(put(worker, wire.Stream(both.ingress, both.egress, ingress_to_egress=((8, -1),))), "a")
    assert _refused(put(worker, wire.Stream(both.ingress, both.egress, event_rates=(8000, 0))), "a")


# --- sessions ---------------------------------------------------------------------------------------------------------


def test_putting_again_keeps_the_counters(worker: Subject) -> None:
    put(worker, stream(worker))
    from_pbx(worker)
    put(worker, stream(worker))
    put(worker, stream(worker), generation=2)
    from_pbx(worker)
    assert counts(worker)[0].ingress.received == 2


def test_an_older_generation_changes_nothing(worker: Subject) -> None:
    put(worker, stream(worker), generation=5)
    assert put(worker, generation=4) == []
    assert from_pbx(worker) == at_carrier(worker, RTP)


def test_a_new_remote_is_sent_to_and_the_end_keeps_its_counters(worker: Subject) -> None:
    both = stream(worker)
    put(worker, both)
    from_pbx(worker)
    moved = wire.End(OUTSIDE, worker.outside[0], remote(worker, CARRIER, 4))
    put(worker, wire.Stream(both.ingress, moved), generation=2)
    assert from_pbx(worker) == at_carrier(worker, RTP, 4)
    assert counts(worker)[0].egress.sent == 2


def test_a_new_port_begins_at_zero_and_the_old_one_is_silent(worker: Subject) -> None:
    first, second = stream(worker, 0), stream(worker, 1)
    put(worker, first)
    from_pbx(worker)
    put(worker, wire.Stream(first.ingress, second.egress), generation=2)
    assert from_pbx(worker) == at_carrier(worker, RTP, i=1)
    assert from_carrier(worker) == []
    (count,) = counts(worker)
    assert (count.ingress.received, count.egress.sent) == (2, 1)


def test_a_stream_that_goes_and_comes_keeps_its_counters(worker: Subject) -> None:
    put(worker, stream(worker))
    from_pbx(worker)
    put(worker, generation=2)
    assert from_pbx(worker) == []
    put(worker, stream(worker), generation=3)
    from_pbx(worker)
    assert counts(worker)[0].ingress.received == 2


def test_a_port_moves_to_the_session_that_names_it_last(worker: Subject) -> None:
    put(worker, stream(worker, 0), ref="a")
    taking = wire.Stream(stream(worker, 0).ingress, stream(worker, 1).egress)
    put(worker, taking, ref="b")
    assert from_pbx(worker) == at_carrier(worker, RTP, i=1)
    assert from_carrier(worker) == []
    assert counts(worker, "a")[0].egress.dropped == 1
    worker.say(wire.DeleteSession("a"))
    assert from_pbx(worker) == at_carrier(worker, RTP, i=1)
    assert counts(worker, "b")[0].ingress.received == 2


def test_a_port_that_was_let_go_serves_the_next_session(worker: Subject) -> None:
    put(worker, stream(worker), ref="a")
    worker.say(wire.DeleteSession("a"))
    put(worker, stream(worker), ref="b")
    assert from_carrier(worker) == at_pbx(worker, RTP)
    assert counts(worker, "b")[0].egress.received == 1


def test_deletion_answers_with_the_counters_and_ends_the_relay(worker: Subject) -> None:
    put(worker, stream(worker))
    from_pbx(worker)
    (ended,) = worker.say(wire.DeleteSession("a"))
    assert isinstance(ended, wire.SessionEnded)
    assert (ended.ref, ended.streams[0].ingress.received) == ("a", 1)
    assert from_pbx(worker) == []
    assert worker.say(wire.DeleteSession("a")) == [wire.SessionEnded("a", ())]


def test_a_query_about_everything_reports_every_session_and_says_which_report_is_last(worker: Subject) -> None:
    expected = {f"empty-{i}" for i in range(300)}
    for ref in expected:
        put(worker, ref=ref)
    put(worker, stream(worker), generation=7)
    reports = [reply for reply in worker.say(wire.Query()) if isinstance(reply, wire.Report)]
    assert [report.last for report in reports] == [False] * (len(reports) - 1) + [True]
    sessions = [session for report in reports for session in report.sessions]
    assert {session.ref for session in sessions} == expected | {"a"}
    assert [session.generation for session in sessions if session.ref == "a"] == [7]
    assert all(len(wire.encode(report)) <= 65536 for report in reports)


# --- refusals ---------------------------------------------------------------------------------------------------------


def _refused(replies: list[wire.Reply], ref: str) -> bool:
    return [reply.ref for reply in replies if isinstance(reply, wire.Refused)] == [ref] and len(replies) == 1


def test_a_port_that_is_not_ours_is_refused_and_nothing_changes(worker: Subject) -> None:
    both = stream(worker)
    put(worker, both)
    wrong = wire.Stream(both.ingress, wire.End(OUTSIDE, 2, both.egress.remote))
    assert _refused(put(worker, wrong, generation=2), "a")
    assert from_pbx(worker) == at_carrier(worker, RTP)


def test_a_port_named_twice_is_refused(worker: Subject) -> None:
    both = stream(worker)
    assert _refused(put(worker, wire.Stream(both.ingress, both.ingress)), "a")


@pytest.mark.parametrize(
    "wrong",
    [wire.Remote("pbx.example", 4000, 0), wire.Remote("::1", 4000, 0), wire.Remote(PBX, 0, 0), wire.Remote("", 1, 0)],
)
def test_a_remote_that_cannot_be_sent_to_is_refused(worker: Subject, wrong: wire.Remote) -> None:
    both = stream(worker)
    assert _refused(put(worker, wire.Stream(wire.End(INSIDE, worker.inside[0], wrong), both.egress)), "a")


def test_a_session_needs_a_name(worker: Subject) -> None:
    assert _refused(put(worker, stream(worker), ref=""), "")


def test_nonsense_is_refused_and_the_worker_lives_on() -> None:
    for receive in (
        Service(MemoryService(), lambda: 0.0).receive,
        lambda data: map(wire.decode_reply, FakeWorker().receive(data)),
    ):
        for nonsense in (b"", b"\xff", b"\x80", wire.encode(wire.Running(1, 1))):
            assert [type(reply) for reply in receive(nonsense)] == [wire.Refused]


# --- the fake does what the real one does, whatever it is told --------------------------------------------------------

_REMOTES = st.sampled_from(
    [None, wire.Remote(PBX, 40000, 40001), wire.Remote(CARRIER, 40000, 0), wire.Remote("::1", 9, 9)]
)
_ENDS = st.builds(
    wire.End,
    st.sampled_from([INSIDE, OUTSIDE]),
    st.sampled_from([20000, 20002, 20004, 30000]),
    _REMOTES,
    st.sampled_from(["strict", "address"]),
)
_REFS = st.sampled_from(["a", "b", "c"])
_PUTS = st.builds(
    wire.PutSession,
    _REFS,
    st.integers(0, 3),
    st.lists(st.builds(wire.Stream, _ENDS, _ENDS, st.booleans()), max_size=2).map(tuple),
)
_PACKETS = st.tuples(
    st.sampled_from([PBX, CARRIER, STRANGER]),
    st.integers(0, 2),
    st.sampled_from([INSIDE, OUTSIDE]),
    st.sampled_from([20000, 20001, 20002, 20003]),
    st.sampled_from([RTP, RTCP, STUN]),
)
_STEPS = _PUTS | _PACKETS | st.builds(wire.DeleteSession, _REFS) | st.builds(wire.Query, _REFS)


@given(st.lists(_STEPS, max_size=30))
def test_the_fake_and_the_real_worker_answer_and_relay_alike(
    steps: list[wire.PutSession | wire.DeleteSession | wire.Query | tuple[str, int, str, int, bytes]],
) -> None:
    fake, real = Fake(), MemoryService()
    for step in steps:
        if isinstance(step, tuple):
            assert fake.send(*step) == real.send(*step)
        else:
            assert [_without_words(reply) for reply in fake.say(step)] == [_without_words(r) for r in real.say(step)]


def _without_words(reply: wire.Reply) -> wire.Reply:
    return wire.Refused(reply.ref, "") if isinstance(reply, wire.Refused) else reply
