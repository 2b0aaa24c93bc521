"""Media sockets that are connected to their far ends: real sockets, the worker's own parts, a clock of ours."""

import contextlib
import os
import random
import resource
import socket
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from sbc.media import wire
from sbc.media.worker.connecting import SystemConnector
from sbc.media.worker.poller import Poller
from sbc.media.worker.relay import relay_ready
from sbc.media.worker.service import Service
from sbc.media.worker.slots import SLOT_OCTETS, SLOTS, Memory
from sbc.runtime.media_sockets import Pair, open_media_socket, open_pairs

pytestmark = pytest.mark.loopback

LOCAL = ("127.0.0.11", "127.0.0.21")
FAR = ("127.0.0.31", "127.0.0.41")
STRANGER = "127.0.0.66"
PORTS = (40_000, 48_000)
REFUSED = 111


def rtp(n: int, ssrc: int = 7) -> bytes:
    return struct.pack("!BBHII", 0x80, 8, n & 0xFFFF, n * 160 & 0xFFFF_FFFF, ssrc) + bytes(160)


class Far:
    """A far end. Its numbers go on."""

    def __init__(self, host: str, port: int = 0) -> None:
        self.socket = open_media_socket(host, port)
        self.sent = 0

    @property
    def remote(self) -> wire.Remote:
        host, port = self.socket.getsockname()[:2]
        return wire.Remote(host, port, 0)

    def speaks(self, pair: Pair, packets: int = 1) -> None:
        for _ in range(packets):
            self.sent += 1
            self.socket.sendto(rtp(self.sent), (pair.local, pair.port))

    def heard(self) -> list[int]:
        numbers: list[int] = []
        with contextlib.suppress(BlockingIOError):
            numbers.extend(int.from_bytes(self.socket.recv(2048)[2:4]) for _ in range(10_000))
        return numbers


class Worker:
    """What `main` puts together, on sockets that outlive it, and a clock of ours."""

    def __init__(self, pairs: Sequence[Pair], memory: Memory, now: float = 1000.0) -> None:
        self.now = now
        self.poller = Poller()
        self.service = Service(self.poller, lambda: self.now, memory, None, SystemConnector())
        self.sockets: list[socket.socket] = []
        for pair in pairs:
            self.add(pair)

    def add(self, pair: Pair) -> None:
        mine = [socket.socket(fileno=os.dup(one.fileno())) for one in (pair.rtp, pair.rtcp)]
        for one in mine:
            one.setblocking(False)
        self.sockets += mine
        self.ask(wire.AddPorts(pair.local, (pair.port,)), mine)

    def ask(self, request: wire.Request, sockets: Sequence[socket.socket] = ()) -> list[wire.Reply]:
        return self.service.receive(wire.encode(request), sockets)

    def turns(self, seconds: float = 0.0) -> int:
        """The loop, until nothing is ready and so much time has gone by. Returns how many events there were."""
        events = self._relay()
        end = self.now + seconds
        while self.now < end:
            self.now += 0.5
            self.service.agenda.tick(self.now)
            events += self._relay()
        return events

    def _relay(self) -> int:
        for turn in range(10_000):
            events = self.poller.epoll.poll(0)
            if not events:
                return turn
            relay_ready(events, self.poller.lanes, self.poller.others, int(self.now * 1e9))
        raise AssertionError("the loop spins")

    def count(self) -> wire.StreamCount:
        (report,) = self.ask(wire.Query("call"))
        assert isinstance(report, wire.Report)
        return report.sessions[0].streams[0]

    def dies(self) -> None:
        """As by SIGKILL: nothing is undone, the kernel closes what was this process's alone."""
        self.poller.epoll.close()
        for lane in self.poller.lanes:
            if lane is not None:
                lane.recv_from.__self__.close()  # type: ignore[attr-defined]
        for one in self.sockets:
            one.close()


