"""TCP on loopback sockets: framing, reuse, bounds, every way to end."""

import socket
import sys
from collections import Counter
from types import SimpleNamespace

import pytest
import trio
import trio.testing

from sbc.b2bua.events import QueueAged
from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.policy.model import Interface, Listener
from sbc.runtime import connecting, connection
from sbc.runtime import tcp as tcp_module
from sbc.runtime.connection import Connection
from sbc.runtime.sockets import close_all, open_listeners
from sbc.runtime.tcp import TcpTransport
from sbc.sip.events import FlowClosed, FlowFailed, Ponged

OPTIONS = b"OPTIONS sip:sbc@127.0.0.1 SIP/2.0\r\nContent-Length: %d\r\n\r\n%b"


def message(body=b""):
    return OPTIONS % (len(body), body)


class FakeDriver:
    """Echoes whole messages through the transport."""

    def __init__(self):
        self.received = []
        self.bad_frames = []
        self.failed = []
        self.closed = []
        self.on_receive = lambda data, flow: self.tcp.send(data, flow)  # noqa: PLW0108 - there is no tcp yet
        self.on_bad_frame = lambda flow: None

    def receive(self, data, flow):
        self.received.append((data, flow))
        self.on_receive(data, flow)

    def bad_frame(self, data, flow, reason):
        self.bad_frames.append((data, reason))
        self.on_bad_frame(flow)

    def handle(self, event):
        (self.closed if isinstance(event, FlowClosed) else self.failed).append(event)


@pytest.fixture(params=["127.0.0.1", pytest.param("::1", marks=pytest.mark.ipv6)])
async def rig(request, nursery):
    host = request.param
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    opened = open_listeners([Interface("inside", (Listener(Transport.TCP, Address(host, port)),), ())])
    driver = FakeDriver()
    drops = Counter()
    strangers = set()
    tcp = TcpTransport(opened, driver, lambda _interface, host, *_: host not in strangers, drops, trio.current_time)
    driver.tcp = tcp
    await nursery.start(tcp.run)
    tcp.listen()
    yield SimpleNamespace(
        tcp=tcp, driver=driver, drops=drops, strangers=strangers, family=family, local=Address(host, port)
    )
    nursery.cancel_scope.cancel()
    close_all(opened)


async def connect(rig):
    sock = trio.socket.socket(rig.family)
    await sock.connect((rig.local.host, rig.local.port))
    return trio.SocketStream(sock)


async def receive(stream, octets):
    data = b""
    with trio.fail_after(5):
        while len(data) < octets:
            some = await stream.receive_some()
            if not some:
                break
            data += some
    return data


async def until(condition):
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - it waits for the kernel
            await trio.sleep(0.001)


def flow_to(rig, address):
    return Flow(Transport.TCP, "inside", rig.local, Address(address[0], address[1]))


async def test_whole_messages_are_received_however_they_are_cut(rig):
    stream = await connect(rig)
    async with stream:
        sent = message(b"one") + message(b"two")
        for n in range(0, len(sent), 7):
            await stream.send_all(sent[n : n + 7])
        assert await receive(stream, len(sent)) == sent
    flows = {flow for _, flow in rig.driver.received}
    assert [data for data, _ in rig.driver.received] == [message(b"one"), message(b"two")]
    assert len(flows) == 1
    flow = flows.pop()
    assert (flow.local, flow.interface, flow.transport) == (rig.local, "inside", Transport.TCP)
    assert flow.connection > 0


async def test_a_ping_gets_a_pong(rig):
    stream = await connect(rig)
    async with stream:
        await stream.send_all(b"\r\n\r\n")
        assert await receive(stream, 2) == b"\r\n"
    assert rig.driver.received == []


async def test_a_stranger_is_closed_without_a_byte(rig):
    rig.strangers.add(rig.local.host)
    stream = await connect(rig)
    async with stream:
        assert await receive(stream, 1) == b""
    assert rig.drops["tcp_unknown_source"] == 1
    assert rig.tcp.connections == 0


# BOUND: CONNECTIONS_PER_LISTENER
async def test_more_connections_than_the_cap_are_closed(rig, monkeypatch):
    monkeypatch.setattr(limits, "CONNECTIONS_PER_LISTENER", 1)
    first, second = await connect(rig), await connect(rig)
    async with first, second:
        assert await receive(second, 1) == b""
        assert rig.drops["tcp_connections_full"] == 1
        await first.aclose()
        await until(lambda: rig.tcp.connections == 0)
        third = await connect(rig)
        async with third:
            await third.send_all(message())
            assert await receive(third, len(message())) == message()


