"""Tells systemd what state we are in (sd_notify(3)): READY=1, STOPPING=1. Without systemd it does nothing.

One datagram to the socket that $NOTIFY_SOCKET names; a leading @ is the abstract namespace.
"""

import contextlib
import os
import socket


def notify(state: str) -> None:
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path.startswith(("/", "@")):
        return
    address = "\0" + path[1:] if path[0] == "@" else path
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.sendto(state.encode(), address)
