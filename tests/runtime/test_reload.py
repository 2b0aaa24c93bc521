"""A reload takes the whole policy or nothing of it, and says what is in the way."""

import pytest
import structlog
import trio

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


class Rig:
    def __init__(self):
        self.text = POLICY
        self.in_force = []
        self.reads = 0
        self.reloader = Reloader(policy(), self.load, self.in_force.append)

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
    assert await rig.reload("call_paths: 4", "call_paths: 6") == []
    [new] = rig.in_force
    assert new.peers["carrier"].paths.total == 6
    assert said[-1]["event"] == "reload.done"


async def test_lines_that_moved_in_the_files_need_no_restart(rig):
    assert await rig.reload("interfaces:", "# a comment\n\ninterfaces:") == []


async def test_every_error_is_said_and_logged_and_nothing_changes(rig, said):
    problems = await rig.reload("call_paths: 4", "call_paths: many, cps: 0x")
    assert len(problems) == 2
    assert all(problem.startswith("policy.yaml:") for problem in problems)
    assert rig.in_force == []
    assert [line["text"] for line in said if line["event"] == "reload.refused"] == problems

    assert await rig.reload("call_paths: many, cps: 0x", "call_paths: 5") == []
    assert len(rig.in_force) == 1


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ("name: hq", "name: other", "sbc.name: `other` instead of `hq` needs a restart"),
        ("/var/lib/sbc", "/elsewhere", "sbc.data_dir: `/elsewhere` instead of `/var/lib/sbc` needs a restart"),
        ("127.0.0.1:8088", "off", "sbc.admin: `off` instead of `127.0.0.1:8088` needs a restart"),
        ("20000-20999", "20000-21999", "media.ports: 20000-21999 instead of 20000-20999 needs a restart"),
        ("media: {", "media: {workers: 2, ", "media.workers: 2 instead of 1 needs a restart"),
        ("127.0.0.20:5060", "127.0.0.20:5070", "policy.yaml:5:3: the change of interface outside needs a restart"),
        (
            "media: {ports",
            '  third: {sip: ["udp:127.0.0.50:5060"], media: 127.0.0.50}\nmedia: {ports',
            "policy.yaml:6:3: the new interface third needs a restart",
        ),
    ],
)  # fmt: skip
async def test_what_is_bound_to_open_sockets_and_files_is_named_and_refused(rig, before, after, problem):
    assert await rig.reload(before, after) == [problem]
    assert rig.in_force == []


async def test_the_engine_and_the_time_outs_of_media_may_change(rig):
    assert await rig.reload("media: {", "media: {engine: userland, silence_timeout: off, orphan_timeout: 2h, ") == []
    [new] = rig.in_force
    assert (new.media.engine, new.media.silence_timeout, new.media.orphan_timeout) == ("userland", 0.0, 7200.0)


async def test_an_interface_that_is_taken_away_is_named(rig):
    rig.text = rig.text.replace('  outside: {sip: ["udp:127.0.0.20:5060"], media: 127.0.0.20}\n', "")
    rig.text = rig.text.replace("interface: outside", "interface: inside")
    assert await rig.reload() == ["interfaces.outside: taking it away needs a restart"]


async def test_a_bug_in_reading_is_a_problem_and_no_end(rig, monkeypatch):
    def broken():
        raise KeyError("x")

    monkeypatch.setattr(rig.reloader, "_load", broken)
    [problem] = await rig.reload()
    assert "KeyError('x')" in problem
    assert rig.in_force == []


async def test_two_reloads_at_once_come_one_after_the_other(rig):
    async with trio.open_nursery() as nursery:
        nursery.start_soon(rig.reload)
        nursery.start_soon(rig.reload)
    assert (rig.reads, len(rig.in_force)) == (2, 2)
