"""One SIP message as a packet of HEP3, the protocol by which capture servers such as Homer are fed.

Source: "HEP/EEP network protocol, version 3" (sipcapture). A packet is `HEP3`, its length, and chunks of vendor, type,
length and value, all in network order; vendor 0 is the protocol's own. Both legs of a call have one correlation id, the
call's ref, so that the server shows them as one; beside calls it is the Call-ID. It sends nothing; `runtime.hep` does.
"""

import ipaddress
import struct
from functools import lru_cache
from typing import Final

from sbc.core.address import Transport
from sbc.trace.recorder import Entry

_MAGIC: Final = b"HEP3"
_MOST_OCTETS: Final = 65_507  # of one datagram over IPv4
_IP_FAMILY: Final = 0x0001
_IP_PROTOCOL: Final = 0x0002
_SOURCE_4: Final = 0x0003
_DESTINATION_4: Final = 0x0004
_SOURCE_6: Final = 0x0005
_DESTINATION_6: Final = 0x0006
_SOURCE_PORT: Final = 0x0007
_DESTINATION_PORT: Final = 0x0008
_SECONDS: Final = 0x0009
_MICROSECONDS: Final = 0x000A
_PROTOCOL: Final = 0x000B
_CAPTURE_ID: Final = 0x000C
_AUTH_KEY: Final = 0x000E
_PAYLOAD: Final = 0x000F
_CORRELATION_ID: Final = 0x0011
_SIP: Final = 1
_AF_INET: Final = 2
_AF_INET6: Final = 10  # as on Linux, whatever machine this is
_TCP: Final = 6
_UDP: Final = 17


def packet(ref: str, entry: Entry, wall_at_zero: float, node: int, password: str | None) -> bytes | None:
    """`entry`: a message, masked at its length; `node`: our capture agent id; `password`: the server's auth key.

    None for a message whose way is not known, and for one that is too long for a datagram.
    """
    if entry.data is None or entry.flow is None:
        return None
    flow = entry.flow
    sender, receiver = (flow.local, flow.remote) if entry.sent else (flow.remote, flow.local)
    seconds, microseconds = divmod(round((wall_at_zero + entry.at) * 1_000_000), 1_000_000)
    is_ipv6 = sender.is_ipv6
    chunks = [
        _number("B", _IP_FAMILY, _AF_INET6 if is_ipv6 else _AF_INET),
        _number("B", _IP_PROTOCOL, _UDP if flow.transport is Transport.UDP else _TCP),
        _chunk(_SOURCE_6 if is_ipv6 else _SOURCE_4, _packed(sender.host)),
        _chunk(_DESTINATION_6 if is_ipv6 else _DESTINATION_4, _packed(receiver.host)),
        _number("H", _SOURCE_PORT, sender.port),
        _number("H", _DESTINATION_PORT, receiver.port),
        _number("I", _SECONDS, seconds & 0xFFFF_FFFF),
        _number("I", _MICROSECONDS, microseconds),
        _number("B", _PROTOCOL, _SIP),
        _number("I", _CAPTURE_ID, node),
        _chunk(_CORRELATION_ID, ref.encode()),
        *(() if password is None else (_chunk(_AUTH_KEY, password.encode()),)),
        _chunk(_PAYLOAD, entry.data) if len(entry.data) < _MOST_OCTETS else b"",
    ]
    body = b"".join(chunks)
    length = 6 + len(body)
    return None if not chunks[-1] or length > _MOST_OCTETS else _MAGIC + struct.pack("!H", length) + body


def _number(form: str, kind: int, value: int) -> bytes:
    return _chunk(kind, struct.pack(f"!{form}", value))


def _chunk(kind: int, value: bytes) -> bytes:
    """Its length counts the six octets before the value."""
    return struct.pack("!HHH", 0, kind, 6 + len(value)) + value


@lru_cache(maxsize=1024)
def _packed(host: str) -> bytes:
    return ipaddress.ip_address(host.partition("%")[0]).packed
