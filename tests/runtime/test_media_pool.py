"""The media pool against a keeper and workers in this process: connections, deaths, hangs, and what is logged."""

import os
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import structlog
import trio
import trio.testing

from sbc.b2bua.events import MediaReplied
from sbc.core.limits import DIGITS_UNSAID, MEDIA_REQUESTS_WAITING, PORT_QUARANTINE_SECONDS
from sbc.core.tables import Table
from sbc.media import wire
from sbc.media.client import POLL_SECONDS
from sbc.policy.model import MediaSettings
from sbc.runtime.media_pool import MediaPool, MediaWorkerError
from sbc.runtime.media_sockets import Pair

INSIDE, OUTSIDE = "192.0.2.1", "198.51.100.1"
DESCRIPTORS = 2 * wire.PORT_PAIRS_PER_MESSAGE


def pair(local: str, port: int) -> Pair:
    """Two sockets whose descriptors can travel."""
    return Pair(local, port, *(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) for _ in range(2)))


def orphan(ref: str, port: int) -> wire.SessionCount:
    return wire.SessionCount(ref, 1, (), ((INSIDE, port),))


def session(ref: str, inside: int, outside: int) -> wire.PutSession:
    return wire.PutSession(ref, 1, (wire.Stream(wire.End(INSIDE, inside, None), wire.End(OUTSIDE, outside, None)),))


class Worker:
    """One place where a worker listens, and the worker's end of the latest connection."""

    def __init__(self, number: int) -> None:
        self.pid = 4000 + number
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind("")
        self.listener.listen(8)
        self.listener.settimeout(10)
        self.control: socket.socket | None = None
        self.told: list[wire.Request] = []
        self.descriptors = 0

    def accept(self, *, continues: bool = False) -> None:
        if self.control:
            self.control.close()
        self.control, _ = self.listener.accept()
        self.control.setblocking(False)
        self.told.clear()
        self.say(wire.Running(self.pid, wire.VERSION, continues))

    def say(self, *replies: wire.Reply) -> None:
        assert self.control
        for reply in replies:
            self.control.send(wire.encode(reply))

    def hear(self) -> list[wire.Request]:
        """What it was told since it was asked last."""
        assert self.control
        told: list[wire.Request] = []
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self.control, 65_536, DESCRIPTORS)
            except BlockingIOError:
                return told
            assert data, "the connection is over"
            self.descriptors += len(fds)
            for fd in fds:
                os.close(fd)
            told.append(wire.decode_request(data))

    def die(self) -> None:
        assert self.control
        self.control.close()
        self.control = None
        self.pid += 100


class Keeper:
    """Holds listeners, and says what it was asked for."""

    def __init__(self) -> None:
        self.workers = [Worker(number) for number in range(2)]
        self.left_over: list[Pair] = []
        self.opened: list[tuple[str, int]] = []
        self.closed: list[tuple[str, tuple[int, ...]]] = []
        self.replaced: list[int] = []
        self.asked_at: list[float] = []
        self.error: OSError | None = None
        self.at_most = 1_000  # pairs at once
        self._next = 20000

    def worker_address(self, number: int) -> bytes:
        self.asked_at.append(trio.current_time())
        if self.error:
            raise self.error
        address = self.workers[number].listener.getsockname()
        assert isinstance(address, bytes)
        return address

    def held_pairs(self) -> list[Pair]:
        return self.left_over

    def open_pairs(self, local: str, ports: tuple[int, int], pairs: int, dscp: int) -> list[Pair]:
        self.opened.append((local, pairs))
        pairs = min(pairs, self.at_most)
        first = self._next
        self._next += 2 * pairs
        return [pair(local, port) for port in range(first, self._next, 2)]

    def close_pairs(self, local: str, ports: tuple[int, ...]) -> None:
        self.closed.append((local, ports))

    def why_short(self) -> str:
        return "the range is used up"

    def replace_worker(self, number: int) -> None:
        self.replaced.append(number)

    def close(self) -> None:
        for worker in self.workers:
            worker.listener.close()
            if worker.control:
                worker.control.close()


@pytest.fixture
def keeper() -> Iterator[Keeper]:
    one = Keeper()
    yield one
    one.close()


