"""Requests within a call that cross it: INFO, MESSAGE, NOTIFY and whatever else its peers may use beside offers.

RFC 3261 §12.2, RFC 6086, RFC 3428, RFC 4320. One leg's request is built anew on the other, and its final response comes
back; what of the two crosses, `headers` and `bodies` say. A digit in an INFO is played by the media worker, and one
that the worker has heard becomes an INFO, where the two peers send digits in different ways (`digits`). No answer to
any of these ends the call. It belongs to one call and speaks to its legs through it; REFER is `transfer`'s.
"""

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from sbc.b2bua.beside.errand import patience, trying_after
from sbc.b2bua.bodies import ACCEPTED, accepted_of, body_of, may_cross
from sbc.b2bua.commands import AskMedia
from sbc.b2bua.crossing import ENDING, crossing_status
from sbc.b2bua.digits import digit_of, info_body
from sbc.b2bua.headers import Crossing, crossing
from sbc.b2bua.reports import LegAsked, LegReplied
from sbc.core.limits import DIGITS_WAITING, OPEN_REQUESTS_PER_LEG
from sbc.media import wire
from sbc.sip.checks import allow_field
from sbc.sip.commands import Respond
from sbc.sip.headers.event import parse_event, parse_subscription_state
from sbc.sip.message import Fields, Request, Response
from sbc.sip.transaction.key import ServerKey

if TYPE_CHECKING:
    from sbc.b2bua.call import Call, Out
    from sbc.b2bua.leg import Leg

_SILENT: Final = 504
_FAILED: Final = 500  # in place of a status that would end the call


class Crossed(Struct, frozen=True):
    """The token of a request that has crossed: whose answer waits."""

    key: ServerKey


class Told(Struct, frozen=True):
    """The token of an INFO that we made of a digit."""


