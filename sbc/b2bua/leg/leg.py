"""One leg of a call: a dialog with its INVITEs, its other requests and its BYE (RFC 3261 §12 to §15, RFC 3311, 3262).

It turns the call's orders into requests and responses, and what the peer does into reports. It answers challenges
(§22), keeps the session timer (RFC 4028) and hides glare (§14.1): an offer of ours that met one of the peer's is sent
again by itself. It opens no media, decides nothing about the call, and has never heard of the other leg.

The call sees only this file. Each part has a concern of its own, belongs to one leg and finds the other parts there:
`answering` or `dialling` the first INVITE; `offering` our offers after that, and `asked` what the peer offers and asks;
`sending` our requests, and `replies` what becomes of them; `refreshing` the session timer; `leaving` the end;
`abilities` what each of the two understands; `reached` how.
"""

from collections.abc import Callable, Hashable

from sbc.b2bua.leg import replies
from sbc.b2bua.leg.abilities import Abilities
from sbc.b2bua.leg.answering import Answering
from sbc.b2bua.leg.asked import Asked
from sbc.b2bua.leg.described import SDP_TYPE, labelled
from sbc.b2bua.leg.dialling import Dialling
from sbc.b2bua.leg.leaving import Leaving
from sbc.b2bua.leg.offering import Offering
from sbc.b2bua.leg.reached import Reached
from sbc.b2bua.leg.refreshing import Refreshing
from sbc.b2bua.leg.sending import Sending
from sbc.b2bua.leg.state import Out, State
from sbc.b2bua.leg.waking import Waking, take_stray
from sbc.b2bua.reports import LegUnacknowledged
from sbc.core.address import Flow
from sbc.core.timers import earlier
from sbc.policy.model import Peer
from sbc.sip.auth.client import Authenticator
from sbc.sip.commands import Order
from sbc.sip.dialog import invite_uac
from sbc.sip.dialog.dialog import Dialog
from sbc.sip.dialog.invite_uas import AckMissing, InviteUas
from sbc.sip.message import Fields, Request, Response
from sbc.sip.timing import Timing
from sbc.sip.transaction.key import ServerKey
from sbc.sip.transaction.layer import TransactionLayer
from sbc.sip.transaction.outputs import TransactionFailed