class Log:
    def __init__(self, lines: list[structlog.typing.EventDict]) -> None:
        self._lines = lines

    def of(self, event: str) -> list[dict[str, object]]:
        """The fields of each, without how long something ran."""
        ignored = ("event", "log_level", "ran_seconds")
        return [
            {name: value for name, value in line.items() if name not in ignored}
            for line in self._lines
            if line["event"] == event
        ]

    @property
    def levels(self) -> dict[str, list[str]]:
        levels: dict[str, list[str]] = {}
        for line in self._lines:
            levels.setdefault(line["event"], []).append(line["log_level"])
        return levels


@pytest.fixture
def log() -> Iterator[Log]:
    with structlog.testing.capture_logs() as lines:
        yield Log(lines)


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    pids: list[int] = []

    def kill(pid: int, number: int) -> None:
        assert number == signal.SIGKILL
        pids.append(pid)
        raise PermissionError  # it is none of ours

    monkeypatch.setattr(os, "kill", kill)
    return pids


class Bench:
    """A pool and what it delivered."""

    def __init__(self, keeper: Keeper, nursery: trio.Nursery, media: MediaSettings, *, is_settled: bool) -> None:
        self.replies: list[wire.Reply] = []
        self.workers = keeper.workers[: media.workers]
        self.nursery = nursery
        self.pool = MediaPool(
            keeper,  # type: ignore[arg-type] # as much of a keeper as the pool uses
            media,
            self._deliver,
            {INSIDE: 46},
            node="hq",
            own=[OUTSIDE, INSIDE],
            is_settled=is_settled,
        )

    def _deliver(self, event: MediaReplied) -> None:
        self.replies.append(event.reply)

    async def start(self, *orphans: wire.SessionCount) -> None:
        """Every worker runs and says what sessions it has: the first one has these."""
        self.nursery.start_soon(self.pool.run)
        await settle()
        for worker in self.workers:
            worker.accept()
            await settle()
            worker.told = worker.hear()
            worker.say(wire.Report(orphans if worker is self.workers[0] else ()))
        await settle()

    async def again(self, number: int = 0) -> list[wire.Request]:
        """The next worker runs there; what it is told."""
        self.workers[number].accept()
        await settle()
        return self.workers[number].hear()


async def settle() -> None:
    await trio.testing.wait_all_tasks_blocked()  # what the other end of a socket has said is read by then


@asynccontextmanager
async def bench(
    keeper: Keeper, workers: int = 1, engine: str = "userland", *, is_settled: bool = True
) -> AsyncIterator[Bench]:
    media = MediaSettings(engine=engine, workers=workers, orphan_timeout=60.0)  # type: ignore[arg-type]
    async with trio.open_nursery() as nursery:
        one = Bench(keeper, nursery, media, is_settled=is_settled)
        yield one
        nursery.cancel_scope.cancel()
    one.pool.close()


# --- the start --------------------------------------------------------------------------------------------------------


async def test_it_has_started_when_every_worker_has_said_what_sessions_it_has(keeper: Keeper) -> None:
    async with bench(keeper, workers=2) as one:
        started = trio.Event()

        async def start() -> None:
            await one.nursery.start(one.pool.run)
            started.set()

        one.nursery.start_soon(start)
        await settle()
        for worker in one.workers:
            assert not started.is_set()
            worker.accept()
            await settle()
            configure, *_, synced = worker.hear()
            assert configure == wire.Configure(
                "hq", "userland", one.workers.index(worker), 2, (INSIDE, OUTSIDE), 60.0, (INSIDE,)
            )
            assert synced == wire.Synced()
            assert not started.is_set()
            worker.say(wire.Report(()))
            await settle()
        assert started.is_set()
        assert one.pool.pids == (4000, 4001)


async def test_workers_that_do_not_run_in_time_are_a_clear_error(keeper: Keeper, autojump_clock: object) -> None:
    pool = MediaPool(keeper, MediaSettings(), lambda _: None, start_seconds=3.0)  # type: ignore[arg-type]
    with pytest.raises(MediaWorkerError, match="did not start within 3 s"):
        await pool.run()


async def test_ports_of_an_earlier_life_are_used_first_and_those_in_use_not_before_they_have_rested(
    keeper: Keeper, autojump_clock: object, killed: list[int]
) -> None:
    keeper.left_over = [pair(INSIDE, port) for port in (20002, 20004, 20006, 19998)]
    keeper._next = 21000
    async with bench(keeper) as one:
        await one.start(orphan("x", 20004))
        assert one.pool.open_ports(INSIDE, 1).ports == (20002,)
        assert one.pool.open_ports(INSIDE, 3).ports == (20006, 21000, 21002), "19998 is outside the range now"
        assert keeper.opened == [(INSIDE, 2)]
        one.workers[0].say(wire.SessionEnded("x", ()))
        await settle()
        assert one.replies[-1] == wire.SessionEnded("x", ())
        assert one.pool.open_ports(INSIDE, 1).ports == (21004,)
        one.workers[0].say(wire.Report(()))
        await trio.sleep(PORT_QUARANTINE_SECONDS)
        assert one.pool.open_ports(INSIDE, 1).ports == (20004,)


