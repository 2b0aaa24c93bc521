"""Digits through the whole worker but for its sockets and its loop: heard, kept back, played, and numbered."""

from collections import deque
from collections.abc import Iterator
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.core.limits import DIGITS_WAITING
from sbc.media import wire
from sbc.media.worker.events import Event, event_packet, read_events
from sbc.media.worker.ports import Udp
from sbc.media.worker.relay import Inlet, relay
from sbc.media.worker.resting import Rest
from sbc.media.worker.service import Service
from sbc.media.worker.sweep import Sweep

INSIDE, OUTSIDE = "192.0.2.1", "198.51.100.1"
PBX, CARRIER = wire.Remote("192.0.2.30", 4000, 4001), wire.Remote("198.51.100.40", 5000, 5001)
AUDIO, PBX_EVENTS, CARRIER_EVENTS = 8, 101, 96
SSRC, OTHER_SSRC = b"pbx1", b"pbx2"
STREAM = wire.Stream(
    wire.End(INSIDE, 20000, PBX),
    wire.End(OUTSIDE, 20000, CARRIER),
    ingress_to_egress=((PBX_EVENTS, CARRIER_EVENTS),),
    egress_to_ingress=((CARRIER_EVENTS, PBX_EVENTS),),
    events=(PBX_EVENTS, CARRIER_EVENTS),
    plays_digits=True,
)


class Packet(msgspec.Struct, frozen=True):
    """What matters of an RTP packet that reached a far end."""

    payload_type: int
    sequence: int
    timestamp: int
    source: bytes
    events: tuple[Event, ...]

    @property
    def is_marked(self) -> bool:
        return any(event.is_marked for event in self.events)


class Socket:
    def __init__(self, number: int) -> None:
        self.number = number
        self.queue: deque[tuple[bytes, tuple[str, int]]] = deque()
        self.sent: list[bytes] = []

    def fileno(self) -> int:
        return self.number

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, tuple[str, int]]:
        if not self.queue:
            raise BlockingIOError
        data, source = self.queue.popleft()
        buffer[: len(data)] = data
        return len(data), source

    def sendto(self, data: bytes | memoryview, address: tuple[str, int]) -> int:
        self.sent.append(bytes(data))
        return len(data)

    def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
        pass


