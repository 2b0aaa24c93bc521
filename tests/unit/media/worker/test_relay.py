import errno
import struct
from collections import deque

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.media.worker import slots
from sbc.media.worker.inlet import Inlet, Rules
from sbc.media.worker.latch import FOREIGN, KEPT, LOCKED, OURS, Source
from sbc.media.worker.relay import catch_up, relay
from sbc.media.worker.statistics import Statistics

SOURCE = ("192.0.2.30", 4000)
TARGET = ("198.51.100.40", 5000)
RTP = bytes([0x80, 8]) + bytes(170)
RULES = Rules()


class Socket:
    """Gives what is queued, then EAGAIN; fails to send as told."""

    def __init__(self, *queue: tuple[bytes, tuple[str, int]] | OSError, failures: list[OSError] | None = None) -> None:
        self.queue = deque(queue)
        self.failures = failures or []
        self.sent: list[tuple[bytes, tuple[str, int]]] = []

    def fileno(self) -> int:
        return 3

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, tuple[str, int]]:
        if not self.queue:
            raise BlockingIOError
        item = self.queue.popleft()
        if isinstance(item, OSError):
            raise item
        data, source = item
        buffer[: len(data)] = data
        return len(data), source

    def sendto(self, data: bytes | memoryview, address: tuple[str, int]) -> int:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append((bytes(data), address))
        return len(data)

    def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
        raise NotImplementedError


class Gate:
    """Lets nobody in that is not the source, but for those who are told."""

    def __init__(self, *verdicts: int) -> None:
        self.verdicts = list(verdicts)
        self.foreign = 0
        self.kept: list[tuple[bytes, int]] = []

    def may_hear(self, source: Source) -> bool:
        return source == SOURCE

    def hears(self, packet: bytearray, size: int, source: Source, now_ns: int) -> int:
        return self.verdicts.pop(0) if self.verdicts else FOREIGN

    def take_kept(self) -> list[tuple[bytes, int]]:
        kept, self.kept = self.kept, []
        return kept


def inlet(
    socket: Socket, outlet: Socket, *, rules: Rules | None = RULES, gate: Gate | None = None, limit: int = 0
) -> Inlet:
    statistics = Statistics(bytearray(slots.SLOT_OCTETS), 0)
    one = Inlet(socket, outlet, gate or Gate(), TARGET, statistics, lambda: 1.0, rules=rules, limit=limit)
    one.source = SOURCE
    return one


def counts(one: Inlet) -> tuple[int, int, int, int]:
    """Packets, octets, dropped, foreign: as the slot has them."""
    statistics = Statistics(one.statistics.memory, 0)
    return statistics.packets, statistics.octets, statistics.value(slots.DROPPED), statistics.value(slots.FOREIGN)


def test_all_that_waits_is_relayed_and_counted() -> None:
    out = Socket()
    one = inlet(Socket(*[(RTP, SOURCE)] * 3), out)
    relay(one, 32)
    assert out.sent == [(RTP, TARGET)] * 3
    assert counts(one) == (3, 3 * 172, 0, 0)


def test_no_more_than_the_budget_is_taken_so_that_others_get_their_turn() -> None:
    socket = Socket(*[(RTP, SOURCE)] * 5)
    one = inlet(socket, Socket())
    relay(one, 2)
    assert (counts(one)[0], len(socket.queue)) == (2, 3)


def test_foreign_packets_use_the_budget_too() -> None:
    socket = Socket(*[(RTP, ("203.0.113.66", 1))] * 5)
    one = inlet(socket, Socket())
    relay(one, 2)
    assert (counts(one)[3], len(socket.queue)) == (2, 3)


def test_an_error_that_the_network_reported_is_passed_over() -> None:
    out = Socket()
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    one = inlet(Socket(refused, (RTP, SOURCE)), out)
    relay(one, 32)
    assert counts(one) == (1, 172, 0, 0)


def test_a_socket_that_only_gives_errors_does_not_hold_the_loop() -> None:
    broken, out = Socket(*[OSError(errno.EIO, "broken")] * 100), Socket()
    relay(inlet(broken, out), 32)
    assert (len(broken.queue), out.sent) == (68, [])