async def test_calls_that_go_on_have_just_their_ports_left_open_or_opened_again(keeper: Keeper) -> None:
    keeper.left_over = [pair(INSIDE, port) for port in (20002, 20004)]
    async with bench(keeper, is_settled=False) as one:
        await one.start(orphan("x", 20004))
        keeper._next = 20006
        assert one.pool.hold_ports(INSIDE, (20004, 20006)) == ([], "")
        assert keeper.opened == [(INSIDE, 1)]
        assert one.workers[0].hear() == [wire.AddPorts(INSIDE, (20004, 20006))]
        assert one.pool.open_ports(INSIDE, 1).ports == (20002,)
        assert wire.Synced() not in one.workers[0].told
        one.pool.settled()
        assert one.workers[0].hear()[-1] == wire.Synced()


async def test_ports_that_somebody_else_has_by_now_are_told(keeper: Keeper) -> None:
    async with bench(keeper) as one:
        await one.start()
        keeper.at_most = 0
        lost, why = one.pool.hold_ports(INSIDE, (20004, 20006))
        assert lost == [20004, 20006]
        assert "in use" in why
        assert one.workers[0].hear() == []


async def test_calls_go_on_at_an_address_that_the_policy_has_no_more(keeper: Keeper) -> None:
    keeper.left_over = [pair("192.0.2.9", 20004)]
    async with bench(keeper) as one:
        await one.start(wire.SessionCount("x", 1, (), (("192.0.2.9", 20004),)))
        assert one.pool.hold_ports("192.0.2.9", (20004,)) == ([], "")
        configured = [told for told in one.workers[0].hear() if isinstance(told, wire.Configure)]
        assert configured[-1].media == (INSIDE, "192.0.2.9")
        one.pool.close_ports("192.0.2.9", (20004,))
        assert keeper.closed == [("192.0.2.9", (20004,))]


async def test_ports_of_an_earlier_life_on_an_address_that_is_gone_are_closed_when_no_session_goes_on_there(
    keeper: Keeper, autojump_clock: object, killed: list[int]
) -> None:
    keeper.left_over = [pair(INSIDE, port) for port in (20002, 20004)]
    async with bench(keeper) as one:
        await one.start(orphan("x", 20004))
        await trio.sleep(1.5 * POLL_SECONDS)  # and from here on from the middle between two polls to the next
        one.workers[0].say(wire.Report((orphan("x", 20004),)))
        await settle()
        assert keeper.closed == []
        one.pool.change(MediaSettings(orphan_timeout=60.0), {OUTSIDE: 0})
        await trio.sleep(POLL_SECONDS)
        assert keeper.closed == [(INSIDE, (20002,))]
        one.workers[0].say(wire.SessionEnded("x", ()), wire.Report(()))
        await settle()
        await trio.sleep(POLL_SECONDS)
        assert keeper.closed == [(INSIDE, (20002,)), (INSIDE, (20004,))]
    assert killed == []


async def test_descriptors_go_to_the_worker_that_needs_them(keeper: Keeper) -> None:
    async with bench(keeper, workers=2) as one:
        await one.start()
        (inside,), (outside,) = (one.pool.open_ports(local, 1).ports for local in (INSIDE, OUTSIDE))
        put = session("a", inside, outside)
        one.pool.ask(put)
        assert one.workers[0].hear() == [
            wire.AddPorts(INSIDE, (inside,)),
            wire.AddPorts(OUTSIDE, (outside,)),
            put,
        ]
        assert one.workers[1].hear() == []
        assert (one.workers[0].descriptors, one.workers[1].descriptors) == (4, 0)


# --- deaths -----------------------------------------------------------------------------------------------------------


