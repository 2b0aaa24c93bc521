"""RTP clock rates of a stream's payload types (RFC 3551 §6, RFC 8866 §6.6), for those who measure its packets."""

from functools import lru_cache
from typing import Final

from sbc.sdp.codecs import STATIC, TELEPHONE_EVENT
from sbc.sdp.model import Media

USUAL: Final = 8000  # Hz
_REMEMBERED: Final = 128  # streams; each may have `limits.SDP_OCTETS`, so that more might fill the memory

_RTPMAP: Final = "a=rtpmap:"
_STATIC_CLOCKS: Final = {
    number: int(rate)
    for number, encoding in STATIC.items()
    if (rate := encoding.split("/")[1]) != str(USUAL)
}  # fmt: skip


def clocks_of(media: Media) -> tuple[tuple[int, int], ...]:
    """(payload type, Hz) of those whose clock is not the usual one."""
    return _clocks(media.formats, media.lines)


def event_format(media: Media) -> tuple[int, int] | None:
    """Payload type and clock of the first telephone-event (RFC 4733); None where there is none."""
    return _event(media.formats, media.lines)


# Remembered, because telephones of one kind say the same in every call.


@lru_cache(maxsize=_REMEMBERED)
def _clocks(formats: tuple[str, ...], lines: tuple[str, ...]) -> tuple[tuple[int, int], ...]:
    found: dict[str, int] = {number: _STATIC_CLOCKS[number] for number in formats if number in _STATIC_CLOCKS}
    for line in lines:
        if line.startswith(_RTPMAP):
            number, _, rate = _read(line)
            found[number] = rate
    return tuple([(int(n), rate) for n, rate in found.items() if rate != USUAL and n in formats and _is_number(n)])


@lru_cache(maxsize=_REMEMBERED)
def _event(formats: tuple[str, ...], lines: tuple[str, ...]) -> tuple[int, int] | None:
    clocks: dict[str, int] = {}
    for line in lines:
        if line.startswith(_RTPMAP):
            number, name, rate = _read(line)
            if name == TELEPHONE_EVENT:
                clocks[number] = rate
    for number in formats:
        if number in clocks and _is_number(number):
            return int(number), clocks[number]
    return None


def _read(line: str) -> tuple[str, str, int]:
    """Number, name and rate of an rtpmap; the usual rate where what it says can be none."""
    number, _, encoding = line[len(_RTPMAP) :].strip().partition(" ")
    name, *rest = encoding.strip().lower().split("/")
    text = rest[0] if rest else ""
    known = int(text) if text.isascii() and text.isdigit() and len(text) < 8 else 0
    return number, name, known or USUAL


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and int(text) <= 127