class Call:
    def __init__(self, local: Sequence[str] = LOCAL, far: Sequence[str] = FAR) -> None:
        self.pairs = [open_pairs(host, PORTS, 1, (), random.randrange)[0] for host in local]
        self.pbx, self.carrier = (Far(host) for host in far)
        self.memory = bytearray(SLOTS * SLOT_OCTETS)
        self.worker = Worker(self.pairs, self.memory)
        self.generation = 0

    def put(self, latching: wire.Latching = "address", *, resumed: bool = False, epoch: int = 0) -> None:
        self.generation += 1
        ends = [
            wire.End(pair.local, pair.port, far.remote, latching, ("127.0.0.0/8",), epoch)
            for pair, far in zip(self.pairs, (self.pbx, self.carrier), strict=True)
        ]
        assert self.worker.ask(wire.PutSession("call", self.generation, (wire.Stream(*ends),), resumed)) == []
        self.worker.ask(wire.Synced())

    def talks(self, packets: int = 3) -> None:
        """Both ways, and all of it is heard in order."""
        before = self.pbx.sent, self.carrier.sent
        self.pbx.speaks(self.pairs[0], packets)
        self.carrier.speaks(self.pairs[1], packets)
        self.worker.turns()
        assert self.carrier.heard() == list(range(before[0] + 1, self.pbx.sent + 1))
        assert self.pbx.heard() == list(range(before[1] + 1, self.carrier.sent + 1))

    def connects(self) -> None:
        self.talks()
        self.worker.turns(2.5)
        assert [is_connected(pair.rtp) for pair in self.pairs] == [True, True]

    def close(self) -> None:
        self.worker.dies()
        for one in (*self.pairs, self.pbx.socket, self.carrier.socket):
            one.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def is_connected(one: socket.socket) -> bool:
    try:
        one.getpeername()
    except OSError:
        return False
    return True


@pytest.fixture
def call() -> Iterator[Call]:
    one = Call()
    try:
        yield one
    finally:
        one.close()


def test_sockets_are_connected_after_a_second_and_relied_on_after_two(call: Call) -> None:
    call.put()
    call.talks()
    call.worker.turns(0.5)
    assert not is_connected(call.pairs[0].rtp)
    call.worker.turns(1.0)
    assert is_connected(call.pairs[0].rtp)
    assert not any(lane.recv for lane in call.worker.poller.lanes if lane)
    call.talks()
    call.worker.turns(1.0)
    assert len([lane for lane in call.worker.poller.lanes if lane and lane.recv and lane.send]) == 2
    call.talks(100)
    count = call.worker.count()
    assert (count.ingress.received, count.egress.received, count.ingress.lost) == (106, 106, 0)
    assert not any(is_connected(pair.rtcp) for pair in call.pairs)


@pytest.mark.parametrize("latching", ["strict", "address", "nat"])
def test_strangers_are_dropped_and_counted_all_the_same(call: Call, latching: wire.Latching) -> None:
    call.put(latching)
    call.connects()
    stranger, neighbour = Far(STRANGER), Far(FAR[0])  # from elsewhere, and from another port of the same host
    for one in (stranger, neighbour):
        one.sent = call.pbx.sent  # the very next packet of the stream
        one.speaks(call.pairs[0], 10)
        one.socket.sendto(b"", (call.pairs[0].local, call.pairs[0].port))
        one.socket.close()
    call.worker.turns(3.0)
    assert call.carrier.heard() == []
    assert call.worker.count().ingress.foreign == 22
    call.talks()


def test_what_was_queued_before_is_relayed_in_order_and_strangers_stay_strangers(
    call: Call,
) -> None:
    call.put()
    call.talks()
    stranger = Far(STRANGER)
    for _ in range(30):
        call.pbx.speaks(call.pairs[0])
        stranger.speaks(call.pairs[0])
    call.worker.now += 1.0
    call.worker.service.agenda.tick(call.worker.now)
    assert is_connected(call.pairs[0].rtp)
    call.pbx.speaks(call.pairs[0], 30)
    call.worker.turns(2.0)
    assert call.carrier.heard() == list(range(4, 64))
    count = call.worker.count().ingress
    assert (count.foreign, count.lost, count.reordered, count.duplicates) == (30, 0, 0, 0)
    stranger.socket.close()


