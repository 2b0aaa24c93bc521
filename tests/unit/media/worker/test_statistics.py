"""The definition of loss, order, doubles and jitter, against what a generator did and against RFC 3550's own C."""
# RFC: 3550

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.media.worker import slots
from sbc.media.worker.statistics import FARTHEST, FULL, LONGEST_NS, MAX_DROPOUT, Statistics

MS = 1_000_000
RATE = 8000


def fresh() -> Statistics:
    return Statistics(bytearray(slots.SLOT_OCTETS), 0)


def take(one: Statistics, *sequences: int, ssrc: int = 7) -> None:
    for n in sequences:
        one.take(n & 0xFFFF, n * 160 & 0xFFFFFFFF, ssrc, RATE, (n + 100_000) * 20 * MS)


def counts(one: Statistics) -> tuple[int, int, int]:
    """lost, reordered, duplicates"""
    lost = one.value(slots.LOST)
    return lost - 2**32 if lost >= 2**31 else lost, one.value(slots.REORDERED), one.value(slots.DUPLICATES)


@pytest.mark.parametrize(
    ("sequences", "expected"),
    [
        ((1, 2, 3), (0, 0, 0)),
        ((1, 2, 5), (2, 0, 0)),
        ((1, 2, 5, 3, 4), (0, 2, 0)),
        ((1, 2, 2, 3), (0, 0, 1)),
        ((1, 3, 2, 2, 3), (0, 1, 2)),
        ((65534, 65535, 65536, 65537), (0, 0, 0)),
        ((65535, 65537, 65536), (0, 1, 0)),
        ((5, 4, 3), (-2, 2, 0)),
        ((0, MAX_DROPOUT), (MAX_DROPOUT - 1, 0, 0)),
        ((0, 64, 1), (62, 1, 0)),
        ((0, 64, 0), (63, 0, 0)),
    ],
)
def test_what_became_of_the_numbers(sequences: tuple[int, ...], expected: tuple[int, int, int]) -> None:
    one = fresh()
    take(one, *sequences)
    assert counts(one) == expected


def test_a_jump_is_believed_when_a_second_packet_confirms_it() -> None:
    one = fresh()
    take(one, 1, 2, 20_000)
    assert (one.sequence, counts(one)) == (2, (0, 0, 0))
    take(one, 3, 20_000, 20_001, 20_002)
    assert (one.sequence, counts(one)) == (20_002, (0, 0, 0))


def test_single_wild_numbers_change_nothing() -> None:
    one = fresh()
    take(one, 1, 2, 40_000, 3, 50_000, 4, 60_000, 5)
    assert (one.sequence, counts(one)) == (5, (0, 0, 0))


def test_a_new_source_begins_anew_and_the_sums_go_on() -> None:
    one = fresh()
    take(one, 1, 3, 3)
    take(one, 9000, 9001, ssrc=8)
    assert (one.ssrc, one.sequence, counts(one)) == (8, 9001, (1, 0, 1))
    assert one.value(slots.STATE) == slots.STARTED


@given(st.lists(st.integers(0, 30), min_size=1, max_size=200))
def test_all_that_is_sent_is_received_or_lost(delays: list[int]) -> None:
    """Packets are delayed by a few numbers, which puts them out of order, and never by as much as the window."""
    order = sorted(range(len(delays)), key=lambda n: (n + delays[n], n))
    one = fresh()
    take(one, *[n + 1000 for n in order])
    lost, reordered, duplicates = counts(one)
    assert lost + len(delays) == one.sequence + 1 - (order[0] + 1000)
    assert duplicates == 0
    assert reordered == sum(n != max(order[: at + 1]) for at, n in enumerate(order))


# --- jitter -----------------------------------------------------------------------------------------------------------


def _rfc3550(arrivals: list[tuple[int, int]]) -> int:
    """§A.8: "s->jitter += d - ((s->jitter + 8) >> 4)"; (arrival in units, timestamp) of each packet."""
    jitter, before = 0, arrivals[0][0] - arrivals[0][1]
    for arrival, timestamp in arrivals[1:]:
        transit = arrival - timestamp
        difference = abs(transit - before)
        before = transit
        jitter += difference - ((jitter + 8) >> 4)
    return jitter


