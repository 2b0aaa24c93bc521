"""The sound that we offer where a peer wants an offer and nobody has made one (RFC 6337 §4.1, the SBC between them).

Only what we know how to write down can be offered; the SBC itself sends and hears none of it.
"""

from collections.abc import Sequence
from typing import Final

from sbc.sdp.codecs import STATIC, TELEPHONE_EVENT
from sbc.sdp.model import Media

USUAL: Final = ("pcmu", "pcma", TELEPHONE_EVENT)

_DYNAMIC: Final = {
    TELEPHONE_EVENT: "telephone-event/8000",
    "opus": "opus/48000/2",
    "amr": "AMR/8000",
    "amr-wb": "AMR-WB/16000",
    "ilbc": "iLBC/8000",
    "speex": "speex/8000",
    "speex/16000": "speex/16000",
    "g726-32": "G726-32/8000",
}  # fmt: skip
_FIRST_DYNAMIC: Final = 96
_EVENT: Final = "101"  # by custom
_SOUND: Final = {
    key: (number, encoding)
    for number, encoding in reversed(STATIC.items())
    if int(number) <= 18 and encoding.count("/") == 1  # one channel
    for key in (encoding.partition("/")[0].lower(), "/".join(encoding.lower().split("/")[:2]))
}
_PORT: Final = 9  # discard (RFC 863): ours is put in its place


def own_stream(names: Sequence[str] = ()) -> Media:
    """One audio stream of these codecs, or of the usual ones; port 0 where none of them is one that we know."""
    lines: list[str] = []
    formats: list[str] = []
    free = _FIRST_DYNAMIC
    for name in names or USUAL:
        number, encoding = _SOUND.get(name) or ("", _DYNAMIC.get(name) or _DYNAMIC.get(name.partition("/")[0], ""))
        if not encoding:
            continue
        if not number and encoding.startswith(TELEPHONE_EVENT):
            number = _EVENT
        elif not number:
            number, free = str(free), free + 1
        if number not in formats:
            formats.append(number)
            lines.append(f"a=rtpmap:{number} {encoding}")
        if number == _EVENT:
            lines.append(f"a=fmtp:{number} 0-15")
    has_sound = any(number != _EVENT for number in formats)
    return Media("audio", _PORT if has_sound else 0, "RTP/AVP", tuple(formats) or ("0",), None, tuple(lines))
