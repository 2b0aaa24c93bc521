"""One leg of a call: a dialog with its INVITEs, its other requests and its BYE (RFC 3261 §12 to §15, RFC 3311, 3262).

It turns the call's orders into requests and responses, and what the peer does into reports. It answers challenges
(§22), keeps the session timer (RFC 4028) and hides glare (§14.1): an offer of ours that met one of the peer's is sent
again by itself. It opens no media, decides nothing about the call, and has never heard of the other leg.
"""

import enum
from collections.abc import Callable, Hashable, Iterable
from typing import Final

from msgspec import Struct

from sbc.b2bua.early import Calling, Ringing
from sbc.b2bua.reports import (
    LegAcknowledged,
    LegAnswered,
    LegAsked,
    LegCancelled,
    LegChallenged,
    LegDisconnected,
    LegExpired,
    LegFailed,
    LegHungUp,
    LegOffered,
    LegPracked,
    LegProgressed,
    LegReanswered,
    LegRefreshDue,
    LegRefused,
    LegReplied,
    LegRerefused,
    LegTried,
    LegUnacknowledged,
    Report,
)
from sbc.core.address import Flow
from sbc.core.cause import Cause
from sbc.core.timers import earlier
from sbc.policy.model import Peer
from sbc.sip.auth.client import Authenticator
from sbc.sip.checks import ACCEPT, SUPPORTED, UNRELIABLE, allow_field
from sbc.sip.commands import Adopt, Order, Respond, SendRequest
from sbc.sip.dialog import invite_uac
from sbc.sip.dialog.dialog import Dialog, dialog_of_uas
from sbc.sip.dialog.invite_uac import InviteUac
from sbc.sip.dialog.invite_uas import AckMissing, InviteUas
from sbc.sip.dialog.reliable import Arrival, PrackMissing
from sbc.sip.dialog.session_timer import RefreshDue, SessionTimer, SessionTimerRules
from sbc.sip.errors import ParseError
from sbc.sip.headers.reason import q850_of
from sbc.sip.message import Fields, Request, Response
from sbc.sip.multipart import description_of
from sbc.sip.timing import Timing
from sbc.sip.transaction.key import ServerKey
from sbc.sip.transaction.outputs import TransactionFailed

SDP_TYPE: Fields = (("Content-Type", "application/sdp"),)
_KEPT_INVITES: Final = 3  # INVITEs of ours whose late responses are still understood
_GLARE_TRIES: Final = 6  # an offer that meets another one each time is refused at last
_BYE: Final = "bye"
_PRACK: Final = "prack"
_REFRESH: Final = "refresh"
_OFFER: Final = "offer"

Out = Order | Report


class State(enum.StrEnum):
    SETUP = "setup"  # the first INVITE has no final response
    TALKING = "talking"
    ENDING = "ending"  # we want it over: a BYE is out, or waits for the ACK
    CLOSED = "closed"


class Sent(Struct):
    """A request of ours, other than INVITE, that awaits its final response. `dialog`: within which it went out."""

    token: Hashable
    request: Request
    dialog: Dialog
    fields: Fields = ()


class Offering(Struct):
    """An offer of ours within the dialog, until it has its verdict. `retry_at`: after it has met one of the peer's.

    `insists`: where an UPDATE cannot bring it at once, a re-INVITE shall. `is_unsaid`: it says something new since.
    """

    body: bytes
    method: str
    fields: Fields
    insists: bool = False
    is_unsaid: bool = False
    tries: int = 0
    retry_at: float | None = None


