"""The scalar values of a policy, each from its text: durations, addresses, listeners, URIs, ports, code points.

Every scalar arrives as text (YAML's guesses are off, or 0441234 would become 148124). A text that does not fit raises
`UnfitError` with what is wrong and what was expected; the reader adds the place. RFC 3261 §19.1 for URIs, in the one
form that a server's address needs.
"""

import ipaddress
import re
from typing import Final, get_args

from sbc.core.address import Address, Transport, bracketed, canonical_ip
from sbc.policy.model import CalledFrom, Listener, NumberForm, Server
from sbc.policy.numbers import is_country
from sbc.policy.patterns import parse_pattern, parse_range
from sbc.policy.problems import UnfitError

_DURATION: Final = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?)(ms|s|m|h|d)")
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_HOST_NAME: Final = re.compile(
    r"(?=.{1,253}$)(?:[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.?"
)
_SIP_URI: Final = re.compile(
    r"sip:(?P<user>[^@;?]*@)?(?P<host>\[[^\]]*\]|[^\[\]:;?]*)(?::(?P<port>[^;?]*))?(?P<params>;[^?]*)?(?P<headers>\?.*)?",
    re.IGNORECASE,
)
_DSCP: Final = {
    "be": 0, "ef": 46, "va": 44, "le": 1,
    **{f"cs{n}": n * 8 for n in range(8)},
    **{f"af{c}{d}": c * 8 + d * 2 for c in range(1, 5) for d in range(1, 4)},
}  # fmt: skip

NUMBER_FORMS: Final[tuple[str, ...]] = get_args(NumberForm)
CALLED_FROM: Final[tuple[str, ...]] = get_args(CalledFrom)


def name(text: str) -> str:
    """Of an interface or a peer: it stands in metrics, CDRs and command lines."""
    if not _NAME.fullmatch(text):
        raise UnfitError(
            f"`{text}` cannot be a name", "expected up to 64 letters, digits and _ . -, the first a letter or digit"
        )
    return text


def label(text: str) -> str:
    """A name for people: of a route or of the node."""
    if not text or len(text) > 64 or not text.isprintable():
        raise UnfitError("this cannot be a name", "expected 1 to 64 printable characters")
    return text


def path(text: str) -> str:
    if not text or "\0" in text:
        raise UnfitError("an empty path", "expected the path of a directory")
    return text


def duration(text: str) -> float:
    found = _DURATION.fullmatch(text)
    if found is None:
        what = f"`{text}` has no unit" if re.fullmatch(r"[0-9]+(\.[0-9]+)?", text) else f"`{text}` is not a duration"
        raise UnfitError(what, "expected a number with ms, s, m, h or d, such as 10s")
    return float(found[1]) * _SECONDS[found[2]]


def timer(text: str) -> float:
    """A duration that something waits for: not zero, and not longer than a day."""
    seconds = duration(text)
    if not 0 < seconds <= 86_400:
        raise UnfitError(f"`{text}` is out of range", "expected more than 0s and at most 1d")
    return seconds


def patience(text: str) -> float:
    """A duration that may be nothing."""
    seconds = duration(text)
    if seconds > 86_400:
        raise UnfitError(f"`{text}` is out of range", "expected 0s to 1d")
    return seconds


def whole(text: str, low: int, high: int) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text) or not low <= int(text) <= high:
        raise UnfitError(f"`{text}` is not a number from {low} to {high}", f"expected {low} to {high}")
    return int(text)


def strip_count(text: str) -> int:
    return whole(text, 0, 32)


def reject_status(text: str) -> int:
    if not re.fullmatch(r"[4-6][0-9]{2}", text):
        raise UnfitError(f"`{text}` is no SIP failure", "expected a status from 400 to 699")
    return int(text)


def country(text: str) -> str:
    if not is_country(text.upper()) or len(text) != 2:
        hint = "expected GB" if text.upper() == "UK" else "expected a two-letter country code such as US"
        raise UnfitError(f"`{text}` is no country with a numbering plan", hint)
    return text.upper()


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
    if text == "any":
        raise UnfitError(
            "`accept: any` requires `auth`, which is not built yet", "expected networks such as 192.0.2.0/24"
        )
    literal = _literal(text)
    try:
        return str(ipaddress.ip_network(literal or text))
    except ValueError as error:
        if "host bits" in str(error):
            inside = ipaddress.ip_network(text, strict=False)
            raise UnfitError(f"`{text}` has bits set behind its prefix", f"expected {inside}") from None
        raise UnfitError(f"`{text}` is not a network", "expected an address or CIDR such as 192.0.2.0/24") from None


