"""The media pool with a real worker process and real sockets on 127/8: descriptors, counters, and `kill -9`."""

import itertools
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trio
from msgspec import Struct

from sbc.b2bua.events import MediaReplied
from sbc.core.limits import MEDIA_REQUESTS_WAITING, MEDIA_SLOTS
from sbc.core.tables import Table
from sbc.media import wire
from sbc.policy.model import MediaSettings
from sbc.runtime.local_keeper import LocalKeeper
from sbc.runtime.media_pool import MediaPool, MediaWorkerError
from sbc.runtime.media_sockets import (
    NO_DESCRIPTORS,
    is_short_of_descriptors,
    open_media_socket,
    open_pairs,
    why_short,
)

pytestmark = [pytest.mark.loopback, pytest.mark.slow]

INSIDE, OUTSIDE, PBX, CARRIER = "127.0.0.10", "127.0.0.20", "127.0.0.30", "127.0.0.40"
PORTS = (30000, 39998)
PACKET_SECONDS = 0.02
PATIENCE = 30.0


class Running(Struct, eq=False):
    pool: MediaPool
    replies: list[wire.Reply]
    calls: list["Call"]

    async def until(self, is_true: Callable[[], bool]) -> None:
        with trio.fail_after(PATIENCE):
            while not is_true():  # noqa: ASYNC110 - the other process is waited for, no event of ours
                await trio.sleep(0.001)

    async def kill_and_replace(self) -> None:
        killed = self.pool.pid
        assert killed
        before = len(self.replies)
        os.kill(killed, signal.SIGKILL)
        await self.until(lambda: any(map(_is_last, self.replies[before:])))
        assert self.pool.pid not in (None, killed)

    async def counted_exactly(self, calls: list["Call"]) -> None:
        """What was relayed is what workers say, whichever of them it was; but for the packet that a killed one had just
        sent and not yet counted.
        """
        uncounted = 0
        for call in calls:
            report = await self.ask(wire.Query(call.ref))
            assert isinstance(report, wire.Report)
            (stream,) = report.sessions[0].streams
            assert stream.ingress.received == stream.egress.sent
            uncounted += len(call.heard) - stream.ingress.received
        assert uncounted in (0, 1)

    async def ask(self, request: wire.DeleteSession | wire.Query) -> wire.Reply:
        before = len(self.replies)
        self.pool.ask(request)
        answer = wire.SessionEnded if isinstance(request, wire.DeleteSession) else wire.Report
        await self.until(lambda: any(isinstance(reply, answer) for reply in self.replies[before:]))
        return next(reply for reply in self.replies[before:] if isinstance(reply, answer))


@asynccontextmanager
async def running(poll_seconds: float = 2.0, workers: int = 1) -> AsyncIterator[Running]:
    replies: list[wire.Reply] = []
    calls: list[Call] = []

    def deliver(event: MediaReplied) -> None:
        replies.append(event.reply)

    keeper = LocalKeeper(random.Random(os.getpid()).randrange)
    media = MediaSettings(*PORTS, engine="userland", workers=workers)
    pool = MediaPool(keeper, media, deliver, poll_seconds=poll_seconds)
    async with trio.open_nursery() as nursery:
        await nursery.start(keeper.run)
        await nursery.start(pool.run)
        try:
            yield Running(pool, replies, calls)
        finally:
            nursery.cancel_scope.cancel()
            pool.close()
            keeper.close()
            for call in calls:
                call.close()


class Call:
    """Two far ends and the session between them; packets are numbered, so that a lost one is known."""

    def __init__(self, ref: str, inside: int, outside: int, generation: int = 1) -> None:
        self.ref, self.generation = ref, generation
        self.pbx, self.carrier = open_media_socket(PBX, 0), open_media_socket(CARRIER, 0)
        self.inside, self.outside = inside, outside
        self.sent = 0
        self.heard: list[tuple[float, int]] = []

    @property
    def put(self) -> wire.PutSession:
        ingress = wire.End(INSIDE, self.inside, wire.Remote(PBX, self.pbx.getsockname()[1], 0))
        egress = wire.End(OUTSIDE, self.outside, wire.Remote(CARRIER, self.carrier.getsockname()[1], 0))
        return wire.PutSession(self.ref, self.generation, (wire.Stream(ingress, egress),))

    def speak(self) -> None:
        self.sent += 1
        self.pbx.sendto(bytes([0x80, 8]) + self.sent.to_bytes(2) + bytes(168), (INSIDE, self.inside))

    async def listen(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self.carrier)
            data, source = self.carrier.recvfrom(2048)
            assert source == (OUTSIDE, self.outside)
            self.heard.append((trio.current_time(), int.from_bytes(data[2:4])))

    @property
    def lost(self) -> int:
        return self.sent - len({number for _, number in self.heard})

    @property
    def gap(self) -> float:
        """The longest silence."""
        times = [at for at, _ in self.heard]
        return max(after - before for before, after in itertools.pairwise(times))

    def close(self) -> None:
        self.pbx.close()
        self.carrier.close()


