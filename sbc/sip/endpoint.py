"""The SIP stack behind one door: octets and orders in; reports, and commands for the runtime, out.

Parsing, stateless answers to what cannot be parsed (RFC 3261 §8.2, §18.3), transactions, and finding the next hop.
It decides nothing about calls; its user is the switch.
"""

from collections import Counter
from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from typing import Final

from msgspec.structs import replace

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.core.commands import Log
from sbc.core.hostile import fault_of
from sbc.core.ids import IdSource
from sbc.sip.build import echo_of, reply_flow, with_to_tag
from sbc.sip.checks import SILENCE, Refusal
from sbc.sip.commands import (
    Adopt,
    CancelRequest,
    CloseFlow,
    KeepAlive,
    LookUp,
    Order,
    ResendResponse,
    Respond,
    Revive,
    SendAck,
    SendMessage,
    SendRequest,
)
from sbc.sip.connections import Connections, Way, secured
from sbc.sip.events import FlowClosed, FlowFailed, LookedUp
from sbc.sip.locate import Local, LocalKey, Locator, News, Unlocated
from sbc.sip.message import Fields, Request, Response
from sbc.sip.method import KNOWN_METHODS
from sbc.sip.parse import ParseError, parse_message
from sbc.sip.serialize import serialize
from sbc.sip.sips import asks_for_sips, wants_sips_back
from sbc.sip.status import COUNTED, reason_phrase
from sbc.sip.timing import DEFAULT_TIMING, Timing
from sbc.sip.transaction.layer import TransactionLayer
from sbc.sip.transaction.outputs import Out as TransactionOut
from sbc.sip.transaction.outputs import TransactionFailed
from sbc.sip.transaction.saved import SavedInvite, SavedServer, without_connection

Out = TransactionOut | CloseFlow | LookUp | Log
Door = Callable[[Request], Refusal | None]
Listeners = Mapping[LocalKey, Local]

_PING: Final = b"\r\n\r\n"  # RFC 5626 §3.5.1


class _Waiting:
    """Requests for one next hop, and what is missing to find it. At `until` they fail."""

    __slots__ = ("orders", "until", "wanted")

    def __init__(self, until: float) -> None:
        self.until = until
        self.orders: list[SendRequest | SendAck] = []
        self.wanted: tuple[LookUp, ...] = ()