async def test_connections_leave_some_descriptors_to_the_rest_of_the_program_and_say_so_once(rig, monkeypatch):
    said = []
    monkeypatch.setattr(tcp_module.log, "error", lambda event, **_: said.append(event))
    monkeypatch.setattr(rig.tcp, "_ceiling", 0)
    for _ in range(3):
        stream = await connect(rig)
        async with stream:
            assert await receive(stream, 1) == b""
    assert rig.drops["tcp_no_socket"] == 3
    assert said == ["tcp.no_socket"]


class EarlyFramer:
    """A framer whose clock is late, so that its deadline is a twentieth of a second away."""

    def __init__(self, real):
        self.real = real

    def feed(self, data, now):
        return self.real.feed(data, now - limits.INCOMPLETE_MESSAGE_SECONDS + 0.05)

    @property
    def deadline(self):
        return self.real.deadline


async def test_an_incomplete_message_closes_the_connection_at_its_deadline(rig):
    stream = await connect(rig)
    async with stream:
        await until(lambda: rig.tcp.connections == 1)
        connection = next(iter(rig.tcp._connections.values()))
        connection._framer = EarlyFramer(connection._framer)
        await stream.send_all(b"INVITE sip:a@b SIP/2.0\r\n")
        assert await receive(stream, 1) == b""
    assert rig.drops["tcp_timed_out"] == 1
    assert rig.driver.received == []


