"""Session-ID (RFC 7989 §5): one identifier for each end of a session, the same on every hop.

Reads the old kind of RFC 7329 too, which has one identifier and no `remote`. Nothing is decided here, and nothing made:
identifiers come from an IdSource. Who uses it: `b2bua.session_ids`.
"""

import re
from typing import Final

from msgspec import Struct

from sbc.sip.errors import ParseError
from sbc.sip.params import param, parse_params

NIL: Final = "0" * 32
"""In place of the identifier of an end that is not known yet (§5)."""

_UUID: Final = re.compile(r"[0-9a-f]{32}", re.ASCII)


class SessionId(Struct, frozen=True):
    """32 lower-case hexadecimal digits each. `local`: of who sends the message; `remote` None: the old kind (§11)."""

    local: str
    remote: str | None = None

    def __str__(self) -> str:
        return self.local if self.remote is None else f"{self.local};remote={self.remote}"


def parse_session_id(text: str) -> SessionId | None:
    """None for what cannot be read. Capitals are read as small letters; other parameters are left out (§12)."""
    name, semicolon, rest = text.partition(";")
    local = name.strip(" \t").lower()
    if _UUID.fullmatch(local) is None:
        return None
    try:
        params = parse_params(rest, "Session-ID") if semicolon else ()
    except ParseError:
        return None
    remote = param(params, "remote")
    if remote is None:
        return SessionId(local)
    remote = remote.lower()
    return None if _UUID.fullmatch(remote) is None else SessionId(local, remote)
