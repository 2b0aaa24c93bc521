"""A TCP connection of ours to a server, until it stands; and what every stream socket is set to (RFC 9293, RFC 1122).

Used by `tcp`.
"""

import math
import os
import socket
from collections.abc import Callable
from typing import Final

import structlog
import trio

from sbc.core import limits
from sbc.core.address import Address
from sbc.runtime.sip_sockets import set_dscp, socket_address
from sbc.runtime.sockets import OpenSocket

SAID_AGAIN_SECONDS: Final = 60.0

log = structlog.get_logger("tcp")


class Sayings:
    """What is said once a minute of each remote."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._said_at: dict[str, float] = {}

    def is_due(self, remote: str) -> bool:
        now = self._now()
        if now - self._said_at.get(remote, -math.inf) < SAID_AGAIN_SECONDS:
            return False
        if len(self._said_at) >= limits.CONNECT_FAILURES_SAID:
            self._said_at.clear()
        self._said_at[remote] = now
        return True


class Connecting:
    def __init__(self, now: Callable[[], float]) -> None:
        self._sayings = Sayings(now)

    async def connect(self, sock: socket.socket, entry: OpenSocket, remote: Address) -> str:
        """Empty when connected, else why not. The engine hears of each attempt, the operator of a remote's first one
        in a while.
        """
        reason = await _connect(sock, entry, remote)
        if reason and self._sayings.is_due(str(remote)):
            log.info("tcp.connect_failed", remote=str(remote), reason=reason)
        return reason


async def _connect(sock: socket.socket, entry: OpenSocket, remote: Address) -> str:
    """The source address is the listener's, so that the peer knows us by it."""
    try:
        tune(sock, entry.dscp)
        if remote.is_ipv6 == entry.listener.address.is_ipv6:
            sock.bind(socket_address(Address(entry.listener.address.host, 0)))
        with trio.move_on_after(limits.CONNECT_SECONDS) as patience:
            try:
                sock.connect(socket_address(remote))
            except BlockingIOError:
                await trio.lowlevel.wait_writable(sock)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                return os.strerror(number).lower()
    except trio.ClosedResourceError:
        return "closed before it was connected"
    except (OSError, ValueError, OverflowError) as error:
        return words(error)
    return "no answer to the connection attempt" if patience.cancelled_caught else ""


def tune(sock: socket.socket, dscp: int) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    _keep_alive(sock)
    set_dscp(sock, dscp)


def _keep_alive(sock: socket.socket) -> None:
    """A firewall that has forgotten a quiet connection drops what comes by it, and TCP tries for a quarter of an hour.
    It is not let forget; and what is lost is lost while the transactions on it can still go by another connection.
    """
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, round(limits.PROBED_SECONDS))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(round(limits.UNACKNOWLEDGED_SECONDS / 3), 1))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(limits.UNACKNOWLEDGED_SECONDS * 1000))


def words(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else str(error)
