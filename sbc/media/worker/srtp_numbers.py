"""The packet indices of one source under one key: which were used, and which is meant (RFC 3711 §3.3.1, §3.3.2).

`Heard` is for what comes: the 48-bit index is estimated from the sequence number, and one that was taken is not taken
again. `Said` is for what goes: it gives each packet an index that no packet of this source and key has had, and says no
where there is none. What both know of the highest index is written, at each packet, into memory that outlives the
worker (`srtp_memory`); read back, everything up to it counts as used. Machines without keys, sockets and time.
"""

from typing import Final

from sbc.media.worker.srtp_memory import Record

WINDOW: Final = 128  # "MUST NOT be less than 64" RFC 3711 §3.3.2
LAST: Final = (1 << 48) - 1  # "the maximum number of packets … is 2^48" §3.3.1
RTCP_LAST: Final = (1 << 31) - 1  # §3.2.1
NONE: Final = -1

_FULL: Final = (1 << WINDOW) - 1
_RUN_FAR: Final = 2  # packets in a row, "min_sequential" RFC 3550 §A.1
_RUN_NEAR: Final = 8  # of such as are perhaps doubles, of a network that doubles bursts


class Window:
    """`highest`: the highest index that was used, NONE: none. Bit n of the window: `highest` - n was.

    Begun with an index, nothing at or below it is free.
    """

    __slots__ = ("_window", "highest")

    def __init__(self, highest: int = NONE) -> None:
        self.highest = highest
        self._window = _FULL

    def has(self, index: int) -> bool:
        """Whether it was used, or is too old to tell."""
        behind = self.highest - index
        return behind >= 0 and (behind >= WINDOW or bool(self._window >> behind & 1))

    def take(self, index: int) -> None:
        """It is used from now on; `has` it not."""
        ahead = index - self.highest
        if ahead < 0:
            self._window |= 1 << -ahead
            return
        if self.highest == NONE:
            self._window = 1  # what was sent before, and overtaken, may still come
        elif ahead != 1 or self._window != _FULL:
            self._window = (self._window << min(ahead, WINDOW) | 1) & _FULL
        self.highest = index


class Heard(Window):
    """What came from one source under one key: SRTP itself, and in `rtcp` its SRTCP. `base`, `rtcp_base`: for
    `srtp_cipher`.
    """

    __slots__ = ("_record", "base", "rtcp", "rtcp_base")

    def __init__(self, record: Record, base: int, rtcp_base: int) -> None:
        super().__init__(record.index)
        self._record = record
        self.base, self.rtcp_base = base, rtcp_base
        self.rtcp = Window(record.rtcp_index)

    def took(self, index: int) -> None:
        """An authentic packet came, whose index was new."""
        if index == self.highest + 1 and self._window == _FULL:
            self.highest = index
        else:
            self.take(index)
        self._record.note(self.highest)

    def took_rtcp(self, index: int) -> None:
        self.rtcp.take(index)
        self._record.note_rtcp(self.rtcp.highest)


def guess(highest: int, sequence: int) -> int:
    """The index that is meant, NONE where there cannot be one: "i = 2^16 * v + SEQ", with v of ROC - 1, ROC and ROC + 1
    the one that brings it nearest to `highest` (RFC 3711 §3.3.1).
    """
    if highest == NONE:
        return sequence
    last, roc = highest & 0xFFFF, highest >> 16
    roc += -(sequence - last > 0x8000) if last < 0x8000 else last - 0x8000 > sequence
    index = (roc << 16) + sequence
    return index if 0 <= index <= LAST else NONE


class Said(Window):
    """What goes as one source under one key. `shift` is added to the sequence numbers that come. `base`: as above.

    A number that follows within reach gets the index that the receiver will guess. One that was used, or is too old to
    tell, gets none. Where the source goes on from there all the same, because it began anew, it is renumbered: what it
    sends follows the highest index then, and the receiver sees one stream without a gap.
    """

    __slots__ = ("_record", "_run", "_run_at", "_runs_to", "base", "shift")

    def __init__(self, record: Record, base: int) -> None:
        super().__init__(record.index)
        self._record = record
        self.base = base
        self.shift = record.shift
        self._run = 0  # refused packets in a row, the next number of the row, and `highest` when it began
        self._runs_to = self._run_at = NONE

    def next(self, sequence: int) -> int:
        """The index for a packet that came with this number, noted as used; NONE: it must not be sent."""
        index = self.highest + 1
        if not index or (sequence + self.shift - index) & 0xFFFF:
            index = self._placed(sequence)
        if index == NONE or index > LAST:
            return NONE
        if index == self.highest + 1 and self._window == _FULL and index:
            self.highest = index
        else:
            self.take(index)
        self._record.note(self.highest)
        return index

    def _placed(self, sequence: int) -> int:
        highest = self.highest
        if highest == NONE:
            return sequence
        ahead = (sequence + self.shift - highest + 0x8000 & 0xFFFF) - 0x8000
        if ahead > 0:
            return highest + ahead
        index = highest + ahead
        if index < 0 or -ahead >= WINDOW:
            return self._begun_anew(sequence, _RUN_FAR)
        return self._begun_anew(sequence, _RUN_NEAR) if self.has(index) else index

    def _begun_anew(self, sequence: int, run: int) -> int:
        """ "If the other side restarted": believed when others agree, as RFC 3550 §A.1 has it; not while it goes on."""
        # Deviation: RFC 3550 §7.2 has reports of a stream that is renumbered corrected. Ours are relayed as they are.
        highest = self.highest
        runs_to, is_row = (sequence + 1) & 0xFFFF, highest == self._run_at
        if is_row and runs_to == self._runs_to:
            return NONE  # the same packet once more: `relay` tries twice
        self._run = self._run + 1 if is_row and sequence == self._runs_to else 1
        self._runs_to, self._run_at = runs_to, highest
        if self._run < run:
            return NONE
        index = highest + 1
        self.shift = (index - sequence) & 0xFFFF
        self._record.note_shift(self.shift)
        return index
