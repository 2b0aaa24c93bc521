"""UDP on loopback sockets: draining, sending, refusals, a full send buffer."""

import errno
import socket
import time
from collections import Counter

import pytest
import trio
import trio.testing

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.policy.model import Interface, Listener
from sbc.runtime import udp
from sbc.runtime.sockets import close_all, open_listeners
from sbc.runtime.udp import UdpSocket
from sbc.sip.events import FlowFailed


def open_udp(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    return open_listeners([Interface("inside", (Listener(Transport.UDP, Address(host, port)),), ())])


class Rig:
    def __init__(self, host="127.0.0.1", wrap=lambda sock: sock):
        self.opened = open_udp(host)
        self.local = self.opened[0].listener.address
        self.received = []
        self.failed = []
        self.drops = Counter()
        self.arrived = trio.Event()
        self.refused = trio.Event()
        self.udp = UdpSocket(self.opened[0], self.receive, self.fail, self.drops)
        self.udp._socket = wrap(self.opened[0].socket)

    def receive(self, data, flow):
        self.received.append((data, flow))
        self.arrived.set()

    def fail(self, event):
        self.failed.append(event)
        self.refused.set()

    def flow(self, host, port):
        return Flow(Transport.UDP, "inside", self.local, Address(host, port))


@pytest.fixture(params=["127.0.0.1", pytest.param("::1", marks=pytest.mark.ipv6)])
def rig(request):
    rig = Rig(request.param)
    yield rig
    close_all(rig.opened)


def peer_socket(host):
    peer = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    peer.bind((host, 0))
    peer.settimeout(5)
    return peer


async def test_a_datagram_is_received_with_its_flow_and_answered_on_it(rig, nursery):
    host = rig.local.host
    with peer_socket(host) as peer:
        nursery.start_soon(rig.udp.run)
        peer.sendto(b"OPTIONS", (host, rig.local.port))
        with trio.fail_after(5):
            await rig.arrived.wait()
        data, flow = rig.received[0]
        rig.udp.send(b"200", flow)

        assert data == b"OPTIONS"
        assert flow == rig.flow(host, peer.getsockname()[1])
        assert peer.recv(100) == b"200"


# BOUND: DATAGRAMS_PER_WAKEUP
async def test_a_burst_is_drained_in_one_wake_up_up_to_the_bound(rig):
    host = rig.local.host
    with peer_socket(host) as peer:
        for n in range(limits.DATAGRAMS_PER_WAKEUP + 6):
            peer.sendto(b"message %d" % n, (host, rig.local.port))
        rig.udp._drain()
        assert len(rig.received) == limits.DATAGRAMS_PER_WAKEUP
        rig.udp._drain()
        assert [data for data, _ in rig.received[-6:]] == [b"message %d" % n for n in range(64, 70)]


async def test_keep_alives_do_not_reach_the_engine(rig):
    host = rig.local.host
    with peer_socket(host) as peer:
        for data in (b"", b"\r\n\r\n", b"\0", b"INVITE"):
            peer.sendto(data, (host, rig.local.port))
        rig.udp._drain()
    assert [data for data, _ in rig.received] == [b"INVITE"]


async def test_a_keep_alive_of_ours_goes_out_as_it_is(rig):
    with peer_socket(rig.local.host) as peer:
        rig.udp.send(b"\r\n\r\n", rig.flow(rig.local.host, peer.getsockname()[1]))
        assert peer.recv(100) == b"\r\n\r\n"


async def test_a_refused_port_is_a_failed_flow_of_that_remote_only(rig, nursery):
    host = rig.local.host
    with peer_socket(host) as gone:
        port = gone.getsockname()[1]
    with peer_socket(host) as peer:
        nursery.start_soon(rig.udp.run)
        rig.udp.send(b"INVITE", rig.flow(host, port))
        # The refusal of the first must not be taken for one of the second.
        rig.udp.send(b"OPTIONS", rig.flow(host, peer.getsockname()[1]))
        with trio.fail_after(5):
            await rig.refused.wait()

        assert rig.failed == [FlowFailed(rig.flow(host, port), "ICMP: connection refused")]
        assert peer.recv(100) == b"OPTIONS"
        assert rig.drops["icmp_unreachable"] == 1


async def test_a_message_too_long_for_a_datagram_is_a_failed_flow(rig):
    flow = rig.flow(rig.local.host, 5060)
    rig.udp.send(b"x" * 70_000, flow)
    assert rig.failed == [FlowFailed(flow, "message too long")]


async def test_an_address_of_the_other_family_is_a_failed_flow(rig):
    flow = rig.flow("127.0.0.1" if ":" in rig.local.host else "::1", 5060)
    rig.udp.send(b"x", flow)
    assert [event.flow for event in rig.failed] == [flow]


class Stubborn:
    """A socket whose send buffer is full, or whose sends fail, for as long as it is told."""

    def __init__(self, real, error):
        self._real = real
        self.error = error

    def sendto(self, *args):
        if self.error is not None:
            raise self.error
        return self._real.sendto(*args)

    def __getattr__(self, name):
        return getattr(self._real, name)


# BOUND: UDP_BACKLOG
async def test_what_would_block_waits_in_order_and_what_does_not_fit_is_counted(nursery):
    rig = Rig(wrap=lambda sock: Stubborn(sock, BlockingIOError(errno.EAGAIN, "")))
    with peer_socket("127.0.0.1") as peer:
        flow = rig.flow("127.0.0.1", peer.getsockname()[1])
        for n in range(300):
            rig.udp.send(b"%d" % n, flow)
        assert rig.drops["udp_backlog_full"] == 300 - 256
        assert rig.udp.waiting == 256

        rig.udp._socket.error = None
        rig.udp.send(b"jumps the queue?", flow)  # no room: it must not overtake
        nursery.start_soon(rig.udp._send_backlog)
        await trio.testing.wait_all_tasks_blocked()
        assert [peer.recv(100) for _ in range(256)] == [b"%d" % n for n in range(256)]
        assert rig.udp.waiting == 0
        assert rig.drops["udp_backlog_full"] == 300 - 256 + 1
    close_all(rig.opened)


@pytest.mark.parametrize("number", [errno.EPERM, errno.ENOBUFS])
async def test_a_datagram_that_the_local_firewall_drops_is_lost_like_any_other(number):
    rig = Rig(wrap=lambda sock: Stubborn(sock, OSError(number, "")))
    rig.udp.send(b"x", rig.flow("127.0.0.1", 5060))
    assert rig.failed == []
    assert rig.drops["udp_send_lost"] == 1
    close_all(rig.opened)


# BOUND: UDP_FLOWS
async def test_strangers_cost_no_memory(rig, monkeypatch):
    monkeypatch.setattr("sbc.core.limits.UDP_FLOWS", 3)
    for port in range(1, 20):
        rig.udp._flow(("192.0.2.1", port))
    assert len(rig.udp._flows) <= 3


async def test_an_unreachable_remote_is_said_once_in_a_while(rig, monkeypatch, autojump_clock):
    said = []
    monkeypatch.setattr(udp.log, "warning", lambda event, **fields: said.append((event, fields["remote"])))
    flow = rig.flow(rig.local.host, 9)
    for _ in range(3):
        rig.udp.send(b"x" * 70_000, flow)
    rig.udp.send(b"x" * 70_000, rig.flow(rig.local.host, 10))
    await trio.sleep(61)
    rig.udp.send(b"x" * 70_000, flow)
    assert len(rig.failed) == 5
    assert [remote.rpartition(":")[2] for _, remote in said] == ["9", "10", "9"]


async def test_how_long_a_queue_has_waited_is_told_and_when_there_is_none_any_more():
    rig, told = Rig(), []
    rig.udp._queued = lambda age, queue: told.append((age, queue))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect((rig.local.host, rig.local.port))
        for _ in range(2):  # from the first time on the kernel stamps what arrives
            for n in range(10):
                peer.send(b"datagram %d" % n)
            rig.udp._drain()
    rig.udp.close()
    assert len(rig.received) == 20
    assert {queue for _, queue in told} == {f"udp:{rig.local}"}
    assert [age == 0.0 for age, _ in told][1::2] == [True, True]
    assert 0.0 < told[2][0] < 5.0


async def test_what_came_before_anybody_read_has_not_waited_for_us(monkeypatch):
    """As after a death of signalling: the supervisor has kept the socket, and all that came meanwhile."""
    rig, told, now = Rig(), [], time.time
    rig.udp._queued = lambda age, queue: told.append(age)
    monkeypatch.setattr(udp.time, "time", lambda: now() + 5)  # all of it came five seconds ago
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect((rig.local.host, rig.local.port))
        for _ in range(2):
            for n in range(10):
                peer.send(b"datagram %d" % n)
            rig.udp._drain()
    rig.udp.close()
    assert max(told) < 5.0


async def test_a_few_datagrams_are_no_queue():
    rig, told = Rig(), []
    rig.udp._queued = lambda age, queue: told.append((age, queue))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect((rig.local.host, rig.local.port))
        for _ in range(3):
            peer.send(b"datagram")
        rig.udp._drain()
    rig.udp.close()
    assert (len(rig.received), told) == (3, [])


# BOUND: UDP_QUEUE_OCTETS
async def test_datagrams_that_the_kernel_has_no_room_for_are_counted():
    rig = Rig()
    rig.opened[0].socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect((rig.local.host, rig.local.port))
        for _ in range(50):
            peer.send(b"x" * 1_000)
    used, most = rig.udp.look()
    rig.udp.look()
    rig.udp._drain()
    rig.udp.close()
    assert used > 0
    assert 0 < most < 20_000
    assert rig.drops["udp_queue_full"] == 50 - len(rig.received) > 0


# BOUND: DRAIN_SECONDS
async def test_a_drain_ends_when_others_must_have_their_turn(monkeypatch):
    monkeypatch.setattr(limits, "DRAIN_SECONDS", 0.0)
    rig = Rig()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.connect((rig.local.host, rig.local.port))
        for _ in range(20):
            peer.send(b"datagram")
        rig.udp._drain()
        first = len(rig.received)
        rig.udp._drain()
    rig.udp.close()
    assert 0 < first < 20
    assert len(rig.received) == 2 * first


async def test_answers_to_forged_sources_that_come_back_do_not_fill_the_log(rig, monkeypatch):
    said = []
    monkeypatch.setattr(udp.log, "warning", lambda event, **fields: said.append(fields["remote"]))
    for n in range(500):
        rig.udp._fail(rig.flow(f"198.18.0.{n % 250}", 1024 + n), "ICMP: no route to host")
    assert len(said) == udp._LINES