async def _calls(worker: Running, n: int) -> list[Call]:
    inside = worker.pool.open_ports(INSIDE, n).ports
    outside = worker.pool.open_ports(OUTSIDE, n).ports
    worker.calls.extend(Call(f"call-{i}", *ports) for i, ports in enumerate(zip(inside, outside, strict=True)))
    for call in worker.calls:
        worker.pool.ask(call.put)
    for call in worker.calls:  # each of its own worker, or a port may still be muted when the first packet comes
        await worker.ask(wire.Query(call.ref))
    return worker.calls


def _is_last(reply: wire.Reply) -> bool:
    return isinstance(reply, wire.Report) and reply.last


async def _speak(calls: list[Call], seconds: float) -> None:
    for _ in range(round(seconds / PACKET_SECONDS)):
        for call in calls:
            call.speak()
        await trio.sleep(PACKET_SECONDS)


async def test_a_killed_worker_is_replaced_and_every_call_goes_on(capsys: pytest.CaptureFixture[str]) -> None:
    async with running() as worker, trio.open_nursery() as nursery:
        calls = await _calls(worker, 50)
        for call in calls:
            nursery.start_soon(call.listen)
        await _speak(calls, 0.5)
        killed = worker.pool.pid
        assert killed
        os.kill(killed, signal.SIGKILL)
        await _speak(calls, 1.5)
        await worker.until(lambda: all(call.heard[-1][1] == call.sent for call in calls))
        await worker.counted_exactly(calls)
        nursery.cancel_scope.cancel()
        assert worker.pool.pid not in (None, killed)
        gap, lost = max(call.gap for call in calls), sum(call.lost for call in calls)
        with capsys.disabled():
            total = sum(call.sent for call in calls)
            print(f"\nmedia worker killed: longest gap {gap * 1000:.0f} ms, {lost} of {total} packets lost, 50 calls")
        assert lost <= 1, "what waits in the sockets is relayed later; lost is at most what the worker had in its hands"


async def test_two_workers_share_the_calls_and_the_death_of_one_is_not_the_others() -> None:
    async with running(workers=2) as worker, trio.open_nursery() as nursery:
        calls = await _calls(worker, 20)
        for call in calls:
            nursery.start_soon(call.listen)
        await _speak(calls, 0.3)
        first, second = worker.pool.pids
        assert first
        assert second
        os.kill(second, signal.SIGKILL)
        await _speak(calls, 1.0)
        await worker.until(lambda: all(call.heard[-1][1] == call.sent for call in calls))
        await worker.counted_exactly(calls)
        nursery.cancel_scope.cancel()
        assert worker.pool.pids[0] == first
        assert worker.pool.pids[1] not in (None, second)
        assert sum(call.lost for call in calls) <= 1


async def test_a_leg_goes_over_to_a_call_of_the_other_worker() -> None:
    async with running(workers=2) as worker, trio.open_nursery() as nursery:
        one, other = await _calls(worker, 2)
        for call in (one, other):
            nursery.start_soon(call.listen)
        await _speak([one, other], 0.1)
        heir = Call("call-1", one.inside, other.outside, generation=2)  # who was in `one` talks to `other`'s carrier
        heir.pbx.close()
        heir.carrier.close()
        heir.pbx, heir.carrier, heir.sent, heir.heard = one.pbx, other.carrier, one.sent, other.heard
        worker.pool.ask(heir.put)
        worker.pool.ask(wire.DeleteSession(one.ref))
        for _ in range(20):
            heir.speak()
            await trio.sleep(PACKET_SECONDS)
        await worker.until(lambda: other.heard[-1][1] == heir.sent)
        assert len(other.heard) >= heir.sent - 1, "at most what one worker had in its hands when it let go"
        ended = await worker.ask(wire.DeleteSession("call-1"))
        assert isinstance(ended, wire.SessionEnded)
        assert ended.streams[0].ingress.received >= 19
        assert worker.pool.sessions == 0
        nursery.cancel_scope.cancel()


