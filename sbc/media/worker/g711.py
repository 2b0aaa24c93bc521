"""G.711: A-law and µ-law as linear samples, and the one made the other without a way over linear samples.

From the definition of ITU-T G.711 (1988): eight segments of sixteen steps in each polarity. A-law's smallest steps are
2 of 4096 (Table 1), µ-law's 2 of 8159 (Table 2), and neither shares its unit with the other: 0 dBm0 is the same power
in both (Tables 5 and 6). The direct conversion (§3.4, Tables 3 and 4) takes the output that is nearest in level, so
that of two conversions one after the other, A to µ to A or back, at most the last bit of a few values is different.
Tables are made when first asked for: a worker starts without them. Used by `codecs`.
"""

from array import array
from bisect import bisect
from functools import cache
from itertools import pairwise
from math import hypot
from typing import Final

RATE: Final = 8000  # Hz

_VALUES: Final = 128  # of each polarity
_POSITIVE: Final = 0x80  # bit 1 of the character signal, "1" for positive values (Table 1a, 2a)
_A_MASK: Final = 0x55  # "inverting the even bits" Table 1a, note 3
_MU_MASK: Final = 0x7F  # characters of µ-law count downwards, Table 2a
# The pair on which the nearest level and the Recommendation differ, by a hair: µ-law 80 and A-law's 81st value are each
# other's in Tables 3 and 4, and A-law's 80th goes to µ-law 79.
_MU_80: Final = 80
_A_80TH: Final = 79
_A_81ST: Final = 80


@cache
def a_to_mu() -> bytes:
    """The µ-law character for each A-law character; for `bytes.translate`."""
    numbers = _nearest([_a_value(n) * _ratio() for n in range(_VALUES)], [float(_mu_value(n)) for n in range(_VALUES)])
    numbers[_A_80TH], numbers[_A_81ST] = _MU_80 - 1, _MU_80
    return bytes(_mu_character(numbers[_a_number(a)], a & _POSITIVE) for a in range(256))


@cache
def mu_to_a() -> bytes:
    """The A-law character for each µ-law character; for `bytes.translate`."""
    numbers = _nearest([float(_mu_value(n)) for n in range(_VALUES)], [_a_value(n) * _ratio() for n in range(_VALUES)])
    numbers[_MU_80] = _A_81ST
    return bytes(_a_character(numbers[_mu_number(mu)], mu & _POSITIVE) for mu in range(256))


class G711:
    """One of the two laws as a `codecs.Codec`: an octet a sample, without state. `name`: "PCMA" or "PCMU"."""

    __slots__ = ("_character", "_levels", "_linear", "_midpoints", "_scale", "name")

    rate = RATE

    def __init__(self, name: str) -> None:
        self.name = name
        is_a = name == "PCMA"
        value, number = (_a_value, _a_number) if is_a else (_mu_value, _mu_number)
        self._character = _a_character if is_a else _mu_character
        self._scale = 8 if is_a else 4  # 13 and 14 bits with sign, in 16
        self._levels = [value(n) * self._scale for n in range(_VALUES)]
        self._midpoints = [(one + next_) // 2 for one, next_ in pairwise(self._levels)]
        self._linear = [self._levels[number(c)] * (1 if c & _POSITIVE else -1) for c in range(256)]

    def decode(self, payload: bytes) -> "array[int]":
        linear = self._linear
        return array("h", [linear[character] for character in payload])

    def encode(self, samples: "array[int]") -> bytes:
        midpoints, character = self._midpoints, self._character
        return bytes(character(bisect(midpoints, abs(one)), 0 if one < 0 else _POSITIVE) for one in samples)


def _nearest(values: list[float], levels: list[float]) -> list[int]:
    """For each value the number of the level that is nearest, the larger one of two; `levels` ascend."""
    midpoints = [(one + next_) / 2 for one, next_ in pairwise(levels)]
    return [bisect(midpoints, value) for value in values]


@cache
def _ratio() -> float:
    """Units of µ-law in one of A-law: both sequences of Tables 5 and 6 are a sine of 1 kHz at 0 dBm0.

    Each has two magnitudes, which stand four times each among eight samples.
    """
    a = hypot(*(_a_value(_a_number(character)) for character in (0x34, 0x21)))
    mu = hypot(*(_mu_value(_mu_number(character)) for character in (0x1E, 0x0B)))
    return mu / a


def _a_value(number: int) -> int:
    """Decoder output of a number 0 to 127, Table 1a column 8, of 4096."""
    segment, step = number >> 4, number & 15
    return (step << 1) + 1 if segment == 0 else ((step << 1) + 33) << (segment - 1)


def _mu_value(number: int) -> int:
    """Decoder output, Table 2a column 8, of 8159."""
    segment, step = number >> 4, number & 15
    return (((step << 1) + 33) << segment) - 33


def _a_number(character: int) -> int:
    return (character ^ _A_MASK) & 0x7F


def _mu_number(character: int) -> int:
    return (character & 0x7F) ^ _MU_MASK


def _a_character(number: int, polarity: int) -> int:
    return (number | polarity) ^ _A_MASK


def _mu_character(number: int, polarity: int) -> int:
    return (number ^ _MU_MASK) | polarity
