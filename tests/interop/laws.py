"""G.711 by its definition, to hold the SBC's tables against: decoded by formula, coded by looking for the nearest."""

import math
from collections.abc import Callable, Iterable
from typing import NamedTuple

from .voices import SAMPLES


class Law(NamedTuple):
    name: str
    kind: int  # RTP payload type, RFC 3551 §6
    decode: Callable[[int], int]

    def samples(self, payload: Iterable[int]) -> list[int]:
        """Of 16 bits."""
        return [self.decode(octet) for octet in payload]

    def coded(self, samples: Iterable[int]) -> bytes:
        known = {octet: self.decode(octet) for octet in range(256)}
        return bytes(min(known, key=lambda octet, sample=sample: abs(known[octet] - sample)) for sample in samples)


def _mu(octet: int) -> int:
    octet ^= 0xFF
    size = ((octet & 15) << 3) + 132 << (octet >> 4 & 7)
    return 132 - size if octet & 128 else size - 132


def _a(octet: int) -> int:
    octet ^= 0x55
    part, step = octet >> 4 & 7, (octet & 15) << 4
    size = step + 8 if part == 0 else step + 264 << part - 1
    return size if octet & 128 else -size


MU_LAW, A_LAW = Law("PCMU", 0, _mu), Law("PCMA", 8, _a)


def tone(hertz: int, size: int = 12000) -> list[int]:
    """20 ms; a multiple of 50 Hz goes on without a step."""
    return [round(size * math.sin(2 * math.pi * hertz * n / 8000)) for n in range(SAMPLES)]


def are_alike(heard: list[int], said: list[int]) -> bool:
    """Sample by sample, within one step of a quantiser: 1/16 of the size, and of µ-law's bias near zero."""
    return len(heard) == len(said) and all(
        abs(one - other) <= (abs(other) + 132) / 16 for one, other in zip(heard, said, strict=True)
    )
