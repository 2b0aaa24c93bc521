"""Reason (RFC 3326): why a request was sent, or with RFC 6432 why a response was. Read leniently: it decides no syntax."""

from msgspec import Struct

from sbc.sip.errors import ParseError
from sbc.sip.message import Request, Response
from sbc.sip.params import Params, param, parse_params


class ReasonValue(Struct, frozen=True):
    protocol: str  # upper-case: "Q.850", "SIP"
    params: Params = ()

    @property
    def cause(self) -> int | None:
        value = param(self.params, "cause")
        return int(value) if value is not None and value.isascii() and value.isdigit() and len(value) <= 3 else None


def parse_reason(text: str) -> ReasonValue | None:
    """None for a value that cannot be read."""
    protocol, semicolon, rest = text.partition(";")
    try:
        return ReasonValue(protocol.strip().upper(), parse_params(rest, "Reason") if semicolon else ())
    except ParseError:
        return None


def q850_of(message: Request | Response) -> int | None:
    """The Q.850 cause that a message names, if it names one (1 to 127)."""
    for text in message.values("Reason"):
        value = parse_reason(text)
        if value is not None and value.protocol == "Q.850" and value.cause is not None and 1 <= value.cause <= 127:
            return value.cause
    return None
