"""Keys and values in memory that outlives this process: what the engine finds again when signalling alone has died.

A `put` has copied the value before it returns, so that `kill -9` at any instruction leaves the old value or the new
one. The memory is cut into extents, each extent into slots of one size. A new version goes into a free slot, with a
higher sequence number and a checksum over everything; then the slot of the old one is freed. Nothing is ever moved or
written over, and no order of the octets within a store is relied on.

It knows no process and no disk: `held_memory` maps what the supervisor holds, `state_store` writes what is here to the
disk, says when this memory holds all that the disk does (`is_complete`), how it left that (`note_disk`) and until when
it has listened (`seen`). One process writes at a time.
"""

import struct
import zlib
from collections.abc import Iterator
from typing import Final, Protocol

VERSION: Final = 1  # of the layout; memory of another one is not read
EXTENT_OCTETS: Final = 1_048_576
SMALLEST_OCTETS: Final = 512  # of a slot; each class has twice the octets of the one before
CLASSES: Final = 10  # up to 256 KiB
HEAD_OCTETS: Final = 18  # of a slot, before key and value
NOTHING: Final = "there is nothing in it"  # why it is not adopted, for the first time

_MAGIC: Final = b"sbc-kept"
_HEADER: Final = struct.Struct("<8sIIQ16sd")  # magic, version, octets of an extent and of all, identity, clock offset
_SUM: Final = struct.Struct("<I")
_SUM_AT: Final = _HEADER.size
_DISK_AT: Final = 52  # four octets: how the disk was; and four: how it may be now
_COMPLETE_AT: Final = 60
_TABLE_AT: Final = 64  # an octet for each extent: 0, or the class of its slots plus one
_SEEN_AT: Final = 4_088
_PAGE_OCTETS: Final = 4_096
_MOST_EXTENTS: Final = _SEEN_AT - _TABLE_AT
_SEEN: Final = struct.Struct("<d")
_FIELDS: Final = struct.Struct("<QIH")  # sequence number (0: free), octets of the value, octets of the key
_FREE: Final = bytes(8)
_SHIFT: Final = SMALLEST_OCTETS.bit_length() - 1


class MemoryFullError(Exception):
    """There is no room for this value."""


class Memory(Protocol):
    """`mmap.mmap`, or a test's."""

    def __len__(self) -> int: ...
    def __getitem__(self, octets: slice, /) -> bytes: ...
    def __setitem__(self, octets: slice, value: bytes, /) -> None: ...


class Ground(Protocol):
    """Where the memory's pages come from."""

    def grow(self, offset: int, octets: int) -> None:
        """Have pages there. Raises OSError: there are none. Later it would be a SIGBUS."""
        ...

    def clear(self) -> None:
        """Give all pages back: everything reads as zero."""
        ...


