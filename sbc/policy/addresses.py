"""The addresses of a policy, each from its text: listeners, networks, servers, AORs, hosts, URLs.

A text that does not fit raises `UnfitError` with what is wrong and what was expected; the reader adds the place.
RFC 3261 §19.1 for URIs, in the two forms that a server's address and an AOR need.
"""

import ipaddress
import re
from typing import Final
from urllib.parse import unquote, urlsplit

from sbc.core.address import Address, Transport, bracketed, canonical_ip
from sbc.policy.model import Listener, Server
from sbc.policy.problems import UnfitError
from sbc.policy.values import path
from sbc.sip.errors import ParseError
from sbc.sip.uri import SipUri, parse_uri

ANY: Final = "any"

_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?"
)
_SIP_URI: Final = re.compile(
    r"(?P<scheme>sips?):(?P<user>[^@;?]*@)?(?P<host>\[[^\]]*\]|[^\[\]:;?]*)(?::(?P<port>[^;?]*))?(?P<params>;[^?]*)?(?P<headers>\?.*)?",
    re.IGNORECASE,
)


def ip_literal(text: str) -> str:
    literal = _literal(text)
    if literal is None:
        raise UnfitError(f"`{text}` is not an IP address", "expected an IPv4 or IPv6 literal")
    return literal


def own_address(text: str) -> str:
    """An address that we bind and also show to peers: so it is one address, not all of them."""
    literal = ip_literal(text)
    parsed = ipaddress.ip_address(literal)
    if parsed.is_unspecified or parsed.is_multicast:
        raise UnfitError(
            f"`{text}` is not one host's address",
            "expected the address itself: peers are told it in Via, Contact and SDP",
        )
    return literal


def network(text: str) -> str:
    if text == ANY:
        raise UnfitError("`accept: any` is for pbxs with `auth`", "expected networks such as 192.0.2.0/24")
    literal = _literal(text)
    try:
        return str(ipaddress.ip_network(literal or text))
    except ValueError as error:
        if "host bits" in str(error):
            inside = ipaddress.ip_network(text, strict=False)
            raise UnfitError(f"`{text}` has bits set behind its prefix", f"expected {inside}") from None
        raise UnfitError(f"`{text}` is not a network", "expected an address or CIDR such as 192.0.2.0/24") from None


def network_or_any(text: str) -> str:
    return text if text == ANY else network(text)


def listener(text: str) -> Listener:
    scheme, colon, rest = text.partition(":")
    if not colon or scheme not in ("udp", "tcp", "tls"):
        raise UnfitError(
            f"`{text}` is not a listener", "expected udp:ADDRESS:PORT, tcp:ADDRESS:PORT or tls:ADDRESS:PORT"
        )
    transport = Transport(scheme)
    host, port = _host_and_port(rest)
    return Listener(transport, Address(own_address(host), transport.default_port if port is None else port))


def admin(text: str) -> str:
    """`host:port` or `[v6]:port`, `unix:PATH`, `off`; `is_beyond_loopback` tells what takes a token."""
    if text == "off":
        return text
    if text.startswith("unix:"):
        path(text.removeprefix("unix:"))
        return text
    host, port = _host_and_port(text)
    literal = canonical_ip(host)
    if literal is None or port is None:
        raise UnfitError(f"`{text}` is not an admin address", "expected 127.0.0.1:8088, [::1]:8088, unix:PATH or off")
    return f"{bracketed(literal)}:{port}"


def is_beyond_loopback(admin_address: str) -> bool:
    """Whether others than this machine may reach an admin address that `admin` has read."""
    if admin_address == "off" or admin_address.startswith("unix:"):
        return False
    host, _ = _host_and_port(admin_address)
    return not ipaddress.ip_address(host).is_loopback


def hep_server(text: str) -> Address:
    """`udp:ADDRESS:PORT` of a capture server."""
    scheme, _, rest = text.partition(":")
    expected = "expected udp:ADDRESS:PORT, such as udp:192.0.2.5:9060"
    host, port = _host_and_port(rest) if scheme == "udp" else ("", None)
    literal = canonical_ip(host)
    if literal is None or not port:
        raise UnfitError(f"`{text}` is not a capture server", expected)
    parsed = ipaddress.ip_address(literal)
    if parsed.is_unspecified or parsed.is_multicast or literal == "255.255.255.255":
        raise UnfitError(f"`{text}` is not one host's address", "expected the capture server alone to get what is said")
    return Address(literal, port)


def postgres(text: str) -> str:
    """A connection URL without a password: errors and logs show it."""
    expected = "expected postgresql://[USER@]HOST[:PORT]/DATABASE, and the password in `password`"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise UnfitError("this is not a URL", expected) from None
    if url.scheme not in ("postgresql", "postgres") or port == 0 or not text.isascii() or not text.isprintable():
        raise UnfitError("this is no URL of PostgreSQL", expected)
    # libpq knows no fragment, and takes the names of parameters percent-encoded as well.
    names = [unquote(pair.partition("=")[0]) for pair in text.partition("?")[2].split("&")]
    if url.password is not None or any("password" in name.lower() for name in names):
        raise UnfitError("the URL holds a password", expected)
    return text


