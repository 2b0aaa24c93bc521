"""Everything random that ends up in a message, from one injected source of entropy.

Branches carry the magic cookie (RFC 3261 §8.1.1.7); tags hold at least 32 random bits (§19.3).
The runtime injects the operating system's entropy, tests a seeded generator.
"""

import base64
from collections.abc import Callable
from typing import Final

MAGIC_COOKIE: Final = "z9hG4bK"
_REFILL: Final = 4096


class IdSource:
    """Hands out unguessable identifiers; entropy is fetched a page at a time because a call needs a dozen."""

    __slots__ = ("_at", "_entropy", "_page")

    def __init__(self, entropy: Callable[[int], bytes]) -> None:
        self._entropy = entropy
        self._page = ""
        self._at = 0

    def _take(self, hex_digits: int) -> str:
        at = self._at
        end = at + hex_digits
        if end > len(self._page):
            self._page = self._entropy(_REFILL).hex()
            at, end = 0, hex_digits
        self._at = end
        return self._page[at:end]

    def tag(self) -> str:
        return self._take(16)

    def branch(self) -> str:
        return MAGIC_COOKIE + self._take(24)

    def call_id(self) -> str:
        """A Call-ID without a host part: a host would tell the other side about our network."""
        return self._take(32)

    def ref(self) -> str:
        """Our own name of a call: twelve letters and digits (60 bits) that can be read out over a telephone."""
        return base64.b32encode(bytes.fromhex(self._take(16))).decode("ascii")[:12].lower()

    def number(self, below: int) -> int:
        """A uniform integer in [0, below); `below` up to 2**48."""
        return int(self._take(16), 16) % below

    def key(self, octets: int) -> bytes:
        """A master key and salt of SRTP, which no other one is like (RFC 4568 §6.1)."""
        return bytes.fromhex(self._take(2 * octets))

    def session_id(self) -> int:
        """For o= (RFC 8866 §5.2): fits a signed 63-bit integer, which some peers insist on."""
        return self.number(1 << 48)
