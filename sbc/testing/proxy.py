"""A stateless proxy for the network in memory, so that a dialog has a route set (RFC 3261 §16.11, §16.12).

It record-routes what begins a dialog, follows Route, passes responses back along Via. As a strict router of RFC 2543 it
leaves out `lr` and takes its own URI as Request-URI (§16.12 calls the two worlds together). It judges nothing.
"""

import hashlib

from sbc.core.address import Address, Flow, Transport
from sbc.sip.commands import SendMessage
from sbc.sip.message import Fields, Request, Response
from sbc.sip.parse import ParseError, parse_message
from sbc.sip.serialize import serialize
from sbc.testing.net import Network


class Proxy:
    """Between the SBC and `target`: requests that come from `target` go to `back`, everybody else's to `target`."""

    def __init__(
        self, net: Network, name: str, address: Address, *, target: Address, back: Address, strict: bool = False
    ) -> None:
        self.name = name
        self.address = address
        self.target = target
        self.back = back
        self.seen: list[str] = []  # methods that passed, in order
        self.errors: list[str] = []
        self._uri = f"sip:{address}" if strict else f"sip:{address};lr"
        self._strict = strict
        net.attach(self, (Transport.UDP, address))

    def receive(self, data: bytes, flow: Flow, now: float) -> list[SendMessage]:  # noqa: ARG002
        try:
            message = parse_message(data, stream=False)
        except ParseError as error:
            self.errors.append(error.reason)
            return []
        return self._pass_on(message, flow) if isinstance(message, Request) else self._pass_back(message)

    def bad_frame(self, data: bytes, flow: Flow, reason: str, now: float) -> list[SendMessage]:  # noqa: ARG002
        return []

    def flow_failed(self, flow: Flow, reason: str, now: float) -> list[SendMessage]:  # noqa: ARG002
        return []

    def tick(self, now: float) -> list[SendMessage]:  # noqa: ARG002
        return []

    def next_deadline(self) -> float | None:
        return None

    def _pass_on(self, request: Request, flow: Flow) -> list[SendMessage]:
        self.seen.append(request.method)
        uri = request.uri_text
        routes = [value for field in request.headers("Route") for value in field.split(",")]
        if routes and self._is_ours(routes[0]):
            routes = routes[1:]
        elif self._is_ours(uri) and routes:
            # The previous hop took us for a strict router: the last Route is the true target (§16.4).
            uri, routes = routes[-1].strip().strip("<>"), routes[:-1]
        elif request.to.tag is not None and request.method != "CANCEL" and not self._is_failure_ack(request):
            self.errors.append(f"{request.method} {uri} without a Route to us")
        fields: list[tuple[str, str]] = [("Via", self._via(request))]
        for name, value in request.fields:
            if name == "Via" and value is request.headers("Via")[0]:
                fields.append(
                    (name, f"{value};received={flow.remote.host};rport={flow.remote.port}".replace(";rport;", ";"))
                )
            elif name == "Max-Forwards":
                fields.append((name, str(int(value) - 1)))
            elif name != "Route":
                fields.append((name, value))
        if request.method == "INVITE" and request.to.tag is None:
            fields.append(("Record-Route", f"<{self._uri}>"))
        fields += [("Route", route.strip()) for route in routes]
        to = self._next(request, uri, flow)
        return [SendMessage(self._flow(to), serialize(Request(request.method, uri, tuple(fields), request.body)))]

    def _pass_back(self, response: Response) -> list[SendMessage]:
        vias = [value for field in response.headers("Via") for value in field.split(",")]
        if len(vias) < 2:
            self.errors.append(f"{response.status} with {len(vias)} Via")
            return []
        kept: Fields = tuple([("Via", via.strip()) for via in vias[1:]])
        rest = tuple([(name, value) for name, value in response.fields if name != "Via"])
        host, port = _where(vias[1])
        message = Response(response.status, response.reason, kept + rest, response.body)
        return [SendMessage(self._flow(Address(host, port)), serialize(message))]

    def _next(self, request: Request, uri: str, flow: Flow) -> Address:
        if request.to.tag is None or request.method == "CANCEL" or self._is_failure_ack(request):
            return self.back if flow.remote == self.target else self.target
        host, _, port = uri.partition(":")[2].rpartition("@")[2].partition(";")[0].partition(":")
        return Address(host, int(port or 5060))

    def _is_failure_ack(self, request: Request) -> bool:
        """It goes where its INVITE went (§17.1.1.3); the ACK of a 2xx has a route set, or our own URI in its place."""
        return request.method == "ACK" and not request.headers("Route")

    def _via(self, request: Request) -> str:
        # "the branch parameter … MUST be … a function of the topmost Via's branch" for one that keeps no state, §16.11.
        seed = f"{self.name}{request.via.branch}".encode()
        return f"SIP/2.0/UDP {self.address};branch=z9hG4bK{hashlib.sha256(seed).hexdigest()[:20]}"

    def _is_ours(self, uri: str) -> bool:
        return str(self.address) in uri

    def _flow(self, to: Address) -> Flow:
        return Flow(Transport.UDP, "", self.address, to)


def _where(via: str) -> tuple[str, int]:
    """Where a response goes by this Via: received and rport before sent-by (§18.2.2, RFC 3581 §4)."""
    sent_by, _, rest = via.strip().partition(" ")[2].partition(";")
    params = dict(part.strip().partition("=")[::2] for part in rest.split(";"))
    host, _, port = sent_by.strip().partition(":")
    return params.get("received") or host, int(params.get("rport") or port or 5060)
