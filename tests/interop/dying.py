"""Carriers that are dead in ways that SIPp cannot be: mute ones, and ones that reset a connection."""

import re
import socket
import struct
import threading
import time
from collections.abc import Callable

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER of 0 s: closing sends a RST
_LOOK_SECONDS = 0.05
_READING_SECONDS = 0.02  # a reset makes the other end forget what it has not read yet


class Mute:
    """A UDP port that takes all and says nothing, or only a 100 to each INVITE; `says` is its late awakening."""

    def __init__(self, host: str, *, trying: bool = False) -> None:
        self.methods: list[str] = []  # of what it heard
        self._trying = trying
        self._invite = ("", ("", 0))
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.bind((host, 5060))
        self._sock.settimeout(_LOOK_SECONDS)
        self._thread = _Thread(self._look)

    def says(self, status: str) -> None:
        """To its last INVITE."""
        text, source = self._invite
        self._sock.sendto(_response(text, status).encode(), source)

    def stop(self) -> None:
        self._thread.stop()
        self._sock.close()

    def _look(self) -> None:
        try:
            data, source = self._sock.recvfrom(65535)
        except TimeoutError:
            return
        text = data.decode()
        self.methods.append(text.partition(" ")[0])
        if self.methods[-1] == "INVITE":
            self._invite = (text, source)
            if self._trying:
                self._sock.sendto(_response(text, "100 Trying").encode(), source)


class Resetting:
    """A TCP port that takes one INVITE, says 100 to it or nothing, and resets the connection."""

    def __init__(self, host: str, *, trying: bool) -> None:
        self.resets = 0
        self._trying = trying
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._sock.bind((host, 5060))
        self._sock.listen()
        self._sock.settimeout(_LOOK_SECONDS)
        self._thread = _Thread(self._look)

    def stop(self) -> None:
        self._thread.stop()
        self._sock.close()

    def _look(self) -> None:
        try:
            connection, _ = self._sock.accept()
        except TimeoutError:
            return
        with connection:
            connection.settimeout(5)
            text = connection.recv(65535).decode()
            if self._trying:
                connection.sendall(_response(text, "100 Trying").encode())
                time.sleep(_READING_SECONDS)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.resets += 1


def _response(request: str, status: str) -> str:
    fields = re.findall(r"^(?:Via|From|To|Call-ID|CSeq): .*$", request.replace("\r", ""), re.MULTILINE)
    if not status.startswith("100"):
        fields = [f"{field};tag=late" if field.startswith("To:") else field for field in fields]
        called = re.search(r"@([^ ;>]+)", request)
        fields.append(f"Contact: <sip:late@{called[1]}>" if called else "")
    return "\r\n".join([f"SIP/2.0 {status}", *fields, "Content-Length: 0", "", ""])


class _Thread:
    """Looks again and again until it is stopped."""

    def __init__(self, look: Callable[[], None]) -> None:
        self._look = look
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        self._thread.join(5)

    def _run(self) -> None:
        while not self._over.is_set():
            self._look()
