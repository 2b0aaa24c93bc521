"""Via (RFC 3261 §20.42, RFC 3581 §3)."""

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from sbc.core.address import bracketed, canonical_ip
from sbc.core.limits import REMEMBERED_CHARACTERS
from sbc.sip.errors import ParseError
from sbc.sip.params import Params, param, params_text, parse_params
from sbc.sip.scan import TOKEN_CHARS

_VIA: Final = re.compile(
    rf"SIP[ \t]*+/[ \t]*+2\.0[ \t]*+/[ \t]*+([{TOKEN_CHARS}]++)[ \t]++"
    r"(\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9.\-_]++)[ \t]*+(?::[ \t]*+([0-9]{1,5})[ \t]*+)?(?:;(.*))?",
    re.DOTALL | re.IGNORECASE | re.ASCII,
)
_SENT_BY: Final = re.compile(
    rf"SIP[ \t]*+/[ \t]*+[0-9.]++[ \t]*+/[ \t]*+([{TOKEN_CHARS}]++)[ \t]++(\[[0-9A-Fa-f:.]++\]|[A-Za-z0-9.\-_]++)"
    r"[ \t]*+(?::[ \t]*+([0-9]{1,5}))?",
    re.IGNORECASE | re.ASCII,
)
_BRANCH: Final = re.compile(rf";[ \t]*+branch[ \t]*+=[ \t]*+([{TOKEN_CHARS}]++)", re.IGNORECASE | re.ASCII)


class Via(Struct, frozen=True):
    """`host` is in canonical form, without brackets."""

    transport: str
    host: str
    port: int | None
    params: Params = ()

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {bracketed(self.host)}{port}{params_text(self.params)}"

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
        raise ParseError("Malformed Via", header="Via")
    params = match[4]
    return _via(match, () if params is None else parse_params(params, "Via"))


def salvage_via(text: str) -> Via | None:
    """Of a broken Via, what is needed to answer: sent-by and branch. None where not even that can be read."""
    match = _SENT_BY.match(text)
    if match is None:
        return None
    branch = _BRANCH.search(text)
    try:
        return _via(match, () if branch is None else (("branch", branch[1]),))
    except ParseError:
        return None


def _via(match: re.Match[str], params: Params) -> Via:
    port = None if match[3] is None else int(match[3])
    if port is not None and not 0 < port <= 65535:
        raise ParseError("Malformed Via", header="Via")
    host = match[2]
    host = _remembered(host) if len(host) <= REMEMBERED_CHARACTERS else canonical_host(host)
    return Via(match[1].upper(), host, port, params)


def canonical_host(text: str) -> str:
    """Of a sent-by: an address in its one form, without brackets; a name in lower case."""
    if len(text) > REMEMBERED_CHARACTERS and not text.startswith("["):
        return text.lower()
    return _remembered(text)  # of those in brackets none so long is an address, and a fault is not remembered


@lru_cache(maxsize=1024)
def _remembered(text: str) -> str:
    address = canonical_ip(text)
    if address is None and text.startswith("["):
        raise ParseError("Malformed Via", header="Via")
    return address or text.lower()
