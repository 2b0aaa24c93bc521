"""No answer to a stranger is longer than his request: who writes another's address into it must win nothing by that.

RFC 3261 §26.3.2.4 asks for one 401 instead of many; that one must not amplify either. A challenge that is too long is
shrunk: short names of fields (§7.3.3), no Server, no algorithm named where MD5 is meant anyway (RFC 7616 §3.3), fewer
algorithms, the least preferred first. What is too long even so stays unsent.
Used by the endpoint, for requests over UDP of who has proved nothing.
"""

from typing import Final

from sbc.sip.message import Fields, Response
from sbc.sip.serialize import serialize

_CHALLENGE: Final = "WWW-Authenticate"
_SHORT: Final = {"Via": "v", "From": "f", "To": "t", "Call-ID": "i", "Content-Length": "l"}


def fitting(status: int, reason: str, echo: Fields, fields: Fields, octets: int) -> bytes | None:
    """The response that is at most so long; None: there is none. `echo`: what every response repeats."""
    whole = serialize(Response(status, reason, echo + fields))
    if len(whole) <= octets:
        return whole
    kept = [(name, value) for name, value in fields if name == _CHALLENGE]
    while True:
        shrunk = _shrunk(serialize(Response(status, reason, (*echo, *_challenges(kept)))))
        if len(shrunk) <= octets:
            return shrunk
        if len(kept) < 2:
            return None
        kept.pop()


def _challenges(kept: list[tuple[str, str]]) -> Fields:
    shorter = [(name, value.replace(", ", ",")) for name, value in kept]
    if len(shorter) == 1:  # "If this is not present, it is assumed to be "MD5""
        shorter = [(name, value.replace(",algorithm=MD5", "")) for name, value in shorter]
    return tuple(shorter)


def _shrunk(data: bytes) -> bytes:
    head, blank, body = data.partition(b"\r\n\r\n")
    lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    short = [lines[0], *(_short(line) for line in lines[1:])]
    return "\r\n".join(short).encode("utf-8", "surrogateescape") + blank + body


def _short(line: str) -> str:
    name, colon, value = line.partition(":")
    return f"{_SHORT.get(name, name)}{colon}{value.lstrip(' ')}"
