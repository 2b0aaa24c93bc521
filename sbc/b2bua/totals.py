"""What all calls since the start have heard, and how long they took to set up: for the metrics. Calls add to it."""

from collections import Counter
from collections.abc import Mapping
from typing import Final, Literal

from sbc.core.histogram import Histogram

_MOS_BOUNDS: Final = (1.5, 2.0, 2.5, 3.0, 3.5, 3.8, 4.0, 4.2, 4.4, 4.5)
_JITTER_BOUNDS: Final = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2)
_ROUND_TRIP_BOUNDS: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0)
_SETUP_BOUNDS: Final = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 180.0)
_HALF: Final = 1 << 31

Transfer = Literal["transferred", "failed", "refused"]


class Totals:
    """`packets`: RTP that was relayed, by the interface that it came in on; `foreign`: dropped, its source was not the
    locked one. `mos`, and in seconds `jitter` and `round_trip`: one value for each stream that a call has heard, at its
    end. `setup`: seconds from the INVITE to the answer. `lost` never falls, as a counter must not: a packet that was
    only late is taken from what is lost next. `transfers`: by what came of them.
    """

    __slots__ = ("_late", "foreign", "jitter", "lost", "mos", "packets", "round_trip", "setup", "transfers")

    def __init__(self) -> None:
        self.packets: Counter[str] = Counter()
        self.lost = 0
        self._late = 0  # packets that were counted as lost, and came
        self.foreign = 0
        self.mos = Histogram(_MOS_BOUNDS)
        self.jitter = Histogram(_JITTER_BOUNDS)
        self.round_trip = Histogram(_ROUND_TRIP_BOUNDS)
        self.setup = Histogram(_SETUP_BOUNDS)
        self.transfers: Counter[Transfer] = Counter()

    def add_stream(self, row: Mapping[str, object]) -> None:
        """One that has ended, as the CDR has it. What nobody knows of it counts nowhere."""
        for key, histogram, unit in (
            ("mos", self.mos, 1),
            ("jitter_ms", self.jitter, 1000),
            ("round_trip_ms", self.round_trip, 1000),
        ):
            value = row.get(key)
            if isinstance(value, float):
                histogram.add(value / unit)

    def add_lost(self, packets: int) -> None:
        """Less than 0: more were found again than lost. The worker counts in 32 bits, which may run over."""
        packets = (packets + _HALF) % (2 * _HALF) - _HALF - self._late
        self.lost += max(packets, 0)
        self._late = max(-packets, 0)
