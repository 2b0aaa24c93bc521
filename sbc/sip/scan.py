"""The one scanner of header values: tokens, quoted strings, lists (RFC 3261 §25.1). Linear in its input, always.

It yields text and knows no header. Everything that reads a header value is built on it.
"""

import re
from typing import Final

from sbc.sip.errors import ParseError

TOKEN_CHARS: Final = r"A-Za-z0-9\-.!%*_+`'~"  # noqa: S105  the grammar's token, no secret
_TOKEN: Final = re.compile(f"[{TOKEN_CHARS}]++")
# A quote or bracket that is never closed takes all that follows. Were it a piece of its own, the search for its end
# would start again at every later quote, and the time would grow with the square of the length.
_QUOTED: Final = r'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
_PIECE: Final = re.compile(rf'{_QUOTED}|<[^<>"]*+>?|[^,"<]++|,', re.DOTALL)
_TEXT_OR_QUOTED: Final = re.compile(rf'[^"]++|{_QUOTED}', re.DOTALL)
_ESCAPED_CONTROL: Final = re.compile(r"\\[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_CONTROL: Final = re.compile(r"[\x00-\x08\n-\x1f\x7f]")
_MUST_ESCAPE: Final = re.compile(r'["\\\x00-\x08\x0b\x0c\x0e-\x1f\x7f]')


def is_token(text: str) -> bool:
    return _TOKEN.fullmatch(text) is not None


def split_list(value: str) -> list[str]:
    """The elements of a comma-separated list; commas in quotes and angle brackets do not separate."""
    if "," not in value:
        return [value]
    if '"' not in value and "<" not in value:
        return [part.strip(" \t") for part in value.split(",")]
    parts: list[str] = []
    current = ""
    for piece in _PIECE.findall(value):
        if piece == ",":
            parts.append(current.strip(" \t"))
            current = ""
        else:
            current += piece
    parts.append(current.strip(" \t"))
    return parts


def quoted(text: str) -> str:
    """`text` as a quoted-string. CR and LF, which even a quoted-pair may not hold, become blanks."""
    if _MUST_ESCAPE.search(text) is not None:
        text = _MUST_ESCAPE.sub(r"\\\g<0>", text)
    if "\r" in text or "\n" in text:
        text = text.replace("\r", " ").replace("\n", " ")
    return f'"{text}"'


def unquoted(text: str) -> str:
    """The contents of a quoted-string, quoted-pairs resolved; other text as it is."""
    if len(text) < 2 or text[0] != '"':
        return text
    inner = text[1:-1]
    return re.sub(r"\\(.)", r"\1", inner, flags=re.DOTALL) if "\\" in inner else inner


def has_stray_control(line: str) -> bool:
    """Whether an unfolded line has a control character but as a quoted-pair in a quoted string, where it is legal.

    A tab is no control here: it is linear whitespace.
    """
    if _CONTROL.search(line) is None:
        return False
    for piece in _TEXT_OR_QUOTED.findall(line):
        rest = _ESCAPED_CONTROL.sub("", piece) if piece[0] == '"' else piece
        if _CONTROL.search(rest) is not None:
            return True
    return False


def number(text: str, largest: int, header: str) -> int:
    """A decimal number up to `largest`. Digits are counted before they are converted, so that length costs nothing."""
    text = text.strip(" \t")
    if not (text.isascii() and text.isdigit()):
        raise ParseError("Not A Number", header=header)
    digits = text.lstrip("0")
    if len(digits) > len(str(largest)) or (value := int(digits or "0")) > largest:
        raise ParseError("Number Too Large", header=header)
    return value
