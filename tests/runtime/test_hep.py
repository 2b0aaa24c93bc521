"""The copy that goes to a capture server: nothing waits for it, and what is lost is counted."""

from collections import Counter

import pytest
import trio
from structlog.testing import capture_logs

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.core.secret import Secret
from sbc.policy.model import Hep
from sbc.runtime.hep import HepExport
from sbc.trace.recorder import Recorder

SERVER = Hep(Address("192.0.2.5", 9060), 7, Secret("s3cret"))
WAY = Flow(Transport.UDP, "inside", Address("192.0.2.1", 5060), Address("192.0.2.9", 5060))
REFUSED = ConnectionRefusedError(111, "Connection refused")


class Wire:
    """A datagram socket that notes what is sent; `fails` is raised instead, once for each in the list."""

    def __init__(self):
        self.sent = []
        self.fails = []
        self.opened = self.closed = 0

    def connect(self, _hep):
        self.opened += 1
        return self

    def send(self, data):
        if self.fails:
            error = self.fails.pop(0)
            if error is not None:
                raise error
        self.sent.append(data)
        return len(data)

    def close(self):
        self.closed += 1


class Stage:
    def __init__(self):
        self.recorder, self.wire, self.drops, self.clock = Recorder(), Wire(), Counter(), [0.0]
        self.export = HepExport(
            self.recorder, self.drops, now=lambda: self.clock[0], wall_at_zero=lambda: 1.7e9, connect=self.wire.connect
        )

    def message(self, data=b"INVITE"):
        self.recorder.message("r", self.clock[0], "ingress", False, data, WAY)

    async def send(self, *fails):
        self.wire.fails = list(fails)
        self.message()
        await self.export.send_waiting()


@pytest.fixture
def stage():
    return Stage()


@pytest.fixture
def log_lines():
    with capture_logs() as lines:
        yield lines


async def test_nothing_is_collected_or_sent_without_a_server(stage):
    stage.message()
    await stage.export.send_waiting()
    assert (stage.wire.opened, stage.recorder.fetch(9)) == (0, [])


async def test_messages_are_sent_while_it_runs_and_none_after_it_was_switched_off(stage, autojump_clock):
    async with trio.open_nursery() as nursery:
        await nursery.start(stage.export.run)
        stage.export.set_policy(SERVER)
        stage.message()
        stage.message()
        await trio.sleep(1)
        assert len(stage.wire.sent) == 2
        assert stage.wire.sent[0].startswith(b"HEP3")
        assert b"s3cret" in stage.wire.sent[0]
        stage.export.set_policy(None)
        stage.message()
        await trio.sleep(1)
        assert (len(stage.wire.sent), stage.wire.closed) == (2, 1)
        nursery.cancel_scope.cancel()


async def test_a_message_that_nobody_can_lay_out_ends_nothing(stage, autojump_clock, log_lines):
    stage.export.set_policy(SERVER)
    async with trio.open_nursery() as nursery:
        await nursery.start(stage.export.run)
        nowhere = Flow(Transport.UDP, "inside", Address("not an address", 5060), Address("192.0.2.9", 5060))
        stage.recorder.message("r", 0.0, "ingress", False, b"INVITE", nowhere)
        await trio.sleep(0.5)
        stage.message()
        await trio.sleep(0.5)
        nursery.cancel_scope.cancel()
    assert (len(stage.wire.sent), stage.drops["hep"]) == (1, 1)
    assert [(line["event"], line["where"]) for line in log_lines if line.get("alarm")] == [("engine.failure", "hep")]


async def test_a_long_queue_leaves_the_loop_its_turns(stage):
    stage.export.set_policy(SERVER)
    for _ in range(200):
        stage.message()
    turns = []

    async def others():
        while len(stage.wire.sent) < 200:
            turns.append(len(stage.wire.sent))
            await trio.lowlevel.checkpoint()

    async with trio.open_nursery() as nursery:
        nursery.start_soon(others)
        await stage.export.send_waiting()
    assert len(turns) >= 5


# BOUND: HEP_QUEUE
async def test_what_does_not_fit_is_dropped_and_counted(stage, monkeypatch):
    monkeypatch.setattr(limits, "HEP_QUEUE", 3)
    stage.export.set_policy(SERVER)
    for _ in range(5):
        stage.message()
    stage.wire.fails = [BlockingIOError()]
    await stage.export.send_waiting()
    await stage.export.send_waiting()
    assert (len(stage.wire.sent), stage.drops) == (2, {"hep": 3})


async def test_a_message_that_fits_in_no_datagram_is_dropped(stage):
    stage.export.set_policy(SERVER)
    stage.message(b"x" * 66_000)
    await stage.export.send_waiting()
    assert stage.drops == {"hep": 1}


async def test_a_server_that_is_gone_for_long_is_an_alarm_and_its_return_is_said(stage, log_lines):
    stage.export.set_policy(SERVER)
    for second in range(0, 40, 2):
        stage.clock[0] = float(second)
        await stage.send(None if second % 4 == 0 else REFUSED)  # the answer comes with the next one
    alarm = [line for line in log_lines if line["event"] == "hep.unreachable"]
    assert len(alarm) == 1
    assert alarm[0]["alarm"]
    assert alarm[0]["server"] == "udp:192.0.2.5:9060"
    assert stage.drops["hep"] == 10
    for second in range(40, 50):
        stage.clock[0] = float(second)
        await stage.send()
    assert [line["event"] for line in log_lines] == ["hep.unreachable", "hep.reachable"]


async def test_a_short_absence_is_no_alarm(stage, log_lines):
    stage.export.set_policy(SERVER)
    for second in (0, 1, 2):
        stage.clock[0] = float(second)
        await stage.send(REFUSED)
    for second in (10, 60, 61):
        stage.clock[0] = float(second)
        await stage.send()
    stage.clock[0] = 90.0
    await stage.send(REFUSED)
    assert log_lines == []


async def test_where_no_way_leads_it_is_asked_anew_each_time(stage):
    stage.export.set_policy(SERVER)
    await stage.send(OSError(101, "Network is unreachable"))
    await stage.send()
    assert (stage.wire.opened, stage.wire.closed, len(stage.wire.sent)) == (2, 1, 1)


async def test_another_server_is_another_socket_and_ends_the_alarm_of_the_old_one(stage, log_lines):
    stage.export.set_policy(SERVER)
    for second in (0, 40):
        stage.clock[0] = float(second)
        await stage.send(REFUSED)
    stage.export.set_policy(Hep(Address("192.0.2.6", 9060)))
    assert [line["event"] for line in log_lines] == ["hep.unreachable", "hep.reachable"]
    await stage.send()
    assert stage.wire.opened == 2
    stage.export.set_policy(Hep(Address("192.0.2.6", 9060)))
    await stage.send()
    assert stage.wire.opened == 2
