"""What changes in RTP packets on one way: payload types, and what is recoded.

The two ends of a call may number one codec differently (RFC 3264 §6.1, §8.3.2), or share none: then the payload
becomes another coding of the same sound. Nothing else of the packet changes; where nothing is to be changed, nothing
is done. Used by `way`, `voice` and `events`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from sbc.media.worker.codecs import Transcoder
from sbc.media.worker.inlet import RTP_OCTETS, Edit

_MARKER: Final = 0x80  # shares its octet with the payload type (RFC 3550 §5.1)
_PADDED: Final = 0x20
_EXTENDED: Final = 0x10


def payload_table(pairs: Iterable[tuple[int, int]]) -> bytes | None:
    """What the second octet of an RTP packet becomes, by what it is; None where it always stays."""
    changed = [(before, after) for before, after in pairs if before != after]
    if not changed:
        return None
    table = bytearray(range(256))
    for before, after in changed:
        table[before] = after
        table[before | _MARKER] = after | _MARKER
    return bytes(table)


def rewriting(table: bytes | None) -> Edit | None:
    if table is None:
        return None

    def rewrite(packet: bytearray, size: int) -> int:
        packet[1] = table[packet[1]]
        return size

    return rewrite


def recoding(kinds: Mapping[int, tuple[int, Transcoder]], drop: Callable[[], None]) -> Edit | None:
    """`kinds`: by payload type as it comes, what it becomes. `drop`: called where a packet cannot be recoded."""
    if not kinds:
        return None

    def recode(packet: bytearray, size: int) -> int:
        kind = kinds.get(packet[1] & ~_MARKER)
        if kind is None:
            return size
        at, end = payload_bounds(packet, size)
        payload = kind[1](bytes(packet[at:end])) if at <= end else b""
        left = at + len(payload) + size - end
        if at > end or left > len(packet):
            drop()
            return 0
        if len(payload) != end - at:
            packet[at + len(payload) : left] = bytes(packet[end:size])
        packet[1] = packet[1] & _MARKER | kind[0]
        packet[at : at + len(payload)] = payload
        return left

    return recode


def in_turn(edits: Sequence[Edit | None]) -> Edit | None:
    """One edit that is all of these, one after the other, until one keeps the packet back."""
    some = [edit for edit in edits if edit is not None]
    if len(some) < 2:
        return some[0] if some else None

    def edit_all(packet: bytearray, size: int) -> int:
        for edit in some:
            size = edit(packet, size)
            if not size:
                break
        return size

    return edit_all


def payload_bounds(packet: bytearray, size: int) -> tuple[int, int]:
    """Where the payload begins and ends: behind CSRCs and an extension, before padding (RFC 3550 §5.1, §5.3.1).

    Where the packet is shorter than its header says, the end comes before the beginning, or there is no payload.
    """
    first = packet[0]
    at = RTP_OCTETS + 4 * (first & 15)
    if first & _EXTENDED:
        at += 4 + 4 * int.from_bytes(packet[at + 2 : at + 4]) if at + 4 <= size else size
    end = size - packet[size - 1] if first & _PADDED else size
    return at, end
