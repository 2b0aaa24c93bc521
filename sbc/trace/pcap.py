"""The messages of a call as a capture file that Wireshark, tshark and sngrep open (classic pcap, microseconds).

Link type RAW (101): every packet begins with its IP header. Messages that have no known way are left out, and so are
the notes of the ladder. TLS is shown as the text within it. Pure; used by the admin API and by tests.
"""

import struct
from collections.abc import Iterable
from typing import Final

from sbc.core.address import Transport
from sbc.trace.packets import Packets
from sbc.trace.recorder import Entry

MEDIA_TYPE: Final = "application/vnd.tcpdump.pcap"
_MAGIC: Final = 0xA1B2C3D4  # times in microseconds; in the writer's order of octets, here the little end first
_LINKTYPE_RAW: Final = 101
_SNAP_OCTETS: Final = 262_144
_HEADER: Final = struct.pack("<IHHiIII", _MAGIC, 2, 4, 0, 0, _SNAP_OCTETS, _LINKTYPE_RAW)


def capture(entries: Iterable[Entry], wall_at_zero: float) -> bytes:
    """The whole file. `entries`: masked at their length, oldest first; `wall_at_zero`: wall clock at zero of theirs."""
    packets = Packets()
    parts = [_HEADER]
    for entry in entries:
        if entry.data is None or entry.flow is None:
            continue
        flow = entry.flow
        sender, receiver = (flow.local, flow.remote) if entry.sent else (flow.remote, flow.local)
        wrap = packets.datagram if flow.transport is Transport.UDP else packets.segments
        seconds, microseconds = divmod(round((wall_at_zero + entry.at) * 1_000_000), 1_000_000)
        time = struct.pack("<II", seconds & 0xFFFF_FFFF, microseconds)
        for packet in wrap(entry.data, sender, receiver):
            parts += (time, struct.pack("<II", len(packet), len(packet)), packet)
    return b"".join(parts)