class Leg:
    """`contact` is the user part of our Contact on this leg, escaped; (`ref`, `n`) begins its transactions' users.

    `credentials` answer the peer's challenges. `flow`: where a peer that has registered with us is reached; its Contact
    may be an address behind a NAT. `heard`: the peer has said anything to our INVITE. `number`: a random integer below
    its argument.
    """

    __slots__ = (
        "_allow",
        "_answers_as",
        "_asked",
        "_bye_fields",
        "_calling",
        "_credentials",
        "_forks",
        "_held",
        "_number",
        "_offering",
        "_open",
        "_open_offer",
        "_owns_call_id",
        "_refreshing",
        "_ringing",
        "_timer",
        "_timing",
        "_tries",
        "_uacs",
        "contact",
        "dialog",
        "features",
        "flow",
        "heard",
        "n",
        "peer",
        "ref",
        "requests",
        "state",
        "uas",
    )

    def __init__(
        self,
        ref: str,
        n: int,
        peer: Peer,
        contact: str,
        timing: Timing,
        *,
        number: Callable[[int], int],
        credentials: Authenticator | None = None,
        flow: Flow | None = None,
    ) -> None:
        self.ref = ref
        self.n = n
        self.peer = peer
        self.contact = contact
        self.features = ""  # of who is on the other side, as our Contact here shows them
        self.flow = flow
        self.heard = False
        self.state = State.SETUP
        self.dialog: Dialog | None = None
        self.uas: InviteUas | None = None
        self.requests = 0
        self._number = number
        self._credentials = credentials
        self._tries: dict[int, int] = {}  # how often credentials were sent, by the request's number
        self._timing = timing
        self._uacs: dict[int, InviteUac] = {}
        self._asked: dict[int, Sent] = {}
        self._bye_fields: Fields | None = None
        self._offering: Offering | None = None
        self._owns_call_id = False  # we have made its dialog; its number in the call may change
        self._open: set[ServerKey] = set()  # requests of the peer that the call is to answer
        self._open_offer: ServerKey | None = None  # its UPDATE or PRACK with an offer
        self._refreshing: Request | None = None  # its INVITE or UPDATE that moves it, once it has its 2xx
        self._allow: frozenset[str] | str | None = None  # what the peer says that it understands; text until asked for
        self._ringing: Ringing | None = None
        self._calling: Calling | None = None
        self._held: tuple[bytes, Fields] | None = None  # our answer, which waits for a PRACK
        self._answers_as: str | None = None  # … and then goes out in the early dialog with this tag of ours
        # Early dialogs of the peer's INVITE, by our tag, if several, and what was said reliably there.
        self._forks: dict[str, tuple[Dialog, Ringing | None]] | None = None
        self._timer: SessionTimer | None = None

    # --- what can be asked about it -----------------------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        return self.state is State.CLOSED

    @property
    def is_asked(self) -> bool:
        """Its peer's first INVITE has no final response."""
        return self.state is State.SETUP and self.uas is not None

    @property
    def is_quiet(self) -> bool:
        """Closed, and no INVITE of ours is left to which the peer may still say yes."""
        uac = self._uac
        return self.is_closed and (uac is None or uac.is_over)

    @property
    def is_modifiable(self) -> bool:
        """Whether an offer may be sent on it now (RFC 3261 §14.1, RFC 3311 §5.1)."""
        if self._offering is not None or self._open_offer is not None:
            return False
        if self.state is State.TALKING:
            return not self._is_busy
        return self.state is State.SETUP and self._early_dialog is not None and self.allows("UPDATE")

    @property
    def awaits_prack(self) -> bool:
        """A provisional of ours has no PRACK yet."""
        return self._ringing is not None and self._ringing.is_busy

    @property
    def has_answered_early(self) -> bool:
        """A reliable provisional of ours has had the answer, so that its 2xx in the same early dialog has none."""
        return self._ringing is not None and self._ringing.has_described and self._answers_as is None

    @property
    def owes_answer(self) -> bool:
        """Its peer's 2xx to an INVITE of ours without offer waits for our ACK."""
        uac = self._uac
        return uac is not None and uac.state is invite_uac.State.ANSWERED and not uac.request.body

    @property
    def takes_reliable(self) -> bool:
        """Its peer understands reliable provisionals of ours."""
        return self._ringing is not None

    def allows(self, method: str) -> bool:
        """What the peer's Allow has said. Without any, UPDATE and PRACK are too new to be taken for granted."""
        if self._allow is None:
            return method not in ("UPDATE", "PRACK")
        if isinstance(self._allow, str):
            self._allow = frozenset([name.strip() for name in self._allow.split(",")])
        return method in self._allow

    def has_dialog(self, call_id: str, local_tag: str, remote_tag: str) -> bool:
        """Whether a request with these ids is for it: in its dialog, or an early one."""
        return self._dialog_of(call_id, local_tag, remote_tag) is not None

    @property
    def _is_busy(self) -> bool:
        if self.uas is not None and (self.uas.is_pending or self.uas.awaits_ack):
            return True
        return self._is_offering

    @property
    def _is_offering(self) -> bool:
        """An INVITE of ours, or an UPDATE with an offer, is on its way."""
        uac = self._uac
        if uac is not None and not uac.is_over:
            return True
        return self._offering is not None and self._offering.retry_at is None

    @property
    def _uac(self) -> InviteUac | None:
        return self._uacs.get(max(self._uacs)) if self._uacs else None

    @property
    def _early_dialog(self) -> Dialog | None:
        """In which an UPDATE may be sent: offer and answer are complete, and the peer knows that they are."""
        if self._calling is not None:
            return self._calling.dialog
        return self.dialog if self._ringing is not None and self._ringing.is_settled else None

    # --- orders of the call: ingress set-up ---------------------------------------------------------------------------

    def take_invite(self, key: ServerKey, request: Request, local_tag: str) -> list[Order]:
        """The call's first INVITE: 100 at once, and the dialog that our responses will make."""
        self.dialog = dialog_of_uas(request, local_tag, self.peer.interface)
        self.uas = uas = InviteUas(key, request, local_tag, self._timing, first=True)
        self._note_allow(request)
        required_options = ",".join(request.headers("Require")).lower()
        options = ",".join(request.headers("Supported")).lower() + "," + required_options
        if "100rel" in options and self.peer.reliable == "offer":
            required = "100rel" in required_options
            self._ringing = Ringing(
                key, uas.cseq, self._timing, self._number, required=required, has_offer=uas.has_offer
            )
        if "timer" in options or request.header("Session-Expires") is not None:
            self._timer = self._new_timer()
            self._timer.take_request(request)
        return [Adopt(key, (self.ref, self.n, 0)), *uas.try_()]

    def refused_for_its_timer(self, request: Request) -> list[Order]:
        """422 where the first INVITE wants to be refreshed too often (RFC 4028 §9); nothing: it does not."""
        fields = None if self._timer is None else self._timer.refusal_of(request)
        return [] if fields is None else self.refuse(422, fields)

    def fork(self, tag: str, *, final: bool = False) -> bool:
        """Go on in another early dialog with the caller: another callee's description differs (RFC 3261 §12.1).

        False where that must not be now: a provisional waits for its PRACK. `final`: the 2xx is to be sent there, as
        soon as it may be.
        """
        ringing = self._ringing
        if self.dialog is None or self.uas is None:
            return False
        if ringing is not None and ringing.is_busy:
            if not final:
                return False
            if ringing.holds_answer:
                self._answers_as = tag
                return True
            ringing.stop()
        if self._forks is None:
            self._forks = {self.dialog.local_tag: (self.dialog, self._ringing)}
        if tag not in self._forks:
            again = None if self._ringing is None else self._ringing.again()
            self._forks[tag] = (self.dialog.with_local_tag(tag), again)
        self.dialog, self._ringing = self._forks[tag]
        self.uas.to_tag = tag
        return True

    def ring(self, status: int, body: bytes, now: float, fields: Fields = ()) -> list[Order]:
        if self.uas is None:
            return []
        ringing = self._ringing
        if ringing is not None and ringing.has_described:
            body = b""
        if body:
            fields = (*fields, *SDP_TYPE)
        orders = self.uas.progress(status, now, contact=self.contact, fields=fields, body=body, features=self.features)
        if ringing is None:
            return orders
        return ringing.send(orders, now, described=bool(body))

    def accept(self, body: bytes, now: float, fields: Fields = ()) -> list[Order]:
        """2xx to the call's first INVITE; later, where a PRACK is to come first or an offer in one to be answered."""
        if self.uas is None or self.state is not State.SETUP:
            return []
        ringing = self._ringing
        if ringing is not None:
            if ringing.holds_answer or ringing.awaits_answer or self._open_offer is not None:
                self._held = (body, fields)
                return []
            ringing.stop()
            if ringing.is_settled:
                body = b""  # the answer is given once: RFC 6337 §2.2
                self.uas.settled()
        self.state = State.TALKING
        self._forks = None
        return self._answer_invite(self.uas, body, now, fields)

    def answer(self, body: bytes, now: float, fields: Fields = ()) -> list[Order]:
        """2xx with `body` to what the peer offered within the dialog: in an UPDATE, a PRACK or a re-INVITE."""
        if self._open_offer is not None:
            return self._answer_request(body, now, fields)
        if self.uas is None or self.state is State.SETUP:
            return []
        if self.uas.is_pending:
            self._refresh_target()
        return self._answer_invite(self.uas, body, now, fields)

    def _refresh_target(self) -> None:
        """ "On sending … a 2xx response", and where it is an error "the UA MUST NOT", RFC 6141 §4.6."""
        request, self._refreshing = self._refreshing, None
        dialog = (
            None if request is None else self._dialog_of(request.call_id, request.to.tag or "", request.from_.tag or "")
        )
        if request is not None and dialog is not None:
            dialog.refresh_target(request)

    def _answer_invite(self, uas: InviteUas, body: bytes, now: float, fields: Fields) -> list[Order]:
        if body:
            fields = (*fields, *SDP_TYPE)
        said = self._abilities("INVITE", now)
        return uas.answer(now, contact=self.contact, fields=(*said, *fields), body=body, features=self.features)

    def refuse_offer(self, status: int, now: float) -> list[Order]:
        """Final failure of what the peer offered last within the dialog: its UPDATE or PRACK, or its re-INVITE."""
        key, self._open_offer = self._open_offer, None
        if key is None:
            return self.refuse(status)
        self._open.discard(key)
        if key[-1] == "PRACK" and self._ringing is not None:
            self._ringing.refuse_prack()
            status = 488  # the only refusal of a PRACK that its sender may expect, RFC 6337 §2.3
        return [Respond(key, status), *self._answer_held(now)]

    def refuse(self, status: int, fields: Fields = ()) -> list[Order]:
        """Final failure of the peer's first INVITE, or a re-INVITE."""
        if self.uas is None:
            return []
        if self.state is State.SETUP:
            self.state = State.CLOSED
        if self._ringing is not None:
            self._ringing.stop()
        return self.uas.refuse(status, fields=fields)

    # --- orders of the call: egress set-up ----------------------------------------------------------------------------

    def invite_fields(self, *, reliable: bool) -> Fields:
        """What the first INVITE says of our abilities. `reliable`: its provisionals may be so."""
        rules = self.peer.session_timer
        reliable = reliable and self.peer.reliable == "offer"
        supported = SUPPORTED if reliable else UNRELIABLE
        if rules is None:
            return (supported,)
        self._timer = self._new_timer()
        return (supported, *self._timer.request_fields())

    def dial(self, invite: Request, next_hop: str, flow: Flow | None = None) -> list[Order]:
        uac = InviteUac(self._next_user(), invite, self.peer.interface)
        self._calling, self._owns_call_id = Calling(uac), True
        return self._send_invite(uac, next_hop, flow)

    def acknowledge(self, body: bytes = b"") -> list[Order]:
        """ACK the 2xx of our INVITE; `body` is the answer where that 2xx carried the offer."""
        uac = self._uac
        if uac is None:
            return []
        if self.state is State.SETUP:
            self.state = State.TALKING
            self.dialog = uac.dialog
            self._calling = None
        return uac.acknowledge(fields=SDP_TYPE if body else (), body=body, flow=self.flow)

    def prack(self, tag: str, body: bytes) -> list[Order]:
        """The answer to the offer of a reliable provisional (RFC 3262 §5) in the early dialog with this To tag."""
        found = None if self._calling is None else self._calling.answered(tag)
        if found is None:
            return []
        dialog, rack = found
        return self._request("PRACK", _PRACK, dialog, (("RAck", rack), *SDP_TYPE), body)

    # --- orders of the call: later ------------------------------------------------------------------------------------

    def offer(self, body: bytes, *, by_update: bool = False, fields: Fields = (), insists: bool = False) -> list[Order]:
        """Another offer, by re-INVITE or UPDATE; without a body a re-INVITE that asks the peer for one.

        `insists`: by re-INVITE where the peer cannot change its session within an UPDATE.
        """
        by_update = self.state is State.SETUP or (by_update and bool(body) and self.allows("UPDATE"))
        self._offering = Offering(body, "UPDATE" if by_update else "INVITE", fields, insists)
        return self._send_offer(self._offering)

    def cancel_offer(self) -> list[Order]:
        """Also what lets the transaction of an offer end that a peer never answers beyond a provisional (§9.1)."""
        if self._offering is not None:
            self._offering.tries = _GLARE_TRIES  # nobody wants it any more: a 491 is its end
        uac = self._uac
        return [] if uac is None else uac.cancel()

    @property
    def offer_waits(self) -> bool:
        """An offer of ours has met one of the peer's, and is to be sent again in a while."""
        return self._offering is not None and self._offering.retry_at is not None

    def reword_offer(self, body: bytes) -> None:
        """What waits to be sent again says this now."""
        if self._offering is not None:
            self._offering.body, self._offering.is_unsaid = body, True

    @property
    def is_offer_unsaid(self) -> bool:
        """What waits to be sent again has been reworded, and nobody has heard that yet."""
        return self._offering is not None and self._offering.is_unsaid

    def drop_offer(self) -> bool:
        """Forget an offer that waits to be sent again; False where it is on its way, and needs `cancel_offer`."""
        if not self.offer_waits:
            return False
        self._offering = None
        return True

    def ask(self, method: str, token: Hashable, fields: Fields = (), body: bytes = b"") -> list[Order]:
        """Any other request within the dialog; `LegReplied` with this token tells its end. Nothing where none is."""
        dialog = self.dialog if self._calling is None else self._calling.asked
        if dialog is None or self.state in (State.ENDING, State.CLOSED):
            return []
        if method == "UPDATE":  # each one negotiates the session timer anew, whatever it is sent for
            timer = () if self._timer is None else self._timer.request_fields()
            fields = (*self._says(), *timer, *fields)
        return self._request(method, token, dialog, fields, body)

    def reply(
        self, key: ServerKey, status: int, fields: Fields = (), body: bytes = b"", *, contact: bool = False
    ) -> list[Order]:
        """Answer what came as `LegAsked`; once. `contact`: with ours, as a 2xx to REFER and SUBSCRIBE must."""
        if key not in self._open:
            return []
        self._open.discard(key)
        return [Respond(key, status, fields=fields, body=body, contact=self.contact if contact else None)]

    def release(self, status: int, fields: Fields) -> list[Order]:
        """End it, whatever it is doing: refuse, cancel or BYE. `fields` go with it (Reason)."""
        orders = self._refuse_open() if self._open else []
        match self.state:
            case State.SETUP if self.uas is not None:
                # Where somebody answered and left while our 200 waited for a PRACK, the call's status is no refusal.
                return orders + self.refuse(status if status >= 300 else 487, fields)
            case State.SETUP:
                return orders + self._abandon_dialling(fields)
            case State.TALKING:
                return orders + self._hang_up(fields)
            case _:
                return orders

    def owes(self, key: ServerKey) -> bool:
        """It has no answer yet to this request of its peer."""
        return key in self._open

    def _refuse_open(self) -> list[Order]:
        """ "MUST respond to any pending requests … with a 487", RFC 3261 §15.1.2."""
        orders: list[Order] = [Respond(key, 487) for key in sorted(self._open)]
        self._open.clear()
        self._open_offer = None
        return orders

    def _abandon_dialling(self, fields: Fields) -> list[Order]:
        self.state = State.CLOSED
        uac = self._uac
        if uac is None:
            return []
        if uac.state is invite_uac.State.ANSWERED:  # a 2xx is here that the call no longer wants
            self.dialog = uac.dialog
            self.state = State.TALKING
            return self._hang_up(fields)
        return uac.cancel(", ".join([value for name, value in fields if name == "Reason"]) or None)

    def _hang_up(self, fields: Fields) -> list[Order]:
        self.state = State.ENDING
        self._bye_fields = fields
        orders: list[Order] = []
        uac = self._uac
        if uac is not None and uac.state is invite_uac.State.ANSWERED:
            orders += uac.acknowledge(flow=self.flow)
        orders += self.cancel_offer()
        if self.uas is not None and self.uas.is_pending:
            orders += self.uas.refuse(487)
        # "the callee's UA MUST NOT send a BYE on a confirmed dialog until it has received an ACK for its 2xx response
        # or until the server transaction times out", §15
        if self.uas is None or not self.uas.awaits_ack:
            orders += self._send_bye()
        return orders

    def _send_bye(self) -> list[Order]:
        if self.dialog is None or any(sent.token is _BYE for sent in self._asked.values()):
            return []
        return self._request("BYE", _BYE, self.dialog, self._bye_fields or ())

    def close(self) -> list[Order]:
        """End it without waiting for the peer, nor for an ACK: only when nothing else works any more."""
        was, self.state = self.state, State.CLOSED
        return self._send_bye() if was is State.ENDING else []

    # --- what the peer does: requests ---------------------------------------------------------------------------------

    def speaks_from(self, flow: Flow) -> None:
        """A peer that has registered with us, and speaks in this dialog, is now where that came from."""
        if self.flow is not None:
            self.flow = flow

    def take_request(self, key: ServerKey, request: Request, now: float) -> list[Out]:
        """A request within the dialog that has passed the general checks."""
        dialog = self._dialog_of(request.call_id, request.to.tag or "", request.from_.tag or "")
        if dialog is None or self.state is State.CLOSED:
            return [Respond(key, 481)]
        method = request.method
        if method == "OPTIONS":
            dialog.is_in_order(request)
            allow, supported = self._says()
            return [Respond(key, 200, fields=(allow, ACCEPT, supported))]
        if not dialog.is_in_order(request):
            return [self._later(key)]
        match method:
            case "BYE":
                return self._take_bye(key, request)
            case _ if self.state is State.ENDING:
                return [Respond(key, 481)]
            case "INVITE":
                return self._take_reinvite(key, request)
            case "UPDATE":
                return self._take_update(key, request, dialog, now)
            case "PRACK":
                return self._take_prack(key, request, dialog, now)
            case _:
                self._open.add(key)
                return [LegAsked(self.n, key, request)]

    def _take_bye(self, key: ServerKey, request: Request) -> list[Out]:
        outs: list[Out] = [Respond(key, 200)]
        uac = self._uac
        if uac is not None and uac.state is invite_uac.State.ANSWERED:
            # Its 2xx waits for the answer that our ACK was to bring: "the ACK is always sent", RFC 5407 §3.1.3.
            outs += self.acknowledge()
        elif self.state is State.SETUP and self.uas is None:
            # "the callee's UA MUST NOT send a BYE on early dialogs", §15: one of several may be over, and our INVITE
            # will have its final response.
            return outs
        outs += self.cancel_offer()
        was, self.state = self.state, State.CLOSED
        outs += self._refuse_open()
        if self.uas is not None:
            # "MUST respond to any pending requests … with a 487", §15.1.2; a 2xx needs no ACK any more.
            outs += self.uas.refuse(487)
            self.uas.acknowledged()
        if was is State.SETUP:
            outs.append(LegCancelled(self.n, True, request))
        elif was is State.TALKING:
            outs.append(LegHungUp(self.n, q850_of(request), request))
        return outs

    def _take_reinvite(self, key: ServerKey, request: Request) -> list[Out]:
        uas = self.uas
        if (uas is not None and uas.is_pending) or self._open_offer is not None:
            # "MUST return a 500 … with a randomly chosen value of between 0 and 10 seconds", §14.2
            return [self._later(key)]
        if self.state is not State.TALKING:
            return [Respond(key, 491)]  # our first INVITE "is in progress", §14.2, or its 2xx waits for our ACK
        outs: list[Out] = []
        if uas is not None and uas.awaits_ack and not uas.awaits_answer:
            # Its sender has had our 2xx, or it could not modify the session: the ACK was lost, or overtaken.
            uas.acknowledged()
            outs.append(LegAcknowledged(self.n, b"", uas.first))
        if self._is_busy:
            return [*outs, Respond(key, 491)]  # "an INVITE it had sent is in progress", §14.2
        refused = self._timed(request)
        if refused is not None:
            return [*outs, Respond(key, 422, fields=refused)]
        assert self.dialog is not None  # noqa: S101  TALKING has one
        self._refreshing = request
        self._note_allow(request)
        self.uas = InviteUas(key, request, self.dialog.local_tag, self._timing, first=False)
        said = LegOffered(self.n, _description(request), message=request)
        return [*outs, Adopt(key, (self.ref, self.n, 0)), *self.uas.try_(), said]

    def _take_update(self, key: ServerKey, request: Request, dialog: Dialog, now: float) -> list[Out]:
        refused = self._timed(request)
        if refused is not None:
            return [Respond(key, 422, fields=refused)]
        body = _description(request)
        if body:
            busy = self._refusal_of_offer(key, dialog)
            if busy is not None:
                return [busy]
        self._note_allow(request)
        if not body:
            dialog.refresh_target(request)
            answered = Respond(key, 200, fields=self._abilities("UPDATE", now), contact=self.contact)
            return [answered, LegOffered(self.n, b"", by_update=True, message=request)]
        self._open_offer, self._refreshing = key, request
        self._open.add(key)
        return [LegOffered(self.n, body, by_update=True, message=request)]

    def _refusal_of_offer(self, key: ServerKey, dialog: Dialog) -> Respond | None:
        """RFC 3311 §5.2: 491 where an offer of ours has no answer yet, 500 where one of the peer's has none."""
        if self._offering is not None and self._offering.retry_at is None:
            return Respond(key, 491)
        if self._open_offer is not None:
            return self._later(key)
        if self.state is State.SETUP:
            return self._refusal_of_early_offer(key, dialog)
        uas, uac = self.uas, self._uac
        if (uac is not None and not uac.is_over) or (uas is not None and uas.awaits_answer):
            return Respond(key, 491)
        return self._later(key) if uas is not None and uas.is_pending else None

    def _refusal_of_early_offer(self, key: ServerKey, dialog: Dialog) -> Respond | None:
        if self._early_dialog is not None:
            # Of several early dialogs the call follows the last that has agreed: the others are as they are.
            return None if self._early_dialog is dialog else Respond(key, 504)
        is_ours = self._calling is not None or (self._ringing is not None and self._ringing.awaits_answer)
        return Respond(key, 491) if is_ours else self._later(key)

    def _take_prack(self, key: ServerKey, request: Request, dialog: Dialog, now: float) -> list[Out]:
        ringing = self._ringing
        matched, orders = (False, []) if ringing is None else ringing.take_prack(request, now)
        body = _description(request)
        if ringing is None or not matched:
            is_again = ringing is not None and not body and ringing.has_refused(request)
            return [Respond(key, 200 if is_again else 481)]
        if ringing.awaits_answer:
            ringing.is_settled = bool(body)
            return [Respond(key, 200), *orders, LegPracked(self.n, body), *self._answer_held(now)]
        if body and self._refusal_of_offer(key, dialog) is None:
            self._open_offer = key
            self._open.add(key)
            return [*orders, LegOffered(self.n, body, by_update=True, message=request)]
        status = 488 if body else 200
        return [Respond(key, status), *orders, LegPracked(self.n, b""), *self._answer_held(now)]

    def _answer_held(self, now: float) -> list[Order]:
        if self._held is None:
            return []
        (body, fields), self._held = self._held, None
        tag, self._answers_as = self._answers_as, None
        if tag is not None:
            self.fork(tag, final=True)
        return self.accept(body, now, fields)

    def _answer_request(self, body: bytes, now: float, fields: Fields) -> list[Order]:
        """200 to an UPDATE or a PRACK that had an offer."""
        key, self._open_offer = self._open_offer, None
        if key is None or key not in self._open:
            return []
        self._open.discard(key)
        if key[-1] == "UPDATE":
            self._refresh_target()
            fields = (*self._abilities("UPDATE", now), *fields)
        contact = self.contact if key[-1] == "UPDATE" else None
        return [Respond(key, 200, fields=(*fields, *SDP_TYPE), body=body, contact=contact), *self._answer_held(now)]

    def _timed(self, request: Request) -> Fields | None:
        """What a request that refreshes says about the session timer: noted, or the fields of its refusal."""
        if self._timer is None:
            if request.header("Session-Expires") is None:
                return None
            self._timer = self._new_timer()
        refused = self._timer.refusal_of(request)
        if refused is None:
            self._timer.take_request(request)
        return refused

    def take_ack(self, request: Request) -> list[Out]:
        uas = self.uas
        if uas is None or request.cseq.number != uas.cseq:
            return []
        if not uas.acknowledged():
            return []
        outs: list[Out] = [LegAcknowledged(self.n, _description(request), uas.first)]
        if self.state is State.ENDING:
            outs += self._send_bye()
        return outs

    def take_cancel(self, cancel: Request) -> list[Out]:
        """CANCEL of the peer's INVITE; the 200 to the CANCEL itself is already out."""
        if self.uas is None or not self.uas.is_pending:
            return []
        if self.state is State.SETUP:
            open_ = self._refuse_open() if self._open else []
            return [*open_, *self.refuse(487), LegCancelled(self.n, True, cancel)]
        return [LegCancelled(self.n, False, cancel)]

    # --- what the peer does: responses --------------------------------------------------------------------------------

    def take_response(
        self, n: int, response: Response, flow: Flow, now: float, *, is_genuine: bool = True
    ) -> list[Out]:
        """`flow`: where our request went. `is_genuine`: the response came from this peer."""
        if response.status in (401, 407) and is_genuine:
            again = self._answer_challenge(n, response, flow)
            if again:
                return again
        sent = self._asked.get(n)
        if sent is not None:
            return self._take_reply(n, sent, response, now) if response.status >= 200 else []
        uac = self._uacs.get(n)
        if uac is None:
            return []
        is_first = self.state is State.SETUP
        self.heard = True
        outs: list[Out] = []
        if is_first and response.status == 100:
            return [LegTried(self.n)]
        if response.status == 422 and uac.is_pending and self._timer is not None:
            again = self._ask_for_longer(n, uac, response, flow)
            if again:
                return again
        for out in uac.receive(response, self.flow):
            outs += self._translate(uac, out, now, is_first=is_first)
        return outs

    def _answer_challenge(self, n: int, response: Response, flow: Flow) -> list[Out]:
        """The challenged request once more with credentials, to the very server that made the nonce (§22.2)."""
        uac, sent = self._uacs.get(n), self._asked.get(n)
        request = sent.request if sent is not None else uac.request if uac is not None and uac.is_pending else None
        tries = self._tries.pop(n, 0)
        if self._credentials is None or request is None:
            return []
        again = self._credentials.answer(response, request, tries)
        if again is None:
            return []
        self._tries[self.requests + 1] = tries + 1
        if sent is None:
            assert uac is not None  # noqa: S101  whose request it is
            return self._send_again(n, uac, again, flow)
        user = self._next_user()
        del self._asked[n]
        sent.request = again
        sent.dialog.local_cseq = max(sent.dialog.local_cseq, again.cseq.number)
        self._asked[user[2]] = sent
        return [self._sent(user, again, "", self._contact_of(again.method), flow)]

    def _ask_for_longer(self, n: int, uac: InviteUac, response: Response, flow: Flow) -> list[Out]:
        """422: "the UAC … SHOULD retry the request" with the Min-SE that it was told (RFC 4028 §7.3)."""
        timer, request = self._timer, uac.request
        if timer is None or not timer.is_too_small(response):
            return []
        number = request.cseq.number + 1
        kept = [field for field in request.fields if field[0] not in ("Session-Expires", "Min-SE", "CSeq")]
        fields = (*kept, ("CSeq", f"{number} INVITE"), *timer.request_fields())
        again = Request("INVITE", request.uri_text, fields, request.body)
        return self._send_again(n, uac, again, flow)

    def _send_again(self, n: int, uac: InviteUac, again: Request, flow: Flow) -> list[Out]:
        """An INVITE that was refused for what it lacked goes out once more, as a request of its own."""
        if self.dialog is not None:
            self.dialog.local_cseq = max(self.dialog.local_cseq, again.cseq.number)
        del self._uacs[n]
        uac.again(self._next_user(), again)
        said: list[Out] = [LegChallenged(self.n)] if self.state is State.SETUP else []
        return [*said, *self._send_invite(uac, "", flow)]

    def _translate(
        self, uac: InviteUac, out: Order | invite_uac.Report, now: float, *, is_first: bool
    ) -> Iterable[Out]:
        match out:
            case invite_uac.Progressed(response, tag):
                return self._progressed(uac, response, tag) if is_first else []
            case invite_uac.Accepted(response) if self.state in (State.ENDING, State.CLOSED):
                return uac.acknowledge(flow=self.flow)
            case invite_uac.Accepted(response):
                return self._accepted(response, now, is_first=is_first)
            case invite_uac.Refused(response) if self.state in (State.ENDING, State.CLOSED):
                return []
            case invite_uac.Refused(response) if is_first:
                self.state = State.CLOSED
                return [LegRefused(self.n, response.status, q850_of(response), response)]
            case invite_uac.Refused(response):
                return self._offer_refused(response, now)
            case order:
                return [order]

    def _progressed(self, uac: InviteUac, response: Response, tag: str) -> list[Out]:
        calling = self._calling
        body = _description(response)
        if calling is None:
            return []
        arrival = calling.take(response)
        if arrival is Arrival.UNRELIABLE:
            return [LegProgressed(self.n, response.status, body, tag, response)]
        if arrival is not Arrival.NEW:
            return []
        self._note_allow(response)
        has_offer = bool(uac.request.body)
        is_agreed = calling.agreed == tag
        offers = bool(body) and not has_offer and not is_agreed
        rack = calling.acknowledgment_of(response, tag, answers=bool(body) and has_offer, offers=offers)
        said = LegProgressed(self.n, response.status, b"" if is_agreed else body, tag, response, reliable=True)
        dialog = uac.early.get(tag)
        if rack is None or dialog is None:
            return [said]
        return [*self._request("PRACK", _PRACK, dialog, (("RAck", rack),)), said]

    def _accepted(self, response: Response, now: float, *, is_first: bool) -> list[Out]:
        """Our INVITE has its 2xx."""
        body = _description(response)
        self._note_allow(response)
        self._agree(response, now)
        if not is_first:
            self._offering = None
            return [LegReanswered(self.n, body, response)]
        tag = response.to.tag or ""
        if self._calling is not None and self._calling.agreed == tag:
            body = b""  # what its reliable provisional has said already, if it says anything
        return [LegAnswered(self.n, body, tag, response)]

    def _agree(self, response: Response, now: float) -> None:
        """What a 2xx says of the session timer: the peer may want one that we have not asked for (RFC 4028 §7.2)."""
        if self._timer is None:
            if response.header("Session-Expires") is None:
                return
            self._timer = self._new_timer()
        self._timer.agreed(response, now)

    def _offer_refused(self, response: Response, now: float) -> list[Out]:
        """Of a re-INVITE or UPDATE of ours."""
        offering, status = self._offering, response.status
        if offering is not None and self._meets_another(offering, response, now):
            return []
        self._offering = None
        return [LegRerefused(self.n, status, fatal=status in (408, 481))]

    def _meets_another(self, offering: Offering, response: Response, now: float) -> bool:
        """Glare: it is to be sent again (§14.1); or the peer is not done with its own, and says how long to wait."""
        if offering.tries >= _GLARE_TRIES:
            return False
        if response.status == 491:
            # "between 2.1 and 4 seconds in units of 10 ms" for the owner of the Call-ID, else "between 0 and 2 seconds"
            wait = 2.1 + self._number(191) / 100 if self._owns_call_id else self._number(201) / 100
            offering.retry_at = now + wait
            return True
        after = response.header("Retry-After") if response.status == 500 else None
        seconds = "" if after is None else after.partition(";")[0].partition("(")[0].strip()
        if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 2 and int(seconds) <= 10):
            return False
        offering.retry_at = now + max(int(seconds), 0.1)
        return True

    def _take_reply(self, n: int, sent: Sent, response: Response, now: float) -> list[Out]:
        del self._asked[n]
        if sent.token is _BYE:
            self.state = State.CLOSED
            return []
        if self.state in (State.ENDING, State.CLOSED) or sent.token is _PRACK:
            return []
        if sent.token is _REFRESH:
            return self._refreshed(sent, response, now)
        if sent.token is not _OFFER:
            if sent.request.method == "UPDATE" and response.status < 300 and self.state is State.TALKING:
                sent.dialog.refresh_target(response)
                self._agree(response, now)
            return [LegReplied(self.n, sent.token, response)]
        if response.status == 422 and self._timer is not None and self._timer.is_too_small(response):
            return [] if self._offering is None else [*self._send_offer(self._offering)]
        if self._offering is not None and self.state is State.TALKING and self._goes_by_reinvite(response.status):
            self._offering.method = "INVITE"
            return [*self._send_offer(self._offering)]
        if response.status >= 300:
            return self._offer_refused(response, now)
        return self._updated(sent, response, now)

    def _goes_by_reinvite(self, status: int) -> bool:
        """The UPDATE that had our offer was refused so that a re-INVITE may still bring it."""
        if status in (405, 501):
            self._forget_update()
            return True
        # "If the UAS cannot change the session parameters without prompting the user, it SHOULD reject the request with
        # a 504 response", RFC 3311 §5.2.
        return status == 504 and self._offering is not None and self._offering.insists

    def _updated(self, sent: Sent, response: Response, now: float) -> list[Out]:
        """2xx to an UPDATE with our offer."""
        sent.dialog.refresh_target(response)
        if self.state is State.TALKING:
            self._agree(response, now)
        self._offering = None
        return [LegReanswered(self.n, _description(response), response, by_update=True)]

    def _refreshed(self, sent: Sent, response: Response, now: float) -> list[Out]:
        timer, status = self._timer, response.status
        if timer is None:
            return []
        if status < 300:
            sent.dialog.refresh_target(response)
            timer.agreed(response, now)
            return []
        if status in (408, 481):
            return [LegExpired(self.n)]  # "SHOULD send a BYE", RFC 4028 §10
        if status == 422 and timer.is_too_small(response):
            return self._refresh()
        if status in (405, 501):
            self._forget_update()
            return [LegRefreshDue(self.n)]
        timer.refresh_failed(now)
        return []

    def take_loss(self, detail: str, n: int) -> list[Out]:
        """The connection of an INVITE of ours is gone while only its 100 was here."""
        uac = self._uacs.get(n)
        if self.state is not State.SETUP or uac is None or not uac.is_pending:
            return []
        return [LegDisconnected(self.n, detail)]

    def take_failure(self, failure: TransactionFailed, n: int) -> list[Out]:
        """A transaction of ours ended without a final response."""
        sent = self._asked.pop(n, None)
        if sent is not None:
            return self._failed_to_ask(sent)
        uac = self._uacs.get(n)
        if uac is None or not uac.fail():
            return []
        cause = Cause.UNREACHABLE if failure.why == "transport" else Cause.NO_REPLY
        if self.state is State.SETUP:
            self.state = State.CLOSED
            return [LegFailed(self.n, cause, failure.detail)]
        self._offering = None
        return [LegRerefused(self.n, cause.status, fatal=True)]

    def _failed_to_ask(self, sent: Sent) -> list[Out]:
        if sent.token is _BYE:
            self.state = State.CLOSED
            return []
        if self.state in (State.ENDING, State.CLOSED) or sent.token is _PRACK:
            return []
        if sent.token is _REFRESH:
            return [LegExpired(self.n)]
        if sent.token is _OFFER:
            self._offering = None
            return [LegRerefused(self.n, 408, fatal=True)]
        return [LegReplied(self.n, sent.token, None)]

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        if self.uas is not None:
            for out in self.uas.tick(now):
                outs += self._ack_missing() if isinstance(out, AckMissing) else [out]
        if self._ringing is not None and self.state is State.SETUP:
            for one in self._ringing.tick(now):
                # "the UAS SHOULD reject the original request with a 5xx response", RFC 3262 §3
                outs += [*self.refuse(504), LegUnacknowledged(self.n)] if isinstance(one, PrackMissing) else [one]
        offering = self._offering
        if offering is not None and offering.retry_at is not None and now >= offering.retry_at:
            outs += self._offer_again(offering, now)
        if self._timer is not None and self.state is State.TALKING:
            for due in self._timer.tick(now):
                outs += self._refresh() if isinstance(due, RefreshDue) else [LegExpired(self.n)]
        return outs

    def next_deadline(self) -> float | None:
        at = None if self.uas is None else self.uas.next_deadline()
        if self._ringing is not None and self.state is State.SETUP:
            at = earlier(at, self._ringing.next_deadline())
        if self._offering is not None:
            at = earlier(at, self._offering.retry_at)
        if self._timer is not None and self.state is State.TALKING:
            at = earlier(at, self._timer.next_deadline())
        return at

    def refresh_failed(self, now: float) -> None:
        """The re-INVITE that `LegRefreshDue` asked for could not be sent, or was refused: another try is due later."""
        if self._timer is not None:
            self._timer.refresh_failed(now)

    def _ack_missing(self) -> list[Out]:
        return [*self._send_bye()] if self.state is State.ENDING else [LegUnacknowledged(self.n)]

    def _offer_again(self, offering: Offering, now: float) -> list[Out]:
        if self.state not in (State.TALKING, State.SETUP):
            self._offering = None
            return []
        is_busy = self.state is State.TALKING and self._is_busy  # before that an UPDATE needs no INVITE to be over
        if is_busy or self._open_offer is not None:
            offering.retry_at = now + 0.5  # the peer's own came first, and is under way
            return []
        return [*self._send_offer(offering)]

    def _refresh(self) -> list[Out]:
        """By UPDATE without an offer where the peer has it (RFC 4028 §7.4); else the call sees to a re-INVITE."""
        timer = self._timer
        if timer is None or self.dialog is None:
            return []
        if not self.allows("UPDATE"):
            return [LegRefreshDue(self.n)]
        return [*self._request("UPDATE", _REFRESH, self.dialog, (*self._says(), *timer.request_fields()))]

    # --- inside -------------------------------------------------------------------------------------------------------

    def _says(self) -> tuple[tuple[str, str], tuple[str, str]]:
        return (allow_field(self.peer.methods), SUPPORTED if self.peer.reliable == "offer" else UNRELIABLE)

    def _abilities(self, method: str, now: float) -> Fields:
        """What a 2xx to an INVITE or UPDATE says: what we can, and the session timer."""
        said = self._says()
        return said if self._timer is None else (*said, *self._timer.response_fields(now, method=method))

    def _new_timer(self) -> SessionTimer:
        rules = self.peer.session_timer
        return SessionTimer(SessionTimerRules() if rules is None else SessionTimerRules(rules.expires, rules.minimum))

    def _note_allow(self, message: Request | Response) -> None:
        said = message.headers("Allow")
        if said:
            self._allow = said[0] if len(said) == 1 else ",".join(said)

    def _forget_update(self) -> None:
        """The peer's Allow has named it, and yet it does not know it."""
        self._allow = frozenset([name for name in self.peer.methods if name != "UPDATE" and self.allows(name)])

    def _later(self, key: ServerKey) -> Respond:
        return Respond(key, 500, fields=(("Retry-After", str(self._number(11))),))

    def _dialog_of(self, call_id: str, local_tag: str, remote_tag: str) -> Dialog | None:
        dialog = self.dialog
        if dialog is None:
            uac = self._uac  # the dialog of a 2xx that waits for our ACK, or an early one
            dialog = None if uac is None else uac.dialog or uac.early.get(remote_tag)
        elif self._forks is not None:
            dialog = self._forks[local_tag][0] if local_tag in self._forks else None
        if dialog is None or dialog.call_id != call_id or dialog.remote_tag != remote_tag:
            return None
        return dialog

    def _next_user(self) -> tuple[str, int, int]:
        self.requests += 1
        return (self.ref, self.n, self.requests)

    def _contact_of(self, method: str) -> str | None:
        """Which of our requests refresh the target, or make one, and so need a Contact (RFC 3261 §12.2.1, table 2)."""
        return self.contact if method in ("INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER") else None

    def _request(
        self, method: str, token: Hashable, dialog: Dialog, fields: Fields = (), body: bytes = b""
    ) -> list[Order]:
        user = self._next_user()
        request = dialog.request(method, fields=fields, body=body)
        self._asked[user[2]] = Sent(token, request, dialog)
        contact = self._contact_of(method)
        return [self._sent(user, request, dialog.next_hop, contact, self.flow)]

    def _send_offer(self, offering: Offering) -> list[Order]:
        offering.tries += 1
        offering.retry_at, offering.is_unsaid = None, False
        timer = () if self._timer is None else self._timer.request_fields()
        type_ = SDP_TYPE if offering.body else ()
        if offering.method == "UPDATE":
            fields = (*self._says(), *timer, *offering.fields, *type_)
            dialog = self._early_dialog if self.state is State.SETUP else self.dialog
            return [] if dialog is None else self._request("UPDATE", _OFFER, dialog, fields, offering.body)
        if self.dialog is None:
            return []
        # The answer is to be in the 2xx: a re-INVITE asks for no reliable provisionals.
        fields = (allow_field(self.peer.methods), UNRELIABLE, *timer, *offering.fields, *type_)
        request = self.dialog.request("INVITE", fields=fields, body=offering.body)
        uac = InviteUac(self._next_user(), request, self.peer.interface, self.dialog)
        return self._send_invite(uac, self.dialog.next_hop, self.flow)

    def _send_invite(self, uac: InviteUac, next_hop: str, flow: Flow | None) -> list[Order]:
        self._uacs[self.requests] = uac
        while len(self._uacs) > _KEPT_INVITES:
            del self._uacs[min(self._uacs)]
        return [self._sent(uac.user, uac.request, next_hop, self.contact, flow)]

    def _sent(
        self, user: Hashable, request: Request, next_hop: str, contact: str | None, flow: Flow | None
    ) -> SendRequest:
        return SendRequest(user, request, self.peer.interface, next_hop, contact, flow, features=self.features)


def _description(message: Request | Response) -> bytes:
    """The session description that a peer sent, also within a multipart body; nothing where that cannot be read."""
    if not message.body:
        return b""
    try:
        return description_of(message)
    except ParseError:
        return b""
