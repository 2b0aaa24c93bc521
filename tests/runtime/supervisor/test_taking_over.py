"""A supervisor that becomes the next one, and one that systemd starts with what its predecessor left, as processes."""

import json
import os
import shlex
import signal
import socket
import sys
import time
from pathlib import Path

import pytest

from sbc.runtime.supervisor import handing_on

from .conftest import STAND_BY

pytestmark = [pytest.mark.loopback, pytest.mark.slow]


@pytest.fixture
def host(request):
    """Of this test alone: what a killed supervisor has started may still hold its sockets."""
    last = request.node.parent.session.items.index(request.node) % 200 + 20
    return f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250 + 2}.{last}"


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def open_in(run):
    return len(list(Path(f"/proc/{run.process.pid}/fd").iterdir()))


def events(run):
    return [json.loads(line)["event"] for line in run.log.splitlines()]


BUSY = """
import select
signal.signal(signal.SIGUSR2, lambda *_: sys.exit(0))
stops = lambda *_: (say("stopped"), sys.exit(4))
signal.signal(signal.SIGTERM, stops)
_, [udp] = ask(wire.Listen("udp", HOST, 5060, 0))
_, [memory] = ask_descriptors(wire.JournalMemory())
kept = os.pread(memory, 9, 0)
answer, pair = ask(wire.HeldPairs())
if not kept:
    os.pwrite(memory, b"what is", 0)
if not pair:
    answer, pair = ask(wire.OpenPairs(HOST, 20000, 20001, 1, 0))
address = ask(wire.StartWorker(0))[0].address
is_after = sys.argv[3:5] == ["--after", "0"]
say(os.getpid(), inodes([udp, *pair]), kept.decode().replace(" ", "-") or "-", address.hex(), is_after)
tell(wire.Ready("off"))
if udp in select.select([udp, control], [], [], 30)[0]: say(udp.recv(100).decode())
wait()
"""


def test_everything_that_is_held_outlives_the_program_itself(supervise, host):
    run = supervise(f"HOST = {host!r}\n" + BUSY)
    pid, sockets, kept, address, is_after = run.said(1)
    worker = run.said(1, "worker")
    assert (kept, is_after) == ("-", "False")
    run.signal(signal.SIGUSR2)
    again = run.said(2)
    assert again[0] != pid
    assert again[1:] == [sockets, "what-is", address, "True"]
    assert [words for words in run.lines if words[0] == "worker"] == [["worker", *worker]]
    assert is_alive(int(worker[0]))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"hello", (host, 5060))
    assert run.said(3) == ["hello"]
    assert events(run) == ["restart.begins"]
    run.signal(signal.SIGTERM)
    assert run.ends() == 4
    assert not is_alive(int(worker[0]))


def test_it_can_be_done_again_and_again(supervise, host):
    run = supervise(f"HOST = {host!r}\n" + BUSY)
    first = run.said(1)
    run.said(1, "worker")
    for n in range(2, 6):
        run.signal(signal.SIGUSR2)
        assert run.said(n)[1] == first[1]
    descriptors = open_in(run)
    run.signal(signal.SIGUSR2)
    run.said(6)
    assert open_in(run) == descriptors  # nothing is held twice


def test_a_worker_that_dies_after_it_is_started_again(supervise, host):
    run = supervise(f"HOST = {host!r}\n" + BUSY)
    run.said(1)
    [worker, *_] = run.said(1, "worker")
    run.signal(signal.SIGUSR2)
    run.said(2)
    os.kill(int(worker), signal.SIGKILL)
    again, *memory = run.said(2, "worker")
    assert (again != worker, memory[0]) == (True, b"kept".hex())


def test_a_program_that_does_not_start_is_refused_and_signalling_hears_why(supervise):
    run = supervise(
        """
tell(wire.Ready("off")); say(os.getpid())
while True: say(wire.decode_answer(control.recv(1000)).answer.reason)
""",
        stand_by="import sys; print('version', sys.argv[2], flush=True); sys.exit('it is broken')",
    )
    [pid] = run.said(1)
    run.signal(signal.SIGUSR2)
    assert run.said(2) == ["version", "1"]  # its stderr follows, which is more than a line
    assert is_alive(int(pid))
    run.signal(signal.SIGUSR2)
    run.said(3)
    assert "restart.begins" not in run.log


def test_a_table_that_cannot_be_read_is_a_start_with_nothing_and_the_addresses_are_free(supervise, host):
    table = os.memfd_create("table")
    os.write(table, b"of a version that we do not know")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as left:
        left.bind((host, 5060))
        run = supervise(
            f"HOST = {host!r}\n" + BUSY,
            inherits=(table, left.fileno()),
            told=f"{handing_on.TAKEOVER}=$$:3",
        )
    os.close(table)
    assert run.said(1)[2] == "-"
    assert events(run) == ["takeover.unreadable"]


READY = 'line.send(b"ready")'
SAYS_WHO_STANDS_BY = STAND_BY.replace(READY, READY + '; print("stand-by", os.getpid(), flush=True)')


