"""The first INVITE of a leg where a peer has sent it, until its final response (RFC 3261 §13.3, RFC 3262 §3).

Provisionals go out reliably where the peer knows that (`early.Ringing`), in one early dialog or several. A 2xx that
must not go out yet is held: until a PRACK has come, or the offer in one is answered. Later INVITEs of the peer are
`asked`'s. The leg uses it; one that dials has none.
"""

from typing import TYPE_CHECKING

from sbc.b2bua.leg.described import description, labelled
from sbc.b2bua.leg.early import Ringing
from sbc.b2bua.leg.state import Out, State
from sbc.b2bua.reports import LegPracked, LegUnacknowledged
from sbc.sip.commands import Adopt, Order, Respond
from sbc.sip.dialog.dialog import Dialog, dialog_of_uas
from sbc.sip.dialog.invite_uas import InviteUas
from sbc.sip.dialog.reliable import PrackMissing
from sbc.sip.message import Fields, Request
from sbc.sip.transaction.key import ServerKey

if TYPE_CHECKING:
    from sbc.b2bua.leg.leg import Leg


class Answering:
    """`_ringing`: in the early dialog of now, where the peer understands reliable provisionals of ours."""

    __slots__ = ("_answers_as", "_forks", "_held", "_leg", "_ringing")

    def __init__(self, leg: "Leg") -> None:
        self._leg = leg
        self._ringing: Ringing | None = None
        self._held: tuple[bytes, Fields] | None = None  # our answer, which waits for a PRACK
        self._answers_as: str | None = None  # … and then goes out in the early dialog with this tag of ours
        # Early dialogs, by our tag, if several, and what was said reliably there.
        self._forks: dict[str, tuple[Dialog, Ringing | None]] | None = None

    def take_invite(self, key: ServerKey, request: Request, local_tag: str) -> list[Order]:
        leg = self._leg
        leg.dialog = dialog_of_uas(request, local_tag, leg.peer.interface)
        leg.uas = uas = InviteUas(key, request, local_tag, leg.timing, first=True)
        leg.abilities.note(request)
        required_options = ",".join(request.headers("Require")).lower()
        options = ",".join(request.headers("Supported")).lower() + "," + required_options
        if "100rel" in options and leg.peer.reliable == "offer":
            required = "100rel" in required_options
            self._ringing = Ringing(key, uas.cseq, leg.timing, leg.number, required=required, has_offer=uas.has_offer)
        leg.refreshing.take_invite(request, options)
        return [Adopt(key, (leg.ref, leg.n, 0)), *uas.try_()]

    # --- what can be asked about it -----------------------------------------------------------------------------------

    @property
    def is_reliable(self) -> bool:
        """The peer understands reliable provisionals of ours."""
        return self._ringing is not None

    @property
    def awaits_prack(self) -> bool:
        """A provisional of ours has no PRACK yet."""
        return self._ringing is not None and self._ringing.is_busy

    @property
    def awaits_answer(self) -> bool:
        """A provisional of ours made the offer, and the PRACK is to bring the answer."""
        return self._ringing is not None and self._ringing.awaits_answer

    @property
    def is_settled(self) -> bool:
        """Offer and answer are exchanged in the early dialog, and the peer knows it."""
        return self._ringing is not None and self._ringing.is_settled

    @property
    def has_answered(self) -> bool:
        """A reliable provisional of ours has had the answer, so that its 2xx in the same early dialog has none."""
        return self._ringing is not None and self._ringing.has_described and self._answers_as is None

    def dialog_of(self, local_tag: str) -> Dialog | None:
        """The dialog, or one of several early ones."""
        if self._forks is None:
            return self._leg.dialog
        return self._forks[local_tag][0] if local_tag in self._forks else None

    # --- what the call orders -----------------------------------------------------------------------------------------

    def fork(self, tag: str, *, final: bool) -> bool:
        """Go on in another early dialog. `final`: the 2xx is to be sent there, as soon as it may be."""
        leg, ringing = self._leg, self._ringing
        if leg.dialog is None or leg.uas is None:
            return False
        if ringing is not None and ringing.is_busy:
            if not final:
                return False
            if ringing.holds_answer:
                self._answers_as = tag
                return True
            ringing.stop()
        if self._forks is None:
            self._forks = {leg.dialog.local_tag: (leg.dialog, ringing)}
        if tag not in self._forks:
            again = None if ringing is None else ringing.again()
            self._forks[tag] = (leg.dialog.with_local_tag(tag), again)
        leg.dialog, self._ringing = self._forks[tag]
        leg.uas.to_tag = tag
        return True

    def ring(self, status: int, body: bytes, now: float, fields: Fields) -> list[Order]:
        leg, ringing = self._leg, self._ringing
        if leg.uas is None:
            return []
        if ringing is not None and ringing.has_described:
            body = b""
        fields = labelled(fields, body)
        orders = leg.uas.progress(status, now, contact=leg.contact, fields=fields, body=body, features=leg.features)
        return orders if ringing is None else ringing.send(orders, now, described=bool(body))

    def accept(self, body: bytes, now: float, fields: Fields) -> list[Order]:
        """2xx; later, where a PRACK is to come first or an offer in one to be answered."""
        leg, ringing = self._leg, self._ringing
        if leg.uas is None or leg.state is not State.SETUP:
            return []
        if ringing is not None:
            if ringing.holds_answer or ringing.awaits_answer or leg.asked.is_offered:
                self._held = (body, fields)
                return []
            ringing.stop()
            if ringing.is_settled:
                body = b""  # the answer is given once: RFC 6337 §2.2
                leg.uas.settled()
        leg.state = State.TALKING
        self._forks = None
        return leg.answer_invite(leg.uas, body, now, fields)

    def accept_held(self, now: float) -> list[Order]:
        """A 2xx that has been held, now that what it waits for may have come."""
        if self._held is None:
            return []
        (body, fields), self._held = self._held, None
        tag, self._answers_as = self._answers_as, None
        if tag is not None:
            self.fork(tag, final=True)
        return self.accept(body, now, fields)

    def refuse_prack(self) -> None:
        """The offer that the last PRACK brought is not taken."""
        if self._ringing is not None:
            self._ringing.refuse_prack()

    def stop(self) -> None:
        """The INVITE is refused: no provisional is sent again."""
        if self._ringing is not None:
            self._ringing.stop()

    # --- what the peer does -------------------------------------------------------------------------------------------

    def take_prack(self, key: ServerKey, request: Request, dialog: Dialog, now: float) -> list[Out]:
        leg, ringing = self._leg, self._ringing
        matched, orders = (False, []) if ringing is None else ringing.take_prack(request, now)
        body = description(request)
        if ringing is None or not matched:
            is_again = ringing is not None and not body and ringing.has_refused(request)
            return [Respond(key, 200 if is_again else 481)]
        if ringing.awaits_answer:
            ringing.is_settled = bool(body)
            return [Respond(key, 200), *orders, LegPracked(leg.n, body), *self.accept_held(now)]
        if body and leg.asked.refusal_of_offer(key, dialog) is None:
            return [*orders, leg.asked.offered(key, request, body)]
        status = 488 if body else 200
        return [Respond(key, status), *orders, LegPracked(leg.n, b""), *self.accept_held(now)]

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        leg = self._leg
        if self._ringing is not None and leg.state is State.SETUP:
            for one in self._ringing.tick(now):
                # "the UAS SHOULD reject the original request with a 5xx response", RFC 3262 §3
                outs += [*leg.refuse(504), LegUnacknowledged(leg.n)] if isinstance(one, PrackMissing) else [one]
        return outs

    def next_deadline(self) -> float | None:
        if self._ringing is None or self._leg.state is not State.SETUP:
            return None
        return self._ringing.next_deadline()
