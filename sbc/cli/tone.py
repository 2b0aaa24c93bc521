"""The voice and the ear of `sbc testcall`: a tone and digits as RTP packets, and what of another tone comes in.

G.711 (RFC 3551 §4.5.14) and telephone-event (RFC 4733). Whoever recodes on the way changes octets but not the pitch, so
that is what an ear goes by. Values and arithmetic; the sockets are `testcall_phone`'s.
"""

import math
import struct
from collections import deque
from functools import cache
from typing import Final, Literal

from msgspec import Struct

from sbc.media import quality
from sbc.media.wire import DIGITS
from sbc.testing.rtp import mu_law

Law = Literal["PCMU", "PCMA"]

SAMPLES: Final = 160  # 20 ms at 8 kHz
RATE: Final = 8000
_HEADER: Final = struct.Struct("!BBHII")
_EVENT: Final = struct.Struct("!BBH")
_EVENT_PACKETS: Final = 5  # 100 ms a digit
_END_REPEATS: Final = 3  # RFC 4733 §2.5.1.4
_PAUSE_PACKETS: Final = 4
_SILENCE: Final = 200  # mean amplitude of what nobody hears
_CLEAR: Final = 0.5  # of a packet's energy is in the tone
_LONGEST_GAP: Final = 3000  # sequence numbers; more is another stream (RFC 3550 appendix A.1)


class Voice:
    """A stream of RTP: a sine, and digits when they are dialled. `hertz`: a multiple of 50 fills packets evenly."""

    def __init__(self, ssrc: int, hertz: int) -> None:
        self.hertz = hertz
        self.sent = 0  # packets of the tone
        self.law: Law = "PCMU"
        self.number = 0  # payload type
        self._ssrc = ssrc
        self._sequence = ssrc & 0xFFFF
        self._timestamp = ssrc
        self._events: deque[tuple[int, bytes]] = (
            deque()
        )  # marker bit, body; an empty body: a pause, in which the tone goes on
        self._event_number = 0
        self._event_start: int | None = None

    def dial(self, digits: str, number: int) -> None:
        """`number`: the payload type of telephone-event."""
        self._event_number = number
        for digit in digits:
            self._events += _event_bodies(DIGITS.index(digit))
            self._events += [(0, b"")] * _PAUSE_PACKETS

    def packet(self) -> bytes:
        """The next 20 ms."""
        marker, body = self._events.popleft() if self._events else (0, b"")
        timestamp = self._timestamp & 0xFFFFFFFF
        self._timestamp += SAMPLES
        if body:
            # All packets of one digit have the timestamp of its beginning (RFC 4733 §2.1).
            self._event_start = timestamp if marker or self._event_start is None else self._event_start
            return self._header(self._event_number | marker, self._event_start) + body
        self._event_start = None
        self.sent += 1
        return self._header(self.number, timestamp) + tone(self.law, self.hertz)

    def _header(self, number: int, timestamp: int) -> bytes:
        self._sequence = (self._sequence + 1) & 0xFFFF
        return _HEADER.pack(0x80, number, self._sequence, timestamp, self._ssrc)