def test_a_far_end_that_starts_again_is_heard_and_hears_without_anything_being_done(call: Call) -> None:
    call.put()
    call.connects()
    port = call.carrier.socket.getsockname()[1]
    call.carrier.socket.close()
    for _ in range(20):
        call.pbx.speaks(call.pairs[0])
        assert call.worker.turns(0.5) < 20, "a refusal that the network reports does not make the loop spin"
    sent = call.carrier.sent
    call.carrier = Far(FAR[1], port)
    call.carrier.sent = sent
    call.talks()
    call.talks()
    assert call.worker.count().ingress.lost == 0


def test_one_that_only_listens_is_connected_too_and_its_first_packet_is_heard(call: Call) -> None:
    call.put()
    call.pbx.speaks(call.pairs[0])
    call.worker.turns(3.0)
    assert call.carrier.heard() == [1]
    assert is_connected(call.pairs[1].rtp)
    call.talks()
    call.worker.turns(3.0)
    call.talks()


def test_one_that_sends_from_another_port_than_its_description_says_stays_unconnected(call: Call) -> None:
    call.put()
    other = Far(FAR[0])
    other.speaks(call.pairs[0], 10)
    call.worker.turns(3.0)
    other.speaks(call.pairs[0], 10)
    call.worker.turns()
    assert call.carrier.heard() == list(range(1, 21))
    assert not is_connected(call.pairs[0].rtp)
    other.socket.close()


def test_one_that_turns_up_at_another_port_later_is_learned_beside_and_connected_anew(call: Call) -> None:
    call.put("nat")
    call.worker.turns(3.0)
    assert is_connected(call.pairs[0].rtp), "to where it is described: nothing has come from there yet"
    call.put("nat", epoch=1)
    call.worker.turns(2.5)
    mapped = Far(FAR[0])
    mapped.speaks(call.pairs[0], 6)
    call.worker.turns()
    assert call.carrier.heard() == [1, 2, 3, 4, 5, 6]
    mapped.speaks(call.pairs[0], 20)
    call.worker.service.agenda.tick(call.worker.now)
    assert not is_connected(call.pairs[0].rtp)
    mapped.speaks(call.pairs[0], 20)
    call.worker.turns(1.0)
    assert call.carrier.heard() == list(range(7, 47)), "nothing is lost or changes places on the way back"
    call.worker.turns(15.0)
    assert call.pairs[0].rtp.getpeername() == mapped.socket.getsockname()
    mapped.speaks(call.pairs[0], 6)
    call.carrier.speaks(call.pairs[1], 2)
    call.worker.turns()
    assert (call.carrier.heard(), mapped.heard()) == (list(range(47, 53)), [1, 2])
    call.pbx.speaks(call.pairs[0], 3)
    call.worker.turns()
    assert call.carrier.heard() == []
    mapped.socket.close()


def test_a_new_description_is_believed_at_once(call: Call) -> None:
    call.put()
    call.connects()
    former, call.pbx = call.pbx, Far("127.0.0.32")
    call.put(epoch=1)
    assert not is_connected(call.pairs[0].rtp)
    call.connects()
    former.speaks(call.pairs[0], 5)
    call.worker.turns()
    assert call.carrier.heard() == []
    assert call.worker.count().ingress.foreign == 5
    former.socket.close()


def test_when_the_call_is_over_nothing_of_it_stays_with_the_sockets(call: Call) -> None:
    before = descriptors()
    call.put()
    call.connects()
    assert descriptors() == before + 2
    call.worker.ask(wire.DeleteSession("call"))
    assert descriptors() == before
    for pair in call.pairs:
        assert not is_connected(pair.rtp)
        assert pair.rtp.getsockname() == (pair.local, pair.port)
        assert not pair.rtp.getsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT)


def test_no_other_program_can_share_the_port_at_any_time(call: Call) -> None:
    def is_shared() -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            try:
                other.bind((call.pairs[0].local, call.pairs[0].port))
            except OSError:
                return False
            return True

    call.put()
    assert not is_shared()
    call.connects()
    assert not is_shared()
    call.worker.ask(wire.DeleteSession("call"))
    assert not is_shared()


