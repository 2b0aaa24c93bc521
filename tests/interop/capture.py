"""What went over a cable: tcpdump in a namespace, its file read back as UDP datagrams."""

import platform
import re
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from .children import Child, program

_FILE_HEADER, _RECORD, _ETHERNET, _UDP = 24, struct.Struct("<IIII"), 14, 17


class Datagram(NamedTuple):
    at: float
    source: tuple[str, int]
    target: tuple[str, int]
    data: bytes

    @property
    def is_sip(self) -> bool:
        return 5060 in (self.source[1], self.target[1])

    @property
    def is_rtp(self) -> bool:
        return not self.is_sip and self.source[1] % 2 == 0 and self.data[:1] == b"\x80"


class Capture:
    """Everything that passes `eth0` of a namespace, until it is stopped."""

    def __init__(self, name: str, folder: Path, prefix: Sequence[str]) -> None:
        self._path = folder / f"{name}.pcap"
        options = ["-i", "eth0", "-n", "-U", "--immediate-mode", "-s", "0", "-Z", "root", "-w", str(self._path)]
        argv = [program("tcpdump"), *options, "udp"]
        self._child = Child(name, argv, folder, prefix=prefix)
        self._child.until("listening on")

    def stop(self) -> None:
        if self._child.is_running:
            time.sleep(0.3)  # the kernel hands packets over in blocks
        self._child.stop()

    def datagrams(self) -> list[Datagram]:
        """Stops it, then reads. Fragments of large datagrams are put together."""
        self.stop()
        return list(_datagrams(self._path.read_bytes()))


def host_names() -> list[str]:
    """This machine's name, unless it is so short that it comes up in RTP by chance."""
    return [name for name in (platform.node(),) if len(name) >= 6]


def leaks(datagrams: Sequence[Datagram], source: str, secrets: Sequence[str]) -> list[str]:
    """Where what `source` sent names a secret; case does not matter."""
    pattern = re.compile(b"|".join(re.escape(secret.encode()) for secret in secrets), re.IGNORECASE)
    found = []
    for datagram in datagrams:
        match = pattern.search(datagram.data) if datagram.source[0] == source else None
        if match:
            found.append(f"{match[0]!r} in {datagram.data[max(0, match.start() - 60) : match.end() + 60]!r}")
    return found


def _datagrams(file: bytes) -> Iterator[Datagram]:
    at = _FILE_HEADER
    pieces: dict[bytes, bytes] = {}
    while at + _RECORD.size <= len(file):
        seconds, micros, size, _ = _RECORD.unpack_from(file, at)
        packet = file[at + _RECORD.size + _ETHERNET : at + _RECORD.size + size]
        at += _RECORD.size + size
        if packet[0] >> 4 != 4 or packet[9] != _UDP:
            continue
        head, (length, offset) = (packet[0] & 15) * 4, struct.unpack_from("!H2xH", packet, 2)
        key = packet[4:6] + packet[12:20]
        whole = pieces.pop(key, b"") + packet[head:length]
        if offset & 0x2000:  # more fragments follow; a veth pair keeps their order
            pieces[key] = whole
            continue
        source, target = struct.unpack_from("!HH", whole)
        yield Datagram(
            seconds + micros / 1e6,
            (socket.inet_ntoa(packet[12:16]), source),
            (socket.inet_ntoa(packet[16:20]), target),
            whole[8:],
        )