class Ear(Struct):
    """What came in at one port. `tone`: packets of the tone that it listens for; `other`: of any other sound.

    `jitter_ms` as RFC 3550 §6.4.1 has it.
    """

    hertz: int
    event_number: int | None = None
    packets: int = 0
    lost: int = 0
    tone: int = 0
    other: int = 0
    silent: int = 0
    digits: str = ""
    jitter_ms: float = 0.0
    law: Law | None = None
    _ssrc: int | None = None
    _last: int = 0
    _transit: float | None = None
    _event: int | None = None

    def take(self, data: bytes, now: float) -> None:
        """Anything that came; what is no RTP of ours is nobody's."""
        if len(data) < _HEADER.size or data[0] >> 6 != 2 or 64 <= data[1] & 0x7F <= 95:
            return
        _, number, sequence, timestamp, ssrc = _HEADER.unpack_from(data)
        body = data[_HEADER.size + 4 * (data[0] & 0x0F) :]
        if number & 0x7F == self.event_number:
            self._count(sequence, ssrc)
            self._hear_digit(body, timestamp)
            return
        law = _LAWS.get(number & 0x7F)
        if law is None or not body:
            return
        self.law = law
        self.packets += 1
        self._count(sequence, ssrc)
        self._measure(timestamp, now)
        self._listen(law, body)

    @property
    def loss(self) -> float:
        """A fraction, 0 to 1."""
        return self.lost / (self.lost + self.packets) if self.packets else 0.0

    @property
    def mos(self) -> float | None:
        if not self.packets or self.law is None:
            return None
        return quality.mos(self.law, self.loss, quality.mouth_to_ear_ms(0.0, self.jitter_ms))

    def _hear_digit(self, body: bytes, timestamp: int) -> None:
        if len(body) < _EVENT.size or body[0] >= len(DIGITS) or timestamp == self._event:
            return
        self._event = timestamp
        self.digits = (self.digits + DIGITS[body[0]])[:32]

    def _count(self, sequence: int, ssrc: int) -> None:
        """Sound and digits have numbers of one row."""
        step = (sequence - self._last) & 0xFFFF
        if ssrc == self._ssrc and 0 < step <= _LONGEST_GAP:
            self.lost += step - 1
        elif ssrc == self._ssrc and step > 0xFFFF - _LONGEST_GAP:
            self.lost = max(0, self.lost - 1)  # it is only late
            return
        self._ssrc, self._last = ssrc, sequence

    def _measure(self, timestamp: int, now: float) -> None:
        transit = now * 1000 - timestamp * 1000 / RATE
        if self._transit is not None and abs(transit - self._transit) < 1000:
            self.jitter_ms += (abs(transit - self._transit) - self.jitter_ms) / 16
        self._transit = transit

    def _listen(self, law: Law, body: bytes) -> None:
        table = _linear(law)
        samples = [table[octet] for octet in body]
        if sum(map(abs, samples)) < _SILENCE * len(samples):
            self.silent += 1
        elif _share(samples, self.hertz) > _CLEAR:
            self.tone += 1
        else:
            self.other += 1


@cache
def tone(law: Law, hertz: int) -> bytes:
    """20 ms of a sine."""
    samples = [round(8000 * math.sin(2 * math.pi * hertz * n / RATE)) for n in range(SAMPLES)]
    return bytes(map(mu_law if law == "PCMU" else _a_law, samples))


def _event_bodies(event: int) -> list[tuple[int, bytes]]:
    ticks = range(1, _EVENT_PACKETS + 1)
    begun = [(0x80 if tick == 1 else 0, _EVENT.pack(event, 10, tick * SAMPLES)) for tick in ticks]
    return begun + [(0, _EVENT.pack(event, 0x80 | 10, _EVENT_PACKETS * SAMPLES))] * _END_REPEATS


def _share(samples: list[int], hertz: int) -> float:
    """How much of the energy is at this pitch (Goertzel's algorithm)."""
    turn = 2 * math.cos(2 * math.pi * hertz / RATE)
    before = last = 0.0
    for sample in samples:
        before, last = last, sample + turn * last - before
    power = last * last + before * before - turn * last * before
    energy = sum(sample * sample for sample in samples)
    return 2 * power / (energy * len(samples)) if energy else 0.0


@cache
def _linear(law: Law) -> tuple[int, ...]:
    return tuple((_from_mu_law if law == "PCMU" else _from_a_law)(octet) for octet in range(256))


def _from_mu_law(octet: int) -> int:
    octet = ~octet & 0xFF
    magnitude = (((octet & 0x0F) << 3) + 0x84 << (octet >> 4 & 7)) - 0x84
    return -magnitude if octet & 0x80 else magnitude


def _from_a_law(octet: int) -> int:
    octet ^= 0x55
    segment, step = octet >> 4 & 7, octet & 0x0F
    magnitude = (step << 4) + 8 if segment == 0 else (step << 4) + 0x108 << segment - 1
    return magnitude if octet & 0x80 else -magnitude


def _a_law(sample: int) -> int:
    """The octet whose sample is the nearest: a table is small, and made once."""
    table = _linear("PCMA")
    return min(range(256), key=lambda octet: abs(table[octet] - sample))


_LAWS: Final[dict[int, Law]] = {0: "PCMU", 8: "PCMA"}
