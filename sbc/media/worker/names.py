"""Takes out of RTCP what names the sender's network: the texts of source descriptions (RFC 3550 §6.5).

A CNAME is by custom `user@host`, TOOL names the product: both would carry the inside outside. A CNAME becomes an
opaque text of the same length, the same for all streams of one call, as lip-sync needs (§6.5.1, RFC 7022 §4); other
texts become blanks. Lengths stay, so nothing moves. It reads plain RTCP only and stops where that is malformed.
`session` makes it the `Edit` of each RTCP inlet.
"""

from hashlib import blake2b
from typing import Final

_SDES: Final = 202
_END: Final = 0
_CNAME: Final = 1
_PRIV: Final = 8
_HEADER_OCTETS: Final = 4
_KEY_OCTETS: Final = 64


def hide_names(packet: bytearray, size: int, ref: bytes) -> int:
    """Overwrite the names in the compound packet that fills the first `size` octets, and return that. `ref` is the
    call's secret.
    """
    at = 0
    while at + _HEADER_OCTETS <= size:
        end = at + 4 * (1 + int.from_bytes(packet[at + 2 : at + 4], "big"))
        if packet[at + 1] == _SDES:
            _hide_items(packet, at + _HEADER_OCTETS, min(end, size), packet[at] & 31, ref)
        at = end
    return size


def _hide_items(packet: bytearray, at: int, end: int, chunks: int, ref: bytes) -> None:
    for _ in range(chunks):
        at += 4  # the chunk's SSRC or CSRC
        while at + 2 <= end and packet[at] != _END:
            kind, first = packet[at], at + 2
            last = min(first + packet[at + 1], end)
            packet[first:last] = _instead(kind, bytes(packet[first:last]), ref)
            at = last
        # "terminated by one or more null octets … to pad until the next 32-bit boundary" §6.5
        at = (at | 3) + 1


def _instead(kind: int, text: bytes, ref: bytes) -> bytes:
    if kind == _CNAME:
        opaque = blake2b(text, key=ref[:_KEY_OCTETS]).hexdigest().encode()
        return (opaque * (len(text) // len(opaque) + 1))[: len(text)]
    if kind == _PRIV and text:
        return bytes(1) + b" " * (len(text) - 1)  # a prefix of no octets, then the value
    return b" " * len(text)