class Worker:
    """A worker with one session, a clock that stands, and a PBX that speaks: one packet of 20 ms at a time."""

    def __init__(self, stream: wire.Stream = STREAM) -> None:
        self.now = 1000.0
        self.inlets: dict[int, Inlet] = {}
        self.service = Service(self, lambda: self.now)
        self.inside, self.outside = [Socket(1), Socket(2)], [Socket(3), Socket(4)]
        for local, sockets in ((INSIDE, self.inside), (OUTSIDE, self.outside)):
            assert self.service.receive(wire.encode(wire.AddPorts(local, (20000,))), sockets) == []
        self.generation = 0
        self.sequence = 65_530  # so that numbers go round in every longer test
        self.put(stream)

    def set(self, one: Udp, inlet: Inlet) -> None:
        self.inlets[one.fileno()] = inlet

    def unset(self, one: Udp) -> None:
        self.inlets.pop(one.fileno(), None)

    def say(self, request: wire.Request) -> list[wire.Reply]:
        return self.service.receive(wire.encode(request))

    def put(self, *streams: wire.Stream) -> None:
        self.generation += 1
        assert self.say(wire.PutSession("a", self.generation, streams)) == []

    def arrives(self, data: bytes) -> None:
        self.inside[0].queue.append((data, (PBX.host, PBX.port)))
        relay(self.inlets[1], 32)

    def booked(self) -> list[object]:
        """Who has something to do at some time, but for what is done once a second anyway."""
        return [machine for _, _, machine in self.service.agenda.entries if not isinstance(machine, Sweep | Rest)]

    @property
    def timestamp(self) -> int:
        """The PBX's; it goes round soon too."""
        return (2**32 - 500 + round((self.now - 1000) * 8000)) & 0xFFFFFFFF

    def speaks(self, packets: int = 1, ssrc: bytes = SSRC) -> None:
        for _ in range(packets):
            self.passes(0.02)
            self.sequence = (self.sequence + 1) & 0xFFFF
            header = bytes((0x80, AUDIO)) + self.sequence.to_bytes(2) + self.timestamp.to_bytes(4) + ssrc
            self.arrives(header + bytes(160))

    def presses(self, digit: str, reports: int = 5, ssrc: bytes = SSRC) -> None:
        """The PBX sends a digit: reports of 20 ms, and three ends."""
        started = (self.timestamp + 160) & 0xFFFFFFFF
        for n in range(1, reports + 3):
            self.passes(0.02)
            self.sequence = (self.sequence + 1) & 0xFFFF
            event = Event(wire.DIGITS.index(digit), started, 160 * min(n, reports), n >= reports, n == 1)
            self.arrives(event_packet(PBX_EVENTS, self.sequence, ssrc, event))

    def plays(
        self, digit: str, milliseconds: int = 100, to: wire.SideName = "egress", stream: int = 0
    ) -> list[wire.Reply]:
        return self.say(wire.PlayDigit("a", stream, to, digit, milliseconds))

    def passes(self, seconds: float) -> None:
        """Time passes as the loop lets it: what is booked is done in its turn."""
        until = self.now + seconds
        while (at := self.service.agenda.next_deadline()) is not None and at <= until:
            self.now = max(at, self.now)
            self.service.agenda.tick(self.now)
        self.now = until

    def at_carrier(self) -> list[Packet]:
        return list(_packets(self.outside[0].sent, CARRIER_EVENTS))

    def at_pbx(self) -> list[Packet]:
        return list(_packets(self.inside[0].sent, PBX_EVENTS))

    def heard(self) -> list[tuple[str, int]]:
        news = [reply for reply in self.service.news if isinstance(reply, wire.DigitHeard)]
        assert all((digit.ref, digit.stream, digit.side) == ("a", 0, "ingress") for digit in news)
        return [(digit.digit, digit.milliseconds) for digit in news]

    def counts(self) -> wire.StreamCount:
        (report,) = self.say(wire.Query("a"))
        assert isinstance(report, wire.Report)
        return report.sessions[0].streams[0]


def _packets(sent: list[bytes], events: int) -> Iterator[Packet]:
    for data in sent:
        payload_type = data[1] & 127
        found = read_events(bytearray(data), len(data)) if payload_type == events else []
        yield Packet(payload_type, int.from_bytes(data[2:4]), int.from_bytes(data[4:8]), data[8:12], tuple(found))


def reporting(stream: wire.Stream = STREAM) -> wire.Stream:
    return msgspec.structs.replace(stream, report_digits=("ingress",))


def digits(packets: list[Packet]) -> str:
    return "".join(wire.DIGITS[packet.events[0].code] for packet in packets if packet.is_marked)


def assert_one_stream(packets: list[Packet]) -> None:
    """One SSRC, numbers without gap or repetition, time that does not go back."""
    assert len({packet.source for packet in packets}) == 1
    for before, after in pairwise(packets):
        assert (after.sequence - before.sequence) & 0xFFFF == 1
        assert (after.timestamp - before.timestamp) & 0xFFFFFFFF < 2**31


@pytest.fixture
def worker() -> Worker:
    return Worker()


# --- heard ------------------------------------------------------------------------------------------------------------


def test_digits_cross_with_the_receivers_payload_type_and_are_counted_at_both_ends(worker: Worker) -> None:
    worker.speaks(3)
    worker.presses("5")
    worker.presses("#")
    worker.speaks(3)
    assert digits(worker.at_carrier()) == "5#"
    assert_one_stream(worker.at_carrier())
    count = worker.counts()
    assert (count.ingress.digits_received, count.egress.digits_sent) == (2, 2)
    assert (count.egress.digits_received, count.ingress.digits_sent) == (0, 0)
    assert worker.heard() == []


def test_reported_digits_are_told_once_and_do_not_cross() -> None:
    worker = Worker(reporting())
    worker.speaks(3)
    worker.presses("5")
    worker.presses("#", reports=10)
    worker.speaks(3)
    assert worker.heard() == [("5", 100), ("#", 200)]
    assert [packet.payload_type for packet in worker.at_carrier()] == [AUDIO] * 6
    assert_one_stream(worker.at_carrier())
    count = worker.counts()
    assert (count.ingress.digits_received, count.ingress.received, count.ingress.dropped) == (2, 6, 0)
    assert count.egress.digits_sent == 0