def advertised(text: str) -> str:
    """A host, or a host and port, as shown in Via and Contact."""
    host, port = _host_and_port(text)
    shown = bracketed(_literal(host) or _host_name(host, text))
    return shown if port is None else f"{shown}:{port}"


def server(text: str) -> Server:
    """`sips:` asks for TLS whatever else stands there (RFC 5630 §3.1.3: "transport=tcp" then means TLS over TCP)."""
    expected = "expected sip:HOST[:PORT][;transport=udp|tcp|tls] or sips:HOST[:PORT]"
    found = _SIP_URI.fullmatch(text)
    if found is None or not found["host"]:
        raise UnfitError(f"`{text}` is not a SIP URI", expected)
    if found["user"] or found["headers"]:
        raise UnfitError(f"`{text}` names more than a server", f"{expected} without a user")
    host = _literal(found["host"]) or _host_name(found["host"], text)
    port = None if found["port"] is None else _port(found["port"], text)
    transport = _transport(found["params"] or "", text)
    if found["scheme"].lower() == "sip":
        return Server(host, port, transport or Transport.UDP, text, names_transport=transport is not None)
    if transport is Transport.UDP:
        raise UnfitError(f"`{text}` asks for TLS and for UDP", "expected sips:HOST[:PORT]")
    return Server(host, port, Transport.TLS, text, names_transport=transport is not None, is_sips=True)


def aor(text: str) -> tuple[str, str, bool]:
    """User (escapes kept), host, and whether it is a SIPS URI.

    RFC 3261 §10.2: an address of record "MUST be a SIP URI or SIPS URI". Not repeated in errors: it may hold a
    password.
    """
    expected = "expected sip:USER@HOST, such as sip:+14155550100@carrier.example"
    try:
        uri = parse_uri(text)
    except ParseError:
        raise UnfitError("this is not a SIP URI", expected) from None
    if not isinstance(uri, SipUri) or not uri.user:
        raise UnfitError("this is no address of record", expected)
    if uri.password is not None or uri.port is not None or uri.params or uri.headers:
        raise UnfitError(f"the AOR of `{uri.user}` has more than user and host", expected)
    return uri.user, bracketed(_literal(uri.host) or _host_name(uri.host, text)), uri.scheme == "sips"


def webhook(text: str) -> str:
    """Not repeated in the error: such a URL often is a secret itself."""
    expected = "expected http://HOST/… or https://HOST/…"
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError:
        raise UnfitError("this is not a URL", expected) from None
    if url.scheme.lower() not in ("http", "https"):
        raise UnfitError("this is no URL of http or https", expected)
    if not url.hostname or port == 0 or not text.isascii() or not text.isprintable() or " " in text:
        raise UnfitError("this is not a URL", expected)
    if "@" in url.netloc:
        raise UnfitError("a URL with a user in it", expected)
    return text


def domain(text: str) -> str:
    return bracketed(_literal(text) or _host_name(text, text))


def _literal(host: str) -> str | None:
    """Canonical, or None for a name. A zone would make the address mean something else on every host."""
    literal = canonical_ip(host)
    if literal is not None and "%" in literal:
        raise UnfitError(f"`{host}` has a zone", "expected an address without %")
    return literal


def _host_and_port(text: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"(\[[^\]]*\]|[^\[\]:]*)(?::(.*))?", text)
    if found is None or not found[1]:
        raise UnfitError(f"`{text}` is not an address", "expected HOST:PORT, with [ ] around IPv6")
    return found[1], None if found[2] is None else _port(found[2], text)


def _port(digits: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", digits) or not 0 < int(digits) <= 65_535:
        raise UnfitError(f"`{text}` has the port `{digits}`", "expected 1 to 65535")
    return int(digits)


def _host_name(host: str, text: str) -> str:
    if not _HOST_NAME.fullmatch(host):
        raise UnfitError(
            f"`{text}` has the host `{host}`", "expected a host name or an IP literal, with [ ] around IPv6"
        )
    return host.lower().removesuffix(".")


def _transport(params: str, text: str) -> Transport | None:
    """None: the URI does not say, so that NAPTR and SRV may (RFC 3263 §4.1)."""
    transport = None
    for param in params.split(";")[1:]:
        key, _, value = param.lower().partition("=")
        if key != "transport":
            raise UnfitError(f"`{text}` has the parameter `{param}`", "expected no parameter but transport")
        if value not in ("udp", "tcp", "tls"):
            raise UnfitError(f"`{text}` has the transport `{value}`", "expected transport=udp, tcp or tls")
        transport = Transport(value)
    return transport
