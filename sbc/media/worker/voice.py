"""One way of a stream on which digits are known: heard from its sender, played to its receiver (RFC 4733).

The receiver sees one stream whatever happens. Packets that do not cross (a digit that is reported instead, speech while
a digit is played) leave no gap: what follows is numbered on, with the sender's own SSRC and timestamps. A digit that is
played takes the SSRC and the next numbers of the stream that flows there, or flowed, and a timestamp as far behind its
last packet as time has passed; "they MUST use the same sequence number and timestamp base as the regular audio channel"
§2.5.1.2. Where nothing ever flowed it has an SSRC of its own. RTCP is not renumbered: its counts are off by the few
packets of a digit.
A plain packet costs a look at its payload type, a copy of its header and a look at the clock. Where digits are neither
reported nor played, `count` takes the place of `edit`, and plain packets need neither. `carry` calls them, `session`
makes one of these for each way and keeps it for as long as the way exists.
"""

from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from msgspec import Struct

from sbc.core.limits import DIGITS_HEARD_PER_SECOND, DIGITS_WAITING
from sbc.media.wire import DIGITS, NO_EVENTS
from sbc.media.worker import slots
from sbc.media.worker.agenda import Agenda
from sbc.media.worker.events import LONGEST, Event, event_packet, read_events
from sbc.media.worker.hearing import Digit, Hearing
from sbc.media.worker.inlet import RTP_OCTETS, Clock, Inlet, send
from sbc.media.worker.playing import Playing
from sbc.media.worker.statistics import Statistics

_LATE: Final = 100  # packets: what is so far behind a break in the numbers came too late, and has no number any more


class VoiceRules(Struct, frozen=True):
    """What the stream says of this way. Payload types are those of telephone-event, or NO_EVENTS."""

    heard: int
    heard_rate: int
    played: int
    played_rate: int
    table: bytes | None  # second octet of a packet as it comes -> as it goes
    report: Callable[[Digit], None] | None


