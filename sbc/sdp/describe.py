"""What an end point says about itself: the offer of a phone, also used as its side of an answer (RFC 3264 §5).

For the demo's phones and the tests; the SBC itself never originates media.
"""

from collections.abc import Sequence
from typing import Final

from sbc.sdp.codecs import STATIC, TELEPHONE_EVENT
from sbc.sdp.direction import Direction
from sbc.sdp.model import Connection, Media, Origin, Session, address_type

_FIRST_DYNAMIC: Final = 96
_EVENT_PAYLOAD_TYPE: Final = 101
_DYNAMIC_ENCODINGS: Final = {"opus": "opus/48000/2", "H264": "H264/90000", "VP8": "VP8/90000"}
_STATIC_NUMBERS: Final = {encoding.partition("/")[0]: number for number, encoding in reversed(STATIC.items())}


def describe(
    host: str,
    audio_port: int,
    codecs: Sequence[str] = ("PCMU", "PCMA", TELEPHONE_EVENT),
    video_port: int | None = None,
    direction: Direction = Direction.SENDRECV,
    *,
    session_id: int = 1,
    version: int = 1,
) -> Session:
    """One audio stream, and one of H.264 video where a port for it is given. Codecs by their RTP names."""
    media = [_rtp("audio", audio_port, codecs, direction)]
    if video_port is not None:
        media.append(_rtp("video", video_port, ("H264",), direction))
    connection = Connection(address_type(host), host)
    return Session(str(Origin(session_id, version, host)), "-", connection, ("t=0 0",), tuple(media))


def _rtp(kind: str, port: int, codecs: Sequence[str], direction: Direction) -> Media:
    formats = []
    lines = []
    dynamic = _FIRST_DYNAMIC
    for codec in codecs:
        if codec == TELEPHONE_EVENT:
            number, encoding = str(_EVENT_PAYLOAD_TYPE), f"{TELEPHONE_EVENT}/8000"
        elif codec in _STATIC_NUMBERS:
            number = _STATIC_NUMBERS[codec]
            encoding = STATIC[number]
        else:
            number, encoding = str(dynamic), _DYNAMIC_ENCODINGS.get(codec, f"{codec}/8000")
            dynamic += 1
        formats.append(number)
        lines.append(f"a=rtpmap:{number} {encoding}")
        if codec == TELEPHONE_EVENT:
            lines.append(f"a=fmtp:{number} 0-16")
    if kind == "audio":
        lines.append("a=ptime:20")
    lines.append(f"a={direction}")
    return Media(kind, port, "RTP/AVP", tuple(formats), None, tuple(lines))