async def test_a_frame_that_cannot_be_read_is_answered_and_then_the_connection_is_closed(rig):
    def answer(flow):
        rig.tcp.send(b"SIP/2.0 400 Bad Request\r\n\r\n", flow)
        rig.tcp.close(flow)

    rig.driver.on_bad_frame = answer
    stream = await connect(rig)
    async with stream:
        await stream.send_all(b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: -1\r\n\r\n" + b"x" * 10_000)
        assert await receive(stream, 1000) == b"SIP/2.0 400 Bad Request\r\n\r\n"
    assert len(rig.driver.bad_frames) == 1
    assert rig.driver.received == []


async def test_a_half_closed_peer_still_gets_its_answer(rig):
    stream = await connect(rig)
    async with stream:
        await stream.send_all(message(b"last"))
        await stream.send_eof()
        assert await receive(stream, len(message(b"last"))) == message(b"last")


async def test_a_connection_is_opened_on_demand_and_used_again(rig):
    rig.driver.on_receive = lambda _data, _flow: None
    listeners = await trio.open_tcp_listeners(0, host=rig.local.host)
    async with listeners[0] as listener:
        flow = flow_to(rig, listener.socket.getsockname())
        rig.tcp.send(b"one", flow)
        rig.tcp.send(b"two", flow)
        with trio.fail_after(5):
            stream = await listener.accept()
        async with stream:
            assert await receive(stream, 6) == b"onetwo"
            rig.tcp.send(b"three", flow)
            assert await receive(stream, 5) == b"three"
            assert stream.socket.getpeername()[0] == rig.local.host
            # What comes back on it is received as from the listener's flow.
            await stream.send_all(message())
            await until(lambda: rig.driver.received)
            received = rig.driver.received[0][1]
            assert (received.local, received.remote) == (rig.local, flow.remote)
            assert rig.tcp.connections == 1
    assert rig.driver.failed == []


async def test_a_refused_connection_is_a_failed_flow(rig):
    with socket.socket(rig.family) as gone:
        gone.bind((rig.local.host, 0))
        flow = flow_to(rig, gone.getsockname())
    rig.tcp.send(b"INVITE", flow)
    await until(lambda: rig.driver.failed)
    assert rig.driver.failed == [FlowFailed(flow, "connection refused")]
    assert rig.tcp.connections == 0
    assert rig.tcp.connecting == 0


async def test_a_remote_that_refuses_is_said_once_in_a_while(rig, monkeypatch):
    said = []
    monkeypatch.setattr(connecting.log, "info", lambda event, **fields: said.append((event, fields["remote"])))
    with socket.socket(rig.family) as gone:
        gone.bind((rig.local.host, 0))
        flow = flow_to(rig, gone.getsockname())
    for attempt in range(1, 4):
        rig.tcp.send(b"OPTIONS", flow)
        await until(lambda attempt=attempt: len(rig.driver.failed) == attempt)
    assert said == [("tcp.connect_failed", str(flow.remote))]
    monkeypatch.setattr(connecting, "SAID_AGAIN_SECONDS", 0.0)
    rig.tcp.send(b"OPTIONS", flow)
    await until(lambda: len(said) == 2)


# BOUND: CONNECT_SECONDS
async def test_nobody_answers_the_connection_attempt(rig, monkeypatch):
    monkeypatch.setattr(limits, "CONNECT_SECONDS", 0.01)
    monkeypatch.setattr(socket.socket, "connect", lambda *_: (_ for _ in ()).throw(BlockingIOError()))
    monkeypatch.setattr(trio.lowlevel, "wait_writable", lambda _sock: trio.sleep_forever())  # noqa: ASYNC105
    flow = flow_to(rig, (rig.local.host, 9))
    rig.tcp.send(b"INVITE", flow)
    await until(lambda: rig.driver.failed)
    assert rig.driver.failed == [FlowFailed(flow, "no answer to the connection attempt")]


async def test_a_reset_connection_is_a_failed_flow_of_those_who_sent(rig):
    listeners = await trio.open_tcp_listeners(0, host=rig.local.host)
    async with listeners[0] as listener:
        flow = flow_to(rig, listener.socket.getsockname())
        rig.tcp.send(b"INVITE", flow)
        stream = await listener.accept()
        assert await receive(stream, 6) == b"INVITE"
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.aclose()
    await until(lambda: rig.driver.failed)
    assert rig.driver.failed == [FlowFailed(flow, "connection reset by peer")]


async def test_who_sends_again_on_hearing_of_a_lost_connection_gets_a_new_one(rig):
    """The word comes in the middle of its end, when it still has tasks."""
    failed = rig.driver.failed.append
    listeners = await trio.open_tcp_listeners(0, host=rig.local.host)
    async with listeners[0] as listener:
        flow = flow_to(rig, listener.socket.getsockname())

        def again(event):
            failed(event)
            rig.tcp.send(b"again", flow)

        rig.driver.handle = again
        rig.tcp.send(b"INVITE", flow)
        stream = await listener.accept()
        assert await receive(stream, 6) == b"INVITE"
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        await stream.aclose()
        with trio.fail_after(5):
            stream = await listener.accept()
        async with stream:
            assert await receive(stream, 5) == b"again"
            assert len(rig.driver.failed) == 1
            rig.driver.handle = failed
    await until(lambda: rig.tcp.connections == 0)


async def test_a_connection_that_is_gone_is_a_failed_flow(rig):
    flow = Flow(Transport.TCP, "inside", rig.local, Address("127.0.0.1", 5060), 4711)
    rig.tcp.send(b"200", flow)
    assert rig.driver.failed == [FlowFailed(flow, "the connection is closed")]


# BOUND: OUTBOX_OCTETS
async def test_a_peer_that_does_not_read_is_closed_when_its_outbox_is_full(rig):
    rig.driver.on_receive = lambda _data, _flow: None
    stream = await connect(rig)
    async with stream:
        await stream.send_all(message())
        await until(lambda: rig.driver.received)
        flow = rig.driver.received[0][1]
        for _ in range(400):
            rig.tcp.send(b"x" * 65_536, flow)
            if rig.driver.failed:
                break
    assert rig.driver.failed == [FlowFailed(flow, "the peer does not read: outbox full", was_open=True)]
    assert rig.drops["tcp_outbox_full"] == 1
    await until(lambda: rig.tcp.connections == 0)


class Slow:
    """A socket whose peer takes nothing yet."""

    def __init__(self):
        self.taken, self.is_read = [], False

    def send(self, data):
        if not self.is_read:
            raise BlockingIOError
        self.taken.append(bytes(data))
        return len(data)


# BOUND: OUTBOX_OCTETS
async def test_many_short_answers_wait_in_little_more_room_than_their_octets():
    """A peer that asks whether we are there, and never reads, costs the octets that are counted and no more."""
    slow, flow = Slow(), Flow(Transport.TCP, "inside", Address("127.0.0.1", 5060), Address("127.0.0.2", 5060), 1)
    one = Connection(slow, flow, FakeDriver(), Counter(), trio.current_time)
    one.connected()
    said = []
    for n in range(4_000):
        said.append(b"\r\n" if n % 100 else b"%06d" % n * 200)
        one.send(said[-1])
    assert one.queued == sum(map(len, said))
    assert sum(map(sys.getsizeof, one._outbox)) < 1.2 * one.queued
    assert len(one._outbox) <= 2 * 40
    slow.is_read = True
    assert one._write_some()
    assert (b"".join(slow.taken), one.queued) == (b"".join(said), 0)


async def test_an_outbox_that_becomes_full_while_somebody_waits_to_write_ends_that_connection_alone(rig):
    rig.driver.on_receive = lambda _data, _flow: None
    stream = await connect(rig)
    async with stream:
        await stream.send_all(message())
        await until(lambda: rig.driver.received)
        flow = rig.driver.received[0][1]
        while not next(iter(rig.tcp._connections.values()))._outbox:
            rig.tcp.send(b"x" * 65_536, flow)
        await trio.testing.wait_all_tasks_blocked(0.02)
        while not rig.driver.failed:
            rig.tcp.send(b"x" * 65_536, flow)
        await until(lambda: rig.tcp.connections == 0)
    async with await connect(rig) as other:
        rig.driver.on_receive = rig.tcp.send
        await other.send_all(message())
        assert await receive(other, len(message())) == message()


async def test_a_bug_on_one_connection_ends_that_one_alone_and_is_said(rig, monkeypatch, capsys):
    async def break_down(_self, _stop_reuse):
        raise AttributeError("no such thing")

    with monkeypatch.context() as broken:
        broken.setattr(Connection, "read", break_down)
        async with await connect(rig) as stream:
            assert await stream.receive_some(1) == b""
    assert "engine.failure" in capsys.readouterr().out
    async with await connect(rig) as other:
        await other.send_all(message())
        assert await receive(other, len(message())) == message()


async def test_what_does_not_fit_at_once_arrives_later_whole_and_in_order(rig):
    rig.driver.on_receive = lambda _data, _flow: None
    stream = await connect(rig)
    async with stream:
        await stream.send_all(message())
        await until(lambda: rig.driver.received)
        flow = rig.driver.received[0][1]
        sent = b""
        while not next(iter(rig.tcp._connections.values()))._outbox:
            part = bytes([len(sent) // 65_536 % 256]) * 65_536
            rig.tcp.send(part, flow)
            sent += part
        rig.tcp.send(b"the end", flow)
        sent += b"the end"
        rig.tcp.close(flow)
        assert await receive(stream, len(sent) + 1) == sent
    assert rig.driver.failed == []


async def test_closing_ends_the_connection_for_both(rig):
    rig.driver.on_receive = lambda _data, flow: rig.tcp.close(flow)
    stream = await connect(rig)
    async with stream:
        await stream.send_all(message())
        assert await receive(stream, 1) == b""
    await until(lambda: rig.tcp.connections == 0)


async def test_a_peer_that_closed_its_connection_is_a_failed_flow_for_what_is_sent_on_it_then(rig):
    """Seen from here it may have closed one half only; that it has gone shows when it refuses what comes."""
    rig.driver.on_receive = lambda _data, _flow: None
    stream = await connect(rig)
    async with stream:
        await stream.send_all(message())
        await until(lambda: rig.driver.received)
        flow = rig.driver.received[0][1]
    await trio.sleep(0.01)
    rig.tcp.send(b"INVITE", flow)
    begun = trio.current_time()
    await until(lambda: rig.driver.failed)
    assert trio.current_time() - begun < 0.5
    assert rig.driver.failed == [FlowFailed(flow, "broken pipe", was_open=True)]
    await until(lambda: rig.tcp.connections == 0)
    rig.tcp.send(b"INVITE", flow)
    assert rig.driver.failed[1:] == [FlowFailed(flow, "the connection is closed")]


async def test_a_connection_that_its_peer_ends_in_order_is_said_to_be_closed(rig):
    """A PBX that has registered over it is not reached there any more, before anybody has tried to."""
    rig.driver.on_receive = lambda _data, _flow: None
    stream = await connect(rig)
    async with stream:
        await stream.send_all(message())
        await until(lambda: rig.driver.received)
        assert rig.driver.closed == []
    await until(lambda: rig.driver.closed)
    assert rig.driver.closed == [FlowClosed(rig.driver.received[0][1])]
    assert rig.driver.failed == []


async def test_a_keep_alive_of_ours_goes_out_as_it_is(rig):
    rig.driver.on_receive = lambda _data, _flow: None
    stream = await connect(rig)
    async with stream:
        await stream.send_all(message())
        await until(lambda: rig.driver.received)
        rig.tcp.send(b"\r\n\r\n", rig.driver.received[0][1])
        assert await receive(stream, 4) == b"\r\n\r\n"
        for _ in range(2):  # one answer, and one that nobody has asked for
            await stream.send_all(b"\r\n")
            await trio.testing.wait_all_tasks_blocked()
        assert [type(event) for event in rig.driver.failed] == [Ponged]
        await stream.send_all(b"\r\n")  # the pong is no message
        await stream.send_all(message())
        await until(lambda: len(rig.driver.received) == 2)


# BOUND: IDLE_CONNECTION_SECONDS
async def test_a_connection_on_which_nothing_is_said_is_closed(rig, monkeypatch):
    monkeypatch.setattr(limits, "IDLE_CONNECTION_SECONDS", 0.05)
    stream = await connect(rig)
    async with stream:
        await stream.send_all(message())
        await until(lambda: rig.driver.received)
        with trio.fail_after(5):
            while await stream.receive_some():
                pass
    await until(lambda: rig.tcp.connections == 0)


# BOUND: HALF_CLOSED_SECONDS
async def test_a_half_closed_peer_that_gets_no_answer_is_closed(rig, monkeypatch):
    monkeypatch.setattr(limits, "HALF_CLOSED_SECONDS", 0.05)
    rig.driver.on_receive = lambda _data, _flow: None
    stream = await connect(rig)
    async with stream:
        await stream.send_all(message())
        await stream.send_eof()
        await until(lambda: rig.driver.closed)
        await until(lambda: rig.tcp.connections == 0)


# BOUND: LINGER_SECONDS
async def test_a_peer_that_does_not_end_its_half_is_not_waited_for(rig, monkeypatch):
    monkeypatch.setattr(limits, "LINGER_SECONDS", 0.05)
    stream = await connect(rig)
    async with stream:
        await stream.send_all(message())
        await until(lambda: rig.driver.received)
        rig.tcp.close(rig.driver.received[0][1])
        await until(lambda: rig.tcp.connections == 0)
    assert rig.driver.failed == []


# BOUND: FLUSH_SECONDS
async def test_what_was_queued_before_the_end_is_not_waited_for_without_end(rig, monkeypatch):
    monkeypatch.setattr(limits, "FLUSH_SECONDS", 0.05)
    rig.driver.on_receive = lambda _data, _flow: None
    stream = await connect(rig)
    async with stream:
        await stream.send_all(message())
        await until(lambda: rig.driver.received)
        flow = rig.driver.received[0][1]
        while not next(iter(rig.tcp._connections.values()))._outbox:
            rig.tcp.send(b"x" * 65_536, flow)
        rig.tcp.close(flow)
        await until(lambda: rig.tcp.connections == 0)
    assert rig.driver.failed == [FlowFailed(flow, "the connection was closed", was_open=True)]


async def test_a_stream_that_brings_more_than_is_read_says_how_long_it_has_been_so(rig, monkeypatch):
    monkeypatch.setattr(connection, "_READ_OCTETS", 50)
    rig.driver.on_receive = lambda data, flow: None
    stream = await connect(rig)
    async with stream:
        await stream.send_all(message() * 20)
        await until(lambda: len(rig.driver.received) == 20)
    told = [event for event in rig.driver.failed if isinstance(event, QueueAged)]
    ages = [event.seconds for event in told]
    standing = ages[: ages.index(0.0)]  # the last read was not a full one
    assert len(standing) >= 3
    assert standing == sorted(standing)
    assert standing[0] > 0.0
    assert len({event.queue for event in told}) == 1
    assert {event.flow for event in told} == {rig.driver.received[0][1]}


async def test_a_stream_that_ends_while_more_waits_says_that_nothing_waits_any_more(rig, monkeypatch):
    monkeypatch.setattr(connection, "_READ_OCTETS", 50)

    def ends_at_the_tenth(_data, _flow):
        if len(rig.driver.received) == 10:
            next(iter(rig.tcp._connections.values())).abort("")

    rig.driver.on_receive = ends_at_the_tenth
    stream = await connect(rig)
    async with stream:
        await stream.send_all(message() * 20)
        await until(lambda: rig.driver.received and rig.tcp.connections == 0)
    assert len(rig.driver.received) == 10
    ages = [event.seconds for event in rig.driver.failed if isinstance(event, QueueAged)]
    assert ages[-2] > 0.0
    assert ages[-1] == 0.0
