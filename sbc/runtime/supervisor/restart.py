"""When a child that has ended is started again (sans-IO).

What ran is started again at once, because callers hear the gap; what never came up, and what dies as soon as it is up,
waits longer each time. Used by `children` and, where there is no supervisor, by `runtime.local_keeper`.
"""

from typing import Final

STABLE_SECONDS: Final = 0.2  # who ran so long was not killed by what it was told at its start
QUICK_DEATHS: Final = 2  # so many in a row are followed by an immediate start too
FIRST_SECONDS: Final = 0.1
LONGEST_SECONDS: Final = 5.0


class Restart:
    """Of one child."""

    __slots__ = ("_pause", "_quick_deaths")

    def __init__(self) -> None:
        self._pause = 0.0
        self._quick_deaths = 0

    def pause(self, lived: float | None) -> float:
        """Seconds to wait now that it has ended `lived` seconds after it said that it runs; None: it never did."""
        if lived is not None and lived >= STABLE_SECONDS:
            self._pause = 0.0
            self._quick_deaths = 0
            return 0.0
        if lived is not None:
            self._quick_deaths += 1
            if self._quick_deaths <= QUICK_DEATHS:
                return 0.0
        self._pause = min(max(2 * self._pause, FIRST_SECONDS), LONGEST_SECONDS)
        return self._pause