def test_a_reported_digit_whose_end_is_lost_is_told_after_a_while() -> None:
    worker = Worker(reporting())
    event = Event(7, 1000, 160, is_over=False, is_marked=True)
    worker.arrives(event_packet(PBX_EVENTS, 1, SSRC, event))
    assert worker.heard() == []
    worker.passes(0.3)
    assert worker.heard() == [("7", 20)]
    assert worker.booked() == []


def test_events_that_are_no_digits_cross_though_digits_are_reported() -> None:
    worker = Worker(reporting())
    worker.arrives(event_packet(PBX_EVENTS, 1, SSRC, Event(36, 1000, 160, is_over=True, is_marked=True)))
    assert [packet.events[0].code for packet in worker.at_carrier()] == [36]
    assert worker.heard() == []


# BOUND: DIGITS_WAITING, DIGITS_HEARD_PER_SECOND
def test_a_flood_of_digits_is_not_told_faster_than_one_can_dial() -> None:
    worker = Worker(reporting())
    for n in range(1000):
        event = Event(n % 10, n * 8000, 160, is_over=True, is_marked=True)
        worker.arrives(event_packet(PBX_EVENTS, n, SSRC, event))
    assert len(worker.heard()) == DIGITS_WAITING
    assert worker.counts().ingress.digits_received == 1000


def test_digits_of_the_side_that_is_not_asked_for_cross() -> None:
    worker = Worker(msgspec.structs.replace(STREAM, report_digits=("egress",)))
    worker.presses("5")
    assert digits(worker.at_carrier()) == "5"
    assert worker.service.news == []


def test_a_stream_without_events_is_relayed_as_it_is() -> None:
    worker = Worker(wire.Stream(STREAM.ingress, STREAM.egress, report_digits=("ingress",)))
    worker.presses("5")
    assert [packet.payload_type for packet in worker.at_carrier()] == [PBX_EVENTS] * 7
    assert worker.counts().ingress.digits_received == 0


def test_an_opaque_stream_is_neither_read_nor_rewritten() -> None:
    worker = Worker(msgspec.structs.replace(reporting(), rtp=False))
    worker.presses("5")
    assert [packet.payload_type for packet in worker.at_carrier()] == [PBX_EVENTS] * 7
    assert worker.plays("1") == []
    worker.passes(1)
    assert len(worker.at_carrier()) == 7


# --- played -----------------------------------------------------------------------------------------------------------


def test_a_digit_within_speech_is_one_stream_with_it(worker: Worker) -> None:
    worker.speaks(5)
    worker.passes(0.01)
    worker.plays("7", 100)
    worker.speaks(10)
    packets = worker.at_carrier()
    assert_one_stream(packets)
    assert packets[0].source == SSRC
    events = [packet for packet in packets if packet.events]
    assert [packet.events[0].duration for packet in events] == [160, 320, 480, 640, 800, 800, 800]
    assert [packet.events[0].is_over for packet in events] == [False] * 4 + [True] * 3
    assert [packet.is_marked for packet in events] == [True] + [False] * 6
    assert {packet.payload_type for packet in events} == {CARRIER_EVENTS}
    assert {(packet.timestamp - packets[4].timestamp) & 0xFFFFFFFF for packet in events} == {80}, "10 ms behind speech"


def test_what_is_suppressed_and_what_is_played_is_counted(worker: Worker) -> None:
    worker.speaks(5)
    worker.plays("7", 100)
    worker.passes(0.005)
    worker.speaks(10)
    count = worker.counts()
    assert (count.ingress.received, count.ingress.dropped) == (10, 5)
    assert (count.egress.sent, count.egress.digits_sent) == (17, 1)
    assert count.egress.sent_octets == 10 * 172 + 7 * 16


def test_the_numbers_stay_right_long_after_a_digit(worker: Worker) -> None:
    worker.speaks(5)
    worker.plays("7", 70)
    worker.passes(1)
    worker.speaks(70_000)
    assert_one_stream(worker.at_carrier())
    assert worker.counts().ingress.dropped == 0


