"""`Session` to bytes (RFC 8866 §5): v=, o=, s=, then the kept lines with c= in its place, CRLF everywhere.

It checks nothing: a value that came from `parse` or from our own modules cannot hold a line end.
"""

from typing import Final

from sbc.sdp.model import Connection, Session
from sbc.sdp.secured import security_lines

_BEFORE_CONNECTION: Final = ("i=", "u=", "e=", "p=")


def serialize_sdp(session: Session) -> bytes:
    out = ["v=0", f"o={session.origin}", f"s={session.name}"]
    _section(out, session.connection, session.lines)
    for media in session.media:
        security = media.security
        proto = media.proto if security is None else security.proto or media.proto
        out.append(f"m={media.kind} {media.port} {proto} {' '.join(media.formats)}")
        _section(out, media.connection, media.lines)
        if security is not None and media.port:
            out += security_lines(security)
    out.append("")
    return "\r\n".join(out).encode()


def _section(out: list[str], connection: Connection | None, lines: tuple[str, ...]) -> None:
    if connection is None:
        out += lines
        return
    at = 0
    while at < len(lines) and lines[at].startswith(_BEFORE_CONNECTION):
        at += 1
    out += lines[:at]
    out.append(f"c={connection}")
    out += lines[at:]
