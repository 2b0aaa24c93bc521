"""Call-ID and CSeq of one trunk's REGISTERs: one Call-ID for ever, and numbers that grow across restarts.

RFC 3261 §10.2: a registrar tells by them which of two REGISTERs is the later one. Numbers are promised to the disk by
the block: a restart goes on behind the block, so that no number is used twice and the disk is written once in 1,000.
Used by `register_round`.
"""

from typing import Final

import msgspec

from sbc.core.commands import StoreState
from sbc.core.ids import IdSource
from sbc.sip.headers.cseq import LARGEST_CSEQ

BLOCK: Final = 1_000


class Numbering:
    """`saved`: the value that was last stored under `register/<trunk>`, if any."""

    def __init__(self, trunk: str, ids: IdSource, saved: bytes | None) -> None:
        self._key = f"register/{trunk}"
        self._ids = ids
        self._call_id, self._promised = _kept(saved) or (ids.call_id(), 0)
        self._cseq = self._promised

    @property
    def promised(self) -> int:
        """No number up to this one is used after a restart."""
        return self._promised

    def next(self) -> tuple[str, int, list[StoreState]]:
        """Call-ID and CSeq of the next REGISTER, and what has to be stored before it goes out."""
        self._cseq += 1
        if self._cseq <= self._promised:
            return self._call_id, self._cseq, []
        if self._cseq > LARGEST_CSEQ - BLOCK:
            self._call_id, self._cseq = self._ids.call_id(), 1
        self._promised = self._cseq + BLOCK - 1
        kept = msgspec.msgpack.encode((self._call_id, self._promised))
        return self._call_id, self._cseq, [StoreState(self._key, kept)]


def _kept(saved: bytes | None) -> tuple[str, int] | None:
    """None where nothing was kept, or nothing that can be used."""
    if saved is None:
        return None
    try:
        call_id, promised = msgspec.msgpack.decode(saved, type=tuple[str, int])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return (call_id, promised) if call_id and 0 <= promised <= LARGEST_CSEQ else None
