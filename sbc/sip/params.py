"""Ordered `;name=value` parameters of headers and URIs (RFC 3261 §7.3.1, §25.1 generic-param)."""

import re
from typing import Final

from sbc.sip.errors import ParseError
from sbc.sip.scan import TOKEN_CHARS

Params = tuple[tuple[str, str | None], ...]

_PARAM: Final = re.compile(
    rf"[ \t]*+([{TOKEN_CHARS}]++)[ \t]*+(?:=[ \t]*+(\"(?:[^\"\\]|\\.)*+\"|[^\s;,\"<>\\]++)?[ \t]*+)?(?:;|\Z)",
    re.DOTALL | re.ASCII,
)


def parse_params(text: str, header: str) -> Params:
    """`text` is what follows the first semicolon. Quoted values keep their quotes; `name=` is read as `name`.

    An empty parameter is an error, and so is a second, different value of the same one: which of two tags or branches
    counts must not depend on who reads.
    """
    params: list[tuple[str, str | None]] = []
    at, end = 0, len(text)
    while True:
        match = _PARAM.match(text, at)
        if match is None:
            raise ParseError("Malformed Parameter", header=header)
        params.append((match[1].lower(), match[2]))
        at = match.end()
        if at >= end:
            if text.endswith(";") and text[at - 1] == ";":
                raise ParseError("Empty Parameter", header=header)
            return _consistent(params, header)


def _consistent(params: list[tuple[str, str | None]], header: str) -> Params:
    if len(params) > 1:
        values = dict(params)
        if len(values) < len(params):
            if any(values[name] != value for name, value in params):
                raise ParseError("Contradictory Parameters", header=header)
            return tuple(values.items())
    return tuple(params)


def param(params: Params, name: str) -> str | None:
    """The value of the first parameter of that lower-case name; None where it is absent or has none."""
    for key, value in params:
        if key == name:
            return value
    return None


def has_param(params: Params, name: str) -> bool:
    return any(key == name for key, _ in params)


def params_text(params: Params) -> str:
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in params])