async def test_a_worker_that_died_is_connected_to_at_once_and_its_follower_told_everything(
    keeper: Keeper, log: Log
) -> None:
    async with bench(keeper) as one:
        await one.start()
        ports = one.pool.open_ports(INSIDE, 2).ports
        put = wire.PutSession(
            "a", 1, (wire.Stream(wire.End(INSIDE, ports[0], None), wire.End(INSIDE, ports[1], None)),)
        )
        one.pool.ask(put)
        await settle()
        one.workers[0].die()
        await settle()
        assert one.pool.pids == (None,)
        told = await one.again()
        assert wire.AddPorts(INSIDE, ports) in told
        assert [request.ref for request in told if isinstance(request, wire.PutSession)] == ["a"]
        assert one.pool.pid == 4100
    assert log.of("media.worker_died") == [{"worker": 0, "pid": 4000, "alarm": True}]
    assert log.of("media.worker_started") == [
        {"worker": 0, "pid": 4000, "sessions": 0, "ports": 0},
        {"worker": 0, "pid": 4100, "sessions": 1, "ports": 2},
    ]


async def test_a_worker_that_cannot_be_reached_is_tried_again_with_growing_pauses(
    keeper: Keeper, log: Log, autojump_clock: trio.testing.MockClock
) -> None:
    keeper.error = ConnectionRefusedError(111, "refused")
    async with bench(keeper) as one:
        one.nursery.start_soon(one.pool.run)
        await trio.sleep(14.0)
        begun = keeper.asked_at[0]
        assert [round(at - begun, 1) for at in keeper.asked_at] == [0, 0.1, 0.3, 0.7, 1.5, 3.1, 6.3, 11.3]
        keeper.error = None
        await trio.sleep(0.9)
        assert log.of("media.worker_not_started")[0]["alarm"]


@pytest.mark.parametrize("gone", [BrokenPipeError(32, "the supervisor is gone"), ConnectionResetError(104, "reset")])
async def test_a_supervisor_that_is_gone_is_not_the_workers_fault(
    keeper: Keeper, log: Log, autojump_clock: object, gone: OSError
) -> None:
    keeper.error = gone
    pool = MediaPool(keeper, MediaSettings(), lambda _: None, start_seconds=3.0)  # type: ignore[arg-type]
    with pytest.raises(MediaWorkerError):
        await pool.run()
    assert keeper.asked_at
    assert not log.of("media.worker_not_started")


async def test_a_worker_that_dies_of_what_it_is_told_is_not_told_it_all_the_time(
    keeper: Keeper, autojump_clock: trio.testing.MockClock
) -> None:
    async with bench(keeper) as one:
        await one.start()
        pauses: list[float] = []
        for _ in range(6):
            one.workers[0].die()
            died_at = trio.current_time()
            await trio.sleep(1)
            pauses.append(round(keeper.asked_at[-1] - died_at, 1))
            await one.again()
        assert pauses == [0.0, 0.0, 0.1, 0.2, 0.4, 0.8]


# --- hangs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pid", [4000, 1])
async def test_a_worker_that_answers_no_poll_is_killed_by_its_pid(
    keeper: Keeper, killed: list[int], log: Log, pid: int, autojump_clock: trio.testing.MockClock
) -> None:
    """Also where the kernel does not let us: another connection waits for the one that follows it."""
    keeper.workers[0].pid = pid
    async with bench(keeper) as one:
        await one.start()
        one.pool.ask(wire.PutSession("a", 1, ()))
        await trio.sleep(9)
        assert killed == ([pid] if pid > 1 else [])
        (killed,) = log.of("media.worker_killed")
        assert killed == {"alarm": True, "worker": 0, "pid": pid, "reason": "it does not answer"}
        assert log.of("media.worker_died") == []
        assert one.pool.pid is None
        told = await one.again()
        assert wire.PutSession("a", 1, (), resumed=True) in told


async def test_a_worker_that_answers_is_left_alone(
    keeper: Keeper, killed: list[int], autojump_clock: trio.testing.MockClock
) -> None:
    async with bench(keeper) as one:
        await one.start()
        one.pool.ask(wire.PutSession("a", 1, ()))
        assert one.workers[0].hear() == [wire.PutSession("a", 1, ())]
        await trio.sleep(0.5)
        for _ in range(20):
            await trio.sleep(2)
            assert one.workers[0].hear() == [wire.Query()]
            one.workers[0].say(wire.Report(()))
        assert killed == keeper.replaced == []


