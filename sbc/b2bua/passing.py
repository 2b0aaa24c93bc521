"""What crosses a call besides offers and answers: requests within its dialogs, header fields, who talks.

RFC 3261 §12.2, RFC 6086, RFC 3428, RFC 4916, RFC 7989. A request of one leg is built anew on the other, and its final
response comes back; what of it crosses, `headers` and `bodies` say, and the peers' policies. Digits may be turned from
one form into another on the way (`digits`). REFER and what follows from it are `transfer`'s. It belongs to one call and
speaks to its legs through it.
"""

from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from sbc.b2bua.bodies import ACCEPTED, body_of, may_cross
from sbc.b2bua.commands import AskMedia
from sbc.b2bua.crossing import crossing_status
from sbc.b2bua.digits import digit_of, info_body
from sbc.b2bua.headers import Crossing, contact_params, crossing
from sbc.b2bua.identity import connected_identity, escaped
from sbc.b2bua.joining import shown_number
from sbc.b2bua.referring import referred_by_field
from sbc.b2bua.reports import LegAsked, LegOffered, LegReplied
from sbc.b2bua.session_ids import SessionIds
from sbc.core.limits import OPEN_REQUESTS_PER_LEG
from sbc.media import wire
from sbc.sip.checks import allow_field
from sbc.sip.headers.event import parse_event
from sbc.sip.message import Fields, Request, Response
from sbc.sip.params import params_text
from sbc.sip.transaction.key import ServerKey

if TYPE_CHECKING:
    from sbc.b2bua.call import Call, Out
    from sbc.b2bua.leg import Leg


class _Crossed(Struct, frozen=True):
    """The token of a request that has crossed: who waits for its answer."""

    leg: int
    key: ServerKey


