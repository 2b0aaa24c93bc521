"""RSeq and RAck, which number and acknowledge reliable provisional responses (RFC 3262 §7).

Read leniently: None for what cannot be read. Nothing is decided here. Who uses it: `sip.dialog.reliable`.
"""

import re
from typing import Final

from msgspec import Struct

from sbc.sip.errors import ParseError
from sbc.sip.headers.cseq import LARGEST_CSEQ
from sbc.sip.message import Response
from sbc.sip.scan import TOKEN_CHARS, number

LARGEST_RSEQ: Final = 2**32 - 1  # §7.1: "a single numeric value from 1 to 2**32 - 1"

_RACK: Final = re.compile(rf"([0-9]++)[ \t]++([0-9]++)[ \t]++([{TOKEN_CHARS}]++)", re.ASCII)


class RAck(Struct, frozen=True):
    """Which response a PRACK acknowledges: its RSeq, and the number and method of its CSeq."""

    rseq: int
    cseq: int
    method: str

    def __str__(self) -> str:
        return f"{self.rseq} {self.cseq} {self.method}"


def parse_rack(text: str) -> RAck | None:
    match = _RACK.fullmatch(text)
    if match is None:
        return None
    try:
        return RAck(number(match[1], LARGEST_RSEQ, "RAck"), number(match[2], LARGEST_CSEQ, "RAck"), match[3])
    except ParseError:
        return None


def rseq_of(response: Response) -> int | None:
    """None where there is none, or one beyond 32 bits.

    Interop: 0 is read too, though numbers begin at 1; a peer that begins there gives the call up without its PRACK.
    """
    text = response.header("RSeq")
    try:
        return None if text is None else number(text, LARGEST_RSEQ, "RSeq")
    except ParseError:
        return None
