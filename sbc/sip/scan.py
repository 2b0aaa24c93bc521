"""The one scanner of header values: tokens, quoted strings, lists (RFC 3261 §25.1). Linear in its input, always.

It yields text and knows no header. Everything that reads a header value is built on it.
"""

import re
from typing import Final

from sbc.sip.errors import ParseError

TOKEN_CHARS: Final = r"A-Za-z0-9\-.!%*_+`'~"
_TOKEN: Final = re.compile(f"[{TOKEN_CHARS}]+")
_QUOTED: Final = re.compile(r'"(?:[^"\\]|\\.)*+"', re.DOTALL)
_PIECE: Final = re.compile(r'"(?:[^"\\]|\\.)*+"|<[^<>"]*+>|[^,"<]++|,|["<]', re.DOTALL)
_ESCAPED_CONTROL: Final = re.compile(r"\\[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


def split_list(value: str) -> list[str]:
    """The elements of a comma-separated list; commas in quotes and angle brackets do not separate."""
    if "," not in value:
        return [value]
    if '"' not in value and "<" not in value:
        return [part.strip() for part in value.split(",")]
    parts: list[str] = []
    current = ""
    for piece in _PIECE.findall(value):
        if piece == ",":
            parts.append(current.strip())
            current = ""
        else:
            current += piece
    parts.append(current.strip())
    return parts


def quoted(text: str) -> str:
    """`text` as a quoted-string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def unquoted(text: str) -> str:
    """The contents of a quoted-string, quoted-pairs resolved; other text as it is."""
    if len(text) < 2 or text[0] != '"':
        return text
    inner = text[1:-1]
    return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL) if "\\" in inner else inner


def has_stray_control(text: str) -> bool:
    """Whether a control character stands anywhere but as a quoted-pair within a quoted string, where the grammar has it."""
    if _CONTROL.search(text) is None:
        return False
    without = _QUOTED.sub(lambda match: _ESCAPED_CONTROL.sub("", match.group()), text)
    return _CONTROL.search(without) is not None


def number(text: str, largest: int, header: str) -> int:
    """A decimal number up to `largest`. Digits are counted before they are converted, so that length costs nothing."""
    text = text.strip()
    if not (text.isascii() and text.isdigit()):
        raise ParseError("not a number", header=header)
    digits = text.lstrip("0")
    if len(digits) > len(str(largest)) or (value := int(digits or "0")) > largest:
        raise ParseError("number too large", header=header)
    return value
