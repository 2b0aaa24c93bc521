"""One end of one stream by hand: RTP and RTCP from sockets of a test's own, and all that comes there (RFC 3550)."""

import re
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from itertools import count, cycle
from typing import NamedTuple

PACKET_SECONDS = 0.02
SAMPLES = 160
SPEECH = bytes(SAMPLES)
_RTP = struct.Struct("!BBHII")
_REPORT = struct.Struct(
    "!IBBHIIII"
)  # a report block: SSRC, fraction lost, lost (high, low), highest, jitter, LSR, DLSR
_SENDER, _RECEIVER = 200, 201
_NTP_EPOCH = 2_208_988_800  # 1900 to 1970
_ports = cycle(range(6000, 60000, 2))
_versions = count(1)
_sources = count(0x5BC00001)


class Packet(NamedTuple):
    at: float  # time.time
    source: tuple[str, int]
    data: bytes

    @property
    def kind(self) -> int:
        """The payload type, without the marker."""
        return self.data[1] & 127

    @property
    def sequence(self) -> int:
        return int.from_bytes(self.data[2:4])

    @property
    def ssrc(self) -> int:
        return int.from_bytes(self.data[8:12])

    @property
    def payload(self) -> bytes:
        return self.data[12:]


class Voice:
    """`rtp`, `rtcp`: bound; one socket where they share a port. `heard` and `reports`: what came from wherever."""

    def __init__(self, rtp: socket.socket, rtcp: socket.socket, kind: int = 0) -> None:
        self.rtp, self.rtcp, self.kind = rtp, rtcp, kind
        self.ssrc = next(_sources)
        self.to: tuple[str, int] = ("", 0)
        self.rtcp_to: tuple[str, int] = ("", 0)
        self.sent: list[bytes] = []
        self.heard: list[Packet] = []
        self.reports: list[Packet] = []
        self._sequence = self._timestamp = 0

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        return (self.rtp,) if self.rtp is self.rtcp else (self.rtp, self.rtcp)

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.rtp.getsockname()[:2]
        return host, port

    def describes(self, *says: str, kinds: Sequence[int | str] = (), media: str = "", host: str = "") -> str:
        """SDP. `says`: more lines of the stream; `kinds`: payload types; `media`: another m= line than that of sound,
        with %d for the port; `host`: what it calls itself, if not by its address.
        """
        here, port = self.address
        family = "IP6" if ":" in here else "IP4"
        formats = " ".join(map(str, kinds or (self.kind,)))
        n = next(_versions)
        lines = [
            "v=0", f"o=- {self.ssrc} {n} IN {family} {host or here}", "s=-", f"c=IN {family} {host or here}", "t=0 0",
            media % port if media else f"m=audio {port} RTP/AVP {formats}", *says,
        ]  # fmt: skip
        return "".join(f"{line}\r\n" for line in lines)

    def goes(self, sdp: str) -> None:
        """Where that description says."""
        host, port = re.search(r"^c=IN IP. (\S+)", sdp, re.MULTILINE), re.search(r"^m=\w+ (\d+)", sdp, re.MULTILINE)
        assert host, sdp
        assert port, sdp
        self.to = (host[1], int(port[1]))
        self.rtcp_to = self.to if "a=rtcp-mux" in sdp else (host[1], int(port[1]) + 1)

    # --- RTP ----------------------------------------------------------------------------------------------------------

    def says(
        self, payload: bytes = SPEECH, *, kind: int | None = None, marker: bool = False, lasts: bool = True
    ) -> None:
        """The next packet. `lasts`: it is 20 ms of sound; telephone-events share a timestamp."""
        first = (self.kind if kind is None else kind) | (128 if marker else 0)
        data = _RTP.pack(0x80, first, self._sequence, self._timestamp, self.ssrc) + payload
        self.skips()
        self._timestamp -= 0 if lasts else SAMPLES
        self.sent.append(data)
        self.rtp.sendto(data, self.to)

    def skips(self) -> None:
        """A packet is lost."""
        self._sequence = (self._sequence + 1) & 0xFFFF
        self._timestamp += SAMPLES

    def sends(self, data: bytes) -> None:
        """What is no RTP."""
        self.rtp.sendto(data, self.to)

    def presses(self, digit: int, kind: int) -> Iterator[None]:
        """A telephone-event of 60 ms, a packet each time that it is asked for: three, and the end thrice (RFC 4733)."""
        for n in range(6):
            end = 0x80 if n >= 3 else 0
            payload = struct.pack("!BBH", digit, end | 10, min(n + 1, 3) * SAMPLES)
            self.says(payload, kind=kind, marker=n == 0, lasts=False)
            yield
        self._timestamp += 3 * SAMPLES

    def heard_numbers(self) -> list[int]:
        return [packet.sequence for packet in self.heard]

    def missed(self, other: "Voice") -> list[int]:
        """What the other end sent, and this one has not heard."""
        heard = set(self.heard_numbers())
        return [n for n in (int.from_bytes(data[2:4]) for data in other.sent) if n not in heard]

    # --- RTCP ---------------------------------------------------------------------------------------------------------

    def reports_as_sender(self) -> None:
        """SR without blocks."""
        now = time.time() + _NTP_EPOCH
        stamp = struct.pack("!II", int(now), int(now % 1 * 2**32))
        body = struct.pack("!I", self.ssrc) + stamp + struct.pack("!III", self._timestamp, len(self.sent), 0)
        self._sends_report(_SENDER, 0, body)

    def reports_as_receiver(self, of: Packet, delay: float, *, lost: int = 0) -> None:
        """RR about the sender of an SR that came, which was so many seconds ago by this end's own account."""
        lsr = int.from_bytes(of.data[10:14])
        block = _REPORT.pack(int.from_bytes(of.data[4:8]), lost, 0, 0, 0, 0, lsr, round(delay * 65536))
        self._sends_report(_RECEIVER, 1, struct.pack("!I", self.ssrc) + block)

    def _sends_report(self, kind: int, blocks: int, body: bytes) -> None:
        self.rtcp.sendto(struct.pack("!BBH", 0x80 | blocks, kind, len(body) // 4) + body, self.rtcp_to)

    # --- what comes ---------------------------------------------------------------------------------------------------

    def listens(self) -> None:
        for sock in self.sockets:
            while True:
                try:
                    data, source = sock.recvfrom(4096)
                except BlockingIOError:
                    break
                is_report = len(data) > 1 and 192 <= data[1] <= 223  # RFC 5761 §4
                (self.reports if is_report else self.heard).append(Packet(time.time(), source[:2], data))


def voice(host: str, *, kind: int = 0, is_muxed: bool = False, port: int = 0) -> Voice:
    """At a port of its own; made in the network namespace in which this thread is."""
    port = port or next(_ports)
    rtp = _socket(host, port)
    return Voice(rtp, rtp if is_muxed else _socket(host, port + 1), kind)


def _socket(host: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
    sock.setblocking(False)
    sock.bind((host, port))
    return sock
