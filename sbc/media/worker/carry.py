"""Any packet: judged, counted, changed and sent. Most take the shorter way of `relay`, which comes here for the rest.

A packet from a source that its inlet does not know is the gate's to judge. RTP is counted before it is changed: what is
kept back has come all the same. When a packet has been plain, the inlet is told which packet will be so next.
"""

import struct
from typing import Final

from sbc.media.worker import slots
from sbc.media.worker.inlet import BUFFER, CLOCK_RATE, RTCP_OCTETS, RTP_OCTETS, VIEW, Inlet, Rules, send
from sbc.media.worker.latch import FOREIGN, KEPT, LOCKED, Kept, Source
from sbc.media.worker.rtcp import is_rtcp

_SECOND_NS: Final = 1_000_000_000
# Sender report to APP: "payload type values 72-76 … have been reserved" for them, RFC 3551 §6. They are relayed where
# somebody sends them to the port of RTP, and say nothing of the stream.
_REPORTS: Final = range(200, 205)

_header = struct.Struct("!HHII").unpack_from  # version to payload type, sequence number, timestamp, SSRC


def take_in(inlet: Inlet, size: int, source: Source, now_ns: int) -> None:
    """Judge and carry the packet that fills the first octets of the buffer. It may be any; most have a shorter way."""
    if inlet.rtcp is not None and size > 1 and is_rtcp(BUFFER[1]):
        inlet = inlet.rtcp
    if inlet.is_stale:
        inlet.statistics.load()
    is_shaped = _is_shaped(inlet, size)
    if source != inlet.source and not _lets_in(inlet, size, source, now_ns, is_shaped=is_shaped):
        return
    if is_shaped:
        _carry(inlet, size, now_ns)
    else:
        inlet.statistics.add(slots.DROPPED)


def _is_shaped(inlet: Inlet, size: int) -> bool:
    """ "Version (V): 2 bits … two (2)" RFC 3550 §5.1, §6.4.1: STUN, DTLS and other guests of the port are none."""
    if inlet.is_opaque:
        return True
    return size >= (RTCP_OCTETS if inlet.is_rtcp else RTP_OCTETS) and 128 <= BUFFER[0] < 192


def _lets_in(inlet: Inlet, size: int, source: Source, now_ns: int, *, is_shaped: bool) -> bool:
    """Ask the gate about a packet from elsewhere; what it kept is carried first."""
    gate, statistics = inlet.gate, inlet.statistics
    if gate is None or (not is_shaped and inlet.source is None and not inlet.is_rtcp):
        statistics.add(slots.DROPPED)
        return False
    verdict = gate.hears(BUFFER, size, source, now_ns) if is_shaped or inlet.is_rtcp else FOREIGN
    strangers = gate.foreign + (verdict == FOREIGN)
    if strangers:
        gate.foreign = 0
        statistics.add(slots.FOREIGN, strangers)
        if verdict == FOREIGN:
            gate.stranger = source
    if verdict == LOCKED:
        if inlet.on_lock is not None:
            inlet.on_lock()
        _carry_kept(inlet, gate.take_kept(), size)
    return verdict not in {FOREIGN, KEPT}


def _carry_kept(inlet: Inlet, kept: list[Kept], size: int) -> None:
    """Relay them, and leave the buffer as it is."""
    if not kept:
        return
    present = bytes(VIEW[:size])
    for data, at_ns in kept:
        BUFFER[: len(data)] = data
        _carry(inlet, len(data), at_ns)
    BUFFER[:size] = present


def _carry(inlet: Inlet, size: int, now_ns: int) -> None:
    """Relay the packet in the buffer, which is ours and has the shape of its stream."""
    inlet.heard_ns = now_ns
    if inlet.target is None:
        inlet.statistics.add(slots.DROPPED)
    elif inlet.is_rtcp:
        inlet.quota -= 1
        if inlet.quota >= 0 or not _is_excess(inlet, now_ns):
            _carry_rtcp(inlet, size, now_ns)
    elif inlet.statistics.packets < inlet.quota or not _is_excess(inlet, now_ns):
        if inlet.rules is None:
            _send_on(inlet, size, size)
        elif BUFFER[1] in _REPORTS:
            left = size if inlet.edit_report is None else inlet.edit_report(BUFFER, size)
            if left:
                _send_on(inlet, size, left)
        else:
            _carry_rtp(inlet, inlet.rules, size, now_ns)


def _carry_rtp(inlet: Inlet, rules: Rules, size: int, now_ns: int) -> None:
    statistics = inlet.statistics
    head, sequence, timestamp, ssrc = _header(BUFFER)
    inlet.lane.shut()
    inlet.is_stale = inlet.is_shared
    if ssrc != statistics.ssrc and inlet.on_source is not None:
        inlet.on_source()
    payload_type = head & 127
    rate = rules.clocks.get(payload_type, CLOCK_RATE)
    statistics.take(sequence, timestamp, ssrc, 0 if payload_type == rules.silent else rate, now_ns)
    left = size if inlet.edit is None else inlet.edit(BUFFER, size)
    if left:
        _send_on(inlet, size, left)
        if rules.is_simple(payload_type):
            _carried_simple(inlet, payload_type, rate)
        if rules.is_plain(payload_type) and not inlet.is_shared:
            _expect(inlet, head, sequence, rate)


def _carried_simple(inlet: Inlet, payload_type: int, rate: int) -> None:
    inlet.types[payload_type] = rate
    if inlet.is_shared and inlet.on_simple is not None:
        inlet.on_simple(payload_type)


def _expect(inlet: Inlet, head: int, sequence: int, rate: int) -> None:
    """The next packet needs no more than a look if it is like this one, which came as the latest."""
    if sequence == inlet.statistics.sequence and inlet.offer is None:
        inlet.lane.open(head, rate, inlet.quota)
        inlet.is_stale = True


def _carry_rtcp(inlet: Inlet, size: int, now_ns: int) -> None:
    if inlet.hear is not None:
        inlet.hear(BUFFER, size, now_ns / 1e9)
    left = size if inlet.edit is None else inlet.edit(BUFFER, size)
    if left:
        inlet.statistics.add(slots.RTCP_PACKETS if send(inlet, VIEW[:left]) else slots.DROPPED)


def _send_on(inlet: Inlet, size: int, left: int) -> None:
    """Send `left` octets of the buffer, which came as `size`, and count the packet."""
    statistics = inlet.statistics
    if not send(inlet, VIEW[:left]):
        statistics.add(slots.DROPPED)
        return
    statistics.packets += 1
    statistics.octets += size
    statistics.store()


def _is_excess(inlet: Inlet, now_ns: int) -> bool:
    """What one second allows is used up: it may be over, or the packet is one too many."""
    if not inlet.second_ns or now_ns - inlet.second_ns >= _SECOND_NS:
        inlet.second_ns = now_ns
        inlet.quota = inlet.limit - 1 if inlet.is_rtcp else inlet.statistics.packets + inlet.limit
        return False
    inlet.statistics.add(slots.EXCESS)
    return True
