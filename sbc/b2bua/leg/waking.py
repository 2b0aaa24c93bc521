"""The first moments of a leg in another life of the program: what its peer has waited for, and what comes late.

Transactions of the earlier life go on where somebody counts on them. A request of the peer that has no answer gets one:
what it was to bring about is forgotten, and it may ask again. The leg uses it, once; `strays` for as long as it lives.
"""

from typing import TYPE_CHECKING

from sbc.b2bua.leg.state import Out, State
from sbc.sip.commands import Order, Respond, Revive
from sbc.sip.dialog.invite_uac import end_unwanted
from sbc.sip.message import Request, Response
from sbc.sip.transaction.saved import SavedInvite, SavedServer

if TYPE_CHECKING:
    from sbc.b2bua.leg.leg import Leg


class Waking:
    """`server`: of the peer's INVITE of last; `invite`: one of ours that is given up; `asked`: other requests of the
    peer.
    """

    __slots__ = ("_asked", "_invite", "_leg", "_server")

    def __init__(
        self, leg: "Leg", server: SavedServer | None, invite: SavedInvite | None, asked: tuple[SavedServer, ...]
    ) -> None:
        self._leg = leg
        self._server = server
        self._invite = invite
        self._asked = asked

    def resume(self, now: float, *, is_answer_due: bool) -> list[Out]:
        leg = self._leg
        leg.refreshing.resume(now)
        orders: list[Order] = [*self.known_again(), *self._answer_peer(now)]
        if is_answer_due and leg.owes_answer:
            return [*orders]  # "The ACK MUST carry an answer in its body", RFC 3261 §13.2.2.4
        if leg.has_unacknowledged:
            # Its 2xx may have made an offer; whoever was to answer that is not asked any more. An ACK it gets in any
            # case: "the ACK is always sent", RFC 5407 §3.1.3.
            orders += leg.acknowledge()
        if leg.state is State.SETUP:  # nobody waits for it any more
            leg.state = State.CLOSED
        return [*orders]

    def known_again(self) -> list[Order]:
        """Transactions, so that they can be answered or ended; and the BYE that was out goes out once more."""
        leg, uac = self._leg, self._leg.sending.uac
        mine = (leg.ref, leg.n, 0)
        orders: list[Order] = [Revive(one, mine) for one in (self._server, *self._asked) if one is not None]
        if self._invite is not None and uac is not None:
            orders.append(Revive(self._invite, uac.user))
        if leg.state is State.ENDING and (leg.uas is None or not leg.uas.awaits_ack):
            orders += leg.leaving.send_bye()
        return orders

    def _answer_peer(self, now: float) -> list[Order]:
        """491 to a re-INVITE: "attempt the re-INVITE once more", RFC 3261 §14.1; it may be a hold that matters."""
        leg = self._leg
        later = (("Retry-After", str(leg.number(11))),)
        orders: list[Order] = [Respond(one.key, 500, fields=later) for one in self._asked]
        if leg.uas is not None:
            orders += leg.uas.refuse(503 if leg.state is State.SETUP else 491)
            orders += leg.uas.resume(now)
        return orders


def take_stray(leg: "Leg", response: Response) -> list[Order]:
    """A 2xx to an INVITE of ours that no transaction knows: of an earlier life, or after half a minute. Its ACK goes
    out whatever became of that INVITE; another fork's 2xx has its BYE, too (RFC 3261 §13.2.2.4).
    """
    dialog, uac, number = leg.dialog, leg.sending.uac, response.cseq.number
    if dialog is None or uac is None or leg.has_unacknowledged:
        return []
    if response.call_id != dialog.call_id or response.from_.tag != dialog.local_tag or number > dialog.local_cseq:
        return []
    if (response.to.tag or "") == dialog.remote_tag:
        return uac.acknowledge_again(number, dialog, flow=leg.flow)
    if not leg.owns_call_id:
        return []
    fields = (("From", dialog.local), ("To", "<sip:unknown@invalid>"), ("Call-ID", dialog.call_id))
    invite = Request("INVITE", dialog.remote_target, (*fields, ("CSeq", f"{number} INVITE")))
    return end_unwanted(uac.user, invite, response, uac.interface, leg.flow)
