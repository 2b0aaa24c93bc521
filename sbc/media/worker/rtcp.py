"""What RTCP reports of a stream: read as it is relayed, nothing changed (RFC 3550 §6.4).

Sender reports that we relay towards an end, and that end's report blocks, which name them, give the round-trip time
between us and it: we stand in the sender's place (§6.4.1). It reads SR and RR alone, as far as they go, and stops where
a packet is malformed; SDES is `names`, and XR (RFC 3611) is relayed unread. Used by `way` and `far_end`.
"""

from struct import Struct as Layout
from typing import Final

from msgspec import Struct

_SENDER_REPORT: Final = 200
_RECEIVER_REPORT: Final = 201
_HEADER_OCTETS: Final = 8  # and SSRC of the sender
_SENDER_INFO_OCTETS: Final = 20
_BLOCK_OCTETS: Final = 24
_BLOCK: Final = Layout("!IIIIII")
_REPORTS_AT_MOST: Final = 64  # of one compound packet: one source has one block in each, and a call has few sources
_PACKETS_AT_MOST: Final = 128  # of one compound packet; each costs a look
_REMEMBERED: Final = 8  # sender reports: at one in five seconds (§6.2), older than any that a block may still name


class SenderReport(Struct, frozen=True):
    """`ntp_middle`: the middle 32 bits of its NTP timestamp, which report blocks name; 0: the sender has no clock."""

    ssrc: int
    ntp_middle: int


class ReportBlock(Struct, frozen=True):
    """What `reporter` heard of `ssrc`.

    `fraction_lost`: in 1/256, since its report before. `lost`: in all, may be negative. `jitter`: in timestamp units.
    `last_sr`: the `ntp_middle` of the latest sender report that it has, 0: none. `delay`: since then, in 1/65536 s.
    """

    reporter: int
    ssrc: int
    fraction_lost: int
    lost: int
    highest: int
    jitter: int
    last_sr: int
    delay: int


def is_rtcp(second_octet: int) -> bool:
    """Whether a packet on a port for RTP and RTCP is RTCP, by what would be marker and payload type.

    "payload type values in the range 64-95 MUST NOT be used" by RTP there, RFC 5761 §4: with the marker, 192 to 223.
    """
    return 192 <= second_octet <= 223


def read_reports(packet: bytearray | memoryview, size: int) -> tuple[SenderReport | ReportBlock, ...]:
    """The reports of the compound packet in the first `size` octets, in its order; as many as can be read."""
    reports: list[SenderReport | ReportBlock] = []
    at = 0
    for _ in range(_PACKETS_AT_MOST):
        if at + _HEADER_OCTETS > size or len(reports) >= _REPORTS_AT_MOST:
            break
        first, kind = packet[at], packet[at + 1]
        if first & 0xC0 != 0x80:  # "Version (V): 2 bits … two (2)" §6.4.1
            break
        end = at + 4 * (1 + (packet[at + 2] << 8 | packet[at + 3]))
        if kind in {_SENDER_REPORT, _RECEIVER_REPORT}:
            _read_report(packet, at, min(end, size), reports)
        at = end
    return tuple(reports)


def _read_report(packet: bytearray | memoryview, at: int, end: int, reports: list[SenderReport | ReportBlock]) -> None:
    if at + _HEADER_OCTETS > end:
        return
    blocks, is_sender = packet[at] & 31, packet[at + 1] == _SENDER_REPORT
    reporter = int.from_bytes(packet[at + 4 : at + 8])
    at += _HEADER_OCTETS
    if is_sender:
        if at + _SENDER_INFO_OCTETS > end:
            return
        reports.append(SenderReport(reporter, int.from_bytes(packet[at + 2 : at + 6])))
        at += _SENDER_INFO_OCTETS
    while blocks and at + _BLOCK_OCTETS <= end and len(reports) < _REPORTS_AT_MOST:
        ssrc, loss, highest, jitter, last_sr, delay = _BLOCK.unpack_from(packet, at)
        lost = (loss & 0xFFFFFF) - ((loss & 0x800000) << 1)
        reports.append(ReportBlock(reporter, ssrc, loss >> 24, lost, highest, jitter, last_sr, delay))
        at += _BLOCK_OCTETS
        blocks -= 1


class RoundTrip:
    """One end of one stream: what it says of what it hears, and how long the way to it and back takes.

    `round_trip_ms`: 0 until it is known. `far_lost`: 0 to 1. `far_jitter`: in timestamp units.
    """

    __slots__ = ("_passed", "far_jitter", "far_lost", "round_trip_ms")

    def __init__(self) -> None:
        self._passed: dict[int, float] = {}  # ntp_middle -> when that report left towards this end
        self.round_trip_ms = 0.0
        self.far_lost = 0.0
        self.far_jitter = 0

    def passed(self, ntp_middle: int, now: float) -> None:
        """A sender report was relayed towards this end."""
        if not ntp_middle:  # "a sender that has no notion of wallclock … MAY set the NTP timestamp to zero" §6.4.1
            return
        self._passed.pop(ntp_middle, None)
        self._passed[ntp_middle] = now
        if len(self._passed) > _REMEMBERED:
            del self._passed[next(iter(self._passed))]

    def heard(self, block: ReportBlock, now: float) -> None:
        """This end reported. A sender report that we did not see, or a time that cannot be, tells no round trip."""
        self.far_lost = block.fraction_lost / 256
        self.far_jitter = block.jitter
        at = self._passed.get(block.last_sr) if block.last_sr else None
        if at is None:
            return
        seconds = now - at - block.delay / 65_536  # "round-trip propagation delay as (A - LSR - DLSR)" §6.4.1
        if seconds >= 0:
            self.round_trip_ms = seconds * 1000