async def test_what_workers_say_of_their_tables_is_told_with_what_waits_for_them(keeper: Keeper) -> None:
    async with bench(keeper, workers=2) as one:
        await one.start()
        for worker, used in zip(one.workers, (1, 30_000), strict=True):
            worker.say(wire.Report((), tables=(Table("media_slots", used, 32_768),)))
        await settle()
        assert one.pool.tables() == (
            Table("media_requests", 0, MEDIA_REQUESTS_WAITING),
            Table("media_slots", 30_000, 32_768),
            Table("media_digits_unsaid", 0, DIGITS_UNSAID, is_ring=True),
        )


async def test_a_worker_that_takes_a_connection_and_never_runs_is_replaced(
    keeper: Keeper, killed: list[int], autojump_clock: trio.testing.MockClock
) -> None:
    async with bench(keeper) as one:
        await one.start()
        one.workers[0].die()
        await trio.sleep(20)
        assert keeper.replaced == [0]
        assert killed == []


# --- engines ----------------------------------------------------------------------------------------------------------


async def test_the_engine_is_told_once_for_all_workers_and_again_when_it_changes(keeper: Keeper, log: Log) -> None:
    begins, kernel = wire.EngineReady("userland", wire.BEGINNING), wire.EngineReady("kernel", "", ("veth0",))
    async with bench(keeper, workers=2, engine="auto") as one:
        await one.start()
        for worker in one.workers:
            worker.say(begins, kernel)  # the devices are known a moment later
            await settle()
        assert one.pool.engines == (kernel, kernel)
        one.workers[1].die()
        await settle()
        await one.again(1)
        one.workers[1].say(begins, kernel)
        await settle()
        assert log.of("media.engine") == [{"engine": "kernel", "devices": ["veth0"]}]
        one.workers[1].say(wire.EngineReady("userland", "no bpffs is mounted"))
        await settle()
        one.workers[1].say(wire.EngineReady("kernel", "no device has 192.0.2.1", ("veth0",)))
        await settle()
        assert log.of("media.engine")[1:] == [
            {"engine": "userland", "reason": "no bpffs is mounted"},
            {"engine": "kernel", "devices": ["veth0"], "reason": "no device has 192.0.2.1"},
        ]
        assert log.levels["media.engine"] == ["info", "warning", "warning"]
        assert kernel in one.replies


async def test_nothing_is_said_of_an_engine_that_was_chosen(keeper: Keeper, log: Log) -> None:
    async with bench(keeper, engine="userland") as one:
        await one.start()
        one.workers[0].say(wire.EngineReady("userland"))
        await settle()
        assert log.of("media.engine") == []


async def test_an_engine_that_a_reload_asks_for_is_told_of_and_one_that_it_does_not_is_not(
    keeper: Keeper, log: Log
) -> None:
    kernel = wire.EngineReady("kernel", "", ("veth0",))
    media = MediaSettings(engine="userland")
    async with bench(keeper, engine="userland") as one:
        await one.start()
        for engine, ready in (("auto", kernel), ("userland", wire.EngineReady("userland")), ("auto", kernel)):
            one.pool.change(msgspec.structs.replace(media, engine=engine))
            one.workers[0].say(ready)
            await settle()
        assert log.of("media.engine") == 2 * [{"engine": "kernel", "devices": ["veth0"]}]


async def test_who_asked_for_the_kernel_is_woken_when_it_does_not_relay_and_told_when_that_is_over(
    keeper: Keeper, log: Log
) -> None:
    async with bench(keeper, engine="kernel") as one:
        await one.start()
        one.workers[0].say(wire.EngineReady("userland", "no bpffs is mounted"))
        await settle()
        one.workers[0].say(wire.EngineReady("kernel", "", ("veth0",)))
        await settle()
        one.workers[0].say(wire.EngineReady("userland", "no bpffs is mounted"))
        await settle()
        one.pool.change(MediaSettings(engine="userland"))
        assert [line.get("alarm") for line in log.of("media.engine")] == [True, None, True, None]


async def test_that_ports_are_short_is_said_once_and_that_there_are_enough_again_too(keeper: Keeper, log: Log) -> None:
    async with bench(keeper) as one:
        await one.start()
        keeper.at_most = 0
        for _ in range(3):
            one.pool.open_ports(INSIDE, 4)
        keeper.at_most = 100
        for _ in range(3):
            one.pool.open_ports(INSIDE, 4)
        assert [(line["local"], line["pairs"]) for line in log.of("media.ports_short")] == [(INSIDE, 0)]
        assert log.of("media.ports_opened") == [{"local": INSIDE, "pairs": 4}]
