"""One SIP socket, bound and ready; what an operating system's refusal means. Nothing is received here.

It knows no policy: whoever opens sockets for signalling (`keeper`) opens them with this. Used by the supervisor, which
must stay small, and by `sockets`, `udp` and `tcp`.
"""

import contextlib
import errno
import os
import resource
import socket
from typing import Final, Literal

from sbc.core import limits
from sbc.core.address import Address

ListenKind = Literal["udp", "tcp"]

IP_RECVERR: Final = 11  # linux/in.h; the socket module does not name them
IPV6_RECVERR: Final = 25
_BACKLOG: Final = 512
_SO_RCVBUFFORCE: Final = 33
_SO_SNDBUFFORCE: Final = 32


def open_sip_socket(kind: ListenKind, host: str, port: int, dscp: int) -> socket.socket:
    """Bound (tcp: listening) and non-blocking. Raises OSError."""
    address = Address(host, port)
    sort = socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM
    sock = socket.socket(socket.AF_INET6 if address.is_ipv6 else socket.AF_INET, sort)
    try:
        sock.setblocking(False)
        if address.is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        set_dscp(sock, dscp)
        if kind == "udp":
            _tune_udp(sock)
        else:
            # A restart must not wait for connections of the last run in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(socket_address(address))
        if kind == "tcp":
            sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def set_dscp(sock: socket.socket, dscp: int) -> None:
    """RFC 2474: the six upper bits of the octet. 0 is what a socket begins with."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)


def socket_address(address: Address) -> tuple[str, int] | tuple[str, int, int, int]:
    """As the socket module wants it; a scope id (`fe80::1%eth0`) is looked up."""
    if "%" not in address.host:
        return (address.host, address.port)
    host, _, scope = address.host.partition("%")
    try:
        return (host, address.port, 0, int(scope) if scope.isdigit() else socket.if_nametoindex(scope))
    except OSError:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL)) from None


def raise_descriptor_limit() -> int:
    """As many descriptors as we may have: every stream and every RTP and RTCP port is one. How many there are now."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def _tune_udp(sock: socket.socket) -> None:
    # ICMP refusals become errors that name their destination; see `udp`.
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    for forced, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, limits.UDP_QUEUE_OCTETS)
        except OSError:  # not root: as much as net.core.rmem_max lets us
            sock.setsockopt(socket.SOL_SOCKET, plain, limits.UDP_QUEUE_OCTETS)