def test_who_stands_by_is_signalling_when_that_is_killed(supervise):
    run = supervise("tell(wire.Ready('off')); say(os.getpid()); wait()", stand_by=SAYS_WHO_STANDS_BY)
    [pid] = run.said(1)
    [standing_by] = run.said(1, "stand-by")  # some seconds later, when the start is over
    os.kill(int(pid), signal.SIGKILL)
    assert run.said(2) == [standing_by]


def test_a_version_that_ends_after_all_is_tried_until_it_is_put_right_with_what_is_held(supervise, host, tmp_path):
    mark = tmp_path / "mark"
    run = supervise(f"""
_, [udp] = ask(wire.Listen("udp", {host!r}, 5060, 0))
signal.signal(signal.SIGUSR2, lambda *_: sys.exit(0))
if "--after" in sys.argv and not os.path.exists({str(mark)!r}):
    say("broken", inodes([udp])); sys.exit(1)
tell(wire.Ready("off")); say("ready", inodes([udp])); wait()
""")
    _, held = run.said(1)
    run.signal(signal.SIGUSR2)
    for n in range(2, 5):
        assert run.said(n) == ["broken", held]
    mark.touch()
    while run.lines[-1][1] != "ready":
        assert run.process.poll() is None, run.log
        time.sleep(0.02)
    assert run.lines[-1][2] == held


OLD_TABLE = """
import sys
from sbc.runtime.supervisor import inheritance
from sbc.runtime.supervisor.inheritance import Inheritance, LeftWorker
worker = LeftWorker(0, int(sys.argv[1]), 0)
left = Inheritance(inheritance.VERSION, (4, 5, 6), workers=(worker,), was_ready=True)
sys.stdout.buffer.write(inheritance.encode(left))
"""


def test_a_worker_that_the_new_signalling_cannot_speak_to_is_replaced_when_that_asks_for_it(supervise):
    table, memory = os.memfd_create("table"), os.memfd_create("memory")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind("")
    listener.listen()
    line, workers = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    script = f"{shlex.quote(sys.executable)} -c {shlex.quote(OLD_TABLE)} $! >&3"
    run = supervise(
        "say(ask(wire.StartWorker(0))[0].address.hex()); tell(wire.Ready('off')); wait()",
        inherits=(table, listener.fileno(), memory, line.fileno()),
        told=f"sleep 60 & {script}; {handing_on.TAKEOVER}=$$:3",
    )
    assert bytes.fromhex(run.said(1)[0]) == listener.getsockname()
    assert run.said(1, "worker")
    [died] = [json.loads(text) for text in run.log.splitlines()]
    assert (died["event"], died["child"], died["status"]) == ("child.died", "media-0", -signal.SIGKILL)
    for one in (listener, line, workers):
        one.close()
    for fd in (table, memory):
        os.close(fd)


# --- with systemd -----------------------------------------------------------------------------------------------------


class Store:
    """systemd's end of $NOTIFY_SOCKET: what is put into the store, by name."""

    def __init__(self, folder):
        self.path = str(folder / "notify")
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(20)
        self.said = []

    def close(self):
        self._socket.close()

    def stored(self):
        while True:
            data, fds, _, _ = socket.recv_fds(self._socket, 4096, 4)
            self.said.append(data.decode())
            if data.startswith(b"FDSTORE=1"):
                return fds[0]
            for fd in fds:
                os.close(fd)

    def barrier(self):
        data, [fd], _, _ = socket.recv_fds(self._socket, 4096, 1)
        assert data == b"BARRIER=1"
        os.close(fd)


LEAVES_IN_ORDER = "signal.signal(signal.SIGUSR2, lambda *_: sys.exit(0))"
LEAVES_SOMETHING = "signal.signal(signal.SIGUSR2, lambda *_: sys.exit(1))"


@pytest.mark.parametrize(("leaves", "memory"), [(LEAVES_IN_ORDER, "-"), (LEAVES_SOMETHING, "what-is")])
def test_what_systemd_keeps_is_what_the_next_start_goes_on_with(supervise, host, tmp_path, leaves, memory):
    """With the journal's memory, unless the disk has all of it."""
    store = Store(tmp_path)
    busy = f"HOST = {host!r}\n" + BUSY.replace(LEAVES_IN_ORDER, leaves)
    run = supervise(busy, NOTIFY_SOCKET=store.path)
    pid, sockets, _, address, *_ = run.said(1)
    [worker, *_] = run.said(1, "worker")
    run.signal(signal.SIGUSR1)
    run.signal(signal.SIGTERM)  # as systemd does right behind
    kept = store.stored()
    assert store.said[-1] == f"FDSTORE=1\nFDNAME={handing_on.STORED}\nFDPOLL=0"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.sendto(b"meanwhile", (host, 5060))
    store.barrier()
    store.close()
    assert run.ends() == 0
    assert not is_alive(int(pid))
    assert not is_alive(int(worker))
    assert "stopped" not in str(run.lines)

    begun = supervise(
        f"HOST = {host!r}\n" + BUSY,
        inherits=(kept,),
        told=f"LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={handing_on.STORED}",
    )
    os.close(kept)
    pid, same, *kept_words = begun.said(1)
    assert same == sockets
    assert kept_words == [memory, address, str(memory == "-")]
    assert begun.said(1, "worker")[1] == b"kept".hex()
    assert begun.said(2) == ["meanwhile"]
