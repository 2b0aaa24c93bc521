"""Which engine is in force, through the service: chosen, changed, told, and what of former workers is cleared away."""

from collections import deque
from collections.abc import Collection

import pytest
from msgspec.structs import replace

from sbc.media import wire
from sbc.media.worker.engine import Engine, Flow, NoEngine
from sbc.media.worker.ports import Udp
from sbc.media.worker.relay import Inlet, relay
from sbc.media.worker.service import Service
from sbc.media.worker.slots import SLOT_OCTETS, SLOTS, Memory, Slots, owner_of

INSIDE, OUTSIDE = "192.0.2.1", "198.51.100.1"
PBX, CARRIER = wire.Remote("192.0.2.30", 4000, 4001), wire.Remote("198.51.100.40", 5000, 5001)
KERNEL = wire.Configure("node", "kernel", own=(INSIDE, "::ffff:192.0.2.9", "no address"))
BEGINS = wire.EngineReady("userland", wire.BEGINNING)
STREAM = wire.Stream(wire.End(INSIDE, 20000, PBX), wire.End(OUTSIDE, 20000, CARRIER))


class Socket:
    def __init__(self, number: int) -> None:
        self.number = number
        self.queue: deque[bytes] = deque()
        self.sent: list[bytes] = []

    def fileno(self) -> int:
        return self.number

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, tuple[str, int]]:
        if not self.queue:
            raise BlockingIOError
        data = self.queue.popleft()
        buffer[: len(data)] = data
        return len(data), (PBX.host, PBX.port)

    def sendto(self, data: bytes | memoryview, address: tuple[str, int]) -> int:
        self.sent.append(bytes(data))
        return len(data)

    def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
        pass

    def getsockopt(self, level: int, option: int) -> int:
        return 2 if option == 39 else 0

    def close(self) -> None:
        pass


class Kernel:
    """An engine that takes every flow."""

    def __init__(self) -> None:
        self.held_flows: dict[tuple[str, int], Flow | None] = {}
        self.devices: tuple[str, ...] = ()
        self.reason = ""
        self.attached: list[set[str]] = []
        self.has_news = True
        self.found: tuple[str, ...] = ("eth0",)

    def put(self, flow: Flow) -> str:
        self.held_flows[flow.local, flow.port] = flow
        return ""

    def remove(self, local: str, port: int) -> None:
        self.held_flows.pop((local, port), None)

    def flows(self) -> set[tuple[str, int]]:
        return set(self.held_flows)

    def held(self, local: str, port: int) -> Flow | None:
        return self.held_flows.get((local, port))

    def beat(self) -> None:
        pass

    def attach(self, locals_: Collection[str]) -> None:
        self.attached.append(set(locals_))

    def turn(self) -> bool:
        self.devices = self.found
        return self.has_news


class Worker:
    def __init__(self, memory: Memory | None = None) -> None:
        self.now = 1000.0
        self.inlets: dict[int, Inlet] = {}
        self.kernel = Kernel()
        self.memory: Memory | None = None
        self.why = ""
        self.opened: list[str] = []
        self.service = Service(self, lambda: self.now, memory, self.open)
        self.inside, self.outside = [Socket(1), Socket(2)], [Socket(3), Socket(4)]
        self.sequence = 0

    def open(self, configure: wire.Configure) -> tuple[Engine, Memory | None]:
        self.opened.append(configure.engine)
        is_kernel = configure.engine != "userland" and not self.why
        return (self.kernel, self.memory) if is_kernel else (NoEngine(self.why), None)

    def set(self, one: Udp, inlet: Inlet) -> None:
        self.inlets[one.fileno()] = inlet

    def unset(self, one: Udp) -> None:
        self.inlets.pop(one.fileno(), None)

    def say(self, request: wire.Request, *sockets: Socket) -> list[wire.Reply]:
        return self.service.receive(wire.encode(request), sockets)

    def adds(self) -> None:
        assert self.say(wire.AddPorts(INSIDE, (20000,)), *self.inside) == []
        assert self.say(wire.AddPorts(OUTSIDE, (20000,)), *self.outside) == []

    def puts(self, generation: int = 1) -> None:
        assert self.say(wire.PutSession("a", generation, (STREAM,))) == []

    def relays(self, packets: int = 1) -> None:
        for _ in range(packets):
            self.sequence += 1
            self.now += 0.02
            self.inside[0].queue.append(
                bytes([0x80, 8]) + self.sequence.to_bytes(2) + (self.sequence * 160).to_bytes(4) + b"ssrc" + bytes(160)
            )
            relay(self.inlets[1], 32)

    def received(self) -> int:
        (report,) = self.say(wire.Query("a"))
        assert isinstance(report, wire.Report)
        return report.sessions[0].streams[0].ingress.received

    def ticks(self) -> None:
        self.now += 1
        self.service.agenda.tick(self.now)


