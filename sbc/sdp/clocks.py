"""RTP clock rates of a stream's payload types (RFC 3551 §6, RFC 8866 §6.6), for those who measure its packets.

Read in one go over the lines, because every call asks.
"""

from typing import Final

from sbc.sdp.codecs import STATIC, TELEPHONE_EVENT
from sbc.sdp.model import Media

USUAL: Final = 8000  # Hz

_RTPMAP: Final = "a=rtpmap:"
_USUAL_END: Final = f"/{USUAL}"
_STATIC_CLOCKS: Final = {
    number: int(rate)
    for number, encoding in STATIC.items()
    if (rate := encoding.split("/")[1]) != str(USUAL)
}  # fmt: skip


def clocks_of(media: Media) -> tuple[tuple[int, int], ...]:
    """(payload type, Hz) of those whose clock is not the usual one."""
    found: dict[str, int] = {number: _STATIC_CLOCKS[number] for number in media.formats if number in _STATIC_CLOCKS}
    for line in media.lines:
        if line.startswith(_RTPMAP) and (found or not line.endswith(_USUAL_END)):
            number, _, rate = _read(line)
            found[number] = rate
    if not found:
        return ()
    formats = media.formats
    return tuple([(int(n), rate) for n, rate in found.items() if rate != USUAL and n in formats and _is_number(n)])


def event_format(media: Media) -> tuple[int, int] | None:
    """Payload type and clock of the first telephone-event (RFC 4733); None where there is none."""
    clocks: dict[str, int] = {}
    for line in media.lines:
        if line.startswith(_RTPMAP) and TELEPHONE_EVENT in line.lower():
            number, name, rate = _read(line)
            if name == TELEPHONE_EVENT:
                clocks[number] = rate
    if not clocks:
        return None
    for number in media.formats:
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
