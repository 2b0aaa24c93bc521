"""Session descriptions: read, print, anchor, negotiate (RFC 8866, 3264, 3605). Pure values; never imports sip.

The names below are what the call and the test kit use.
"""

from sbc.sdp.anchor import anchor, check_relayable
from sbc.sdp.describe import describe
from sbc.sdp.direction import Direction, direction_of
from sbc.sdp.hostile import check_hostile, check_hostile_remote
from sbc.sdp.model import Connection, Media, Origin, SdpError, Session, same_except_origin
from sbc.sdp.negotiate import answer, check_answer, check_next_offer
from sbc.sdp.parse import parse_sdp
from sbc.sdp.remotes import MediaRemote, media_remotes
from sbc.sdp.serialize import serialize_sdp

__all__ = [
    "Connection",
    "Direction",
    "Media",
    "MediaRemote",
    "Origin",
    "SdpError",
    "Session",
    "anchor",
    "answer",
    "check_answer",
    "check_hostile",
    "check_hostile_remote",
    "check_next_offer",
    "check_relayable",
    "describe",
    "direction_of",
    "media_remotes",
    "parse_sdp",
    "same_except_origin",
    "serialize_sdp",
]
