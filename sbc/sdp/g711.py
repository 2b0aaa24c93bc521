"""G.711's two laws in a stream of sound (RFC 3551 §4.5.14): which it has, with the other one added, or in its place.

For peers that have no law in common: the relay makes one out of the other, sample by sample, so that clock, packet time
and everything else stay. Pure values; who may be offered what decides the call (`b2bua.offers`).
"""

from typing import Final

from msgspec.structs import replace

from sbc.sdp.codecs import Codec, codecs_of
from sbc.sdp.model import Media
from sbc.sdp.payload_types import only, renumbered

_NUMBERS: Final = {"pcmu": "0", "pcma": "8"}
_LAWS: Final = {Codec(name, "8000"): name for name in _NUMBERS}
OTHER: Final = {"pcmu": "pcma", "pcma": "pcmu"}


def laws(media: Media) -> dict[str, str]:
    """The first payload type of each law in live sound, by "pcma" and "pcmu"."""
    found: dict[str, str] = {}
    if media.port == 0 or media.kind.lower() != "audio" or not media.is_rtp:
        return found
    for number, codec in codecs_of(media).items():
        law = _LAWS.get(codec)
        if law is not None and number.isascii() and number.isdigit() and len(number) <= 3 and int(number) <= 127:
            found.setdefault(law, number)
    return found


def lacks_a_law(media: Media) -> bool:
    """False where it is no live sound, or where both plainly are there, by the numbers that everybody gives them."""
    formats = media.formats
    if "0" in formats and "8" in formats:
        return False
    return media.port != 0 and media.kind.lower() == "audio"


def with_other_law(media: Media) -> Media:
    """The law that it has not stands behind its codecs, where it has one of the two; else it is as it was."""
    known = laws(media)
    if len(known) != 1:
        return media
    law = OTHER[next(iter(known))]
    number = _NUMBERS[law]
    if number in media.formats:
        return media  # it means something else there
    explaining = (f"a=rtpmap:{number} ", f"a=fmtp:{number} ")
    lines = [line for line in media.lines if not line.startswith(explaining)]
    wider = replace(media, formats=(*media.formats, number), lines=(f"a=rtpmap:{number} {law.upper()}/8000", *lines))
    return behind(wider, number)


def added_law(before: Media, after: Media) -> str:
    """The payload type that `with_other_law` has put in."""
    return next(number for number in after.formats if number not in before.formats)


def behind(media: Media, number: str) -> Media:
    """The m= line with this format, if it has it, behind all other codecs, but before what is no sound by itself."""
    if number not in media.formats:
        return media
    codecs = codecs_of(media)
    others = [one for one in media.formats if one != number]
    place = max([i + 1 for i, one in enumerate(others) if one not in codecs or codecs[one].is_sound], default=0)
    formats = (*others[:place], number, *others[place:])
    return media if formats == media.formats else replace(media, formats=formats)


def in_law_of(media: Media, offered: Media) -> Media:
    """The m= line for somebody who has said `offered`: without a law that is not in there, but where the two have no
    law in common, with the one of `offered` in its place and number.
    """
    mine, known = laws(media), laws(offered)
    foreign = [law for law in mine if law not in known]
    if not foreign or not known:
        return media
    numbers = [one for one, codec in codecs_of(media).items() if _LAWS.get(codec) == foreign[0]]
    if len(mine) > 1:
        return only(media, tuple([one for one in media.formats if one not in numbers]))
    law, theirs = next(iter(known.items()))
    if theirs in media.formats:
        return media  # it means something else there
    others = {one: one for one in media.formats if one not in numbers}
    turned = renumbered(media, {**others, mine[foreign[0]]: theirs})
    start = f"a=rtpmap:{theirs} "
    lines = [line for line in turned.lines if not line.startswith(start)]
    explaining = [line for line in offered.lines if line.startswith(start)]
    return replace(turned, lines=(*(explaining or [f"{start}{law.upper()}/8000"]), *lines))
