"""What the packets of one end say of their way here: loss, order, doubles and jitter, kept in a slot.

Sequence numbers follow RFC 3550 §A.1, loss is by arrival (§A.3), jitter is §A.8, in integers: the kernel's program
computes the same, bit by bit, in the same memory (see `slots`). `relay` writes out `take` for the packet that follows
the last one; this is the definition. It knows neither payload nor sockets.
"""

import struct
from typing import Final

from sbc.media.worker import slots
from sbc.media.worker.slots import HAS_BAD, STARTED

MAX_DROPOUT: Final = 3000  # RFC 3550 §A.1
WINDOW_BITS: Final = 64
FULL: Final = (1 << WINDOW_BITS) - 1
LONGEST_NS: Final = 10_000_000_000  # between two packets whose distance says something of jitter
FARTHEST: Final = 1 << 24  # timestamp units: the clock of the sender was set, or belongs to another stream

_hot = struct.Struct(slots.HOT)
_all = struct.Struct(slots.HOT + "HIIiIIIIIQQIIIIIIQ")
_u32 = struct.Struct("<I")
_u64 = struct.Struct("<Q")
_numbers = struct.Struct("<HII")  # BAD_SEQUENCE, SSRC, STATE
_read_hot, _write_hot = _hot.unpack_from, _hot.pack_into
_read_u32, _write_u32 = _u32.unpack_from, _u32.pack_into


class Statistics:
    """The counters of one slot, those that change at each packet at hand. `rate`: Hz, of the payload type seen last.
    `is_started`: there was a packet.
    """

    __slots__ = (
        "is_started",
        "jitter",
        "jitter_max",
        "last_ns",
        "memory",
        "octets",
        "offset",
        "packets",
        "rate",
        "sequence",
        "ssrc",
        "timestamp",
        "window",
    )

    def __init__(self, memory: slots.Memory, offset: int) -> None:
        self.memory = memory
        self.offset = offset
        self.rate = 8000
        self.packets = self.octets = self.last_ns = self.window = 0
        self.timestamp = self.jitter = self.jitter_max = self.sequence = self.ssrc = 0
        self.is_started = False
        self.load()

    def load(self) -> None:
        """Begin with what the slot says: another worker, or the kernel, has written it."""
        (
            self.packets,
            self.octets,
            self.last_ns,
            self.window,
            self.timestamp,
            self.jitter,
            self.jitter_max,
            self.sequence,
        ) = _read_hot(self.memory, self.offset)
        _, self.ssrc, state = _numbers.unpack_from(self.memory, self.offset + slots.BAD_SEQUENCE)
        self.is_started = bool(state & STARTED)

    def store(self) -> None:
        _write_hot(
            self.memory,
            self.offset,
            self.packets,
            self.octets,
            self.last_ns,
            self.window,
            self.timestamp,
            self.jitter,
            self.jitter_max,
            self.sequence,
        )

    def take(self, sequence: int, timestamp: int, ssrc: int, rate: int, now_ns: int) -> None:
        """A packet has come. `rate` 0: its timestamp says nothing of jitter (telephone-event)."""
        if not self.is_started or ssrc != self.ssrc:
            self._begin(sequence, timestamp, ssrc, now_ns)
            return
        ahead = (sequence - self.sequence) & 0xFFFF
        behind = -ahead & 0xFFFF
        if 1 <= ahead <= MAX_DROPOUT:
            if ahead > 1:
                self.add(slots.LOST, ahead - 1)
            self.window = shifted(self.window, ahead)
            self.sequence = sequence
            # Deviation: RFC 4733 §2.5.2.2 has jitter of events counted, by "all packets with a given timestamp". Their
            # senders space them as they like, and the score is one of sound: they take no part in it.
            if rate:
                self._step(timestamp, rate, now_ns)
        elif behind < WINDOW_BITS:
            self._behind(1 << behind)
        else:
            self._jump(sequence, timestamp, now_ns)
        self.store()

    def add(self, field: int, count: int = 1) -> None:
        """Count in one of the slot's fields of 32 bits."""
        at = self.offset + field
        _write_u32(self.memory, at, (_read_u32(self.memory, at)[0] + count) & 0xFFFFFFFF)

    def value(self, field: int) -> int:
        """A field of 32 bits, unsigned."""
        value: int = _read_u32(self.memory, self.offset + field)[0]
        return value

    def continues(self, sequence: int, ssrc: int) -> bool:
        """Whether a packet is behind the latest one of the same source, not farther than a burst of loss."""
        return self.is_started and ssrc == self.ssrc and 1 <= (sequence - self.sequence) & 0xFFFF <= MAX_DROPOUT

    def slot(self) -> tuple[int, ...]:
        """Every field, in the order of the layout."""
        return _all.unpack_from(self.memory, self.offset)

    def kernel_packets(self) -> int:
        count: int = _u64.unpack_from(self.memory, self.offset + slots.KERNEL_PACKETS)[0]
        return count

    def _begin(self, sequence: int, timestamp: int, ssrc: int, now_ns: int) -> None:
        """Loss, reordering, doubles and the largest jitter go on from one source to the next."""
        self.ssrc = ssrc
        self.jitter = 0
        self._restart(sequence, timestamp, now_ns)
        self.store()

    def _restart(self, sequence: int, timestamp: int, now_ns: int) -> None:
        self.window = 1
        self.timestamp, self.last_ns = timestamp, now_ns
        self.sequence = sequence
        self.is_started = True
        _numbers.pack_into(self.memory, self.offset + slots.BAD_SEQUENCE, 0, self.ssrc, STARTED)

    def _behind(self, bit: int) -> None:
        if self.window & bit:
            # Deviation: RFC 3550 §6.4.1 counts duplicates as received, and "the loss may be negative"; then a number
            # that came twice would hide one that never came. They are counted by themselves.
            self.add(slots.DUPLICATES)
            return
        self.window |= bit
        self.add(slots.REORDERED)
        self.add(slots.LOST, -1)

    def _jump(self, sequence: int, timestamp: int, now_ns: int) -> None:
        """ "If the other side restarted without telling us so just re-sync" RFC 3550 §A.1: when a second one agrees."""
        at = self.offset + slots.BAD_SEQUENCE
        bad, _, state = _numbers.unpack_from(self.memory, at)
        if state & HAS_BAD and sequence == bad:
            self._restart(sequence, timestamp, now_ns)
        else:
            _numbers.pack_into(self.memory, at, (sequence + 1) & 0xFFFF, self.ssrc, STARTED | HAS_BAD)

    def _step(self, timestamp: int, rate: int, now_ns: int) -> None:
        """RFC 3550 §A.8, in sixteenths."""
        self.rate = rate
        elapsed = now_ns - self.last_ns
        moved = ((timestamp - self.timestamp + 0x80000000) & 0xFFFFFFFF) - 0x80000000
        difference = abs(elapsed * rate // 1_000_000_000 - moved)
        if 0 <= elapsed <= LONGEST_NS and difference <= FARTHEST:
            self.jitter += difference - ((self.jitter + 8) >> 4)
            self.jitter_max = max(self.jitter_max, self.jitter)
        self.timestamp, self.last_ns = timestamp, now_ns


def shifted(window: int, ahead: int) -> int:
    """The window, so many numbers on."""
    return 1 if ahead >= WINDOW_BITS else (window << ahead | 1) & FULL