async def test_counters_continue_over_a_death() -> None:
    async with running() as worker, trio.open_nursery() as nursery:
        (call,) = await _calls(worker, 1)
        nursery.start_soon(call.listen)
        for _ in range(2):
            before = call.sent
            await _speak([call], 0.1)
            await worker.until(lambda: call.lost == 0)
            assert call.sent > before
            report = await worker.ask(wire.Query(call.ref))
            assert isinstance(report, wire.Report)
            assert report.sessions[0].streams[0].ingress.received == call.sent
            await worker.kill_and_replace()
        ended = await worker.ask(wire.DeleteSession(call.ref))
        assert isinstance(ended, wire.SessionEnded)
        assert ended.streams[0].egress.sent == call.sent
        assert worker.pool.sessions == 0
        nursery.cancel_scope.cancel()


async def test_what_is_asked_while_no_worker_runs_is_answered_by_the_next() -> None:
    async with running() as worker:
        (call,) = await _calls(worker, 1)
        killed = worker.pool.pid or 0
        parent = _parent(killed)
        os.kill(parent, signal.SIGSTOP)  # else the next one is there before we know of the death
        os.kill(killed, signal.SIGKILL)
        await worker.until(lambda: worker.pool.pid is None)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(trio.to_thread.run_sync, os.kill, parent, signal.SIGCONT)
            ended = await worker.ask(wire.DeleteSession(call.ref))
        assert ended == wire.SessionEnded(call.ref, (wire.StreamCount(wire.EndCount(), wire.EndCount()),))


