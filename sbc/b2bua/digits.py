"""Digits in INFO requests: application/dtmf-relay and application/dtmf, which no RFC describes and everybody sends.

Read as telephones write them, written in one way. Used by `bodies`, where a digit crosses as it came, and by the call,
where one side's INFO becomes the other's RFC 4733 event.
"""

import re
from typing import Final

from msgspec import Struct

from sbc.core.limits import DIGIT_MILLISECONDS
from sbc.sip.message import Fields, Request

RELAY: Final = "application/dtmf-relay"
PLAIN: Final = "application/dtmf"
DEFAULT_MILLISECONDS: Final = 160  # where nothing is said of it

_LINE: Final = re.compile(rb"[ \t]*(signal|duration)[ \t]*[=:][ \t]*([0-9A-Za-z*#!]{1,8})[ \t]*", re.IGNORECASE)
_LINES: Final = 16  # of one body, that are looked at
_OCTETS: Final = 1_024
# By number, as RFC 4733 §3.2 numbers events.
_BY_NUMBER: Final = {"10": "*", "11": "#", "12": "A", "13": "B", "14": "C", "15": "D"}
_DIGITS: Final = frozenset("0123456789*#ABCD")
_FLASHES: Final = frozenset(("16", "HF", "!"))  # of the hook: it crosses as it came, and is no digit


class Digit(Struct, frozen=True):
    """`key`: one of 0-9, *, #, A-D."""

    key: str
    milliseconds: int = DEFAULT_MILLISECONDS


def digit_of(info: Request) -> Digit | None:
    """The digit that an INFO carries; None where it is about something else, or cannot be read."""
    said = _read(info)
    return said if said is not None and said.key in _DIGITS else None


def relayed(info: Request) -> bytes | None:
    """The body of an INFO that carries a digit or a flash, for the other side; None where it cannot be read."""
    said = _read(info)
    if said is None:
        return None
    if info.content_type == PLAIN:
        return said.key.encode("ascii")
    return info_body(said.key, said.milliseconds)[1]


def info_body(key: str, milliseconds: int) -> tuple[Fields, bytes]:
    """The body of an INFO for a digit, after what describes it."""
    body = f"Signal={key}\r\nDuration={milliseconds}\r\n"
    return (("Content-Type", RELAY),), body.encode("ascii")


def _read(info: Request) -> Digit | None:
    if info.content_type not in (RELAY, PLAIN) or len(info.body) > _OCTETS:
        return None
    found: dict[bytes, str] = {}
    for line in info.body.splitlines()[:_LINES]:
        match = _LINE.fullmatch(line)
        if match is not None:
            found.setdefault(match[1].lower(), match[2].decode("ascii").upper())
    signal = found.get(b"signal") or info.body.strip().decode("ascii", "replace").upper()
    signal = _BY_NUMBER.get(signal, signal)
    if signal not in _DIGITS and signal not in _FLASHES:
        return None
    return Digit(signal, _milliseconds(found.get(b"duration", "")))


def _milliseconds(text: str) -> int:
    shortest, longest = DIGIT_MILLISECONDS
    if not text.isdecimal():
        return DEFAULT_MILLISECONDS
    return min(max(int(text), shortest), longest)
