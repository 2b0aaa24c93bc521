"""Ethernet frames with UDP in them, octet by octet: what a test sends by hand, and what it finds on a cable."""

import ipaddress
import struct
from typing import NamedTuple

IPV4, IPV6, UDP = 0x0800, 0x86DD, 17


def rtp(sequence: int, timestamp: int = 0, *, kind: int = 0, ssrc: int = 0x01020304, octets: int = 160) -> bytes:
    """An RTP packet; `kind` is the second octet, marker bit and payload type."""
    body = bytes(number * 7 % 256 for number in range(octets))
    return struct.pack("!BBHII", 0x80, kind, sequence % 65536, timestamp % 2**32, ssrc) + body


def checksum(data: bytes) -> int:
    """The ones' complement sum of 16-bit words; 0xffff over anything whose checksum is right (RFC 1071)."""
    total = sum(struct.unpack(f"!{(len(data) + 1) // 2}H", data + bytes(len(data) % 2)))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def datagram(source: tuple[str, int], target: tuple[str, int], data: bytes, *, check: bool = True) -> bytes:
    """UDP header and data. `check` False: a checksum of 0, as IPv4 allows."""
    header = struct.pack("!HHHH", source[1], target[1], 8 + len(data), 0)
    if not check:
        return header + data
    total = checksum(_pseudo_header(source[0], target[0], len(data) + 8) + header + data)
    return header[:6] + struct.pack("!H", ~total & 0xFFFF or 0xFFFF) + data


def packet(
    source: str, target: str, body: bytes, *, tos: int = 0, hops: int = 33, fragment: int = 0, options: bytes = b""
) -> bytes:
    """IP of the family of the addresses. `fragment`, `options`: of IPv4; `options` of IPv6 are whole extension headers,
    each octet of `next` included, the first being destination options.
    """
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    if len(ends) == 32:
        following = 60 if options else UDP
        first = 6 << 28 | tos << 20 | 0x12345  # a flow label, which must not cross
        return struct.pack("!IHBB", first, len(options) + len(body), following, hops) + ends + options + body
    words = 5 + len(options) // 4
    length = 4 * words + len(body)
    header = struct.pack("!BBHHHBBH", 0x40 | words, tos, length, 4711, fragment, hops, UDP, 0) + ends + options
    return header[:10] + struct.pack("!H", ~checksum(header) & 0xFFFF) + header[12:] + body


def frame(packet_: bytes, *, to: bytes = bytes(6), by: bytes = bytes(6), tag: int | None = None) -> bytes:
    """On Ethernet; `tag`: a VLAN."""
    kind = struct.pack("!H", IPV4 if packet_[0] >> 4 == 4 else IPV6)
    return to + by + (b"" if tag is None else struct.pack("!HH", 0x8100, tag)) + kind + packet_


class Found(NamedTuple):
    """A frame taken apart. `ip_sum`, `udp_sum`: 0xffff where the checksum is right."""

    source: tuple[str, int]
    target: tuple[str, int]
    tos: int
    hops: int
    identification: int
    fragment: int
    label: int
    ip_sum: int
    check: int
    udp_sum: int
    data: bytes


def read(frame_: bytes) -> Found | None:
    """None where this is no UDP in plain IP."""
    kind, ip = int.from_bytes(frame_[12:14]), frame_[14:]
    if kind == IPV4 and ip[0] == 0x45 and ip[9] == UDP:
        body, ends, size = ip[20 : int.from_bytes(ip[2:4])], ip[12:20], 4
        tos, hops, label, ip_sum = ip[1], ip[8], 0, checksum(ip[:20])
        identification, fragment = struct.unpack_from("!HH", ip, 4)
    elif kind == IPV6 and ip[6] == UDP:
        body, ends, size = ip[40 : 40 + int.from_bytes(ip[4:6])], ip[8:40], 16
        first = int.from_bytes(ip[:4])
        tos, hops, label, ip_sum = first >> 20 & 255, ip[7], first & 0xFFFFF, 0xFFFF
        identification = fragment = 0
    else:
        return None
    source, target = (str(ipaddress.ip_address(ends[at : at + size])) for at in (0, size))
    from_port, to_port, _, check = struct.unpack_from("!HHHH", body)
    udp_sum = checksum(_pseudo_header(source, target, len(body)) + body)
    ends_ = (source, from_port), (target, to_port)
    return Found(*ends_, tos, hops, identification, fragment, label, ip_sum, check, udp_sum, body[8:])


def _pseudo_header(source: str, target: str, length: int) -> bytes:
    ends = ipaddress.ip_address(source).packed + ipaddress.ip_address(target).packed
    return ends + struct.pack("!II", length, UDP)  # both families: the sum is that of either's pseudo header
