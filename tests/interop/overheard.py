"""What comes over a cable, header by header: an AF_PACKET socket in a namespace."""

import ipaddress
import socket
import struct
from typing import NamedTuple

from .cables import inside
from .namespaces import Namespaces

_ALL = 3  # ETH_P_ALL
_RCVBUFFORCE = 33  # socket(7)
_IPV4, _IPV6, _TCP, _UDP = 0x0800, 0x86DD, 6, 17


class Overheard(NamedTuple):
    source: tuple[str, int]
    target: tuple[str, int]
    protocol: str  # "udp", "tcp"
    dscp: int
    ecn: int
    hops: int
    data: bytes  # of UDP; what follows the fixed header of TCP


class Wire:
    """All that comes to `eth0` of a namespace from now on. Nothing is lost as long as the test is not long."""

    def __init__(self, namespaces: Namespaces, part: str) -> None:
        with inside(namespaces, part):
            self._sock = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
            self._sock.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, 1 << 23)
            self._sock.bind(("eth0", _ALL))
        self._sock.setblocking(False)
        self._heard: list[Overheard] = []

    def heard(self) -> list[Overheard]:
        """UDP and TCP so far."""
        while True:
            try:
                frame, where = self._sock.recvfrom(65536)
            except BlockingIOError:
                return list(self._heard)
            found = _read(frame) if where[2] == socket.PACKET_HOST else None
            if found is not None:
                self._heard.append(found)

    def close(self) -> None:
        self._sock.close()


def _read(frame: bytes) -> Overheard | None:
    kind, ip = int.from_bytes(frame[12:14]), frame[14:]
    if kind == _IPV4 and ip[9] in (_TCP, _UDP):
        body, protocol, ends, size, traffic, hops = ip[(ip[0] & 15) * 4 :], ip[9], ip[12:20], 4, ip[1], ip[8]
    elif kind == _IPV6 and ip[6] in (_TCP, _UDP):
        body, protocol, ends, size, traffic, hops = (
            ip[40:],
            ip[6],
            ip[8:40],
            16,
            int.from_bytes(ip[:2]) >> 4 & 255,
            ip[7],
        )
    else:
        return None
    source, target = (str(ipaddress.ip_address(ends[at : at + size])) for at in (0, size))
    ports = struct.unpack_from("!HH", body)
    name, head = ("udp", 8) if protocol == _UDP else ("tcp", 20)
    return Overheard((source, ports[0]), (target, ports[1]), name, traffic >> 2, traffic & 3, hops, body[head:])
