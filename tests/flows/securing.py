"""Worlds whose phones have SRTP, and what the relay is told of it: for the tests of it."""

from sbc.media import wire
from sbc.sdp.model import Session
from sbc.sdp.parse import parse_sdp
from sbc.sdp.secured import unsecured
from sbc.sdp.security import CryptoLine
from sbc.testing.world import World

FINGERPRINT = ("sha-256", ":".join(["AB"] * 32))


def session_of(sbc: World) -> wire.PutSession:
    """What the media worker has of the only call."""
    worker = sbc.media.worker
    assert worker is not None
    [ref] = worker.sessions
    return worker.session(ref)


def ends(sbc: World, stream: int = 0) -> tuple[wire.End, wire.End]:
    streams = session_of(sbc).streams
    return streams[stream].ingress, streams[stream].egress


def crypto(end: wire.End) -> wire.Crypto:
    assert isinstance(end.secured, wire.Crypto), end
    return end.secured


def described(body: bytes) -> Session:
    return unsecured(parse_sdp(body))


def line_of(session: Session | None, stream: int = 0) -> CryptoLine:
    """The only crypto line of a stream."""
    assert session is not None
    security = session.media[stream].security
    assert security is not None
    [line] = security.crypto
    return line


def first_line(session: Session | None, stream: int = 0) -> CryptoLine:
    assert session is not None
    security = session.media[stream].security
    assert security is not None
    return security.crypto[0]
