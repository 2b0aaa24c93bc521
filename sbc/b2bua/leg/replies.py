"""What becomes of our requests on a leg: their responses, or none (RFC 3261 §8.1.3, §13.2.2, §14.1).

Functions of the leg, which calls them: each tells the part that has sent the request, or reports to the call.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sbc.b2bua.leg.sending import Purpose, Sent
from sbc.b2bua.leg.state import Out, State
from sbc.b2bua.reports import LegDisconnected, LegExpired, LegFailed, LegRefused, LegReplied, LegTried
from sbc.core.address import Flow
from sbc.core.cause import Cause
from sbc.sip.commands import Order
from sbc.sip.dialog.invite_uac import Accepted, InviteUac, Progressed, Refused, Report
from sbc.sip.headers.reason import q850_of
from sbc.sip.message import Response
from sbc.sip.transaction.outputs import TransactionFailed

if TYPE_CHECKING:
    from sbc.b2bua.leg.leg import Leg

_LEAVING = (State.ENDING, State.CLOSED)


def take_response(leg: "Leg", n: int, response: Response, flow: Flow, now: float, *, is_genuine: bool) -> list[Out]:
    sending = leg.sending
    if response.status in (401, 407) and is_genuine:
        again = sending.answer_challenge(n, response, flow)
        if again:
            return again
    if sending.awaits(n):
        sent = sending.take_out(n) if response.status >= 200 else None
        return [] if sent is None else _replied(leg, sent, response, now)
    uac = sending.invite_of(n)
    return [] if uac is None else _take_response_to_invite(leg, n, uac, response, flow, now)


def _take_response_to_invite(
    leg: "Leg", n: int, uac: InviteUac, response: Response, flow: Flow, now: float
) -> list[Out]:
    is_first = leg.state is State.SETUP
    leg.heard = True
    if is_first:
        leg.reached.replied(flow)
    if is_first and response.status == 100:
        return [LegTried(leg.n)]
    if uac.is_pending and leg.refreshing.is_too_small(response):
        return leg.sending.ask_for_longer(n, uac, leg.refreshing.request_fields(), flow)
    outs: list[Out] = []
    for out in uac.receive(response, leg.flow):
        outs += _translated(leg, uac, out, now, is_first=is_first)
    return outs


def _translated(leg: "Leg", uac: InviteUac, out: Order | Report, now: float, *, is_first: bool) -> Iterable[Out]:
    match out:
        case Progressed(response, tag):
            return leg.dialling.progressed(uac, response, tag) if is_first and leg.dialling is not None else []
        case Accepted(response) if leg.state in _LEAVING:
            return uac.acknowledge(flow=leg.flow)
        case Accepted(response):
            return _accepted(leg, response, now, is_first=is_first)
        case Refused(response) if leg.state in _LEAVING:
            return []
        case Refused(response) if is_first:
            leg.state = State.CLOSED
            return [LegRefused(leg.n, response.status, q850_of(response), response)]
        case Refused(response):
            return leg.offering.refused(response, now)
        case order:
            return [order]


def _accepted(leg: "Leg", response: Response, now: float, *, is_first: bool) -> list[Out]:
    leg.abilities.note(response)
    leg.refreshing.agreed(response, now)
    if is_first and leg.dialling is not None:
        return leg.dialling.accepted(response)
    return leg.offering.accepted(response)


def _replied(leg: "Leg", sent: Sent, response: Response, now: float) -> list[Out]:
    """The final response to a request that is no INVITE."""
    if sent.token is Purpose.BYE:
        leg.state = State.CLOSED
        return []
    if leg.state in _LEAVING or sent.token is Purpose.PRACK:
        return []
    if sent.token is Purpose.REFRESH:
        return leg.refreshing.replied(sent, response, now)
    if sent.token is Purpose.OFFER:
        return leg.offering.replied(sent, response, now)
    if sent.request.method == "UPDATE" and response.status < 300 and leg.state is State.TALKING:
        sent.dialog.refresh_target(response)
        leg.refreshing.agreed(response, now)
    return [LegReplied(leg.n, sent.token, response)]


def take_loss(leg: "Leg", detail: str, n: int) -> list[Out]:
    uac = leg.sending.invite_of(n)
    if leg.state is not State.SETUP or uac is None or not uac.is_pending:
        return []
    return [LegDisconnected(leg.n, detail)]


def take_failure(leg: "Leg", failure: TransactionFailed, n: int, now: float) -> list[Out]:
    """Who does not answer within a call has lost it (RFC 3261 §12.2.1.2). Who cannot be reached has not: that counts as
    a 503 (§8.1.3.1), and ends the request alone. If nobody comes back, the session expires.
    """
    is_lost = failure.why == "timeout"
    sent = leg.sending.take_out(n)
    if sent is not None:
        return _unreplied(leg, sent, now, is_lost=is_lost)
    uac = leg.sending.invite_of(n)
    if uac is None or not uac.fail():
        return []
    cause = Cause.NO_REPLY if is_lost else Cause.UNREACHABLE
    if leg.state is State.SETUP:
        leg.state = State.CLOSED
        return [LegFailed(leg.n, cause, failure.detail)]
    return leg.offering.lost(cause.status, fatal=is_lost)


def _unreplied(leg: "Leg", sent: Sent, now: float, *, is_lost: bool) -> list[Out]:
    if sent.token is Purpose.BYE and is_lost:
        leg.state = State.CLOSED
        return []
    if sent.token is Purpose.BYE:
        leg.leaving.not_sent(now)
        return []
    if leg.state in _LEAVING or sent.token is Purpose.PRACK:
        return []
    if sent.token is Purpose.REFRESH:
        if is_lost:
            return [LegExpired(leg.n)]
        leg.refresh_failed(now)
        return []
    if sent.token is Purpose.OFFER:
        return leg.offering.lost(408 if is_lost else Cause.UNREACHABLE.status, fatal=is_lost)
    return [LegReplied(leg.n, sent.token, None)]