class Endpoint:
    """`server_name` goes out as User-Agent and Server."""

    def __init__(
        self, locals_: Mapping[LocalKey, Local], ids: IdSource, server_name: str, timing: Timing = DEFAULT_TIMING
    ) -> None:
        self.layer = TransactionLayer(ids, timing)
        self.locator = Locator(locals_, ids)
        self.counts: Counter[tuple[str, str, str]] = Counter()  # (direction, method or "other", status)
        self.dropped: Counter[str] = Counter()
        self.layer.dropped = self.dropped
        self._ids = ids
        # By whose listeners a user's requests leave, where they are not those of now: a reload has removed some.
        self.former: Callable[[Hashable], Listeners] | None = None
        # How a user's requests go over TLS; None: nothing here speaks it.
        self.way: Callable[[Hashable], Way] | None = None
        self.connections = Connections()
        self.own: Container[Address] = frozenset()  # our listeners as they are known, which are no next hops
        self.is_renamed = False  # policy gives some peers another User-Agent or Server, which takes the place of ours
        self._user_agent: Fields = (("User-Agent", server_name),)
        self._server: Fields = (("Server", server_name),)
        self._waiting: dict[tuple[str, str], _Waiting] = {}  # by next hop and interface

    # --- in -----------------------------------------------------------------------------------------------------------

    def receive(
        self, data: bytes, flow: Flow, now: float, door: Door | None = None, *, is_quiet: bool = False, peer: str = ""
    ) -> tuple[Request | Response | None, list[Out]]:
        """One whole message. Returns it (None: not readable, or turned away at the door) and what follows.

        `door` is asked about every request that belongs to no transaction, before it becomes one. `is_quiet`: what
        cannot be read is not answered. `peer`: who sent it, for his share of the table of transactions.
        """
        try:
            message = parse_message(data, stream=flow.transport is not Transport.UDP)
        except ParseError as error:
            return None, self._refuse_unreadable(error, flow, is_quiet=is_quiet)
        if flow.transport is Transport.TLS:
            self.connections.heard(message, flow)
        if isinstance(message, Request):
            refusal = None if door is None or self.layer.knows(message) else door(message)
            if refusal is not None:
                # Who has proved nothing may have written another's address into his request.
                octets = len(data) if is_quiet and flow.transport is Transport.UDP else None
                return None, self._turn_away(message, flow, refusal, octets)
            self.counts["received", _counted(message.method), ""] += 1
            return message, list(self.layer.receive_request(message, flow, now, peer=peer, octets=len(data)))
        self.counts["received", _counted(message.cseq.method), COUNTED[message.status]] += 1
        return message, list(self.layer.receive_response(message, now, flow))

    def bad_frame(self, data: bytes, flow: Flow) -> list[Out]:
        """What a stream brought cannot be told from what follows it: answer if possible, and close (§18.3)."""
        outs: list[Out] = []
        try:
            parse_message(data, stream=True)
        except ParseError as error:
            outs = self._refuse_unreadable(error, flow)
        outs.append(CloseFlow(flow))
        return outs

    def handle(self, event: FlowFailed | FlowClosed | LookedUp, now: float) -> list[Out]:
        if isinstance(event, FlowClosed):
            self.connections.gone(event.flow)
            return list(self.layer.close_flow(event.flow, event.senders))
        if isinstance(event, FlowFailed):
            self.connections.gone(event.flow)
            return list(self.layer.fail_flow(event.flow, event.reason, now, was_open=event.was_open))
        self.locator.learn(event, now)
        return [*self._go_on(event, now), *self.locator.due(now)]

    def watch(self, servers: Iterable[tuple[str, str]], now: float) -> list[Out]:
        """Look up these servers (next hop and interface) and keep what is known of them fresh; replaces those before.
        What is found out about them comes by `news`.
        """
        self.locator.watch(servers, now)
        return [*self.locator.due(now)]

    def news(self) -> News:
        """What look-ups have changed for watched servers since this was asked last."""
        return self.locator.news()

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = list(self.layer.tick(now))
        for event in self.locator.give_up(now):
            outs += self._go_on(event, now)
        return [*outs, *self.locator.due(now), *self._give_up(now)]

    def next_deadline(self) -> float | None:
        waiting = (one.until for one in self._waiting.values())
        deadlines = (self.layer.next_deadline(), self.locator.next_deadline(), min(waiting, default=None))
        return min((at for at in deadlines if at is not None), default=None)

    @property
    def waiting(self) -> int:
        """Requests that wait for names."""
        return sum(len(one.orders) for one in self._waiting.values())

    def change_locals(self, locals_: Listeners, now: float) -> list[Out]:
        """Other listeners from now on; see `former` for what began by those before."""
        self.locator.change_locals(locals_, now)
        return [*self.locator.due(now)]

    # --- out ----------------------------------------------------------------------------------------------------------

    def perform(self, order: Order, now: float) -> list[Out]:
        match order:
            case Respond():
                return self._respond(order, now)
            case SendRequest() | SendAck():
                return self._send(order, now)
            case CancelRequest(user, reason):
                return self._cancel(user, reason, now)
            case Adopt(key, user):
                self.layer.adopt(key, user)
                return []
            case ResendResponse(key):
                return list(self.layer.resend(key))
            case Revive(saved, user):
                return self._revive(saved, user, now)
            case KeepAlive(flow, user):
                flows = self._by_tls(flow, user) if flow.transport is Transport.TLS else (flow,)
                return [SendMessage(flows[0], _PING)]

    def _revive(self, saved: SavedServer | SavedInvite, user: Hashable, now: float) -> list[Out]:
        if isinstance(saved, SavedServer):
            self.layer.revive(saved, user, now)
            return []
        flow = saved.flow
        proof = "" if self.way is None or flow.transport is not Transport.TLS else self.way(user).proof
        flow = without_connection(flow, (proof,) if proof else flow.proved[:1])
        return list(self.layer.abandon(saved, flow, user, now))

    def _respond(self, order: Respond, now: float) -> list[Out]:
        fields = order.fields
        if order.contact is not None:
            flow = self.layer.flow_of(order.key)
            if flow is not None:
                locals_ = self.locator.locals if self.former is None else self.former(self.layer.user_of(order.key))
                is_sips = flow.transport is Transport.TLS and self._wants_sips(order.key)
                contact = self._contact(order.contact, flow, locals_, is_sips=is_sips)
                fields = (("Contact", contact + order.features), *fields)
        if order.status > 100 and not (self.is_renamed and _names_software(order.fields)):
            fields = self._server + fields
        self.counts["sent", _counted(order.key[-1]), str(order.status)] += 1
        return list(
            self.layer.respond(order.key, order.status, now, to_tag=order.to_tag, fields=fields, body=order.body)
        )

    def _send(self, order: SendRequest | SendAck, now: float) -> list[Out]:
        flow: Flow | Unlocated
        locals_ = self.locator.locals if self.former is None else self.former(order.user)
        if self.way is not None and order.flow is None:
            order = self._secured(order)
        flow = order.flow or self.locator.locate(order.next_hop, order.interface, now, locals_)
        if isinstance(flow, Unlocated):
            return self._wait_or_fail(order, flow, now)
        fault = self._why_not_to(flow)
        if fault is not None:
            self.dropped["hostile_target"] += 1
            return self._fail(order, f"{flow.remote} is {fault}: nothing is sent there")
        local = locals_.get((flow.interface, flow.transport, flow.remote.is_ipv6))
        if local is None:
            return self._fail(order, f"interface {flow.interface} has no listener for {flow}")
        spare: Flow | None = None
        if flow.transport is Transport.TLS:
            flow, *others = self._by_tls(flow, order.user)
            spare = others[0] if others else None
        if spare is None and not flow.connection and flow.transport.is_reliable:
            spare = flow  # it goes out on a connection that may be there, and that may be lost
        request = order.request
        self.counts["sent", request.method, ""] += 1
        if isinstance(order, SendAck):
            request = Request(request.method, request.uri_text, request.fields + self._user_agent, request.body)
            return list(self.layer.send_ack(request, flow, local.sent_by, order.user))
        extra = () if self.is_renamed and _names_software(request.fields) else self._user_agent
        if order.contact is not None:
            is_sips = flow.transport is Transport.TLS and asks_for_sips(request)
            contact = self._contact(order.contact, flow, locals_, order.contact_params, is_sips=is_sips)
            contact += order.features
            extra = (("Contact", contact), *extra)
        request = Request(request.method, request.uri_text, request.fields + extra, request.body)
        _, outs = self.layer.send_request(request, flow, local.sent_by, order.user, now, spare=spare)
        return list(outs)

    def _why_not_to(self, flow: Flow) -> str | None:
        """Whoever wrote the next hop: a peer's Contact or Route, or a name that a name server gave this address."""
        remote = flow.remote
        if flow.connection:
            return None  # who is at its other end has come there himself
        if remote in self.own:
            return "a listener of our own"
        return fault_of(remote.host, flow.local.host)

    def _by_tls(self, flow: Flow, user: Hashable) -> tuple[Flow, ...]:
        """The flow, and the one that takes its place if it is lost."""
        return (flow,) if self.way is None else tuple(self.connections.choose(flow, self.way(user)))

    def _secured(self, order: SendRequest | SendAck) -> SendRequest | SendAck:
        """Who speaks by TLS alone gets nothing by anything else, whatever his Contact says; nor does a SIPS URI, nor
        who is in a dialog that was set up over TLS.
        """
        way = None if self.way is None else self.way(order.user)
        is_sips = order.request.uri_text[:5].lower() == "sips:"
        if not is_sips and (way is None or not way.is_secure):
            return order
        hop = secured(order.next_hop, None if way is None else way.by_tls)
        return order if hop == order.next_hop else replace(order, next_hop=hop)

    # --- requests whose next hop is being looked up -------------------------------------------------------------------

    def _wait_or_fail(self, order: SendRequest | SendAck, unlocated: Unlocated, now: float) -> list[Out]:
        if not unlocated.is_pending:
            return self._fail(order, unlocated.reason)
        place = (order.next_hop, order.interface)
        most = limits.REQUESTS_AWAITING_NAMES
        if not self.locator.is_watched(*place):
            most = int(most * limits.PEER_SHARE)  # a name that a peer has made up leaves room for those of servers
        if self.waiting >= most:
            self.dropped["names_full"] += 1
            return self._fail(order, "too many requests wait for names")
        waiting = self._waiting.get(place)
        if waiting is None:
            waiting = self._waiting[place] = _Waiting(now + limits.NAME_WAIT_SECONDS)
        waiting.orders.append(order)
        waiting.wanted = unlocated.wanted
        return [*self.locator.due(now)]

    def _go_on(self, event: LookedUp, now: float) -> list[Out]:
        """Send what this answer was missing for; one that was waited for may be followed by the wish for another."""
        outs: list[Out] = []
        asked = LookUp(event.name, event.kind)
        for place in [place for place, waiting in self._waiting.items() if asked in waiting.wanted]:
            found = self.locator.candidates(*place, now)
            if isinstance(found, Unlocated) and found.is_pending:
                self._waiting[place].wanted = found.wanted
                continue
            for order in self._waiting.pop(place).orders:
                outs += self.perform(order, now)
        return outs

    def _give_up(self, now: float) -> list[Out]:
        """No answer keeps a call for ever: it hunts on."""
        late = [place for place, waiting in self._waiting.items() if waiting.until <= now]
        return [
            out
            for place in late
            for order in self._waiting.pop(place).orders
            for out in self._fail(order, f"no answer from the DNS for {order.next_hop}")
        ]

    def _fail(self, order: SendRequest | SendAck, reason: str) -> list[Out]:
        if isinstance(order, SendAck):
            self.dropped["ack_unlocated"] += 1
            return []
        return [TransactionFailed(order.user, ("", order.request.method), "transport", reason)]

    def _cancel(self, user: Hashable, reason: str | None, now: float) -> list[Out]:
        for place, waiting in self._waiting.items():
            for order in waiting.orders:
                if order.user == user and isinstance(order, SendRequest):
                    waiting.orders.remove(order)  # it is not even out, and nobody else will end it
                    if not waiting.orders:
                        del self._waiting[place]
                    return self._fail(order, "cancelled before it was sent")
        return list(self.layer.cancel(user, now, reason))

    # --- what messages of ours have in common -------------------------------------------------------------------------

    def _wants_sips(self, key: tuple[str, ...]) -> bool:
        request = self.layer.request_of(key)
        return request is not None and wants_sips_back(request)

    def _contact(self, user: str, flow: Flow, locals_: Listeners, params: str = "", *, is_sips: bool = False) -> str:
        local = locals_.get((flow.interface, flow.transport, flow.local.is_ipv6))
        sent_by = local.sent_by if local is not None else str(flow.local)
        address = f"{user}@{sent_by}" if user else sent_by
        transport = "" if flow.transport is Transport.UDP else f";transport={flow.transport}"
        if is_sips:
            return f"<sips:{address}{f';{params}' if params else ''}>"
        # Deviation: "UAs MUST NOT use the "transport=tls" parameter", RFC 5630 §5.1.1. Without it a sip URI means UDP
        # to peers, and they would answer in the clear; with it, RFC 3261 §26.2.2 has them come by TLS.
        return f"<sip:{address}{transport}{f';{params}' if params else ''}>"

    def _turn_away(self, request: Request, flow: Flow, refusal: Refusal, octets: int | None) -> list[Out]:
        if refusal is SILENCE:
            self.dropped["unauthenticated"] += 1
            return []
        method = _counted(request.method)
        self.counts["received", method, ""] += 1
        fields = self._server + refusal.fields
        outs = self.layer.refuse(request, flow, refusal.status, fields, octets=octets)
        if not outs:
            self.dropped["would_amplify"] += 1
            return []
        self.counts["sent", method, str(refusal.status)] += 1
        return list(outs)

    def _refuse_unreadable(self, error: ParseError, flow: Flow, *, is_quiet: bool = False) -> list[Out]:
        """A bad response is dropped, a bad ACK too; a bad request is answered without keeping any state (§8.2.7)."""
        self.dropped["unreadable"] += 1
        request = error.partial
        if is_quiet or request is None or request.method == "ACK":
            return []
        echo = with_to_tag(request, echo_of(request, flow.remote), self._ids.tag())
        self.counts["sent", _counted(request.method), str(error.status)] += 1
        response = Response(error.status, error.reason or reason_phrase(error.status), echo + self._server)
        return [SendMessage(reply_flow(request, flow), serialize(response))]


def _names_software(fields: Fields) -> bool:
    return any(name in ("User-Agent", "Server") for name, _ in fields)


def _counted(method: str) -> str:
    """Methods are counted by name only where we know the name: a peer must not make counters."""
    return method if method in KNOWN_METHODS else "other"
