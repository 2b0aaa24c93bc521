"""A dialog as data, and the requests that follow from it (RFC 3261 §12).

Plain values only, so that it can be journaled and read back. It builds requests and checks those received; it sends
nothing, and knows neither transactions nor what a call is.
"""

from msgspec import Struct
from msgspec.structs import replace

from sbc.sip.message import Fields, Request, Response
from sbc.sip.nameaddr import parse_name_addr
from sbc.sip.params import has_param
from sbc.sip.sips import is_sips, secured_route
from sbc.sip.uri import SipUri

MAX_FORWARDS = ("Max-Forwards", "70")


class Dialog(Struct):
    """One dialog. `local` and `remote` are the From and To values, tags included, as our own requests carry them.

    `next_hop` is the URI that requests are sent towards; `strict`: the first route is a strict router (§12.2.1.1).
    """

    call_id: str
    local_tag: str
    remote_tag: str
    local: str
    remote: str
    local_cseq: int
    remote_cseq: int | None
    route_set: tuple[str, ...]
    remote_target: str
    interface: str
    next_hop: str = ""
    strict: bool = False

    def request(self, method: str, *, fields: Fields = (), body: bytes = b"") -> Request:
        """The next request of ours within the dialog, without Via and Contact (§12.2.1.1)."""
        self.local_cseq += 1
        return self._build(method, self.local_cseq, fields, body)

    def ack(self, cseq: int, *, fields: Fields = (), body: bytes = b"") -> Request:
        """The ACK of a 2xx: "The sequence number of the CSeq header field MUST be the same as the INVITE being
        acknowledged", §13.2.2.4."""
        return self._build("ACK", cseq, fields, body)

    def _build(self, method: str, cseq: int, fields: Fields, body: bytes) -> Request:
        uri, routes = self.remote_target, self.route_set
        if routes and is_sips(uri):
            routes = tuple(map(secured_route, routes))
        if self.strict:
            # "place the first URI in the route set into the Request-URI", the rest and the target into Route
            uri = self.next_hop
            routes = (*routes[1:], f"<{self.remote_target}>")
        return Request(
            method,
            uri,
            (
                *[("Route", route) for route in routes],
                MAX_FORWARDS,
                ("From", self.local),
                ("To", self.remote),
                ("Call-ID", self.call_id),
                ("CSeq", f"{cseq} {method}"),
                *fields,
            ),
            body,
        )

    def with_local_tag(self, tag: str) -> "Dialog":
        """Another early dialog of the same INVITE, which a peer has sent us: our responses carry this tag."""
        local = self.local.replace(f";tag={self.local_tag}", f";tag={tag}")
        return replace(self, local_tag=tag, local=local)

    def is_in_order(self, request: Request) -> bool:
        """False: "the request is out of order and MUST be rejected with a 500", §12.2.2. A good one is remembered."""
        number = request.cseq.number
        if self.remote_cseq is not None and number < self.remote_cseq:
            return False
        self.remote_cseq = number
        return True

    def refresh_target(self, message: Request | Response) -> None:
        """Take the peer's new Contact from a target refresh request or its 2xx (§12.2.1.2, §12.2.2)."""
        target = contact_uri(message)
        if target is not None and target != self.remote_target:
            self.remote_target = target
            self._find_next_hop()

    def _find_next_hop(self) -> None:
        if not self.route_set:
            self.next_hop, self.strict = self.remote_target, False
            return
        first = parse_name_addr(self.route_set[0]).uri
        loose = isinstance(first, SipUri) and has_param(first.params, "lr")
        self.next_hop, self.strict = str(first), not loose


def dialog_of_uas(request: Request, local_tag: str, interface: str) -> Dialog:
    """The dialog that our 1xx or 2xx to `request` makes (§12.1.1).

    "The Contact header field MUST be present" in an INVITE (§8.1.1.8), but in RFC 2543 it was optional, and some peers
    forget it: they are looked for at their From.
    """
    dialog = Dialog(
        call_id=request.call_id,
        local_tag=local_tag,
        remote_tag=request.from_.tag or "",
        local=f"{request.header('To')};tag={local_tag}",
        remote=request.header("From") or "",
        local_cseq=0,
        remote_cseq=request.cseq.number,
        route_set=tuple(str(route) for route in request.record_routes),
        remote_target=contact_uri(request) or str(request.from_.uri),
        interface=interface,
    )
    dialog._find_next_hop()
    return dialog


def dialog_of_uac(request: Request, response: Response, interface: str) -> Dialog:
    """The dialog that a peer's 1xx or 2xx with a To tag makes (§12.1.2): its Record-Route in reverse order.

    A tag that is missing counts as empty (§12.1.2, peers of RFC 2543). Where `request` is a re-INVITE, the route set
    is the one that it went by: responses do not change it (§12.2).
    """
    routes = reversed(response.record_routes) if request.to.tag is None else request.routes
    dialog = Dialog(
        call_id=request.call_id,
        local_tag=request.from_.tag or "",
        remote_tag=response.to.tag or "",
        local=request.header("From") or "",
        remote=response.header("To") or "",
        local_cseq=request.cseq.number,
        remote_cseq=None,
        route_set=tuple([str(route) for route in routes]),
        remote_target=contact_uri(response) or request.uri_text,
        interface=interface,
    )
    dialog._find_next_hop()
    return dialog


def contact_uri(message: Request | Response) -> str | None:
    """The first Contact of a message as URI text, or None where there is none that requests can be sent to.

    Without headers and `method`, which a Request-URI must not have (§19.1.1, table 1); kept, they would be injected.
    """
    contacts = message.contacts
    if not isinstance(contacts, tuple) or not contacts:
        return None
    uri = contacts[0].uri
    if not isinstance(uri, SipUri):
        return None
    if uri.headers or has_param(uri.params, "method"):
        uri = replace(uri, headers="", params=tuple([param for param in uri.params if param[0] != "method"]))
    return str(uri)
