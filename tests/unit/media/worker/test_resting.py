"""Pairs at rest, with sockets in memory that know whom their filter lets in. Real filters: tests/loopback."""

import ctypes
import errno
import socket
import struct
from collections import deque

from sbc.media import wire
from sbc.media.mute import only_from
from sbc.media.worker.agenda import Agenda
from sbc.media.worker.ports import Pair
from sbc.media.worker.resting import Rest

FAR, STRANGER = "192.0.2.30", "192.0.2.66"
ATTACH = 26
NOTHING, FAR_ALONE = ((6, 0, 0, 0),), only_from(FAR)


class Socket:
    def __init__(self) -> None:
        self.queue: deque[str] = deque()
        self.filter: tuple[tuple[int, ...], ...] | None = None
        self.filters = 0
        self.has_no_memory = False

    def fileno(self) -> int:
        return 1

    def arrives(self, host: str = FAR) -> None:
        if self.filter is None or (self.filter == FAR_ALONE and host == FAR):
            self.queue.append(host)

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, tuple[str, int]]:
        if not self.queue:
            raise BlockingIOError
        return 1, (self.queue.popleft(), 9)

    def sendto(self, data: bytes | memoryview, address: tuple[str, int]) -> int:
        raise NotImplementedError

    def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
        self.filters += 1
        if option != ATTACH:
            self.filter = None
            return
        assert isinstance(value, bytes)
        length, address = struct.unpack("@HP", value)
        program = tuple(struct.iter_unpack("=HBBI", ctypes.string_at(address, 8 * length)))
        if self.has_no_memory and program != NOTHING:
            raise OSError(errno.ENOMEM, "no memory")
        self.filter = program

    def getsockopt(self, level: int, option: int) -> int:
        return socket.AF_INET

    def close(self) -> None:
        pass


class Resting:
    """A pair whose call has ended just now."""

    def __init__(self, *, waiting: int = 0) -> None:
        self.rtp, self.rtcp = Socket(), Socket()
        for _ in range(waiting):
            self.rtp.arrives()
        self.agenda = Agenda()
        self.now = 100.0
        self.said: list[wire.Reply] = []
        self.pair = Pair("192.0.2.1", 20000, self.rtp, self.rtcp)
        self.pair.rest = Rest(self.pair, FAR, self.agenda, self.said.append, self.now)

    def passes(self, seconds: float) -> None:
        end = self.now + seconds
        while (at := self.agenda.next_deadline()) is not None and at <= end:
            self.now = at
            self.agenda.tick(at)
        self.now = end


STILL_HEARD = wire.StillHeard("192.0.2.1", 20000)


def test_the_former_remote_is_told_of_once_a_second_however_much_it_sends():
    resting = Resting()
    for _ in range(255):
        resting.passes(0.02)
        resting.rtp.arrives()
    assert resting.said == [STILL_HEARD] * 4  # the first second is for what was under way


def test_rtcp_is_told_of_too():
    resting = Resting()
    resting.passes(1)
    resting.rtcp.arrives()
    resting.passes(1)
    assert resting.said == [STILL_HEARD]


def test_what_waited_when_the_call_ended_is_kept_for_a_second_and_nothing_is_added():
    resting = Resting(waiting=3)
    resting.rtp.arrives()
    resting.passes(0.9)
    assert len(resting.rtp.queue) == 3
    resting.passes(2)
    assert (len(resting.rtp.queue), resting.said) == (0, [])


def test_a_stranger_is_not_let_in():
    resting = Resting()
    for _ in range(10):
        resting.rtp.arrives(STRANGER)
        resting.passes(0.5)
    assert (resting.said, len(resting.rtp.queue)) == ([], 0)


def test_when_nothing_has_come_for_half_a_minute_nobody_is_listened_to():
    resting = Resting()
    resting.passes(29)
    assert resting.rtp.filter == resting.rtcp.filter == FAR_ALONE
    resting.passes(1)
    assert resting.rtp.filter == resting.rtcp.filter == NOTHING
    assert resting.agenda.next_deadline() is None


def test_half_a_minute_begins_anew_whenever_it_is_heard():
    resting = Resting()
    resting.passes(20)
    resting.rtp.arrives()
    resting.passes(29)
    assert (resting.said, resting.rtp.filter) == ([STILL_HEARD], FAR_ALONE)
    resting.passes(2)
    assert resting.rtp.filter == NOTHING


def test_a_silent_rest_costs_nothing_but_looks():
    resting = Resting()
    resting.passes(1)
    before = resting.rtp.filters
    resting.passes(20)
    assert resting.rtp.filters == before


def test_a_pair_that_is_used_again_is_looked_at_no_more():
    resting = Resting()
    resting.passes(5)
    resting.rtp.arrives()
    resting.pair.open(drained=True)
    assert (resting.rtp.filter, len(resting.rtp.queue)) == (None, 0)
    resting.rtp.arrives()
    resting.passes(60)
    assert (len(resting.rtp.queue), resting.said, resting.rtp.filter) == (1, [], None)


def test_a_pair_is_emptied_while_nothing_can_come():
    resting = Resting()
    resting.passes(5)
    order: list[str] = []
    recv, setsockopt = resting.rtp.recvfrom_into, resting.rtp.setsockopt
    resting.rtp.recvfrom_into = lambda buffer: (order.append("read"), recv(buffer))[1]
    resting.rtp.setsockopt = lambda *args: (order.append("filter"), setsockopt(*args))[1]
    for _ in range(3):
        resting.rtp.arrives()
    resting.passes(1)
    assert order == ["read", "filter", "read", "read", "read", "filter"]
    order.clear()
    resting.pair.open(drained=True)
    assert order == ["filter", "read", "filter"]


def test_a_port_stays_mute_where_the_kernel_has_no_memory_for_the_filter():
    resting = Resting()
    resting.rtp.has_no_memory = True
    resting.passes(5)
    assert (resting.rtp.filter, resting.rtcp.filter) == (NOTHING, FAR_ALONE)
    resting.rtcp.arrives()
    resting.passes(1)
    assert resting.said == [STILL_HEARD]
