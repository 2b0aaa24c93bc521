"""Counts values by size, for the metrics: what was seen so far, in buckets that include all smaller ones."""

from bisect import bisect_left
from itertools import accumulate

from msgspec import Struct


class Counted(Struct, frozen=True):
    """`buckets`: (upper bound, how many were not above it). `count` and `total` are of all values."""

    buckets: tuple[tuple[float, int], ...] = ()
    count: int = 0
    total: float = 0.0


class Histogram:
    """`bounds` rise; a value above the last one counts in no bucket, but in `count`."""

    __slots__ = ("_bounds", "_counts", "_total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._total = 0.0

    def add(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._total += value

    @property
    def sum_and_count(self) -> tuple[float, int]:
        return self._total, sum(self._counts)

    def value(self) -> Counted:
        running = list(accumulate(self._counts))
        return Counted(tuple(zip(self._bounds, running, strict=False)), running[-1], self._total)
