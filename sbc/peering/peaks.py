"""The most call paths that were held at once on this day (UTC), of each trunk and pool; kept over a restart.

Part of `paths`, which counts; `relations` has it stored, some seconds after a peak has risen.
"""

from collections import Counter
from collections.abc import Mapping
from typing import Final

import msgspec

from sbc.core.commands import StoreState

KEY: Final = "peaks/today"
_DAY: Final = 86_400.0
_SAVE_SECONDS: Final = 10.0  # after the first of several rises


class _Saved(msgspec.Struct, frozen=True):
    """`day`: since 1970."""

    day: int
    trunks: dict[str, int]
    pools: dict[str, int]


class DayPeaks:
    """`day_ends`: seconds of the engine's clock; from then on the numbers are of yesterday."""

    __slots__ = ("_is_saved", "_save_at", "_wall_at_zero", "day_ends", "pools", "trunks")

    def __init__(self) -> None:
        self.trunks: Counter[str] = Counter()
        self.pools: Counter[str] = Counter()
        self.day_ends = 0.0
        self._wall_at_zero = 0.0
        self._is_saved = True
        self._save_at: float | None = None

    def set_wall(self, wall_at_zero: float, now: float) -> None:
        """Wall-clock seconds (UTC) at zero of the engine's clock. A step of it moves midnight."""
        self._wall_at_zero = wall_at_zero
        self.day_ends = self._next_midnight(now)

    def begin_day(self, trunks: Mapping[str, int], pools: Mapping[str, int], now: float) -> None:
        """A new day begins with what is held."""
        self.day_ends = self._next_midnight(now)
        self.trunks, self.pools = Counter(trunks), Counter(pools)

    def see(self, trunk: str, held: int, pool: str, pool_held: int) -> None:
        """So many are held now. `pool`: "" for none."""
        if held > self.trunks[trunk]:
            self.trunks[trunk], self._is_saved = held, False
        if pool and pool_held > self.pools[pool]:
            self.pools[pool], self._is_saved = pool_held, False

    def wait(self, now: float) -> None:
        """To be said after `see`: a peak that has risen is to be stored soon."""
        if not self._is_saved and self._save_at is None:
            self._save_at = now + _SAVE_SECONDS

    def restore(self, saved: bytes, now: float) -> None:
        """What was stored before the last stop; of another day, or of no sense, it counts as nothing."""
        try:
            found = msgspec.json.decode(saved, type=_Saved)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if found.day == self._day(now):
            self.trunks |= Counter(found.trunks)
            self.pools |= Counter(found.pools)

    def tick(self, now: float) -> list[StoreState]:
        if self._save_at is None or now < self._save_at:
            return []
        self._save_at, self._is_saved = None, True
        return [StoreState(KEY, msgspec.json.encode(_Saved(self._day(now), dict(self.trunks), dict(self.pools))))]

    def next_deadline(self) -> float | None:
        return self._save_at

    def _day(self, now: float) -> int:
        return int((self._wall_at_zero + now) // _DAY)

    def _next_midnight(self, now: float) -> float:
        return now + _DAY - (self._wall_at_zero + now) % _DAY
