"""`"Name" <uri>;params`: the shape of From, To, Contact, Route, P-Asserted-Identity and others (RFC 3261 §20.10)."""

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from sbc.core.limits import REMEMBERED_CHARACTERS
from sbc.sip.errors import ParseError
from sbc.sip.params import Params, param, params_text, parse_params
from sbc.sip.scan import quoted, unquoted
from sbc.sip.uri import Uri, parse_uri

# Interop: a display name without quotes is tokens and blanks by the grammar; real peers also send brackets, slashes and
# letters beyond ASCII. What could end the name or the header for another reader is refused; we always print quotes.
_BRACKETED: Final = re.compile(
    r"""(?:("(?:[^"\\]|\\.)*+")[ \t]*+|([^<>",;\\]*+))<([^<>"\s]++)>[ \t]*+(?:;(.*))?""", re.DOTALL | re.ASCII
)
_BARE: Final = re.compile(r"""([^<>"\s;,?]++)[ \t]*+(?:;(.*))?""", re.DOTALL | re.ASCII)


class NameAddr(Struct, frozen=True):
    """`display` is without quotes and escapes; "" where there is none."""

    display: str
    uri: Uri
    params: Params = ()

    @property
    def tag(self) -> str | None:
        return param(self.params, "tag")

    def __str__(self) -> str:
        display = f"{quoted(self.display)} " if self.display else ""
        return f"{display}<{self.uri}>{params_text(self.params)}"


class Star(Struct, frozen=True):
    """`Contact: *`, the removal of all bindings (RFC 3261 §10.2.2)."""


def parse_name_addr(text: str, header: str = "address") -> NameAddr:
    """Raises ParseError. Blanks within <> and an unquoted comma are errors: guesses mislead (RFC 4475 §3.1.2).

    The From and To of a dialog come with each of its messages, so that results are remembered for a while.
    """
    return _remembered(text, header) if len(text) <= REMEMBERED_CHARACTERS else _parse(text, header)


def _parse(text: str, header: str) -> NameAddr:
    match = _BRACKETED.fullmatch(text)
    if match is not None:
        params = match[4]
        display = unquoted(match[1]) if match[1] is not None else match[2].strip(" \t")
        return NameAddr(display, _uri(match[3], header), () if params is None else parse_params(params, header))
    match = _BARE.fullmatch(text)
    if match is None:
        raise ParseError("Malformed Address", header=header)
    # "If the URI is not enclosed in angle brackets, any semicolon-delimited parameters are header-parameters", §20
    params = match[2]
    return NameAddr("", _uri(match[1], header), () if params is None else parse_params(params, header))


@lru_cache(maxsize=2048)
def _remembered(text: str, header: str) -> NameAddr:
    return _parse(text, header)


def _uri(text: str, header: str) -> Uri:
    try:
        return parse_uri(text)
    except ParseError as error:
        raise ParseError(error.reason, header=header) from None
