"""Asking the supervisor: answers with descriptors, refusals, answers that come too late, and its end."""

import contextlib
import errno
import os
import socket
from pathlib import Path

import pytest
import structlog
import trio
import trio.testing

from sbc.runtime.supervised_keeper import SupervisedKeeper
from sbc.runtime.supervisor import wire


@pytest.fixture
def link():
    """Our keeper, and the supervisor's end, which says its answers before it is asked."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    keeper = SupervisedKeeper(ours)
    yield keeper, theirs
    keeper.close()
    theirs.close()


def answer(theirs, serial, what, *sockets):
    socket.send_fds(theirs, [wire.encode(wire.Answered(serial, what))], [one.fileno() for one in sockets])


def udp():
    return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)


def descriptors():
    return len(list(Path("/proc/self/fd").iterdir()))


def inode(sock):
    return os.fstat(sock.fileno()).st_ino


def test_a_socket_comes_as_a_descriptor_of_our_own(link):
    keeper, theirs = link
    with udp() as held:
        answer(theirs, 1, wire.Opened(), held)
        with keeper.listen("udp", "127.0.0.1", 5060, 24) as mine:
            assert inode(mine) == inode(held)
            assert not mine.getblocking()
            assert not mine.get_inheritable()
    assert wire.decode_message(theirs.recv(1000)) == wire.Asked(1, wire.Listen("udp", "127.0.0.1", 5060, 24))


def test_a_refusal_is_the_operating_systems_own_error(link):
    keeper, theirs = link
    answer(theirs, 1, wire.Failed(errno.EADDRINUSE, "taken"))
    with pytest.raises(OSError, match="taken") as refusal:
        keeper.listen("udp", "127.0.0.1", 5060, 0)
    assert refusal.value.errno == errno.EADDRINUSE


@pytest.mark.parametrize("what", [wire.Opened(), None], ids=["no descriptor", "no answer"])
def test_a_socket_that_does_not_reach_us_is_not_kept_open_by_the_supervisor(link, what):
    keeper, theirs = link
    keeper._control.settimeout(0.01)
    if what is not None:
        answer(theirs, 1, what)
    with pytest.raises(OSError, match=r"open files|timed out"):
        keeper.listen("udp", "127.0.0.1", 5060, 0)
    theirs.recv(1000)
    assert wire.decode_message(theirs.recv(1000)) == wire.CloseListener("udp", "127.0.0.1", 5060)


def test_an_answer_that_came_too_late_is_not_taken_for_the_next_one(link):
    keeper, theirs = link
    with udp() as late, udp() as held:
        answer(theirs, 0, wire.Opened(), late)
        answer(theirs, 1, wire.Opened(), held)
        before = descriptors()
        with keeper.listen("udp", "127.0.0.1", 5060, 0) as mine:
            assert inode(mine) == inode(held)
        assert descriptors() == before


def test_no_answer_is_an_error_after_a_while(link, monkeypatch):
    keeper, _ = link
    keeper._control.settimeout(0.01)
    with pytest.raises(TimeoutError):
        keeper.worker_address(0)


def test_a_supervisor_that_is_gone_is_an_error_at_once(link):
    keeper, theirs = link
    theirs.close()
    with pytest.raises(OSError, match=r"gone|pipe"):
        keeper.worker_address(0)


def test_pairs_come_in_portions_until_there_are_enough_or_no_more(link):
    keeper, theirs = link
    sockets = [udp() for _ in range(4)]
    try:
        answer(theirs, 1, wire.Pairs("127.0.0.1", (20000, 20002), "no more"), *sockets)
        pairs = keeper.open_pairs("127.0.0.1", (20000, 20009), 70, 46)
        assert [(pair.local, pair.port) for pair in pairs] == [("127.0.0.1", 20000), ("127.0.0.1", 20002)]
        assert [inode(one) for pair in pairs for one in (pair.rtp, pair.rtcp)] == [inode(one) for one in sockets]
        assert keeper.why_short() == "no more"
        for pair in pairs:
            pair.close()
    finally:
        for one in sockets:
            one.close()
    assert wire.decode_message(theirs.recv(1000)).question == wire.OpenPairs("127.0.0.1", 20000, 20009, 60, 46)


def test_pairs_beyond_our_own_descriptors_are_not_even_asked_for(link):
    keeper, theirs = link
    keeper._ceiling = 4
    assert keeper.open_pairs("127.0.0.1", (20000, 20009), 3, 0) == []
    assert keeper.why_short().startswith("no descriptors are left")
    theirs.setblocking(False)
    with pytest.raises(BlockingIOError):
        theirs.recv(1000)


def test_pairs_of_an_earlier_life_are_all_told(link):
    keeper, theirs = link
    with udp() as rtp, udp() as rtcp:
        answer(theirs, 1, wire.Pairs("127.0.0.1", (20000,)), rtp, rtcp)
        answer(theirs, 2, wire.Pairs("127.0.0.2", (20002,)), rtp, rtcp)
        answer(theirs, 3, wire.Pairs("", ()))
        pairs = keeper.held_pairs()
    assert [(pair.local, pair.port) for pair in pairs] == [("127.0.0.1", 20000), ("127.0.0.2", 20002)]
    for pair in pairs:
        pair.close()


def test_the_memory_of_the_journal_comes_as_a_descriptor_of_our_own(link):
    keeper, theirs = link
    held = os.memfd_create("journal")
    socket.send_fds(theirs, [wire.encode(wire.Answered(1, wire.Opened()))], [held])
    mine = keeper.journal_memory("00" * 16)
    assert os.fstat(mine).st_ino == os.fstat(held).st_ino
    assert not os.get_inheritable(mine)
    os.close(mine)
    os.close(held)
    answer(theirs, 2, wire.Opened())
    with pytest.raises(OSError, match="open files"):
        keeper.journal_memory("00" * 16)


async def test_it_beats_and_run_returns_when_the_supervisor_is_gone(link):
    keeper, theirs = link
    with trio.fail_after(5):
        async with trio.open_nursery() as nursery:
            await nursery.start(keeper.run)
            keeper.ready("off")
            await trio.testing.wait_all_tasks_blocked()
            said = {type(wire.decode_message(theirs.recv(1000))) for _ in range(2)}
            assert said == {wire.Ready, wire.Beat}
            theirs.close()


async def test_an_engine_that_does_not_turn_beats_no_more_and_what_it_does_is_said_now_and_then(link, autojump_clock):
    keeper, theirs = link
    theirs.setblocking(False)
    pulse = ["ready, 3 calls"]
    keeper.has_pulse(lambda: pulse[0])

    def heard():
        beats = []
        with contextlib.suppress(BlockingIOError):
            while True:
                beats.append(wire.decode_message(theirs.recv(1000)).status)
        return beats

    async with trio.open_nursery() as nursery:
        nursery.start_soon(keeper._beat)
        await trio.sleep(11.5)
        assert heard() == ["ready, 3 calls", *[""] * 9, "ready, 3 calls", ""]
        pulse[0] = None
        await trio.sleep(60)
        assert heard() == []
        pulse[0] = "ready"
        await trio.sleep(1.5)
        assert heard()
        nursery.cancel_scope.cancel()


@pytest.mark.parametrize(("after", "said"), [(None, []), (-9, [{"alarm": True, "after_status": -9}])])
async def test_the_death_of_the_signalling_before_us_is_an_alarm_of_ours(after, said, autojump_clock):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, structlog.testing.capture_logs() as logs:
        keeper = SupervisedKeeper(ours, after=after)
        with trio.move_on_after(1):
            await keeper.run()
        keeper.close()
    lines = [line for line in logs if line["event"] == "signalling.restarted"]
    assert [{key: line[key] for key in ("alarm", "after_status")} for line in lines] == said


# --- a restart into the installed program -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("decision", "refusal"), [(wire.RestartBegins(), ""), (wire.RestartRefused("no such module"), "no such module")]
)
async def test_everybody_who_asks_for_a_restart_hears_what_the_supervisor_has_decided(link, nursery, decision, refusal):
    keeper, theirs = link
    await nursery.start(keeper.run)
    heard = []

    async def ask():
        heard.append(await keeper.restart())

    nursery.start_soon(ask)
    nursery.start_soon(ask)
    await trio.testing.wait_all_tasks_blocked()
    answer(theirs, 0, decision)
    with trio.fail_after(5):
        while len(heard) < 2:  # noqa: ASYNC110 - it comes by a real socket
            await trio.sleep(0.001)
    assert heard == [refusal, refusal]


async def test_a_supervisor_that_decides_nothing_is_not_waited_for_for_ever(link, autojump_clock):
    keeper, _ = link
    assert "does not say" in await keeper.restart()


@pytest.mark.parametrize(
    ("after", "event"), [(0, "restart.done"), (-9, "signalling.restarted"), (1, "signalling.restarted")]
)
async def test_only_a_death_is_an_alarm_of_the_next_life(after, event, nursery):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    keeper = SupervisedKeeper(ours, after=after)
    with theirs, structlog.testing.capture_logs() as logs:
        await nursery.start(keeper.run)
        nursery.cancel_scope.cancel()
    keeper.close()
    assert [(line["event"], line.get("alarm", False)) for line in logs] == [(event, after != 0)]
