"""Telephone-events as octets: the payload of RFC 4733 §2.3 read out of an RTP packet, and packets of our own made.

It knows no digit's life, which is `hearing`'s and `playing`'s; `voice` uses it.
"""

from typing import Final

from msgspec import Struct

from sbc.media.worker.inlet import RTP_OCTETS
from sbc.media.worker.payload import payload_bounds

LONGEST: Final = 0xFFFF  # what the duration field can express, in timestamp units

_EVENT_OCTETS: Final = 4
EVENT_PACKET_OCTETS: Final = RTP_OCTETS + _EVENT_OCTETS  # of our own making
_EVENTS_PER_PACKET: Final = 4  # that are looked at; RFC 4733 §2.5.1.5 allows several that follow one another
_END: Final = 0x80
_MARKER: Final = 0x80
_VOLUME: Final = 10  # -10 dBm0, about what a telephone's keypad sends (RFC 4733 §2.3.4)
_TONES: Final = 16  # events below are tones and have a volume; "for other events, the sender MUST set volume to zero"


class Event(Struct, frozen=True):
    """One report of an event. `timestamp` and `duration` are in the stream's timestamp units."""

    code: int
    timestamp: int
    duration: int
    is_over: bool
    is_marked: bool


def read_events(packet: bytearray, size: int) -> list[Event]:
    """The events of the RTP packet in the first `size` octets; none where it ends too early."""
    at, end = payload_bounds(packet, size)
    timestamp = int.from_bytes(packet[4:8])
    is_marked = bool(packet[1] & _MARKER)
    events: list[Event] = []
    while at + _EVENT_OCTETS <= end and len(events) < _EVENTS_PER_PACKET:
        duration = int.from_bytes(packet[at + 2 : at + 4])
        events.append(Event(packet[at], timestamp, duration, bool(packet[at + 1] & _END), is_marked))
        # "it is equal to the sum of the start time of the preceding event plus the duration" RFC 4733 §2.5.2.4
        timestamp = (timestamp + duration) & 0xFFFFFFFF
        at += _EVENT_OCTETS
    return events


def event_packet(payload_type: int, sequence: int, source: bytes, event: Event) -> bytes:
    """An RTP packet with one event. `source` is the SSRC, four octets."""
    volume = _VOLUME if event.code < _TONES else 0
    return b"".join(
        (
            bytes((0x80, payload_type | (_MARKER if event.is_marked else 0))),
            sequence.to_bytes(2),
            event.timestamp.to_bytes(4),
            source,
            bytes((event.code, volume | (_END if event.is_over else 0))),
            event.duration.to_bytes(2),
        )
    )
