"""A session in memory, with sockets, a clock and an engine that a test can drive. Both engines write one memory."""

import struct
from collections import deque
from itertools import repeat

from msgspec.structs import replace

from sbc.media import wire
from sbc.media.worker.agenda import Agenda
from sbc.media.worker.engine import PASS_UP, Engine, Flow
from sbc.media.worker.lane import Lane
from sbc.media.worker.ports import Pair, Udp
from sbc.media.worker.relay import Inlet, relay, relay_ready
from sbc.media.worker.session import Session
from sbc.media.worker.slots import KERNEL_PACKETS, SLOT_OCTETS, Slots
from sbc.media.worker.statistics import Statistics
from sbc.media.worker.surroundings import Connected, Surroundings

INSIDE, OUTSIDE = "192.0.2.1", "198.51.100.1"
PBX, CARRIER = ("192.0.2.30", 4000), ("198.51.100.40", 5000)
PBX_RTCP, CARRIER_RTCP = ("192.0.2.30", 4001), ("198.51.100.40", 5001)
PCMU, PCMA, EVENTS = 0, 8, 101
SLOTS = 16

Source = tuple[str, int]


def rtp(n: int, payload_type: int = PCMA, *, ssrc: int = 7, payload: bytes = bytes(160), marked: bool = False) -> bytes:
    """Packet n of a stream of 20 ms."""
    second = payload_type | 128 * marked
    return struct.pack("!BBHII", 0x80, second, n & 0xFFFF, n * 160 & 0xFFFFFFFF, ssrc) + payload


def far(host_port: Source, rtcp: int | None = None) -> wire.Remote:
    return wire.Remote(*host_port, host_port[1] + 1 if rtcp is None else rtcp)


STREAM = wire.Stream(wire.End(INSIDE, 20000, far(PBX)), wire.End(OUTSIDE, 20000, far(CARRIER)))


class Socket:
    """What it was told to send is on one list with the engine's, in the order in which it left."""

    def __init__(self, number: int, left: list[tuple[str, int, bytes, Source]], local: str, port: int) -> None:
        self.number = number
        self.local = local
        self.port = port
        self.queue: deque[tuple[bytes, Source]] = deque()
        self.left = left
        self.peer: Source | None = None
        self.aside: Socket | None = None
        self.is_closed = False
        self.plain = 0  # packets that were sent or read without an address

    def fileno(self) -> int:
        return self.number

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, Source]:
        if not self.queue:
            raise BlockingIOError
        data, source = self.queue.popleft()
        buffer[: len(data)] = data
        return len(data), source

    def sendto(self, data: bytes | memoryview, address: Source) -> int:
        self.left.append((self.local, self.port, bytes(data), address))
        return len(data)

    def recv_into(self, buffer: bytearray) -> int:
        size, source = self.recvfrom_into(buffer)
        assert source == self.peer
        self.plain += 1
        return size

    def send(self, data: memoryview) -> int:
        assert self.peer
        self.plain += 1
        return self.sendto(data, self.peer)

    def connect(self, address: Source) -> None:
        raise NotImplementedError

    def getpeername(self) -> Source:
        raise NotImplementedError

    def getsockname(self) -> Source:
        raise NotImplementedError

    def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
        raise NotImplementedError

    def getsockopt(self, level: int, option: int) -> int:
        raise NotImplementedError

    def close(self) -> None:
        assert not self.is_closed
        self.is_closed = True


class Plugs:
    """Connects sockets of a rig. `asked`: how often."""

    def __init__(self) -> None:
        self.asked = 0
        self.cannot = self.short = False

    def is_short(self) -> bool:
        return self.short

    def connect(self, one: Socket, target: Source) -> Connected | None:
        self.asked += 1
        if self.cannot:
            return None
        one.peer = target
        one.aside = Socket(one.number + 1000, one.left, one.local, one.port)
        return Connected(one.aside, target, target)

    def retire(self, aside: Socket) -> None:
        assert not aside.is_closed

    def disconnect(self, one: Socket) -> None:
        one.peer = one.aside = None


class Kernel:
    """An engine that relays what its flows say, as the program in the kernel does."""

    def __init__(self, memory: bytearray, left: list[tuple[str, int, bytes, Source]]) -> None:
        self.memory = memory
        self.left = left
        self.table: dict[tuple[str, int], Flow] = {}
        self.puts: list[Flow] = []
        self.asked = 0
        self.refusal = ""
        self.is_dead = False  # has flows, and relays nothing

    def put(self, flow: Flow) -> str:
        self.remove(flow.local, flow.port)
        self.asked += 1
        if not self.refusal:
            self.table[flow.local, flow.port] = flow
            self.puts.append(flow)
        return self.refusal

    def remove(self, local: str, port: int) -> None:
        self.table.pop((local, port), None)

    def flows(self) -> set[tuple[str, int]]:
        return set(self.table)

    def held(self, local: str, port: int) -> Flow | None:
        return self.table.get((local, port))

    def beat(self) -> None:
        pass

    def takes(self, local: str, port: int, data: bytes, source: Source, now: float) -> bool:
        """Whether it has relayed or dropped this packet; else it goes to the socket."""
        flow = self.table.get((local, port))
        if flow is None or self.is_dead:
            return False
        if source != flow.source:
            Statistics(self.memory, flow.slot).add(68)
            return True
        second, sequence, timestamp, ssrc = struct.unpack_from("!xBHII", data)
        becomes = flow.types[second & 127]
        if ssrc != flow.ssrc or becomes == PASS_UP:
            return False
        one = Statistics(self.memory, flow.slot)
        one.take(sequence, timestamp, ssrc, flow.rate, int(now * 1e9))
        one.packets += 1
        one.octets += len(data)
        one.store()
        struct.pack_into("<Q", self.memory, flow.slot + KERNEL_PACKETS, one.kernel_packets() + 1)
        data = data[:1] + bytes((second & 128 | becomes,)) + data[2:]
        self.left.append((*flow.out, data, flow.target))
        return True