class Requests:
    """`_open`: what has crossed and has no answer, and until when one makes sense. `_silent`: of these, when its sender
    is to hear that it has come. `_digits`: by the leg that is to hear of them, the first of each on its way, so that
    none overtakes another."""

    def __init__(self, call: "Call") -> None:
        self._call = call
        self._open: dict[ServerKey, float] = {}
        self._silent: dict[ServerKey, float] = {}
        self._digits: dict[int, deque[wire.DigitHeard]] = {}

    def asked(self, report: LegAsked, now: float) -> "list[Out]":
        call, leg, request = self._call, self._call.legs[report.leg], report.request
        if report.leg not in call.pair or call.opposite(report.leg) >= len(call.legs):
            return list(leg.reply(report.key, 481))
        other = call.legs[call.opposite(report.leg)]
        refusal = _refusal_of_event(leg, request)
        if refusal is None and request.method == "INFO":
            played = self._play(leg, other, report)
            if played is not None:
                return played
        refusal = refusal or self._refusal(leg, other, request)
        if refusal is not None:
            return list(leg.reply(report.key, *refusal))
        fields, body = body_of(request, leg.peer, other.peer, call.context)
        if request.body and not body:
            return list(leg.reply(report.key, 400))  # not what its Content-Type says
        said = (*_between(leg, other).request_fields(request, request.method), *_event_fields(request), *fields)
        orders = other.ask(request.method, Crossed(report.key), said, body)
        if not orders:
            return list(leg.reply(report.key, _FAILED, (("Retry-After", "2"),)))  # its far end is not there yet
        self._open[report.key] = now + patience(call.context.timing)
        self._silent[report.key] = now + trying_after(call.context.timing)
        self._await_answers()
        return list(orders)

    def _await_answers(self) -> None:
        due = (*self._silent.values(), *self._open.values())
        if due:
            self._call.timers.set("answers", min(due))

    def _refusal(self, leg: "Leg", other: "Leg", request: Request) -> tuple[int, Fields] | None:
        method = request.method
        if not other.allows(method) or method not in other.peer.methods:
            return 405, (allow_field(leg.peer.methods - {method}),)
        if not may_cross(request):
            return 415, ACCEPTED
        if len(self._open) >= OPEN_REQUESTS_PER_LEG:
            return _FAILED, (("Retry-After", "5"),)
        return None

    def replied(self, report: LegReplied) -> "list[Out]":
        token, response, call = report.token, report.response, self._call
        if isinstance(token, Told):
            return self._digit_told(report.leg, response)
        if not isinstance(token, Crossed):
            return []
        self._open.pop(token.key, None)
        self._silent.pop(token.key, None)
        leg = next((leg for leg in call.legs if leg.owes(token.key)), None)
        if leg is None or response is None:
            return []  # "MUST NOT" answer 408, RFC 4320 §4.2, and it is too late for anything else
        other = call.legs[report.leg]
        fields, body = body_of(response, other.peer, leg.peer, call.context)
        status, more = _answer_of(response, leg)
        said = (*_between(other, leg).response_fields(response), *more, *fields)
        return list(leg.reply(token.key, status, said, body))

    def unanswered(self, now: float) -> "list[Out]":
        """What the other side leaves open for too long is answered while its sender still listens (RFC 4320 §4.2).

        Before that its sender hears that it has come, and repeats it less often: "MUST respond … with a Status-Code of
        100 if it has not otherwise responded", §4.1.
        """
        outs: list[Out] = []
        legs = self._call.legs
        for key in [key for key, at in self._silent.items() if at <= now]:
            del self._silent[key]
            if any(leg.owes(key) for leg in legs):
                outs.append(Respond(key, 100))
        for key in [key for key, at in self._open.items() if at <= now]:
            del self._open[key]
            for leg in legs:
                outs += leg.reply(key, _SILENT)
        self._await_answers()
        return outs

    def take_in(self, other: "Requests", moved: Mapping[int, int]) -> None:
        """The legs of another call are this one's now, and what is open on them. `moved`: their new numbers."""
        self._open |= other._open
        self._silent |= other._silent
        self._digits |= {moved[leg]: waiting for leg, waiting in other._digits.items()}
        self._await_answers()

    # --- digits -------------------------------------------------------------------------------------------------------

    def _play(self, leg: "Leg", other: "Leg", report: LegAsked) -> "list[Out] | None":
        """A digit becomes RFC 4733 packets where its hearer has agreed to those; None: the INFO crosses as it is."""
        wants = other.peer.dtmf == "rfc4733" or (leg.peer.dtmf == "info" and other.peer.dtmf == "pass")
        if not wants:
            return None
        side = self._call.side_of(other.n)
        stream, digit = self._call.media.digits_to(side), digit_of(report.request)
        if digit is None or stream is None:
            return None
        play = wire.PlayDigit(self._call.ref, stream, side, digit.key, digit.milliseconds)
        return [AskMedia(play), *leg.reply(report.key, 200)]

    def digit_heard(self, heard: wire.DigitHeard) -> "list[Out]":
        """The media worker has heard a digit from a side whose partner wants INFO."""
        call = self._call
        other = call.pair[1] if heard.side == "ingress" else call.pair[0]
        if not call.legs[other].allows("INFO"):
            return []
        waiting = self._digits.setdefault(other, deque())
        if len(waiting) >= DIGITS_WAITING:
            return []
        waiting.append(heard)
        return self._tell_digit(other) if len(waiting) == 1 else []

    def _tell_digit(self, leg: int) -> "list[Out]":
        digit = self._digits[leg][0]
        orders = self._call.legs[leg].ask("INFO", Told(), *info_body(digit.digit, digit.milliseconds))
        if not orders:
            del self._digits[leg]
        return list(orders)

    def _digit_told(self, leg: int, response: Response | None) -> "list[Out]":
        waiting = self._digits.get(leg)
        if not waiting:
            return []
        waiting.popleft()
        if response is None:
            waiting.clear()  # those that have waited for it come too late to be of any use
        return self._tell_digit(leg) if waiting else []


def _between(one: "Leg", other: "Leg") -> Crossing:
    return crossing(one.peer, other.peer)


def _refusal_of_event(leg: "Leg", request: Request) -> tuple[int, Fields] | None:
    """NOTIFY of what its peer may not use. SUBSCRIBE makes dialogs of its own here, and none within a call."""
    method, events = request.method, leg.peer.events
    if method not in ("NOTIFY", "SUBSCRIBE"):
        return None
    event = parse_event(request.header("Event") or "")
    if event is None:
        return 489, _allow_events(events)
    if event.package not in events or event.package == "refer" or method == "SUBSCRIBE":
        return 489, _allow_events(events - {event.package})
    return None


def _event_fields(request: Request) -> Fields:
    """Of a NOTIFY: its package, without parameters, which may name dialogs, and how the subscription stands."""
    event = parse_event(request.header("Event") or "") if request.method == "NOTIFY" else None
    if event is None:
        return ()
    state = parse_subscription_state(request.header("Subscription-State") or "")
    return (("Event", event.package), *([] if state is None else [("Subscription-State", str(state))]))


def _answer_of(response: Response, leg: "Leg") -> tuple[int, Fields]:
    """The status by which the asking leg hears of the other's answer, and what such a status must say."""
    status, method = response.status, response.cseq.method
    if status < 300:
        return status, ()
    if status in (405, 501):
        return 405, (allow_field(leg.peer.methods - {method}),)
    if status == 415:
        return 415, accepted_of(response)
    if status == 489:
        return 489, _allow_events(leg.peer.events)
    status = crossing_status(status)
    return (_FAILED if status in ENDING else status), ()


def _allow_events(events: frozenset[str]) -> Fields:
    return (("Allow-Events", ", ".join(sorted(events))),)
