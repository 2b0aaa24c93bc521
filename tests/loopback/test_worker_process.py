"""The media worker as a process of its own: who may speak to it, what it outlives, and what ends it."""

import contextlib
import mmap
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from sbc.media import wire
from sbc.media.worker.slots import SLOT_OCTETS, SLOTS
from sbc.media.worker.stand_by import QUICK_DEATHS
from sbc.runtime.media_sockets import Pair, open_media_socket, open_pairs

pytestmark = [pytest.mark.loopback, pytest.mark.slow]

INSIDE, OUTSIDE, PBX, CARRIER = "127.0.0.10", "127.0.0.20", "127.0.0.30", "127.0.0.40"
PATIENCE = 20.0
NOBODY = 65_534


def sockets() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Worker:
    """A process, the socket on which it listens, our end of its life line and the memory of its counters."""

    def __init__(self) -> None:
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind("")
        self.listener.listen(8)
        self.memory = os.memfd_create("slots")
        os.ftruncate(self.memory, SLOTS * SLOT_OCTETS)
        self.life: socket.socket | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.connections: list[socket.socket] = []

    def start(self, *, is_alone: bool = False) -> None:
        """`is_alone`: without a life line, as a unit of systemd."""
        fds = {"--listen-fd": self.listener.fileno(), "--memory-fd": self.memory}
        life, theirs = sockets()
        if not is_alone:
            fds["--life-fd"] = theirs.fileno()
        self.run([word for name, fd in fds.items() for word in (name, str(fd))], tuple(fds.values()))
        theirs.close()
        if self.life:
            self.life.close()
        life.settimeout(PATIENCE)
        self.life = life

    def run(self, words: list[str], fds: tuple[int, ...], environment: Mapping[str, str] | None = None) -> None:
        command = [sys.executable, "-m", "sbc.media.worker", *words]
        self.process = subprocess.Popen(command, pass_fds=fds, env=environment)

    def connect(self) -> socket.socket:
        one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        one.settimeout(PATIENCE)
        one.connect(self.listener.getsockname())
        self.connections.append(one)
        return one

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait(PATIENCE)

    def children(self) -> list[int]:
        """Of the process that was started: it stands by, and its child relays."""
        assert self.process
        pid = self.process.pid
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def kill_child(self) -> None:
        """And wait for its end; its parent may not have followed it up yet."""
        control = self.connect()
        os.kill(begin(control).pid, signal.SIGKILL)
        assert control.recv(65_536) == b""

    def ends(self) -> int:
        assert self.process
        return self.process.wait(PATIENCE)

    def close(self) -> None:
        for one in (*self.connections, self.listener, self.life):
            if one:
                one.close()
        if self.process:
            self.kill()
        os.close(self.memory)