def test_packets_that_come_too_late_for_the_digit_are_dropped(worker: Worker) -> None:
    worker.speaks(5)
    worker.plays("7", 70)
    worker.speaks(2)
    worker.passes(1)
    worker.speaks(1)
    worker.arrives(bytes((0x80, AUDIO)) + ((worker.sequence - 2) & 0xFFFF).to_bytes(2) + bytes(4) + SSRC)
    worker.speaks(1)
    assert_one_stream(worker.at_carrier())
    assert worker.counts().ingress.dropped == 3


def test_loss_and_reordering_behind_a_digit_stay_visible(worker: Worker) -> None:
    worker.speaks(3)
    worker.plays("7", 70)
    worker.passes(1)
    worker.speaks(3)
    worker.sequence += 2  # lost on the way to us
    worker.speaks(1)
    numbers = [packet.sequence for packet in worker.at_carrier()]
    assert (numbers[-1] - numbers[-2]) & 0xFFFF == 3


def test_a_digit_into_silence_has_a_source_of_its_own(worker: Worker) -> None:
    worker.plays("1", 70)
    worker.passes(1)
    worker.plays("2", 70)
    worker.passes(1)
    packets = worker.at_carrier()
    assert digits(packets) == "12"
    assert_one_stream(packets)
    assert packets[-1].timestamp - packets[0].timestamp == pytest.approx(8000, abs=2)
    worker.speaks(3)
    speech = worker.at_carrier()[len(packets) :]
    assert {packet.source for packet in speech} == {SSRC}
    assert packets[0].source != SSRC
    assert speech[-1].sequence == worker.sequence, "a source that we never numbered keeps its numbers"


def test_a_digit_goes_on_with_a_stream_that_has_fallen_silent(worker: Worker) -> None:
    worker.speaks(3)
    worker.passes(10)
    worker.plays("1", 70)
    worker.passes(1)
    packets = worker.at_carrier()
    assert_one_stream(packets)
    assert (packets[-1].timestamp - packets[2].timestamp) & 0xFFFFFFFF == pytest.approx(80_000, abs=1)


def test_a_source_that_changes_during_a_digit_is_heard_after_it_with_its_own_numbers(worker: Worker) -> None:
    worker.speaks(3)
    worker.plays("1", 70)
    worker.speaks(2)
    worker.speaks(20, OTHER_SSRC)
    packets = worker.at_carrier()
    assert_one_stream([packet for packet in packets if packet.source == SSRC])
    assert all(packet.source == SSRC for packet in packets if packet.events)
    assert packets[-1] == Packet(AUDIO, worker.sequence, worker.timestamp, OTHER_SSRC, ())


def test_a_source_that_changes_long_after_a_digit_keeps_its_own_numbers(worker: Worker) -> None:
    worker.speaks(3)
    worker.plays("1", 70)
    worker.passes(1)
    worker.speaks(300)
    assert worker.at_carrier()[-1].sequence != worker.sequence
    worker.speaks(2, OTHER_SSRC)
    assert [packet.sequence for packet in worker.at_carrier()[-2:]] == [worker.sequence - 1, worker.sequence]


def test_a_worker_that_replaces_another_goes_on_behind_its_digits() -> None:
    first, second = Worker(), Worker()
    first.plays("1", 70)
    first.passes(1)
    second.now = first.now
    second.plays("2", 70)
    last, then = first.at_carrier()[-1], second.at_carrier()[0]
    assert then.source == last.source
    assert 0 < (then.sequence - last.sequence) & 0xFFFF < 100
    assert 0 < (then.timestamp - last.timestamp) & 0xFFFFFFFF <= 8000


def test_digits_wait_for_one_another_and_all_come(worker: Worker) -> None:
    worker.speaks(3)
    for digit in "0123456789*#ABCD!":
        assert worker.plays(digit, 80) == []
    worker.speaks(200)
    packets = worker.at_carrier()
    assert digits(packets) == "0123456789*#ABCD!"
    assert_one_stream(packets)
    assert len({packet.timestamp for packet in packets if packet.events}) == 17


# BOUND: DIGITS_WAITING
def test_a_jam_of_digits_is_bounded(worker: Worker) -> None:
    for _ in range(100):
        worker.plays("1", 70)
    worker.passes(60)
    assert len(digits(worker.at_carrier())) == DIGITS_WAITING + 1


