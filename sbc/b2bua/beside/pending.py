"""The two ends of a subscription, and the requests of ours within their dialogs that have no final response yet.

It sends them, answers challenges (RFC 3261 §22.2), and says when somebody has to be told 100 (RFC 4320 §4.1) or has
waited long enough. What an answer means is `subscription`'s, its only user.
"""

from msgspec import Struct

from sbc.b2bua.beside.errand import Out, patience, trying_after
from sbc.b2bua.beside.names import Names
from sbc.b2bua.context import Context
from sbc.b2bua.leg.reached import Reached
from sbc.core.address import Flow
from sbc.core.timers import TimerTable
from sbc.policy.model import Peer
from sbc.sip.commands import Respond, SendRequest
from sbc.sip.dialog.dialog import Dialog
from sbc.sip.message import Fields, Request, Response
from sbc.sip.transaction.key import ServerKey
from sbc.sip.transaction.outputs import ResponseReceived


class Side:
    """One dialog. `flow`: where a peer that has registered with us is reached; `contact`: user part of our Contact."""

    __slots__ = ("contact", "dialog", "flow", "peer", "reached")

    def __init__(self, peer: Peer, contact: str, flow: Flow | None, dialog: Dialog | None = None) -> None:
        self.peer = peer
        self.contact = contact
        self.flow = flow
        self.reached = Reached()
        self.dialog = dialog

    def speaks(self, request: Request, flow: Flow) -> None:
        """SUBSCRIBE and NOTIFY say where their sender is from now on (RFC 3261 §12.2, RFC 6665 §4.5.1)."""
        if self.dialog is not None:
            self.dialog.refresh_target(request)
        self.flow = self.reached.spoke(flow, self.flow)

    def moves_to(self, flow: Flow) -> None:
        """A peer that has registered with us is there now; but out of TLS it is not followed."""
        if self.reached.takes(flow):
            self.flow = flow

    def begins(self, request: Request, flow: Flow) -> None:
        """The peer's request that makes the dialog."""
        self.reached.spoke(flow, None)
        self.reached.invited(request)


class Sent(Struct, frozen=True, eq=False):
    """`key`: the request of the other side that it was sent for; None: it is our own. `is_last`: NOTIFY "terminated".

    `wanted`: seconds, of a SUBSCRIBE. `tries`: how often it has gone out with credentials.
    """

    side: Side
    request: Request
    key: ServerKey | None = None
    is_last: bool = False
    wanted: int | None = None
    tries: int = 0


class Pending:
    def __init__(self, names: Names, context: Context) -> None:
        self._names = names
        self._context = context
        self._sent: dict[int, Sent] = {}
        self._trying: TimerTable[int] = TimerTable()
        self._late: TimerTable[int] = TimerTable()

    def __len__(self) -> int:
        return len(self._sent)

    def peer(self, n: int) -> Peer | None:
        sent = self._sent.get(n)
        return None if sent is None else sent.side.peer

    def side(self, n: int) -> Side | None:
        sent = self._sent.get(n)
        return None if sent is None else sent.side

    def ask(
        self,
        side: Side,
        method: str,
        fields: Fields,
        body: bytes,
        now: float,
        *,
        key: ServerKey | None = None,
        is_last: bool = False,
        wanted: int | None = None,
    ) -> list[Out]:
        """Nothing where there is no dialog on that side."""
        if side.dialog is None:
            return []
        request = side.dialog.request(method, fields=fields, body=body)
        timing = self._context.timing
        n, order = self._send(Sent(side, request, key, is_last, wanted), side.dialog.next_hop, side.flow)
        if key is not None:
            self._trying.set(n, now + trying_after(timing))
        self._late.set(n, now + patience(timing))
        return [order]

    def _send(self, sent: Sent, next_hop: str, flow: Flow | None) -> tuple[int, SendRequest]:
        user = self._names.next_user()
        self._sent[user[2]] = sent
        side = sent.side
        return user[2], SendRequest(user, sent.request, side.peer.interface, next_hop, side.contact, flow)

    def answered(self, n: int, response: Response) -> Sent | None:
        """What this final response answers; it is over with that."""
        sent = self.pop(n)
        if sent is not None and sent.side.dialog is not None and response.status < 300:
            sent.side.dialog.refresh_target(response)
        return sent

    def pop(self, n: int) -> Sent | None:
        self._trying.stop(n)
        self._late.stop(n)
        return self._sent.pop(n, None)

    def drop(self) -> list[ServerKey]:
        """All of them; the requests that they were sent for."""
        keys = [sent.key for sent in self._sent.values() if sent.key is not None]
        self._sent.clear()
        self._trying.clear()
        self._late.clear()
        return keys

    def challenged(self, n: int, out: ResponseReceived) -> list[Out]:
        """The request once more with credentials, to the very server that made the nonce; nothing where there are none.

        Whoever waits has waited as long as before.
        """
        sent = self._sent.get(n)
        account = None if sent is None else self._context.relations.credentials(sent.side.peer.name)
        if sent is None or account is None:
            return []
        again = account.answer(out.response, sent.request, sent.tries)
        if again is None:
            return []
        late, trying = self._late.at(n), self._trying.at(n)
        self.pop(n)
        dialog = sent.side.dialog
        if dialog is not None:
            dialog.local_cseq = max(dialog.local_cseq, again.cseq.number)
        sent = Sent(sent.side, again, sent.key, sent.is_last, sent.wanted, sent.tries + 1)
        n, order = self._send(sent, "", out.flow)
        if late is not None:
            self._late.set(n, late)
        if trying is not None:
            self._trying.set(n, trying)
        return [order]

    def tick(self, now: float) -> tuple[list[Out], list[int]]:
        """Who is told 100, and what nobody will answer any more."""
        tried = [self._sent[n].key for n in self._trying.pop_due(now)]
        return [Respond(key, 100) for key in tried if key is not None], self._late.pop_due(now)

    def next_deadline(self) -> float | None:
        return min((at for at in (self._trying.next(), self._late.next()) if at is not None), default=None)
