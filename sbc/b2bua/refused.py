"""Says that somebody has shown wrong credentials: one line a minute for each PBX, however many there were.

The operator who has mistyped a password must find it; who guesses passwords must not fill the log. Noted at the door,
taken by the switch.
"""

from typing import Final

from sbc.core.address import Address
from sbc.core.commands import Log

EVERY_SECONDS: Final = 60.0


class RefusedLogins:
    """At most one entry for each configured PBX."""

    def __init__(self) -> None:
        self._said_at: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}
        self._lines: list[Log] = []

    def note(self, peer: str, source: Address, now: float) -> None:
        """`peer`: whom the request was taken for."""
        count = self._unsaid.get(peer, 0) + 1
        self._unsaid[peer] = count
        said_at = self._said_at.get(peer)
        if said_at is not None and now - said_at < EVERY_SECONDS:
            return
        self._said_at[peer] = now
        self._unsaid[peer] = 0
        fields = (("peer", peer), ("source", str(source)), ("refused", count))
        self._lines.append(Log("warning", "auth.refused", fields))

    def take(self) -> list[Log]:
        lines, self._lines = self._lines, []
        return lines
