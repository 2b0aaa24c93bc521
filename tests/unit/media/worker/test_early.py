"""The first word may overtake the answer: what reaches a port before it waits, and its newest part is relayed."""

from collections import deque

import pytest

from sbc.media import wire
from sbc.media.worker.service import Service

INSIDE, OUTSIDE = "192.0.2.1", "198.51.100.1"
PBX, CARRIER = wire.Remote("192.0.2.30", 4000, 4001), wire.Remote("198.51.100.40", 5000, 5001)
CARRIER_RTP, STRANGER = ("198.51.100.40", 5000), ("203.0.113.66", 5000)


class Socket:
    """A UDP socket with a queue, which keeps what it was told to send."""

    def __init__(self, number):
        self.number = number
        self.queue = deque()
        self.sent = []

    def fileno(self):
        return self.number

    def recvfrom_into(self, buffer):
        if not self.queue:
            raise BlockingIOError
        data, source = self.queue.popleft()
        buffer[: len(data)] = data
        return len(data), source

    def sendto(self, data, address):
        self.sent.append((bytes(data), address))
        return len(data)

    def setsockopt(self, level, option, value):
        pass


class Watch(set):
    def set(self, one, inlet):
        self.add(one)

    def unset(self, one):
        self.discard(one)


def rtp(n):
    return bytes((128, 0, 0, n)) + bytes(168)


class Worker:
    def __init__(self):
        self.watch = Watch()
        self.service = Service(self.watch, lambda: 0.0)
        self.inside, self.outside = [Socket(1), Socket(2)], [Socket(3), Socket(4)]
        for local, sockets in ((INSIDE, self.inside), (OUTSIDE, self.outside)):
            assert self.say(wire.AddPorts(local, (20000,)), sockets) == []

    def say(self, request, sockets=()):
        return self.service.receive(wire.encode(request), sockets)

    def put(self, generation, carrier, *, early):
        stream = wire.Stream(wire.End(INSIDE, 20000, PBX), wire.End(OUTSIDE, 20000, carrier))
        assert self.say(wire.PutSession("a", generation, (stream,), early=early)) == []

    def hears(self, *packets):
        self.outside[0].queue.extend(packets)

    def relayed(self):
        return [data[3] for data, to in self.inside[0].sent if to == (PBX.host, PBX.port)]


@pytest.fixture
def worker():
    made = Worker()
    made.put(1, None, early=True)
    return made


def test_before_the_answer_packets_wait_unread(worker):
    worker.hears((rtp(1), CARRIER_RTP))
    assert worker.watch == set()
    assert len(worker.outside[0].queue) == 1


def test_a_packet_that_overtook_the_answer_is_relayed_and_counted(worker):
    worker.hears((rtp(1), CARRIER_RTP), (rtp(2), CARRIER_RTP))
    worker.put(2, CARRIER, early=False)
    assert worker.relayed() == [1, 2]
    [ended] = worker.say(wire.DeleteSession("a"))
    [stream] = wire.decode_reply(wire.encode(ended)).streams
    assert (stream.egress.received, stream.ingress.sent, stream.egress.dropped) == (2, 2, 0)


def test_of_much_that_waited_only_the_newest_is_relayed(worker):
    worker.hears(*[(rtp(n), CARRIER_RTP) for n in range(100)])
    worker.put(2, CARRIER, early=False)
    assert worker.relayed() == [96, 97, 98, 99]
    [ended] = worker.say(wire.DeleteSession("a"))
    assert ended.streams[0].egress.dropped == 96


def test_what_waited_is_judged_as_strictly_as_what_comes_later(worker):
    worker.hears((rtp(1), STRANGER), (b"\0short", CARRIER_RTP), (rtp(3), CARRIER_RTP))
    worker.put(2, CARRIER, early=False)
    assert worker.relayed() == [3]


def test_a_later_change_of_the_session_drops_nothing(worker):
    worker.put(2, CARRIER, early=False)
    worker.hears(*[(rtp(n), CARRIER_RTP) for n in range(10)])
    worker.put(3, CARRIER, early=False)
    assert len(worker.outside[0].queue) == 10  # the loop reads them in its turn
    assert worker.watch == {*worker.inside, *worker.outside}


def test_a_call_that_is_never_answered_leaves_nothing(worker):
    [ended] = worker.say(wire.DeleteSession("a"))
    assert ended.ref == "a"
    assert worker.watch == set()
