"""Reason (RFC 3326): why a request was sent, or with RFC 6432 why a response was. Read leniently, it is mere advice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from sbc.sip.errors import ParseError
from sbc.sip.params import Params, param, params_text, parse_params
from sbc.sip.scan import is_token, unquoted

if TYPE_CHECKING:
    from sbc.sip.message import Request, Response


class ReasonValue(Struct, frozen=True):
    protocol: str  # upper-case: "Q.850", "SIP"
    params: Params = ()

    def __str__(self) -> str:
        return self.protocol + params_text(self.params)

    @property
    def text(self) -> str | None:
        value = param(self.params, "text")
        return None if value is None else unquoted(value)

    @property
    def cause(self) -> int | None:
        value = param(self.params, "cause")
        return int(value) if value is not None and value.isascii() and value.isdigit() and len(value) <= 3 else None


def parse_reason(text: str) -> ReasonValue | None:
    """None for a value that cannot be read."""
    protocol, semicolon, rest = text.partition(";")
    protocol = protocol.strip(" \t").upper()
    if not is_token(protocol):
        return None
    try:
        return ReasonValue(protocol, parse_params(rest, "Reason") if semicolon else ())
    except ParseError:
        return None


def q850_of(message: Request | Response) -> int | None:
    """The Q.850 cause that a message names, if it names one (1 to 127)."""
    for value in message.reason_header:
        if value.protocol == "Q.850" and value.cause is not None and 1 <= value.cause <= 127:
            return value.cause
    return None
