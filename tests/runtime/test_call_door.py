"""The door for a test call: one at a time, closed by whoever opened it or by itself, and never half open."""

import json

import pytest
import structlog
import trio

from sbc.admin.testcall import CloseDoor, OpenDoor
from sbc.core.address import Address
from sbc.policy.load import Source, parse_policy
from sbc.policy.testcall import TESTER, Wanted
from sbc.runtime.call_door import GRACE_SECONDS, CallDoor
from sbc.testing.seeds import seeded_ids

POLICY = b"""
interfaces:
  inside: {sip: udp:127.0.0.10:5060, media: 127.0.0.10}
pbxs:
  office: {interface: inside, address: sip:127.0.0.30:5060, dids: "+14155550100-+14155550199"}
trunks:
  carrier-a: {interface: inside, servers: sip:127.0.0.40:5060}
"""
ORDER = OpenDoor(Wanted("carrier-a", "+14155550100", Address(TESTER, 40_000), seconds=5))


class Program:
    """What the door is laid over. `problems`: of the next change."""

    def __init__(self):
        self.laid = []
        self.ended = 0
        self.problems = []
        policy = parse_policy([Source("a.yaml", POLICY)])
        self.door = CallDoor(lambda: policy, self.lay_over, self.end_calls, seeded_ids())

    async def lay_over(self, door):
        await trio.lowlevel.checkpoint()
        if not self.problems:
            self.laid.append(door)
        return self.problems

    def end_calls(self):
        self.ended += 1


@pytest.fixture
async def program(nursery):
    program = Program()
    await nursery.start(program.door.run)
    return program


async def test_it_is_opened_and_closed_by_its_tester(program):
    reply = await program.door.open(ORDER)

    told = json.loads(reply.body)
    assert reply.status == 201
    assert [door.wanted for door in program.laid] == [ORDER.wanted]
    assert told["address"] == str(program.laid[0].listen)
    assert len(told["password"]) >= 32
    assert json.loads((await program.door.close(CloseDoor())).body) == {"open": True}
    assert (program.laid[1:], program.ended) == ([None], 1)


async def test_no_two_have_the_same_password(program):
    passwords = set()
    for _ in range(2):
        passwords.add(json.loads((await program.door.open(ORDER)).body)["password"])
        await program.door.close(CloseDoor())

    assert len(passwords) == 2


async def test_a_second_one_is_refused_and_the_first_stays(program):
    await program.door.open(ORDER)

    assert (await program.door.open(ORDER)).status == 409
    assert len(program.laid) == 1


async def test_one_that_is_forgotten_closes_by_itself(program, autojump_clock):
    await program.door.open(ORDER)
    await trio.sleep(ORDER.wanted.seconds + GRACE_SECONDS - 1)
    assert program.laid[-1] is not None

    await trio.sleep(2)

    assert program.laid[-1] is None
    assert program.ended == 1


async def test_the_next_one_has_its_whole_time(program, autojump_clock):
    await program.door.open(ORDER)
    await trio.sleep(60)
    await program.door.close(CloseDoor())
    await program.door.open(ORDER)
    await trio.sleep(60)
    assert program.laid[-1] is not None

    await trio.sleep(GRACE_SECONDS)

    assert program.laid[-1] is None


async def test_closing_what_is_not_open_does_nothing(program):
    assert json.loads((await program.door.close(CloseDoor())).body) == {"open": False}
    assert (program.laid, program.ended) == ([], 0)


async def test_one_that_cannot_be_opened_says_why_and_the_next_may(program):
    program.problems = ["udp:127.0.0.1:5060: address in use"]

    reply = await program.door.open(ORDER)

    assert reply.status == 503
    assert "address in use" in json.loads(reply.body)["detail"]
    program.problems = []
    assert (await program.door.open(ORDER)).status == 201


async def test_what_policy_does_not_allow_opens_nothing(program):
    reply = await program.door.open(OpenDoor(Wanted("carrier-a", "911", Address(TESTER, 40_000))))

    assert reply.status == 409
    assert "emergency" in json.loads(reply.body)["detail"]
    assert program.laid == []


async def test_a_bug_in_closing_is_an_alarm_and_no_end_of_the_program(program, monkeypatch, autojump_clock):
    def broken():
        raise KeyError("x")

    monkeypatch.setattr(program.door, "_end_calls", broken)
    await program.door.open(ORDER)
    with structlog.testing.capture_logs() as lines:
        await trio.sleep(ORDER.wanted.seconds + GRACE_SECONDS + 1)
    assert ("engine.failure", "testcall") in [(line["event"], line.get("where")) for line in lines]
    assert (await program.door.open(ORDER)).status == 201
