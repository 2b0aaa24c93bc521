"""Takes final records from the spool to one destination, in order, and none twice.

A destination keeps the `Spot` that it has everything before, with the records or behind them; what a death leaves
between, it puts right itself. So whatever dies when, each record is there once. It knows no thread and no pause: the
runtime calls `step` until nothing is left, and again after a failure.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from sbc.cdr.record import CallRecord
from sbc.cdr.spool import Spool, Spot

_BATCH: Final = 500  # records; a commit costs much more than one of them


class Destination(Protocol):
    """Raises OSError or OperatorError; then nothing of the batch counts, and it comes again."""

    def fed(self) -> Spot:
        """Where it is."""

    def take(self, records: Sequence[CallRecord], spot: Spot) -> None:
        """Once it returns, these are there for good, and `fed` says `spot` also after a power cut."""


class Feed:
    def __init__(self, spool: Spool, destination: Destination, spot: Spot) -> None:
        """`spot`: what `destination.fed` says."""
        self.spot = spot  # everything before it has been taken
        self._spool = spool
        self._destination = destination

    def step(self) -> int:
        """How many records were taken; 0: there are no more."""
        records, spot = self._spool.records(self.spot, _BATCH)
        if records:
            self._destination.take(records, spot)
        self.spot = spot  # where no record was between, a destination need not know
        return len(records)

    @property
    def waiting(self) -> int:
        """Records that it has not, roughly."""
        return self._spool.waiting(self.spot)