class Voice:
    """`name` makes the SSRC of digits that no stream carries; it must differ for each way, and nobody may guess it."""

    __slots__ = (
        "_agenda",
        "_allowance",
        "_at",
        "_booked",
        "_clock",
        "_has_gap",
        "_header",
        "_heard_type",
        "_hearing",
        "_inlet",
        "_is_special",
        "_late_before",
        "_name",
        "_playing",
        "_refilled",
        "_rules",
        "_shift",
        "_table",
        "_told",
    )

    def __init__(self, name: bytes, agenda: Agenda, clock: Clock) -> None:
        self._name = name
        self._agenda = agenda
        self._clock = clock
        self._inlet: Inlet | None = None
        self._rules = VoiceRules(NO_EVENTS, 8000, NO_EVENTS, 8000, None, None)
        self._heard_type = NO_EVENTS
        self._table: bytes | None = None
        self._header = bytearray()  # of the packet that was sent last, and when that was
        self._at = 0.0
        self._shift = 0  # is added to the sequence numbers of the sender
        self._is_special = False  # a digit is played, or one of the following two: packets need more than a look
        self._has_gap = False  # something did not cross: the next packet gets the next number
        self._late_before: int | None = None  # the sender's number of the first packet behind the latest gap
        self._hearing = Hearing(8000)
        self._playing = Playing()
        self._booked: float | None = None
        self._allowance = float(DIGITS_WAITING)
        self._refilled = 0.0
        self._told: Statistics | None = None

    @property
    def is_bent(self) -> bool:
        """Whether a digit has left its mark: what follows it is renumbered, and every packet has to be seen."""
        return self._is_special or bool(self._shift)

    def rewire(self, inlet: Inlet, told: Statistics | None, rules: VoiceRules) -> None:
        """From now on so, and by this inlet; what is heard or played goes on where it still can. `told`: receiver's."""
        if rules.heard_rate != self._rules.heard_rate:
            self._hearing = Hearing(rules.heard_rate)
        self._inlet, self._told, self._rules = inlet, told, rules
        self._heard_type, self._table = rules.heard, rules.table
        if rules.played == NO_EVENTS or inlet.target is None:
            self._playing.stop()

    def close(self) -> None:
        """The way is no more."""
        self._playing.stop()
        self._rules = VoiceRules(NO_EVENTS, 8000, NO_EVENTS, 8000, None, None)

    # --- packets of the sender ----------------------------------------------------------------------------------------

    def count(self, packet: bytearray, size: int) -> int:
        """Hear the digits that cross."""
        if packet[1] & 127 == self._heard_type:
            self._hear(packet, size, self._clock())
        if self._table is not None:
            packet[1] = self._table[packet[1]]
        return size

    def edit(self, packet: bytearray, size: int) -> int:
        """Make a packet what the receiver shall see; 0 where it shall see nothing of it."""
        second = packet[1]
        if self._is_special or second & 127 == self._heard_type:
            return 0 if self._edit_with_care(packet, size) else size
        # Deviation: RFC 3550 §7.2 has reports of a stream that is renumbered corrected, "inverse manipulation for the
        # packet loss fields and the extended last sequence number". Ours are relayed as they are: off by the few
        # packets of each digit that was converted, and only where digits are.
        if self._shift:
            if packet[8:12] != self._header[8:12]:
                return 0 if self._edit_with_care(packet, size) else size
            packet[2:4] = (((packet[2] << 8 | packet[3]) + self._shift) & 0xFFFF).to_bytes(2)
        self._header = packet[:RTP_OCTETS]
        self._at = self._clock()
        if self._table is not None:
            packet[1] = self._table[second]
        return size

    def _edit_with_care(self, packet: bytearray, size: int) -> bool:
        """True where the receiver shall see nothing of it."""
        now = self._clock()
        is_kept_back = packet[1] & 127 == self._heard_type and self._hear(packet, size, now)
        if is_kept_back or self._playing.due is not None:
            self._has_gap = self._is_special = True
            if not is_kept_back:
                self._drop()
            return True
        if not self._number(packet, now):
            return True
        if self._table is not None:
            packet[1] = self._table[packet[1]]
        return False

    def _hear(self, packet: bytearray, size: int, now: float) -> bool:
        """Listen to events; True where they are reported and do not cross."""
        before = self._hearing.begun
        source = bytes(packet[8:12])
        events = read_events(packet, size)
        ended = [digit for event in events for digit in self._hearing.take(source, event, now)]
        begun = self._hearing.begun - before
        if begun and self._inlet is not None:
            self._inlet.statistics.add(slots.DIGITS, begun)
        if self._rules.report is None:
            if begun and self._told is not None and self._playing.due is None:
                self._told.add(slots.DIGITS_SENT, begun)
            return False
        self._report(ended, now)
        self._book(self._hearing.next_deadline())
        return any(event.code < len(DIGITS) for event in events)

    def _report(self, digits: list[Digit], now: float) -> None:
        """No faster than digits can be dialled, though many may come at once after a jam."""
        report = self._rules.report
        if report is None:
            return
        for digit in digits:
            refilled = self._allowance + (now - self._refilled) * DIGITS_HEARD_PER_SECOND
            self._allowance, self._refilled = min(refilled, DIGITS_WAITING), now
            if self._allowance >= 1:
                self._allowance -= 1
                report(digit)

    def _number(self, packet: bytearray, now: float) -> bool:
        """Number a packet behind what was sent; False where it comes too late for that."""
        sequence = int.from_bytes(packet[2:4])
        if packet[8:12] != self._header[8:12]:  # a new source has numbers of its own
            self._shift, self._has_gap, self._late_before, self._is_special = 0, False, None, False
        elif self._has_gap:
            self._shift = (self._last_sequence + 1 - sequence) & 0xFFFF
            self._has_gap, self._late_before, self._is_special = False, sequence, True
        elif self._late_before is not None:
            ahead = (sequence - self._late_before) & 0xFFFF
            if ahead >= 0x10000 - _LATE:
                self._drop()
                return False
            if ahead > _LATE:
                self._late_before, self._is_special = None, False
        packet[2:4] = ((sequence + self._shift) & 0xFFFF).to_bytes(2)
        self._header, self._at = packet[:RTP_OCTETS], now
        return True

    def _drop(self) -> None:
        if self._inlet is not None:
            self._inlet.statistics.add(slots.DROPPED)

    @property
    def _last_sequence(self) -> int:
        return int.from_bytes(self._header[2:4])

    # --- digits of ours -----------------------------------------------------------------------------------------------

    def play(self, code: int, milliseconds: int) -> None:
        """Queue a digit for the receiver; nothing where it cannot be told, or too many wait."""
        inlet = self._inlet
        if self._rules.played == NO_EVENTS or inlet is None or inlet.target is None:
            return
        if self._playing.add(code, milliseconds, self._rules.played_rate, self._clock()):
            self._is_special = True
            self.tick(self._clock())

    def tick(self, now: float) -> None:
        """Send what is due, and book the time of what will be."""
        if self._booked is not None and self._booked <= now:
            self._booked = None
        while self._playing.due is not None and self._playing.due <= now:
            self._send_step(now)
        deadlines = [self._playing.due]
        if self._rules.report is not None:
            self._report(self._hearing.tick(now), now)
            deadlines.append(self._hearing.next_deadline())
        self._book(min((at for at in deadlines if at is not None), default=None))

    def _send_step(self, now: float) -> None:
        step, inlet = self._playing.step(now), self._inlet
        rate = self._rules.played_rate
        if step.is_first:
            self._begin(now, rate)
            self._tell(slots.DIGITS_SENT)
        sequence = (self._last_sequence + 1) & 0xFFFF
        duration = min(step.milliseconds * rate // 1000, LONGEST)
        event = Event(step.code, int.from_bytes(self._header[4:8]), duration, step.is_over, step.is_first)
        packet = event_packet(self._rules.played, sequence, bytes(self._header[8:12]), event)
        self._header = bytearray(packet[:RTP_OCTETS])
        self._has_gap = self._is_special = True
        if inlet is not None and send(inlet, packet):
            self._tell(slots.PLAYED_PACKETS)

    def _tell(self, field: int) -> None:
        if self._told is not None:
            self._told.add(field)

    def _begin(self, now: float, rate: int) -> None:
        """Set the timestamp at which the digit begins; it stays that of all its reports."""
        if not self._header:
            seed = blake2b(self._name, digest_size=10).digest()
            # The clock counts on when the worker is replaced, so the next one's numbers are behind this one's.
            sequence = (int.from_bytes(seed[4:6]) + int(now * 50)) & 0xFFFF
            timestamp = (int.from_bytes(seed[6:10]) + int(now * rate)) & 0xFFFFFFFF
            self._header = bytearray((0x80, 0)) + sequence.to_bytes(2) + timestamp.to_bytes(4) + seed[:4]
        else:
            passed = max(round((now - self._at) * rate), 0)
            self._header[4:8] = ((int.from_bytes(self._header[4:8]) + passed) & 0xFFFFFFFF).to_bytes(4)
        self._at = now

    def _book(self, at: float | None) -> None:
        if at is not None and (self._booked is None or at < self._booked):
            self._booked = at
            self._agenda.book(at, self)