def _parent(pid: int) -> int:
    """proc(5): state and parent come behind the name, which is in parentheses."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


async def test_a_worker_that_hangs_is_replaced() -> None:
    async with running(poll_seconds=0.05) as worker, trio.open_nursery() as nursery:
        (call,) = await _calls(worker, 1)
        nursery.start_soon(call.listen)
        hung = worker.pool.pid
        assert hung
        os.kill(hung, signal.SIGSTOP)
        await worker.until(lambda: worker.pool.pid not in (None, hung))
        call.speak()
        await worker.until(lambda: call.lost == 0)
        nursery.cancel_scope.cancel()


async def test_a_slow_worker_is_told_everything_in_the_end() -> None:
    async with running() as worker:
        slow = worker.pool.pid
        assert slow
        os.kill(slow, signal.SIGSTOP)
        for i in range(5000):
            worker.pool.ask(wire.PutSession(f"call-{i}", 1, ()))
        ports = worker.pool.open_ports(INSIDE, 300).ports
        os.kill(slow, signal.SIGCONT)
        ends = [wire.End(INSIDE, port, None) for port in ports]
        worker.pool.ask(wire.PutSession("last", 1, (wire.Stream(ends[0], ends[-1]),)))
        worker.replies.clear()
        worker.pool.ask(wire.Query())
        await worker.until(lambda: worker.replies[-1:] != [] and _is_last(worker.replies[-1]))
        reports = [reply for reply in worker.replies if isinstance(reply, wire.Report)]
        assert sum(len(report.sessions) for report in reports) == 5001
        assert worker.pool.pid == slow


# BOUND: MEDIA_REQUESTS_WAITING
async def test_a_worker_that_does_not_read_is_replaced_before_its_queue_eats_the_memory() -> None:
    async with running(poll_seconds=PATIENCE) as worker:
        hung = worker.pool.pid
        assert hung
        os.kill(hung, signal.SIGSTOP)
        for i in range(MEDIA_REQUESTS_WAITING + 2000):
            worker.pool.ask(wire.Query(f"call-{i}"))
        await worker.until(lambda: worker.pool.pid not in (None, hung))


async def test_a_worker_ignores_what_a_terminal_or_an_init_system_sends_to_everybody() -> None:
    async with running() as worker:
        pid = worker.pool.pid
        assert pid
        for number in (signal.SIGINT, signal.SIGTERM):
            os.kill(pid, number)
        assert await worker.ask(wire.Query()) == wire.Report(())
        assert worker.pool.pid == pid
        tables = {table.name: table for table in worker.pool.tables()}
        assert tables["media_slots"] == Table("media_slots", 0, MEDIA_SLOTS)


async def test_a_worker_that_cannot_start_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    keeper = LocalKeeper(random.Random(0).randrange)
    pool = MediaPool(keeper, MediaSettings(*PORTS), lambda event: None, start_seconds=0.3)
    with pytest.raises(MediaWorkerError, match="did not start"):
        await pool.run()
    keeper.close()


@pytest.mark.ipv6
async def test_ipv4_and_ipv6_ends_are_relayed_to_each_other() -> None:
    async with running() as worker:
        (inside,), (outside,) = (worker.pool.open_ports(local, 1).ports for local in (INSIDE, "::1"))
        with open_media_socket(PBX, 0) as pbx, open_media_socket("::1", 0) as carrier:
            ingress = wire.End(INSIDE, inside, wire.Remote(PBX, pbx.getsockname()[1], 0))
            egress = wire.End("::1", outside, wire.Remote("::1", carrier.getsockname()[1], 0), "strict")
            worker.pool.ask(wire.PutSession("mixed", 1, (wire.Stream(ingress, egress),)))
            await worker.ask(wire.Query())
            for one, other, port in ((pbx, carrier, (INSIDE, inside)), (carrier, pbx, ("::1", outside))):
                one.sendto(bytes([0x80]) + bytes(30), port)
                with trio.fail_after(PATIENCE):
                    await trio.lowlevel.wait_readable(other)
                assert len(other.recv(99)) == 31


async def test_a_worker_ends_when_signalling_does() -> None:
    async with running() as worker:
        pid = worker.pool.pid or 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


async def test_what_came_before_the_session_is_not_relayed() -> None:
    async with running() as worker, trio.open_nursery() as nursery:
        (inside,), (outside,) = (worker.pool.open_ports(local, 1).ports for local in (INSIDE, OUTSIDE))
        call = Call("late", inside, outside)
        worker.calls.append(call)
        call.speak()
        worker.pool.ask(call.put)
        await worker.ask(wire.Query())
        call.speak()
        nursery.start_soon(call.listen)
        await worker.until(lambda: bool(call.heard))
        assert [number for _, number in call.heard] == [2]
        nursery.cancel_scope.cancel()


async def test_a_thousand_pairs_are_handed_over() -> None:
    async with running() as worker:
        ports = worker.pool.open_ports(INSIDE, 1000).ports
        assert len(set(ports)) == worker.pool.pairs == 1000
        assert all(port % 2 == 0 and PORTS[0] <= port < PORTS[1] for port in ports)
        last = wire.PutSession(
            "last", 1, (wire.Stream(wire.End(INSIDE, ports[0], None), wire.End(INSIDE, ports[-1], None)),)
        )
        worker.pool.ask(last)
        report = await worker.ask(wire.Query())
        assert isinstance(report, wire.Report)
        assert [session.ref for session in report.sessions] == ["last"]


def test_a_range_that_is_used_up_gives_fewer_and_an_absent_address_is_an_error() -> None:
    pairs = open_pairs(INSIDE, (39001, 39008), 9, {39004}, lambda _: 0)
    assert sorted(pair.port for pair in pairs) == [39002, 39006]
    pairs += open_pairs(INSIDE, (39001, 39008), 9, (), lambda _: 0)
    assert sorted(pair.port for pair in pairs) == [39002, 39004, 39006]
    for pair in pairs:
        pair.close()
    with pytest.raises(OSError, match="assign"):
        open_pairs("192.0.2.1", (39000, 39010), 1, (), lambda _: 0)


def test_media_ports_leave_descriptors_to_the_rest_of_the_program() -> None:
    probes = [socket.socket() for _ in range(7)]
    ceiling = probes[-1].fileno()  # six numbers below it are free, wherever they are
    for probe in probes:
        probe.close()
    pairs = open_pairs(INSIDE, (39200, 39298), 9, (), lambda _: 0, ceiling=ceiling)
    assert len(pairs) == 3
    assert all(pair.rtcp.fileno() < ceiling for pair in pairs)
    assert is_short_of_descriptors(ceiling)
    for pair in pairs:
        pair.close()
    assert not is_short_of_descriptors(ceiling)


def test_one_free_descriptor_far_below_the_others_is_no_room_for_a_pair() -> None:
    with socket.socket() as free, socket.socket() as held, socket.socket() as last:
        ceiling = last.fileno() + 1
        free.close()
        assert open_pairs(INSIDE, (39200, 39298), 9, (), lambda _: 0, ceiling=ceiling) == []
        assert why_short(ceiling) == NO_DESCRIPTORS
        held.close()
        assert not is_short_of_descriptors(ceiling)


@pytest.mark.ipv6
def test_pairs_carry_the_dscp_and_ipv6_keeps_to_itself() -> None:
    (four,) = open_pairs(INSIDE, (39100, 39198), 1, (), lambda _: 0, dscp=46)
    (six,) = open_pairs("::1", (39100, 39198), 1, (), lambda _: 0, dscp=46)
    assert four.rtcp.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) == 184
    assert six.rtp.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS) == 184
    assert six.rtp.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
    four.close()
    six.close()
