"""How many stream connections and handshakes one peer, one stranger, and all strangers together may have.

So that nobody keeps others out of a listener: not a peer that connects for ever, and not the Internet where a peer may
come from anywhere (`accept: any`). Nothing is closed here, only counted. Used by `tcp`.
"""

from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from sbc.core import limits


class Whose(Struct, frozen=True):
    """By what a connection is counted: the name of a peer, or the network of a stranger."""

    name: str
    is_stranger: bool = False


class Most(Struct, frozen=True):
    everybody: int
    peer: int
    strangers: int
    stranger: int


class Tally:
    """`most` is asked each time."""

    def __init__(self, most: Callable[[], Most]) -> None:
        self._most = most
        self._held: Counter[Whose] = Counter()
        self._strangers = 0
        self.total = 0

    def take(self, whose: Whose) -> bool:
        """False where it is one too many."""
        most = self._most()
        is_full = self.total >= most.everybody or (whose.is_stranger and self._strangers >= most.strangers)
        if is_full or self._held[whose] >= (most.stranger if whose.is_stranger else most.peer):
            return False
        self._held[whose] += 1
        self._strangers += whose.is_stranger
        self.total += 1
        return True

    def give_back(self, whose: Whose) -> None:
        self._held[whose] -= 1
        if not self._held[whose]:
            del self._held[whose]
        self._strangers -= whose.is_stranger
        self.total -= 1


class Pace:
    """So many a second, and as many at once after a quiet one."""

    def __init__(self, per_second: int) -> None:
        self._per_second = per_second
        self._left = float(per_second)
        self._at = 0.0

    def take(self, now: float) -> bool:
        self._left = min(float(self._per_second), self._left + (now - self._at) * self._per_second)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class StreamBounds:
    """Of one listener."""

    def __init__(self) -> None:
        self.connections = Tally(_most_connections)
        self.handshakes = Tally(_most_handshakes)
        self._pace = Pace(limits.STRANGER_HANDSHAKES_PER_SECOND)

    def begin_handshake(self, whose: Whose, now: float) -> bool:
        if whose.is_stranger and not self._pace.take(now):
            return False
        return self.handshakes.take(whose)


def _most_connections() -> Most:
    return Most(
        limits.CONNECTIONS_PER_LISTENER,
        limits.CONNECTIONS_PER_PEER,
        limits.CONNECTIONS_OF_STRANGERS,
        limits.CONNECTIONS_PER_STRANGER,
    )


def _most_handshakes() -> Most:
    return Most(
        limits.HANDSHAKES_PER_LISTENER,
        limits.HANDSHAKES_PER_PEER,
        limits.HANDSHAKES_OF_STRANGERS,
        limits.HANDSHAKES_PER_STRANGER,
    )