class Call:
    """Two far ends, our two pairs, and what is put."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.pairs: list[Pair] = [
            *open_pairs(INSIDE, (30000, 39998), 1, (), lambda n: int.from_bytes(os.urandom(4)) % n),
            *open_pairs(OUTSIDE, (30000, 39998), 1, (), lambda n: int.from_bytes(os.urandom(4)) % n),
        ]
        self.pbx, self.carrier = open_media_socket(PBX, 0), open_media_socket(CARRIER, 0)
        for pair in self.pairs:
            stack.callback(pair.close)
        for far in (self.pbx, self.carrier):
            stack.callback(far.close)
        self.carrier.settimeout(PATIENCE)
        self.sent = 0

    def put(self, control: socket.socket, **more: object) -> None:
        for pair in self.pairs:
            add = wire.AddPorts(pair.local, (pair.port,))
            socket.send_fds(control, [wire.encode(add)], [pair.rtp.fileno(), pair.rtcp.fileno()])
        ends = [
            wire.End(pair.local, pair.port, wire.Remote(far.getsockname()[0], far.getsockname()[1], 0))
            for pair, far in zip(self.pairs, (self.pbx, self.carrier), strict=True)
        ]
        control.send(wire.encode(wire.PutSession("call", 1, (wire.Stream(*ends),), **more)))  # type: ignore[arg-type]

    def crosses(self) -> None:
        """One more packet of the PBX comes to the carrier."""
        self.sent += 1
        packet = bytes([0x80, 8]) + self.sent.to_bytes(2) + bytes(168)
        self.pbx.sendto(packet, (INSIDE, self.pairs[0].port))
        assert self.carrier.recv(2048) == packet


@pytest.fixture
def worker() -> Iterator[Worker]:
    one = Worker()
    yield one
    one.close()


@pytest.fixture
def call() -> Iterator[Call]:
    with contextlib.ExitStack() as stack:
        yield Call(stack)


def heard(control: socket.socket) -> wire.Reply:
    return wire.decode_reply(control.recv(65_536))


def begin(control: socket.socket) -> wire.Running:
    """What a connection begins with; signalling has nothing to say but who it is."""
    running = heard(control)
    assert isinstance(running, wire.Running)
    control.send(wire.encode(wire.Configure("test", "userland")))
    assert heard(control) == wire.EngineReady("userland")
    return running


def report(control: socket.socket) -> wire.Report:
    control.send(wire.encode(wire.Query()))
    answer = heard(control)
    assert isinstance(answer, wire.Report)
    return answer


def test_it_says_that_it_runs_to_who_started_it_and_to_who_speaks_to_it(worker: Worker) -> None:
    control = worker.connect()
    worker.start()
    assert worker.life
    assert worker.process
    assert worker.life.recv(99) == b"running"
    assert worker.children() == [begin(control).pid]


def test_a_child_that_is_killed_is_followed_by_another_that_needs_no_start(worker: Worker, call: Call) -> None:
    worker.start()
    pids = []
    for n in range(3):
        control = worker.connect()
        running = begin(control)
        assert running.continues is True
        pids.append(running.pid)
        call.put(control, resumed=True)
        report(control)
        call.crosses()
        if n < 2:
            os.kill(pids[-1], signal.SIGKILL)
            assert control.recv(65_536) == b""
    assert len(set(pids)) == 3
    assert worker.life
    worker.life.close()
    assert worker.ends() == 0


def test_a_child_has_what_its_parent_has_imported(worker: Worker) -> None:
    worker.start()
    worker.kill_child()
    second = begin(worker.connect()).pid
    assert "/_ctypes." in Path(f"/proc/{second}/maps").read_text()


def test_sockets_that_a_killed_worker_had_connected_hear_everybody_again_with_the_next(
    worker: Worker, call: Call
) -> None:
    worker.start()
    control = worker.connect()
    pid = begin(control).pid
    call.put(control)
    report(control)
    call.crosses()
    end = time.monotonic() + PATIENCE
    while not is_connected(call.pairs[0].rtp):
        assert time.monotonic() < end
        time.sleep(0.05)
    call.crosses()
    os.kill(pid, signal.SIGKILL)
    assert control.recv(65_536) == b""
    assert is_connected(call.pairs[0].rtp), "nobody has undone it"
    control = worker.connect()
    begin(control)
    call.put(control, resumed=True)
    report(control)
    assert not is_connected(call.pairs[0].rtp)
    with open_media_socket("127.0.0.66", 0) as stranger:
        stranger.sendto(bytes([0x80, 8]) + bytes(170), (INSIDE, call.pairs[0].port))
    call.crosses()
    assert report(control).sessions[0].streams[0].ingress.foreign == 1


def is_connected(one: socket.socket) -> bool:
    try:
        one.getpeername()
    except OSError:
        return False
    return True


def test_one_that_dies_again_and_again_is_left_to_who_started_it(worker: Worker) -> None:
    worker.start()
    for _ in range(QUICK_DEATHS + 1):
        worker.kill_child()
    assert worker.ends() == 128 + signal.SIGKILL


def test_a_child_goes_when_its_parent_is_killed_and_takes_nobody_more(worker: Worker) -> None:
    worker.start()
    first = worker.connect()
    child = begin(first).pid
    worker.kill()
    second = worker.connect()  # the child may still be there
    assert first.recv(65_536) == b""
    worker.start()
    assert begin(second).pid != child


def test_it_goes_on_relaying_without_signalling_and_tells_the_next_what_it_has(worker: Worker, call: Call) -> None:
    worker.start()
    control = worker.connect()
    begin(control)
    call.put(control)
    control.send(wire.encode(wire.Synced()))
    report(control)
    call.crosses()
    control.close()
    call.crosses()
    control = worker.connect()
    assert begin(control).continues
    (session,) = report(control).sessions
    assert session.ports == tuple((pair.local, pair.port) for pair in call.pairs)
    assert session.streams[0].ingress.received == call.sent == 2
    control.send(wire.encode(wire.Synced()))
    report(control)
    call.crosses()


def test_a_newer_connection_replaces_the_older(worker: Worker, call: Call) -> None:
    worker.start()
    older = worker.connect()
    begin(older)
    call.put(older)
    report(older)
    newer = worker.connect()
    begin(newer)
    assert older.recv(99) == b""
    call.crosses()
    assert [session.ref for session in report(newer).sessions] == ["call"]


def test_a_worker_that_follows_a_killed_one_counts_on(worker: Worker, call: Call) -> None:
    for _ in range(3):
        worker.start()
        control = worker.connect()
        assert begin(control).continues
        call.put(control, resumed=call.sent > 0)
        report(control)
        for _ in range(5):
            call.crosses()
        (session,) = report(control).sessions
        assert session.streams[0].ingress.received == session.streams[0].egress.sent == call.sent
        worker.kill()
    assert call.sent == 15


def test_it_ends_with_who_started_it_and_ignores_what_is_sent_to_everybody(worker: Worker) -> None:
    worker.start()
    control = worker.connect()
    begin(control)
    assert worker.process
    assert worker.life
    for number in (signal.SIGINT, signal.SIGTERM):
        worker.process.send_signal(number)
    report(control)
    worker.life.close()
    assert worker.ends() == 0


def test_on_its_own_it_ends_when_it_is_told_to(worker: Worker) -> None:
    worker.start(is_alone=True)
    begin(worker.connect())
    assert worker.process
    worker.process.terminate()
    assert worker.ends() == 0


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_a_stranger_is_not_listened_to(worker: Worker) -> None:
    worker.listener.close()
    worker.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    worker.listener.bind("")
    worker.listener.listen(8)
    worker.start()
    ours = worker.connect()
    begin(ours)
    name = worker.listener.getsockname()
    stranger = (
        "import os, socket, sys\n"
        f"os.setuid({NOBODY})\n"
        "one = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
        f"one.connect({name!r})\n"
        "sys.exit(len(one.recv(99)))\n"
    )
    assert subprocess.run([sys.executable, "-c", stranger], timeout=PATIENCE, check=False).returncode == 0
    report(ours)


@pytest.mark.parametrize("words", [[], ["--listen-fd"], ["--listen-fd", "x"], ["--speed", "3"], ["--life-fd", "3"]])
def test_wrong_usage_is_said(words: list[str]) -> None:
    command = [sys.executable, "-m", "sbc.media.worker", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("usage: ")


# --- systemd ----------------------------------------------------------------------------------------------------------

PASS_ON = """
import os, sys
far = 500  # above what may be open: none is overwritten before it has been passed on
for n, fd in enumerate(map(int, sys.argv[1:]), 3):
    os.dup2(fd, n + far)