@pytest.mark.parametrize("reported", [errno.ECONNREFUSED, errno.EHOSTUNREACH, errno.EACCES, errno.EMSGSIZE])
def test_a_send_is_tried_again_where_the_network_reported_something_of_an_earlier_packet(reported: int) -> None:
    out = Socket(failures=[OSError(reported, "reported")])
    one = inlet(Socket((RTP, SOURCE)), out)
    relay(one, 32)
    assert out.sent == [(RTP, TARGET)]
    assert counts(one) == (1, 172, 0, 0)


@pytest.mark.parametrize(
    "failures",
    [
        [BlockingIOError(errno.EAGAIN, "full")],
        [OSError(errno.ENOBUFS, "full")],
        [PermissionError(errno.EPERM, "a firewall of ours")],
        [OSError(errno.ENETUNREACH, "no route")],
        [ConnectionRefusedError(errno.ECONNREFUSED, "refused")] * 2,
    ],
)
def test_a_packet_that_cannot_be_sent_is_dropped_and_counted_and_the_next_goes_on(failures: list[OSError]) -> None:
    out = Socket(failures=list(failures))
    one = inlet(Socket((RTP, SOURCE), (RTP, SOURCE)), out)
    relay(one, 32)
    assert counts(one) == (1, 172, 1, 0)


def test_a_large_packet_goes_through_whole() -> None:
    large = bytes([0x80]) + bytes(65_000)
    out = Socket()
    relay(inlet(Socket((large, SOURCE)), out), 32)
    assert out.sent == [(large, TARGET)]


# --- the short way and the long one -----------------------------------------------------------------------------------


def packet(
    sequence: int, timestamp: int = 0, ssrc: int = 7, payload_type: int = 8, *, first: int = 0x80, size: int = 172
) -> bytes:
    header = struct.pack("!BBHII", first, payload_type, sequence & 0xFFFF, timestamp & 0xFFFFFFFF, ssrc)
    return header + bytes(size - 12)


class Clock:
    def __init__(self) -> None:
        self.now_ns = 10**9

    def __call__(self) -> float:
        return self.now_ns / 1e9


_PACKETS = st.tuples(
    st.sampled_from([0, 20_000_000, 20_000_000, 20_000_000, 19_000_000, 11_000_000_000]),  # nanoseconds later
    st.sampled_from([1, 1, 1, 1, 1, 1, 2, 0, -1, -3, 70, -70, 2999, 3001, 30_000]),  # numbers on
    st.sampled_from([160, 160, 160, 160, 0, 200, 1 << 31, 1 << 25]),  # timestamp units on
    st.sampled_from([8, 8, 8, 8, 9, 13, 101, 0x88]),
    st.sampled_from([7, 7, 7, 7, 7, 7, 7, 7, 7, 8]),
)


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFFFFFF), st.lists(_PACKETS, max_size=80))
def test_the_short_way_counts_what_the_definition_counts(
    sequence: int, timestamp: int, steps: list[tuple[int, int, int, int, int]]
) -> None:
    clock, socket, out = Clock(), Socket(), Socket()
    rules = Rules(special=frozenset({101}), clocks={9: 16_000}, silent=101)
    one = Inlet(socket, out, Gate(), TARGET, Statistics(bytearray(128), 0), clock, rules=rules)
    one.source = SOURCE
    reference = Statistics(bytearray(128), 0)
    for later, on, moved, payload_type, ssrc in steps:
        clock.now_ns += later
        sequence, timestamp = sequence + on & 0xFFFF, timestamp + moved & 0xFFFFFFFF
        socket.queue.append((packet(sequence, timestamp, ssrc, payload_type), SOURCE))
        relay(one, 4)
        rate = {9: 16_000, 101: 0}.get(payload_type & 127, 8000)
        reference.take(sequence, timestamp, ssrc, rate, int(clock() * 1e9))
        reference.packets += 1
        reference.octets += 172
        reference.store()
        assert bytes(one.statistics.memory) == bytes(reference.memory)
    assert len(out.sent) == len(steps)


