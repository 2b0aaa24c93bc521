"""One INVITE that a peer sent, first or re-INVITE, from its receipt to its ACK (RFC 3261 §13.3, §14.2).

Repeats the 2xx until the ACK comes, and provisionals while it rings long. It does not know what is offered or called.
"""

import enum
from typing import Final

from msgspec import Struct

from sbc.sip.commands import Order, ResendResponse, Respond
from sbc.sip.message import Fields, Request
from sbc.sip.multipart import description_of
from sbc.sip.timing import Timing
from sbc.sip.transaction.key import ServerKey

# "the UAS MAY … send a non-100 provisional response at every minute", so that no proxy gives up: §13.3.1.1
PROVISIONAL_REFRESH_SECONDS: Final = 60.0


class State(enum.StrEnum):
    PROCEEDING = "proceeding"
    ANSWERED = "answered"  # the 2xx is out, its ACK is not in
    CONFIRMED = "confirmed"
    REFUSED = "refused"


class SavedUas(Struct, frozen=True, omit_defaults=True):
    """An INVITE of a peer. `give_up_at`: of our 2xx, if its ACK does not come."""

    key: tuple[str, ...]
    cseq: int
    to_tag: str
    state: State
    first: bool = False
    has_offer: bool = False
    give_up_at: float | None = None


class AckMissing(Struct, frozen=True):
    """64*T1 have passed since the 2xx without an ACK (§13.3.1.4). `is_unsure`: it may have come in an earlier life."""

    is_unsure: bool = False


class InviteUas:
    __slots__ = (
        "_give_up_at",
        "_has_offer",
        "_interval",
        "_is_unsure",
        "_record_routes",
        "_resend_at",
        "_timing",
        "cseq",
        "first",
        "key",
        "state",
        "to_tag",
    )

    def __init__(self, key: ServerKey, request: Request, to_tag: str, timing: Timing, *, first: bool) -> None:
        self.key = key
        self.first = first
        self.cseq = request.cseq.number
        self.to_tag = to_tag
        self._has_offer = bool(description_of(request))
        # "The UAS MUST copy all Record-Route header field values from the request into the response", §12.1.1
        self._record_routes: Fields = tuple([f for f in request.fields if f[0] == "Record-Route"]) if first else ()
        self.state = State.PROCEEDING
        self._timing = timing
        self._interval = timing.t1
        self._resend_at: float | None = None
        self._give_up_at: float | None = None
        self._is_unsure = False

    def saved(self) -> SavedUas:
        return SavedUas(self.key, self.cseq, self.to_tag, self.state, self.first, self._has_offer, self._give_up_at)

    def resume(self, now: float) -> list[Order]:
        """In another life: our 2xx once more, and again until its ACK comes.

        It may have come before, without anybody's writing that down. So the time that is left is all that is waited for
        it, and then it counts as come: who has hung up will not be missed for it, and nobody else loses his call. One
        that was to bring an answer cannot have come unnoticed.
        """
        if self.state is not State.ANSWERED:
            return []
        if self._give_up_at is None or self._give_up_at <= now:
            self.acknowledged()
            return []
        self._is_unsure = self._has_offer
        self._resend_at = now + self._interval
        return [ResendResponse(self.key)]

    @property
    def is_pending(self) -> bool:
        return self.state is State.PROCEEDING

    @property
    def is_over(self) -> bool:
        """It has its final response, and we have the ACK of a 2xx."""
        return self.state is State.CONFIRMED or self.state is State.REFUSED

    @property
    def awaits_ack(self) -> bool:
        return self.state is State.ANSWERED

    @property
    def has_offer(self) -> bool:
        """Of the INVITE."""
        return self._has_offer

    @property
    def awaits_answer(self) -> bool:
        """Our 2xx made the offer, so that the ACK cannot be done without (§13.2.1)."""
        return self.awaits_ack and not self._has_offer

    def try_(self) -> list[Order]:
        """100 at once, so that the peer stops repeating its INVITE (§8.2.6.1)."""
        return [Respond(self.key, 100)]

    def progress(
        self, status: int, now: float, *, contact: str, fields: Fields = (), body: bytes = b"", features: str = ""
    ) -> list[Order]:
        """A provisional response other than 100. What is sent again each minute is the last one."""
        if self.state is not State.PROCEEDING:
            return []
        self._resend_at = now + PROVISIONAL_REFRESH_SECONDS
        return [Respond(self.key, status, self.to_tag, self._record_routes + fields, body, contact, features)]

    def settled(self) -> None:
        """Offer and answer were exchanged by a reliable provisional: the 2xx makes no offer, its ACK brings nothing."""
        self._has_offer = True

    def answer(
        self, now: float, *, contact: str, fields: Fields = (), body: bytes = b"", features: str = ""
    ) -> list[Order]:
        if self.state is not State.PROCEEDING:
            return []
        self.state = State.ANSWERED
        # "an interval that starts at T1 seconds and doubles for each retransmission until it reaches T2", §13.3.1.4,
        # over reliable transports too, because a hop behind the first may lose it.
        self._resend_at = now + self._interval
        self._give_up_at = now + self._timing.give_up
        return [Respond(self.key, 200, self.to_tag, self._record_routes + fields, body, contact, features)]

    def refuse(self, status: int, *, fields: Fields = ()) -> list[Order]:
        if self.state is not State.PROCEEDING:
            return []
        self.state = State.REFUSED
        self._resend_at = None
        return [Respond(self.key, status, self.to_tag, fields)]

    def acknowledged(self) -> bool:
        """An ACK with our CSeq came; True for the first of the 2xx."""
        if self.state is not State.ANSWERED:
            return False
        self.state = State.CONFIRMED
        self._resend_at = self._give_up_at = None
        return True

    def tick(self, now: float) -> list[Order | AckMissing]:
        if self._give_up_at is not None and now >= self._give_up_at:
            self.state = State.CONFIRMED
            self._resend_at = self._give_up_at = None
            return [AckMissing(self._is_unsure)]
        if self._resend_at is None or now < self._resend_at:
            return []
        if self.state is State.PROCEEDING:
            self._resend_at = now + PROVISIONAL_REFRESH_SECONDS
        else:
            self._interval = min(2 * self._interval, self._timing.t2)
            self._resend_at = now + self._interval
        return [ResendResponse(self.key)]

    def next_deadline(self) -> float | None:
        if self._resend_at is None:
            return self._give_up_at
        return self._resend_at if self._give_up_at is None else min(self._resend_at, self._give_up_at)


def restored_uas(saved: SavedUas, timing: Timing) -> InviteUas:
    """As it was, in another life of this program. Its transaction is revived beside it."""
    echo = (("CSeq", f"{saved.cseq} INVITE"),)
    uas = InviteUas(saved.key, Request("INVITE", "", echo), saved.to_tag, timing, first=saved.first)
    uas.state, uas._has_offer, uas._give_up_at = saved.state, saved.has_offer, saved.give_up_at
    return uas