class Leg:
    """`contact` is the user part of our Contact on this leg, escaped; (`ref`, `n`) begins its transactions' users.

    `credentials` answer the peer's challenges. `flow`: where a peer that has registered with us is reached; its Contact
    may be an address behind a NAT. `heard`: the peer has said anything to our INVITE. `uas`: the peer's INVITE of last.
    `number`: a random integer below its argument. `ref` and `n` change when another call takes the leg in.
    """

    __slots__ = (
        "abilities",
        "answering",
        "asked",
        "contact",
        "dialling",
        "dialog",
        "features",
        "flow",
        "heard",
        "leaving",
        "n",
        "number",
        "offering",
        "peer",
        "reached",
        "ref",
        "refreshing",
        "sending",
        "state",
        "timing",
        "uas",
        "waking",
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
        # for its parts
        self.number = number
        self.timing = timing
        self.abilities = Abilities(peer)
        self.reached = Reached()
        self.sending = Sending(self, credentials)
        self.refreshing = Refreshing(self)
        self.offering = Offering(self)
        self.asked = Asked(self)
        self.leaving = Leaving(self)
        self.answering: Answering | None = None  # one of the two, or none: the silent leg of a call without a caller
        self.dialling: Dialling | None = None
        self.waking: Waking | None = None  # in another life of the program, until it resumes

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
        uac = self.sending.uac
        return self.is_closed and (uac is None or uac.is_over)

    def is_remembered(self, layer: TransactionLayer) -> bool:
        """Something of it is to be known in another life; also our refusal of its INVITE, until that has its ACK."""
        return not self.is_quiet or (self.uas is not None and layer.has(self.uas.key))

    @property
    def is_modifiable(self) -> bool:
        """Whether an offer may be sent on it now (RFC 3261 §14.1, RFC 3311 §5.1)."""
        if self.offering.is_active or self.asked.is_offered:
            return False
        if self.state is State.TALKING:
            return not self.is_busy
        return self.state is State.SETUP and self.early_dialog is not None and self.allows("UPDATE")

    @property
    def awaits_prack(self) -> bool:
        """A provisional of ours has no PRACK yet."""
        return self.answering is not None and self.answering.awaits_prack

    @property
    def has_answered_early(self) -> bool:
        """A reliable provisional of ours has had the answer, so that its 2xx in the same early dialog has none."""
        return self.answering is not None and self.answering.has_answered

    @property
    def takes_reliable(self) -> bool:
        """Its peer understands reliable provisionals of ours."""
        return self.answering is not None and self.answering.is_reliable

    @property
    def owes_answer(self) -> bool:
        """Its peer's 2xx to an INVITE of ours without offer waits for our ACK."""
        uac = self.sending.uac
        return uac is not None and self.has_unacknowledged and not uac.request.body

    @property
    def offer_waits(self) -> bool:
        """An offer of ours has met one of the peer's, and is to be sent again in a while."""
        return self.offering.waits

    @property
    def is_offer_unsaid(self) -> bool:
        """What waits to be sent again has been reworded, and nobody has heard that yet."""
        return self.offering.is_unsaid

    def owes(self, key: ServerKey) -> bool:
        """It has no answer yet to this request of its peer."""
        return self.asked.owes(key)

    def allows(self, method: str) -> bool:
        """What the peer's Allow has said."""
        return self.abilities.allows(method)

    def has_dialog(self, call_id: str, local_tag: str, remote_tag: str) -> bool:
        """Whether a request with these ids is for it: in its dialog, or an early one."""
        return self._dialog(call_id, local_tag, remote_tag) is not None

    # --- orders of the call: the peer's first INVITE ------------------------------------------------------------------

    def take_invite(self, key: ServerKey, request: Request, local_tag: str) -> list[Order]:
        """The call's first INVITE: 100 at once, and the dialog that our responses will make."""
        self.reached.invited(request)
        self.answering = Answering(self)
        return self.answering.take_invite(key, request, local_tag)

    def refused_for_its_timer(self, request: Request) -> list[Order]:
        """422 where the first INVITE wants to be refreshed too often (RFC 4028 §9); nothing: it does not."""
        fields = self.refreshing.refusal_of(request)
        return [] if fields is None else self.refuse(422, fields)

    def fork(self, tag: str, *, final: bool = False) -> bool:
        """Go on in another early dialog with the caller: another callee's description differs (RFC 3261 §12.1).

        False where that must not be now: a provisional waits for its PRACK. `final`: the 2xx is to be sent there, as
        soon as it may be.
        """
        return self.answering is not None and self.answering.fork(tag, final=final)

    def ring(self, status: int, body: bytes, now: float, fields: Fields = ()) -> list[Order]:
        return [] if self.answering is None else self.answering.ring(status, body, now, fields)

    def accept(self, body: bytes, now: float, fields: Fields = ()) -> list[Order]:
        """2xx to the call's first INVITE; later, where a PRACK is to come first or an offer in one to be answered."""
        return [] if self.answering is None else self.answering.accept(body, now, fields)

    def refuse(self, status: int, fields: Fields = ()) -> list[Order]:
        """Final failure of the peer's first INVITE, or a re-INVITE."""
        if self.uas is None:
            return []
        if self.state is State.SETUP:
            self.state = State.CLOSED
        if self.answering is not None:
            self.answering.stop()
        return self.uas.refuse(status, fields=fields)

    # --- orders of the call: our first INVITE -------------------------------------------------------------------------

    def invite_fields(self, *, reliable: bool) -> Fields:
        """What the first INVITE says of our abilities. `reliable`: its provisionals may be so."""
        return (*self.abilities.fields_of_invite(reliable=reliable), *self.refreshing.fields_of_invite())

    def dial(self, invite: Request, next_hop: str, flow: Flow | None = None) -> list[Order]:
        uac, orders = self.sending.invite(invite, next_hop, flow)
        self.dialling = Dialling(self, uac)
        return orders

    def prack(self, tag: str, body: bytes) -> list[Order]:
        """The answer to the offer of a reliable provisional (RFC 3262 §5) in the early dialog with this To tag."""
        return [] if self.dialling is None else self.dialling.prack(tag, body)

    def acknowledge(self, body: bytes = b"") -> list[Order]:
        """ACK the 2xx of our INVITE; `body` is the answer where that 2xx carried the offer."""
        uac = self.sending.uac
        if uac is None:
            return []
        if self.state is State.SETUP:
            self.state = State.TALKING
            self.dialog = uac.dialog
        return uac.acknowledge(fields=SDP_TYPE if body else (), body=body, flow=self.flow)

    # --- orders of the call: later ------------------------------------------------------------------------------------

    def offer(self, body: bytes, *, by_update: bool = False, fields: Fields = (), insists: bool = False) -> list[Order]:
        """Another offer, by re-INVITE or UPDATE; without a body a re-INVITE that asks the peer for one.

        `insists`: by re-INVITE where the peer cannot change its session within an UPDATE.
        """
        by_update = self.state is State.SETUP or (by_update and bool(body) and self.allows("UPDATE"))
        return self.offering.send(body, fields, by_update=by_update, insists=insists)

    def cancel_offer(self) -> list[Order]:
        """Also what lets the transaction of an offer end that a peer never answers beyond a provisional (§9.1)."""
        self.offering.give_up()
        uac = self.sending.uac
        return [] if uac is None else uac.cancel()

    def reword_offer(self, body: bytes) -> None:
        """What waits to be sent again says this now."""
        self.offering.reword(body)

    def drop_offer(self) -> bool:
        """Forget an offer that waits to be sent again; False where it is on its way, and needs `cancel_offer`."""
        return self.offering.drop()

    def refresh_failed(self, now: float) -> None:
        """The re-INVITE that `LegRefreshDue` asked for could not be sent, or was refused: another try is due later."""
        self.refreshing.failed(now)

    def answer(self, body: bytes, now: float, fields: Fields = ()) -> list[Order]:
        """2xx with `body` to what the peer offered within the dialog: in an UPDATE, a PRACK or a re-INVITE."""
        return self.asked.answer(body, now, fields)

    def refuse_offer(self, status: int, now: float) -> list[Order]:
        """Final failure of what the peer offered last within the dialog: its UPDATE or PRACK, or its re-INVITE."""
        return self.asked.refuse(status, now)

    def ask(self, method: str, token: Hashable, fields: Fields = (), body: bytes = b"") -> list[Order]:
        """Any other request within the dialog; `LegReplied` with this token tells its end. Nothing where none is."""
        dialog = self.dialling.asked if self.dialog is None and self.dialling is not None else self.dialog
        if dialog is None or self.state in (State.ENDING, State.CLOSED):
            return []
        if method == "UPDATE":  # each one negotiates the session timer anew, whatever it is sent for
            fields = (*self.abilities.fields(), *self.refreshing.request_fields(), *fields)
        return self.sending.ask(method, token, dialog, fields, body)

    def reply(
        self, key: ServerKey, status: int, fields: Fields = (), body: bytes = b"", *, contact: bool = False
    ) -> list[Order]:
        """Answer what came as `LegAsked`; once. `contact`: with ours, as a 2xx to REFER and SUBSCRIBE must."""
        return self.asked.reply(key, status, fields, body, self.contact if contact else None)

    def release(self, status: int, fields: Fields) -> list[Order]:
        """End it, whatever it is doing: refuse, cancel or BYE. `fields` go with it (Reason)."""
        waking, self.waking = self.waking, None
        known = [] if waking is None else waking.known_again()
        return known + self.leaving.release(status, fields)

    def close(self) -> list[Order]:
        """End it without waiting for the peer, nor for an ACK: only when nothing else works any more."""
        was, self.state = self.state, State.CLOSED
        return self.leaving.send_bye() if was is State.ENDING else []

    # --- what the peer does -------------------------------------------------------------------------------------------

    def speaks_from(self, flow: Flow) -> None:
        """A peer that has registered with us, and speaks in this dialog, is now where that came from. Requests over TLS
        go by the connection that it uses, as long as that leads where its Contact says.
        """
        self.flow = self.reached.spoke(flow, self.flow)

    def moves_to(self, flow: Flow) -> list[Order]:
        """A peer that has registered with us has come back by another way."""
        if not self.reached.takes(flow):
            return []
        self.flow = flow
        return self.leaving.peer_is_back()

    def take_request(self, key: ServerKey, request: Request, now: float) -> list[Out]:
        """A request within the dialog that has passed the general checks."""
        return self.asked.take(key, request, now)

    def take_ack(self, request: Request) -> list[Out]:
        return self.asked.take_ack(request)

    def take_cancel(self, cancel: Request) -> list[Out]:
        """CANCEL of the peer's INVITE; the 200 to the CANCEL itself is already out."""
        return self.asked.take_cancel(cancel)

    def take_response(
        self, n: int, response: Response, flow: Flow, now: float, *, is_genuine: bool = True
    ) -> list[Out]:
        """`flow`: where our request went. `is_genuine`: the response came from this peer."""
        return replies.take_response(self, n, response, flow, now, is_genuine=is_genuine)

    def take_loss(self, detail: str, n: int) -> list[Out]:
        """The connection of an INVITE of ours is gone while only its 100 was here."""
        return replies.take_loss(self, detail, n)

    def take_stray(self, response: Response) -> list[Order]:
        """A 2xx to an INVITE that no transaction of ours knows."""
        return take_stray(self, response)

    def take_failure(self, failure: TransactionFailed, n: int, now: float) -> list[Out]:
        """A transaction of ours ended without a final response."""
        return replies.take_failure(self, failure, n, now)

    # --- time ---------------------------------------------------------------------------------------------------------

    def resume(self, now: float, *, is_answer_due: bool = False) -> list[Out]:
        """Once, after it was made of a value (`saved`): what its peer has waited for while we were dead.

        `is_answer_due`: the caller's ACK is to bring the answer to what a 2xx has offered.
        """
        waking, self.waking = self.waking, None
        return [] if waking is None else waking.resume(now, is_answer_due=is_answer_due)

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        if self.uas is not None:
            for out in self.uas.tick(now):
                outs += self._ack_missing(out) if isinstance(out, AckMissing) else [out]
        if self.answering is not None:
            outs += self.answering.tick(now)
        outs += self.offering.tick(now)
        if self.state is State.TALKING:
            outs += self.refreshing.tick(now)
        elif self.state is State.ENDING:
            self.leaving.tick(now)
        return outs

    def _ack_missing(self, missing: AckMissing) -> list[Out]:
        if self.state is State.ENDING:
            return [*self.leaving.send_bye()]
        return [] if missing.is_unsure else [LegUnacknowledged(self.n)]

    def next_deadline(self) -> float | None:
        at = None if self.uas is None else self.uas.next_deadline()
        if self.state is State.SETUP:
            if self.answering is not None:
                at = earlier(at, self.answering.next_deadline())
        elif self.state is State.TALKING:
            at = earlier(at, self.refreshing.next_deadline())
        elif self.state is State.ENDING:
            at = earlier(at, self.leaving.next_deadline())
        retry_at = self.offering.next_deadline()
        return at if retry_at is None else earlier(at, retry_at)

    # --- what its parts share -----------------------------------------------------------------------------------------

    @property
    def is_busy(self) -> bool:
        """An INVITE is not over, the peer's or ours, or an UPDATE of ours with an offer is on its way (§14.1)."""
        if self.uas is not None and (self.uas.is_pending or self.uas.awaits_ack):
            return True
        uac = self.sending.uac
        return (uac is not None and not uac.is_over) or self.offering.is_out

    @property
    def has_unacknowledged(self) -> bool:
        """A 2xx to our INVITE is here, and its ACK is not ordered yet."""
        uac = self.sending.uac
        return uac is not None and uac.state is invite_uac.State.ANSWERED

    @property
    def owns_call_id(self) -> bool:
        """We have made its dialog."""
        return self.dialling is not None

    @property
    def early_dialog(self) -> Dialog | None:
        """In which an UPDATE may be sent before the 2xx: offer and answer are complete, and the peer knows it."""
        if self.dialling is not None:
            return self.dialling.agreed
        return self.dialog if self.answering is not None and self.answering.is_settled else None

    def dialog_of(self, request: Request) -> Dialog | None:
        """Of the peer's: its own dialog, or an early one; None where it is in none."""
        return self._dialog(request.call_id, request.to.tag or "", request.from_.tag or "")

    def _dialog(self, call_id: str, local_tag: str, remote_tag: str) -> Dialog | None:
        dialog = self.dialog
        if dialog is None:
            uac = self.sending.uac  # the dialog of a 2xx that waits for our ACK, or an early one
            dialog = None if uac is None else uac.dialog or uac.early.get(remote_tag)
        elif self.answering is not None:
            dialog = self.answering.dialog_of(local_tag)
        if dialog is None or dialog.call_id != call_id or dialog.remote_tag != remote_tag:
            return None
        return dialog

    def agreed_fields(self, method: str, now: float) -> Fields:
        """What a 2xx to an INVITE or UPDATE says: what we can, and the session timer."""
        return (*self.abilities.fields(), *self.refreshing.response_fields(now, method))

    def answer_invite(self, uas: InviteUas, body: bytes, now: float, fields: Fields) -> list[Order]:
        """2xx to an INVITE of the peer, the first or another."""
        fields = labelled((*self.agreed_fields("INVITE", now), *fields), body)
        return uas.answer(now, contact=self.contact, fields=fields, body=body, features=self.features)

    def accept_held(self, now: float) -> list[Order]:
        """The 2xx to the first INVITE, where it has waited for something of its peer's to be answered."""
        return [] if self.answering is None else self.answering.accept_held(now)
