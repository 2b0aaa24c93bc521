"""By which connection a request goes over TLS: one that is in use, one that its peer has offered (RFC 5923), or a new
one, on which the far end must prove who it is.

It knows the connections that messages have come by, as long as they are open. Which connections are open to which
address, and whether their certificates are good, the runtime knows. Used by the endpoint, for requests over TLS alone;
what sends its own way (`Way`) comes from above.
"""

import ipaddress
from collections.abc import Iterator
from functools import lru_cache

from msgspec import Struct
from msgspec.structs import replace

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport, canonical_ip
from sbc.sip.errors import ParseError
from sbc.sip.message import Request, Response
from sbc.sip.params import has_param
from sbc.sip.uri import SipUri, parse_uri


class Way(Struct, frozen=True):
    """How the requests of one user go. `proof`: the TLS profile that a new connection must prove; "": none can be
    opened. `is_secure`: over TLS, whatever their next hop says. `in_use`: the connection by which the peer has spoken
    last in this dialog. `by_tls`: where the first hop of this dialog takes TLS. `reuses`: whether they go by
    connections that the peer has opened.
    """

    proof: str = ""
    is_secure: bool = False
    in_use: Flow | None = None
    by_tls: Address | None = None
    reuses: bool = True


class Connections:
    """Bounded: of very many, those that were heard of first are forgotten, and lost connections are met by failing."""

    def __init__(self) -> None:
        self._open: dict[int, Flow] = {}
        self._aliases: dict[tuple[str, Address], int] = {}  # by interface and address; which connection leads there

    def __len__(self) -> int:
        return len(self._open)

    @property
    def aliases(self) -> int:
        return len(self._aliases)

    def heard(self, message: Request | Response, flow: Flow) -> None:
        """This has come by a connection over TLS.

        "the server MUST … populate the destination IP address, port, and transport in the alias table from the topmost
        Via header field (using the ";received" parameter for the destination IP address)", RFC 5923 §8.2; and it MUST
        authenticate the connection before, §9.2: so only one whose certificate has proved a profile leads back.
        """
        known = self._open.get(flow.connection)
        if known is None:
            _make_room(self._open, limits.TLS_CONNECTIONS_REMEMBERED)
        if known is not flow:
            self._open[flow.connection] = flow  # a reload may have judged anew what it has proved
        if not flow.proved or not isinstance(message, Request):
            return
        via = message.via
        if has_param(via.params, "alias") and via.transport == "TLS":
            at = Address(flow.remote.host, via.port or Transport.TLS.default_port)
            _make_room(self._aliases, limits.TLS_CONNECTIONS_REMEMBERED)
            self._aliases[flow.interface, at] = flow.connection

    def gone(self, flow: Flow) -> None:
        if self._open.pop(flow.connection, None) is not None:
            for key in [key for key, number in self._aliases.items() if number == flow.connection]:
                del self._aliases[key]

    def choose(self, flow: Flow, way: Way) -> Iterator[Flow]:
        """The flow for a request over TLS that is to go to `flow.remote`; then, where that is a connection that may be
        lost meanwhile, the one that is opened in its place. What is a connection already stays so.
        """
        if flow.connection:
            yield flow
            return
        used = (self._in_use(flow, way) or self._aliased(flow, way)) if way.reuses else None
        if used is not None:  # else the runtime finds one of ours, if there is one to this address
            yield used
        yield replace(flow, proved=(way.proof,)) if way.proof else flow

    def _in_use(self, flow: Flow, way: Way) -> Flow | None:
        used = way.in_use
        if used is None or used.interface != flow.interface:
            return None
        used = self._open.get(used.connection)
        if used is None:
            return None
        return used if _leads_to(used.remote.host, flow.remote.host) else None

    def _aliased(self, flow: Flow, way: Way) -> Flow | None:
        """ "reuses the connection only if … a resolved address contained in the alias table, and the URI … matches one
        of the identities", RFC 5923 §8.2: what the certificate has proved is the profile of whom the request is for.
        """
        found = self._open.get(self._aliases.get((flow.interface, flow.remote), 0))
        return found if found is not None and way.proof in found.proved else None


def spoken_by(flow: Flow, before: Flow | None) -> Flow | None:
    """By which connection a peer speaks, after it has spoken by `flow`. What has proved nothing does not take the place
    of one that has: from the same address others may speak, too.
    """
    if flow.transport is not Transport.TLS or not flow.connection:
        return before
    return before if before is not None and before.proved and not flow.proved else flow


def takes_tls_at(request: Request, flow: Flow) -> Address | None:
    """Where who has sent this takes connections over TLS: at the address that it came from, and the port of its Via or
    the default (RFC 3261 §18.2.2). None: it has not come over TLS.
    """
    if flow.transport is not Transport.TLS:
        return None
    return Address(flow.remote.host, request.via.port or flow.transport.default_port)


def secured(next_hop: str, by_tls: Address | None = None) -> str:
    """The same hop over TLS, whatever transport the URI names. `by_tls`: where this dialog is known to be taken."""
    # Deviation: "If the URI specifies a transport protocol in the transport parameter, that transport protocol SHOULD
    # be used", and without one a sip URI with an address or a port means UDP, RFC 3263 §4.1. A Contact that forgets its
    # transport would draw a dialog out of TLS, and the keys of its media with it; so it stays there. "IT IS REQUIRED
    # that encryption of the encapsulating payload be used whenever a master key … appears", RFC 4568 §8.3.
    is_short = len(next_hop) <= limits.REMEMBERED_CHARACTERS
    return _secured(next_hop, by_tls) if is_short else _secured.__wrapped__(next_hop, by_tls)


@lru_cache(maxsize=1024)
def _secured(next_hop: str, by_tls: Address | None) -> str:
    try:
        uri = parse_uri(next_hop)
    except ParseError:
        return next_hop
    if not isinstance(uri, SipUri) or uri.scheme == "sips" or uri.transport == "tls":
        return next_hop
    others = tuple([(name, value) for name, value in uri.params if name != "transport"])
    port = uri.port if by_tls is None else _port(uri, by_tls)
    return str(replace(uri, port=port, params=(*others, ("transport", "tls"))))


def _port(uri: SipUri, by_tls: Address) -> int | None:
    """Of a URI that names no TLS: its port is another transport's, where we know better or it is the one of those."""
    if canonical_ip(uri.host) == by_tls.host or uri.port == Transport.UDP.default_port:
        return by_tls.port
    return uri.port


def _leads_to(far_end: str, host: str) -> bool:
    """Whether who is at the end of this connection is meant by that address.

    Interop: behind a NAT a peer names the address that it has inside, which nobody outside can reach.
    """
    if far_end == host:
        return True
    meant = ipaddress.ip_address(host.partition("%")[0])
    return canonical_ip(host) is not None and meant.is_private and not ipaddress.ip_address(far_end).is_private


def _make_room(table: dict, most: int) -> None:  # type: ignore[type-arg]
    if len(table) >= most:
        del table[next(iter(table))]
