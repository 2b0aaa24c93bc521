"""The drain: no new calls, an end for those that last too long, and the goodbye when the last one is over.

It says what is to be ended and when; it ends nothing itself, and refuses nothing: the switch hangs up, and `reception`
asks whether a drain is on. Emergencies are neither refused nor ended, but where the drain is final (contract,
section 7).
"""

from collections.abc import Mapping
from typing import Final

from sbc.b2bua.beside.beside import Beside
from sbc.b2bua.call import Call
from sbc.b2bua.call import Out as CallOut
from sbc.b2bua.commands import Log
from sbc.b2bua.events import DrainOrdered
from sbc.peering.relations import Out as PeerOut
from sbc.peering.relations import Relations
from sbc.sip.checks import Refusal

# Of a new call. Few seconds, because another node or the next start is near.
WHILE_DRAINING: Final = Refusal(503, (("Retry-After", "30"),))


class Draining:
    """`calls`: all that are alive."""

    def __init__(self, calls: Mapping[str, Call], beside: Beside, relations: Relations) -> None:
        self.is_on = False
        self._calls = calls
        self._beside = beside
        self._relations = relations
        self._ends_at: float | None = None  # until then calls may last
        self._is_leaving = False  # registrations go with the last call
        self._is_final = False  # emergencies are not spared
        self._is_stopping = False  # nobody takes it back

    def begin(self, order: DrainOrdered, now: float) -> list[Log]:
        """A later order counts instead of an earlier one."""
        self.is_on = self._beside.is_draining = True
        self._ends_at, self._is_leaving, self._is_final = order.deadline, order.is_leaving, order.is_final
        self._is_stopping = self._is_stopping or not order.is_leaving
        if not order.is_leaving:
            return []  # the program ends, and says so
        ends_in = round(order.deadline - now)
        return [Log("warning", "drain.ordered", (("calls", len(self._calls)), ("ends_in_seconds", ends_in)))]

    def revoke(self, now: float) -> list[Log | PeerOut]:
        if not self.is_on or self._is_stopping:
            return []
        self.is_on = self._is_leaving = self._beside.is_draining = False
        self._ends_at = None
        return [Log("info", "drain.revoked", ()), *self._relations.register_again(now)]

    def is_due(self, now: float) -> bool:
        """Whether what is left is to be ended now; True only once."""
        if self._ends_at is None or now < self._ends_at:
            return False
        self._ends_at = None
        return True

    def unspared(self) -> list[str]:
        """Refs of the calls that the deadline ends."""
        return [ref for ref, call in self._calls.items() if self._is_final or not call.is_emergency]

    def leave(self, now: float) -> list[CallOut | PeerOut]:
        """What is to be said after the last call; nothing while there are calls, or a second time."""
        if not self.is_on or self._calls:
            return []
        outs: list[CallOut | PeerOut] = [*self._beside.end(now)] if self._beside.subscriptions else []
        if self._is_leaving:
            self._is_leaving = False
            outs += self._relations.unregister(now)
        return outs

    def next_deadline(self) -> float | None:
        return 0.0 if self._is_leaving and not self._calls else self._ends_at
