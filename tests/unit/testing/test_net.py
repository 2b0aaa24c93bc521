import pytest

from sbc.core.address import Address, Flow, Transport
from sbc.sip.commands import CloseFlow, SendMessage
from sbc.testing.net import Conditions, Network

A, B = Address("192.0.2.1", 5060), Address("192.0.2.2", 5060)
MESSAGE = b"OPTIONS sip:b SIP/2.0\r\nContent-Length: 0\r\n\r\n"


class Recorder:
    """A host that writes down what reaches it, and echoes if told to."""

    def __init__(self, name, net, address, *, transports=(Transport.UDP,), echoes=False):
        self.name, self.net, self.address, self.echoes = name, net, address, echoes
        self.got, self.failed, self.bad, self.flows = [], [], [], []
        self.deadline = None
        net.attach(self, *[(transport, address) for transport in transports], interface=f"at-{name}")

    def receive(self, data, flow, now):
        self.got.append((round(now - 1000, 4), data))
        self.flows.append(flow)
        return [SendMessage(flow, data)] if self.echoes else []

    def bad_frame(self, data, flow, reason, now):
        self.bad.append(reason)
        return [CloseFlow(flow)]

    def flow_failed(self, flow, reason, now):
        self.failed.append(reason)
        return []

    def tick(self, now):
        self.deadline = None
        return [SendMessage(self.to(B), b"tick")]

    def next_deadline(self):
        return self.deadline

    def to(self, address, transport=Transport.UDP, connection=0):
        return Flow(transport, "", self.address, address, connection)

    def sends(self, address, data, transport=Transport.UDP):
        self.net.perform(self, [SendMessage(self.to(address, transport), data)])


def pair(transports=(Transport.UDP, Transport.TCP), **options):
    net = Network(**options)
    return net, Recorder("a", net, A, transports=transports), Recorder("b", net, B, transports=transports)


def test_a_datagram_arrives_after_the_delay_with_the_flow_turned_round():
    net, a, b = pair(conditions=Conditions(delay=0.25))
    a.sends(B, b"one")
    assert b.got == []
    net.settle()
    assert b.got == [(0.25, b"one")]
    assert b.flows == [Flow(Transport.UDP, "at-b", B, A)]


def test_the_same_seed_gives_the_same_chaos():
    def run(seed):
        net, a, b = pair(seed=seed, conditions=Conditions(jitter=0.01, loss=0.3, duplicate=0.2, reorder=0.3))
        for n in range(200):
            a.sends(B, b"%d" % n)
        net.settle()
        return b.got

    assert run(1) == run(1)
    assert run(1) != run(2)
    numbers = [int(data) for _, data in run(1)]
    assert 100 < len(set(numbers)) < 180
    assert len(numbers) > len(set(numbers))
    assert numbers != sorted(numbers)


def test_what_is_held_stays_in_flight_until_the_end_of_the_block():
    net, a, b = pair()
    with net.holding(b):
        a.sends(B, b"to b")
        b.sends(A, b"to a")
        net.run(10.0)
        assert (a.got, b.got) == ([], [])
    net.settle()
    assert [data for _, data in a.got + b.got] == [b"to a", b"to b"]


def test_chosen_messages_get_lost_as_often_as_said():
    net, a, b = pair()
    net.loses("ACK", to="b", times=2)
    for _ in range(3):
        a.sends(B, b"ACK sip:b SIP/2.0")
        a.sends(B, b"BYE sip:b SIP/2.0")
    net.settle()
    assert [data[:3] for _, data in b.got] == [b"BYE", b"BYE", b"ACK", b"BYE"]


def test_a_port_where_nobody_listens_refuses_and_an_address_without_a_machine_is_silent():
    net, a, b = pair()
    a.sends(Address(B.host, 9), b"x")
    a.sends(Address("192.0.2.77", 5060), b"x")
    net.settle()
    assert a.failed == ["port unreachable"]
    assert [sent.fate for sent in net.log] == ["nowhere", "nowhere"]
    assert b.got == []


def test_a_blackhole_swallows_everything_and_says_nothing():
    net, a, b = pair()
    net.blackholes.add(B.host)
    a.sends(B, b"x")
    a.sends(Address(B.host, 9), b"x")
    net.settle()
    assert (b.got, a.failed) == ([], [])


def test_hosts_tick_at_their_deadlines_and_settling_does_not_wait_for_them():
    net, a, b = pair()
    a.deadline = 1030.0
    a.sends(B, b"now")
    net.settle()
    assert net.now < 1001
    net.run(60.0)
    assert [at for at, _ in b.got] == [0.001, 30.001]
    assert net.now == pytest.approx(1060.001)