class MemoryJournal:
    """`adopt` what is there, or `begin` anew; then `put` and `remove`."""

    def __init__(self, memory: Memory, ground: Ground) -> None:
        self.identity = bytes(16)
        self.clock_offset = 0.0
        self._memory = memory
        self._ground = ground
        self._most = min(len(memory) // EXTENT_OCTETS, _MOST_EXTENTS)
        self._start_empty()

    def _start_empty(self) -> None:
        self._sequence = 0
        self._places: dict[str, int] = {}  # offset of the slot
        self._classes = [-1] * self._most  # of each extent; the first one has the header and no slots
        self._unused = list(range(self._most - 1, 0, -1))
        self._free: list[list[int]] = [[] for _ in range(CLASSES)]
        self._versions: dict[str, int] = {}  # while it is read
        self._torn = 0  # slots that were found half written

    # --- what is there ------------------------------------------------------------------------------------------------

    @property
    def keys(self) -> int:
        return len(self._places)

    @property
    def octets(self) -> int:
        """Of memory that is taken, whether there are values in it or not."""
        return (self._most - len(self._unused)) * EXTENT_OCTETS

    @property
    def most_octets(self) -> int:
        return self._most * EXTENT_OCTETS

    @property
    def is_complete(self) -> bool:
        """Nothing is on the disk alone."""
        return self._memory[_COMPLETE_AT : _COMPLETE_AT + 1] == b"\x01"

    @is_complete.setter
    def is_complete(self, value: bool) -> None:
        self._memory[_COMPLETE_AT : _COMPLETE_AT + 1] = b"\x01" if value else b"\x00"

    def knows_disk(self, state: bytes) -> bool:
        """Whether the disk is as we have left it. `state`: four octets by which it can be known again."""
        found = self._memory[_DISK_AT:_COMPLETE_AT]
        return found == _FREE or state in (found[:4], found[4:])  # free: by a version that has noted nothing

    def note_disk(self, was: bytes, becomes: bytes) -> None:
        """How the disk is before a write and after it; both the same when that is certain. Four octets each, not zero.
        One half stays as it is, so that a death in the middle of this leaves one that is true.
        """
        self._memory[_DISK_AT:_COMPLETE_AT] = was + becomes

    @property
    def seen(self) -> float:
        """When somebody last heard what peers say, in seconds of the engine's clock; zero: not known."""
        found: float = _SEEN.unpack(self._memory[_SEEN_AT:_PAGE_OCTETS])[0]
        return found

    @seen.setter
    def seen(self, now: float) -> None:
        self._memory[_SEEN_AT:_PAGE_OCTETS] = _SEEN.pack(now)

    def items(self) -> Iterator[tuple[str, bytes]]:
        """In no order. It may not be changed meanwhile."""
        for key, place in self._places.items():
            _, length, key_length = _FIELDS.unpack(self._memory[place : place + _FIELDS.size])
            begin = place + HEAD_OCTETS + key_length
            yield key, self._memory[begin : begin + length]

    # --- beginning ----------------------------------------------------------------------------------------------------

    def begin(self, identity: bytes, clock_offset: float) -> None:
        """Empty, and not complete. `identity`: 16 octets, of the state.db that it is filled from. Raises OSError."""
        self._ground.clear()
        self._start_empty()
        self._ground.grow(0, _PAGE_OCTETS)
        self.identity, self.clock_offset = identity, clock_offset
        header = _HEADER.pack(_MAGIC, VERSION, EXTENT_OCTETS, len(self._memory), identity, clock_offset)
        self._memory[0 : _SUM_AT + _SUM.size] = header + _SUM.pack(zlib.crc32(header))

    def adopt(self) -> str:
        """Take over what an earlier process has left. Empty: done; else why not, for people: `begin` then."""
        self._start_empty()
        try:
            self._read_header()
            for extent in range(1, self._most):
                code = self._memory[_TABLE_AT + extent : _TABLE_AT + extent + 1][0]
                if code:
                    self._read_extent(extent, code - 1)
        except ValueError as error:
            self._start_empty()
            return str(error)
        self._versions = {}
        return ""

    def _read_header(self) -> None:
        if self._most < 2:
            raise ValueError("it is too small")
        header = self._memory[0:_SUM_AT]
        magic, version, extent_octets, octets, identity, clock_offset = _HEADER.unpack(header)
        if magic == bytes(8):
            raise ValueError(NOTHING)
        if magic != _MAGIC:
            raise ValueError("it is not ours")
        if version != VERSION or extent_octets != EXTENT_OCTETS or octets != len(self._memory):
            raise ValueError(f"it has another layout, version {version}")
        if _SUM.unpack(self._memory[_SUM_AT : _SUM_AT + _SUM.size])[0] != zlib.crc32(header):
            raise ValueError("its header is damaged")
        self.identity, self.clock_offset = identity, clock_offset

    def _read_extent(self, extent: int, kind: int) -> None:
        if kind >= CLASSES:
            raise ValueError("its table is damaged")
        self._unused.remove(extent)
        self._classes[extent] = kind
        begin, size = extent * EXTENT_OCTETS, SMALLEST_OCTETS << kind
        octets = self._memory[begin : begin + EXTENT_OCTETS]
        for at in range(0, EXTENT_OCTETS, size):
            sequence, length, key_length = _FIELDS.unpack_from(octets, at)
            if not sequence:
                self._free[kind].append(begin + at)
            else:
                end = HEAD_OCTETS + key_length + length
                self._read_slot(begin + at, octets[at : at + end] if end <= size else b"", sequence, key_length)

    def _read_slot(self, place: int, slot: bytes, sequence: int, key_length: int) -> None:
        """A death leaves at most one slot half written, and at most one key in two versions."""
        if not slot or _SUM.unpack_from(slot, _FIELDS.size)[0] != _checksum(slot):
            self._torn += 1
            if self._torn > 1:
                raise ValueError("it is damaged")
            self._let_go(place)
            return
        key = slot[HEAD_OCTETS : HEAD_OCTETS + key_length].decode("utf-8", "surrogateescape")
        other = self._versions.get(key, 0)
        if other > sequence:
            self._let_go(place)
            return
        if other:
            self._let_go(self._places[key])
        self._places[key], self._versions[key] = place, sequence
        self._sequence = max(self._sequence, sequence)

    # --- while the engine runs ----------------------------------------------------------------------------------------

    def put(self, key: str, value: bytes) -> None:
        """Raises MemoryFullError: the old value stands."""
        raw = key.encode("utf-8", "surrogateescape")
        octets = HEAD_OCTETS + len(raw) + len(value)
        kind = max((octets - 1).bit_length() - _SHIFT, 0)
        free = self._free[kind] if kind < CLASSES else None
        place = free.pop() if free else self._room(kind)
        self._sequence += 1
        fields = _FIELDS.pack(self._sequence, len(value), len(raw))
        checksum = zlib.crc32(value, zlib.crc32(raw, zlib.crc32(fields)))
        self._memory[place : place + octets] = b"".join((fields, _SUM.pack(checksum), raw, value))
        old = self._places.get(key)
        self._places[key] = place
        if old is not None:
            self._let_go(old)

    def remove(self, key: str) -> None:
        """Nothing where it is not known."""
        place = self._places.pop(key, None)
        if place is not None:
            self._let_go(place)

    def _let_go(self, place: int) -> None:
        self._memory[place : place + 8] = _FREE
        self._free[self._classes[place // EXTENT_OCTETS]].append(place)

    def _room(self, kind: int) -> int:
        """A slot of this class out of a new extent; else a larger one."""
        if kind >= CLASSES:
            raise MemoryFullError("the value is too long")
        if self._unused and self._grow(kind):
            return self._free[kind].pop()
        for larger in range(kind + 1, CLASSES):
            if self._free[larger]:
                return self._free[larger].pop()
        raise MemoryFullError("there is no more memory")

    def _grow(self, kind: int) -> bool:
        extent = self._unused[-1]
        begin = extent * EXTENT_OCTETS
        try:
            self._ground.grow(begin, EXTENT_OCTETS)
        except OSError:
            return False
        self._unused.pop()
        self._classes[extent] = kind
        self._memory[_TABLE_AT + extent : _TABLE_AT + extent + 1] = bytes((kind + 1,))
        size = SMALLEST_OCTETS << kind
        self._free[kind] += range(begin + EXTENT_OCTETS - size, begin - 1, -size)
        return True


def _checksum(slot: bytes) -> int:
    return zlib.crc32(slot[HEAD_OCTETS:], zlib.crc32(slot[: _FIELDS.size]))
