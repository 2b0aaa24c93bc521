"""What crosses a call besides offers and answers: requests within its dialogs, header fields, who talks.

RFC 4916, RFC 7989. What of a message crosses, `headers` says, and the peers' policies; what becomes of requests,
`requests`. It belongs to one call and speaks to its legs through it.
"""

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from sbc.b2bua.headers import Crossing, contact_params, crossing
from sbc.b2bua.identity import connected_identity, escaped
from sbc.b2bua.joining import shown_number
from sbc.b2bua.referring import referred_by_field
from sbc.b2bua.reports import LegAsked, LegOffered, LegReplied
from sbc.b2bua.requests import Requests
from sbc.b2bua.session_ids import SessionIds
from sbc.core.cause import Cause
from sbc.media import wire
from sbc.sip.message import Fields, Request, Response
from sbc.sip.params import params_text

if TYPE_CHECKING:
    from sbc.b2bua.call import Call, Out
    from sbc.b2bua.leg import Leg


class Passing:
    def __init__(self, call: "Call") -> None:
        self._call = call
        self._invite: Request | None = None
        self._requests = Requests(call)
        self._told: dict[int, Fields] = {}  # by leg: who is there, as its partner heard last

    @property
    def told(self) -> dict[int, Fields]:
        """By leg: who is there, as its partner heard last; for the journal."""
        return self._told

    def take_invite(self, invite: Request) -> None:
        """The caller's INVITE: what of it every callee hears."""
        self._invite = invite
        self.hear(0, invite)

    def answered(self) -> None:
        """The caller's INVITE has said all that it had to say."""
        self._invite = None

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

    def last_words(self, one: "Leg", q850: int, leg: int, message: Request | Response | None) -> Fields:
        """What `one` hears as the call ends: of the `message` of `leg` that has ended it, and why."""
        crossing_ = crossing(self._call.legs[leg].peer, one.peer)
        if message is None:
            said = crossing_.own_fields(answer=one.is_asked)
        elif isinstance(message, Response):
            said = crossing_.response_fields(message)
        else:
            said = crossing_.request_fields(message)
        if q850 == Cause.NORMAL.q850 and (message is None or message.header("Reason") is None):
            return said
        return (*said, *crossing_.reason_fields(q850, message))

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

    def asked(self, report: LegAsked, now: float) -> "list[Out]":
        return self._requests.asked(report, now)

    def replied(self, report: LegReplied) -> "list[Out]":
        return self._requests.replied(report)

    def take_in(self, other: "Passing", moved: Mapping[int, int]) -> None:
        """The legs of another call are this one's now. `moved`: their new numbers."""
        self._requests.take_in(other._requests, moved)

    def unanswered(self, now: float) -> "list[Out]":
        return self._requests.unanswered(now)

    def digit_heard(self, heard: wire.DigitHeard) -> "list[Out]":
        return self._requests.digit_heard(heard)

    # --- who talks ----------------------------------------------------------------------------------------------------

    def identified(self, leg: int, offered: LegOffered, now: float) -> "list[Out]":  # noqa: ARG002
        """An UPDATE that offers nothing may say that somebody else is there now (RFC 4916 §3); it is answered."""
        call = self._call
        if leg not in call.pair or offered.message is None or not call.is_answered:
            return []
        other = call.legs[call.opposite(leg)]
        if not other.allows("UPDATE"):
            return []  # it hears of it with the next offer
        fields = self._who_is_there(leg, offered.message)
        return list(other.ask("UPDATE", _Identity(), fields)) if fields else []

    def partner_fields(self, leg: int) -> Fields:
        """A transfer has given this leg another partner: a PBX's telephone shows whom it talks with (RFC 4916).

        Towards a trunk we can vouch for our own numbers only, and the new partner's may be anybody's.
        """
        call = self._call
        told = call.legs[leg]
        number = shown_number(call, call.opposite(leg))
        if told.peer.kind != "pbx" or not number:
            return ()
        written = call.writer(call.opposite(leg))(number)
        return (("P-Asserted-Identity", f"<sip:{escaped(written)}@{call.host_of(leg)}>"),)

    def present(self, leg: int, fields: Fields) -> "list[Out]":
        """Say who is there without an offer; where the peer has no UPDATE, it is not worth one."""
        told = self._call.legs[leg]
        return list(told.ask("UPDATE", _Identity(), fields)) if fields and told.allows("UPDATE") else []

    def _who_is_there(self, leg: int, message: Request | Response) -> Fields:
        if isinstance(message, Response) and message.header("P-Asserted-Identity") is None:
            return ()  # the From of a response is ours
        call = self._call
        one, other = call.legs[leg].peer, call.legs[call.opposite(leg)].peer
        owns = partial(call.policy.owns_for, one.name)
        known = call.parties.caller if leg == 0 else call.account.called_as_sent
        told = self._told.get(leg, ())
        if told and message.header("P-Asserted-Identity") is not None:
            known = ""  # somebody else was there meanwhile: who began the call may be back
        host = call.host_of(call.opposite(leg))
        fields = connected_identity(message, one, other, call.writer(leg), known=known, our_host=host, owns=owns)
        if not fields or fields == told:
            return ()
        if not isinstance(message, Response) or message.status >= 200:  # a provisional may be lost: the 2xx says it too
            self._told[leg] = fields
        return self._between(leg, call.opposite(leg)).without_removed(fields)


class _Identity(Struct, frozen=True):
    """The token of an UPDATE that says who is there: nobody waits for its answer."""
