"""What a listener would say of a stream: the mean opinion score of the E-model, from loss, delay and codec.

ITU-T G.107 with all defaults but delay and loss: R = 93.2 - Idd - Ie,eff. It is an estimate of what was received here,
for random loss and a receiver that conceals it; echo, level and what lies behind us are not in it. Pure.
"""

from math import log2
from typing import Final

from msgspec import Struct

_R_DEFAULT: Final = 93.2
_DELAY_FREE_MS: Final = 100.0  # "For Ta ≤ 100 ms: Idd = 0"
_PACKET_MS: Final = 20.0  # a frame is complete before it is sent, and the usual one is so long
_JITTER_BUFFERS: Final = 2.0  # what a receiver holds back, in terms of the jitter that it sees


class Impairment(Struct, frozen=True):
    """`ie`: impairment by the codec itself; `bpl`: how well it bears packet loss (ITU-T G.113 appendix I)."""

    ie: float
    bpl: float


# Only codecs with published constants. G.711 with concealment; G.729 is annex A's.
_CODECS: Final = {
    "PCMU": Impairment(0, 25.1),
    "PCMA": Impairment(0, 25.1),
    "G729": Impairment(11, 19),
}


def mouth_to_ear_ms(round_trips_ms: float, jitter_ms: float) -> float:
    """One-way delay. `round_trips_ms`: of both ends of the call to us, together."""
    return _PACKET_MS + round_trips_ms / 2 + _JITTER_BUFFERS * jitter_ms


def mos(codec: str, loss: float, delay_ms: float, burst_ratio: float = 1.0) -> float | None:
    """1.0 to 4.5. `codec`: an encoding name of SDP; `loss`: fraction of packets, 0 to 1. None: no constants for it."""
    impairment = _CODECS.get(codec.partition("/")[0].upper())
    if impairment is None:
        return None
    percent = min(max(loss, 0.0), 1.0) * 100
    effective = impairment.ie + (95 - impairment.ie) * percent / (percent / burst_ratio + impairment.bpl)
    return _score(_R_DEFAULT - _delay_impairment(delay_ms) - effective)


def _delay_impairment(delay_ms: float) -> float:
    """Idd of G.107 §7.4, with X = log2(Ta / 100)."""
    if delay_ms <= _DELAY_FREE_MS:
        return 0.0
    octaves = log2(delay_ms / _DELAY_FREE_MS)
    one = (1 + octaves**6) ** (1 / 6)
    other = 3 * (1 + (octaves / 3) ** 6) ** (1 / 6)
    return float(25 * (one - other + 2))


def _score(rating: float) -> float:
    if rating <= 0:
        return 1.0
    if rating >= 100:
        return 4.5
    score = 1 + 0.035 * rating + 7e-6 * rating * (rating - 60) * (100 - rating)
    return max(score, 1.0)  # the polynomial dips below 1 where the rating is very bad
