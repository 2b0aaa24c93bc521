"""The SIP stack behind one door: octets and orders in; reports, and commands for the runtime, out.

Parsing, stateless answers to what cannot be parsed (RFC 3261 §8.2, §18.3), transactions, and finding the next hop.
It decides nothing about calls; its user is the switch.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from typing import Final

from sbc.core.address import Flow, Transport
from sbc.core.ids import IdSource
from sbc.sip.build import echo_of, reply_flow, with_to_tag
from sbc.sip.commands import (
    Adopt,
    CancelRequest,
    CloseFlow,
    KeepAlive,
    LookUp,
    Order,
    ResendResponse,
    Respond,
    SendAck,
    SendMessage,
    SendRequest,
)
from sbc.sip.events import FlowFailed, LookedUp
from sbc.sip.locate import Local, LocalKey, Locator, News, Unlocated
from sbc.sip.message import Fields, Request, Response
from sbc.sip.method import KNOWN_METHODS
from sbc.sip.parse import ParseError, parse_message
from sbc.sip.serialize import serialize
from sbc.sip.status import reason_phrase
from sbc.sip.timing import DEFAULT_TIMING, Timing
from sbc.sip.transaction.layer import TransactionLayer
from sbc.sip.transaction.outputs import Out as TransactionOut
from sbc.sip.transaction.outputs import TransactionFailed
from sbc.sip.uri import SipUri, parse_uri

Out = TransactionOut | CloseFlow | LookUp

_PING: Final = b"\r\n\r\n"


class Endpoint:
    """`server_name` goes out as User-Agent and Server."""

    def __init__(
        self, locals_: Mapping[LocalKey, Local], ids: IdSource, server_name: str, timing: Timing = DEFAULT_TIMING
    ) -> None:
        self.layer = TransactionLayer(ids, timing)
        self.locator = Locator(locals_)
        self.counts: Counter[tuple[str, str, str]] = Counter()  # (direction, method or "other", status)
        self.dropped: Counter[str] = Counter()
        self._ids = ids
        self._user_agent: Fields = (("User-Agent", server_name),)
        self._server: Fields = (("Server", server_name),)
        self._watched: tuple[tuple[str, str], ...] = ()
        self._waiting: dict[str, list[SendRequest | SendAck]] = {}  # by the host name that is being looked up

    # --- in -----------------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, flow: Flow, now: float) -> tuple[Request | Response | None, list[Out]]:
        """One whole message. Returns it (None: not readable) and what follows."""
        try:
            message = parse_message(data, stream=flow.transport is not Transport.UDP)
        except ParseError as error:
            return None, self._refuse_unreadable(error, flow)
        if isinstance(message, Request):
            self.counts["received", _counted(message.method), ""] += 1
            return message, list(self.layer.receive_request(message, flow, now))
        self.counts["received", _counted(message.cseq.method), str(message.status)] += 1
        return message, list(self.layer.receive_response(message, now))

    def bad_frame(self, data: bytes, flow: Flow) -> list[Out]:
        """What a stream brought cannot be told from what follows it: answer if possible, and close (§18.3)."""
        outs: list[Out] = []
        try:
            parse_message(data, stream=True)
        except ParseError as error:
            outs = self._refuse_unreadable(error, flow)
        outs.append(CloseFlow(flow))
        return outs

    def handle(self, event: FlowFailed | LookedUp, now: float) -> list[Out]:
        if isinstance(event, FlowFailed):
            return list(self.layer.fail_flow(event.flow, event.reason, now))
        outs: list[Out] = []
        if self.locator.learn(event, now):
            for order in self._waiting.pop(event.name, ()):
                outs += self.perform(order, now)
        return outs

    def watch(self, servers: Iterable[tuple[str, str]], now: float) -> list[Out]:
        """Look up these servers (next hop and interface) and keep what is known of them fresh."""
        del now
        self._watched = tuple(servers)
        found = [self.locator.locate(*server) for server in self._watched]
        wanted = (one for flow in found if isinstance(flow, Unlocated) for one in flow.wanted)
        return list(dict.fromkeys(wanted))

    def news(self) -> News:
        """What has changed for watched servers since this was asked last."""
        hosts: dict[str, tuple[str, ...]] = {}
        for next_hop, interface in self._watched:
            uri = parse_uri(next_hop)
            if isinstance(uri, SipUri):
                hosts[uri.host] = hosts.get(uri.host, ()) + self.locator.addresses_of(next_hop, interface)
        return News(self._watched, hosts)

    def tick(self, now: float) -> list[Out]:
        return list(self.layer.tick(now))

    def next_deadline(self) -> float | None:
        return self.layer.next_deadline()

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
            case KeepAlive(flow):
                return [SendMessage(flow, _PING)]

    def _respond(self, order: Respond, now: float) -> list[Out]:
        fields = order.fields
        if order.contact is not None:
            flow = self.layer.flow_of(order.key)
            if flow is not None:
                fields = (("Contact", self._contact(order.contact, flow)), *fields)
        if order.status > 100:
            fields = self._server + fields
        self.counts["sent", _counted(order.key[-1]), str(order.status)] += 1
        return list(
            self.layer.respond(order.key, order.status, now, to_tag=order.to_tag, fields=fields, body=order.body)
        )

    def _send(self, order: SendRequest | SendAck, now: float) -> list[Out]:
        again: list[Out] = []
        flow: Flow | Unlocated | None = order.flow
        if flow is None:
            flow = self.locator.locate(order.next_hop, order.interface)
            again += self.locator.due(order.next_hop, order.interface, now)
        if isinstance(flow, Unlocated):
            return again + self._wait_or_fail(order, flow)
        local = self.locator.locals.get((flow.interface, flow.transport, flow.remote.is_ipv6))
        if local is None:
            return again + self._wait_or_fail(order, Unlocated(f"no listener for {flow}"))
        request = order.request
        self.counts["sent", request.method, ""] += 1
        if isinstance(order, SendAck):
            request = Request(request.method, request.uri_text, request.fields + self._user_agent, request.body)
            return again + self.layer.send_ack(request, flow, local.sent_by, order.user)
        extra = self._user_agent
        if order.contact is not None:
            extra = (("Contact", self._contact(order.contact, flow, order.contact_params)), *extra)
        request = Request(request.method, request.uri_text, request.fields + extra, request.body)
        _, outs = self.layer.send_request(request, flow, local.sent_by, order.user, now)
        return again + outs

    def _wait_or_fail(self, order: SendRequest | SendAck, unlocated: Unlocated) -> list[Out]:
        if unlocated.wanted:
            waiting = self._waiting.setdefault(unlocated.wanted[0].name, [])
            waiting.append(order)
            return [*unlocated.wanted] if len(waiting) == 1 else []
        if isinstance(order, SendAck):
            self.dropped["ack_unlocated"] += 1
            return []
        return [TransactionFailed(order.user, ("", order.request.method), "transport", unlocated.reason)]

    def _cancel(self, user: Hashable, reason: str | None, now: float) -> list[Out]:
        for orders in self._waiting.values():
            for order in orders:
                if order.user == user and isinstance(order, SendRequest):
                    orders.remove(order)  # "no provisional response": it is not even out, and nobody else will end it
                    return [
                        TransactionFailed(user, ("", order.request.method), "transport", "cancelled before it was sent")
                    ]
        return list(self.layer.cancel(user, now, reason))

    def _contact(self, user: str, flow: Flow, params: str = "") -> str:
        local = self.locator.locals.get((flow.interface, flow.transport, flow.local.is_ipv6))
        sent_by = local.sent_by if local is not None else str(flow.local)
        address = f"{user}@{sent_by}" if user else sent_by
        transport = "" if flow.transport is Transport.UDP else f";transport={flow.transport}"
        return f"<sip:{address}{transport}{f';{params}' if params else ''}>"

    def _refuse_unreadable(self, error: ParseError, flow: Flow) -> list[Out]:
        """A bad response is dropped, a bad ACK too; a bad request is answered without keeping any state (§8.2.7)."""
        self.dropped["unreadable"] += 1
        request = error.partial
        if request is None or request.method == "ACK":
            return []
        echo = with_to_tag(request, echo_of(request, flow.remote), self._ids.tag())
        self.counts["sent", _counted(request.method), str(error.status)] += 1
        response = Response(error.status, error.reason or reason_phrase(error.status), echo + self._server)
        return [SendMessage(reply_flow(request, flow), serialize(response))]


def _counted(method: str) -> str:
    """Methods are counted by name only where we know the name: a peer must not make counters."""
    return method if method in KNOWN_METHODS else "other"
