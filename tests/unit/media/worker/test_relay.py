import errno
from collections import deque

import pytest

from sbc.media.worker.latch import Latch
from sbc.media.worker.relay import Inlet, relay

SOURCE = ("192.0.2.30", 4000)
TARGET = ("198.51.100.40", 5000)
RTP = bytes([0x80, 8]) + bytes(170)


class Socket:
    """Gives what is queued, then EAGAIN; fails to send as told."""

    def __init__(self, *queue: tuple[bytes, tuple[str, int]] | OSError, failures: list[OSError] | None = None) -> None:
        self.queue = deque(queue)
        self.failures = failures or []
        self.sent: list[tuple[bytes, tuple[str, int]]] = []

    def fileno(self) -> int:
        return 3

    def recvfrom_into(self, buffer: bytearray) -> tuple[int, tuple[str, int]]:
        if not self.queue:
            raise BlockingIOError
        item = self.queue.popleft()
        if isinstance(item, OSError):
            raise item
        data, source = item
        buffer[: len(data)] = data
        return len(data), source

    def sendto(self, data: bytes | memoryview, address: tuple[str, int]) -> int:
        if self.failures:
            raise self.failures.pop(0)
        self.sent.append((bytes(data), address))
        return len(data)

    def setsockopt(self, level: int, option: int, value: bytes | int) -> None:
        raise NotImplementedError


def inlet(socket: Socket, outlet: Socket, latch: Latch = Latch(SOURCE[0], 0)) -> Inlet:  # noqa: B008 - a frozen value
    return Inlet(socket, outlet, latch, TARGET, 12)


def counts(one: Inlet) -> tuple[int, int, int]:
    return one.packets, one.octets, one.dropped


def test_all_that_waits_is_relayed_and_counted() -> None:
    out = Socket()
    one = inlet(Socket(*[(RTP, SOURCE)] * 3), out)
    relay(one, 32)
    assert out.sent == [(RTP, TARGET)] * 3
    assert counts(one) == (3, 3 * 172, 0)


def test_no_more_than_the_budget_is_taken_so_that_others_get_their_turn() -> None:
    socket = Socket(*[(RTP, SOURCE)] * 5)
    one = inlet(socket, Socket())
    relay(one, 2)
    assert (one.packets, len(socket.queue)) == (2, 3)


def test_dropped_packets_use_the_budget_too() -> None:
    socket = Socket(*[(RTP, ("203.0.113.66", 1))] * 5)
    one = inlet(socket, Socket())
    relay(one, 2)
    assert (one.dropped, len(socket.queue)) == (2, 3)


def test_ipv6_sources_are_compared_by_host_and_port() -> None:
    out = Socket()
    socket = Socket((RTP, ("2001:db8::30", 4000, 0, 0)))  # type: ignore[arg-type]
    relay(inlet(socket, out, Latch("2001:db8::30", 4000)), 32)
    assert out.sent == [(RTP, TARGET)]


def test_an_error_that_the_network_reported_is_passed_over() -> None:
    out = Socket()
    refused = ConnectionRefusedError(errno.ECONNREFUSED, "refused")
    one = inlet(Socket(refused, (RTP, SOURCE)), out)
    relay(one, 32)
    assert counts(one) == (1, 172, 0)


def test_a_socket_that_only_gives_errors_does_not_hold_the_loop() -> None:
    relay(inlet(Socket(*[OSError(errno.EIO, "broken")] * 100), Socket()), 32)


def test_a_refused_send_is_tried_again_because_the_refusal_concerns_an_earlier_packet() -> None:
    out = Socket(failures=[ConnectionRefusedError(errno.ECONNREFUSED, "refused")])
    one = inlet(Socket((RTP, SOURCE)), out)
    relay(one, 32)
    assert out.sent == [(RTP, TARGET)]
    assert counts(one) == (1, 172, 0)


@pytest.mark.parametrize(
    "failures",
    [
        [BlockingIOError(errno.EAGAIN, "full")],
        [OSError(errno.ENOBUFS, "full")],
        [PermissionError(errno.EPERM, "a firewall of ours")],
        [OSError(errno.ENETUNREACH, "no route")],
        [ConnectionRefusedError(errno.ECONNREFUSED, "refused")] * 2,
    ],
)
def test_a_packet_that_cannot_be_sent_is_dropped_and_counted_and_the_next_goes_on(failures: list[OSError]) -> None:
    out = Socket(failures=list(failures))
    one = inlet(Socket((RTP, SOURCE), (RTP, SOURCE)), out)
    relay(one, 32)
    assert counts(one) == (1, 172, 1)


def test_a_large_packet_goes_through_whole() -> None:
    large = bytes([0x80]) + bytes(65_000)
    out = Socket()
    relay(inlet(Socket((large, SOURCE)), out), 32)
    assert out.sent == [(large, TARGET)]