@pytest.fixture
def worker() -> Worker:
    return Worker()


def test_the_kernel_engine_is_in_force_once_it_listens_and_not_before(worker: Worker):
    assert worker.say(KERNEL) == [BEGINS]
    worker.service.turn_engine()
    assert worker.service.news == [wire.EngineReady("kernel", "", ("eth0",))]


def test_an_engine_that_has_said_nothing_new_is_not_told_of(worker: Worker):
    worker.say(KERNEL)
    worker.kernel.has_news = False
    worker.service.turn_engine()
    assert worker.service.news == []


def test_an_engine_that_no_device_takes_is_not_in_force(worker: Worker):
    worker.say(KERNEL)
    worker.kernel.reason, worker.kernel.found = "loopback is left alone", ()
    worker.service.turn_engine()
    assert worker.service.news == [wire.EngineReady("userland", "loopback is left alone")]
    worker.kernel.reason, worker.kernel.found = "", ("eth0",)
    worker.service.turn_engine()
    assert worker.service.news[1:] == [wire.EngineReady("kernel", "", ("eth0",))]


def test_an_engine_that_some_addresses_have_no_use_of_is_in_force_and_says_so(worker: Worker):
    worker.say(KERNEL)
    worker.kernel.reason = "127.0.0.1: lo is a loopback device"
    worker.service.turn_engine()
    assert worker.service.news == [wire.EngineReady("kernel", "127.0.0.1: lo is a loopback device", ("eth0",))]


def test_nothing_is_left_in_an_engine_that_is_given_up(worker: Worker):
    worker.kernel.held_flows = {(INSIDE, 20000): None, (INSIDE, 30000): None}
    worker.say(KERNEL)
    worker.say(replace(KERNEL, engine="userland"))
    assert worker.kernel.flows() == set()


@pytest.mark.parametrize("engine", ["auto", "kernel"])
def test_without_the_capability_it_is_userland_with_the_reason(worker: Worker, engine: wire.EngineChoice):
    worker.why = "no bpf for us"
    assert worker.say(replace(KERNEL, engine=engine)) == [wire.EngineReady("userland", "no bpf for us")]


def test_userland_that_was_asked_for_needs_no_reason(worker: Worker):
    worker.why = "no bpf for us"
    assert worker.say(replace(KERNEL, engine="userland")) == [wire.EngineReady("userland")]


def test_the_same_question_leaves_engine_and_flows_as_they_are(worker: Worker):
    worker.say(KERNEL)
    worker.adds()
    worker.puts()
    worker.kernel.held_flows["192.0.2.1", 30000] = None
    worker.service.connected()
    assert worker.say(replace(KERNEL, orphan_seconds=5)) == [BEGINS]
    assert worker.opened == ["kernel"]
    assert worker.kernel.flows() == {("192.0.2.1", 30000)}


def test_what_could_not_be_opened_is_tried_again_by_the_next_connection(worker: Worker):
    worker.why = "no bpf for us"
    worker.say(KERNEL)
    worker.why = ""
    assert worker.say(KERNEL) == [BEGINS]


