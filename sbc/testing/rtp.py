"""RTP for phones with real sockets: make packets of a tone, count what is heard (RFC 3550 §5.1, RFC 3551 §4.5.14).

Values and arithmetic; the sockets are somebody else's. Who uses it: the demo, tests on loopback.
"""

import math
import struct
from typing import Final

from msgspec import Struct

from sbc.media.wire import DIGITS

PCMU: Final = 0
SAMPLES: Final = 160  # 20 ms at 8 kHz
INTERVAL: Final = 0.02
_HEADER: Final = struct.Struct("!BBHII")
_BIAS: Final = 0x84


class Tone:
    """A stream of RTP packets that carry a sine; two tones of different pitch can be told apart."""

    __slots__ = ("_payloads", "_sequence", "_ssrc", "_timestamp", "sent")

    def __init__(self, ssrc: int, hertz: int) -> None:
        """`hertz` should divide 8000 evenly into 20 ms: a multiple of 50."""
        self._ssrc = ssrc
        self._payloads = pcmu_tone(hertz)
        self._sequence = 0
        self._timestamp = 0
        self.sent = 0

    def packet(self) -> bytes:
        header = _HEADER.pack(0x80, PCMU, self._sequence, self._timestamp, self._ssrc)
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp = (self._timestamp + SAMPLES) & 0xFFFFFFFF
        self.sent += 1
        return header + self._payloads


def event_packets(ssrc: int, payload_type: int, digit: str, milliseconds: int) -> list[bytes]:
    """A digit as telephone-event at 8 kHz: its beginning, and its end three times over (RFC 4733 §2.5.1)."""
    event, duration = DIGITS.index(digit), milliseconds * 8

    def packet(n: int, end: int) -> bytes:
        header = _HEADER.pack(0x80, payload_type | (0x80 if n == 0 else 0), n, ssrc & 0xFFFF, ssrc)
        return header + struct.pack("!BBH", event, end | 10, duration if end else SAMPLES)

    return [packet(0, 0), *[packet(n, 0x80) for n in (1, 2, 3)]]


class Heard(Struct):
    """What came in at one port."""

    packets: int = 0
    lost: int = 0
    foreign: int = 0  # of another SSRC, or no RTP
    ssrc: int | None = None
    last: int | None = None

    def take(self, data: bytes) -> None:
        if len(data) < _HEADER.size or data[0] >> 6 != 2:
            self.foreign += 1
            return
        _, _, sequence, _, ssrc = _HEADER.unpack_from(data)
        if self.ssrc is None:
            self.ssrc = ssrc
        if ssrc != self.ssrc:
            self.foreign += 1
            return
        if self.last is not None:
            self.lost += max(0, ((sequence - self.last) & 0xFFFF) - 1) if sequence != self.last else 0
        self.last = sequence
        self.packets += 1


def pcmu_tone(hertz: int) -> bytes:
    """20 ms of a sine in G.711 µ-law."""
    return bytes([mu_law(round(8000 * math.sin(2 * math.pi * hertz * n / 8000))) for n in range(SAMPLES)])


def mu_law(sample: int) -> int:
    """One linear 16-bit sample in G.711 µ-law."""
    sign = 0x80 if sample < 0 else 0
    magnitude = min(abs(sample), 32635) + _BIAS
    exponent = magnitude.bit_length() - 8
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    return ~(sign | exponent << 4 | mantissa) & 0xFF
