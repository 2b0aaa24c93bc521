"""Opens the SIP sockets that a policy asks for, all or none, with every problem said at once.

Opening is apart from using: `udp` and `tcp` take what `open_listeners` returns, wherever it was opened
(a supervisor may do it and pass the descriptors). Nothing is received here. Used by `app`.
"""

import contextlib
import errno
import os
import resource
import socket
from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from sbc.core.address import Address, Transport, bracketed
from sbc.core.errors import OperatorError
from sbc.policy.model import Interface, Listener

DESCRIPTORS_AT_LEAST: Final = 256  # with fewer the program stands, but carries hardly a call
IP_RECVERR: Final = 11  # linux/in.h; the socket module does not name them
IPV6_RECVERR: Final = 25
_BACKLOG: Final = 512
_RECEIVE_BUFFER: Final = 4 << 20  # a burst of some thousand messages waits here while one is worked on
_SO_RCVBUFFORCE: Final = 33
_SO_SNDBUFFORCE: Final = 32

_SAID: Final = {
    errno.EADDRINUSE: "address already in use; stop the program that holds it (ss -lnp) or choose another port",
    errno.EADDRNOTAVAIL: "no network interface of this machine has the address; add it there or correct the policy",
    errno.EACCES: "no permission; a port below 1024 needs root or CAP_NET_BIND_SERVICE",
    errno.EPERM: "no permission; a port below 1024 needs root or CAP_NET_BIND_SERVICE",
    errno.EAFNOSUPPORT: "this machine does not speak the address family; enable it or correct the policy",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n, LimitNOFILE=)",
}


class OpenSocket(Struct, frozen=True, eq=False):
    """A bound (and, for streams, listening) socket and what the policy calls it."""

    interface: str
    listener: Listener
    dscp: int
    socket: socket.socket


def open_listeners(interfaces: Iterable[Interface]) -> tuple[OpenSocket, ...]:
    """Every SIP listener of these interfaces. Raises OperatorError with all problems; then nothing stays open."""
    opened: list[OpenSocket] = []
    problems: list[str] = []
    for interface in interfaces:
        for listener in interface.listeners:
            try:
                sock = _open(listener, interface.dscp_sip)
            except OSError as error:
                name = f"interfaces.{interface.name}.sip {listener.transport}:{listener.address}"
                problems.append(f"{name}: {explain(error)}")
            else:
                opened.append(OpenSocket(interface.name, listener, interface.dscp_sip, sock))
        problems += _media_problems(interface)
    if problems:
        close_all(opened)
        raise OperatorError("\n".join(problems))
    return tuple(opened)


def close_all(opened: Sequence[OpenSocket]) -> None:
    for entry in opened:
        entry.socket.close()


def set_dscp(sock: socket.socket, dscp: int) -> None:
    """RFC 2474: the six upper bits of the octet."""
    if not dscp:
        return
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, dscp << 2)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, dscp << 2)


def explain(error: OSError) -> str:
    """An operating system's refusal as an operator reads it: what is wrong; what to do."""
    if error.errno in _SAID:
        return _SAID[error.errno]
    return f"{os.strerror(error.errno).lower() if error.errno else error}; it cannot be opened"


def raise_descriptor_limit() -> None:
    """As many descriptors as we may have: every stream and every RTP and RTCP port is one. OperatorError if too few."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if limit < DESCRIPTORS_AT_LEAST:
        raise OperatorError(
            f"only {limit} files may be open at a time, and a call takes four; "
            f"raise the limit (ulimit -n, LimitNOFILE=) to {DESCRIPTORS_AT_LEAST} or more"
        )


def _open(listener: Listener, dscp: int) -> socket.socket:
    address = listener.address
    kind = socket.SOCK_DGRAM if listener.transport is Transport.UDP else socket.SOCK_STREAM
    sock = socket.socket(socket.AF_INET6 if address.is_ipv6 else socket.AF_INET, kind)
    try:
        sock.setblocking(False)
        if address.is_ipv6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        set_dscp(sock, dscp)
        if kind == socket.SOCK_DGRAM:
            _tune_udp(sock)
        else:
            # A restart must not wait for connections of the last run in TIME_WAIT.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(socket_address(address))
        if kind == socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
    except BaseException:
        sock.close()
        raise
    return sock


def socket_address(address: Address) -> tuple[str, int] | tuple[str, int, int, int]:
    """As the socket module wants it; a scope id (`fe80::1%eth0`) is looked up."""
    if "%" not in address.host:
        return (address.host, address.port)
    host, _, scope = address.host.partition("%")
    try:
        return (host, address.port, 0, int(scope) if scope.isdigit() else socket.if_nametoindex(scope))
    except OSError:
        raise OSError(errno.EADDRNOTAVAIL, os.strerror(errno.EADDRNOTAVAIL)) from None


def _tune_udp(sock: socket.socket) -> None:
    # ICMP refusals become errors that name their destination; see `udp`.
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_RECVERR, 1)
    else:
        sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
    for forced, plain in ((_SO_RCVBUFFORCE, socket.SO_RCVBUF), (_SO_SNDBUFFORCE, socket.SO_SNDBUF)):
        try:
            sock.setsockopt(socket.SOL_SOCKET, forced, _RECEIVE_BUFFER)
        except OSError:  # not root: as much as net.core.rmem_max lets us
            sock.setsockopt(socket.SOL_SOCKET, plain, _RECEIVE_BUFFER)


def _media_problems(interface: Interface) -> list[str]:
    """Media ports are opened later, in batches; but that the address exists must be known before anything starts."""
    problems = []
    for host in interface.media:
        address = Address(host, 0)
        try:
            with socket.socket(socket.AF_INET6 if address.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.bind(socket_address(address))
        except OSError as error:
            problems.append(f"interfaces.{interface.name}.media {bracketed(host)}: {explain(error)}")
    return problems
