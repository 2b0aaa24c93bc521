"""Connects a media socket to its far end, with a second socket for everybody else; and undoes it (socket(7), udp(7)).

The second one, the aside, is bound to the same address and port: SO_REUSEPORT is set on both for that moment only, so
that no other program can share a port with us by accident. The first one is connected before the aside is bound. So
its peer's packets go nowhere else at any time and keep their order; what a stranger sends between the two calls, some
microseconds, finds nobody. To undo it is to connect to nowhere; the local address stays, and so does what is queued.
A worker that was killed leaves its sockets connected, because whoever holds them keeps them open: the next one undoes
that when it gets them. Used by `main`; `connection` says when.
"""

import contextlib
import os
import resource
import socket
from typing import Final

from sbc.media.worker.breakage import say_once
from sbc.media.worker.latch import Target
from sbc.media.worker.ports import Udp
from sbc.media.worker.surroundings import Connected

_SOCKADDR_OCTETS: Final = 16
_ANY: Final = ("0.0.0.0", "::")


class SystemConnector:
    """`surroundings.Connector`, by system calls."""

    __slots__ = ("_ceiling",)

    def __init__(self) -> None:
        self._ceiling = resource.getrlimit(resource.RLIMIT_NOFILE)[0]

    def is_short(self) -> bool:
        """Ports come first: of the descriptors that we may have, three quarters are used."""
        try:
            probe = os.open("/", os.O_PATH | os.O_CLOEXEC)
        except OSError:
            return True
        os.close(probe)
        return probe >= self._ceiling * 3 // 4

    def connect(self, one: Udp, target: Target) -> Connected | None:
        """None where it cannot be; the socket is as it was then."""
        aside = None
        try:
            aside = _like(one)
            if aside.fileno() >= self._ceiling // 2 or one.getsockname()[0] in _ANY:
                aside.close()
                return None
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                one.connect(target)
                aside.bind(one.getsockname())
                aside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
            finally:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
            return Connected(aside, target, one.getpeername())
        except OSError:
            if aside is not None:
                aside.close()
            self.disconnect(one)
            return None

    def retire(self, aside: Udp) -> None:
        """It hears nobody but itself from now on: what is queued stays, what comes goes to the other one."""
        with contextlib.suppress(OSError):
            aside.connect(aside.getsockname())

    def disconnect(self, one: Udp) -> None:
        """Also what a worker before us has connected. Where that is forbidden, nothing is connected any more."""
        try:
            one.getpeername()
        except OSError:
            return
        import ctypes  # noqa: PLC0415 - a millisecond, which is a gap that callers hear

        libc = ctypes.CDLL(None, use_errno=True)
        # AF_UNSPEC is 0: "connectionless sockets may dissolve the association" connect(2); Python has no address for it
        if libc.connect(one.fileno(), bytes(_SOCKADDR_OCTETS), _SOCKADDR_OCTETS):
            self._ceiling = 0
            say_once(OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno())))


def _like(one: Udp) -> socket.socket:
    """A socket of the same kind, that may be bound beside it. Nothing is sent by it: its marking does not matter."""
    family = socket.AddressFamily(one.getsockopt(socket.SOL_SOCKET, socket.SO_DOMAIN))
    aside = socket.socket(family, socket.SOCK_DGRAM)
    try:
        aside.setblocking(False)
        doubled = one.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)  # socket(7)
        aside.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, doubled // 2)
        if family == socket.AF_INET6:
            aside.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        aside.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        aside.close()
        raise
    return aside
