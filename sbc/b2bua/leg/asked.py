"""What the peer asks within the dialog of a leg, until the call has answered: offers above all.

A re-INVITE (RFC 3261 §14.2), an UPDATE or a PRACK with an offer (RFC 3311 §5.2, RFC 3262 §5): who has to wait for whom
is decided here. Other requests are kept until their reply. BYE is `leaving`'s, our own offers are `offering`'s. The leg
uses it.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from sbc.b2bua.leg.described import SDP_TYPE, description
from sbc.b2bua.leg.reached import OVERHEARD
from sbc.b2bua.leg.state import Out, State
from sbc.b2bua.reports import LegAcknowledged, LegAsked, LegCancelled, LegOffered
from sbc.sip.commands import Adopt, Order, Respond
from sbc.sip.dialog.dialog import Dialog
from sbc.sip.dialog.invite_uas import InviteUas
from sbc.sip.message import Fields, Request
from sbc.sip.transaction.key import ServerKey

if TYPE_CHECKING:
    from sbc.b2bua.leg.leg import Leg


_REPEATABLE: Final = frozenset(("SUBSCRIBE",))  # may be acted upon twice; its answer says more than a status


class Answered(Struct, frozen=True):
    """A request of the peer, by CSeq and method, and what we have said to it."""

    cseq: int
    method: str
    status: int


class Asked:
    """`answered`: the last request that has crossed, or was acted upon, and has its answer. Should it come once more
    after our death, then because that answer was lost: it gets the same, and nothing is done twice.
    """

    __slots__ = ("_earlier", "_leg", "_moves", "_offer", "_open", "answered")

    def __init__(self, leg: "Leg") -> None:
        self._leg = leg
        self.answered: Answered | None = None
        self._earlier: Answered | None = None  # … in an earlier life: in this one its transaction knows it
        # Requests of the peer that the call is to answer; with CSeq and method, where to act upon one twice does harm.
        self._open: dict[ServerKey, tuple[int, str] | None] = {}
        self._offer: ServerKey | None = None  # its UPDATE or PRACK with an offer
        self._moves: Request | None = None  # its INVITE or UPDATE that moves the target, once it has its 2xx

    @property
    def is_offered(self) -> bool:
        """An UPDATE or PRACK with an offer waits for the call's answer."""
        return self._offer is not None

    def owes(self, key: ServerKey) -> bool:
        """The peer has no answer yet to this request."""
        return key in self._open

    @property
    def open(self) -> Iterable[ServerKey]:
        """Requests of the peer that have no answer yet."""
        return self._open

    def restore(self, answered: Answered | None) -> None:
        """In another life of this program."""
        self.answered = self._earlier = answered

    # --- what the peer does -------------------------------------------------------------------------------------------

    def take(self, key: ServerKey, request: Request, now: float) -> list[Out]:
        leg = self._leg
        dialog = leg.dialog_of(request)
        method = request.method
        if dialog is None or leg.state is State.CLOSED:
            # One that comes again in another life of ours was answered in the one before.
            is_again = dialog is not None and method == "BYE" and request.cseq.number == dialog.remote_cseq
            return [Respond(key, 200 if is_again else 481)]
        if method == "OPTIONS":
            dialog.is_in_order(request)
            return [Respond(key, 200, fields=leg.abilities.fields_of_options())]
        if not dialog.is_in_order(request):
            return [self._later(key)]
        if leg.reached.would_tell_keys(request, leg.peer):
            status, fields = OVERHEARD
            return [Respond(key, status, fields=fields)]
        match method:
            case "BYE":
                return leg.leaving.take_bye(key, request)
            case _ if leg.state is State.ENDING:
                return [Respond(key, 481)]
            case "INVITE":
                return self._take_reinvite(key, request)
            case "UPDATE":
                return self._take_update(key, request, dialog, now)
            case "PRACK":
                return self._take_prack(key, request, dialog, now)
            case _:
                return self._take_other(key, request)

    def _take_other(self, key: ServerKey, request: Request) -> list[Out]:
        number, method, known = request.cseq.number, request.method, self._earlier
        if known is not None and known.cseq == number and known.method == method:
            return [Respond(key, known.status, contact=self._leg.contact if method == "REFER" else None)]
        self._open[key] = None if method in _REPEATABLE else (number, method)
        return [LegAsked(self._leg.n, key, request)]

    def take_ack(self, request: Request) -> list[Out]:
        leg = self._leg
        uas = leg.uas
        if uas is None or request.cseq.number != uas.cseq:
            return []
        if not uas.acknowledged():
            return []
        outs: list[Out] = [LegAcknowledged(leg.n, description(request), uas.first)]
        if leg.state is State.ENDING:
            outs += leg.leaving.send_bye()
        return outs

    def take_cancel(self, cancel: Request) -> list[Out]:
        leg = self._leg
        if leg.uas is None or not leg.uas.is_pending:
            return []
        if leg.state is State.SETUP:
            return [*self.refuse_all(), *leg.refuse(487), LegCancelled(leg.n, True, cancel)]
        return [LegCancelled(leg.n, False, cancel)]

    def _take_reinvite(self, key: ServerKey, request: Request) -> list[Out]:
        leg = self._leg
        uas = leg.uas
        if (uas is not None and uas.is_pending) or self.is_offered:
            # "MUST return a 500 … with a randomly chosen value of between 0 and 10 seconds", §14.2
            return [self._later(key)]
        if leg.state is not State.TALKING:
            return [Respond(key, 491)]  # our first INVITE "is in progress", §14.2, or its 2xx waits for our ACK
        outs: list[Out] = []
        if uas is not None and uas.awaits_ack and not uas.awaits_answer:
            # Its sender has had our 2xx, or it could not modify the session: the ACK was lost, or overtaken.
            uas.acknowledged()
            outs.append(LegAcknowledged(leg.n, b"", uas.first))
        if leg.is_busy:
            return [*outs, Respond(key, 491)]  # "an INVITE it had sent is in progress", §14.2
        refused = leg.refreshing.take(request)
        if refused is not None:
            return [*outs, Respond(key, 422, fields=refused)]
        return [*outs, *self._begin_reinvite(key, request)]

    def _begin_reinvite(self, key: ServerKey, request: Request) -> list[Out]:
        leg = self._leg
        assert leg.dialog is not None  # noqa: S101  TALKING has one
        self._moves = request
        leg.abilities.note(request)
        leg.uas = InviteUas(key, request, leg.dialog.local_tag, leg.timing, first=False)
        said = LegOffered(leg.n, description(request), message=request)
        return [Adopt(key, (leg.ref, leg.n, 0)), *leg.uas.try_(), said]

    def _take_update(self, key: ServerKey, request: Request, dialog: Dialog, now: float) -> list[Out]:
        leg = self._leg
        refused = leg.refreshing.take(request)
        if refused is not None:
            return [Respond(key, 422, fields=refused)]
        body = description(request)
        if body:
            busy = self.refusal_of_offer(key, dialog)
            if busy is not None:
                return [busy]
        leg.abilities.note(request)
        if not body:
            dialog.refresh_target(request)
            answered = Respond(key, 200, fields=leg.agreed_fields("UPDATE", now), contact=leg.contact)
            return [answered, LegOffered(leg.n, b"", by_update=True, message=request)]
        self._moves = request
        return [self.offered(key, request, body)]

    def _take_prack(self, key: ServerKey, request: Request, dialog: Dialog, now: float) -> list[Out]:
        answering = self._leg.answering
        return [Respond(key, 481)] if answering is None else answering.take_prack(key, request, dialog, now)

    def offered(self, key: ServerKey, request: Request, body: bytes) -> Out:
        """By UPDATE or PRACK; the call is to answer."""
        self._offer = key
        self._open[key] = None
        return LegOffered(self._leg.n, body, by_update=True, message=request)

    def refusal_of_offer(self, key: ServerKey, dialog: Dialog) -> Respond | None:
        """RFC 3311 §5.2: 491 where an offer of ours has no answer yet, 500 where one of the peer's has none."""
        leg = self._leg
        if leg.offering.is_out:
            return Respond(key, 491)
        if self.is_offered:
            return self._later(key)
        if leg.state is State.SETUP:
            return self._refusal_of_early_offer(key, dialog)
        uas, uac = leg.uas, leg.sending.uac
        if (uac is not None and not uac.is_over) or (uas is not None and uas.awaits_answer):
            return Respond(key, 491)
        return self._later(key) if uas is not None and uas.is_pending else None

    def _refusal_of_early_offer(self, key: ServerKey, dialog: Dialog) -> Respond | None:
        leg = self._leg
        if leg.early_dialog is not None:
            # Of several early dialogs the call follows the last that has agreed: the others are as they are.
            return None if leg.early_dialog is dialog else Respond(key, 504)
        is_ours = leg.dialling is not None or (leg.answering is not None and leg.answering.awaits_answer)
        return Respond(key, 491) if is_ours else self._later(key)

    def _later(self, key: ServerKey) -> Respond:
        """It may be sent again in a while, and then be answered."""
        return Respond(key, 500, fields=(("Retry-After", str(self._leg.number(11))),))

    # --- what the call answers ----------------------------------------------------------------------------------------

    def reply(self, key: ServerKey, status: int, fields: Fields, body: bytes, contact: str | None) -> list[Order]:
        if key not in self._open:
            return []
        asked = self._open.pop(key)
        if asked is not None:
            self.answered = Answered(*asked, status)
        return [Respond(key, status, fields=fields, body=body, contact=contact)]

    def answer(self, body: bytes, now: float, fields: Fields) -> list[Order]:
        """2xx with `body` to what the peer offered: in an UPDATE, a PRACK or a re-INVITE."""
        leg = self._leg
        if self.is_offered:
            return self._answer_request(body, now, fields)
        if leg.uas is None or leg.state is State.SETUP:
            return []
        if leg.uas.is_pending:
            self._move_target()
        return leg.answer_invite(leg.uas, body, now, fields)

    def _answer_request(self, body: bytes, now: float, fields: Fields) -> list[Order]:
        """200 to an UPDATE or a PRACK that had an offer."""
        leg = self._leg
        key, self._offer = self._offer, None
        if key is None or key not in self._open:
            return []
        del self._open[key]
        contact = None
        if key[-1] == "UPDATE":
            self._move_target()
            fields, contact = (*leg.agreed_fields("UPDATE", now), *fields), leg.contact
        return [Respond(key, 200, fields=(*fields, *SDP_TYPE), body=body, contact=contact), *leg.accept_held(now)]

    def _move_target(self) -> None:
        """ "On sending … a 2xx response", and where it is an error "the UA MUST NOT", RFC 6141 §4.6."""
        request, self._moves = self._moves, None
        dialog = None if request is None else self._leg.dialog_of(request)
        if request is not None and dialog is not None:
            dialog.refresh_target(request)

    def refuse(self, status: int, now: float) -> list[Order]:
        """Final failure of what the peer offered last: its UPDATE or PRACK, or its re-INVITE."""
        leg = self._leg
        key, self._offer = self._offer, None
        if key is None:
            return leg.refuse(status)
        self._open.pop(key, None)
        if key[-1] == "PRACK" and leg.answering is not None:
            leg.answering.refuse_prack()
            status = 488  # the only refusal of a PRACK that its sender may expect, RFC 6337 §2.3
        return [Respond(key, status), *leg.accept_held(now)]

    def refuse_all(self) -> list[Order]:
        """ "MUST respond to any pending requests … with a 487", RFC 3261 §15.1.2."""
        self._offer = None
        if not self._open:
            return []
        orders: list[Order] = [Respond(key, 487) for key in sorted(self._open)]
        self._open.clear()
        return orders
