"""The lines `a=crypto` of one m= line (RFC 4568 §9): those that can be used, and how ours are written.

"If an SDP crypto attribute is received with an unknown session parameter that is not prefixed with a "-" character,
that crypto attribute MUST be considered invalid" (§6.3.7); so is one that asks for less than SRTP gives, or for a suite
that we do not know, or whose grammar is wrong. An invalid line is passed over as if it were not there: whether what is
left will do is decided elsewhere.
"""

import base64
import re
from collections.abc import Sequence
from typing import Final

from sbc.core.limits import KEYS_PER_CRYPTO_LINE
from sbc.sdp.security import KEY_OCTETS, CryptoLine, InlineKey

_LINE: Final = re.compile(r"([0-9]{1,9})[ \t]+([A-Za-z0-9_]+)[ \t]+([!-~]+)((?:[ \t]+[!-~]+)*)[ \t]*", re.ASCII)
_KEY: Final = re.compile(
    r"inline:(?P<key>[A-Za-z0-9+/]+={0,2})"
    r"(?:\|(?P<lifetime>(?:2\^)?[0-9]{1,15}))?"
    r"(?:\|(?P<mki>[1-9][0-9]{0,308}):(?P<length>[1-9][0-9]{0,2}))?",
    re.ASCII | re.IGNORECASE,
)
_WINDOW: Final = re.compile(r"WSH=[0-9]{2,9}", re.ASCII | re.IGNORECASE)
_SMALLEST_WINDOW: Final = 64
_MKI_OCTETS: Final = 128
_LONGEST: Final = 2**48  # packets with one key (RFC 4568 §6.2)
_LONGEST_POWER: Final = 48


def read_crypto(values: Sequence[str]) -> tuple[CryptoLine, ...]:
    """`values`: what stands behind `a=crypto:`, in order. Nothing where two have one tag: "Each crypto attribute for a
    given media stream MUST contain a unique tag" (§5.1.1), and an answer would name both.
    """
    tags: set[int] = set()
    lines = []
    for value in values:
        found = _LINE.fullmatch(value)
        if found is None:
            continue
        tag = int(found[1])
        if tag in tags:
            return ()
        tags.add(tag)
        keys = _keys(found[3], found[2].upper())
        if keys and all(map(_may_have, found[4].split())):
            lines.append(CryptoLine(tag, found[2].upper(), keys))
    return tuple(lines)


def write_crypto(line: CryptoLine) -> str:
    """The whole line of SDP, with what `read_crypto` reads."""
    return f"a=crypto:{line.tag} {line.suite} {';'.join(map(_inline, line.keys))}"


def _inline(key: InlineKey) -> str:
    text = "inline:" + base64.b64encode(key.key).decode("ascii")
    return f"{text}|{int.from_bytes(key.mki)}:{len(key.mki)}" if key.mki else text


def _keys(text: str, suite: str) -> tuple[InlineKey, ...]:
    """None where one of them is wrong: they go together."""
    octets = KEY_OCTETS.get(suite)
    parts = text.split(";", KEYS_PER_CRYPTO_LINE)
    if octets is None or len(parts) > KEYS_PER_CRYPTO_LINE:
        return ()
    keys = [_key(part, octets) for part in parts]
    known = [key for key in keys if key is not None]
    if len(known) < len(keys) or not _fit(known):
        return ()
    return tuple(known)


def _fit(keys: list[InlineKey]) -> bool:
    """Of several "all the master keys MUST include an MKI value … the MKI length MUST be the same" (§6.1)."""
    if len(keys) == 1:
        return True
    if len({key.mki for key in keys}) < len(keys) or len({key.key for key in keys}) < len(keys):
        return False
    return bool(keys[0].mki) and len({len(key.mki) for key in keys}) == 1


def _key(text: str, octets: int) -> InlineKey | None:
    found = _KEY.fullmatch(text)
    if found is None or not _is_lifetime(found["lifetime"]):
        return None
    key = _decoded(found["key"], octets)
    if key is None or found["mki"] is None:
        return None if key is None else InlineKey(key)
    number, length = int(found["mki"]), int(found["length"])
    if length > _MKI_OCTETS or number >= 1 << (8 * length):
        return None
    return InlineKey(key, number.to_bytes(length))


def _decoded(text: str, octets: int) -> bytes | None:
    """Padding may be left out (§6.1); what stands in for no octet must be zero (RFC 4648 §3.5)."""
    digits = text.rstrip("=")
    if len(digits) != (octets * 8 + 5) // 6 or (text != digits and len(text) % 4):
        return None
    key = base64.b64decode(digits + "=" * (-len(digits) % 4))
    return key if base64.b64encode(key).decode("ascii").rstrip("=") == digits else None


def _is_lifetime(text: str | None) -> bool:
    """A positive number of packets without leading zeros, of at most what the suite allows (§6.1)."""
    # Deviation: nobody counts the packets, and one beyond the lifetime is taken (RFC 4568 §6.1 has it refused): whose
    # key it is has to come with another one in time, and a call that falls silent there helps nobody.
    if text is None:
        return True
    digits = text.removeprefix("2^")
    if digits != "0" and digits.startswith("0"):
        return False
    return int(digits) <= _LONGEST_POWER if digits != text else 0 < int(digits) <= _LONGEST


def _may_have(parameter: str) -> bool:
    """A hint at the replay window changes nothing here (§6.3.6); one that begins with a dash may be ignored (§6.3.7).

    KDR would derive keys anew, FEC_KEY and FEC_ORDER belong to a stream of their own, and UNENCRYPTED_SRTP,
    UNENCRYPTED_SRTCP and UNAUTHENTICATED_SRTP take away what SRTP is for.
    """
    if parameter.startswith("-"):
        return len(parameter) > 1 and parameter[1] != "-"
    return _WINDOW.fullmatch(parameter) is not None and int(parameter[4:]) >= _SMALLEST_WINDOW
