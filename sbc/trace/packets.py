"""IP packets around messages, as they would have been captured: UDP datagrams, and segments of TCP connections.

IPv4 (RFC 791), IPv6 (RFC 8200), UDP (RFC 768) and TCP (RFC 9293), with their checksums. What is longer than the link
takes is fragmented by IP, or cut into segments by TCP. The engine knows a connection by its addresses only: of each
direction the first octet has number 1, no handshake is invented, and what was left out of a long call leaves no gap.
Used by `pcap`.
"""

import ipaddress
import struct
from collections.abc import Iterator
from typing import Final

from sbc.core.address import Address

LINK_OCTETS: Final = 1500  # what an Ethernet carries
_IPV4_HEADER: Final = 20
_IPV6_HEADER: Final = 40
_TCP_HEADER: Final = 20
_FRAGMENT_HEADER: Final = 8
_MOST_OCTETS: Final = 65_507  # of a datagram over IPv4
_HOPS: Final = 64
_UDP: Final = 17
_TCP: Final = 6
_IPV6_FRAGMENT: Final = 44
_MORE: Final = 0x2000  # IPv4: more fragments
_PSH_ACK: Final = 0x5018  # five words of header
_WINDOW: Final = 65_535


class Packets:
    """Makes the packets of one capture. Numbers of fragments and of octets in connections run on."""

    def __init__(self) -> None:
        self._ids = 0
        self._next: dict[tuple[Address, Address], int] = {}  # by sender and receiver: number of the next octet

    def datagram(self, data: bytes, sender: Address, receiver: Address) -> Iterator[bytes]:
        """None where it is longer than a datagram may be: no link has carried it."""
        if len(data) > _MOST_OCTETS:
            return
        source, destination = _packed(sender), _packed(receiver)
        length = 8 + len(data)
        header = struct.pack("!HHHH", sender.port, receiver.port, length, 0)
        check = _checksum(_pseudo(source, destination, _UDP, length) + header + data) or 0xFFFF
        yield from self._ip(source, destination, _UDP, header[:6] + struct.pack("!H", check) + data)

    def segments(self, data: bytes, sender: Address, receiver: Address) -> Iterator[bytes]:
        source, destination = _packed(sender), _packed(receiver)
        room = LINK_OCTETS - _TCP_HEADER - (_IPV4_HEADER if len(source) == 4 else _IPV6_HEADER)
        heard = self._next.setdefault((receiver, sender), 1)
        for begin in range(0, len(data), room):
            part = data[begin : begin + room]
            number = self._next.get((sender, receiver), 1)
            self._next[sender, receiver] = (number + len(part)) & 0xFFFF_FFFF
            ports = sender.port, receiver.port
            header = struct.pack("!HHIIHHHH", *ports, number, heard, _PSH_ACK, _WINDOW, 0, 0)
            check = _checksum(_pseudo(source, destination, _TCP, len(header) + len(part)) + header + part)
            yield from self._ip(source, destination, _TCP, header[:16] + struct.pack("!H", check) + header[18:] + part)

    def _ip(self, source: bytes, destination: bytes, protocol: int, payload: bytes) -> Iterator[bytes]:
        self._ids = self._ids + 1 & 0xFFFF_FFFF
        if len(source) == 4:
            return self._ipv4(source, destination, protocol, payload)
        return self._ipv6(source, destination, protocol, payload)

    def _ipv4(self, source: bytes, destination: bytes, protocol: int, payload: bytes) -> Iterator[bytes]:
        """Offsets count eights of octets (RFC 791 §3.2)."""
        room = (LINK_OCTETS - _IPV4_HEADER) // 8 * 8
        for begin in range(0, len(payload), room):
            part = payload[begin : begin + room]
            more = _MORE if begin + room < len(payload) else 0
            length, flags = _IPV4_HEADER + len(part), begin // 8 | more
            fields = 0x45, 0, length, self._ids & 0xFFFF, flags, _HOPS, protocol
            header = struct.pack("!BBHHHBBH4s4s", *fields, 0, source, destination)
            yield header[:10] + struct.pack("!H", _checksum(header)) + header[12:] + part

    def _ipv6(self, source: bytes, destination: bytes, protocol: int, payload: bytes) -> Iterator[bytes]:
        """A payload that fits goes whole; else each part has a Fragment header (RFC 8200 §4.5)."""
        if len(payload) <= LINK_OCTETS - _IPV6_HEADER:
            yield _ipv6_header(source, destination, protocol, len(payload)) + payload
            return
        room = (LINK_OCTETS - _IPV6_HEADER - _FRAGMENT_HEADER) // 8 * 8
        for begin in range(0, len(payload), room):
            part = payload[begin : begin + room]
            more = int(begin + room < len(payload))
            fragment = struct.pack("!BBHI", protocol, 0, begin | more, self._ids)
            length = _FRAGMENT_HEADER + len(part)
            yield _ipv6_header(source, destination, _IPV6_FRAGMENT, length) + fragment + part


def _ipv6_header(source: bytes, destination: bytes, following: int, length: int) -> bytes:
    return struct.pack("!IHBB16s16s", 0x6000_0000, length, following, _HOPS, source, destination)


def _packed(address: Address) -> bytes:
    """Without the zone, which has a meaning on one machine only."""
    return ipaddress.ip_address(address.host.partition("%")[0]).packed


def _pseudo(source: bytes, destination: bytes, protocol: int, length: int) -> bytes:
    if len(source) == 4:
        return source + destination + struct.pack("!BBH", 0, protocol, length)
    return source + destination + struct.pack("!IBBBB", length, 0, 0, 0, protocol)


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    if len(data) % 2:
        data += b"\0"
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
