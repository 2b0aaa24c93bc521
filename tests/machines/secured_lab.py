"""Signalling's client and the whole worker in memory, with far ends that speak SRTP or RTP. Workers die at will."""

from collections import deque
from itertools import repeat

from msgspec.structs import replace

from sbc.core.address import Address
from sbc.media import wire
from sbc.media.client import MediaClient, Outgoing
from sbc.media.worker.inlet import Inlet
from sbc.media.worker.lane import Lane
from sbc.media.worker.relay import relay_ready
from sbc.media.worker.service import Service
from sbc.media.worker.srtp_memory import BEHIND, OCTETS
from sbc.testing.srtp import CM_80, SecuredFar, master_key

from .worker_subjects import MemorySocket

INSIDE, OUTSIDE = "192.0.2.1", "198.51.100.1"
PBX, CARRIER = Address("192.0.2.30", 4000), Address("198.51.100.40", 5000)
PBX_RTCP, CARRIER_RTCP = Address("192.0.2.30", 4001), Address("198.51.100.40", 5001)
PORTS = (20000, 20002)


class Lab:
    """`memory` outlives the worker. `kept` False: the memory is lost with it."""

    def __init__(self, *, kept: bool = True, dtls: wire.DtlsIdentity | None = None) -> None:
        self.now = 1000.0
        self.memory = bytearray(BEHIND + OCTETS) if kept else None
        self.client = MediaClient(wire.Configure("lab", "userland", own=(INSIDE, OUTSIDE), dtls=dtls))
        self.sent: list[tuple[Address, Address, bytes]] = []
        self.sockets: dict[Address, MemorySocket] = {}
        self.lanes: dict[int, Lane] = {}
        self.said: list[wire.Reply] = []
        self.generation = 0
        for local in (INSIDE, OUTSIDE):
            for port in PORTS:
                for at in (port, port + 1):
                    self.sockets[Address(local, at)] = MemorySocket(Address(local, at), self.sent)
            self.client.ports_opened(local, PORTS)
        self.start()

    # --- the worker -----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """A worker, and everything is said again. What is kept in memory, the former one wrote."""
        self.lanes.clear()
        self.service = Service(self, lambda: self.now, self.memory)
        self.continues = self.memory is not None
        self.deliver(self.client.worker_started(continues=self.continues))

    def restart(self) -> None:
        self.client.worker_lost()
        self.start()

    def deliver(self, messages: list[Outgoing]) -> None:
        for message in messages:
            sockets = [self.sockets[Address(message.local, port + i)] for port in message.ports for i in (0, 1)]
            for reply in self.service.receive(message.data, sockets):
                self.take(reply)

    def take(self, reply: wire.Reply) -> None:
        self.said += self.client.received(wire.encode(reply))

    def set(self, socket: MemorySocket, inlet: Inlet) -> None:
        self.lanes[socket.fileno()] = inlet.lane

    def beside(self, socket: MemorySocket, lane: Lane) -> None:
        raise NotImplementedError

    def unset(self, socket: MemorySocket) -> None:
        self.lanes.pop(socket.fileno(), None)

    def put(self, *streams: wire.Stream, ref: str = "a", early: bool = False) -> None:
        self.generation += 1
        self.deliver(self.client.ask(wire.PutSession(ref, self.generation, streams, early=early)))

    def delete(self, ref: str = "a") -> None:
        self.deliver(self.client.ask(wire.DeleteSession(ref)))

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.now = min(self.now + 0.25, end)
            self.service.agenda.tick(self.now)
            self.hear_news()

    def hear_news(self) -> None:
        for reply in self.service.news[:]:
            self.take(reply)
        self.service.news.clear()

    # --- packets --------------------------------------------------------------------------------------------------

    def sends(self, source: Address, to: Address, data: bytes) -> list[bytes]:
        """What leaves by it, wherever to."""
        self.sent.clear()
        self.arrives(source, to, data)
        return [packet for _, _, packet in self.sent]

    def arrives(self, source: Address, to: Address, data: bytes) -> None:
        one = self.sockets[to]
        one.arrive(data, source)
        lane = self.lanes.get(one.fileno())
        if lane is not None:
            relay_ready(repeat((0, 0), 32), (lane,), {}, int(self.now * 1e9), is_drained=True)

    def from_pbx(self, data: bytes) -> list[bytes]:
        return self.sends(PBX, Address(INSIDE, 20000), data)

    def from_carrier(self, data: bytes) -> list[bytes]:
        return self.sends(CARRIER, Address(OUTSIDE, 20000), data)

    def count(self, ref: str = "a") -> wire.StreamCount:
        self.said.clear()
        self.deliver(self.client.ask(wire.Query(ref)))
        (report,) = (one for one in self.said if isinstance(one, wire.Report))
        return report.sessions[0].streams[0]


def far(suite: str = CM_80, seed: int = 1, mki: bytes = b"") -> SecuredFar:
    return SecuredFar(suite, master_key(suite, 2 * seed, mki), master_key(suite, 2 * seed + 1, mki))


Keys = SecuredFar | wire.Crypto | wire.Dtls | None


def stream(pbx: Keys, carrier: Keys, *, i: int = 0) -> wire.Stream:
    """None: plain RTP there."""
    ingress = wire.End(INSIDE, PORTS[i], wire.Remote(PBX.host, PBX.port, PBX_RTCP.port))
    egress = wire.End(OUTSIDE, PORTS[i], wire.Remote(CARRIER.host, CARRIER.port, CARRIER_RTCP.port))
    return wire.Stream(replace(ingress, secured=_crypto(pbx)), replace(egress, secured=_crypto(carrier)))


def _crypto(one: Keys) -> wire.Crypto | wire.Dtls | None:
    return one.crypto if isinstance(one, SecuredFar) else one


class Talk:
    """A stream of packets from one end to the other: what is said, and whether it arrived as it was."""

    def __init__(self, speaker: SecuredFar | None, listener: SecuredFar | None) -> None:
        self.speaker, self.listener = speaker, listener
        self.heard: deque[bytes] = deque(maxlen=1000)

    def leaves(self, packet: bytes) -> bytes:
        return packet if self.speaker is None else self.speaker.rtp(packet)

    def arrived(self, packets: list[bytes]) -> list[bytes]:
        plain = [one if self.listener is None else self.listener.opened(one) for one in packets]
        return [one for one in plain if one is not None]