def listener(text: str) -> Listener:
    scheme, colon, rest = text.partition(":")
    if scheme == "tls":
        raise UnfitError("`tls` listeners are not built yet", "expected udp:ADDRESS:PORT or tcp:ADDRESS:PORT")
    if not colon or scheme not in ("udp", "tcp"):
        raise UnfitError(f"`{text}` is not a listener", "expected udp:ADDRESS:PORT or tcp:ADDRESS:PORT")
    transport = Transport(scheme)
    host, port = _host_and_port(rest)
    return Listener(transport, Address(own_address(host), transport.default_port if port is None else port))


def admin(text: str) -> str:
    """`host:port` or `[v6]:port` on loopback, `unix:PATH`, `off`."""
    if text == "off":
        return text
    if text.startswith("unix:"):
        path(text.removeprefix("unix:"))
        return text
    host, port = _host_and_port(text)
    literal = canonical_ip(host)
    if literal is None or port is None:
        raise UnfitError(f"`{text}` is not an admin address", "expected 127.0.0.1:8088, [::1]:8088, unix:PATH or off")
    if not ipaddress.ip_address(literal).is_loopback:
        raise UnfitError(
            f"`{text}` is not on loopback, and the API has no token yet",
            "expected 127.0.0.1:8088, [::1]:8088 or unix:PATH",
        )
    return f"{bracketed(literal)}:{port}"


def advertised(text: str) -> str:
    """A host, or a host and port, as shown in Via and Contact."""
    host, port = _host_and_port(text)
    shown = bracketed(_literal(host) or _host_name(host, text))
    return shown if port is None else f"{shown}:{port}"


def server(text: str) -> Server:
    if text[:5].lower() == "sips:":
        raise UnfitError("`sips` is not built yet", "expected sip:HOST[:PORT][;transport=udp|tcp]")
    found = _SIP_URI.fullmatch(text)
    if found is None or not found["host"]:
        raise UnfitError(f"`{text}` is not a SIP URI", "expected sip:HOST[:PORT][;transport=udp|tcp]")
    if found["user"] or found["headers"]:
        raise UnfitError(
            f"`{text}` names more than a server", "expected sip:HOST[:PORT][;transport=udp|tcp] without a user"
        )
    host = _literal(found["host"]) or _host_name(found["host"], text)
    port = None if found["port"] is None else _port(found["port"], text)
    return Server(host, port, _transport(found["params"] or "", text), text)


def domain(text: str) -> str:
    return bracketed(_literal(text) or _host_name(text, text))


def media_ports(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([0-9]{1,5})-([0-9]{1,5})", text)
    expected = "expected FIRST-LAST within 1024-65535, such as 20000-29999"
    if found is None:
        raise UnfitError(f"`{text}` is not a range of ports", expected)
    first, last = int(found[1]), int(found[2])
    if not 1024 <= first <= last <= 65_535:
        raise UnfitError(f"`{text}` is out of range or runs backwards", expected)
    if last - (first + first % 2) < 1:
        raise UnfitError(f"`{text}` has no even port with an odd one above", expected)
    return first, last


def dscp(text: str) -> int:
    point = _DSCP.get(text.lower())
    if point is not None:
        return point
    if not re.fullmatch(r"[0-9]{1,2}", text) or int(text) > 63:
        raise UnfitError(f"`{text}` is no DSCP", "expected cs0 to cs7, af11 to af43, ef, va, or 0 to 63")
    return int(text)


def pattern(text: str) -> str:
    parse_pattern(text)
    return text


def prefix(text: str) -> str:
    if not re.fullmatch(r"\+?[0-9*#]{0,32}", text):
        raise UnfitError(f"`{text}` cannot be put before a number", "expected digits, * and #, with or without a plus")
    return text


def did(text: str) -> tuple[str, str]:
    """First and last of the numbers: the same for a single one."""
    if re.fullmatch(r"\+?[0-9]{1,32}", text):
        return text, text
    if "-" not in text:
        raise UnfitError(
            f"`{text}` is neither a number nor a range", "expected a number or FIRST-LAST; no patterns here"
        )
    found = parse_range(text)
    return found.first, found.last


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


def _transport(params: str, text: str) -> Transport:
    transport = Transport.UDP
    for param in params.split(";")[1:]:
        key, _, value = param.lower().partition("=")
        if key != "transport":
            raise UnfitError(f"`{text}` has the parameter `{param}`", "expected no parameter but transport")
        if value == "tls":
            raise UnfitError("`transport=tls` is not built yet", "expected transport=udp or transport=tcp")
        if value not in ("udp", "tcp"):
            raise UnfitError(f"`{text}` has the transport `{value}`", "expected transport=udp or transport=tcp")
        transport = Transport(value)
    return transport
