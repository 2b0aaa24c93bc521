"""The end of a leg: refused, cancelled, or by BYE, ours or the peer's (RFC 3261 §15).

Whatever else the leg is doing is brought to its end too: requests that wait for an answer, an INVITE either way. The
leg uses it, and tells its call who has left.
"""

from typing import TYPE_CHECKING

from sbc.b2bua.leg.sending import Purpose
from sbc.b2bua.leg.state import Out, State
from sbc.b2bua.reports import LegCancelled, LegHungUp
from sbc.sip.commands import Order, Respond
from sbc.sip.headers.reason import q850_of
from sbc.sip.message import Fields, Request
from sbc.sip.transaction.key import ServerKey

if TYPE_CHECKING:
    from sbc.b2bua.leg.leg import Leg


class Leaving:
    __slots__ = ("_leg", "_until", "bye_fields")

    def __init__(self, leg: "Leg") -> None:
        self._leg = leg
        self.bye_fields: Fields = ()
        self._until: float | None = None  # so long a BYE waits for its peer's connection

    # --- we leave -----------------------------------------------------------------------------------------------------

    def release(self, status: int, fields: Fields) -> list[Order]:
        leg = self._leg
        orders = leg.asked.refuse_all()
        match leg.state:
            case State.SETUP if leg.uas is not None:
                # Where somebody answered and left while our 200 waited for a PRACK, the call's status is no refusal.
                return orders + leg.refuse(status if status >= 300 else 487, fields)
            case State.SETUP:
                return orders + self._abandon_dialling(fields)
            case State.TALKING:
                return orders + self._hang_up(fields)
            case _:
                return orders

    def _abandon_dialling(self, fields: Fields) -> list[Order]:
        leg = self._leg
        leg.state = State.CLOSED
        uac = leg.sending.uac
        if uac is None:
            return []
        if leg.has_unacknowledged:  # a 2xx is here that the call no longer wants
            leg.dialog = uac.dialog
            leg.state = State.TALKING
            return self._hang_up(fields)
        return uac.cancel(", ".join([value for name, value in fields if name == "Reason"]) or None)

    def _hang_up(self, fields: Fields) -> list[Order]:
        leg = self._leg
        leg.state = State.ENDING
        self.bye_fields = fields
        orders: list[Order] = []
        uac = leg.sending.uac
        if uac is not None and leg.has_unacknowledged:
            orders += uac.acknowledge(flow=leg.flow)
        orders += leg.cancel_offer()
        if leg.uas is not None and leg.uas.is_pending:
            orders += leg.uas.refuse(487)
        # "the callee's UA MUST NOT send a BYE on a confirmed dialog until it has received an ACK for its 2xx response
        # or until the server transaction times out", §15
        if leg.uas is None or not leg.uas.awaits_ack:
            orders += self.send_bye()
        return orders

    def send_bye(self) -> list[Order]:
        """Once."""
        leg = self._leg
        if leg.dialog is None or leg.sending.awaits_bye:
            return []
        return leg.sending.ask("BYE", Purpose.BYE, leg.dialog, self.bye_fields)

    def not_sent(self, now: float) -> None:
        """Our BYE did not get through. A peer that has registered by a connection comes back by another, and believes
        in this call until then: it is waited for as long as a BYE is repeated.
        """
        leg = self._leg
        if leg.flow is None or not leg.flow.transport.is_reliable or (self._until or now) < now:
            leg.state = State.CLOSED
        elif self._until is None:
            self._until = now + leg.timing.give_up

    def peer_is_back(self) -> list[Order]:
        leg = self._leg
        return self.send_bye() if self._until is not None and leg.state is State.ENDING else []

    def tick(self, now: float) -> None:
        if self._until is not None and now >= self._until and not self._leg.sending.awaits_bye:
            self._until, self._leg.state = None, State.CLOSED

    def next_deadline(self) -> float | None:
        return None if self._leg.state is State.CLOSED or self._leg.sending.awaits_bye else self._until

    # --- the peer leaves ----------------------------------------------------------------------------------------------

    def take_bye(self, key: ServerKey, request: Request) -> list[Out]:
        leg = self._leg
        outs: list[Out] = [Respond(key, 200)]
        if leg.has_unacknowledged:
            # Its 2xx waits for the answer that our ACK was to bring: "the ACK is always sent", RFC 5407 §3.1.3.
            outs += leg.acknowledge()
        elif leg.state is State.SETUP and leg.uas is None:
            # "the callee's UA MUST NOT send a BYE on early dialogs", §15: one of several may be over, and our INVITE
            # will have its final response.
            return outs
        outs += leg.cancel_offer()
        was, leg.state = leg.state, State.CLOSED
        outs += leg.asked.refuse_all()
        if leg.uas is not None:
            # "MUST respond to any pending requests … with a 487", §15.1.2; a 2xx needs no ACK any more.
            outs += leg.uas.refuse(487)
            leg.uas.acknowledged()
        if was is State.SETUP:
            outs.append(LegCancelled(leg.n, True, request))
        elif was is State.TALKING:
            outs.append(LegHungUp(leg.n, q850_of(request), request))
        return outs