@given(st.integers(0, 2**32 - 1), st.lists(st.integers(0, 400), min_size=1, max_size=60))
def test_jitter_is_that_of_the_rfc(first: int, gaps: list[int]) -> None:
    arrivals = [(sum(gaps[: n + 1]), 160 * n) for n in range(len(gaps))]
    one = fresh()
    for n, (arrival, timestamp) in enumerate(arrivals):
        one.take(n, first + timestamp & 0xFFFFFFFF, 7, RATE, arrival * 125_000)
    assert one.jitter == _rfc3550(arrivals)
    assert one.jitter_max >= one.jitter


def test_jitter_is_in_units_of_the_payload_types_clock() -> None:
    one = fresh()
    for n in range(500):
        one.take(n, n * 960, 7, 48_000, n * 20 * MS + (n % 2) * 5 * MS)
    assert one.jitter / 16 / one.rate * 1000 == pytest.approx(5, rel=0.1)


@pytest.mark.parametrize(
    ("later_ns", "moved"), [(LONGEST_NS + 1, 80_000), (20 * MS, 160 + FARTHEST + 1), (20 * MS, 160 - FARTHEST - 1)]
)
def test_a_pause_and_a_clock_that_is_set_are_no_jitter(later_ns: int, moved: int) -> None:
    one = fresh()
    one.take(1, 1 << 31, 7, RATE, 0)
    one.take(2, (1 << 31) + moved & 0xFFFFFFFF, 7, RATE, later_ns)
    assert (one.jitter, one.last_ns) == (0, later_ns)
    one.take(3, (1 << 31) + moved + 160 & 0xFFFFFFFF, 7, RATE, later_ns + 20 * MS)
    assert one.jitter == 0, "it goes on from there"


def test_a_step_back_in_time_is_no_jitter() -> None:
    """The engine may have seen a later packet than the one that it passed up."""
    one = fresh()
    one.take(1, 160, 7, RATE, 20 * MS)
    one.take(2, 320, 7, RATE, 19 * MS)
    assert (one.jitter, one.last_ns) == (0, 19 * MS)


def test_events_are_numbered_and_say_nothing_of_jitter() -> None:
    one = fresh()
    take(one, 1, 2)
    before = (one.jitter, one.timestamp, one.last_ns, one.rate)
    one.take(3, 999, 7, 0, 10**15)
    assert (one.jitter, one.timestamp, one.last_ns, one.rate) == before
    assert (one.sequence, counts(one)) == (3, (0, 0, 0))


# --- the slot ---------------------------------------------------------------------------------------------------------


def test_everything_is_in_the_slot_and_another_goes_on_from_there() -> None:
    memory = bytearray(3 * slots.SLOT_OCTETS)
    one = Statistics(memory, slots.SLOT_OCTETS)
    take(one, 1, 2, 5, 70, 70, 40_000)
    one.packets, one.octets = 6, 1032
    one.store()
    other = Statistics(memory, slots.SLOT_OCTETS)
    names = set(Statistics.__slots__) - {"memory"}
    assert {name: getattr(one, name) for name in names} == {name: getattr(other, name) for name in names}
    take(other, 40_001)
    assert other.sequence == 40_001, "the jump that the first one saw is confirmed"
    assert not any(memory[: slots.SLOT_OCTETS])
    assert not any(memory[2 * slots.SLOT_OCTETS :])


def test_the_fields_are_where_the_layout_says() -> None:
    one = fresh()
    take(one, 1, 2, 4)
    one.packets, one.octets = 3, 516
    one.store()
    memory = bytes(one.memory)
    assert struct.unpack_from("<QQQQ", memory, slots.PACKETS) == (3, 516, one.last_ns, 0b1101)
    assert struct.unpack_from("<III", memory, slots.TIMESTAMP) == (640, one.jitter, one.jitter_max)
    assert struct.unpack_from("<H", memory, slots.SEQUENCE) == (4,)
    assert struct.unpack_from("<II", memory, slots.SSRC) == (7, slots.STARTED)
    assert struct.unpack_from("<i", memory, slots.LOST) == (1,)


def test_a_full_window_stays_full() -> None:
    one = fresh()
    take(one, *range(200))
    assert one.window == FULL
    take(one, 201)
    assert one.window == FULL - 2
    one.add(slots.FOREIGN, 2**32 - 1)
    one.add(slots.FOREIGN, 2)
    assert one.value(slots.FOREIGN) == 1, "a counter that runs over does not stop the relay"