def test_run_while_stops_as_soon_as_the_condition_is_false():
    net, a, b = pair()
    a.deadline = 1030.0
    assert net.run_while(lambda: not b.got, at_most=60.0)
    assert net.now == pytest.approx(1030.001)
    assert not net.run_while(lambda: True, at_most=5.0)


def test_every_octet_is_kept_with_its_fate():
    net, a, b = pair()
    net.loses(b"lost")
    a.sends(B, b"lost")
    a.sends(B, b"found")
    net.settle()
    assert net.sent_to(b) == net.sent_by("a") == [b"lost", b"found"]
    assert [sent.fate for sent in net.log] == ["lost", "delivered"]


def test_a_message_loop_is_an_error_and_not_an_endless_test(monkeypatch):
    monkeypatch.setattr("sbc.testing.net._STORM", 100)
    net = Network()
    a, _ = Recorder("a", net, A, echoes=True), Recorder("b", net, B, echoes=True)
    a.sends(B, b"ping")
    with pytest.raises(AssertionError, match="message storm"):
        net.settle()


def test_an_address_belongs_to_one_host():
    net, _, _ = pair()
    with pytest.raises(ValueError, match="taken"):
        Recorder("c", net, B)


def test_streams_keep_order_and_lose_nothing_even_in_pieces():
    net, a, b = pair(seed=3, conditions=Conditions(jitter=0.02, loss=0.4, reorder=0.5, pieces=True))
    sent = [MESSAGE.replace(b"sip:b", b"sip:%d" % n) for n in range(50)]
    for data in sent:
        a.sends(B, data, Transport.TCP)
    net.settle()
    assert [data for _, data in b.got] == sent
    assert len({flow.connection for flow in b.flows}) == 1
    assert all(flow.connection for flow in b.flows)


def test_an_answer_comes_back_on_the_same_connection():
    net = Network()
    a = Recorder("a", net, A, transports=(Transport.TCP,))
    b = Recorder("b", net, B, transports=(Transport.TCP,), echoes=True)
    a.sends(B, MESSAGE, Transport.TCP)
    net.settle()
    assert [data for _, data in a.got] == [MESSAGE]
    assert a.flows[0].connection == b.flows[0].connection
    assert a.flows[0].remote == B


def test_a_refused_connection_is_reported():
    net, a, _ = pair(transports=(Transport.UDP,))
    a.sends(B, MESSAGE, Transport.TCP)
    net.settle()
    assert a.failed == ["connection refused"]


def test_a_reset_breaks_both_ends_and_what_was_on_its_way():
    net, a, b = pair()
    a.sends(B, MESSAGE, Transport.TCP)
    net.settle()
    a.sends(B, MESSAGE, Transport.TCP)
    net.reset(b)
    net.settle()
    assert len(b.got) == 1
    assert a.failed == b.failed == ["connection reset"]
    net.perform(a, [SendMessage(a.to(B, Transport.TCP, a.net.log[0].at and 1), MESSAGE)])
    net.settle()
    assert a.failed[-1] == "connection is gone"


def test_a_closed_connection_carries_what_was_sent_before():
    net, a, b = pair()
    a.sends(B, MESSAGE, Transport.TCP)
    connection = net.streams.find("a", a.to(B, Transport.TCP))
    net.perform(a, [CloseFlow(connection.ends[0].flow)])
    net.settle()
    assert len(b.got) == 1
    assert net.streams.find("a", a.to(B, Transport.TCP)) is None


def test_a_message_that_never_ends_closes_its_connection_at_a_deadline():
    net, a, b = pair()
    a.sends(B, MESSAGE[:-4], Transport.TCP)
    net.settle()
    net.run(60.0)
    assert b.got == []
    assert net.streams.of("b") == []


def test_what_cannot_be_framed_is_told_to_the_host():
    net, a, b = pair()
    a.sends(B, MESSAGE.replace(b"Content-Length: 0", b"Content-Length: -7"), Transport.TCP)
    net.settle()
    assert len(b.bad) == 1
    assert net.streams.of("b") == []


def test_a_host_that_is_gone_gets_nothing_and_refuses():
    net, a, b = pair()
    net.detach(b)
    a.sends(B, MESSAGE, Transport.TCP)
    a.sends(B, MESSAGE)
    net.settle()
    assert b.got == []
    assert a.failed == ["connection refused"]
