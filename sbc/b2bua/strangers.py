"""Who speaks and is no peer: silence for him, and for the operator a line a minute that says from where.

A carrier that sends from a new address is such a stranger: its calls leave no other trace. So is every scanner of the
internet, so the line is bounded, and a flood costs no more than a count. Used by `switch`.
"""

from typing import Final

from sbc.b2bua.commands import Log
from sbc.core.address import Flow

SECONDS: Final = 60.0  # between two lines
_SHOWN: Final = 8  # of the sources since the last line


class Strangers:
    def __init__(self) -> None:
        self._messages = 0
        self._sources: dict[str, None] = {}
        self._due = 0.0

    def heard(self, flow: Flow, now: float) -> list[Log]:
        self._messages += 1
        if len(self._sources) < _SHOWN:
            self._sources[f"{flow.remote.host} on {flow.interface}"] = None
        if now < self._due:
            return []
        said = (("sources", ", ".join(self._sources)), ("messages", self._messages))
        self._messages, self._sources, self._due = 0, {}, now + SECONDS
        return [Log("info", "sip.strangers", said)]