class Passing:
    def __init__(self, call: "Call") -> None:
        self._call = call
        self._invite: Request | None = None
        self._open = 0
        self._told: dict[int, Fields] = {}  # by leg: who is there, as its partner heard last

    def take_invite(self, invite: Request) -> None:
        """The caller's INVITE: what of it every callee hears."""
        self._invite = invite
        self.hear(0, invite)

    def hear(self, leg: int, message: Request | Response) -> None:
        """Any message of the leg's peer: whether it has a Session-ID (RFC 7989)."""
        ids = self._call.context.session_ids
        mine = ids.get(self._call.ref) if ids else None
        if mine is None:
            if message.header("Session-ID") is None:
                return
            mine = ids[self._call.ref] = SessionIds(self._call.context.ids)
            mine.take(0, self._invite or message)
        mine.take(leg, message)

    # --- fields -------------------------------------------------------------------------------------------------------

    def invite_fields(self, leg: int) -> Fields:
        """For the INVITE to the egress leg `leg`."""
        errand = self._call.errand
        if errand is not None:
            named: Fields = (("Replaces", errand.replaces),) if errand.replaces else ()
            by = self._call.writer(0)(errand.referred_by) if errand.referred_by else ""
            return (*referred_by_field(by, self._call.host_of(leg)), *named)
        if self._invite is None:
            return ()
        self._show_features(0, leg, self._invite)
        return self._between(0, leg).request_fields(self._invite, "INVITE")

    def fields(self, leg: int, message: Request | Response) -> Fields:
        """What of a message of `leg` crosses."""
        crossing_ = self._between(leg, self._call.opposite(leg))
        if isinstance(message, Response):
            return crossing_.response_fields(message)
        return crossing_.request_fields(message, message.method)

    def described(self, leg: int, message: Request | Response) -> Fields:
        """What crosses with an offer or an answer: also who is there now (RFC 4916), and what kind of end it is."""
        self._show_features(leg, self._call.opposite(leg), message)
        return (*self.fields(leg, message), *self._who_is_there(leg, message))

    def _show_features(self, leg: int, other: int, message: Request | Response) -> None:
        """`isfocus` and the like of the Contact on this leg stand in ours on the other one, by policy (RFC 4579)."""
        contact = message.header("Contact")
        if contact is None:
            return
        legs = self._call.legs
        params = contact_params(message, legs[leg].peer.headers) if ">;" in contact.replace(" ", "") else ()
        legs[other].features = params_text(params)

    def _between(self, one: int, other: int) -> Crossing:
        legs = self._call.legs
        return crossing(legs[one].peer, legs[other].peer)

    # --- requests -----------------------------------------------------------------------------------------------------

    def asked(self, report: LegAsked, now: float) -> "list[Out]":  # noqa: ARG002
        call, leg = self._call, self._call.legs[report.leg]
        if report.leg not in call.pair or call.opposite(report.leg) >= len(call.legs):
            return list(leg.reply(report.key, 481))
        other = call.legs[call.opposite(report.leg)]
        method = report.request.method
        refusal = self._refusal(leg, other, report.request)
        if refusal is not None:
            return list(leg.reply(report.key, *refusal))
        if method == "INFO":
            converted = self._convert(leg, other, report)
            if converted is not None:
                return converted
        fields, body = body_of(report.request, leg.peer, other.peer, call.context)
        if report.request.body and not body:
            return list(leg.reply(report.key, 400))  # not what its Content-Type says
        said = (*self.fields(leg.n, report.request), *fields)
        orders = other.ask(method, _Crossed(leg.n, report.key), said, body)
        if not orders:
            return list(leg.reply(report.key, 500, (("Retry-After", "2"),)))  # its far end is not there yet
        self._open += 1
        return list(orders)

    def _refusal(self, leg: "Leg", other: "Leg", request: Request) -> tuple[int, Fields] | None:
        method = request.method
        if method in ("NOTIFY", "SUBSCRIBE"):
            event = parse_event(request.header("Event") or "")
            package = "" if event is None else event.package.lower()
            if package not in leg.peer.events or package == "refer" or method == "SUBSCRIBE":
                return 489, (("Allow-Events", ", ".join(sorted(leg.peer.events))),)
        if not other.allows(method) or method not in other.peer.methods:
            return 405, (allow_field(leg.peer.methods - {method}),)
        if not may_cross(request):
            return 415, ACCEPTED
        if self._open >= OPEN_REQUESTS_PER_LEG:
            return 500, (("Retry-After", "5"),)
        return None

    def replied(self, report: LegReplied) -> "list[Out]":
        token, response, call = report.token, report.response, self._call
        if not isinstance(token, _Crossed):
            return []
        self._open -= 1
        leg, other = call.legs[token.leg], call.legs[report.leg]
        if response is None:
            return list(leg.reply(token.key, 408))
        fields, body = body_of(response, other.peer, leg.peer, call.context)
        said = (*self._between(other.n, leg.n).response_fields(response), *fields)
        status = response.status if response.status < 300 else crossing_status(response.status)
        return list(leg.reply(token.key, status, said, body))

    # --- digits -------------------------------------------------------------------------------------------------------

    def _convert(self, leg: "Leg", other: "Leg", report: LegAsked) -> "list[Out] | None":
        """A digit in an INFO becomes RFC 4733 packets where its hearer wants those; None: the INFO crosses."""
        if other.peer.dtmf != "rfc4733":
            return None
        digit = digit_of(report.request)
        if digit is None:
            return None
        play = wire.PlayDigit(self._call.ref, 0, self._call.side_of(other.n), digit.key, digit.milliseconds)
        return [AskMedia(play), *leg.reply(report.key, 200)]

    def digit_heard(self, heard: wire.DigitHeard) -> "list[Out]":
        """The media worker has heard a digit from a side whose partner wants INFO."""
        call = self._call
        leg = call.pair[0] if heard.side == "ingress" else call.pair[1]
        other = call.legs[call.opposite(leg)]
        fields, body = info_body(heard.digit, heard.milliseconds)
        return list(other.ask("INFO", _Digit(), fields, body))

    # --- who talks ----------------------------------------------------------------------------------------------------

    def identified(self, leg: int, offered: LegOffered, now: float) -> "list[Out]":  # noqa: ARG002
        """An UPDATE that offers nothing may say that somebody else is there now (RFC 4916 §3); it is answered."""
        call = self._call
        if leg not in call.pair or offered.message is None or not call.is_answered:
            return []
        other = call.legs[call.opposite(leg)]
        fields = self._who_is_there(leg, offered.message)
        if not fields or not other.allows("UPDATE") or not other.is_modifiable:
            return []
        return list(other.ask("UPDATE", _Identity(), fields))

    def present_partner(self, leg: int) -> "list[Out]":
        """A transfer has given this leg another partner: a PBX's telephone shows whom it talks with (RFC 4916).

        Towards a trunk we can vouch for our own numbers only, and the new partner's may be anybody's.
        """
        call = self._call
        told = call.legs[leg]
        number = shown_number(call, call.opposite(leg))
        if told.peer.kind != "pbx" or not number or not told.allows("UPDATE") or told.is_closed:
            return []
        written = call.writer(call.opposite(leg))(number)
        asserted = ("P-Asserted-Identity", f"<sip:{escaped(written)}@{call.host_of(leg)}>")
        return list(told.ask("UPDATE", _Identity(), (asserted,)))

    def _who_is_there(self, leg: int, message: Request | Response) -> Fields:
        call = self._call
        one, other = call.legs[leg].peer, call.legs[call.opposite(leg)].peer
        owns = partial(call.policy.owns_for, one.name)
        known = call.parties.caller if leg == 0 else call.account.called_as_sent
        host = call.host_of(call.opposite(leg))
        fields = connected_identity(message, one, other, call.writer(leg), known=known, our_host=host, owns=owns)
        if fields == self._told.get(leg, ()):
            return ()
        self._told[leg] = fields
        return fields


class _Digit(Struct, frozen=True):
    """The token of an INFO that we made of a digit: nobody waits for its answer."""


class _Identity(Struct, frozen=True):
    """The token of an UPDATE that says who is there: nobody waits for its answer."""
