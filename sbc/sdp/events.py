"""Telephone-event (RFC 4733) in a stream of sound: put in or taken out where two peers send digits differently."""

from typing import Final

from msgspec.structs import replace

from sbc.sdp.codecs import TELEPHONE_EVENT
from sbc.sdp.model import Media
from sbc.sdp.payload_types import meanings_of, only

_USUAL: Final = ("101", *map(str, range(96, 128)))


def event_formats(media: Media) -> list[str]:
    """Its payload types, in the m= line's order."""
    return [number for number, meaning in meanings_of(media).items() if meaning.codec.name == TELEPHONE_EVENT]


def without_events(media: Media) -> Media:
    events = event_formats(media) if media.is_rtp else []
    return only(media, tuple([number for number in media.formats if number not in events])) if events else media


def with_events(media: Media, like: Media | None = None) -> Media:
    """Live sound with digits 0-15 at 8 kHz added where it has none; in the number and the words of `like`, if given."""
    if not (media.port and media.is_rtp and media.kind.lower() == "audio") or event_formats(media):
        return media
    if like is None:
        number = next((n for n in _USUAL if n not in media.formats), None)
        if number is None:
            return media
        lines = [f"a=rtpmap:{number} {TELEPHONE_EVENT}/8000", f"a=fmtp:{number} 0-15"]
    else:
        number = next(iter(event_formats(like)), None)
        if number is None or number in media.formats:
            return media
        lines = [line for line in like.lines if line.startswith((f"a=rtpmap:{number} ", f"a=fmtp:{number} "))]
    return replace(media, formats=(*media.formats, number), lines=(*lines, *media.lines))
