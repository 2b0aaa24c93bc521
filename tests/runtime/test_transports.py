"""Listeners that a reload adds, changes and takes away, on the sockets of a keeper."""

import errno
import socket
from collections import Counter
from contextlib import asynccontextmanager

import pytest
import structlog
import trio

from sbc.core.address import Address, Transport
from sbc.core.errors import OperatorError
from sbc.policy.model import Interface, Listener, Where
from sbc.runtime.driver import Driver
from sbc.runtime.transports import Transports

MESSAGE = b"OPTIONS sip:sbc@127.0.0.1 SIP/2.0\r\nContent-Length: 0\r\n\r\n"


class Keeper:
    """Sockets on loopback; `held` are those that have not been given back."""

    def __init__(self):
        self.held = set()
        self.taken = set()  # ports of somebody else
        self.places = {}  # where a port is in truth

    def listen(self, kind, host, port, dscp):
        if port in self.taken:
            raise OSError(errno.EADDRINUSE, "in use")
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM if kind == "udp" else socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.bind((host, 0))
        if kind == "tcp":
            sock.listen()
        self.held.add((kind, port))
        self.places[kind, port] = sock.getsockname()
        return sock

    def close_listener(self, kind, host, port):
        self.held.discard((kind, port))


class Engine:
    has_former_peers = False

    def __init__(self):
        self.needed = set()  # ports
        self.strangers = set()  # interfaces
        self.broken = set()  # ports, of which it raises

    def knows(self, interface, host, port, transport):
        return interface not in self.strangers

    def lets_go(self, transport, local):
        if local.port in self.broken:
            raise KeyError(local.port)
        return local.port not in self.needed


def interface(name, *listeners, dscp=0):
    made = tuple(
        Listener(Transport(kind), Address("127.0.0.1", int(port)))
        for kind, port in (one.split(":") for one in listeners)
    )
    return Interface(name, made, ("127.0.0.1",), dscp_sip=dscp, where=Where("a.yaml", 3, 3))


class Rig:
    def __init__(self, engine, *interfaces):
        self.engine = engine
        self.keeper, self.neighbours = Keeper(), Engine()
        self.driver = Driver(engine, print)
        first = Transports((), self.driver, self.neighbours, Counter(), trio.current_time, self.keeper)
        opened = first.open(interfaces, ())
        self.transports = Transports(opened, self.driver, self.neighbours, Counter(), trio.current_time, self.keeper)

    def reload(self, *interfaces):
        opened = self.transports.open(interfaces, ("127.0.0.1",))
        self.transports.change(interfaces, opened)


@pytest.fixture
async def rig(engine, nursery):
    made = Rig(engine, interface("inside", "udp:5060", "tcp:5060"))
    await nursery.start(made.transports.run)
    made.transports.listen()
    yield made
    made.transports.close_all()


async def test_a_listener_more_is_opened(rig):
    rig.reload(interface("inside", "udp:5060", "tcp:5060", "udp:5070"))
    assert rig.keeper.held == {("udp", 5060), ("tcp", 5060), ("udp", 5070)}
    assert rig.transports.removed == 0


async def test_one_that_is_removed_is_closed_when_nothing_needs_it(rig, autojump_clock):
    rig.neighbours.needed = {5060}
    rig.reload(interface("inside", "udp:5070"))
    await trio.sleep(60)
    assert rig.transports.removed == 2
    assert ("udp", 5060) in rig.keeper.held
    rig.neighbours.needed.clear()
    await trio.sleep(2)
    assert rig.transports.removed == 0
    assert rig.keeper.held == {("udp", 5070)}


async def test_an_engine_that_fails_over_one_is_an_alarm_and_is_asked_again(rig, autojump_clock):
    rig.neighbours.broken = {5060}
    with structlog.testing.capture_logs() as lines:
        rig.reload(interface("inside", "udp:5070"))
        await trio.sleep(5)
    assert ("engine.failure", "listeners") in [(line["event"], line.get("where")) for line in lines]
    rig.neighbours.broken.clear()
    await trio.sleep(20)
    assert rig.transports.removed == 0


async def test_one_that_comes_back_is_not_opened_again_nor_closed(rig, autojump_clock):
    rig.neighbours.needed = {5060}
    rig.reload(interface("inside", "udp:5070"))
    await trio.sleep(5)
    rig.reload(interface("inside", "udp:5060", "tcp:5060"))
    rig.neighbours.needed.clear()
    await trio.sleep(60)
    assert rig.keeper.held == {("udp", 5060), ("tcp", 5060)}


async def test_one_that_cannot_be_opened_is_named_with_its_place_and_nothing_stays_open(rig):
    rig.keeper.taken = {5090}
    with pytest.raises(OperatorError, match=r"^a\.yaml:3:3: interfaces\.inside\.sip udp:127\.0\.0\.1:5090: address al"):
        rig.reload(interface("inside", "udp:5060", "udp:5070", "udp:5090"))
    assert rig.keeper.held == {("udp", 5060), ("tcp", 5060)}


async def test_a_mark_is_set_on_the_open_socket(rig):
    rig.reload(interface("inside", "udp:5060", "tcp:5060", dscp=24))
    marks = {entry.socket.getsockopt(socket.IPPROTO_IP, socket.IP_TOS) >> 2 for entry in rig.transports._open.values()}
    assert marks == {24}


async def test_a_listener_may_move_to_another_interface(rig):
    rig.reload(interface("renamed", "udp:5060", "tcp:5060"))
    assert rig.transports.removed == 0
    assert {udp.interface for udp in rig.transports._udp.values()} == {"renamed"}


@asynccontextmanager
async def connected(rig):
    """A stream, and the flows by which its messages have come."""
    tell, told = trio.open_memory_channel(10)
    rig.engine.on_receive = lambda _data, flow: tell.send_nowait(flow) or []
    async with await trio.open_tcp_stream(*rig.keeper.places["tcp", 5060]) as stream:
        await stream.send_all(MESSAGE)
        yield stream, told


async def test_who_is_connected_is_heard_by_the_new_name_of_the_interface(rig):
    async with connected(rig) as (stream, told):
        before = await told.receive()
        rig.reload(interface("renamed", "udp:5060", "tcp:5060"))
        rig.neighbours.strangers = {"inside"}
        await stream.send_all(MESSAGE)
        after = await told.receive()
    assert (before.interface, after.interface) == ("inside", "renamed")
    assert before.connection == after.connection


async def test_the_connection_of_who_was_a_peer_only_for_a_call_is_closed_when_that_is_over(rig, autojump_clock):
    async with connected(rig) as (stream, told):
        await told.receive()
        rig.neighbours.has_former_peers = True
        rig.reload(interface("inside", "udp:5060", "tcp:5060"))
        await trio.sleep(100)
        rig.neighbours.has_former_peers, rig.neighbours.strangers = False, {"inside"}
        with trio.fail_after(30):
            assert await stream.receive_some() == b""
