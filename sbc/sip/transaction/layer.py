"""Matches messages to transactions, creates and expires them (RFC 3261 §17, §8.2.2.2, §9.2).

Strays are named cases: an ACK for a 2xx goes up, any other ACK without a transaction is dropped; a CANCEL without its
INVITE gets 481; a 2xx to an INVITE without a transaction goes up, any other response is dropped. How a CANCEL of ours
fares is told to nobody: what counts is the INVITE's final response, or its absence. It parses nothing and knows no
dialog.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Collection, Hashable, Sequence
from typing import Final

from msgspec.structs import replace

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.core.ids import IdSource
from sbc.core.shares import Shares
from sbc.core.timers import Schedule
from sbc.sip.build import cancel_for, echo_of, fallback_flow, reply_flow, with_to_tag
from sbc.sip.commands import SendMessage
from sbc.sip.headers.via import parse_via
from sbc.sip.message import Fields, Request, Response
from sbc.sip.overload_params import OFFERED, Asked, asked, asks, reported
from sbc.sip.serialize import serialize, serialize_request
from sbc.sip.small import fitting
from sbc.sip.status import reason_phrase
from sbc.sip.timing import DEFAULT_TIMING, Timing
from sbc.sip.transaction.client import Client
from sbc.sip.transaction.hops import goes_by, is_same_hop
from sbc.sip.transaction.invite_client import InviteClient
from sbc.sip.transaction.invite_server import InviteServer
from sbc.sip.transaction.key import ClientKey, MergeKey, ServerKey, client_key, merge_key, server_key
from sbc.sip.transaction.outputs import (
    AckReceived,
    CancelDue,
    CancelReceived,
    ConnectionLost,
    Out,
    ResponseStrayed,
)
from sbc.sip.transaction.saved import SavedInvite, SavedServer, without_connection
from sbc.sip.transaction.server import Server

_NO_KEY: Final[ClientKey] = ("", "")
# What stands before sent-by, and after the branch. Over TLS "the client … wants to create a transport layer alias",
# RFC 5923 §8.1: our listener and the connection are one, and who has proved us may ask back by it.
_VIA: Final = {
    "udp": ("SIP/2.0/UDP ", ";rport"),
    "tcp": ("SIP/2.0/TCP ", ";rport"),
    "tls": ("SIP/2.0/TLS ", ";rport;alias"),
}


class TransactionLayer:
    """Every transaction of the program. Reports carry the `user` that a transaction was started or adopted with."""

    def __init__(self, ids: IdSource, timing: Timing = DEFAULT_TIMING) -> None:
        self._ids = ids
        self._timing = timing
        self._clients: dict[ClientKey, InviteClient | Client] = {}
        self._servers: dict[ServerKey, InviteServer | Server] = {}
        self._merges: dict[MergeKey, ServerKey] = {}
        self._invites: dict[Hashable, ClientKey] = {}  # by user, to cancel and to acknowledge
        self._schedule: Schedule[tuple[str, ...]] = Schedule()
        self._tag_key = b""  # drawn when first needed
        self.octets = Shares()  # of the messages that server transactions keep
        self.places = Shares()  # server transactions
        # Whether a request may have its place although its sender's share is used up: of a dialog, or an emergency.
        self.is_spared: Callable[[Request, str], bool] = lambda _, __: False
        self.dropped: Counter[str] = Counter()  # what was refused for want of room, by reason; shared with the endpoint
        self._weight = ("", 0)  # of the request in hand: its peer and its octets
        # Overload control with neighbours (RFC 7339): what a peer that asked is told, "" where nothing; whether to ask
        # who is at the end of a flow; and what he has said.
        self.report: Callable[[str], str] = lambda _: ""
        self.offers: Callable[[Flow, str], bool] = lambda _, __: False
        self.was_asked: Callable[[Flow, Asked, float], None] = lambda _, __, ___: None
        # What a TLS connection must prove that is opened for a response to this peer.
        self.proof: Callable[[str], tuple[str, ...]] = lambda _: ()
        self.taken_by: Hashable = None  # user of the transaction that took the last received message; for the trace

    def __len__(self) -> int:
        return len(self._clients) + len(self._servers)

    def count(self, *, but: Collection[str]) -> int:
        """Transactions of all methods but these."""
        return sum(key[-1] not in but for keys in (self._clients, self._servers) for key in keys)

    def count_timed(self, *, but: Collection[str]) -> int:
        """As `count`, of those that a timer will end."""
        return sum(key[-1] not in but for key in self._schedule)

    def uses(self, transport: Transport, local: Address) -> bool:
        """Whether any transaction goes by this address of ours."""
        return any(
            one.flow.local == local and one.flow.transport is transport
            for one in (*self._clients.values(), *self._servers.values())
        )

    # --- what came in -------------------------------------------------------------------------------------------------

    def receive_request(
        self, request: Request, flow: Flow, now: float, *, peer: str = "", octets: int = 0
    ) -> list[Out]:
        """`peer`: who sent it, for his share of what can be remembered; `octets`: its length."""
        key = server_key(request)
        server = self._servers.get(key)
        self.taken_by = None
        if server is not None:
            self.taken_by = server.user
            if flow.connection != server.flow.connection and is_same_hop(server.came, flow):
                # The peer has connected anew and asks again: that is where it listens, §18.2.2.
                server.flow = server.came = flow
            return self._settle_server(server, server.receive(request, now))
        if request.method == "ACK":
            return [AckReceived(request, flow)]
        if self._is_full(request, peer):
            self.dropped["transactions_full"] += 1
            return self.refuse(request, flow, 503)
        self._weight = (peer, octets)
        if request.method == "CANCEL":
            return self._receive_cancel(key, request, flow, now)
        merge = None
        if request.to.tag is None:
            merge = merge_key(request)
            if merge in self._merges:
                server = self._create_server(key, None, request, flow)
                return self.respond(server.key, 482, now)
            self._merges[merge] = key
        server = self._create_server(key, merge, request, flow)
        return self._settle_server(server, server.start(now))

    def receive_response(self, response: Response, now: float, flow: Flow | None = None) -> list[Out]:
        """`flow`: by which it came."""
        client = self._clients.get(client_key(response))
        # "If more than one Via header field value is present in a response, the UAC SHOULD discard" it, §8.1.3.3
        if client is None or len(response.values("Via")) > 1:
            self.taken_by = None
            is_stray = client is None and 200 <= response.status < 300 and response.cseq.method == "INVITE"
            return [ResponseStrayed(response, flow)] if is_stray and flow is not None else []
        self.taken_by = client.user
        if client.via.endswith(OFFERED):
            said = asked(response.via)
            if said is not None:
                self.was_asked(client.flow, said, now)
        return self._settle_client(client, client.receive(response, now), now)

    def fail_flow(self, flow: Flow, reason: str, now: float, *, was_open: bool = False) -> list[Out]:
        """Octets for `flow.remote` could not be delivered: every request to it that nobody has answered has failed.

        `was_open`: the connection had stood when they were sent. A response whose connection is gone is sent again on a
        new one.
        """
        hit = [client for client in self._clients.values() if goes_by(client.flow, flow)]
        outs: list[Out] = []
        for client in hit:
            may_change = was_open or client.spare != client.flow  # a new connection to where there is none is no chance
            if client.spare is not None and may_change and client.flow.connection == flow.connection:
                outs += _change_over(client)
            elif client.is_waiting:
                outs += self._settle_client(client, client.fail(reason, now), now)
            elif isinstance(client, InviteClient) and client.is_doubtful:
                outs.append(ConnectionLost(client.user, reason))
        if flow.connection:
            for server in self._servers.values():
                if server.flow.connection == flow.connection:
                    outs += self._reroute(server)
        return outs

    def close_flow(self, flow: Flow, senders: Sequence[Flow] = ()) -> list[Out]:
        """The other side has ended this connection: no answer comes by it any more. What crossed its end may have been
        read or not, and goes once more by another connection: there it is the same request (RFC 3261 §17.2.3).
        `senders`: by which flows without a number it has gone out there.
        """
        if not flow.connection:
            return []
        hit = [
            client
            for client in self._clients.values()
            if client.flow.connection == flow.connection or client.flow in senders
        ]
        return [out for client in hit if client.spare is not None for out in _change_over(client)]

    def tick(self, now: float) -> list[Out]:
        """Of those that have something to say a bounded number. What is over is forgotten at once, all of it: under a
        flood by streams, whose transactions end as soon as they are answered, it would pile up (timer J, §17.2.2).
        """
        outs: list[Out] = []
        left, may_speak = len(self._schedule), limits.TRANSACTIONS_DUE_AT_ONCE
        while left > 0 and may_speak and (due := self._schedule.pop_due(now, may_speak)):
            left -= len(due)
            for key in due:
                said = self._tick(key, now)
                may_speak -= bool(said)
                outs += said
        return outs

    def _tick(self, key: ClientKey | ServerKey, now: float) -> list[Out]:
        client = self._clients.get(key) if len(key) == 2 else None
        if client is not None:
            return self._settle_client(client, client.tick(now), now)
        server = self._servers.get(key)
        return [] if server is None else self._settle_server(server, server.tick(now))

    def next_deadline(self) -> float | None:
        return self._schedule.next()

    # --- what shall go out --------------------------------------------------------------------------------------------

    def send_request(
        self, request: Request, flow: Flow, sent_by: str, user: Hashable, now: float, *, spare: Flow | None = None
    ) -> tuple[ClientKey, list[Out]]:
        """Start a client transaction. `request` has no Via: one with a new branch is put first. `spare`: where it goes
        once more if the connection of `flow` is lost; `flow` itself, where that names none: by a new one, if there was
        one.
        """
        branch = self._ids.branch()
        before, after = _VIA[flow.transport]
        via = f"{before}{sent_by};branch={branch}{after}"
        if self.offers(flow, request.method):
            via += OFFERED
        return self._start_client((branch, request.method), request, via, flow, user, now, spare)

    def cancel(self, user: Hashable, now: float, reason: str | None = None) -> list[Out]:
        """Cancel the INVITE of `user` as soon as that is allowed (§9.1); after its final response nothing happens."""
        client = self._clients.get(self._invites.get(user, _NO_KEY))
        if not isinstance(client, InviteClient):
            return []
        return self._settle_client(client, client.cancel(cancel_for(client.request, reason=reason), now), now)

    def send_ack(self, ack: Request, flow: Flow, sent_by: str, user: Hashable) -> list[Out]:
        """The ACK of a 2xx: a transaction of its own without state (§13.2.2.4).

        The INVITE transaction of `user` repeats it for every repetition of that 2xx.
        """
        before, after = _VIA[flow.transport]
        via = f"{before}{sent_by};branch={self._ids.branch()}{after}"
        data = serialize_request("ACK", ack.uri_text, ack.fields, ack.body, via)
        message = SendMessage(flow, data, user)
        invite = self._clients.get(self._invites.get(user, _NO_KEY))
        if isinstance(invite, InviteClient):
            invite.acknowledge(ack.to.tag, message)
        return [message]

    def adopt(self, key: ServerKey, user: Hashable) -> None:
        """Name who wants to hear of a CANCEL of this request."""
        server = self._servers.get(key)
        if server is not None:
            server.user = user

    def user_of(self, key: ServerKey) -> Hashable:
        """Who was named by `adopt`."""
        server = self._servers.get(key)
        return None if server is None else server.user

    def user_of_invite(self, branch: str) -> Hashable:
        """Who sent the INVITE with this branch, if it was one of us."""
        client = self._clients.get((branch, "INVITE"))
        return None if client is None else client.user

    def request_of(self, key: ServerKey) -> Request | None:
        server = self._servers.get(key)
        return None if server is None else server.request

    def flow_of(self, key: ServerKey) -> Flow | None:
        """Where the response to the request of `key` goes."""
        server = self._servers.get(key)
        return None if server is None else server.flow

    def respond(
        self,
        key: ServerKey,
        status: int,
        now: float,
        *,
        to_tag: str = "",
        fields: Fields = (),
        body: bytes = b"",
        reason: str | None = None,
    ) -> list[Out]:
        """Answer the request of `key`; a response to a transaction that is gone or has answered goes nowhere."""
        server = self._servers.get(key)
        if server is None:
            return []
        echo = server.echo
        if status > 100:
            # "the same To tag MUST be used for all responses to that request" but 100, §8.2.6.2
            server.to_tag = to_tag or server.to_tag or self._ids.tag()
            echo = with_to_tag(server.request, echo, server.to_tag)
        if server.wants_report:
            echo = self._reporting(server, echo)
        response = Response(status, reason_phrase(status) if reason is None else reason, echo + fields, body)
        return self._settle_server(server, server.send(status, serialize(response), now))

    def knows(self, request: Request, method: str | None = None) -> bool:
        """Whether it belongs to a server transaction; with `method` INVITE: whether what this CANCEL is about does."""
        return server_key(request, method) in self._servers

    def has(self, key: ServerKey) -> bool:
        """Whether this is a server transaction's key."""
        return key in self._servers

    def refuse(
        self, request: Request, flow: Flow, status: int, fields: Fields = (), *, octets: int | None = None
    ) -> list[Out]:
        """One answer, nothing remembered and nothing repeated (§8.2.7). Not for ACK. `octets`: how long it may be at
        most; nothing where it cannot be made to fit."""
        echo = with_to_tag(request, echo_of(request, flow.remote), self._tag_for(request))
        if octets is None:
            data: bytes | None = serialize(Response(status, reason_phrase(status), echo + fields))
        else:
            data = fitting(status, reason_phrase(status), echo, fields, octets)
        return [] if data is None else [SendMessage(reply_flow(request, flow), data)]

    def resend(self, key: ServerKey) -> list[Out]:
        """The last response again: a 2xx is repeated by its user until the ACK comes (§13.3.1.4)."""
        server = self._servers.get(key)
        if server is None or server.data is None:
            return []
        return [SendMessage(server.flow, server.data, server.user)]

    # --- across the death of the process ------------------------------------------------------------------------------

    def saved_server(self, key: ServerKey) -> SavedServer | None:
        """A request of a peer as a value; None: it is over."""
        server = self._servers.get(key)
        return None if server is None else server.saved()

    def saved_invite(self, user: Hashable) -> SavedInvite | None:
        """The INVITE that `user` sent as a value; None: it has its final response, or is over."""
        client = self._clients.get(self._invites.get(user, _NO_KEY))
        return client.saved() if isinstance(client, InviteClient) else None

    def revive(self, saved: SavedServer, user: Hashable, now: float) -> None:
        """A request of a peer is known again, and can be answered. Where its connection is gone, the answer goes as
        §18.2.2 wants it; or by the one that the peer comes back on with it. Raises ValueError for an unknown state.
        """
        if saved.key in self._servers or (saved.until is not None and saved.until <= now):
            return
        request = saved.request()
        flow = (fallback_flow(request, saved.flow) if saved.echo else None) or saved.flow
        proved = self.proof(saved.peer) if flow.transport is Transport.TLS else ()
        kind = InviteServer if request.method == "INVITE" else Server
        flow = without_connection(flow, proved)
        server = kind(saved.key, saved.merge, request, saved.echo, flow, self._timing)
        server.revive(saved, now)
        self._weight = (saved.peer, saved.octets)
        self._enter_server(server)
        if saved.merge is not None:
            self._merges[saved.merge] = saved.key
        server.user = user
        self._settle_server(server, [])

    def abandon(self, saved: SavedInvite, flow: Flow, user: Hashable, now: float) -> list[Out]:
        """An INVITE of ours is cancelled, and whatever answers it has its ACK; a 2xx goes up. `flow`: where it went.

        Raises ParseError for what cannot be read.
        """
        request = saved.request()
        branch = parse_via(saved.via).branch or ""
        if (branch, "INVITE") in self._clients:
            return []
        data = saved.head + b"\r\n\r\n"  # as much as there is of what is never sent again
        client = InviteClient((branch, "INVITE"), request, saved.via, data, flow, user, self._timing)
        self._clients[client.key] = client
        self._invites[user] = client.key
        return self._settle_client(client, client.abandon(cancel_for(request), saved.sent_at, now), now)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _reporting(self, server: InviteServer | Server, echo: Fields) -> Fields:
        """What the client may send us is said in the top Via of every response to it (RFC 7339 §5.2)."""
        said = self.report(server.weight[0])
        if not said:
            return echo
        top = next(n for n, (name, _) in enumerate(echo) if name == "Via")
        return (*echo[:top], ("Via", reported(echo[top][1], said)), *echo[top + 1 :])

    def _is_full(self, request: Request, peer: str) -> bool:
        """What belongs to something that has begun has the whole table and some room more; so has an emergency."""
        places, octets, share = self.places, self.octets, limits.PEER_SHARE
        if places.total < limits.TRANSACTIONS * share and octets.total < limits.TRANSACTION_OCTETS * share:
            return False  # nobody's share is used up: what nearly always is, and cheap
        if not (places.is_full(peer, limits.TRANSACTIONS) or octets.is_full(peer, limits.TRANSACTION_OCTETS)):
            return False
        if places.total >= limits.TRANSACTIONS + limits.TRANSACTIONS_RESERVED:
            return True
        is_ours = request.method == "CANCEL" and server_key(request, "INVITE") in self._servers
        return not is_ours and not self.is_spared(request, peer)

    def _reroute(self, server: InviteServer | Server) -> list[Out]:
        way = fallback_flow(server.request, server.flow)
        if way is not None and way.transport is Transport.TLS:
            way = replace(way, proved=self.proof(server.weight[0]))
        server.flow = way or server.flow
        return [] if server.data is None else [SendMessage(server.flow, server.data, server.user)]

    def _receive_cancel(self, key: ServerKey, cancel: Request, flow: Flow, now: float) -> list[Out]:
        server = self._create_server(key, None, cancel, flow)
        invite_key = server_key(cancel, "INVITE")
        invite = self._servers.get(invite_key)
        if invite is not None and not is_same_hop(invite.came, flow):
            invite = None
        self.taken_by = server.user = None if invite is None else invite.user
        if invite is None:
            return self.respond(key, 481, now)
        # "the To tag of the response to the CANCEL and the To tag in the response to the original request SHOULD be
        # the same", §9.2. Before a response with a tag has gone out there is none to repeat.
        outs = self.respond(key, 200, now, to_tag=invite.to_tag)
        if isinstance(invite, InviteServer) and invite.is_pending:
            outs.append(CancelReceived(invite.user, invite_key, cancel))
        return outs

    def _tag_for(self, request: Request) -> str:
        """ "To header tags MUST be generated … in a manner that will generate the same tag for the same request"."""
        if not self._tag_key:
            self._tag_key = self._ids.call_id().encode("ascii")
        text = "\n".join(server_key(request)).encode("utf-8", "surrogateescape")
        return hashlib.blake2b(text, key=self._tag_key, digest_size=8).hexdigest()

    def _create_server(
        self, key: ServerKey, merge: MergeKey | None, request: Request, flow: Flow
    ) -> InviteServer | Server:
        kind = InviteServer if request.method == "INVITE" else Server
        echo = echo_of(request, flow.remote)
        server = kind(key, merge, request, echo, reply_flow(request, flow), self._timing)
        via = request.header("Via") or ""
        server.wants_report = ";oc" in via and asks(via)
        self._enter_server(server)
        return server

    def _enter_server(self, server: InviteServer | Server) -> None:
        server.weight = peer, octets = self._weight
        self.places.take(peer)
        self.octets.take(peer, octets)
        self._servers[server.key] = server

    def _start_client(
        self,
        key: ClientKey,
        request: Request,
        via: str,
        flow: Flow,
        user: Hashable,
        now: float,
        spare: Flow | None = None,
    ) -> tuple[ClientKey, list[Out]]:
        data = serialize_request(request.method, request.uri_text, request.fields, request.body, via)
        kind = InviteClient if request.method == "INVITE" else Client
        client = kind(key, request, via, data, flow, user, self._timing)
        client.spare = spare
        self._clients[key] = client
        if kind is InviteClient:
            self._invites[user] = key
        return key, self._settle_client(client, client.start(now), now)

    def _settle_client(self, client: InviteClient | Client, outs: list[Out], now: float) -> list[Out]:
        if outs and type(outs[0]) is CancelDue:
            outs = self._send_cancel(client, outs[0].cancel, now)
        if client.is_terminated:
            self._clients.pop(client.key, None)
            self._schedule.set(client.key, None)
            if self._invites.get(client.user) == client.key:
                del self._invites[client.user]
        else:
            self._schedule.set(client.key, client.next_deadline())
        if client.key[1] == "CANCEL":
            return [out for out in outs if type(out) is SendMessage]
        return outs

    def _send_cancel(self, invite: InviteClient | Client, cancel: Request, now: float) -> list[Out]:
        # "The Request-URI, Call-ID, To, the numeric part of CSeq, and From header fields in the CANCEL request MUST be
        # identical to those in the request being cancelled" and the branch too, §9.1
        _, outs = self._start_client((invite.key[0], "CANCEL"), cancel, invite.via, invite.flow, invite.user, now)
        return outs

    def _settle_server(self, server: InviteServer | Server, outs: list[Out]) -> list[Out]:
        if server.is_terminated:
            if self._servers.pop(server.key, None) is not None:
                peer, octets = server.weight
                self.places.give_back(peer)
                self.octets.give_back(peer, octets)
            self._schedule.set(server.key, None)
            if server.merge is not None and self._merges.get(server.merge) == server.key:
                del self._merges[server.merge]
        else:
            self._schedule.set(server.key, server.next_deadline())
        return outs


def _change_over(client: InviteClient | Client) -> list[Out]:
    """ "the server MUST open a new connection to the resolved address", RFC 5923 §8.2; CANCEL and the ACK of a failure
    go there as well (§8.1).
    """
    client.flow, client.spare = client.spare or client.flow, None
    return [SendMessage(client.flow, client.data, client.user)] if client.is_waiting else []