def test_another_engine_gets_the_sessions_and_their_counters(worker: Worker):
    worker.memory = bytearray(SLOTS * SLOT_OCTETS)
    worker.say(replace(KERNEL, engine="userland"))
    worker.adds()
    worker.puts()
    worker.relays(3)
    assert worker.kernel.flows() == set()
    worker.say(KERNEL)
    worker.relays(4)
    assert len(worker.outside[0].sent) == 7
    assert worker.received() == 7
    assert worker.kernel.flows() == {(INSIDE, 20000)}
    assert Slots(worker.memory).owners() == {owner_of("a", INSIDE, 20000), owner_of("a", OUTSIDE, 20000)}
    worker.say(replace(KERNEL, engine="userland"))
    assert worker.kernel.flows() == set()
    worker.relays(2)
    assert (worker.received(), len(worker.outside[0].sent)) == (9, 9)
    assert Slots(worker.memory).owners() == set()


def test_the_program_is_attached_where_pairs_are_once_everything_has_been_said(worker: Worker):
    worker.say(KERNEL)
    worker.adds()
    assert worker.kernel.attached == []
    worker.say(wire.Synced())
    assert worker.kernel.attached == [{INSIDE, OUTSIDE}]
    worker.say(wire.AddPorts(INSIDE, (20002,)), Socket(5), Socket(6))
    assert worker.kernel.attached == [{INSIDE, OUTSIDE}]
    worker.say(wire.AddPorts("203.0.113.1", (20002,)), Socket(7), Socket(8))
    assert worker.kernel.attached[1:] == [{INSIDE, OUTSIDE, "203.0.113.1"}]


def test_the_program_is_attached_where_pairs_will_be_before_there_is_a_call(worker: Worker):
    worker.say(replace(KERNEL, media=(INSIDE, OUTSIDE)))
    assert worker.kernel.attached == []  # a worker that starts again has more urgent things to do
    worker.say(wire.Synced())
    worker.adds()
    assert worker.kernel.attached == [{INSIDE, OUTSIDE}]


def test_an_engine_that_is_chosen_later_is_attached_at_once(worker: Worker):
    worker.adds()
    worker.say(wire.Synced())
    worker.say(KERNEL)
    assert worker.kernel.attached == [{INSIDE, OUTSIDE}]


def test_flows_of_nobody_are_cleared_away_when_everything_has_been_said_and_not_before(worker: Worker):
    worker.kernel.held_flows = {(INSIDE, 20000): None, (INSIDE, 30000): None}
    worker.say(KERNEL)
    worker.adds()
    assert len(worker.kernel.flows()) == 2
    worker.say(wire.Synced())
    assert worker.kernel.flows() == set()


def test_counters_of_nobody_are_cleared_away_but_not_those_of_another_worker():
    memory = bytearray(SLOTS * SLOT_OCTETS)
    gone, other = Slots(memory, 0, SLOTS // 2), Slots(memory, SLOTS // 2, SLOTS // 2)
    gone.take(owner_of("gone", INSIDE, 20000))
    other.take(owner_of("other", INSIDE, 20002))
    worker = Worker()
    worker.memory = memory
    worker.say(replace(KERNEL, number=0, workers=2))
    worker.adds()
    worker.puts()
    assert len(Slots(memory).owners()) == 4
    worker.say(wire.Synced())
    mine = {owner_of("a", INSIDE, 20000), owner_of("a", OUTSIDE, 20000)}
    assert Slots(memory).owners() == mine | {owner_of("other", INSIDE, 20002)}
    worker.say(wire.DeleteSession("a"))
    assert Slots(memory).owners() == {owner_of("other", INSIDE, 20002)}


def test_a_worker_that_starts_again_goes_on_counting_in_the_memory_that_it_is_given():
    memory = bytearray(SLOTS * SLOT_OCTETS)
    for total in (3, 6):
        worker = Worker(memory)
        worker.say(replace(KERNEL, engine="userland"))
        worker.adds()
        assert worker.say(wire.PutSession("a", 1, (STREAM,), resumed=True)) == []
        worker.say(wire.Synced())
        worker.sequence = total
        worker.relays(3)
        assert worker.received() == total
