"""Two calls made one: a leg's port pair goes on in another session, and what it heard meanwhile is not lost."""

from collections import deque

import pytest

from sbc.media import wire
from sbc.media.client import MediaClient
from sbc.media.worker.ports import Udp
from sbc.media.worker.relay import Inlet, relay
from sbc.media.worker.service import Service

LOCAL = "192.0.2.1"
A, B, C, D = (wire.Remote(f"192.0.2.{n}", 4000, 4001) for n in (30, 31, 32, 33))
ATTACH = 26


class Socket:
    """Keeps what comes, as the kernel does, unless it is muted."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.queue: deque[tuple[bytes, tuple[str, int]]] = deque()
        self.sent: list[tuple[int, tuple[str, int]]] = []
        self.is_muted = True

    def fileno(self) -> int:
        return self.number

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, tuple[str, int]]:
        if not self.queue:
            raise BlockingIOError
        data, source = self.queue.popleft()
        buffer[: len(data)] = data
        return len(data), source

    def sendto(self, data: bytes | memoryview, address: tuple[str, int]) -> int:
        self.sent.append((data[3], address))
        return len(data)

    def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
        self.is_muted = option == ATTACH

    def close(self) -> None:
        pass


class Worker:
    """Port pairs 20000 to 20006, one for each of A to D; `a` is a call of A and B, `b` one of C and D."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.inlets: dict[int, Inlet] = {}
        self.sockets = [Socket(n) for n in range(8)]
        self.service = Service(self, lambda: self.now)
        ports = tuple(range(20000, 20008, 2))
        assert self.service.receive(wire.encode(wire.AddPorts(LOCAL, ports)), self.sockets) == []
        self.put("a", A, B)

    def set(self, one: Udp, inlet: Inlet) -> None:
        self.inlets[one.fileno()] = inlet

    def unset(self, one: Udp) -> None:
        self.inlets.pop(one.fileno(), None)

    def say(self, request: wire.Request) -> list[wire.Reply]:
        return self.service.receive(wire.encode(request))

    def put(self, ref: str, one: wire.Remote, other: wire.Remote, generation: int = 1, *, early: bool = False) -> None:
        assert self.say(session(ref, one, other, generation, early=early)) == []

    def delete(self, ref: str) -> wire.SessionEnded:
        (ended,) = self.say(wire.DeleteSession(ref))
        assert isinstance(ended, wire.SessionEnded)
        return ended

    def sends(self, who: wire.Remote, *numbers: int) -> None:
        """Packets of this far end reach its port."""
        one = self.sockets[2 * _place(who)]
        if not one.is_muted:
            one.queue.extend((bytes((128, 0, 0, n)) + bytes(168), (who.host, who.port)) for n in numbers)

    def turn(self) -> None:
        """The loop reads what it watches."""
        for inlet in list(self.inlets.values()):
            relay(inlet, 32)

    def got(self, who: wire.Remote) -> list[int]:
        return [n for n, to in self.sockets[2 * _place(who)].sent if to == (who.host, who.port)]

    def counts(self, ref: str) -> wire.StreamCount:
        (report,) = self.say(wire.Query(ref))
        assert isinstance(report, wire.Report)
        return report.sessions[0].streams[0]


def _place(who: wire.Remote) -> int:
    return [A, B, C, D].index(who)


def session(
    ref: str, one: wire.Remote, other: wire.Remote, generation: int = 1, *, early: bool = False
) -> wire.PutSession:
    ends = [wire.End(LOCAL, 20000 + 2 * _place(who), who, "strict") for who in (one, other)]
    if early:
        ends[1] = wire.End(LOCAL, ends[1].port, None, "strict")
    return wire.PutSession(ref, generation, (wire.Stream(*ends),), early=early)


@pytest.fixture
def worker() -> Worker:
    made = Worker()
    made.put("b", C, D)
    return made


def _first_put(worker: Worker) -> None:
    worker.put("a", A, D, 2)
    worker.delete("b")


def _first_delete(worker: Worker) -> None:
    worker.delete("b")
    worker.put("a", A, D, 2)


