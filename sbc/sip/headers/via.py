"""Via (RFC 3261 §20.42, RFC 3581 §3)."""

import re
from typing import Final

from msgspec import Struct

from sbc.core.address import canonical_ip
from sbc.sip.errors import ParseError
from sbc.sip.params import Params, param, parse_params
from sbc.sip.scan import TOKEN_CHARS

_VIA: Final = re.compile(
    rf"SIP[ \t]*/[ \t]*2\.0[ \t]*/[ \t]*([{TOKEN_CHARS}]++)[ \t]+"
    r"(\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9.\-_]++)[ \t]*(?::[ \t]*([0-9]{1,5})[ \t]*)?(?:;(.*))?",
    re.DOTALL | re.IGNORECASE,
)
_SENT_BY: Final = re.compile(
    rf"SIP[ \t]*/[ \t]*[0-9.]+[ \t]*/[ \t]*([{TOKEN_CHARS}]++)[ \t]+(\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9.\-_]++)"
    r"[ \t]*(?::[ \t]*([0-9]{1,5}))?",
    re.IGNORECASE,
)


class Via(Struct, frozen=True):
    """`host` is in canonical form, without brackets."""

    transport: str
    host: str
    port: int | None
    params: Params = ()

    @property
    def branch(self) -> str | None:
        return param(self.params, "branch")

    @property
    def received(self) -> str | None:
        return param(self.params, "received")

    @property
    def rport(self) -> str | None:
        """None: not asked for; "": asked for; else the port."""
        for name, value in self.params:
            if name == "rport":
                return value or ""
        return None


def parse_via(text: str) -> Via:
    match = _VIA.fullmatch(text)
    if match is None:
        raise ParseError("bad Via", header="Via")
    params = match[4]
    return _via(match, () if params is None else parse_params(params, "Via"))


def parse_sent_by(text: str) -> Via | None:
    """Of a broken Via, what is needed to answer; None where not even that can be read."""
    match = _SENT_BY.match(text)
    return None if match is None else _via(match, ())


def _via(match: re.Match[str], params: Params) -> Via:
    port = None if match[3] is None else int(match[3])
    if port is not None and not 0 < port <= 65535:
        raise ParseError("bad port", header="Via")
    host = match[2]
    return Via(match[1].upper(), canonical_ip(host) or host.lower(), port, params)
