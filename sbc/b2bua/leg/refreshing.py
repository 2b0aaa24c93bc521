"""The session timer of a leg: said in its INVITEs and UPDATEs, and refreshed in time (RFC 4028).

The arithmetic is `sip.dialog.session_timer`'s. Here is when there is a timer at all, what goes out when a refresh is
due, and what becomes of that. A refresh by re-INVITE is an offer, and so the call's business. The leg and its parts use
it.
"""

from typing import TYPE_CHECKING

from sbc.b2bua.leg.sending import Purpose, Sent
from sbc.b2bua.leg.state import Out
from sbc.b2bua.reports import LegExpired, LegRefreshDue
from sbc.sip.dialog.session_timer import RefreshDue, SavedTimer, SessionTimer, SessionTimerRules
from sbc.sip.message import Fields, Request, Response

if TYPE_CHECKING:
    from sbc.b2bua.leg.leg import Leg


class Refreshing:
    __slots__ = ("_leg", "_timer")

    def __init__(self, leg: "Leg") -> None:
        self._leg = leg
        self._timer: SessionTimer | None = None  # until one of the two asks for it

    # --- across the death of the process ------------------------------------------------------------------------------

    def saved(self) -> SavedTimer | None:
        return None if self._timer is None else self._timer.saved()

    def restore(self, saved: SavedTimer) -> None:
        self._timer = self._new_timer()
        self._timer.restore(saved)

    def resume(self, now: float) -> None:
        if self._timer is not None:
            self._timer.resume(now)

    # --- our INVITE or UPDATE -----------------------------------------------------------------------------------------

    def fields_of_invite(self) -> Fields:
        """Of the first INVITE, which asks for a timer where policy does."""
        if self._leg.peer.session_timer is None:
            return ()
        self._timer = self._new_timer()
        return self._timer.request_fields()

    def request_fields(self) -> Fields:
        return () if self._timer is None else self._timer.request_fields()

    def is_too_small(self, response: Response) -> bool:
        """It is a 422, and the request goes once more with the `request_fields` of now (§7.3)."""
        return response.status == 422 and self._timer is not None and self._timer.is_too_small(response)

    def agreed(self, response: Response, now: float) -> None:
        """What a 2xx says of the session timer: the peer may want one that we have not asked for (§7.2)."""
        if self._timer is None:
            if response.header("Session-Expires") is None:
                return
            self._timer = self._new_timer()
        self._timer.agreed(response, now)

    # --- the peer's INVITE or UPDATE ----------------------------------------------------------------------------------

    def take_invite(self, request: Request, options: str) -> None:
        """The first one. `options`: all that it supports or requires, in lower case."""
        if "timer" in options or request.header("Session-Expires") is not None:
            self._timer = self._new_timer()
            self._timer.take_request(request)

    def refusal_of(self, request: Request) -> Fields | None:
        """Not None: it wants to be refreshed too often, and a 422 has these fields (§9)."""
        return None if self._timer is None else self._timer.refusal_of(request)

    def take(self, request: Request) -> Fields | None:
        """A later one: what it says about the timer is noted, or it is refused with these fields of a 422."""
        if self._timer is None:
            if request.header("Session-Expires") is None:
                return None
            self._timer = self._new_timer()
        refused = self._timer.refusal_of(request)
        if refused is None:
            self._timer.take_request(request)
        return refused

    def response_fields(self, now: float, method: str) -> Fields:
        """Of our 2xx to a request with this method."""
        return () if self._timer is None else self._timer.response_fields(now, method=method)

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        if self._timer is not None:
            for due in self._timer.tick(now):
                outs += self._refresh() if isinstance(due, RefreshDue) else [LegExpired(self._leg.n)]
        return outs

    def next_deadline(self) -> float | None:
        return None if self._timer is None else self._timer.next_deadline()

    def failed(self, now: float) -> None:
        """The re-INVITE that `LegRefreshDue` asked for could not be sent, or was refused: another try is due later."""
        if self._timer is not None:
            self._timer.refresh_failed(now)

    def replied(self, sent: Sent, response: Response, now: float) -> list[Out]:
        """The final response to our UPDATE that refreshes."""
        leg, timer, status = self._leg, self._timer, response.status
        if timer is None:
            return []
        if status < 300:
            sent.dialog.refresh_target(response)
            timer.agreed(response, now)
            return []
        if status in (408, 481):
            return [LegExpired(leg.n)]  # "SHOULD send a BYE", §10
        if self.is_too_small(response):
            return self._refresh()
        if status in (405, 501):
            leg.abilities.forget_update()
            return [LegRefreshDue(leg.n)]
        timer.refresh_failed(now)
        return []

    def _refresh(self) -> list[Out]:
        """By UPDATE without an offer where the peer has it (§7.4); else the call sees to a re-INVITE."""
        leg = self._leg
        if leg.dialog is None:
            return []
        if not leg.abilities.allows("UPDATE"):
            return [LegRefreshDue(leg.n)]
        fields = (*leg.abilities.fields(), *self.request_fields())
        return [*leg.sending.ask("UPDATE", Purpose.REFRESH, leg.dialog, fields)]

    def _new_timer(self) -> SessionTimer:
        rules = self._leg.peer.session_timer
        return SessionTimer(SessionTimerRules() if rules is None else SessionTimerRules(rules.expires, rules.minimum))
