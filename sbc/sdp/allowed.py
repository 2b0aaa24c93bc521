"""Which codecs of a stream cross, and in what order: the operator's rule for a peer, as pure functions.

Names are those of rtpmap in lower case, with a clock rate where the rule has one ("l16/44100"). Telephone-event is a
name like any other; comfort noise stays while a codec of its clock rate stays, retransmission while its codec does.
Streams that are not RTP have no codecs and pass; fax has a rule of its own.
"""

from collections.abc import Collection, Sequence
from typing import Final

from msgspec.structs import replace

from sbc.sdp.codecs import TELEPHONE_EVENT, Codec
from sbc.sdp.model import Media, SdpError, Session
from sbc.sdp.payload_types import Meaning, meanings_of, only

_COMFORT_NOISE: Final = "cn"
_RETRANSMISSION: Final = "rtx"
_SECONDARY: Final = frozenset({TELEPHONE_EVENT, _COMFORT_NOISE, _RETRANSMISSION, "red", "ulpfec", "flexfec"})


def allowed(media: Media, names: Collection[str]) -> Media:
    """The m= line with only the codecs of these names, refused (port 0) where none of them is sound or picture."""
    if not names or media.port == 0 or not media.is_rtp:
        return media
    meanings = meanings_of(media)
    main = {n: m for n, m in meanings.items() if m.codec.name not in _SECONDARY and _is_named(m.codec, names)}
    if not main:
        return replace(media, port=0)
    kept = [n for n, meaning in meanings.items() if n in main or _follows(meaning, main.values(), names)]
    return only(media, tuple(_less_foreign_events(kept, meanings)))


def ordered(media: Media, names: Sequence[str]) -> Media:
    """The m= line with these codecs first, in this order; what is neither sound nor picture stands last."""
    if not names or media.port == 0 or not media.is_rtp:
        return media
    meanings = meanings_of(media)
    formats = sorted(meanings, key=lambda number: _rank(meanings[number].codec, names))
    return media if tuple(formats) == media.formats else replace(media, formats=tuple(formats))


def without_fax(media: Media) -> Media:
    """An image stream (T.38) is refused: the call stays with its sound."""
    return replace(media, port=0) if media.port and is_fax(media) else media


def is_fax(media: Media) -> bool:
    return media.kind.lower() == "image" or (not media.is_rtp and "t38" in [name.lower() for name in media.formats])


def check_something_left(before: Session, after: Session) -> None:
    """SdpError 488 where streams were wanted and no rule has left one."""
    if any(media.port for media in before.media) and not any(media.port for media in after.media):
        raise SdpError("no stream is left of what is allowed", 488)


def _is_named(codec: Codec, names: Collection[str]) -> bool:
    return codec.name in names or f"{codec.name}/{codec.rate}" in names


def _follows(meaning: Meaning, main: Collection[Meaning], names: Collection[str]) -> bool:
    codec = meaning.codec
    if codec.name == _COMFORT_NOISE:
        return any(m.codec.rate == codec.rate for m in main)
    if codec.name == _RETRANSMISSION:
        return any(f"{m.codec.name},{m.codec.rate}" == meaning.configuration for m in main)
    return codec.name in _SECONDARY and _is_named(codec, names)


def _less_foreign_events(kept: list[str], meanings: dict[str, Meaning]) -> list[str]:
    """Of several telephone-events those whose clock rate no kept codec has are left out, but never the last one."""
    codecs = {number: meanings[number].codec for number in kept}
    events = [number for number, codec in codecs.items() if codec.name == TELEPHONE_EVENT]
    rates = {codec.rate for codec in codecs.values() if codec.name not in _SECONDARY}
    fitting = [number for number in events if codecs[number].rate in rates] or events[:1]
    return [number for number in kept if number not in events or number in fitting]


def _rank(codec: Codec, names: Sequence[str]) -> tuple[bool, int]:
    for place, name in enumerate(names):
        if name in (codec.name, f"{codec.name}/{codec.rate}"):
            return codec.name in _SECONDARY, place
    return codec.name in _SECONDARY, len(names)
