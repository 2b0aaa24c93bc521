"""The watch of links and addresses: what it is told by the kernel, what it tells, and what it does without one."""

import ipaddress
import socket

import pytest
import structlog
import trio

from sbc.core.address import Address, Transport
from sbc.policy.model import Interface, Listener
from sbc.runtime import network
from sbc.runtime.links import Held, Link, Picture
from sbc.runtime.network import NetworkWatch

WAN = Interface("wan", (Listener(Transport.UDP, Address("192.0.2.1", 5060)),), ("192.0.2.1",))


def picture(*, is_up=True):
    return Picture((Link("eth1", is_up=is_up),), (Held(ipaddress.ip_interface("192.0.2.1/24"), "eth1"),))


class News:
    """A netlink socket of which only this is used: it can be waited for, and drained."""

    def __init__(self, monkeypatch):
        self.ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        monkeypatch.setattr(network, "open_news", lambda: theirs)

    def changes(self):
        self.ours.send(b"x")


@pytest.fixture
def news(monkeypatch):
    made = News(monkeypatch)
    with made.ours:
        yield made


async def test_a_loss_and_a_return_are_told(news):
    tell, told = trio.open_memory_channel(10)
    pictures = iter([picture(), picture(is_up=False), picture()])
    watch = NetworkWatch({"wan": WAN}, tell.send_nowait, read=lambda: next(pictures))
    news.changes()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watch.run)
        assert (await told.receive()).missing == ("192.0.2.1",)
        news.changes()
        assert (await told.receive()).missing == ()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize("error", [PermissionError(1, "not permitted"), ImportError("no pyroute2"), KeyError("index")])
async def test_without_netlink_one_line_says_so_and_the_program_runs_on(news, error, autojump_clock):
    def broken():
        raise error

    with structlog.testing.capture_logs() as lines:
        await NetworkWatch({"wan": WAN}, print, read=broken).run()
    assert [(line["event"], line["log_level"]) for line in lines] == [("network.not_watched", "warning")]


class Readings:
    """Pictures, and errors, one after the other; the last one again and again."""

    def __init__(self, *readings):
        self.left = list(readings)

    def read(self):
        found = self.left.pop(0) if len(self.left) > 1 else self.left[0]
        if isinstance(found, Exception):
            raise found
        return found


async def test_a_reading_that_fails_is_tried_again(news, autojump_clock):
    tell, told = trio.open_memory_channel(10)
    full = OSError(24, "Too many open files")
    readings = Readings(picture(), full, KeyError("index"), picture(is_up=False), full, picture())
    async with trio.open_nursery() as nursery:
        nursery.start_soon(NetworkWatch({"wan": WAN}, tell.send_nowait, read=readings.read).run)
        news.changes()
        assert (await told.receive()).missing == ("192.0.2.1",)
        news.changes()
        assert (await told.receive()).missing == ()
        nursery.cancel_scope.cancel()


async def test_when_nothing_can_be_read_any_more_what_was_lost_counts_as_well(news, autojump_clock):
    tell, told = trio.open_memory_channel(10)
    readings = Readings(picture(), picture(is_up=False), KeyError("index"))
    news.changes()
    with structlog.testing.capture_logs() as lines:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(NetworkWatch({"wan": WAN}, tell.send_nowait, read=readings.read).run)
            assert (await told.receive()).missing == ("192.0.2.1",)
            news.changes()
    last = told.receive_nowait()
    assert (last.missing, last.why) == ((), "links and addresses are not watched any more")
    assert [line["event"] for line in lines] == ["network.not_watched"]


async def test_a_bug_in_it_is_an_alarm_and_no_end_of_the_program(news, monkeypatch):
    def broken(self, picture, now):
        raise KeyError("wan")

    monkeypatch.setattr(network.InterfaceWatch, "look", broken)
    with structlog.testing.capture_logs() as lines:
        await NetworkWatch({"wan": WAN}, print, read=picture).run()
    assert [(line["event"], line["where"], line["alarm"]) for line in lines] == [("engine.failure", "network", True)]


async def test_a_socket_that_is_not_permitted_is_said_too(monkeypatch):
    def refused():
        raise OSError(97, "Address family not supported by protocol")

    monkeypatch.setattr(network, "open_news", refused)
    with structlog.testing.capture_logs() as lines:
        await NetworkWatch({"wan": WAN}, print, read=picture).run()
    assert "not supported" in lines[0]["reason"]


def test_the_machine_is_read_as_it_is():
    found = network.read_picture()
    assert any(link.is_loopback and link.is_up for link in found.links)
    assert any(str(held.address) == "127.0.0.1/8" for held in found.held)
