"""SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966): parse, print, compare. Other schemes are kept as text.

Escapes are kept as they came; `user_text` resolves them. Headers in a URI ("?…") are kept and never acted upon.
"""

import re
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote

from msgspec import Struct

from sbc.core.address import bracketed, canonical_ip
from sbc.core.limits import REMEMBERED_CHARACTERS, REMEMBERED_TEXTS, URI_OCTETS
from sbc.sip.errors import ParseError
from sbc.sip.params import Params, param, params_text

_UNRESERVED: Final = r"A-Za-z0-9\-_.!~*'()"
# Interop: telephones send these without escaping them ("*67#"); they are escaped here, because our output is strict.
_TOLERATED: Final = r"\#\[\]{}|^`"
# Only single character classes repeat: Python 3.11 before 3.11.5 (Debian 12 has 3.11.2) loses its place when a
# possessive repeat of a group gives up halfway, as on half an escape. So escapes are looked at afterwards.
_SIP: Final = re.compile(
    rf"""(?P<scheme>sips?):
    (?:(?P<user>[{_UNRESERVED}&=+$,;?/%{_TOLERATED}]++)(?::(?P<password>[{_UNRESERVED}&=+$,%]*+))?@)?
    (?P<host>\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9.\-_]++)
    (?::(?P<port>[0-9]{{1,5}}))?
    (?P<params>(?:;[{_UNRESERVED}\[\]/:&+$=%;]++)?)
    (?:\?(?P<headers>[{_UNRESERVED}\[\]/?:+$=&%]++))?""",
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_TEL: Final = re.compile(
    rf"tel:(\+?[0-9A-Fa-f*#\-.()]++)((?:;[{_UNRESERVED}\[\]/:&+$=%;]++)?)", re.IGNORECASE | re.ASCII
)
_HALF_ESCAPE: Final = re.compile("%(?![0-9A-Fa-f]{2})")
_SCHEME: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*+):([!#-;=?-~]++)", re.ASCII)
_SEPARATORS: Final = str.maketrans("", "", "-.()")
_ESCAPE: Final = re.compile("%([0-9A-Fa-f]{2})")
_TO_ESCAPE: Final = re.compile(f"[{_TOLERATED}]")
_PLAIN: Final = re.compile(f"[{_UNRESERVED}]")
# RFC 3261 §25.1 unreserved and user-unreserved; ";" is escaped, because it misleads.
_USER_SAFE: Final = "-_.!~*'()&=+$,/?"

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
        user = (
            "" if self.user is None else f"{self.user}@" if self.password is None else f"{self.user}:{self.password}@"
        )
        port = "" if self.port is None else f":{self.port}"
        headers = f"?{self.headers}" if self.headers else ""
        return f"{self.scheme}:{user}{bracketed(self.host)}{port}{params_text(self.params)}{headers}"

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


def parse_uri(text: str) -> Uri:
    """Raises ParseError. The same few URIs come all day, so that results are remembered."""
    if len(text) <= REMEMBERED_CHARACTERS:
        return _remembered(text)
    if len(text) > URI_OCTETS:
        raise ParseError("URI Too Long", status=414)
    return _read(text)


def escaped_user(user: str) -> str:
    """Any text as a user part; the inverse of `SipUri.user_text`."""
    digits = user[1:] if user[:1] == "+" else user  # what nearly all users are
    if digits.isalnum() and digits.isascii():
        return user
    return quote(user, safe=_USER_SAFE, errors="surrogateescape")


def _read(text: str) -> Uri:
    scheme = text[:5].lower()
    if scheme.startswith(("sip:", "sips:")):
        return _sip(text)
    if scheme.startswith("tel:"):
        return _tel(text)
    match = _SCHEME.fullmatch(text)
    if match is None:
        raise ParseError("Malformed URI")
    return OtherUri(match[1].lower(), text)


_remembered: Final = lru_cache(maxsize=REMEMBERED_TEXTS)(_read)


def _sip(text: str) -> SipUri:
    match = _SIP.fullmatch(text)
    if match is None or _HALF_ESCAPE.search(text) is not None:
        raise ParseError("Malformed URI")
    port = None if match["port"] is None else int(match["port"])
    if port is not None and not 0 < port <= 65535:
        raise ParseError("Malformed URI")
    host = match["host"].lower()
    if host.startswith("["):
        address = canonical_ip(host)
        if address is None:
            raise ParseError("Malformed URI")
        host = address
    user = match["user"]
    if user is not None and _TO_ESCAPE.search(user) is not None:
        user = _TO_ESCAPE.sub(lambda char: f"%{ord(char[0]):02X}", user)
    params = match["params"]
    return SipUri(
        match["scheme"].lower(),
        user,
        match["password"],
        host,
        port,
        _params(params) if params else (),
        match["headers"] or "",
    )


def _tel(text: str) -> TelUri:
    match = _TEL.fullmatch(text)
    if match is None or _HALF_ESCAPE.search(text) is not None:
        raise ParseError("Malformed URI")
    number = match[1].translate(_SEPARATORS)
    if number in ("", "+"):
        raise ParseError("Malformed URI")
    return TelUri(number, _params(match[2]) if match[2] else ())


def _params(text: str) -> Params:
    params: list[tuple[str, str | None]] = []
    for part in text[1:].split(";"):
        name, equals, value = part.partition("=")
        if not name:
            raise ParseError("Malformed URI")
        params.append((name.lower(), value if equals else None))
    if len(params) > 1:
        values = dict(params)
        # "Even though an arbitrary number of URI parameters may be included in a URI, any given parameter-name MUST NOT
        # appear more than once", §19.1.1. A mere repetition is dropped.
        if len(values) < len(params):
            if any(values[name] != value for name, value in params):
                raise ParseError("Malformed URI")
            return tuple(values.items())
    return tuple(params)


def _resolved(text: str | None) -> str | None:
    """Escapes resolved of "characters other than those in the "reserved" set", §19.1.4; the others in one spelling."""
    return None if text is None else _ESCAPE.sub(_resolved_one, text) if "%" in text else text


def _resolved_one(escape: re.Match[str]) -> str:
    char = chr(int(escape[1], 16))
    return char if _PLAIN.match(char) else escape[0].upper()


def _folded(params: Params) -> dict[str, str | None]:
    return {name: None if value is None else (_resolved(value) or "").lower() for name, value in params}


def _same_params(one: Params, other: Params) -> bool:
    ones, others = _folded(one), _folded(other)
    for name in ones.keys() & others.keys():
        if ones[name] != others[name]:
            return False
    return all((name in ones) == (name in others) for name in _ALWAYS_COMPARED)


def _same_headers(one: str, other: str) -> bool:
    """ "Any present header component MUST be present in both URIs and match for the URIs to match"."""
    return one == other or sorted(_resolved_headers(one)) == sorted(_resolved_headers(other))


def _resolved_headers(text: str) -> list[str]:
    return [(_resolved(part) or "").lower() for part in text.split("&")]