def test_a_plain_packet_takes_the_short_way_from_the_second_on() -> None:
    clock, socket = Clock(), Socket()
    one = Inlet(socket, Socket(), Gate(), TARGET, Statistics(bytearray(128), 0), clock, rules=RULES)
    one.source = SOURCE
    seen: list[int] = []
    one.edit = lambda _packet, size: seen.append(size) or size  # type: ignore[func-returns-value]
    for n in range(5):
        socket.queue.append((packet(n, 160 * n), SOURCE))
    relay(one, 32)
    assert seen == [172], "an edit that has nothing to do with the type is not asked again"


def test_types_that_an_edit_has_to_see_never_take_it() -> None:
    socket, out = Socket(), Socket()
    one = inlet(socket, out, rules=Rules(special=frozenset({101})))
    one.edit = lambda packet, size: packet.__setitem__(1, 96) or size  # type: ignore[func-returns-value]
    socket.queue.extend((packet(n, payload_type=101), SOURCE) for n in range(3))
    relay(one, 32)
    assert [data[1] for data, _ in out.sent] == [96] * 3


def test_what_an_edit_keeps_back_is_numbered_and_not_counted_as_relayed() -> None:
    socket, out = Socket(), Socket()
    one = inlet(socket, out, rules=Rules(special=None))
    one.edit = lambda packet, size: 0 if packet[3] == 2 else size
    socket.queue.extend((packet(n), SOURCE) for n in (1, 2, 3))
    relay(one, 32)
    assert counts(one) == (2, 2 * 172, 0, 0)
    assert one.statistics.value(slots.LOST) == 0


def test_an_edit_may_change_the_size() -> None:
    socket, out = Socket(), Socket()
    one = inlet(socket, out, rules=Rules(special=None))
    one.edit = lambda packet, size: size - 80
    socket.queue.append((packet(1), SOURCE))
    relay(one, 32)
    assert [len(data) for data, _ in out.sent] == [92]
    assert counts(one) == (1, 172, 0, 0)


def test_a_packet_that_could_not_be_sent_has_come_all_the_same() -> None:
    failing = Socket(failures=[])
    one = inlet(Socket(), failing)
    socket = Socket(*[(packet(n), SOURCE) for n in range(4)])
    one.recv = socket.recvfrom_into
    relay(one, 1)
    failing.failures = [OSError(errno.ENOBUFS, "full")] * 2  # the short way, and the long one
    relay(one, 32)
    assert counts(one) == (3, 3 * 172, 1, 0)
    assert one.statistics.value(slots.LOST) == 0


def test_rtcp_that_somebody_sends_to_the_port_of_rtp_is_relayed_and_is_no_part_of_the_stream() -> None:
    socket, out = Socket(), Socket()
    one = inlet(socket, out)
    report = bytes((0x80, 200, 0, 6)) + bytes(range(24))
    socket.queue.extend([(packet(1), SOURCE), (report, SOURCE), (packet(2), SOURCE)])
    relay(one, 32)
    assert [data for data, _ in out.sent] == [packet(1), report, packet(2)]
    assert (one.statistics.ssrc, one.statistics.value(slots.LOST), counts(one)[0]) == (7, 0, 3)


@pytest.mark.parametrize(
    "data", [b"", b"\x80", packet(1)[:11], packet(1, first=0x40), packet(1, first=0xC0), bytes(20)]
)
def test_what_is_no_rtp_is_dropped(data: bytes) -> None:
    out = Socket()
    one = inlet(Socket((data, SOURCE)), out)
    relay(one, 32)
    assert (out.sent, counts(one)) == ([], (0, 0, 1, 0))


# --- gates ------------------------------------------------------------------------------------------------------------


def test_strangers_are_counted_and_what_the_gate_kept_of_them_too() -> None:
    gate = Gate(FOREIGN)
    gate.foreign = 3
    one = inlet(Socket((RTP, ("203.0.113.66", 1))), Socket(), gate=gate)
    relay(one, 32)
    assert counts(one) == (0, 0, 0, 4)
    assert gate.foreign == 0


