"""CSeq (RFC 3261 §20.16): "The sequence number MUST be expressible as a 32-bit unsigned integer" and, by §8.1.1.5, be
less than 2**31."""

import re
from functools import lru_cache
from typing import Final

from msgspec import Struct

from sbc.core.limits import REMEMBERED_CHARACTERS
from sbc.sip.errors import ParseError
from sbc.sip.scan import TOKEN_CHARS, number

_CSEQ: Final = re.compile(rf"([0-9]++)[ \t]++([{TOKEN_CHARS}]++)")
LARGEST_CSEQ: Final = 2**31 - 1


class CSeq(Struct, frozen=True):
    number: int
    method: str


def parse_cseq(text: str) -> CSeq:
    """Raises ParseError. The same few come all day, so that results are remembered."""
    return _remembered(text) if len(text) <= REMEMBERED_CHARACTERS else _parse(text)


def _parse(text: str) -> CSeq:
    match = _CSEQ.fullmatch(text)
    if match is None:
        raise ParseError("Malformed CSeq", header="CSeq")
    return CSeq(number(match[1], LARGEST_CSEQ, "CSeq"), match[2])


_remembered: Final = lru_cache(maxsize=512)(_parse)
