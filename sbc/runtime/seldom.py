"""Says of what happens often only how often it did, once in a while: so that nobody can fill the log from outside.

Used by `http` and `http_clients`.
"""

import math


class Seldom:
    """`seconds`: between two lines."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._said_at = -math.inf
        self._count = 0

    def due(self, now: float) -> int:
        """It has happened once more. How often since it was said last, where it is to be said now; else 0."""
        self._count += 1
        if now - self._said_at < self._seconds:
            return 0
        self._said_at, count, self._count = now, self._count, 0
        return count
