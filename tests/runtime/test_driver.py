"""The one loop: order of feeding and performing, deadlines, the outermost barrier."""

from collections import defaultdict
from itertools import count, islice

import pytest
import trio
import trio.testing

from sbc.b2bua.commands import Log
from sbc.b2bua.events import CdrDurable, ClockSet
from sbc.b2bua.switch import Switch
from sbc.core.address import Address, Flow, Transport
from sbc.runtime.driver import BEAT_SECONDS, Driver
from sbc.sip.commands import SendMessage
from sbc.sip.events import FlowFailed
from sbc.testing.seeds import seeded_ids
from sbc.testing.world import POLICY, read_policy

OPTIONS = (
    b"OPTIONS sip:10.0.0.1 SIP/2.0\r\nVia: SIP/2.0/TCP 10.0.0.5:5060;branch=z9hG4bKs%d\r\nMax-Forwards: 70\r\n"
    b"From: <sip:a@10.0.0.5>;tag=1\r\nTo: <sip:10.0.0.1>\r\nCall-ID: s%d\r\nCSeq: 1 OPTIONS\r\n"
    b"Content-Length: 0\r\n\r\n"
)
FLOW = Flow(Transport.UDP, "inside", Address("127.0.0.10", 5060), Address("127.0.0.30", 5060))


class Rig:
    def __init__(self, engine, now=trio.current_time, wall=lambda: 1000.0):
        self.engine = engine
        self.sent = []
        self.escaped = []
        self.driver = Driver(
            self.engine,
            lambda error, where: self.escaped.append((str(error), where)),
            now=now,
            wall_at_zero=wall,
        )
        self.driver.performers = {SendMessage: lambda command: self.sent.append(command.data)}


@pytest.fixture
def rig(autojump_clock, engine):
    return Rig(engine)


async def test_every_command_is_performed_before_the_next_input(rig, autojump_clock):
    """A send that fails at once brings an event about; it waits until the other commands have been performed."""
    order = []

    def send(command):
        order.append(command.data)
        if command.data == b"one":
            rig.driver.handle(FlowFailed(FLOW, "refused"))

    rig.driver.performers = {SendMessage: send}
    rig.engine.on_receive = lambda _data, flow: [SendMessage(flow, b"one"), SendMessage(flow, b"two")]
    rig.engine.on_event = lambda _event: [SendMessage(FLOW, b"three")]

    rig.driver.receive(b"x", FLOW)

    assert order == [b"one", b"two", b"three"]


async def test_the_engine_is_ticked_at_its_deadline_and_not_before(rig, autojump_clock):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.driver.run)
        rig.engine.deadlines = [trio.current_time() + 0.5]
        start = trio.current_time()
        await trio.sleep(10)
        nursery.cancel_scope.cancel()

    assert rig.engine.ticks == [pytest.approx(start + 0.5, abs=0.01)]


async def test_a_deadline_brought_forward_by_a_message_wakes_the_loop(rig, autojump_clock):
    def arm(data, flow):
        rig.engine.deadlines.append(trio.current_time() + 0.2)
        return []

    rig.engine.on_receive = arm
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.driver.run)
        await trio.testing.wait_all_tasks_blocked()
        start = trio.current_time()
        rig.driver.receive(b"x", FLOW)
        await trio.sleep(10)
        nursery.cancel_scope.cancel()

    assert rig.engine.ticks == [pytest.approx(start + 0.2, abs=0.01)]


async def test_a_deadline_that_does_not_go_away_does_not_take_the_processor(rig, autojump_clock):
    rig.engine.next_deadline = lambda: 0.0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.driver.run)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()

    assert 50 < len(rig.engine.ticks) <= 101


async def test_an_exception_out_of_the_engine_is_reported_and_the_next_message_is_served(rig, autojump_clock):
    def fail(data, flow):
        if data == b"bad":
            raise RuntimeError("bug")
        return [SendMessage(flow, data)]

    rig.engine.on_receive = fail
    rig.driver.receive(b"bad", FLOW)
    rig.driver.receive(b"good", FLOW)

    assert rig.escaped == [("bug", "receive")]
    assert rig.sent == [b"good"]
    assert rig.driver.failures == 1


async def test_a_command_that_cannot_be_performed_does_not_stop_the_others(rig, autojump_clock):
    rig.engine.on_receive = lambda data, flow: [Log("info", "nobody performs this"), SendMessage(flow, data)]
    rig.driver.receive(b"x", FLOW)

    assert [where for _, where in rig.escaped] == ["Log"]
    assert rig.sent == [b"x"]


async def test_the_wall_clock_is_said_at_start_and_after_a_step(autojump_clock, engine):
    wall = [1000.0]
    rig = Rig(engine, wall=lambda: wall[0])
    rig.driver.start()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.driver.run)
        await trio.sleep(5)
        wall[0] = 1000.01  # ordinary slewing
        await trio.sleep(5)
        wall[0] = 4600.0
        await trio.sleep(5)
        nursery.cancel_scope.cancel()

    assert rig.engine.events == [ClockSet(1000.0), ClockSet(4600.0)]


