"""Secured RTP to plain RTP with its `Security` beside it, and back: RTP/SAVP(F) of RFC 3711 and RFC 5124,
UDP/TLS/RTP/SAVP(F) of RFC 5764 §8, and RTP/AVP(F) with keys beside it (RFC 8643).

What crosses a call, is compared and restricted is plain; keys are of one side and never cross. Used by `b2bua.securing`
on what a peer says, and by `serialize`.
"""

from collections.abc import Iterable
from typing import Final

from msgspec.structs import replace

from sbc.core.limits import CRYPTO_LINES_PER_MEDIA
from sbc.sdp.crypto import read_crypto, write_crypto
from sbc.sdp.dtls import NAMES, read_dtls, write_dtls
from sbc.sdp.model import RTP_PROTOS, Media, SdpError, Session
from sbc.sdp.security import Security

_PLAIN: Final = {
    "RTP/SAVP": "RTP/AVP",
    "RTP/SAVPF": "RTP/AVPF",
    "UDP/TLS/RTP/SAVP": "RTP/AVP",
    "UDP/TLS/RTP/SAVPF": "RTP/AVPF",
}
_HANDSHAKE: Final = "UDP/TLS/"
# MIKEY (RFC 4567), and the key of RFC 2327, are other ways of saying a key; nobody is to see them either.
_KEYS: Final = frozenset({"crypto", "key-mgmt"})
_ALL: Final = _KEYS | NAMES


def unsecured(session: Session) -> Session:
    """The same with plain RTP; what it says of keys is in each stream's `security`. SdpError 488 beyond the bounds."""
    said = _said(session.lines)
    streams = tuple([_unsecured(media, said) for media in session.media])
    return replace(session, lines=_without_keys(session.lines), media=streams)


def plain(session: Session) -> Session:
    """What may cross: without anything of this side's keys."""
    if all(media.security is None for media in session.media):
        return session
    return replace(session, media=tuple([replace(media, security=None) for media in session.media]))


def secured_proto(proto: str, *, by_handshake: bool) -> str:
    """Of plain RTP's."""
    name = "RTP/SAVPF" if proto.upper() == "RTP/AVPF" else "RTP/SAVP"
    return _HANDSHAKE + name if by_handshake else name


def security_lines(security: Security) -> list[str]:
    """What stands below the m= line."""
    lines = [write_crypto(line) for line in security.crypto]
    return lines if security.dtls is None else [*lines, *write_dtls(security.dtls)]


def _unsecured(media: Media, of_session: dict[str, list[str]]) -> Media:
    proto = media.proto.upper()
    known = _PLAIN.get(proto)
    said = _said(media.lines)
    lines = _without_keys(media.lines) if said else media.lines
    if known is None and proto not in RTP_PROTOS:
        return media if lines is media.lines else replace(media, lines=lines)
    if len(said.get("crypto", ())) > CRYPTO_LINES_PER_MEDIA:
        raise SdpError("too many a=crypto lines for one m= line", 488)
    crypto = () if proto.startswith(_HANDSHAKE) else read_crypto(said.get("crypto", ()))
    dtls = read_dtls(said, of_session)
    if known is not None:
        # Sound crosses as RTP/AVP: gateways of browsers have no other profile than SAVPF, and PBXs know none but AVP.
        # Both understand each other's RTCP (RFC 4585 §5), and feedback is of use for pictures.
        known = "RTP/AVP" if media.kind == "audio" else known
        return replace(media, proto=known, lines=lines, security=Security(media.proto, crypto, dtls))
    security = Security("", crypto, dtls) if crypto or dtls else None
    return media if security is None and lines is media.lines else replace(media, lines=lines, security=security)


def _said(lines: Iterable[str]) -> dict[str, list[str]]:
    said: dict[str, list[str]] = {}
    for line in lines:
        name, _, value = line[2:].partition(":")
        if line.startswith("a=") and name in _ALL:
            said.setdefault(name, []).append(value.strip(" \t"))
    return said


def _without_keys(lines: tuple[str, ...]) -> tuple[str, ...]:
    """Whatever their case is: what we do not read, nobody else shall."""
    return tuple([line for line in lines if not _is_key(line)])


def _is_key(line: str) -> bool:
    return line.startswith("k=") or (line.startswith("a=") and line[2:].partition(":")[0].strip().lower() in _ALL)
