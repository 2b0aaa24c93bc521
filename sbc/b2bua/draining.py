"""The drain: no new calls, an end for those that last too long, and the goodbye when the last one is over.

It says what is to be ended and when; it ends nothing itself, and refuses nothing: the switch hangs up, and `reception`
asks whether a drain is on. Emergencies are neither refused nor ended, but where the drain is final (contract,
section 7).

What an operator has ordered outlives a death of ours, whoever dies with us; an end on purpose is the end of it, since
a drain is what goes before a restart.
"""

import struct
from collections.abc import Iterable, Mapping
from typing import Final

from sbc.b2bua.beside.beside import Beside
from sbc.b2bua.call import Call
from sbc.b2bua.call import Out as CallOut
from sbc.b2bua.commands import Log, StoreState
from sbc.b2bua.events import DrainOrdered
from sbc.peering.relations import Out as PeerOut
from sbc.peering.relations import Relations
from sbc.sip.checks import Refusal

# Of a new call. Few seconds, because another node or the next start is near.
WHILE_DRAINING: Final = Refusal(503, (("Retry-After", "30"),))

KEY: Final = "drain/order"
_KEPT: Final = struct.Struct("<d?")  # the deadline by the engine's clock; whether the carriers have been left


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
        self._kept: tuple[float, bool] | None = None  # an operator's order, as it is stored

    # --- beginning ----------------------------------------------------------------------------------------------------

    def restore(self, items: Iterable[tuple[str, bytes]]) -> None:
        """What an operator had ordered before we died; said before the start of `relations`."""
        for key, value in items:
            if key == KEY:
                self._restore(value)

    def _restore(self, value: bytes) -> None:
        if len(value) != _KEPT.size:
            self._kept = (0.0, False)  # nobody can say what it was: `start` forgets it
            return
        self._kept = deadline, has_left = _KEPT.unpack(value)
        self.is_on = self._is_leaving = self._beside.is_draining = True
        self._ends_at = deadline
        if has_left:
            self._relations.stay_away()

    def start(self, now: float) -> list[Log | StoreState]:
        if self._ends_at is None:
            return self.forget()
        return [self._told(self._ends_at, now, ("kept", True))]

    # --- orders -------------------------------------------------------------------------------------------------------

    def begin(self, order: DrainOrdered, now: float) -> list[Log | StoreState]:
        """A later order counts instead of an earlier one."""
        self.is_on = self._beside.is_draining = True
        self._ends_at, self._is_leaving, self._is_final = order.deadline, order.is_leaving, order.is_final
        self._is_stopping = self._is_stopping or not order.is_leaving
        if not order.is_leaving:
            return self.forget()  # the program ends, and says so
        return [self._told(order.deadline, now), self._keep(order.deadline, has_left=False)]

    def forget(self) -> list[Log | StoreState]:
        """The next start takes new calls."""
        was, self._kept = self._kept, None
        return [] if was is None else [StoreState(KEY, None)]

    def revoke(self, now: float) -> list[Log | PeerOut]:
        if not self.is_on or self._is_stopping:
            return []
        self.is_on = self._is_leaving = self._beside.is_draining = False
        self._ends_at = None
        return [Log("info", "drain.revoked", ()), *self.forget(), *self._relations.register_again(now)]

    # --- what follows -------------------------------------------------------------------------------------------------

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
            if self._kept is not None:
                outs.append(self._keep(self._kept[0], has_left=True))
            outs += self._relations.unregister(now)
        return outs

    def next_deadline(self) -> float | None:
        return 0.0 if self._is_leaving and not self._calls else self._ends_at

    def _told(self, deadline: float, now: float, *more: tuple[str, bool]) -> Log:
        ends_in = max(0, round(deadline - now))
        return Log("warning", "drain.ordered", (("calls", len(self._calls)), ("ends_in_seconds", ends_in), *more))

    def _keep(self, deadline: float, *, has_left: bool) -> StoreState:
        self._kept = (deadline, has_left)
        return StoreState(KEY, _KEPT.pack(deadline, has_left))
