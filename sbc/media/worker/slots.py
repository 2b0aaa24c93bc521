"""The counters of every way, in memory that outlives the worker: one layout for both engines and the C source.

A slot is 128 octets in a mapping that another process or the kernel holds: a memfd of the supervisor, or the pinned BPF
array `slots`. The userland engine and the kernel engine write the same fields, so that a hand-over moves no number, and
a worker that starts again finds what the former one counted. One slot belongs to one port pair of one session: it
counts what comes from that end. `owner` says which; a slot whose owner is 0 is free.
All fields are native little-endian integers. Sequence numbers, loss and jitter: see `statistics`. Times are
CLOCK_MONOTONIC in nanoseconds, what `bpf_ktime_get_ns` and `time.monotonic_ns` give.
"""

import mmap
from hashlib import blake2b
from typing import Final

from sbc.core.limits import MEDIA_SLOTS

SLOT_OCTETS: Final = 128
SLOTS: Final = MEDIA_SLOTS  # 4 MiB, as the C source has it

# Octet offsets in a slot. What a packet changes stands first, so that one `pack_into` of HOT writes it.
HOT: Final = "<QQQQIIIH"  # packets, octets, last_ns, window, timestamp, jitter, jitter_max, sequence
PACKETS: Final = 0  # u64: RTP packets that were relayed on
OCTETS: Final = 8  # u64
LAST_NS: Final = 16  # u64: arrival of the latest packet in order
WINDOW: Final = 24  # u64: bit n: `sequence` - n was received
TIMESTAMP: Final = 32  # u32: RTP timestamp of that packet
JITTER: Final = 36  # u32: RFC 3550 §A.8, 16 times the estimate, in timestamp units
JITTER_MAX: Final = 40  # u32: the largest that JITTER was
SEQUENCE: Final = 44  # u16: the highest sequence number, mod 2**16
BAD_SEQUENCE: Final = 46  # u16: the number that would confirm a jump (RFC 3550 §A.1)
SSRC: Final = 48  # u32
STATE: Final = 52  # u32: STARTED …
LOST: Final = 56  # i32
REORDERED: Final = 60  # u32
DUPLICATES: Final = 64  # u32
FOREIGN: Final = 68  # u32
EXCESS: Final = 72  # u32
SECOND_COUNT: Final = 76  # u32: packets since SECOND_NS
SECOND_NS: Final = 80  # u64: when the present second of the rate limit began
KERNEL_PACKETS: Final = 88  # u64: of PACKETS, by the kernel
RTCP_PACKETS: Final = 96  # u32: relayed on; the userland engine's alone, as all that follows
DROPPED: Final = 100  # u32
DIGITS: Final = 104  # u32: begun at this end
RTCP_SENT: Final = 108  # u32: towards this end, of our own making
DIGITS_SENT: Final = 112  # u32: towards this end
PLAYED_PACKETS: Final = 116  # u32: RTP packets of our own making towards this end
OWNER: Final = 120  # u64

STARTED: Final = 1  # STATE: a first packet has set sequence, window, timestamp and last_ns
HAS_BAD: Final = 2  # STATE: BAD_SEQUENCE means something

Memory = mmap.mmap | bytearray


def owner_of(ref: str, local: str, port: int) -> int:
    """The mark of one port pair in one session; never 0."""
    digest = blake2b(f"{ref} {local} {port}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "little") | 1


class Slots:
    """Which slot has which owner. `memory` is writable and SLOTS * SLOT_OCTETS long at least; what is behind that is
    `srtp_memory`'s. `first` and `count`: our share.
    """

    __slots__ = ("_free", "_of", "_share", "memory")

    def __init__(self, memory: Memory, first: int = 0, count: int = SLOTS) -> None:
        self.memory = memory
        with memoryview(memory) as octets, octets.cast("Q") as cells:
            owners = cells[OWNER // 8 : SLOTS * SLOT_OCTETS // 8 : SLOT_OCTETS // 8].tolist()
        self._of = {owner: slot for slot, owner in enumerate(owners) if owner}
        taken = set(self._of.values())
        self._share = range(first, first + count)
        self._free = [slot for slot in reversed(self._share) if slot not in taken]

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def most(self) -> int:
        """How many there are in our share, free or not."""
        return len(self._share)

    def owners(self) -> set[int]:
        return set(self._of)

    def find(self, owner: int) -> int | None:
        """The octet offset of that owner's slot."""
        slot = self._of.get(owner)
        return None if slot is None else slot * SLOT_OCTETS

    def take(self, owner: int) -> int | None:
        """The offset of its slot, as it was left, or of a fresh one; None where none is free."""
        offset = self.find(owner)
        if offset is not None:
            return offset
        if not self._free:
            return None
        slot = self._of[owner] = self._free.pop()
        offset = slot * SLOT_OCTETS
        self.memory[offset : offset + SLOT_OCTETS] = bytes(OWNER) + owner.to_bytes(8, "little")
        return offset

    def give_back(self, owner: int) -> None:
        slot = self._of.pop(owner, None)
        if slot is not None:
            offset = slot * SLOT_OCTETS
            self.memory[offset : offset + SLOT_OCTETS] = bytes(SLOT_OCTETS)
            if slot in self._share:
                self._free.append(slot)
