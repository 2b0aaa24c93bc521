"""One leg of a call: a dialog with its INVITEs and its BYE (RFC 3261 §12 to §15), and its peer's challenges (§22).

It turns the call's orders into requests and responses, and what the peer does into reports. It opens no media, decides
nothing about the call, and has never heard of the other leg.
"""

import enum
from collections.abc import Iterable

from sbc.b2bua.reports import (
    LegAcknowledged,
    LegAnswered,
    LegCancelled,
    LegChallenged,
    LegDisconnected,
    LegFailed,
    LegHungUp,
    LegOffered,
    LegProgressed,
    LegReanswered,
    LegRefused,
    LegRerefused,
    LegTried,
    LegUnacknowledged,
    Report,
)
from sbc.core.address import Flow
from sbc.core.cause import Cause
from sbc.policy.model import Peer
from sbc.sip.auth.client import Authenticator
from sbc.sip.checks import ACCEPT, ALLOW
from sbc.sip.commands import Adopt, Order, Respond, SendRequest
from sbc.sip.dialog import invite_uac
from sbc.sip.dialog.dialog import Dialog, dialog_of_uas
from sbc.sip.dialog.invite_uac import InviteUac
from sbc.sip.dialog.invite_uas import AckMissing, InviteUas
from sbc.sip.errors import ParseError
from sbc.sip.headers.reason import q850_of
from sbc.sip.message import Fields, Request, Response
from sbc.sip.multipart import description_of
from sbc.sip.timing import Timing
from sbc.sip.transaction.key import ServerKey
from sbc.sip.transaction.outputs import TransactionFailed

SDP_TYPE: Fields = (("Content-Type", "application/sdp"),)
_KEPT_INVITES = 3  # INVITEs of ours whose late responses are still understood

Out = Order | Report


class State(enum.StrEnum):
    SETUP = "setup"  # the first INVITE has no final response
    TALKING = "talking"
    ENDING = "ending"  # we want it over: a BYE is out, or waits for the ACK
    CLOSED = "closed"


