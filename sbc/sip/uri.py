"""SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966): parse, print, compare. Other schemes are kept as text.

Escapes are kept as they came; `user_text` resolves them. Headers in a URI ("?…") are kept and never acted upon.
"""

import ipaddress
import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from msgspec import Struct

from sbc.core.limits import URI_OCTETS
from sbc.sip.errors import ParseError
from sbc.sip.params import Params, param, params_text

_UNRESERVED: Final = r"A-Za-z0-9\-_.!~*'()"
_ESCAPED: Final = r"%[0-9A-Fa-f]{2}"
_SIP: Final = re.compile(
    rf"""(?P<scheme>sips?):
    (?:(?P<user>(?:[{_UNRESERVED}&=+$,;?/]|{_ESCAPED})++)(?::(?P<password>(?:[{_UNRESERVED}&=+$,]|{_ESCAPED})*+))?@)?
    (?P<host>\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9.\-_]++)
    (?::(?P<port>[0-9]{{1,5}}))?
    (?P<params>(?:;(?:[{_UNRESERVED}\[\]/:&+$=]|{_ESCAPED})++)*+)
    (?:\?(?P<headers>[!-~]*))?""",
    re.VERBOSE | re.IGNORECASE,
)
_TEL: Final = re.compile(r"tel:(\+?[0-9A-Fa-f*#\-.()]+)((?:;[!-:<-~]+)*)", re.IGNORECASE)
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):([!-;=?-~]+)")
_SEPARATORS: Final = str.maketrans("", "", "-.()")
_CACHE: Final = 8192

# A difference in one of these counts also where the other URI lacks it (RFC 3261 §19.1.4).
_ALWAYS_COMPARED: Final = ("user", "ttl", "method", "maddr", "transport")


class SipUri(Struct, frozen=True):
    scheme: str
    user: str | None
    password: str | None
    host: str
    port: int | None
    params: Params = ()
    headers: str = ""

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = "" if self.user is None else f"{self.user}@" if self.password is None else f"{self.user}:{self.password}@"
        port = "" if self.port is None else f":{self.port}"
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{host}{port}{params_text(self.params)}{headers}"

    @property
    def user_text(self) -> str:
        """The user part with its escapes resolved; "" where there is none."""
        if self.user is None:
            return ""
        return unquote(self.user, errors="surrogateescape") if "%" in self.user else self.user

    @property
    def transport(self) -> str | None:
        value = param(self.params, "transport")
        return None if value is None else value.lower()

    def equals(self, other: object) -> bool:
        """RFC 3261 §19.1.4. Not an equivalence relation, which is why it is no `__eq__`."""
        if not isinstance(other, SipUri):
            return False
        same_parts = (
            self.scheme == other.scheme
            and _resolved(self.user) == _resolved(other.user)
            and _resolved(self.password) == _resolved(other.password)
            and self.host == other.host
            and self.port == other.port
        )
        return same_parts and _same_params(self.params, other.params) and _same_headers(self.headers, other.headers)


class TelUri(Struct, frozen=True):
    """`number` is without visual separators."""

    number: str
    params: Params = ()

    def __str__(self) -> str:
        return f"tel:{self.number}{params_text(self.params)}"

    def equals(self, other: object) -> bool:
        """RFC 3966 §4: order of parameters and case do not matter."""
        if not isinstance(other, TelUri):
            return False
        return self.number.lower() == other.number.lower() and _folded(self.params) == _folded(other.params)


class OtherUri(Struct, frozen=True):
    """A URI of a scheme that we do not speak."""

    scheme: str
    text: str

    def __str__(self) -> str:
        return self.text


Uri = SipUri | TelUri | OtherUri


@lru_cache(maxsize=_CACHE)
def parse_uri(text: str) -> Uri:
    """Raises ParseError. The same few URIs come all day, so that answers are remembered."""
    if len(text) > URI_OCTETS:
        raise ParseError("URI too long", status=414)
    scheme = text[:5].lower()
    if scheme.startswith(("sip:", "sips:")):
        return _sip(text)
    if scheme.startswith("tel:"):
        return _tel(text)
    match = _SCHEME.fullmatch(text)
    if match is None:
        raise ParseError("bad URI")
    return OtherUri(match[1].lower(), text)


def _sip(text: str) -> SipUri:
    match = _SIP.fullmatch(text)
    if match is None:
        raise ParseError("bad SIP URI")
    port = None if match["port"] is None else int(match["port"])
    if port is not None and port > 65535:
        raise ParseError("bad port in SIP URI")
    host = match["host"].lower()
    if host.startswith("["):
        try:
            host = str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            raise ParseError("bad IPv6 address in SIP URI") from None
    params = match["params"]
    return SipUri(
        match["scheme"].lower(),
        match["user"],
        match["password"],
        host,
        port,
        _params(params) if params else (),
        match["headers"] or "",
    )


def _tel(text: str) -> TelUri:
    match = _TEL.fullmatch(text)
    if match is None:
        raise ParseError("bad tel URI")
    return TelUri(match[1].translate(_SEPARATORS), _params(match[2]) if match[2] else ())


def _params(text: str) -> Params:
    params: list[tuple[str, str | None]] = []
    for part in text[1:].split(";"):
        name, equals, value = part.partition("=")
        if not name:
            raise ParseError("empty URI parameter")
        params.append((name.lower(), value if equals else None))
    return tuple(params)


def _resolved(text: str | None) -> str | None:
    return None if text is None else unquote(text, errors="surrogateescape")


def _folded(params: Params) -> dict[str, str | None]:
    return {name: None if value is None else (_resolved(value) or "").lower() for name, value in params}


def _same_params(one: Params, other: Params) -> bool:
    ones, others = _folded(one), _folded(other)
    for name in ones.keys() & others.keys():
        if ones[name] != others[name]:
            return False
    return all((name in ones) == (name in others) for name in _ALWAYS_COMPARED)


def _same_headers(one: str, other: str) -> bool:
    """"Any present header component MUST be present in both URIs and match for the URIs to match"."""
    return sorted(one.lower().split("&")) == sorted(other.lower().split("&"))