class Rig:
    """One worker. `memory` and `engine` outlive it."""

    def __init__(self, *, memory: bytearray | None = None, engine: Engine | None = None, own: str = "") -> None:
        self.now = 1000.0
        self.left: list[tuple[str, int, bytes, Source]] = []
        self.memory = bytearray(SLOTS * SLOT_OCTETS) if memory is None else memory
        self.slots = Slots(self.memory, 0, SLOTS)
        self.inlets: dict[int, Inlet] = {}
        self.asides: dict[int, Lane] = {}
        self.said: list[wire.Reply] = []
        self.pairs: dict[tuple[str, int], Pair] = {}
        self.sockets: dict[tuple[str, int], Socket] = {}
        for local in (INSIDE, OUTSIDE, "2001:db8::1"):
            for port in (20000, 20002):
                some = [Socket(len(self.sockets) + i, self.left, local, port + i) for i in (0, 1)]
                self.sockets |= {(local, port + i): some[i] for i in (0, 1)}
                self.pairs[local, port] = Pair(local, port, *some)
        self.around = Surroundings(
            lambda end: self.pairs[end.local, end.port],
            self,
            Agenda(),
            lambda: self.now,
            self.said.append,
            self.slots,
            own=frozenset({INSIDE, OUTSIDE, own}),
            dscp=lambda _socket: 46,
        )
        if engine is not None:
            self.around.engine = engine
        self.sessions: dict[str, Session] = {}

    def plugs(self) -> Plugs:
        plugs = Plugs()
        self.around.connector = plugs  # type: ignore[assignment]
        return plugs

    def beside(self, one: Udp, lane: Lane) -> None:
        self.asides[one.fileno()] = lane

    def kernel(self) -> Kernel:
        engine = self.around.engine = Kernel(self.memory, self.left)
        return engine

    def set(self, one: Udp, inlet: Inlet) -> None:
        self.inlets[one.fileno()] = inlet

    def unset(self, one: Udp) -> None:
        self.inlets.pop(one.fileno(), None)
        self.asides.pop(one.fileno(), None)

    def wait(self, seconds: float) -> None:
        """What is booked has its time."""
        end = self.now + seconds
        while self.now < end:
            self.now += 0.25
            self.around.agenda.tick(self.now)

    def put(
        self, *streams: wire.Stream, ref: str = "a", resumed: bool = False, early: bool = False, moved: bool = False
    ) -> Session:
        put = wire.PutSession(ref, 1, streams, resumed, early)
        session = self.sessions.setdefault(ref, Session(put))
        session.put = put
        pairs = [self.pairs[end.local, end.port] for one in streams for end in (one.ingress, one.egress)]
        robbed = {pair.owner for pair in pairs} - {"", ref}
        came = [pair for pair in pairs if pair.owner != ref]
        for pair in pairs:
            pair.owner = ref
        for other in robbed:
            self.sessions[other].rewire(self.around)
        session.rewire(self.around, came if moved else ())
        return session

    def arrives(self, local: str, port: int, data: bytes, source: Source, *, read: bool = True) -> None:
        """A packet comes to one of our ports, and the loop has its turn."""
        engine = self.around.engine
        if isinstance(engine, Kernel) and engine.takes(local, port, data, source, self.now):
            return
        one = self.sockets[local, port]
        if one.aside is not None and source != one.peer:
            one = one.aside
        one.queue.append((data, source))
        if read:
            self.turn()

    def turn(self, budget: int = 1) -> None:
        while True:
            waiting = [inlet for n, inlet in self.inlets.items() if self._socket(n).queue]
            if not waiting:
                break
            for inlet in waiting:
                relay(inlet, budget)
        for lane in list(self.asides.values()):
            relay_ready(repeat((0, 0), 100), (lane,), {}, int(self.now * 1e9), is_drained=True)

    def _socket(self, number: int) -> Socket:
        return next(one for one in self.sockets.values() if one.number == number)

    def talks(self, first: int, last: int, source: Source = PBX, payload_type: int = PCMA, ssrc: int = 7) -> None:
        """Packets first to last of the PBX, one each 20 ms."""
        for n in range(first, last + 1):
            self.now += 0.02
            self.arrives(INSIDE, 20000, rtp(n, payload_type, ssrc=ssrc), source)

    def at(self, where: Source) -> list[bytes]:
        return [data for _, _, data, to in self.left if to == where]

    def numbers(self, where: Source = CARRIER) -> list[int]:
        return [int.from_bytes(data[2:4]) for data in self.at(where)]

    def count(self, ref: str = "a", stream: int = 0) -> wire.StreamCount:
        return self.sessions[ref].counts()[stream]


def ingress(stream: wire.Stream = STREAM, **changes: object) -> wire.Stream:
    return replace(stream, ingress=replace(stream.ingress, **changes))


def egress(stream: wire.Stream = STREAM, **changes: object) -> wire.Stream:
    return replace(stream, egress=replace(stream.egress, **changes))