def test_what_was_kept_is_relayed_before_the_packet_that_locks() -> None:
    gate, out = Gate(KEPT, KEPT, LOCKED), Socket()
    elsewhere = ("192.0.2.30", 4010)
    one = inlet(Socket(*[(packet(n), elsewhere) for n in (1, 2, 3)]), out, gate=gate)
    gate.kept = [(packet(1), 10**9), (packet(2), 10**9)]
    one.on_lock = lambda: setattr(one, "source", elsewhere)
    relay(one, 32)
    assert [data for data, _ in out.sent] == [packet(1), packet(2), packet(3)]
    assert counts(one) == (3, 3 * 172, 0, 0)


def test_a_gate_that_finds_a_source_to_be_ours_lets_it_in() -> None:
    out = Socket()
    relay(inlet(Socket((RTP, ("192.0.2.30", 4010))), out, gate=Gate(OURS)), 32)
    assert out.sent == [(RTP, TARGET)]


def test_without_a_target_packets_are_dropped() -> None:
    out = Socket()
    one = inlet(Socket((RTP, SOURCE)), out)
    one.target = None
    relay(one, 32)
    assert (out.sent, counts(one)) == ([], (0, 0, 1, 0))


def test_strangers_do_not_take_the_place_of_what_waited() -> None:
    out = Socket()
    waiting = [(packet(n), SOURCE) for n in range(6)]
    one = inlet(Socket(*waiting, *[(RTP, ("203.0.113.66", 1))] * 100), out)
    catch_up(one)
    assert [data for data, _ in out.sent] == [packet(n) for n in (2, 3, 4, 5)]
    assert counts(one) == (4, 4 * 172, 2, 100)


# --- the packet rate --------------------------------------------------------------------------------------------------


def test_more_than_so_many_packets_in_a_second_are_dropped_and_counted() -> None:
    clock, socket, out = Clock(), Socket(), Socket()
    one = Inlet(socket, out, Gate(), TARGET, Statistics(bytearray(128), 0), clock, rules=RULES, limit=10)
    one.source = SOURCE

    def second(packets: int) -> int:
        before = len(out.sent)
        for _ in range(packets):
            socket.queue.append((packet(len(out.sent)), SOURCE))
            clock.now_ns += 10**9 // packets
            relay(one, 1)
        return len(out.sent) - before

    assert [second(8), second(10), second(8)] == [8, 10, 8]
    sent = [second(100) for _ in range(10)]
    assert max(sent) <= 20
    assert sum(sent) <= 10 * 11
    assert one.statistics.value(slots.EXCESS) == 1000 - sum(sent)
    second(10)
    assert second(10) == 10


# --- with an engine ---------------------------------------------------------------------------------------------------


def test_a_way_is_offered_when_its_socket_is_empty_and_the_socket_is_looked_at_once_more() -> None:
    socket, out = Socket(*[(packet(n), SOURCE) for n in range(3)]), Socket()
    one = inlet(socket, out)
    offers: list[int] = []

    def offer(now: float) -> bool:
        assert now == 1.0
        offers.append(len(out.sent))
        if len(offers) == 1:
            socket.queue.append((packet(3), SOURCE))
        else:
            one.offer = None
        return True

    one.offer = offer
    relay(one, 1)
    assert offers == [3, 4]


def test_what_the_engine_counts_meanwhile_is_not_overwritten() -> None:
    memory = bytearray(128)
    socket = Socket((packet(1, 160), SOURCE), (packet(2, 320), SOURCE))
    one = Inlet(socket, Socket(), Gate(), TARGET, Statistics(memory, 0), lambda: 1.0, rules=RULES)
    one.source = SOURCE
    relay(one, 32)
    one.share()
    engine = Statistics(memory, 0)
    engine.take(3, 480, 7, 8000, 10**9)
    engine.packets += 1
    engine.store()
    socket.queue.append((packet(4, 640), SOURCE))
    relay(one, 32)
    engine.load()
    engine.take(5, 800, 7, 8000, 10**9)
    engine.packets += 1
    engine.store()
    one.unshare()
    socket.queue.extend([(packet(6, 960), SOURCE), (packet(7, 1120), SOURCE)])
    relay(one, 32)
    assert counts(one)[0] == 7
    engine.load()
    assert (engine.value(slots.LOST), engine.sequence) == (0, 7)
    assert one.lane.head == 0x80080000, "the short way is open again"
