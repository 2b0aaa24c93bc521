"""Codecs behind RTP payload types: static numbers (RFC 3551 §6), rtpmap (RFC 8866 §6.6) and when two are the same.

Knows names and clock rates, no codec's parameters. Used for CDRs (`format_name`) and for answers (`codecs_of`).
"""

from typing import Final

from msgspec import Struct

from sbc.sdp.model import Media, attribute_values

TELEPHONE_EVENT: Final = "telephone-event"

STATIC: Final = {
    "0": "PCMU/8000", "3": "GSM/8000", "4": "G723/8000", "5": "DVI4/8000", "6": "DVI4/16000", "7": "LPC/8000",
    "8": "PCMA/8000", "9": "G722/8000", "10": "L16/44100/2", "11": "L16/44100", "12": "QCELP/8000", "13": "CN/8000",
    "14": "MPA/90000", "15": "G728/8000", "16": "DVI4/11025", "17": "DVI4/22050", "18": "G729/8000",
    "25": "CelB/90000", "26": "JPEG/90000", "28": "nv/90000", "31": "H261/90000", "32": "MPV/90000",
    "33": "MP2T/90000", "34": "H263/90000",
}  # fmt: skip


class Codec(Struct, frozen=True, array_like=True):
    """Lower-case name with clock rate and channels, so that equal codecs are equal values (RFC 3264 §6.1)."""

    name: str
    rate: str
    channels: str = "1"

    @property
    def is_sound(self) -> bool:
        """Neither DTMF nor comfort noise, which alone make no stream."""
        return self.name not in {TELEPHONE_EVENT, "cn"}


def format_name(media: Media, format_: str) -> str:
    """What a format of the m= line is called, as written: "PCMU", "t38"; the number itself where nobody says."""
    if not media.is_rtp:
        return format_
    start = f"a=rtpmap:{format_} "
    for line in media.lines:
        if line.startswith(start):
            name = line[len(start) :].strip().partition("/")[0]
            return name if name.isascii() else format_
    return STATIC.get(format_, format_).partition("/")[0]


def codecs_of(media: Media) -> dict[str, Codec]:
    """Payload type to codec in the m= line's order; payload types that nothing explains are left out."""
    mapped = dict(STATIC)
    for value in attribute_values(media.lines, "rtpmap"):
        payload_type, _, encoding = value.partition(" ")
        mapped[payload_type] = encoding.strip()
    return {format_: codec_of(mapped[format_]) for format_ in media.formats if format_ in mapped}


def codec_of(encoding: str) -> Codec:
    """The codec of an rtpmap encoding such as `opus/48000/2`."""
    name, _, rest = encoding.partition("/")
    rate, _, channels = rest.partition("/")
    return Codec(name.lower(), rate, channels or "1")
