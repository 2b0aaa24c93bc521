"""The policy in force: what is laid over it stays over every policy that a reload brings."""

import trio
import trio.testing

from sbc.core.address import Address
from sbc.core.errors import OperatorError
from sbc.core.secret import Secret
from sbc.policy.load import Source, parse_policy
from sbc.policy.testcall import NAME, TESTER, Wanted, plan_door
from sbc.runtime.in_force import PolicyInForce

POLICY = """
interfaces:
  inside: {sip: udp:127.0.0.10:5060, media: 127.0.0.10}
pbxs:
  office: {interface: inside, address: sip:127.0.0.30:5060, dids: "+14155550100-+14155550199"}
trunks:
  carrier-a: {interface: inside, servers: sip:127.0.0.40:5060}
"""


def policy(text=POLICY):
    return parse_policy([Source("a.yaml", text.encode())])


def door():
    wanted = Wanted("carrier-a", "+14155550100", Address(TESTER, 40_000), seconds=5)
    return plan_door(policy(), wanted, Address("127.0.0.1", 5999), Secret("x" * 32))


class Program:
    """Everything else. `taken`: why nothing can be opened."""

    def __init__(self, *, has_files=True):
        self.text = POLICY
        self.taken = ""
        self.told = []
        self.place = PolicyInForce(policy(), (lambda: policy(self.text)) if has_files else None, self)

    def open_for(self, policy):
        if self.taken:
            raise OperatorError(self.taken)
        return ()

    def put_in_force(self, policy, opened):
        assert self.place.policy is policy
        self.told.append(policy)

    def drop(self, opened):
        raise AssertionError("nothing was opened")


async def test_a_reload_is_told_to_the_program():
    program = Program()
    program.text += "  carrier-b: {interface: inside, servers: sip:127.0.0.41:5060}\n"
    await program.place.reload()

    assert [set(policy.peers) for policy in program.told] == [{"office", "carrier-a", "carrier-b"}]


async def test_a_door_outlives_a_reload_and_is_taken_away_from_the_new_policy():
    program = Program()
    assert await program.place.lay_door(door()) == []
    assert NAME in program.place.policy.peers
    program.text += "  carrier-b: {interface: inside, servers: sip:127.0.0.41:5060}\n"
    await program.place.reload()
    assert {NAME, "carrier-b"} <= set(program.place.policy.peers)
    assert await program.place.lay_door(None) == []
    assert set(program.place.policy.peers) == {"office", "carrier-a", "carrier-b"}


async def test_a_door_that_cannot_be_opened_is_not_laid_over_the_next_policy_either():
    program = Program()
    program.taken = "no port is free"
    assert await program.place.lay_door(door()) == ["no port is free"]
    assert program.told == []
    program.taken = ""
    await program.place.reload()
    assert NAME not in program.place.policy.peers


async def test_a_tester_that_goes_away_while_a_reload_is_under_way_leaves_no_half_of_a_door():
    """Half of one would be opened by the next reload, and nobody would close it."""
    program, answers = Program(), []
    async with trio.open_nursery() as nursery:
        nursery.start_soon(program.place.reload)
        await trio.testing.wait_all_tasks_blocked()
        with trio.CancelScope() as tester:
            tester.cancel()
            answers.append(await program.place.lay_door(door()))
    assert NAME in program.place.policy.peers
    assert answers == [[]]  # so that whoever asked knows, and can close it


async def test_without_files_there_is_nothing_to_reload():
    program = Program(has_files=False)

    [problem] = await program.place.reload()
    assert "did not read its policy from files" in problem
    assert program.told == []