for n in range(3, 3 + len(sys.argv[1:])):
    os.dup2(n + far, n)
    os.close(n + far)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "sbc.media.worker"])
"""


def under_systemd(worker: Worker, fds: Mapping[str, int], notify: str) -> None:
    """As systemd starts it: descriptors from 3 up, their names and the pid in the environment."""
    environment = os.environ | {
        "LISTEN_FDS": str(len(fds)),
        "LISTEN_FDNAMES": ":".join(fds),
        "NOTIFY_SOCKET": notify,
    }
    command = [sys.executable, "-c", PASS_ON, *map(str, fds.values())]
    worker.process = subprocess.Popen(command, pass_fds=tuple(fds.values()), env=environment)


def test_systemd_keeps_its_counters_and_gives_them_back(worker: Worker, call: Call) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notified:
        notified.bind("")
        notified.settimeout(PATIENCE)
        address = "@" + notified.getsockname()[1:].decode()
        under_systemd(worker, {"sbc-media.socket": worker.listener.fileno()}, address)
        data, (memory,), _, _ = socket.recv_fds(notified, 999, 1)
        assert data == b"FDSTORE=1\nFDNAME=memory"
        assert notified.recv(999) == b"READY=1"
        control = worker.connect()
        assert not begin(control).continues, "nobody has counted before"
        call.put(control)
        report(control)
        call.crosses()
        report(control)  # a packet is counted right after it has been sent
        with mmap.mmap(memory, SLOTS * SLOT_OCTETS) as slots:
            assert any(slots[: 4 * SLOT_OCTETS])
        worker.kill()
        under_systemd(worker, {"sbc-media.socket": worker.listener.fileno(), "memory": memory}, address)
        assert notified.recv(999) == b"READY=1"
        os.close(memory)
    control = worker.connect()
    assert begin(control).continues
    call.put(control, resumed=True)
    report(control)
    call.crosses()
    assert report(control).sessions[0].streams[0].ingress.received == 2
