"""RTP and RTCP on one port (RFC 5761, RFC 8035; RFC 8858 where a peer can do nothing else).

It is agreed upon with each peer for itself: `anchor` drops what the other side's description says of it, and writes
`a=rtcp-mux` where the call tells it to.
"""

from collections.abc import Collection, Sequence
from typing import Final

from msgspec.structs import replace

from sbc.sdp.model import Media, Session

MUX: Final = "a=rtcp-mux"
_ONLY: Final = "a=rtcp-mux-only"
_LIKE_RTCP: Final = frozenset(map(str, range(64, 96)))


def has_mux(media: Media) -> bool:
    """Also where only the attribute of RFC 8858 stands, beside which RFC 5761's "MUST" stand."""
    return MUX in media.lines or _ONLY in media.lines


def muxed_streams(session: Session) -> Collection[int]:
    """The streams, by their place, that this description wants on one port, or agrees to have there."""
    return [i for i, media in enumerate(session.media) if has_mux(media)]


def with_mux(streams: Sequence[Media], muxed: Collection[int]) -> list[Media]:
    """These streams with the attribute where it may stand: live RTP whose payload types do not look like RTCP's.

    Then "payload type values in the range 64-95 MUST NOT be used" (RFC 5761 §4).
    """
    return [replace(m, lines=(*m.lines, MUX)) if i in muxed and _may(m) else m for i, m in enumerate(streams)]


def _may(media: Media) -> bool:
    return media.port != 0 and media.is_rtp and _LIKE_RTCP.isdisjoint(media.formats)
