"""What RTP payload types mean in an m= line, and the same m= line in other numbers (RFC 3264 §6.1 and §8.3.2).

A number means a codec, for some codecs together with the fmtp parameters that make another format of it. It is the same
wherever two ends use one number for one meaning; `translation` says how to get from one end's numbers to the other's.
Pure values: who used which number when is remembered by the call (`b2bua.numbers`).
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.sdp.codecs import STATIC, Codec, codec_of
from sbc.sdp.model import Media

_AMR: Final = ("octet-align", "crc", "robust-sorting", "interleaving")
_CONFIGURING: Final[Mapping[str, tuple[str, ...]]] = {
    "amr": _AMR,  # RFC 4867 §8.3.1
    "amr-wb": _AMR,
    "g7221": ("bitrate",),  # RFC 5577 §4.2
    "h264": ("packetization-mode", "profile-level-id"),  # RFC 6184 §8.2.2
    "mpeg4-generic": ("mode", "config"),  # RFC 3640 §4.1
    "vp9": ("profile-id",),  # RFC 9628 §7
}
"""Parameters that "describe specific configurations of the media format" (RFC 3264 §6.1); all others may differ."""

_PROFILE_DIGITS: Final = 4  # of profile-level-id; the rest is the level, which the two ends may have of their own
EXPLAINING: Final = ("a=rtpmap:", "a=fmtp:")
_NUMBERED: Final = (*EXPLAINING, "a=rtcp-fb:")


class Meaning(Struct, frozen=True, array_like=True):
    """`configuration` tells formats of one codec apart, without naming a number."""

    codec: Codec
    configuration: str = ""

    @property
    def is_known(self) -> bool:
        return bool(self.codec.name)


def meanings_of(media: Media) -> dict[str, Meaning]:
    """Every payload type of the m= line, in its order. One that nothing explains means itself: a nameless codec."""
    encodings: dict[str, str] = {}
    parameters: dict[str, str] = {}
    for line in media.lines:
        if line.startswith("a=rtpmap:"):
            number, _, encodings[number] = line[9:].strip().partition(" ")
        elif line.startswith("a=fmtp:"):
            number, _, parameters[number] = line[7:].strip().partition(" ")
    codecs = {number: _codec(number, encodings) for number in media.formats}
    return {
        number: Meaning(codec, _configuration(codec, parameters.get(number, ""), codecs))
        for number, codec in codecs.items()
    }


def speaks_alike(one: Media, other: Media, prefixes: str | tuple[str, ...] = "a=rtpmap:") -> bool:
    """Whether `one` plainly uses no number but those of `other` and explains none otherwise. False may still be so."""
    known = other.formats
    for number in one.formats:
        if number not in known:
            return False
    lines = other.lines
    for line in one.lines:  # noqa: SIM110  on the path of every answer
        if line.startswith(prefixes) and line not in lines:
            return False
    return True


def translation(from_: Media, to: Media) -> dict[str, str]:
    """The number in `to` for each number of `from_` that means something there: itself where it can be.

    Two numbers of one meaning are matched in order; where `to` has but one, both become that.
    """
    mine, theirs = meanings_of(from_), meanings_of(to)
    found: dict[str, str] = {}
    for number, meaning in mine.items():
        there = theirs.get(number)
        if there is not None and (there == meaning or not meaning.is_known or not there.is_known):
            found[number] = number
    for is_exact in (True, False):
        for number, meaning in mine.items():
            if number in found or not meaning.is_known:
                continue
            fitting = [n for n, there in theirs.items() if _fits(there, meaning, is_exact=is_exact)]
            if fitting:
                used = set(found.values())
                found[number] = next((n for n in fitting if n not in used), fitting[0])
    return {number: found[number] for number in mine if number in found}


def renumbered(media: Media, numbers: Mapping[str, str]) -> Media:
    """The m= line with each number as `numbers` has it; one that is not there is left out, with its lines.

    Redundant audio (RFC 2198) names numbers inside its packets, where nobody rewrites them: it goes where those change.
    """
    red = {n for n in media.formats if n in numbers and _is_broken_red(media, n, numbers)}
    kept: dict[str, str] = {}
    for number in media.formats:
        if number in numbers and number not in red and numbers[number] not in kept.values():
            kept[number] = numbers[number]
    if tuple(kept) == media.formats and all(number == kept[number] for number in kept):
        return media
    lines = [line for line in [_renumbered_line(line, kept) for line in media.lines] if line]
    return replace(media, formats=tuple(kept.values()), lines=tuple(lines))


def only(media: Media, formats: tuple[str, ...]) -> Media:
    """The m= line with these of its formats, in this order."""
    if formats == media.formats:
        return media
    kept = renumbered(media, {number: number for number in formats})
    return replace(kept, formats=tuple([number for number in formats if number in kept.formats]))


def rewriting(from_: Media, to: Media) -> tuple[tuple[int, int], ...]:
    """For packets that come in `from_`'s numbers and go in `to`'s: (as it comes, as it goes), where the two differ."""
    if speaks_alike(from_, to):
        return ()
    pairs = [(_number(one), _number(other)) for one, other in translation(from_, to).items() if one != other]
    return tuple([(one, other) for one, other in pairs if one is not None and other is not None])


def payload_type(media: Media, name: str) -> tuple[int, int] | None:
    """Number and clock rate of the first format of that lower-case name."""
    for number, meaning in meanings_of(media).items():
        if meaning.codec.name == name and (known := _number(number)) is not None:
            rate = meaning.codec.rate
            return known, int(rate) if rate.isascii() and rate.isdigit() and len(rate) < 8 else 8000
    return None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 127 else None


def _codec(number: str, encodings: Mapping[str, str]) -> Codec:
    encoding = encodings.get(number, "").strip() or STATIC.get(number)
    return Codec("", number) if encoding is None else codec_of(encoding)


def _configuration(codec: Codec, parameters: str, codecs: Mapping[str, Codec]) -> str:
    if not parameters:
        return ""
    if codec.name == "rtx":
        # Retransmission of one other format (RFC 4588 §8.6).
        return _names([value for name, value in _pairs(parameters) if name == "apt"], codecs)
    if codec.name == "red":
        return _names(parameters.split("/"), codecs)
    names = _CONFIGURING.get(codec.name)
    if names is None:
        return ""
    values = [(name, _value(name, value)) for name, value in _pairs(parameters) if name in names]
    # 0 is what all of them mean where they are not there.
    return ";".join(sorted([f"{name}={value}" for name, value in values if value != "0"]))


def _names(numbers: list[str], codecs: Mapping[str, Codec]) -> str:
    return "/".join([f"{codecs[n].name},{codecs[n].rate}" if n in codecs else n for n in map(str.strip, numbers)])


def _pairs(parameters: str) -> list[tuple[str, str]]:
    split = [parameter.partition("=") for parameter in parameters.split(";")]
    return [(name.strip().lower(), value.strip()) for name, _, value in split]


def _value(name: str, value: str) -> str:
    return value[:_PROFILE_DIGITS].lower() if name == "profile-level-id" else value


def _fits(there: Meaning, meaning: Meaning, *, is_exact: bool) -> bool:
    return there == meaning if is_exact else there.codec == meaning.codec


def _is_broken_red(media: Media, number: str, numbers: Mapping[str, str]) -> bool:
    start = f"a=fmtp:{number} "
    if f"a=rtpmap:{number} red/" not in "\n".join(media.lines).lower():
        return False
    blocks = [n.strip() for line in media.lines if line.startswith(start) for n in line[len(start) :].split("/")]
    return any(numbers.get(block) != block for block in blocks)


def _renumbered_line(line: str, numbers: Mapping[str, str]) -> str:
    """Empty where the line's format is gone."""
    if not line.startswith(_NUMBERED):
        return line
    name, _, rest = line.partition(":")
    number, blank, value = rest.partition(" ")
    if number == "*":
        return line  # rtcp-fb for all formats (RFC 4585 §4.2)
    if number not in numbers:
        return ""
    if name == "a=fmtp" and "apt=" in value:
        value = ";".join([_renumbered_apt(parameter, numbers) for parameter in value.split(";")])
    return f"{name}:{numbers[number]}{blank}{value}"


def _renumbered_apt(parameter: str, numbers: Mapping[str, str]) -> str:
    name, _, value = parameter.partition("=")
    return f"{name}={numbers.get(value.strip(), value)}" if name.strip() == "apt" else parameter
