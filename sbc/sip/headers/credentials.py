"""Challenges and credentials, syntax only: `Digest name=value, name="value", …` (RFC 3261 §20.7, §20.27, §20.28,
§20.44, §25.1; RFC 7235 §2.1). Both have one form. What the values mean, `sbc.sip.auth` knows.

Values are kept as they came, quotes and escapes too: a realm, a nonce and an opaque must go back unchanged.
Who uses it: `sbc.sip.auth`.
"""

import re
from typing import Final

from msgspec import Struct

from sbc.sip.message import Request, Response
from sbc.sip.scan import TOKEN_CHARS, unquoted

# An element may begin with a scheme. RFC 3261 §7.3.1 forbids two challenges in one field, HTTP does not, and peers that
# are built on HTTP libraries send them.
_ELEMENT: Final = re.compile(
    rf"[ \t,]*+(?:([{TOKEN_CHARS}]++)[ \t]++)?([{TOKEN_CHARS}]++)[ \t]*+=[ \t]*+"
    r'("(?:[^"\\]|\\.)*+"|[^\s",]*+)[ \t]*+(?:,[ \t,]*+|\Z)',
    re.DOTALL | re.ASCII,
)


class AuthValue(Struct, frozen=True):
    """One challenge, or one request's credentials. Names are lower-case, values as they stand on the wire."""

    scheme: str
    params: tuple[tuple[str, str], ...]

    @property
    def is_digest(self) -> bool:
        return self.scheme.lower() == "digest"

    def raw(self, name: str) -> str | None:
        """The value with its quotes, as it came."""
        for key, value in self.params:
            if key == name:
                return value
        return None

    def value(self, name: str) -> str | None:
        """The value without quotes and escapes: RFC 7616 §3.3, `unq(X)`."""
        raw = self.raw(name)
        return None if raw is None else unquoted(raw)

    def __str__(self) -> str:
        return f"{self.scheme} {', '.join([f'{name}={value}' for name, value in self.params])}"


def parse_auth(text: str) -> list[AuthValue]:
    """The challenges or credentials of one field; none where it cannot be read, or is of a form without parameters.

    A parameter that comes twice with different values makes the whole field unreadable: which one counts must not
    depend on who reads.
    """
    found: list[tuple[str, dict[str, str]]] = []
    at, end = 0, len(text)
    while at < end:
        match = _ELEMENT.match(text, at)
        if match is None or (match[1] is None and not found):
            return []
        if match[1] is not None:
            found.append((match[1], {}))
        params, name = found[-1][1], match[2].lower()
        if params.setdefault(name, match[3]) != match[3]:
            return []
        at = match.end()
    return [AuthValue(scheme, tuple(params.items())) for scheme, params in found]


def digests_in(message: Request | Response, header: str) -> list[AuthValue]:
    """Every Digest challenge or credentials under this (canonical) header name, top to bottom; others are left out.

    "The client MUST ignore any challenge it does not understand", RFC 8760 §2.4.
    """
    return [value for text in message.headers(header) for value in parse_auth(text) if value.is_digest]
