"""Reason (RFC 3326): why a request was sent, or with RFC 6432 why a response was. Read leniently, it is mere advice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from sbc.sip.errors import ParseError
from sbc.sip.params import Params, param, params_text, parse_params
from sbc.sip.scan import is_token, unquoted

if TYPE_CHECKING:
    from sbc.sip.message import Request, Response


_CAUSES: Final = {"Q.850": range(1, 128), "SIP": range(100, 700)}
# The example of RFC 3326 §2: a call that another telephone took is none that was missed. Some read only the text.
_ELSEWHERE: Final = (("text", '"Call completed elsewhere"'),)


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


def crossing_reasons(message: Request | Response) -> tuple[ReasonValue, ...]:
    """The causes that are told to another network: of Q.850 and of SIP, the first of each ("all of them MUST have
    different protocol values", RFC 3326 §2). No text but the one that telephones look for: it may name hosts."""
    kept: dict[str, ReasonValue] = {}
    for value in message.reason_header:
        cause = value.cause
        if cause is None or value.protocol in kept or cause not in _CAUSES.get(value.protocol, ()):
            continue
        params: Params = (("cause", str(cause)),)
        if value.protocol == "SIP" and cause == 200:
            params += _ELSEWHERE
        kept[value.protocol] = ReasonValue(value.protocol, params)
    return tuple(kept.values())


def q850_of(message: Request | Response) -> int | None:
    """The Q.850 cause that a message names, if it names one (1 to 127)."""
    for value in message.reason_header:
        if value.protocol == "Q.850" and value.cause is not None and 1 <= value.cause <= 127:
            return value.cause
    return None