def test_digits_are_played_towards_the_ingress_end_too(worker: Worker) -> None:
    worker.plays("9", to="ingress")
    worker.passes(1)
    assert digits(worker.at_pbx()) == "9"
    assert worker.at_carrier() == []


def test_a_digit_survives_a_change_of_the_session(worker: Worker) -> None:
    worker.speaks(3)
    worker.plays("9", 200)
    worker.speaks(3)
    worker.put(msgspec.structs.replace(STREAM, event_rates=(8000, 8000), report_digits=("egress",)))
    worker.speaks(20)
    packets = worker.at_carrier()
    assert digits(packets) == "9"
    assert_one_stream(packets)
    assert worker.counts().egress.digits_sent == 1


@pytest.mark.parametrize(
    "after",
    [
        (),
        (msgspec.structs.replace(STREAM, events=(PBX_EVENTS, wire.NO_EVENTS)),),
        (msgspec.structs.replace(STREAM, events=None),),
        (msgspec.structs.replace(STREAM, egress=wire.End(OUTSIDE, 20000, None)),),
    ],
)
def test_digits_end_where_they_can_no_longer_be_told(worker: Worker, after: tuple[wire.Stream, ...]) -> None:
    worker.plays("9", 8000)
    worker.plays("9", 8000)
    worker.passes(0.1)
    worker.put(*after)
    before = len(worker.at_carrier())
    worker.passes(10)
    assert len(worker.at_carrier()) == before
    assert worker.booked() == []


def test_nothing_is_played_after_the_call(worker: Worker) -> None:
    worker.plays("9", 8000)
    (ended,) = worker.say(wire.DeleteSession("a"))
    assert isinstance(ended, wire.SessionEnded)
    assert ended.streams[0].egress.digits_sent == 1
    worker.passes(10)
    assert len(worker.at_carrier()) == 1
    assert worker.plays("9") == []


@pytest.mark.parametrize(("digit", "stream"), [("", 0), ("12", 0), ("a", 0), ("x", 0), ("1", 1), ("1", -1)])
def test_what_cannot_be_played_is_refused_without_its_digit(worker: Worker, digit: str, stream: int) -> None:
    (refused,) = worker.plays(digit, stream=stream)
    assert isinstance(refused, wire.Refused)
    assert "12" not in refused.reason
    assert "x" not in refused.reason


def test_a_digit_while_the_other_end_dials_is_one_stream_too(worker: Worker) -> None:
    worker.speaks(2)
    worker.presses("1", reports=3)
    worker.plays("2", 100)
    worker.presses("3", reports=3)
    worker.speaks(10)
    packets = worker.at_carrier()
    assert_one_stream(packets)
    assert digits(packets) == "12"
    assert worker.counts().ingress.digits_received == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"ingress_to_egress": ((128, 8),)},
        {"egress_to_ingress": ((8, -1),)},
        {"events": (128, 101)},
        {"events": (-2, 101)},
        {"event_rates": (0, 8000)},
    ],
)
def test_payload_types_and_rates_that_cannot_be_are_refused(worker: Worker, wrong: dict[str, object]) -> None:
    (refused,) = worker.say(wire.PutSession("a", 9, (msgspec.structs.replace(STREAM, **wrong),)))
    assert isinstance(refused, wire.Refused)
    worker.presses("5")
    assert digits(worker.at_carrier()) == "5"


_DEEDS = st.lists(
    st.sampled_from(["speaks", "presses", "plays", "passes", "reports", "crosses"]), min_size=5, max_size=60
)


@given(_DEEDS)
def test_whatever_happens_the_receiver_sees_one_stream(deeds: list[str]) -> None:
    worker = Worker()
    worker.speaks()
    pressed = played = 0
    for deed in deeds:
        match deed:
            case "speaks":
                worker.speaks(3)
            case "presses":
                worker.presses("1", reports=2)
                pressed += 1
            case "plays":
                worker.plays("2", 70)
                played += 1
            case "passes":
                worker.passes(0.05)
            case "reports":
                worker.put(reporting())
            case "crosses":
                worker.put(STREAM)
    worker.passes(20)
    worker.speaks()
    assert_one_stream(worker.at_carrier())
    assert worker.counts().ingress.digits_received == pressed
    assert digits(worker.at_carrier()).count("2") == min(played, DIGITS_WAITING + 1)
