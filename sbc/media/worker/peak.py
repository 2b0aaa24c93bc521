"""The most that something has been of late: what lasts for a moment is to be seen by who looks every few seconds.

Used by `service` and `dtls`; `fullness` tells of it.
"""

from collections import deque
from typing import Final

_TOLD: Final = 8  # times that it is told: 16 s of reports, longer than between two looks at the metrics


class Peak:
    __slots__ = ("_before", "_now")

    def __init__(self) -> None:
        self._now = 0
        self._before: deque[int] = deque(maxlen=_TOLD - 1)

    def note(self, value: int) -> None:
        self._now = max(self._now, value)

    def tell(self) -> int:
        """The most that was noted since this was asked for the eighth-last time."""
        most = max(self._now, *self._before, 0)
        self._before.append(self._now)
        self._now = 0
        return most
