"""Sound for hundreds of calls at once, both ways, from one thread: what was lost, doubled or late is known per packet.

Each packet names its stream (SSRC) and its place. Its time under way is from the moment before `sendto` to the kernel's
stamp at its arrival, so that a busy test machine makes no gap; only a relay that stops makes one.
"""

import heapq
import selectors
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count, cycle

_RTP = struct.Struct("!BBHII")
_PAYLOAD = bytes(160)
_SO_TIMESTAMPNS = 35  # socket(7); a struct timespec comes with each packet
_STAMP_OCTETS = socket.CMSG_SPACE(16)
_STAMP = struct.Struct("@qq")
_LATE_SECONDS = 0.05  # longer under way than that is written down
_SETTLE_SECONDS = 1.0
_PORTS = cycle(range(6000, 60000, 2))
_SOURCES = count(0x10000)


@dataclass(eq=False)
class Ear:
    """One end of one call. `to`: the SBC's media address, once its SDP has come."""

    host: str
    port: int
    sock: socket.socket
    ssrc: int
    every: float  # seconds from packet to packet
    to: tuple[str, int] | None = None
    far: "Ear | None" = None
    seals: Callable[[bytes], bytes] | None = None  # SRTP: what goes over the cable
    opens: Callable[[bytes], bytes | None] | None = None
    key: str = ""  # SRTP: the SBC's, as its SDP has it
    is_talking: bool = False
    sent_at: list[float] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)  # of the far end's packets: how often
    astray: list[str] = field(default_factory=list)

    def listens(self, late: list[tuple[float, float]]) -> None:
        far = self.far
        while True:
            try:
                data, ((_, _, stamp),), _, source = self.sock.recvmsg(2048, _STAMP_OCTETS)
            except BlockingIOError:
                return
            if len(data) > 1 and 192 <= data[1] <= 223:  # RTCP
                continue
            if self.opens is not None:
                data = self.opens(data) or b""
            if far is None or source != self.to or int.from_bytes(data[8:12]) != far.ssrc:
                self.astray.append(f"{data[:16].hex()} from {source}, expected from {self.to}")
                continue
            n = int.from_bytes(data[4:8])  # the timestamp counts packets: it does not wrap in a test
            self.heard[n] = min(self.heard[n] + 1, 255)
            seconds, nanoseconds = _STAMP.unpack(stamp)
            at = seconds + nanoseconds / 1e9
            if at - far.sent_at[n] > _LATE_SECONDS:
                late.append((far.sent_at[n], at - far.sent_at[n]))

    def says(self) -> None:
        far = self.far
        assert far is not None
        assert self.to is not None
        n = len(self.sent_at)
        far.heard.append(0)
        packet = _RTP.pack(0x80, 0, n & 0xFFFF, n, self.ssrc) + _PAYLOAD
        if self.seals is not None:
            packet = self.seals(packet)
        self.sent_at.append(time.time())
        self.sock.sendto(packet, self.to)


class Sound:
    """`ear` makes an end; `joins` two of them, which talk from `talk` to `hush`."""

    def __init__(self) -> None:
        self.ears: list[Ear] = []
        self.late: list[tuple[float, float]] = []  # when a packet left, and how long it was under way
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._due: list[tuple[float, int, Ear]] = []
        self._thread = threading.Thread(target=self._run, name="sound", daemon=True)
        self._thread.start()

    def ear(self, host: str, every: float) -> Ear:
        """At a free port of that host, in the network namespace in which the calling thread is."""
        while True:
            port = next(_PORTS)
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
            sock.setblocking(False)
            try:
                sock.bind((host, port))
            except OSError:
                sock.close()
                continue
            break
        ear = Ear(host, port, sock, next(_SOURCES), every)
        with self._lock:
            self.ears.append(ear)
            self._selector.register(sock, selectors.EVENT_READ, ear)
        return ear

    @staticmethod
    def joins(one: Ear, other: Ear) -> None:
        one.far, other.far = other, one

    def talk(self, *ears: Ear) -> None:
        now = time.monotonic()
        with self._lock:
            for n, ear in enumerate(ears):
                ear.is_talking = True
                heapq.heappush(self._due, (now + ear.every * n / len(ears), ear.ssrc, ear))

    def hush(self, *ears: Ear) -> None:
        """Returns when what they said has come, or will not come any more; see `lost`."""
        with self._lock:
            for ear in ears:
                ear.is_talking = False
        time.sleep(_SETTLE_SECONDS + 0.1)

    def close(self) -> None:
        self._over.set()
        self._thread.join(10)
        self._selector.close()
        for ear in self.ears:
            ear.sock.close()

    # --- what became of it --------------------------------------------------------------------------------------------

    def sent(self) -> int:
        return sum(len(ear.sent_at) for ear in self.ears)

    def lost(self) -> list[tuple[float, int]]:
        """When each of them left, and the port that should have heard it. One that may be under way is none."""
        now = time.time()
        return [
            (ear.far.sent_at[n], ear.port)
            for ear in self.ears if ear.far is not None for n, times in enumerate(ear.heard)
            if not times and now - ear.far.sent_at[n] > _SETTLE_SECONDS
        ]  # fmt: skip

    def doubled(self) -> int:
        return sum(times > 1 for ear in self.ears for times in ear.heard)

    def astray(self) -> list[str]:
        return [line for ear in self.ears for line in ear.astray]

    def longest_wait(self) -> float:
        """Seconds that a packet was under way at most; 0.05 where none took longer."""
        return max((wait for _, wait in self.late), default=_LATE_SECONDS)

    def summary(self) -> str:
        lost = self.lost()
        return (
            f"{self.sent()} packets, {len(lost)} lost, {self.doubled()} doubled, {len(self.astray())} astray, "
            f"{len(self.late)} under way for more than {_LATE_SECONDS * 1000:.0f} ms, at most "
            f"{self.longest_wait() * 1000:.0f} ms"
        )

    # --- the thread ---------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._over.is_set():
            ready = self._selector.select(0.002)
            with self._lock:
                for key, _ in ready:
                    key.data.listens(self.late)
                self._says(time.monotonic())

    def _says(self, now: float) -> None:
        while self._due and self._due[0][0] <= now:
            due, ssrc, ear = self._due[0]
            if not ear.is_talking:
                heapq.heappop(self._due)
                continue
            ear.says()
            heapq.heapreplace(self._due, (max(due + ear.every, now - 1.0), ssrc, ear))  # a frozen machine has no flood
