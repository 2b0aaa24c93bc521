"""What the worker's process reads of its surroundings."""

import os
from types import SimpleNamespace
from typing import NoReturn

import pytest

from sbc.media.worker import breakage
from sbc.media.worker.main import Worker, may_use_bpf


@pytest.mark.parametrize(
    ("effective", "may"),
    [
        ("000001ffffffffff", True),  # root
        ("00000000a80425fb", False),  # root in a container, as Docker has it
        ("0000000000000000", False),
        ("0000008000001000", True),  # CAP_BPF and CAP_NET_ADMIN
        ("0000000000200000", True),  # CAP_SYS_ADMIN, all that there was before Linux 5.8
    ],
)
def test_the_kernel_engine_is_not_imported_where_it_cannot_work(effective: str, may: bool) -> None:
    status = f"Name:\tpython\nCapPrm:\t000001ffffffffff\nCapEff:\t{effective}\nCapBnd:\t000001ffffffffff\n"
    assert may_use_bpf(status.encode()) is may


def test_where_nothing_is_known_of_capabilities_there_are_none() -> None:
    assert not may_use_bpf(b"")


@pytest.mark.parametrize("few", [0, 8])
def test_what_one_packet_breaks_the_other_calls_do_not_notice(
    few: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(breakage, "_said", set())
    worker = Worker(None, continues=False)
    read: list[int] = []

    def recv_from(fd: int) -> NoReturn:
        read.append(fd)
        if len(read) == 20:
            worker._is_over = True
        if fd == bad:
            broken()
        raise BlockingIOError

    (bad, bad_end), (good, good_end) = os.pipe(), os.pipe()
    for fd, end in ((bad, bad_end), (good, good_end)):
        os.write(end, b"a packet that nobody reads")
        worker.poller.add(fd, broken)
        one = SimpleNamespace(offer=None)
        worker.poller.lanes[fd] = SimpleNamespace(  # type: ignore[call-overload]
            recv=None, recv_from=lambda _buffer, fd=fd: recv_from(fd), inlet=one
        )
    monkeypatch.setattr("sbc.media.worker.main._FEW", few)
    worker.relay()
    worker.poller.epoll.close()
    for fd in (bad, bad_end, good, good_end):
        os.close(fd)
    assert set(read) == {bad, good}
    if not few:
        assert sorted(read) == [bad] * 10 + [good] * 10
    assert capsys.readouterr().err.count("Traceback") == 1


def broken() -> NoReturn:
    raise ZeroDivisionError
