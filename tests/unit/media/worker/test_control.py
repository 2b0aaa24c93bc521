"""Who may speak to a worker, and what it does with a signalling that does not listen."""

import select
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sbc.core.limits import MEDIA_REPORTS_WAITING
from sbc.media import wire
from sbc.media.worker import breakage
from sbc.media.worker.control import Control, is_ours

OURS, NOBODY = 1000, 65_534


class Peer:
    """As much of a connected socket as says whose it is."""

    def __init__(self, uid: int) -> None:
        self.uid = uid

    def getsockopt(self, level: int, option: int, octets: int) -> bytes:
        assert (level, option, octets) == (socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        return b"".join(number.to_bytes(4, sys.byteorder) for number in (4711, self.uid, OURS))


@pytest.mark.parametrize(("uid", "may"), [(OURS, True), (0, True), (OURS + 1, False), (NOBODY, False)])
def test_only_our_own_user_and_root_may_speak_to_a_worker(uid: int, may: bool) -> None:
    assert is_ours(Peer(uid), OURS) is may  # type: ignore[arg-type]


class Service:
    """Answers what a test wants, or breaks."""

    def __init__(self) -> None:
        self.answer: list[wire.Reply] | Iterator[wire.Reply] = []
        self.received: list[bytes] = []
        self.most_unread = 0

    def unread(self, replies: int) -> None:
        self.most_unread = max(self.most_unread, replies)

    def receive(self, data: bytes, sockets: list[socket.socket]) -> list[wire.Reply] | Iterator[wire.Reply]:
        self.received.append(data)
        if data == b"break":
            raise ZeroDivisionError
        return self.answer


@pytest.fixture(autouse=True)
def _nothing_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breakage, "_said", set())


class Line:
    """A control connection, and signalling's end of it."""

    def __init__(self) -> None:
        self.signalling, ours = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self.signalling.setblocking(False)
        self.epoll = select.epoll()
        self.epoll.register(ours.fileno(), select.EPOLLIN)
        self.service = Service()
        self.control = Control(ours, self.epoll, self.service)  # type: ignore[arg-type]

    def heard(self) -> list[wire.Reply]:
        replies: list[wire.Reply] = []
        while True:
            try:
                replies.append(wire.decode_reply(self.signalling.recv(65_536)))
            except BlockingIOError:
                return replies

    def close(self) -> None:
        self.control.close()
        self.signalling.close()
        self.epoll.close()


@pytest.fixture
def line() -> Iterator[Line]:
    one = Line()
    yield one
    one.close()


def test_a_request_that_breaks_the_worker_is_refused_and_the_next_is_served(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    line.service.answer = [wire.Report(())]
    for data in (b"break", b"query"):
        line.signalling.send(data)
    assert line.control.turn()
    refused, report = line.heard()
    assert isinstance(refused, wire.Refused)
    assert "ZeroDivisionError" in refused.reason
    assert report == wire.Report(())
    assert "ZeroDivisionError" in capsys.readouterr().err
    line.signalling.send(b"break")  # it may come again and again
    line.control.turn()
    assert capsys.readouterr().err == ""


def test_an_answer_that_cannot_be_sent_is_dropped_and_the_next_one_goes_out(
    line: Line, capsys: pytest.CaptureFixture[str]
) -> None:
    line.control.send(wire.Refused("a", "x" * 10_000_000))  # EMSGSIZE
    line.control.send(wire.Report(()))
    assert line.heard() == [wire.Report(())]
    assert "Message too long" in capsys.readouterr().err


def test_descriptors_that_are_no_sockets_are_refused_and_none_is_left_open(line: Line) -> None:
    before = sorted(Path("/proc/self/fd").iterdir())
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one, Path("/dev/null").open() as other:
        socket.send_fds(line.signalling, [b"query"], [one.fileno(), other.fileno(), one.fileno()])
        assert line.control.turn()
    (refused,) = line.heard()
    assert isinstance(refused, wire.Refused)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_reports_are_made_one_a_turn_so_that_packets_do_not_wait_for_them_and_requests_are_served_between(
    line: Line,
) -> None:
    made: list[int] = []

    def reports() -> Iterator[wire.Reply]:
        for n in range(3):
            made.append(n)
            yield wire.Refused(str(n), "")

    line.service.answer = reports()
    line.signalling.send(b"query")
    assert line.control.turn()
    assert made == []
    line.service.answer = [wire.Report(())]
    line.signalling.send(b"another")
    for n in range(3):
        assert line.epoll.poll(0), "the loop comes back without anything having happened"
        assert line.control.turn()
        assert made == list(range(n + 1))
    assert line.heard() == [wire.Refused("0", ""), wire.Report(()), wire.Refused("1", ""), wire.Refused("2", "")]
    line.control.turn()
    assert not line.epoll.poll(0), "and no more when all are made"


def test_a_report_that_breaks_the_worker_is_refused(line: Line, capsys: pytest.CaptureFixture[str]) -> None:
    def reports() -> Iterator[wire.Reply]:
        yield wire.Report((), last=False)
        raise ZeroDivisionError

    line.service.answer = reports()
    line.signalling.send(b"query")
    for _ in range(5):
        assert line.control.turn()
    report, refused = line.heard()
    assert (report, type(refused)) == (wire.Report((), last=False), wire.Refused)
    assert not line.epoll.poll(0)
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_it_is_over_when_signalling_has_closed(line: Line) -> None:
    assert line.control.turn()
    line.signalling.close()
    line.control.send(wire.Report(()))
    assert not line.control.turn()


# BOUND: MEDIA_REPORTS_WAITING
def test_answers_wait_for_a_signalling_that_is_slow_and_news_do_not_pile_up(line: Line) -> None:
    answer, news = wire.Refused("a", "x" * 1000), wire.DigitHeard("a", 0, "ingress", "5", 100)
    for _ in range(3000):
        line.control.send(answer)
    line.control.tell([news] * 3000)
    assert line.service.most_unread >= MEDIA_REPORTS_WAITING
    heard: list[wire.Reply] = []
    while got := line.heard():
        heard += got
        assert line.control.turn()
    assert heard == [answer] * 3000
    line.control.tell([news])
    assert line.heard() == [news]
