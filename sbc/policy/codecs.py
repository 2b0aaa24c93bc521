"""The key `codecs` of a peer: what it may be offered and may choose, and what stands first.

Names are those of `a=rtpmap` (RFC 8866 §6.6), in any case, with a clock rate where one is given. One that we do not
know may still be somebody's codec; a warning asks where it looks like one that we know. Nicknames are errors, because
no call would ever match them.
`sdp` and `b2bua.media` do the filtering.
"""

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from sbc.policy.documents import Node
from sbc.policy.model import CodecRules
from sbc.policy.problems import Problems, UnfitError
from sbc.policy.schema import At, Key, every, one, read_fields
from sbc.sdp.codecs import STATIC, TELEPHONE_EVENT

_CODEC: Final = re.compile(r"([A-Za-z0-9][A-Za-z0-9._+-]{0,63})(?:/([1-9][0-9]{2,6})(?:/[1-9][0-9]?)?)?")

_RATES: Final = Counter(encoding.partition("/")[0] for encoding in STATIC.values())

_NICKNAMES: Final = {
    "ulaw": "PCMU", "mulaw": "PCMU", "mu-law": "PCMU", "u-law": "PCMU", "g711u": "PCMU", "g711": "PCMU or PCMA",
    "alaw": "PCMA", "a-law": "PCMA", "g711a": "PCMA", "g.711": "PCMU or PCMA", "g.722": "G722", "g.729": "G729",
    "g729a": "G729", "g729b": "G729", "g729ab": "G729", "g723.1": "G723", "comfort-noise": "CN",
    "telephone_event": TELEPHONE_EVENT, "telephone-events": TELEPHONE_EVENT, "dtmf": TELEPHONE_EVENT,
    "rfc2833": TELEPHONE_EVENT, "rfc4733": TELEPHONE_EVENT,
}  # fmt: skip

_COMMON: Final = (
    "opus", "iLBC", "speex", "AMR", "AMR-WB", "EVS", "L8", "L16", "L24", "G7221", "G726-16", "G726-24", "G726-32",
    "G726-40", "G7291", "G729D", "G729E", "GSM-EFR", "GSM-HR-08", "SILK", "clearmode", "red", "t140", TELEPHONE_EVENT,
    "H261", "H263-1998", "H263-2000", "H264", "H265", "VP8", "VP9", "AV1", "MP4V-ES", "rtx", "ulpfec", "flexfec",
    *(encoding.partition("/")[0] for encoding in STATIC.values()),
)  # fmt: skip
_KNOWN: Final = {name.lower(): name for name in _COMMON}


def codec(text: str) -> str:
    """In lower case: `opus`, `l16/44100`. Channels are not looked at."""
    if text.isascii() and text.isdigit():
        return _static(text)
    found = _CODEC.fullmatch(text)
    if found is None:
        raise UnfitError(f"`{text}` is no codec", "expected its RTP name, such as PCMA, opus or L16/44100")
    name, rate = found[1].lower(), found[2]
    if name in _NICKNAMES:
        raise UnfitError(f"`{text}` is not what RTP calls it", f"expected {_NICKNAMES[name]}")
    if name in ("t38", "t.38"):
        raise UnfitError(f"`{text}` is no RTP codec", "expected the key `t38`")
    if name == "g722" and rate not in (None, "8000"):
        # "Even though the actual sampling rate for G.722 audio is 16,000 Hz, the RTP clock rate … is 8,000 Hz"
        raise UnfitError(f"`{text}` is in no SDP", "expected G722, whose RTP clock is 8000 (RFC 3551 §4.5.2)")
    return name if rate is None else f"{name}/{rate}"


def _static(text: str) -> str:
    """A payload type that means the same to everybody (RFC 3551 §6)."""
    encoding = STATIC.get(text.lstrip("0") or "0")
    if encoding is None:
        raise UnfitError(f"{text} is no static payload type", "expected a codec's RTP name: the number varies per call")
    name, rate = encoding.split("/")[:2]
    return f"{name}/{rate}".lower() if _RATES[name] > 1 else name.lower()


_NAMES: Final = every(one(codec))

CODECS: Final = (
    Key(
        "allow",
        "a codec or a list of them",
        "no other one crosses, video among them",
        _NAMES,
        default="all",
    ),
    Key(
        "order",
        "a codec or a list of them",
        "these stand first in what this peer is offered; the others follow as they came",
        _NAMES,
        default="as offered",
    ),
)


def read_codecs(node: Node, problems: Problems) -> CodecRules | None:
    """A list is both: these and no others, in this order."""
    if node.pairs is None:
        listed = _NAMES(node, problems) or ()
        _check_once(listed, problems)
        _check_spelling(listed, problems)
        names = tuple(at.value for at in listed)
        return CodecRules(names, names) if listed else None
    fields = read_fields(node, CODECS, "`codecs`", problems)
    if not fields.written:
        problems.wrong(node.where, "`codecs` says nothing", "expected a list, or a mapping of allow and order")
    allow, order = fields.get("allow", ()), fields.get("order", ())
    _check_once(allow, problems)
    _check_once(order, problems)
    _check_spelling((*allow, *order), problems)
    if allow:
        _check_order(allow, order, problems)
    return CodecRules(tuple(at.value for at in allow), tuple(at.value for at in order))


def lacks_telephone_event(rules: CodecRules) -> bool:
    return bool(rules.allow) and TELEPHONE_EVENT not in map(_name, rules.allow)


def _check_once(listed: Sequence[At], problems: Problems) -> None:
    first: dict[str, At] = {}
    for at in listed:
        other = first.setdefault(at.value, at)
        if other is not at:
            problems.wrong(
                at.where, f"the codec `{at.value}` is listed twice", f"expected it once; first at {other.where}"
            )


def _check_spelling(listed: Sequence[At], problems: Problems) -> None:
    """A slip of the pen would take a codec out of all calls."""
    for at in listed:
        name = _name(at.value)
        close = [] if name in _KNOWN else difflib.get_close_matches(name, _KNOWN, n=1, cutoff=0.75)
        if close:
            problems.warn(at.where, f"`{name}` is no codec that we know", f"did you mean `{_KNOWN[close[0]]}`?")


def _check_order(allow: Sequence[At], order: Sequence[At], problems: Problems) -> None:
    names = {_name(at.value) for at in allow}
    for at in order:
        if _name(at.value) not in names:
            problems.wrong(at.where, f"`{at.value}` is in `order` but not in `allow`", "expected it in both")


def _name(codec: str) -> str:
    return codec.partition("/")[0]
