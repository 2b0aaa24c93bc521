"""Payload types rewritten on one way: the two ends of a call may number one codec differently (RFC 3264 §6.1, §8.3.2).

Used by `session` and `voice`. Nothing else of the packet changes; where nothing is to be rewritten, nothing is done.
"""

from collections.abc import Iterable

from sbc.media.worker.relay import Edit

_MARKER = 0x80  # shares its octet with the payload type (RFC 3550 §5.1)


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

    def rewrite(packet: bytearray, _size: int) -> None:
        packet[1] = table[packet[1]]

    return rewrite
