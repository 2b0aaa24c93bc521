"""Takes out of RTCP what names the sender's network: texts of source descriptions and goodbyes (RFC 3550 §6.5, §6.6).

A CNAME is by custom `user@host`, TOOL names the product: both would carry the inside outside. A CNAME becomes an
opaque text of the same length, the same for all streams of one call, as lip-sync needs (§6.5.1, RFC 7022 §4); other
texts become blanks. Lengths stay, so nothing moves. It reads plain RTCP only and stops where that is malformed; what
an application defines for itself (APP, §6.7) it cannot read, and leaves. A packet of more parts than reports have is
cut off before the first part that is too many, so that none costs more than some hundred microseconds.
`way` makes it the `Edit` of each RTCP inlet.
"""

from hashlib import blake2b
from typing import Final

_SDES: Final = 202
_BYE: Final = 203
_END: Final = 0
_CNAME: Final = 1
_PRIV: Final = 8
_HEADER_OCTETS: Final = 4
_KEY_OCTETS: Final = 64
_PARTS: Final = 128  # packets, chunks and texts of a compound packet; a full SDES of 31 sources has 31 and some 93


def hide_names(packet: bytearray, size: int, ref: bytes) -> int:
    """Overwrite the names in the compound packet that fills the first `size` octets. Returns its size: as much of it as
    has been looked through, 0 where that is nothing. `ref` is the call's secret.
    """
    at, left = 0, _PARTS
    while at + _HEADER_OCTETS <= size:
        end = at + 4 * (1 + int.from_bytes(packet[at + 2 : at + 4], "big"))
        left -= 1
        if packet[at + 1] == _SDES:
            left = _hide_items(packet, at + _HEADER_OCTETS, min(end, size), packet[at] & 31, ref, left)
        elif packet[at + 1] == _BYE:
            _hide_reason(packet, at + _HEADER_OCTETS * (1 + (packet[at] & 31)), min(end, size))
        if left < 0:
            return at
        at = end
    return size


def _hide_items(packet: bytearray, at: int, end: int, chunks: int, ref: bytes, left: int) -> int:
    """Returns how many parts may still follow; less than 0: this one was too much."""
    for _ in range(chunks):
        if at >= end:
            break
        at += 4  # the chunk's SSRC or CSRC
        left -= 1
        while at + 2 <= end and packet[at] != _END:
            left -= 1
            if left < 0:
                return left
            kind, first = packet[at], at + 2
            last = min(first + packet[at + 1], end)
            packet[first:last] = _instead(kind, bytes(packet[first:last]), ref)
            at = last
        # "terminated by one or more null octets … to pad until the next 32-bit boundary" §6.5
        at = (at | 3) + 1
    return left


def _hide_reason(packet: bytearray, at: int, end: int) -> None:
    """ "an 8-bit octet count followed by that many octets of text" §6.6, behind the sources that leave."""
    if at < end:
        first = at + 1
        last = min(first + packet[at], end)
        packet[first:last] = b" " * (last - first)


def _instead(kind: int, text: bytes, ref: bytes) -> bytes:
    # Deviation: "The CNAMEs MUST be forwarded", "Translators forward BYE packets unchanged" (RFC 3550 §7.2). By custom
    # they name hosts and people of the other side's network; what stands instead still tells sources apart.
    if kind == _CNAME:
        opaque = blake2b(text, key=ref[:_KEY_OCTETS]).hexdigest().encode()
        return (opaque * (len(text) // len(opaque) + 1))[: len(text)]
    if kind == _PRIV and text:
        return bytes(1) + b" " * (len(text) - 1)  # a prefix of no octets, then the value
    return b" " * len(text)
