"""A reload takes the whole policy or nothing of it, and says what is in the way."""

import pytest
import structlog
import trio

from sbc.core.errors import OperatorError
from sbc.policy.changes import Change, Changes
from sbc.policy.load import Source, parse_policy
from sbc.runtime.reload import Reloader

POLICY = """
sbc: {name: hq, data_dir: /var/lib/sbc, admin: "127.0.0.1:8088"}
interfaces:
  inside: {sip: ["udp:127.0.0.10:5060"], media: 127.0.0.10}
  outside: {sip: ["udp:127.0.0.20:5060"], media: 127.0.0.20}
media: {ports: 20000-20999}
pbxs:
  office: {interface: inside, address: "sip:127.0.0.30:5060", dids: ["+14155550100"]}
trunks:
  carrier: {interface: outside, servers: ["sip:127.0.0.40:5060"], call_paths: 4}
routes:
  - {name: out, from: office, to: ["+X."], via: [carrier]}
"""


def policy(text=POLICY):
    return parse_policy([Source("policy.yaml", text.encode())])


class Opened:
    def __init__(self, rig, policy):
        self.rig, self.policy = rig, policy

    def put_in_force(self):
        self.rig.in_force.append(self.policy)

    def drop(self):
        self.rig.dropped += 1


class Rig:
    def __init__(self):
        self.text = POLICY
        self.in_force = []
        self.dropped = self.reads = 0
        self.taken = ""  # why nothing can be opened
        self.reloader = Reloader(policy(), self.load, self.prepare)

    def prepare(self, policy):
        if self.taken:
            raise OperatorError(self.taken)
        return Opened(self, policy)

    def load(self):
        self.reads += 1
        return policy(self.text)

    async def reload(self, before="", after=""):
        assert before in self.text
        self.text = self.text.replace(before, after)
        return await self.reloader.reload()


@pytest.fixture
def rig():
    return Rig()


@pytest.fixture
def said():
    with structlog.testing.capture_logs() as lines:
        yield lines


async def test_a_changed_cap_is_in_force(rig, said):
    changes = await rig.reload("call_paths: 4", "call_paths: 6")
    assert changes == Changes(trunks=Change(changed=("carrier",)))
    [new] = rig.in_force
    assert new.peers["carrier"].paths.total == 6
    assert (said[-1]["event"], said[-1]["changes"]) == ("reload.done", "trunks: ~ carrier")


async def test_lines_that_moved_in_the_files_need_no_restart(rig):
    assert (await rig.reload("interfaces:", "# a comment\n\ninterfaces:")).text == "nothing"


async def test_every_error_is_said_and_logged_and_nothing_changes(rig, said):
    problems = await rig.reload("call_paths: 4", "call_paths: many, cps: 0x")
    assert len(problems) == 2
    assert all(problem.startswith("policy.yaml:") for problem in problems)
    assert rig.in_force == []
    refused = [line for line in said if line["event"] == "reload.refused"]
    assert [line["text"] for line in refused] == problems
    assert [line.get("alarm") for line in refused] == [True, None]  # one alarm for one reload

    assert (await rig.reload("call_paths: many, cps: 0x", "call_paths: 5")).text == "trunks: ~ carrier"
    assert len(rig.in_force) == 1


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("name: hq", "name: other", "2:13: sbc.name: `other` instead of `hq`"),
        ("/var/lib/sbc", "/elsewhere", "2:27: sbc.data_dir: `/elsewhere` instead of `/var/lib/sbc`"),
        ("127.0.0.1:8088", "off", "2:48: sbc.admin: `off` instead of `127.0.0.1:8088`"),
        ("20000-20999", "20000-21999", "6:16: media.ports: `20000-21999` instead of `20000-20999`"),
        ("media: {", "media: {workers: 2, ", "6:18: media.workers: `2` instead of `1`"),
    ],
)  # fmt: skip
async def test_what_the_program_has_taken_for_good_is_named_and_refused(rig, before, after, problem):
    assert await rig.reload(before, after) == [f"policy.yaml:{problem} needs a restart"]
    assert rig.in_force == []
    assert rig.dropped == 1


async def test_all_that_needs_a_restart_is_named_at_once_with_what_cannot_be_opened(rig):
    rig.taken = "policy.yaml:5:3: interfaces.outside.sip udp:127.0.0.20:5070: address already in use"
    rig.text = rig.text.replace("name: hq", "name: other").replace("media: {", "media: {workers: 2, ")
    problems = await rig.reload("127.0.0.20:5060", "127.0.0.20:5070")
    places = [problem.split()[0] for problem in problems]
    assert places == ["policy.yaml:2:13:", "policy.yaml:6:18:", "policy.yaml:5:3:"]
    assert rig.in_force == []


@pytest.mark.parametrize(
    ("before", "after", "summary"),
    [
        (
            "127.0.0.20:5060",
            "127.0.0.20:5070",
            "interfaces: ~ outside; listeners: + udp:127.0.0.20:5070, - udp:127.0.0.20:5060",
        ),
        (
            "media: {ports",
            '  third: {sip: ["udp:127.0.0.50:5060"], media: 127.0.0.50}\nmedia: {ports',
            "interfaces: + third; listeners: + udp:127.0.0.50:5060",
        ),
        ("media: 127.0.0.20}", "media: 127.0.0.21, dscp: {sip: cs3}}", "interfaces: ~ outside"),
    ],
)
async def test_interfaces_and_listeners_may_change(rig, before, after, summary):
    assert (await rig.reload(before, after)).text == summary
    assert len(rig.in_force) == 1


async def test_what_is_laid_over_the_policy_is_applied_anew(rig):
    assert await rig.reloader.again() == []
    assert len(rig.in_force) == 1
    rig.taken = "no room"
    assert await rig.reloader.again() == ["no room"]
    assert len(rig.in_force) == 1


async def test_the_engine_and_the_time_outs_of_media_may_change(rig):
    await rig.reload("media: {", "media: {engine: userland, silence_timeout: off, orphan_timeout: 2h, ")
    [new] = rig.in_force
    assert (new.media.engine, new.media.silence_timeout, new.media.orphan_timeout) == ("userland", 0.0, 7200.0)


async def test_a_bug_in_reading_is_a_problem_and_no_end(rig, monkeypatch):
    def broken():
        raise KeyError("x")

    monkeypatch.setattr(rig.reloader, "_load", broken)
    [problem] = await rig.reload()
    assert "KeyError('x')" in problem
    assert rig.in_force == []


async def test_a_bug_in_putting_in_force_is_a_problem_and_no_end(rig, monkeypatch):
    def broken(policy):
        raise KeyError("x")

    monkeypatch.setattr(rig.reloader, "_prepare", broken)
    [problem] = await rig.reload()
    assert "KeyError('x')" in problem
    [problem] = await rig.reloader.again()
    assert "KeyError('x')" in problem


async def test_two_reloads_at_once_come_one_after_the_other(rig):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.reload)
        nursery.start_soon(rig.reload)
    assert (rig.reads, len(rig.in_force)) == (2, 2)
