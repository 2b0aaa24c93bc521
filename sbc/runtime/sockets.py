"""The SIP sockets that a policy asks for, all or none, with every problem said at once.

Opening is apart from using: `udp` and `tcp` take what `open_listeners` returns, and `listen` decides who opens them:
this process (`sip_sockets`) or its `Keeper`. Nothing is received here. Used by `app`.
"""

import errno
import os
import socket
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final

from msgspec import Struct

from sbc.core.address import Address, Transport, bracketed
from sbc.core.errors import OperatorError
from sbc.policy.model import Interface, Listener
from sbc.runtime import sip_sockets
from sbc.runtime.sip_sockets import ListenKind, open_sip_socket, socket_address

DESCRIPTORS_AT_LEAST: Final = 256  # with fewer the program stands, but carries hardly a call

_SAID: Final = {
    errno.EADDRINUSE: "address already in use; stop the program that holds it (ss -lnp) or choose another port",
    errno.EADDRNOTAVAIL: "no network interface of this machine has the address; add it there or correct the policy",
    errno.EACCES: "no permission; a port below 1024 needs root or CAP_NET_BIND_SERVICE",
    errno.EPERM: "no permission; a port below 1024 needs root or CAP_NET_BIND_SERVICE",
    errno.EAFNOSUPPORT: "this machine does not speak the address family; enable it or correct the policy",
    errno.EMFILE: "too many open files; raise the limit (ulimit -n, LimitNOFILE=)",
}

Listen = Callable[[ListenKind, str, int, int], socket.socket]  # kind, host, port, dscp


class OpenSocket(Struct, frozen=True, eq=False):
    """A bound (and, for streams, listening) socket and what the policy calls it."""

    interface: str
    listener: Listener
    dscp: int
    socket: socket.socket


def open_listeners(
    interfaces: Iterable[Interface],
    listen: Listen = open_sip_socket,
    *,
    but: Collection[Listener] = (),
    but_media: Collection[str] = (),
    close: Callable[[Sequence[OpenSocket]], None] | None = None,
) -> tuple[OpenSocket, ...]:
    """Every SIP listener of these interfaces. Raises OperatorError with all problems; then nothing stays open.

    `but`, `but_media`: those that are open already, as while a policy is read again. `close` undoes `listen`.
    """
    opened: list[OpenSocket] = []
    problems: list[str] = []
    for interface in interfaces:
        place = f"{interface.where}: " if interface.where else ""
        for listener in interface.listeners:
            if listener in but:
                continue
            kind = kind_of(listener)
            try:
                sock = listen(kind, listener.address.host, listener.address.port, interface.dscp_sip)
            except OSError as error:
                name = f"interfaces.{interface.name}.sip {listener.transport}:{listener.address}"
                problems.append(f"{place}{name}: {explain(error)}")
            else:
                opened.append(OpenSocket(interface.name, listener, interface.dscp_sip, sock))
        problems += [place + problem for problem in _media_problems(interface, but_media)]
    if problems:
        (close or close_all)(opened)
        raise OperatorError("\n".join(problems))
    return tuple(opened)


def kind_of(listener: Listener) -> ListenKind:
    return "udp" if listener.transport is Transport.UDP else "tcp"


def close_all(opened: Sequence[OpenSocket]) -> None:
    for entry in opened:
        entry.socket.close()


def explain(error: OSError) -> str:
    """An operating system's refusal as an operator reads it: what is wrong; what to do."""
    if error.errno in _SAID:
        return _SAID[error.errno]
    return f"{os.strerror(error.errno).lower() if error.errno else error}; it cannot be opened"


def raise_descriptor_limit() -> None:
    """Raises OperatorError where there are too few descriptors even so."""
    limit = sip_sockets.raise_descriptor_limit()
    if limit < DESCRIPTORS_AT_LEAST:
        raise OperatorError(
            f"only {limit} files may be open at a time, and a call takes four; "
            f"raise the limit (ulimit -n, LimitNOFILE=) to {DESCRIPTORS_AT_LEAST} or more"
        )


def refusal_of(host: str) -> OSError | None:
    """Why nothing can be bound to this address; None where it can."""
    address = Address(host, 0)
    try:
        with socket.socket(socket.AF_INET6 if address.is_ipv6 else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(socket_address(address))
    except OSError as error:
        return error
    return None


def _media_problems(interface: Interface, but: Collection[str]) -> list[str]:
    """Media ports are opened later, in batches; but that the address exists must be known before anything starts."""
    refused = [(host, refusal_of(host)) for host in interface.media if host not in but]
    return [
        f"interfaces.{interface.name}.media {bracketed(host)}: {explain(error)}"
        for host, error in refused
        if error is not None
    ]