@pytest.mark.parametrize("merge", [_first_put, _first_delete])
def test_what_waits_goes_on_to_the_new_partner(worker: Worker, merge) -> None:  # type: ignore[no-untyped-def]
    worker.sends(D, 1, 2)
    worker.sends(A, 3)
    merge(worker)
    worker.turn()
    worker.sends(D, 4)
    worker.sends(A, 5)
    worker.turn()
    assert worker.got(A) == [1, 2, 4]
    assert worker.got(D) == [3, 5]
    assert worker.got(B) == worker.got(C) == []
    assert set(worker.inlets) == {0, 1, 6, 7}


def test_a_pair_that_moves_is_never_mute_where_the_heir_is_put_first(worker: Worker) -> None:
    worker.put("a", A, D, 2)
    worker.sends(D, 1)
    worker.delete("b")
    worker.sends(D, 2)
    worker.turn()
    assert worker.got(A) == [1, 2]


def test_what_was_counted_stays_and_what_moved_begins_at_zero(worker: Worker) -> None:
    worker.sends(D, 1, 2)
    worker.sends(A, 3)
    worker.turn()
    worker.put("a", A, D, 2)
    worker.sends(D, 4)
    worker.turn()
    assert worker.delete("b").streams[0].egress.received == 2
    count = worker.counts("a")
    assert (count.ingress.received, count.ingress.sent) == (1, 1)
    assert (count.egress.received, count.egress.sent) == (1, 0)


def test_much_that_waited_in_an_early_call_is_cut_to_its_newest(worker: Worker) -> None:
    worker.put("b", C, D, 2, early=True)
    worker.sends(D, *range(100))
    worker.turn()
    assert worker.got(C) == []
    worker.put("a", A, D, 2)
    worker.turn()
    assert worker.got(A) == [96, 97, 98, 99]


def test_strangers_that_waited_are_not_let_in(worker: Worker) -> None:
    worker.sockets[6].queue.append((bytes((128, 0, 0, 1)) + bytes(168), ("203.0.113.66", 4000)))
    worker.put("a", A, D, 2)
    worker.turn()
    assert worker.got(A) == []


def test_a_pair_that_has_rested_brings_nothing(worker: Worker) -> None:
    worker.sends(D, 1)
    worker.delete("b")
    worker.now += 2.0
    worker.put("a", A, D, 2)
    worker.turn()
    assert worker.got(A) == []


def test_the_partner_that_is_left_behind_is_silent_until_its_call_ends(worker: Worker) -> None:
    worker.put("a", A, D, 2)
    worker.sends(C, 1)
    worker.turn()
    assert worker.got(D) == worker.got(A) == []
    assert worker.delete("b").streams[0].ingress.dropped == 1


def test_a_worker_that_is_replaced_between_the_two_messages_is_told_the_same() -> None:
    client = MediaClient()
    client.ports_opened(LOCAL, range(20000, 20008, 2))
    client.worker_started()
    for put in (session("a", A, B), session("b", C, D), session("a", A, D, 2)):
        client.ask(put)
    client.worker_lost()
    again = [wire.decode_request(message.data) for message in client.worker_started()]
    puts = [request for request in again if isinstance(request, wire.PutSession)]
    assert [(put.ref, put.generation, put.resumed) for put in puts] == [("b", 1, True), ("a", 2, True)]


@pytest.mark.parametrize(("in_use", "brought"), [(True, [7]), (False, [])])
def test_a_leg_that_comes_from_another_worker_brings_what_waits(in_use: bool, brought: list[int]) -> None:
    here, there = Worker(), Worker()
    here.sends(A, 7)
    sockets, here.sockets[:4] = here.sockets[:4], there.sockets[:4]
    there.say(wire.DropPorts(LOCAL, (20000, 20002)))
    there.sockets[:4] = sockets
    there.service.receive(wire.encode(wire.AddPorts(LOCAL, (20000, 20002), in_use)), sockets)
    there.put("heir", A, B)
    there.turn()
    assert there.got(B) == brought
