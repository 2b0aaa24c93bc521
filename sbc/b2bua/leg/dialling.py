"""The first INVITE of a leg where we have sent it, until the ACK of its 2xx (RFC 3261 §13.2, RFC 3262 §4).

Its provisionals become reports; those that are reliable are acknowledged at once, or, where they make an offer, with
the answer of the call. `early.Calling` knows what is agreed in which early dialog. Later INVITEs are `offering`'s. The
leg uses it; one that was called has none.
"""

from typing import TYPE_CHECKING

from sbc.b2bua.leg.described import SDP_TYPE, description
from sbc.b2bua.leg.early import Calling
from sbc.b2bua.leg.sending import Purpose
from sbc.b2bua.leg.state import Out
from sbc.b2bua.reports import LegAnswered, LegProgressed
from sbc.sip.commands import Order
from sbc.sip.dialog.dialog import Dialog
from sbc.sip.dialog.invite_uac import InviteUac
from sbc.sip.dialog.reliable import Arrival
from sbc.sip.message import Response

if TYPE_CHECKING:
    from sbc.b2bua.leg.leg import Leg


class Dialling:
    __slots__ = ("_calling", "_leg")

    def __init__(self, leg: "Leg", uac: InviteUac) -> None:
        self._leg = leg
        self._calling = Calling(uac)

    @property
    def agreed(self) -> Dialog | None:
        """The early dialog in which offer and answer are complete."""
        return self._calling.dialog

    @property
    def asked(self) -> Dialog | None:
        """The early dialog in which the callee can be asked anything but an offer."""
        return self._calling.asked

    def prack(self, tag: str, body: bytes) -> list[Order]:
        """The answer to the offer of a reliable provisional (RFC 3262 §5) in the early dialog with this To tag."""
        found = self._calling.answered(tag)
        if found is None:
            return []
        dialog, rack = found
        return self._leg.sending.ask("PRACK", Purpose.PRACK, dialog, (("RAck", rack), *SDP_TYPE), body)

    def progressed(self, uac: InviteUac, response: Response, tag: str) -> list[Out]:
        leg, calling = self._leg, self._calling
        body = description(response)
        arrival = calling.take(response)
        if arrival is Arrival.UNRELIABLE:
            return [LegProgressed(leg.n, response.status, body, tag, response)]
        if arrival is not Arrival.NEW:
            return []
        leg.abilities.note(response)
        has_offer = bool(uac.request.body)
        is_agreed = calling.agreed == tag
        offers = bool(body) and not has_offer and not is_agreed
        rack = calling.acknowledgment_of(response, tag, answers=bool(body) and has_offer, offers=offers)
        said = LegProgressed(leg.n, response.status, b"" if is_agreed else body, tag, response, reliable=True)
        dialog = uac.early.get(tag)
        if rack is None or dialog is None:
            return [said]
        return [*leg.sending.ask("PRACK", Purpose.PRACK, dialog, (("RAck", rack),)), said]

    def accepted(self, response: Response) -> list[Out]:
        tag = response.to.tag or ""
        # Where a reliable provisional has said it already, the 2xx says nothing new, if anything.
        body = b"" if self._calling.agreed == tag else description(response)
        return [LegAnswered(self._leg.n, body, tag, response)]