class Leg:
    """`contact` is the user part of our Contact on this leg, escaped; (`ref`, `n`) begins its transactions' users.

    `credentials` answer the peer's challenges. `flow`: where a peer that has registered with us is reached; its Contact
    may be an address behind a NAT. `heard`: the peer has said anything to our INVITE.
    """

    __slots__ = (
        "_bye",
        "_bye_fields",
        "_bye_request",
        "_credentials",
        "_timing",
        "_tries",
        "_uacs",
        "contact",
        "dialog",
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
        credentials: Authenticator | None = None,
        flow: Flow | None = None,
    ) -> None:
        self.ref = ref
        self.n = n
        self.peer = peer
        self.contact = contact
        self.flow = flow
        self.heard = False
        self._credentials = credentials
        self._tries: dict[int, int] = {}  # how often credentials were sent, by the request's number
        self.state = State.SETUP
        self.dialog: Dialog | None = None
        self.uas: InviteUas | None = None
        self.requests = 0
        self._timing = timing
        self._uacs: dict[int, InviteUac] = {}
        self._bye: int | None = None
        self._bye_request: Request | None = None
        self._bye_fields: Fields | None = None

    @property
    def is_closed(self) -> bool:
        return self.state is State.CLOSED

    @property
    def is_quiet(self) -> bool:
        """Closed, and no INVITE of ours is left to which the peer may still say yes."""
        uac = self._uac
        return self.is_closed and (uac is None or uac.is_over)

    @property
    def is_modifiable(self) -> bool:
        """Whether an offer may be sent on it now (RFC 3261 §14.1)."""
        return self.state is State.TALKING and not self._is_busy

    @property
    def _is_busy(self) -> bool:
        if self.uas is not None and (self.uas.is_pending or self.uas.awaits_ack):
            return True
        uac = self._uac
        return uac is not None and not uac.is_over

    @property
    def _uac(self) -> InviteUac | None:
        return self._uacs.get(max(self._uacs)) if self._uacs else None

    # --- orders of the call: ingress set-up ---------------------------------------------------------------------------

    def take_invite(self, key: ServerKey, request: Request, local_tag: str) -> list[Order]:
        """The call's first INVITE: 100 at once, and the dialog that our responses will make."""
        self.dialog = dialog_of_uas(request, local_tag, self.peer.interface)
        self.uas = InviteUas(key, request, local_tag, self._timing, first=True)
        return [Adopt(key, (self.ref, self.n, 0)), *self.uas.try_()]

    def ring(self, status: int, body: bytes, now: float) -> list[Order]:
        if self.uas is None:
            return []
        return self.uas.progress(status, now, contact=self.contact, fields=SDP_TYPE if body else (), body=body)

    def answer(self, body: bytes, now: float) -> list[Order]:
        """2xx to the peer's INVITE, the first one or a re-INVITE."""
        if self.uas is None:
            return []
        if self.state is State.SETUP:
            self.state = State.TALKING
        fields: Fields = (ALLOW, *SDP_TYPE) if body else (ALLOW,)
        return self.uas.answer(now, contact=self.contact, fields=fields, body=body)

    def refuse(self, status: int, fields: Fields = ()) -> list[Order]:
        """Final failure of the peer's INVITE, the first one or a re-INVITE."""
        if self.uas is None:
            return []
        if self.state is State.SETUP:
            self.state = State.CLOSED
        return self.uas.refuse(status, fields=fields)

    # --- orders of the call: egress set-up ----------------------------------------------------------------------------

    def dial(self, invite: Request, next_hop: str, flow: Flow | None = None) -> list[Order]:
        return self._send_invite(InviteUac(self._next_user(), invite, self.peer.interface), next_hop, flow)

    def acknowledge(self, body: bytes = b"") -> list[Order]:
        """ACK the 2xx of our INVITE; `body` is the answer where that 2xx carried the offer."""
        uac = self._uac
        if uac is None:
            return []
        if self.state is State.SETUP:
            self.state = State.TALKING
            self.dialog = uac.dialog
        return uac.acknowledge(fields=SDP_TYPE if body else (), body=body, flow=self.flow)

    # --- orders of the call: later ------------------------------------------------------------------------------------

    def offer(self, body: bytes) -> list[Order]:
        """Re-INVITE; without a body it asks the peer for an offer."""
        if self.dialog is None:
            return []
        fields: Fields = (ALLOW, *SDP_TYPE) if body else (ALLOW,)
        request = self.dialog.request("INVITE", fields=fields, body=body)
        uac = InviteUac(self._next_user(), request, self.peer.interface, self.dialog)
        return self._send_invite(uac, self.dialog.next_hop, self.flow)

    def cancel_offer(self) -> list[Order]:
        """Also what lets the transaction of an offer end that a peer never answers beyond a provisional (§9.1)."""
        uac = self._uac
        return [] if uac is None else uac.cancel()

    def release(self, status: int, fields: Fields) -> list[Order]:
        """End it, whatever it is doing: refuse, cancel or BYE. `fields` go with it (Reason)."""
        match self.state:
            case State.SETUP if self.uas is not None:
                return self.refuse(status, fields)
            case State.SETUP:
                return self._abandon_dialling(fields)
            case State.TALKING:
                return self._hang_up(fields)
            case _:
                return []

    def _abandon_dialling(self, fields: Fields) -> list[Order]:
        self.state = State.CLOSED
        uac = self._uac
        if uac is None:
            return []
        if uac.state is invite_uac.State.ANSWERED:  # a 2xx is here that the call no longer wants
            self.dialog = uac.dialog
            self.state = State.TALKING
            return self._hang_up(fields)
        return uac.cancel(dict(fields).get("Reason"))

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
        if self.dialog is None or self._bye is not None:
            return []
        user = self._next_user()
        self._bye = user[2]
        self._bye_request = self.dialog.request("BYE", fields=self._bye_fields or ())
        return [SendRequest(user, self._bye_request, self.peer.interface, self.dialog.next_hop, flow=self.flow)]

    def close(self) -> list[Order]:
        """End it without waiting for the peer, nor for an ACK: only when nothing else works any more."""
        was, self.state = self.state, State.CLOSED
        return self._send_bye() if was is State.ENDING else []

    # --- what the peer does -------------------------------------------------------------------------------------------

    def speaks_from(self, flow: Flow) -> None:
        """A peer that has registered with us, and speaks in this dialog, is now where that came from."""
        if self.flow is not None:
            self.flow = flow

    def take_request(self, key: ServerKey, request: Request, retry_after: int) -> list[Out]:
        """A request within the dialog that has passed the general checks. `retry_after`: random seconds, 0 to 10."""
        if self.dialog is None or self.state is State.CLOSED:
            return [Respond(key, 481)]
        if request.method == "OPTIONS":
            self.dialog.is_in_order(request)
            return [Respond(key, 200, fields=(ALLOW, ACCEPT))]
        if not self.dialog.is_in_order(request):
            return [Respond(key, 500, fields=(("Retry-After", str(retry_after)),))]
        if request.method == "BYE":
            return self._take_bye(key, request)
        if request.method == "INVITE":
            return self._take_reinvite(key, request, retry_after)
        return [Respond(key, 405, fields=(ALLOW,))]

    def _take_bye(self, key: ServerKey, request: Request) -> list[Out]:
        outs: list[Out] = [Respond(key, 200)]
        outs += self.cancel_offer()
        was, self.state = self.state, State.CLOSED
        if self.uas is not None:
            # "MUST respond to any pending requests … with a 487", §15.1.2; a 2xx needs no ACK any more.
            outs += self.uas.refuse(487)
            self.uas.acknowledged()
        if was is State.SETUP:
            outs.append(LegCancelled(self.n, first=True))
        elif was is State.TALKING:
            outs.append(LegHungUp(self.n, q850_of(request)))
        return outs

    def _take_reinvite(self, key: ServerKey, request: Request, retry_after: int) -> list[Out]:
        uas = self.uas
        if uas is not None and uas.is_pending:
            # "MUST return a 500 … with a randomly chosen value of between 0 and 10 seconds", §14.2
            return [Respond(key, 500, fields=(("Retry-After", str(retry_after)),))]
        if self.state is not State.TALKING:
            return [Respond(key, 481)]
        outs: list[Out] = []
        if uas is not None and uas.awaits_ack and not uas.awaits_answer:
            # Its sender has had our 2xx, or it could not modify the session: the ACK was lost, or overtaken.
            uas.acknowledged()
            outs.append(LegAcknowledged(self.n, b"", uas.first))
        if self._is_busy:
            return [*outs, Respond(key, 491)]  # "an INVITE it had sent is in progress", §14.2
        assert self.dialog is not None  # noqa: S101  TALKING has one
        self.dialog.refresh_target(request)
        self.uas = InviteUas(key, request, self.dialog.local_tag, self._timing, first=False)
        outs += [Adopt(key, (self.ref, self.n, 0)), *self.uas.try_(), LegOffered(self.n, _description(request))]
        return outs

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

    def take_cancel(self) -> list[Out]:
        """CANCEL of the peer's INVITE; the 200 to the CANCEL itself is already out."""
        if self.uas is None or not self.uas.is_pending:
            return []
        if self.state is State.SETUP:
            return [*self.refuse(487), LegCancelled(self.n, first=True)]
        return [LegCancelled(self.n, first=False)]

    def take_response(self, n: int, response: Response, flow: Flow, *, is_genuine: bool = True) -> list[Out]:
        """`flow`: where our request went. `is_genuine`: the response came from this peer."""
        if response.status in (401, 407) and is_genuine:
            again = self._answer_challenge(n, response, flow)
            if again:
                return again
        if n == self._bye:
            if response.status >= 200:
                self.state = State.CLOSED
            return []
        uac = self._uacs.get(n)
        if uac is None:
            return []
        is_first = self.state is State.SETUP
        self.heard = True
        outs: list[Out] = []
        if is_first and response.status == 100:
            return [LegTried(self.n)]
        for out in uac.receive(response, self.flow):
            outs += self._translate(uac, out, is_first=is_first)
        return outs

    def _answer_challenge(self, n: int, response: Response, flow: Flow) -> list[Out]:
        """The challenged request once more with credentials, to the very server that made the nonce (§22.2)."""
        uac = self._uacs.get(n)
        request = self._bye_request if n == self._bye else uac.request if uac is not None and uac.is_pending else None
        tries = self._tries.pop(n, 0)
        if self._credentials is None or request is None:
            return []
        again = self._credentials.answer(response, request, tries)
        if again is None:
            return []
        user = self._next_user()
        self._tries[user[2]] = tries + 1
        if self.dialog is not None:
            self.dialog.local_cseq = max(self.dialog.local_cseq, again.cseq.number)
        if uac is None:
            self._bye, self._bye_request = user[2], again
            return [SendRequest(user, again, self.peer.interface, "", flow=flow)]
        del self._uacs[n]
        uac.again(user, again)
        said: list[Out] = [LegChallenged(self.n)] if self.state is State.SETUP else []
        return [*said, *self._send_invite(uac, "", flow)]

    def _translate(self, uac: InviteUac, out: Order | invite_uac.Report, *, is_first: bool) -> Iterable[Out]:
        match out:
            case invite_uac.Progressed(response):
                return [LegProgressed(self.n, response.status, _description(response))] if is_first else []
            case invite_uac.Accepted(response) if self.state in (State.ENDING, State.CLOSED):
                return uac.acknowledge(flow=self.flow)
            case invite_uac.Accepted(response):
                body = _description(response)
                return [LegAnswered(self.n, body) if is_first else LegReanswered(self.n, body)]
            case invite_uac.Refused(response) if self.state in (State.ENDING, State.CLOSED):
                return []
            case invite_uac.Refused(response) if is_first:
                self.state = State.CLOSED
                return [LegRefused(self.n, response.status, q850_of(response))]
            case invite_uac.Refused(response):
                return [LegRerefused(self.n, response.status, fatal=response.status in (408, 481))]
            case order:
                return [order]

    def take_loss(self, detail: str, n: int) -> list[Out]:
        """The connection of an INVITE of ours is gone while only its 100 was here."""
        uac = self._uacs.get(n)
        if self.state is not State.SETUP or uac is None or not uac.is_pending:
            return []
        return [LegDisconnected(self.n, detail)]

    def take_failure(self, failure: TransactionFailed, n: int) -> list[Out]:
        """A transaction of ours ended without a final response."""
        if n == self._bye:
            self.state = State.CLOSED
            return []
        uac = self._uacs.get(n)
        if uac is None or not uac.fail():
            return []
        cause = Cause.UNREACHABLE if failure.why == "transport" else Cause.NO_REPLY
        if self.state is State.SETUP:
            self.state = State.CLOSED
            return [LegFailed(self.n, cause, failure.detail)]
        return [LegRerefused(self.n, cause.status, fatal=True)]

    def tick(self, now: float) -> list[Out]:
        if self.uas is None:
            return []
        outs: list[Out] = []
        for out in self.uas.tick(now):
            if not isinstance(out, AckMissing):
                outs.append(out)
            elif self.state is State.ENDING:
                outs += self._send_bye()
            else:
                outs.append(LegUnacknowledged(self.n))
        return outs

    def next_deadline(self) -> float | None:
        return None if self.uas is None else self.uas.next_deadline()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _next_user(self) -> tuple[str, int, int]:
        self.requests += 1
        return (self.ref, self.n, self.requests)

    def _send_invite(self, uac: InviteUac, next_hop: str, flow: Flow | None) -> list[Order]:
        self._uacs[self.requests] = uac
        while len(self._uacs) > _KEPT_INVITES:
            del self._uacs[min(self._uacs)]
        return [SendRequest(uac.user, uac.request, self.peer.interface, next_hop, self.contact, flow)]


def _description(message: Request | Response) -> bytes:
    """The session description that a peer sent, also within a multipart body; nothing where that cannot be read."""
    if not message.body:
        return b""
    try:
        return description_of(message)
    except ParseError:
        return b""
