"""What of SRTP outlives the worker: the highest index of each source under each key, and counters of what was refused.

It lies behind the slots, in the memory that the supervisor or systemd keeps (see `slots`; the kernel engine does not
share it). A record is 40 octets: whose it is, and three numbers. No key is in it, only a digest. Memory in which no
worker has written yet, or in which a record did not find room, does not vouch for what is not in it: a key that a
former worker may have used is not used for sending then (`srtp.Sender`).
All is native, in cells of 64 bits. Used by `srtp_keyring`, `srtp_numbers` and `far_end`.
"""

from hashlib import blake2b
from typing import Final

from sbc.core.limits import SRTP_RECORDS
from sbc.media.worker.slots import SLOT_OCTETS, SLOTS, Memory

RECORD_CELLS: Final = 5
RECORD_OCTETS: Final = 8 * RECORD_CELLS
BEHIND: Final = SLOTS * SLOT_OCTETS  # where it begins, in octets
OCTETS: Final = (SRTP_RECORDS + 1) * RECORD_OCTETS  # and a head

_MAGIC: Final = 0x53525450_00000001  # and the version of this layout
_IS_LACKING: Final = 1  # second cell of the head: a record did not find room

# Cells of a record
_OWNER: Final = 0  # `owner_of` a key, or `slots.owner_of` an end
_SOURCE: Final = 1  # SSRC + 1; 0: the key itself, or the end
_INDEX: Final = 2  # highest index + 1; 0: none. Of an end: forged packets
_RTCP: Final = 3  # the same of SRTCP. Of an end: replayed packets
_SHIFT: Final = 4  # of a key: 1, nothing may be sent under it


class Record:
    """One record. `at` is its first cell in `cells`: the memory's, or where there was no room such as die with us."""

    __slots__ = ("_at", "_cells")

    def __init__(self, cells: "memoryview[int]", at: int) -> None:
        self._cells = cells
        self._at = at

    @property
    def index(self) -> int:
        """-1: none."""
        index: int = self._cells[self._at + _INDEX]
        return index - 1

    @property
    def rtcp_index(self) -> int:
        """-1: none."""
        index: int = self._cells[self._at + _RTCP]
        return index - 1

    @property
    def shift(self) -> int:
        shift: int = self._cells[self._at + _SHIFT]
        return shift

    def reach(self, index: int, rtcp_index: int, shift: int) -> None:
        """Another worker has come so far."""
        if index > self.index:
            self.note(index)
            self.note_shift(shift)
        self.note_rtcp(max(rtcp_index, self.rtcp_index))

    def note(self, index: int) -> None:
        self._cells[self._at + _INDEX] = index + 1

    def note_rtcp(self, index: int) -> None:
        self._cells[self._at + _RTCP] = index + 1

    def note_shift(self, shift: int) -> None:
        self._cells[self._at + _SHIFT] = shift

    @property
    def counts(self) -> tuple[int, int]:
        """Of an end: forged, replayed."""
        return self._cells[self._at + _INDEX], self._cells[self._at + _RTCP]

    def count_forged(self) -> None:
        self._cells[self._at + _INDEX] += 1

    def count_replayed(self) -> None:
        self._cells[self._at + _RTCP] += 1

    @property
    def is_marked(self) -> bool:
        """Of a key, which has no shift: nothing may be sent under it."""
        return bool(self._cells[self._at + _SHIFT])

    def mark(self) -> None:
        self._cells[self._at + _SHIFT] = 1


class Records:
    """`memory`: OCTETS long at least, from `offset` on; None: private."""

    __slots__ = ("_beyond", "_cells", "_free", "_inherited", "_of", "is_complete")

    def __init__(self, memory: Memory | None = None, offset: int = 0) -> None:
        whole = memoryview(bytearray(OCTETS) if memory is None else memory)
        share = whole[offset : offset + OCTETS]
        self._cells = share.cast("Q")
        was_used = self._cells[0] == _MAGIC
        # Whether every record that any worker before us has wanted is here.
        self.is_complete = was_used and self._cells[1] != _IS_LACKING
        if not was_used:
            share[:] = bytes(OCTETS)
            self._cells[0] = _MAGIC
        owners, sources = self._cells[::RECORD_CELLS].tolist(), self._cells[_SOURCE::RECORD_CELLS].tolist()
        self._of: dict[int, dict[int, int]] = {}
        for n, owner in enumerate(owners):
            if n and owner:
                self._of.setdefault(owner, {})[sources[n]] = n
        self._free = [n for n in range(SRTP_RECORDS, 0, -1) if not owners[n]]
        self._inherited = set(self._of)
        self._beyond: dict[int, dict[int, Record]] = {}  # for which there was no room: they die with us

    @property
    def used(self) -> int:
        return SRTP_RECORDS - len(self._free)

    def is_doubtful(self, owner: int) -> bool:
        """Whether a worker before us has had more of this owner's than is here, for all that we know."""
        return owner in self._inherited and not self.is_complete

    def owners(self) -> set[int]:
        return set(self._of)

    def has(self, owner: int, source: int = 0) -> bool:
        return source in self._of.get(owner, ()) or source in self._beyond.get(owner, ())

    def has_any(self, owner: int) -> bool:
        """Of whichever source."""
        return bool(self._of.get(owner) or self._beyond.get(owner))

    def take(self, owner: int, source: int = 0) -> Record:
        """As it was left, or a fresh one. `source`: SSRC + 1; 0: what belongs to no source."""
        some = self._of.setdefault(owner, {})
        n = some.get(source)
        if n is None and self._free and source not in self._beyond.get(owner, ()):
            n = some[source] = self._free.pop()
            self._cells[n * RECORD_CELLS + _SOURCE] = source
            self._cells[n * RECORD_CELLS + _OWNER] = owner
        if n is not None:
            return Record(self._cells, n * RECORD_CELLS)
        beyond = self._beyond.setdefault(owner, {})
        if source not in beyond:
            self._cells[1] = _IS_LACKING
            beyond[source] = Record(memoryview(bytearray(RECORD_OCTETS)).cast("Q"), 0)
        return beyond[source]

    def sources(self, owner: int) -> dict[int, Record]:
        """All of this owner's."""
        some = {source: Record(self._cells, n * RECORD_CELLS) for source, n in self._of.get(owner, {}).items()}
        return some | self._beyond.get(owner, {})

    def give_back(self, owner: int) -> None:
        """All of this owner's."""
        self._inherited.discard(owner)
        self._beyond.pop(owner, None)
        for n in self._of.pop(owner, {}).values():
            at = n * RECORD_CELLS
            for cell in range(at, at + RECORD_CELLS):
                self._cells[cell] = 0
            self._free.append(n)
        if not self._of:
            self._cells[1] = 0


def has_room(memory: Memory | None) -> bool:
    """Whether there is anything behind the slots."""
    return memory is not None and len(memory) >= BEHIND + OCTETS


def forget(memory: Memory) -> None:
    """Nobody has a key. What is there is no record of what is to come."""
    if has_room(memory):
        memory[BEHIND : BEHIND + 8] = bytes(8)


def owner_of(key: bytes, *, is_sent: bool) -> int:
    """The mark of one master key, one way; never 0."""
    digest = blake2b(key, digest_size=8, person=b"sent" if is_sent else b"received").digest()
    return int.from_bytes(digest, "little") | 1
