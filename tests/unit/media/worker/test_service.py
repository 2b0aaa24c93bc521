"""What the wire contract cannot show: the state of the sockets themselves. The contract: tests/machines."""

import struct

import pytest

from sbc.media import wire
from sbc.media.mute import mute, unmute
from sbc.media.worker.ports import Udp
from sbc.media.worker.relay import Inlet
from sbc.media.worker.service import Service

INSIDE, OUTSIDE = "192.0.2.1", "2001:db8::1"
FAR = {INSIDE: wire.Remote("192.0.2.30", 4000, 4001), OUTSIDE: wire.Remote("2001:db8::40", 5000, 5001)}
ATTACH, DETACH = 26, 27


class Socket:
    """Knows whether it is muted and what was read from its queue."""

    def __init__(self, number: int, *, waiting: int = 0) -> None:
        self.number = number
        self.waiting = waiting
        self.is_muted = True
        self.is_moving = False
        self.errors: list[OSError] = []

    def fileno(self) -> int:
        return self.number

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, tuple[str, int]]:
        assert self.is_muted or self.is_moving, "drained while more can come"
        if self.errors:
            raise self.errors.pop()
        if not self.waiting:
            raise BlockingIOError
        self.waiting -= 1
        return 1, ("203.0.113.66", 1)

    def sendto(self, data: bytes | memoryview, address: tuple[str, int]) -> int:
        raise NotImplementedError

    def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
        assert level == 1
        assert option in (ATTACH, DETACH)
        if option == DETACH and not self.is_muted:
            raise FileNotFoundError(2, "no filter")
        self.is_muted = option == ATTACH


class Watched(set[int]):
    """Of which sockets the poller was told."""

    def set(self, socket: Udp, inlet: Inlet) -> None:
        self.add(socket.fileno())

    def unset(self, socket: Udp) -> None:
        self.discard(socket.fileno())


class Worker:
    def __init__(self) -> None:
        self.watched = Watched()
        self.now = 1000.0
        self.service = Service(self.watched, lambda: self.now)
        self.sockets = {local: [Socket(n + i) for i in range(4)] for n, local in ((10, INSIDE), (20, OUTSIDE))}
        for local, sockets in self.sockets.items():
            assert self.service.receive(wire.encode(wire.AddPorts(local, (20000, 20002))), sockets) == []

    def put(self, ref: str = "a", generation: int = 1, *, port: int = 20000, resumed: bool = False) -> None:
        ingress, egress = (wire.End(local, port, FAR[local]) for local in (INSIDE, OUTSIDE))
        put = wire.PutSession(ref, generation, (wire.Stream(ingress, egress),), resumed)
        assert self.service.receive(wire.encode(put)) == []

    def delete(self, ref: str) -> None:
        self.service.receive(wire.encode(wire.DeleteSession(ref)))

    def unmuted(self) -> set[int]:
        return {one.number for sockets in self.sockets.values() for one in sockets if not one.is_muted}


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_only_the_ports_of_a_session_are_watched_and_heard(worker: Worker) -> None:
    assert worker.watched == worker.unmuted() == set()
    worker.put()
    assert worker.watched == worker.unmuted() == {10, 11, 20, 21}
    worker.put(generation=2, port=20002)
    assert worker.watched == worker.unmuted() == {12, 13, 22, 23}
    worker.delete("a")
    assert worker.watched == worker.unmuted() == set()


def test_what_waits_in_a_port_that_a_session_takes_is_thrown_away(worker: Worker) -> None:
    one = worker.sockets[INSIDE][0]
    one.waiting = 3
    one.errors = [ConnectionRefusedError()]
    worker.put()
    assert one.waiting == 0


def test_what_waits_for_a_session_whose_worker_died_is_kept(worker: Worker) -> None:
    one = worker.sockets[INSIDE][0]
    one.waiting, one.is_muted = 3, False
    worker.put(resumed=True)
    assert one.waiting == 3


def test_what_waits_for_a_running_session_is_kept_when_it_is_put_again(worker: Worker) -> None:
    worker.put()
    worker.sockets[INSIDE][0].waiting = 3
    worker.put(generation=2)
    assert worker.sockets[INSIDE][0].waiting == 3


def test_a_robbed_session_leaves_the_port_alone_when_it_ends(worker: Worker) -> None:
    worker.put("a")
    for sockets in worker.sockets.values():
        for one in sockets:
            one.is_moving = True
    worker.put("b")
    worker.delete("a")
    assert worker.watched == worker.unmuted() == {10, 11, 20, 21}


def test_ports_without_their_descriptors_are_refused(worker: Worker) -> None:
    (refused,) = worker.service.receive(wire.encode(wire.AddPorts(INSIDE, (20004,))), [Socket(1)])
    assert isinstance(refused, wire.Refused)
    assert "1 port pairs on 192.0.2.1 came with 1 descriptors" in refused.reason


def test_ports_that_come_twice_stay_as_they_are(worker: Worker) -> None:
    worker.put()
    assert worker.service.receive(wire.encode(wire.AddPorts(INSIDE, (20000,))), [Socket(98), Socket(99)]) == []
    worker.delete("a")
    worker.now += 30
    worker.put("b")
    assert worker.watched == {10, 11, 20, 21}


def test_muting_attaches_a_filter_of_one_instruction_that_lets_nothing_in() -> None:
    told: list[tuple[int, int, bytes | int]] = []

    class Recorder:
        def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
            told.append((level, option, value))

    mute(Recorder())
    unmute(Recorder())
    (_, attach, program), (_, detach, _) = told
    assert (attach, detach) == (ATTACH, DETACH)
    assert isinstance(program, bytes)
    assert struct.unpack("@HP", program)[0] == 1


def test_an_error_other_than_not_being_muted_is_not_hidden() -> None:
    class Broken:
        def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
            raise OSError(9, "bad descriptor")

    with pytest.raises(OSError, match="bad descriptor"):
        unmute(Broken())
