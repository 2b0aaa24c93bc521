"""Requests of ours on a leg, from their sending to their final response, also once more where one is challenged.

It gives each a user of its own, and knows which INVITEs are still of interest. A challenge is answered here (RFC 3261
§22.2), a 422 to an INVITE too (RFC 4028 §7.3). What any other response means it does not know. The leg and its parts
use it.
"""

import enum
from collections.abc import Hashable
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from sbc.b2bua.leg.state import Out, State
from sbc.b2bua.reports import LegChallenged
from sbc.core.address import Flow
from sbc.sip.auth.client import Authenticator
from sbc.sip.commands import Order, SendRequest
from sbc.sip.dialog.dialog import Dialog
from sbc.sip.dialog.invite_uac import InviteUac, SavedUac
from sbc.sip.message import Fields, Request, Response

if TYPE_CHECKING:
    from sbc.b2bua.leg.leg import Leg

_KEPT_INVITES: Final = 3  # INVITEs of ours whose late responses are still understood


class Purpose(enum.Enum):
    """The token of a request that the leg sends of itself: no reply to it is reported as such."""

    BYE = enum.auto()
    PRACK = enum.auto()
    REFRESH = enum.auto()
    OFFER = enum.auto()


class Sent(Struct):
    """A request of ours, other than INVITE, that awaits its final response. `dialog`: within which it went out."""

    token: Hashable
    request: Request
    dialog: Dialog


class Sending:
    """`uac`: our INVITE that went out last. `credentials` answer the peer's challenges."""

    __slots__ = ("_asked", "_count", "_credentials", "_invites", "_leg", "_tries", "uac")

    def __init__(self, leg: "Leg", credentials: Authenticator | None) -> None:
        self._leg = leg
        self._credentials = credentials
        self._count = 0  # of all requests: the last part of their users
        self._invites: dict[int, InviteUac] = {}
        self._asked: dict[int, Sent] = {}
        self._tries: dict[int, int] = {}  # how often credentials were sent, by the request's number
        self.uac: InviteUac | None = None

    def ask(self, method: str, token: Hashable, dialog: Dialog, fields: Fields = (), body: bytes = b"") -> list[Order]:
        """Anything but an INVITE, within this dialog."""
        user = self._next_user()
        request = dialog.request(method, fields=fields, body=body)
        self._asked[user[2]] = Sent(token, request, dialog)
        return [self._order(user, request, dialog.next_hop, self._contact_of(method), self._leg.flow)]

    def invite(
        self, request: Request, next_hop: str, flow: Flow | None, dialog: Dialog | None = None
    ) -> tuple[InviteUac, list[Order]]:
        """`dialog`: of a re-INVITE."""
        uac = InviteUac(self._next_user(), request, self._leg.peer.interface, dialog)
        return uac, self._send_invite(uac, next_hop, flow)

    def _send_invite(self, uac: InviteUac, next_hop: str, flow: Flow | None) -> list[Order]:
        self._invites[self._count] = self.uac = uac
        while len(self._invites) > _KEPT_INVITES:
            del self._invites[min(self._invites)]
        return [self._order(uac.user, uac.request, next_hop, self._leg.contact, flow)]

    def _next_user(self) -> tuple[str, int, int]:
        self._count += 1
        return (self._leg.ref, self._leg.n, self._count)

    def _contact_of(self, method: str) -> str | None:
        """Which of our requests refresh the target, or make one, and so need a Contact (RFC 3261 §12.2.1, table 2)."""
        return self._leg.contact if method in ("INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER") else None

    def _order(
        self, user: Hashable, request: Request, next_hop: str, contact: str | None, flow: Flow | None
    ) -> SendRequest:
        leg = self._leg
        return SendRequest(user, request, leg.peer.interface, next_hop, contact, flow, features=leg.features)

    # --- across the death of the process ------------------------------------------------------------------------------

    @property
    def count(self) -> int:
        """Of all requests so far."""
        return self._count

    def saved_uac(self) -> SavedUac | None:
        """Our INVITE that went out last."""
        uac = self.uac
        return None if uac is None else uac.saved(uac.user[2])  # type: ignore[index]

    def restore(self, count: int, n: int = 0, uac: InviteUac | None = None) -> None:
        """`uac`: our INVITE of last, as number `n`."""
        self._count = count
        if uac is not None:
            self._invites[n] = self.uac = uac

    # --- who awaits what ----------------------------------------------------------------------------------------------

    @property
    def awaits_bye(self) -> bool:
        """A BYE of ours is out."""
        return any(sent.token is Purpose.BYE for sent in self._asked.values())

    def invite_of(self, n: int) -> InviteUac | None:
        return self._invites.get(n)

    def awaits(self, n: int) -> bool:
        """No final response is here to the request with this number, which is no INVITE."""
        return n in self._asked

    def take_out(self, n: int) -> Sent | None:
        """It has its final response, or will never have one."""
        return self._asked.pop(n, None)

    # --- once more ----------------------------------------------------------------------------------------------------

    def answer_challenge(self, n: int, response: Response, flow: Flow) -> list[Out]:
        """The challenged request once more with credentials, to the very server that made the nonce (§22.2)."""
        uac, sent = self._invites.get(n), self._asked.get(n)
        request = sent.request if sent is not None else uac.request if uac is not None and uac.is_pending else None
        tries = self._tries.pop(n, 0)
        if self._credentials is None or request is None:
            return []
        again = self._credentials.answer(response, request, tries)
        if again is None:
            return []
        self._tries[self._count + 1] = tries + 1
        if sent is None:
            assert uac is not None  # noqa: S101  whose request it is
            return self._invite_again(n, uac, again, flow)
        user = self._next_user()
        del self._asked[n]
        sent.request = again
        sent.dialog.local_cseq = max(sent.dialog.local_cseq, again.cseq.number)
        self._asked[user[2]] = sent
        return [self._order(user, again, "", self._contact_of(again.method), flow)]

    def ask_for_longer(self, n: int, uac: InviteUac, timer: Fields, flow: Flow) -> list[Out]:
        """422: "the UAC … SHOULD retry the request" with the Min-SE that it was told (RFC 4028 §7.3).

        `timer`: what the request says of the session timer this time.
        """
        request = uac.request
        number = request.cseq.number + 1
        kept = [field for field in request.fields if field[0] not in ("Session-Expires", "Min-SE", "CSeq")]
        fields = (*kept, ("CSeq", f"{number} INVITE"), *timer)
        return self._invite_again(n, uac, Request("INVITE", request.uri_text, fields, request.body), flow)

    def _invite_again(self, n: int, uac: InviteUac, again: Request, flow: Flow) -> list[Out]:
        """An INVITE that was refused for what it lacked goes out once more, as a request of its own."""
        leg = self._leg
        if leg.dialog is not None:
            leg.dialog.local_cseq = max(leg.dialog.local_cseq, again.cseq.number)
        del self._invites[n]
        uac.again(self._next_user(), again)
        said: list[Out] = [LegChallenged(leg.n)] if leg.state is State.SETUP else []
        return [*said, *self._send_invite(uac, "", flow)]
