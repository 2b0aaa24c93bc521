# RFC: 4733
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sbc.media.worker.events import Event, event_packet, read_events

SOURCE = b"\x01\x02\x03\x04"

events = st.builds(
    Event, st.integers(0, 255), st.integers(0, 2**32 - 1), st.integers(0, 2**16 - 1), st.booleans(), st.booleans()
)


def read(packet: bytes) -> list[Event]:
    return read_events(bytearray(packet + b"what was in the buffer before"), len(packet))


@given(st.integers(0, 127), st.integers(0, 2**16 - 1), events)
def test_an_event_is_read_as_it_was_written(payload_type: int, sequence: int, event: Event) -> None:
    packet = event_packet(payload_type, sequence, SOURCE, event)
    assert read(packet) == [event]
    assert (packet[1] & 127, int.from_bytes(packet[2:4]), packet[8:12], len(packet)) == (
        payload_type,
        sequence,
        SOURCE,
        16,
    )


def test_the_octets_are_those_of_the_rfc() -> None:
    """RFC 4733 §2.3: event, E bit, R bit, volume, duration, behind the header of RFC 3550 §5.1."""
    packet = event_packet(101, 7, SOURCE, Event(11, 0x0A0B0C0D, 800, is_over=True, is_marked=True))
    assert packet.hex(" ") == "80 e5 00 07 0a 0b 0c 0d 01 02 03 04 0b 8a 03 20"


def test_a_flash_is_no_tone_and_has_no_volume() -> None:
    assert event_packet(101, 7, SOURCE, Event(16, 0, 160, is_over=False, is_marked=True))[13] == 0


def test_events_are_found_behind_csrcs_and_an_extension_and_before_padding() -> None:
    payload = bytes((5, 0x8A, 0, 160))
    header = bytes((0x80 | 0x20 | 0x10 | 2, 101)) + bytes(10)
    packet = header + bytes(8) + bytes((0xBE, 0xDE, 0, 1)) + bytes(4) + payload + bytes((0, 0, 0, 4))
    (event,) = read(packet)
    assert (event.code, event.duration, event.is_over) == (5, 160, True)


def test_several_events_of_one_packet_follow_one_another_in_time() -> None:
    first = event_packet(101, 7, SOURCE, Event(1, 1000, 400, is_over=True, is_marked=True))
    both = read(first + bytes((2, 10, 0, 160)))
    assert [(event.code, event.timestamp, event.is_over) for event in both] == [(1, 1000, True), (2, 1400, False)]


@given(st.binary(min_size=12, max_size=80))
def test_nothing_makes_it_stumble_or_read_what_is_not_there(packet: bytes) -> None:
    assert len(read(packet)) <= (len(packet) - 12) // 4


@pytest.mark.parametrize("octets", range(12, 16))
def test_a_packet_that_ends_too_early_has_no_event(octets: int) -> None:
    assert read(event_packet(101, 7, SOURCE, Event(1, 1, 160, is_over=False, is_marked=True))[:octets]) == []