async def test_lag_is_how_late_the_loop_came(autojump_clock, engine):
    offset = [0.0]
    rig = Rig(engine, now=lambda: trio.current_time() + offset[0])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.driver.run)
        await trio.sleep(BEAT_SECONDS / 2)
        offset[0] = 3.0  # the loop was held up for three seconds
        await trio.sleep(BEAT_SECONDS)
        nursery.cancel_scope.cancel()

    assert rig.driver.lag == pytest.approx(3.0, abs=0.01)


async def test_the_first_beat_is_the_start(rig, autojump_clock):
    rig.driver.start()
    assert rig.driver.beat_at == trio.current_time()


async def test_the_loop_beats_without_deadlines(rig, autojump_clock):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.driver.run)
        await trio.sleep(5.5)
        at = rig.driver.beat_at
        nursery.cancel_scope.cancel()

    assert trio.current_time() - at <= BEAT_SECONDS


async def test_events_are_handed_to_the_engine(rig, autojump_clock):
    rig.driver.handle(CdrDurable("abc"))
    assert rig.engine.events == [CdrDurable("abc")]


@pytest.mark.parametrize("booted", [0.0, 61_234.5])
async def test_a_flood_does_not_put_off_what_is_due(engine, autojump_clock, booted):
    """Messages come more often than every hundredth of a second, and each finds a deadline that is overdue. With large
    numbers a pause of a hundredth may be more than a hundredth, by rounding.
    """
    rig = Rig(engine, now=lambda: trio.current_time() + booted)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.driver.run)
        await trio.testing.wait_all_tasks_blocked()
        start = trio.current_time() + booted
        rig.engine.deadlines = [start - 1.0]
        for _ in range(200):
            rig.driver.receive(b"x", FLOW)
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()

    assert rig.engine.ticks[0] - start < 0.05


@pytest.mark.parametrize("booted", [0.0, 61_234.5])
async def test_what_a_stream_has_been_answered_does_not_pile_up_in_a_flood(autojump_clock, booted):
    """Such a transaction is over when it has been answered (timer J, RFC 3261 §17.2.2) and goes with the next turn.
    Where turns stayed out, or ended only so many, 20,000 of them held 80 MiB.
    """
    switch = Switch(read_policy(POLICY), seeded_ids())
    looks = count()  # each look at the clock is later than the one before
    now = lambda: trio.current_time() + booted + next(looks) * 1e-7  # noqa: E731 - as a clock is handed over
    driver, answers = Driver(switch, lambda error, where: None, now=now), []
    driver.performers = defaultdict(lambda: lambda command: None, {SendMessage: answers.append})
    stream = Flow(Transport.TCP, "inside", Address("10.0.0.1", 5060), Address("10.0.0.5", 40_000), 7)
    asked, most = count(), 0
    async with trio.open_nursery() as nursery:
        nursery.start_soon(driver.run)
        driver.start()
        for _ in range(100):
            for n in islice(asked, 40):
                driver.receive(OPTIONS % (n, n), stream)
            most = max(most, len(switch.endpoint.layer))
            await trio.sleep(0.001)
        nursery.cancel_scope.cancel()
    assert len(answers) >= 4_000
    assert 40 <= most < 800, "those of a turn, and of one that was late"


# --- stopped, or asleep -----------------------------------------------------------------------------------------------


async def test_what_waits_in_the_sockets_is_read_before_a_late_timer_has_its_turn(engine, autojump_clock):
    """A process that was stopped, or a machine that slept: the engine's clock has jumped when the loop goes on."""
    jump = [0.0]
    rig = Rig(engine, now=lambda: trio.current_time() + jump[0])
    order = []
    rig.engine.on_receive = lambda data, _flow: order.append(data) or []
    begun = trio.current_time()
    rig.engine.deadlines = [begun + 0.5]
    ticked = rig.engine.tick
    rig.engine.tick = lambda now: order.append("tick") or ticked(now)

    async def read():
        await trio.sleep_until(begun + 0.5)
        for n in range(50):
            await trio.lowlevel.checkpoint()  # as who reads from a socket that has more
            rig.driver.receive(str(n).encode(), FLOW)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.driver.run)
        nursery.start_soon(read)
        await trio.testing.wait_all_tasks_blocked()
        jump[0] = 30.0
        await trio.sleep(2)
        nursery.cancel_scope.cancel()

    assert order == [*(str(n).encode() for n in range(50)), "tick"]


async def test_a_flood_after_a_stop_does_not_keep_the_timers_waiting(engine, autojump_clock):
    jump = [0.0]
    rig = Rig(engine, now=lambda: trio.current_time() + jump[0])
    begun = trio.current_time()
    rig.engine.deadlines = [begun + 0.5]

    async def flood():
        await trio.sleep_until(begun + 0.5)
        for _ in range(100_000):
            rig.driver.receive(b"x", FLOW)
            jump[0] += 0.001
            if rig.engine.ticks:
                break
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.driver.run)
        nursery.start_soon(flood)
        await trio.testing.wait_all_tasks_blocked()
        jump[0] = 30.0
        await trio.sleep(2)
        nursery.cancel_scope.cancel()

    assert 31.0 < rig.engine.ticks[0] - begun < 32.0
