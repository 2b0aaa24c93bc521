"""Pairs and the table of them; muting, resting and closing are looked at in test_service and test_resting."""

import pytest

from sbc.media.worker.ports import QUEUED_AT_MOST, Ports, drain, is_waiting

LOCAL = "192.0.2.1"


class Socket:
    """`comes`: what is read, in this order; an error is raised."""

    def __init__(self, *comes: OSError | None) -> None:
        self.comes = list(comes)
        self.reads = 0
        self.is_closed = False

    def fileno(self) -> int:
        return 1

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, tuple[str, int]]:
        self.reads += 1
        if not self.comes:
            raise BlockingIOError
        error = self.comes.pop(0)
        if error is not None:
            raise error
        return 1, ("192.0.2.66", 9)

    def sendto(self, data: bytes | memoryview, address: tuple[str, int]) -> int:
        raise NotImplementedError

    def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
        pass

    def getsockopt(self, level: int, option: int) -> int:
        raise NotImplementedError

    def close(self) -> None:
        self.is_closed = True


def test_a_socket_is_emptied_past_errors_of_the_network():
    one = Socket(None, ConnectionRefusedError(), None)
    drain(one)
    assert one.comes == []
    assert not is_waiting(one)


def test_emptying_a_socket_that_is_never_empty_ends():
    one = Socket(*[None] * (QUEUED_AT_MOST + 10))
    drain(one)
    assert one.reads == QUEUED_AT_MOST


def test_looking_whether_something_waits_takes_one_packet():
    one = Socket(None, None)
    assert is_waiting(one)
    assert len(one.comes) == 1


@pytest.mark.parametrize("error", [ConnectionRefusedError(), OSError(113, "no route to host")])
def test_an_error_of_the_network_is_no_packet(error: OSError):
    assert not is_waiting(Socket(error))


def test_a_pair_that_is_brought_again_stays_and_the_new_descriptors_are_closed():
    ports = Ports()
    first, again = [Socket(), Socket()], [Socket(), Socket()]
    ports.add(LOCAL, (20000,), first)
    pair = ports.pair(LOCAL, 20000)
    ports.add(LOCAL, (20000,), again)
    ports.add(LOCAL, (20000,), first)
    assert ports.pair(LOCAL, 20000) is pair
    assert [one.is_closed for one in first + again] == [False, False, True, True]


def test_a_pair_that_was_dropped_neither_hears_nor_sends_and_is_nobodys():
    ports = Ports()
    ports.add(LOCAL, (20000,), [Socket(), Socket()])
    dropped = ports.drop(LOCAL, 20000)
    assert dropped is not None
    assert (LOCAL, 20000) not in ports
    assert ports.drop(LOCAL, 20000) is None
    absent = ports.pair(LOCAL, 20000)
    assert absent is not dropped
    assert (absent.key, absent.owner) == ((LOCAL, 20000), "")
    absent.open(drained=True)
    absent.mute()
    with pytest.raises(BlockingIOError):
        absent.rtp.recvfrom_into(bytearray(1))
    with pytest.raises(BlockingIOError):
        absent.rtp.sendto(b"x", ("192.0.2.30", 4000))
