"""Tells systemd what state we are in (sd_notify(3)): READY=1, STOPPING=1, STATUS=, WATCHDOG=1. Else it does nothing.

One datagram to the socket that $NOTIFY_SOCKET names; a leading @ is the abstract namespace. Used by the supervisor, and
by a program that has none.
"""

import contextlib
import os
import socket
from collections.abc import Mapping


def notify(state: str) -> None:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path[0] == "@" else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)
        sock.sendto(state.encode(), address)


class Watchdog:
    """Says WATCHDOG=1 while signalling's loop turns, four times as often as systemd wants (sd_watchdog_enabled(3))."""

    def __init__(self, environment: Mapping[str, str], pid: int) -> None:
        span = environment.get("WATCHDOG_USEC", "")
        meant = environment.get("WATCHDOG_PID", str(pid))
        self._seconds = int(span) / 4e6 if span.isdecimal() and meant == str(pid) else 0.0
        self._next = 0.0

    def beat(self, now: float) -> None:
        """Signalling has shown that its loop turns."""
        if self._seconds and now >= self._next:
            self._next = now + self._seconds
            notify("WATCHDOG=1")
