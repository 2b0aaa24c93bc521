"""What the kernel is told of bans: everything at first, then what changes; a helper that fails is an alarm."""

import socket

import pytest
import trio

from sbc.core import limits
from sbc.core.commands import BlockAll, BlockSource
from sbc.policy.load import Source, parse_policy
from sbc.runtime import ban_wire
from sbc.runtime.ban_mirror import BanMirror
from sbc.runtime.ban_wire import Answer, Banned, Change, Clear, Replace

POLICY = """
sbc: {name: test, data_dir: /nowhere, bans: {nftables: NFTABLES}}
interfaces: {inside: {sip: [udp:10.0.0.1:5060, tcp:10.0.0.1:5061], media: 10.0.0.1}}
pbxs: {office: {interface: inside, address: sip:10.0.0.5:5060}}
"""


def policy(nftables="true"):
    return parse_policy([Source("p.yaml", POLICY.replace("NFTABLES", nftables).encode())])


class Helper:
    """The other end, in the same loop. `faults`: what it answers, in turn; then all is well."""

    def __init__(self, faults=()):
        self.heard = []
        self.connections = 0
        self.faults = list(faults)
        self.is_there = True
        self._nursery = None

    def connect(self):
        if not self.is_there:
            raise OSError(2, "/run/sbc/bans.sock: no such file or directory")
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        theirs.setblocking(False)
        self.connections += 1
        self._nursery.start_soon(self._serve, theirs)
        return ours

    async def _serve(self, theirs):
        with theirs:
            while True:
                await trio.lowlevel.wait_readable(theirs)
                data = theirs.recv(ban_wire.MESSAGE_OCTETS)
                if not data:
                    return
                self.heard.append(ban_wire.decode_message(data))
                theirs.send(ban_wire.encode(Answer(self.faults.pop(0) if self.faults else "")))


@pytest.fixture
async def told(nursery):
    """`told(helper)`: a mirror that runs."""

    def start(helper, rules="true"):
        helper._nursery = nursery
        mirror = BanMirror(policy(rules), trio.current_time, connect=helper.connect)
        nursery.start_soon(mirror.run)
        return mirror

    return start


async def settled():
    await trio.sleep(1.0)


async def test_the_whole_list_then_what_changes(autojump_clock, told):
    helper = Helper()
    mirror = told(helper)
    mirror.perform(BlockAll((("192.0.2.1", 60.0),)))
    await settled()
    assert helper.heard == [Replace((5060, 5061), (Banned("192.0.2.1", 60),))]
    mirror.perform(BlockSource("192.0.2.2", 600.0))
    mirror.perform(BlockSource("192.0.2.1", 0.0))
    await settled()
    assert helper.heard[1:] == [Change(("192.0.2.1",), (Banned("192.0.2.2", 600),))]


async def test_peers_and_we_ourselves_are_never_said(autojump_clock, told):
    helper = Helper()
    mirror = told(helper)
    mirror.perform(BlockAll(tuple((host, 60.0) for host in ("10.0.0.5", "10.0.0.1", "127.0.0.9", "192.0.2.1"))))
    await settled()
    assert helper.heard == [Replace((5060, 5061), (Banned("192.0.2.1", 60),))]


async def test_a_list_longer_than_a_message_comes_in_several(autojump_clock, told):
    helper = Helper()
    mirror = told(helper)
    sources = tuple((f"192.{a}.{b}.1", 60.0) for a in range(10, 14) for b in range(250, 255) for _ in (0,))
    many = tuple((f"198.51.{n >> 8}.{n & 255}", 60.0) for n in range(limits.BANS_AT_ONCE * 2 + 5))
    mirror.perform(BlockAll((*sources, *many)))
    await settled()
    assert [type(message) for message in helper.heard] == [Replace, Change, Change]
    assert sum(len(message.bans) for message in helper.heard) == len(sources) + len(many)
    assert all(len(ban_wire.encode(message)) < ban_wire.MESSAGE_OCTETS for message in helper.heard)


async def test_where_it_is_off_nobody_is_asked(autojump_clock, told):
    helper = Helper()
    mirror = told(helper, "false")
    mirror.perform(BlockAll((("192.0.2.1", 60.0),)))
    await settled()
    assert (helper.connections, helper.heard) == (0, [])
    mirror.set_policy(policy("true"))
    await settled()
    assert helper.heard == [Replace((5060, 5061), (Banned("192.0.2.1", 59),))]
    mirror.set_policy(policy("false"))
    await settled()
    assert helper.heard[1:] == [Clear()]


async def test_no_helper_is_one_alarm_and_it_is_tried_again(autojump_clock, told, capsys):
    helper = Helper()
    helper.is_there = False
    mirror = told(helper)
    mirror.perform(BlockSource("192.0.2.1", 600.0))
    await trio.sleep(100.0)
    helper.is_there = True
    await trio.sleep(40.0)
    assert isinstance(helper.heard[0], Replace)
    assert [ban.source for ban in helper.heard[0].bans] == ["192.0.2.1"]
    said = capsys.readouterr().out
    assert (said.count("ban.not_mirrored"), said.count("ban.mirrored")) == (1, 1)


async def test_a_kernel_that_refuses_is_told_all_again(autojump_clock, told):
    helper = Helper(["Error: No such file or directory"])
    mirror = told(helper)
    mirror.perform(BlockSource("192.0.2.1", 600.0))
    await trio.sleep(10.0)
    assert [type(message) for message in helper.heard] == [Replace, Replace]
    assert helper.connections == 2


async def test_all_is_said_again_when_nothing_has_changed_for_long(autojump_clock, told):
    helper = Helper()
    told(helper)
    await trio.sleep(1000.0)
    assert len(helper.heard) == 4
    assert set(map(type, helper.heard)) == {Replace}
