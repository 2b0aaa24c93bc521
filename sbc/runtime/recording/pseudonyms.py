"""What a masked recording has instead of numbers, names, digits, keys and passwords: always the same for the same.

Every text stays as long as it was, so that a Content-Length still holds and nothing has to be taken apart. A telephone
number keeps its beginning, by which it is routed, and its last digits where it is one of the policy's, by which ranges
are kept; between and behind them others stand. Who has the key of a masking could find numbers by trying all: it is
drawn for each masking and kept nowhere. Pure. Used by `masking`.
"""

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from typing import Final

SHORTEST: Final = 7  # digits of a telephone number; less is an extension, a service or an emergency
TAIL: Final = 4  # digits by which the numbers of a site are told apart

_DIGITS: Final = re.compile(rb"(?<![0-9A-Za-z])[0-9]{7,15}(?![0-9A-Za-z])")  # 15: E.164
_URI_USER: Final = re.compile(rb"(?:sips?(?::|%3a)|tel:)(?:\+|%2b)?([0-9]{7,15})(?![0-9A-Za-z])", re.IGNORECASE)
_DISPLAY: Final = re.compile(
    rb"(?im)^(?:from|f|to|t|contact|m|p-asserted-identity|p-preferred-identity|remote-party-id|diversion|history-info|"
    rb"referred-by|b|refer-to|r|reply-to)[ \t]*:[ \t]*(\"(?:[^\"\\\r\n]|\\.)*\"|[^<\"\r\n:;]*)[ \t]*<"
)
_SUBJECT: Final = re.compile(rb"(?im)^(?:subject|s|organization)[ \t]*:[ \t]*([^\r\n]+)")
_URI_PASSWORD: Final = re.compile(rb"sips?:[^@:/?\s<>\"]{1,200}:([^@/\s<>\"]{1,200})@")
_INLINE: Final = re.compile(rb"inline:([A-Za-z0-9+/=]+)")
_SECRET_LINES: Final = re.compile(rb"(?m)^a=ice-pwd:([^\r\n]+)|^k=([^\r\n]+)|^a=key-mgmt:([^\r\n]+)")
_DIALLED: Final = re.compile(rb"(?im)^(?:signal[ \t]*=[ \t]*)?([0-9A-D*#])[ \t]*\r?$")
_LETTER: Final = re.compile(rb"[A-Za-z\x80-\xff]")


class Pseudonyms:
    """`learn` what is a number first, then everything can be said otherwise."""

    def __init__(self, key: bytes) -> None:
        self._key = key
        self._own: set[bytes] = set()  # middle digits of the policy's numbers
        self._numbers: dict[bytes, bytes] = {}

    # --- numbers ------------------------------------------------------------------------------------------------------

    def learn_policy(self, text: bytes) -> None:
        """Numbers in it keep their last digits."""
        for found in _DIGITS.finditer(text):
            self._own.add(found[0][-SHORTEST:-TAIL])
            self._learn(found[0])

    def learn(self, data: bytes) -> None:
        """Of a message: what stands in URIs is a number, and is one wherever else it stands."""
        for found in _URI_USER.finditer(data):
            self._learn(found[1])

    def _learn(self, digits: bytes) -> None:
        if digits not in self._numbers:
            self._numbers[digits] = self._other(digits)

    def _other(self, digits: bytes) -> bytes:
        """As long, with the same beginning. All forms of one number, which end alike, get the same end."""
        head, middle, tail = digits[:-SHORTEST], digits[-SHORTEST:-TAIL], digits[-TAIL:]
        first, rest = middle[:1], middle[1:]
        if first not in b"01":  # by which no exchange of North America begins: what is one stays one
            first = b"%d" % (2 + (int(first) - 2 + self._mac(b"first")[0]) % 8)
        changed = first + self._permuted(b"middle" + middle[:1], rest)
        return head + changed + (tail if middle in self._own else self._permuted(b"tail" + middle, tail))

    def _permuted(self, what: bytes, digits: bytes) -> bytes:
        """Others of the same even count, by a Feistel network: no two numbers become one."""
        half = len(digits) // 2
        left, right = digits[:half], digits[half:]
        for n in range(8):
            summand = int.from_bytes(self._mac(what + b"/%d/" % n + right), "big")
            left, right = right, b"%0*d" % (half, (int(left) + summand) % 10**half)
        return left + right

    # --- all of it ----------------------------------------------------------------------------------------------------

    def text(self, data: bytes) -> bytes:
        """Of a policy, a value, a name: its numbers."""
        return _DIGITS.sub(lambda found: self._numbers.get(found[0], found[0]), data)

    def message(self, data: bytes) -> bytes:
        """Of a SIP message: besides, names of people, digits that were dialled, keys and passwords."""
        self.learn(data)
        head, gap, body = data.partition(b"\r\n\r\n")
        head = _within(_DISPLAY, head, _without_letters)
        head = _within(_SUBJECT, head, _without_letters)
        head = _within(_URI_PASSWORD, head, _filled)
        body = _within(_INLINE, body, self._other_key)
        body = _within(_SECRET_LINES, body, _filled)
        if head[:5] == b"INFO " or b"dtmf" in head.lower():
            body = _within(_DIALLED, body, lambda _digit: b"0")
        return self.text(head + gap + body)

    def _other_key(self, key: bytes) -> bytes:
        """Of the same length in octets, always the same for the same: a description is often said twice."""
        try:
            octets = base64.b64decode(key, validate=True)
        except ValueError:
            return b"x" * len(key)
        other = hashlib.shake_256(self._mac(b"inline" + octets)).digest(len(octets))
        return base64.b64encode(other) if len(base64.b64encode(other)) == len(key) else b"x" * len(key)

    def _mac(self, data: bytes) -> bytes:
        return hmac.digest(self._key, data, "sha256")


def _within(pattern: "re.Pattern[bytes]", data: bytes, other: Callable[[bytes], bytes]) -> bytes:
    """Its groups, each replaced."""

    def replaced(found: "re.Match[bytes]") -> bytes:
        whole, begin = found[0], found.start()
        for n in range(1, pattern.groups + 1):
            if found[n] is not None:
                whole = whole[: found.start(n) - begin] + other(found[n]) + whole[found.end(n) - begin :]
        return whole

    return pattern.sub(replaced, data)


def _without_letters(text: bytes) -> bytes:
    return _LETTER.sub(b"x", text)


def _filled(secret: bytes) -> bytes:
    return b"x" * len(secret)
