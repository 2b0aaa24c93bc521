"""Tells systemd what state we are in (sd_notify(3)): READY=1, STOPPING=1, STATUS=, WATCHDOG=1. Else it does nothing.

One datagram to the socket that $NOTIFY_SOCKET names; a leading @ is the abstract namespace. Also what journald wants to
know of a line (sd-daemon(3)). Used by the supervisor, by a program that has none, and by whoever writes log lines.
"""

import contextlib
import os
import socket
from collections.abc import Mapping
from typing import Final

PRIORITIES: Final[Mapping[str, int]] = {"debug": 7, "info": 6, "warning": 4, "error": 3, "critical": 2}  # syslog(3)


def notify(state: str) -> None:
    address = _address()
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)
        sock.sendto(state.encode(), address)


def send_descriptor(state: str, fd: int) -> None:
    """`state` is about this descriptor, as FDSTORE=1 is. Raises OSError."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.connect(_address())
        socket.send_fds(sock, [state.encode()], [fd])


def _address() -> str:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return ""
    return "\0" + path[1:] if path[0] == "@" else path


def is_journal(fd: int, environment: Mapping[str, str]) -> bool:
    """Whether journald reads what is written there: $JOURNAL_STREAM names its device and inode (systemd.exec(5)).

    It takes the priority of a line from a `<N>` at its beginning, and cuts that off.
    """
    named = environment.get("JOURNAL_STREAM", "")
    if not named:
        return False
    status = os.fstat(fd)
    return named == f"{status.st_dev}:{status.st_ino}"


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
