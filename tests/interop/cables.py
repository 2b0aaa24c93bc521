"""Sockets of this process in another network namespace: made there, used from here."""

import contextlib
import ctypes
import fcntl
import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from . import frames
from .namespaces import Namespaces

_CLONE_NEWNET: Final = 0x40000000
_SIOCETHTOOL: Final = 0x8946
_ETHTOOL_STXCSUM: Final = 0x17
_ALL: Final = 3  # ETH_P_ALL
_libc = ctypes.CDLL(None, use_errno=True)


@contextlib.contextmanager
def inside(namespaces: Namespaces, part: str) -> Iterator[None]:
    """This thread is there for so long. Sockets stay where they were made."""
    name = namespaces.enter(part)[-1]
    with Path("/proc/self/ns/net").open() as home, Path("/run/netns", name).open() as there:
        _enter(there.fileno())
        try:
            yield
        finally:
            _enter(home.fileno())


def udp(namespaces: Namespaces, part: str, address: tuple[str, int]) -> socket.socket:
    """A bound UDP socket there; nothing comes within half a second: TimeoutError."""
    with inside(namespaces, part):
        one = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(address)
        one.settimeout(0.5)
        return one


def make_checksums_by_hand(namespaces: Namespaces, part: str, device: str) -> None:
    """What leaves by this device has its checksum made before, as by a card that cannot (ethtool -K … tx off)."""
    with inside(namespaces, part), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        value = ctypes.create_string_buffer(struct.pack("=II", _ETHTOOL_STXCSUM, 0), 8)
        request = struct.pack("16sP16x", device.encode(), ctypes.addressof(value))
        fcntl.ioctl(one.fileno(), _SIOCETHTOOL, request)


class Cable:
    """One end of a cable, frame by frame."""

    def __init__(self, namespaces: Namespaces, part: str, device: str = "eth0") -> None:
        with inside(namespaces, part):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
            self._socket.bind((device, _ALL))
        self.address: bytes = self._socket.getsockname()[4]

    def send(self, packet: bytes, to: bytes) -> None:
        self._socket.send(frames.frame(packet, to=to, by=self.address))

    def hear(self, port: int, seconds: float = 0.5) -> frames.Found | None:
        """The next datagram to this port that comes in here; None: there is none."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            self._socket.settimeout(left)
            with contextlib.suppress(TimeoutError):
                data, where = self._socket.recvfrom(65536)
                found = frames.read(data) if where[2] == socket.PACKET_HOST else None
                if found is not None and found.target[1] == port:
                    return found
        return None

    def close(self) -> None:
        self._socket.close()


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, _CLONE_NEWNET):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
