"""Our offers within the dialog of a leg, by re-INVITE or UPDATE, one at a time (RFC 3261 §14.1, RFC 3311 §5.1).

It hides glare: an offer that has met one of the peer's waits here and is sent again. An UPDATE that cannot bring it
gives way to a re-INVITE. What the offer says is the call's business; the peer's offers are `asked`'s. The leg uses it.
"""

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from sbc.b2bua.leg.described import description, labelled
from sbc.b2bua.leg.sending import Purpose, Sent
from sbc.b2bua.leg.state import Out, State
from sbc.b2bua.reports import LegReanswered, LegRerefused
from sbc.sip.commands import Order
from sbc.sip.message import Fields, Response

if TYPE_CHECKING:
    from sbc.b2bua.leg.leg import Leg

_GLARE_TRIES: Final = 6  # an offer that meets another one each time is refused at last
_BUSY_SECONDS: Final = 0.5  # until it is tried again, where the peer's own offer came first


class Offer(Struct):
    """An offer of ours, until it has its verdict. `retry_at`: after it has met one of the peer's.

    `insists`: where an UPDATE cannot bring it at once, a re-INVITE shall. `is_unsaid`: it says something new since.
    """

    body: bytes
    method: str
    fields: Fields
    insists: bool = False
    is_unsaid: bool = False
    tries: int = 0
    retry_at: float | None = None


class Offering:
    __slots__ = ("_leg", "_offer")

    def __init__(self, leg: "Leg") -> None:
        self._leg = leg
        self._offer: Offer | None = None

    @property
    def is_active(self) -> bool:
        """An offer of ours has no verdict yet."""
        return self._offer is not None

    @property
    def is_out(self) -> bool:
        """… and is on its way."""
        return self._offer is not None and self._offer.retry_at is None

    @property
    def waits(self) -> bool:
        """… and has met one of the peer's: it is to be sent again in a while."""
        return self._offer is not None and self._offer.retry_at is not None

    @property
    def is_unsaid(self) -> bool:
        """What waits to be sent again has been reworded, and nobody has heard that yet."""
        return self._offer is not None and self._offer.is_unsaid

    def send(self, body: bytes, fields: Fields, *, by_update: bool, insists: bool) -> list[Order]:
        self._offer = Offer(body, "UPDATE" if by_update else "INVITE", fields, insists)
        return self._send(self._offer)

    def reword(self, body: bytes) -> None:
        """What waits to be sent again says this now."""
        if self._offer is not None:
            self._offer.body, self._offer.is_unsaid = body, True

    def drop(self) -> bool:
        """Forget an offer that waits to be sent again; False where it is on its way."""
        if not self.waits:
            return False
        self._offer = None
        return True

    def give_up(self) -> None:
        """Nobody wants it any more: a 491 is its end."""
        if self._offer is not None:
            self._offer.tries = _GLARE_TRIES

    def _send(self, offer: Offer) -> list[Order]:
        leg = self._leg
        offer.tries += 1
        offer.retry_at, offer.is_unsaid = None, False
        fields = labelled((*leg.refreshing.request_fields(), *offer.fields), offer.body)
        if offer.method == "UPDATE":
            dialog = leg.early_dialog if leg.state is State.SETUP else leg.dialog
            fields = (*leg.abilities.fields(), *fields)
            return [] if dialog is None else leg.sending.ask("UPDATE", Purpose.OFFER, dialog, fields, offer.body)
        if leg.dialog is None:
            return []
        fields = (*leg.abilities.fields_of_reinvite(), *fields)
        request = leg.dialog.request("INVITE", fields=fields, body=offer.body)
        return leg.sending.invite(request, leg.dialog.next_hop, leg.flow, leg.dialog)[1]

    # --- its verdict --------------------------------------------------------------------------------------------------

    def accepted(self, response: Response, *, by_update: bool = False) -> list[Out]:
        self._offer = None
        return [LegReanswered(self._leg.n, description(response), response, by_update=by_update)]

    def refused(self, response: Response, now: float) -> list[Out]:
        """Of a re-INVITE or UPDATE of ours."""
        offer, status = self._offer, response.status
        if offer is not None and self._meets_another(offer, response, now):
            return []
        return self.lost(status, fatal=status in (408, 481))

    def lost(self, status: int, *, fatal: bool) -> list[Out]:
        """The dialog goes on without it, unless `fatal`."""
        self._offer = None
        return [LegRerefused(self._leg.n, status, fatal=fatal)]

    def _meets_another(self, offer: Offer, response: Response, now: float) -> bool:
        """Glare: it is to be sent again (§14.1); or the peer is not done with its own, and says how long to wait."""
        leg = self._leg
        if offer.tries >= _GLARE_TRIES:
            return False
        if response.status == 491:
            # "between 2.1 and 4 seconds in units of 10 ms" for the owner of the Call-ID, else "between 0 and 2 seconds"
            wait = 2.1 + leg.number(191) / 100 if leg.owns_call_id else leg.number(201) / 100
            offer.retry_at = now + wait
            return True
        after = response.header("Retry-After") if response.status == 500 else None
        seconds = "" if after is None else after.partition(";")[0].partition("(")[0].strip()
        if not (seconds.isascii() and seconds.isdigit() and len(seconds) <= 2 and int(seconds) <= 10):
            return False
        offer.retry_at = now + max(int(seconds), 0.1)
        return True

    # --- the verdict of an UPDATE -------------------------------------------------------------------------------------

    def replied(self, sent: Sent, response: Response, now: float) -> list[Out]:
        """The final response to an UPDATE with our offer."""
        leg, offer = self._leg, self._offer
        if leg.refreshing.is_too_small(response):
            return [] if offer is None else [*self._send(offer)]
        if offer is not None and leg.state is State.TALKING and self._goes_by_reinvite(offer, response.status):
            offer.method = "INVITE"
            return [*self._send(offer)]
        if response.status >= 300:
            return self.refused(response, now)
        sent.dialog.refresh_target(response)
        if leg.state is State.TALKING:
            leg.refreshing.agreed(response, now)
        return self.accepted(response, by_update=True)

    def _goes_by_reinvite(self, offer: Offer, status: int) -> bool:
        """The UPDATE that had our offer was refused so that a re-INVITE may still bring it."""
        if status in (405, 501):
            self._leg.abilities.forget_update()
            return True
        # "If the UAS cannot change the session parameters without prompting the user, it SHOULD reject the request with
        # a 504 response", RFC 3311 §5.2.
        return status == 504 and offer.insists

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Out]:
        offer = self._offer
        if offer is None or offer.retry_at is None or now < offer.retry_at:
            return []
        leg = self._leg
        if leg.state not in (State.TALKING, State.SETUP):
            self._offer = None
            return []
        is_busy = leg.state is State.TALKING and leg.is_busy  # before that an UPDATE needs no INVITE to be over
        if is_busy or leg.asked.is_offered:
            offer.retry_at = now + _BUSY_SECONDS  # the peer's own came first, and is under way
            return []
        return [*self._send(offer)]

    def next_deadline(self) -> float | None:
        return None if self._offer is None else self._offer.retry_at
