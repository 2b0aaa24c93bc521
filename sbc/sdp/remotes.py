"""Where each stream of a description wants its packets, and what they are: all that the media relay is told.

RFC 3264 §5.1, RFC 3605 (a=rtcp). Where RTCP goes unless both have agreed to RTP's port for it (RFC 5761, see `mux`).
One `MediaRemote` for each m= line, in order. It judges nothing; see `hostile` for what is refused.
"""

from functools import lru_cache
from typing import Final

from msgspec import Struct

from sbc.core.address import canonical_ip
from sbc.sdp.codecs import format_name
from sbc.sdp.direction import Direction, direction_of, is_hold_address
from sbc.sdp.model import Media, Session, attribute_values

_RTCP_OCTETS: Final = 255  # read of one a=rtcp value; keeps what `_host` remembers small


class MediaRemote(Struct, frozen=True, array_like=True):
    """One m= line as the relay sees it.

    `host` is an IP literal in canonical form, None for the old hold (`held`) and for a name, which we do not resolve.
    `rtcp_port` 0: no RTCP to be sent there. `refused`: port 0, or a protocol that we cannot relay.
    """

    kind: str
    proto: str
    host: str | None
    port: int
    rtcp_port: int
    direction: Direction
    refused: bool
    rtp: bool
    codec: str
    held: bool = False


def media_remotes(session: Session) -> tuple[MediaRemote, ...]:
    return tuple([_remote(session, media) for media in session.media])


def _remote(session: Session, media: Media) -> MediaRemote:
    connection = media.connection or session.connection
    held = is_hold_address(connection)
    host = None if held or connection is None else _host(connection.address)
    rtp = media.is_rtp
    return MediaRemote(
        media.kind,
        media.proto,
        host,
        media.port,
        _rtcp_port(media, host) if rtp else 0,
        direction_of(session, media),
        media.port == 0 or not media.is_relayable,
        rtp,
        format_name(media, media.formats[0]),
        held,
    )


@lru_cache(maxsize=4096)
def _host(address: str) -> str | None:
    """The IP literal in a c= line, less a multicast TTL. Remembered, because the same few addresses come all day."""
    return canonical_ip(address.partition("/")[0])


def _rtcp_port(media: Media, host: str | None) -> int:
    """The port of a=rtcp (RFC 3605 §2.1), else the one above RTP's; 0 if there is none, or it is on another host."""
    default = media.port + 1 if 0 < media.port < 65535 else 0
    values = attribute_values(media.lines, "rtcp")
    if not values or media.port == 0:
        return default
    port_text, *where = values[0][:_RTCP_OCTETS].split() or [""]
    if len(where) == 3 and _host(where[2]) not in {host, None}:
        return 0
    if not (port_text.isascii() and port_text.isdigit()) or len(port_text) > 5:
        return default
    port = int(port_text)
    # RTP's own port there is meant for a=rtcp-mux, and nothing is to be said of it where that is agreed to.
    return port if 0 < port <= 65535 and port != media.port else default