def test_what_a_killed_worker_has_connected_the_next_one_undoes_and_loses_nothing(call: Call) -> None:
    call.put()
    call.connects()
    call.worker.dies()
    assert is_connected(call.pairs[0].rtp), "whoever keeps the ports has it still"
    call.pbx.speaks(call.pairs[0], 20)
    call.worker = Worker(call.pairs, call.memory, call.worker.now + 0.1)
    assert not is_connected(call.pairs[0].rtp)
    stranger = Far(STRANGER)
    stranger.speaks(call.pairs[0], 5)
    call.put(resumed=True)
    call.pbx.speaks(call.pairs[0], 20)
    call.worker.turns()
    assert call.carrier.heard() == list(range(4, 44))
    assert call.worker.count().ingress.foreign == 5
    call.connects()
    stranger.socket.close()


def test_what_a_killed_worker_has_connected_does_not_keep_the_next_call_from_being_heard(call: Call) -> None:
    call.put()
    call.connects()
    call.worker.dies()
    call.worker = Worker(call.pairs, bytearray(SLOTS * SLOT_OCTETS))
    for one in (call.pbx.socket, call.carrier.socket):
        one.close()
    call.pbx, call.carrier = Far("127.0.0.33"), Far("127.0.0.43")
    call.put()
    call.connects()


def test_signalling_that_gives_the_same_ports_again_changes_nothing(call: Call) -> None:
    call.put()
    call.connects()
    call.worker.add(call.pairs[0])
    assert is_connected(call.pairs[0].rtp)
    call.talks()


def test_ports_that_another_worker_has_now_are_left_as_they_are(call: Call) -> None:
    before = descriptors()
    call.put()
    call.connects()
    call.worker.ask(wire.DropPorts(call.pairs[0].local, (call.pairs[0].port,)))
    assert is_connected(call.pairs[0].rtp), "by whom, is not known any more"
    assert not is_connected(call.pairs[1].rtp)
    assert descriptors() == before - 2


def test_without_descriptors_to_spare_it_goes_on_as_before(call: Call) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors() + 2, limits[1]))
    call.worker.dies()
    try:
        call.worker = Worker(call.pairs[:0], call.memory)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    for pair in call.pairs:
        call.worker.add(pair)
    call.put()
    call.talks()
    call.worker.turns(3.0)
    assert not is_connected(call.pairs[0].rtp)
    call.talks()


def test_where_descriptors_become_short_they_are_given_back(call: Call) -> None:
    call.put()
    call.connects()
    before = descriptors()
    connector = call.worker.service._around.connector
    assert isinstance(connector, SystemConnector)
    connector._ceiling = 4
    call.worker.turns(15.0)
    assert descriptors() == before - 2
    assert not is_connected(call.pairs[0].rtp)
    call.talks()


def test_where_a_socket_may_not_be_freed_none_is_connected_any_more(
    call: Call, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sbc.media.worker.breakage._said", set())
    connector = SystemConnector()
    connected = connector.connect(call.pairs[0].rtp, call.pbx.socket.getsockname())
    assert connected
    connected.aside.close()
    forbidden = SimpleNamespace(connect=lambda *_: -1)
    with monkeypatch.context() as patch:
        patch.setattr("ctypes.CDLL", lambda *_, **__: forbidden)
        connector.disconnect(call.pairs[0].rtp)
    assert connector.is_short()
    assert connector.connect(call.pairs[1].rtp, call.carrier.socket.getsockname()) is None
    assert capsys.readouterr().err.startswith("the media worker goes on after: ")


def test_ipv6_is_no_exception() -> None:
    call = Call(("::1", "127.0.0.21"), ("::1", "127.0.0.41"))
    call.put()
    call.connects()
    stranger = Far("::1")
    stranger.speaks(call.pairs[0], 5)
    call.worker.turns()
    assert call.carrier.heard() == []
    assert call.worker.count().ingress.foreign == 5
    call.talks(50)
    assert [lane.recv is not None for lane in call.worker.poller.lanes if lane].count(True) == 2
    stranger.socket.close()
    call.close()
