"""What signalling's media client knows of DTLS handshakes that have ended: their keys, by port (sans-IO; RFC 5764).

A session is put without them by who asks, and is said to a worker with them, so that a fresh worker needs no new
handshake. They are a port's for as long as sessions use it, and those of one association alone. Used by `media.client`.
"""

from collections.abc import Mapping

from msgspec.structs import replace

from sbc.media import wire
from sbc.media.counting import Key


def with_keys(put: wire.PutSession, keys: Mapping[Key, wire.Dtls]) -> wire.PutSession:
    """The same session, with what is known of its ends. `keys`: what was asked for there, and what came of it."""
    if not keys or not any(_is_known(end, keys) for stream in put.streams for end in (stream.ingress, stream.egress)):
        return put
    streams = tuple(
        replace(stream, ingress=_with(stream.ingress, keys), egress=_with(stream.egress, keys))
        for stream in put.streams
    )
    return replace(put, streams=streams)


def _with(end: wire.End, keys: Mapping[Key, wire.Dtls]) -> wire.End:
    return replace(end, secured=keys[end.local, end.port]) if _is_known(end, keys) else end


def _is_known(end: wire.End, keys: Mapping[Key, wire.Dtls]) -> bool:
    """Whether these keys are of the handshake that is asked for."""
    known = keys.get((end.local, end.port))
    return known is not None and isinstance(end.secured, wire.Dtls) and _asked(known) == _asked(end.secured)


def _asked(dtls: wire.Dtls) -> wire.Dtls:
    return replace(dtls, keys=None, rtcp_keys=None)
