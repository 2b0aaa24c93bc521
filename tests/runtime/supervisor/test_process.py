"""The supervisor as a process, its children played by a few lines: what it keeps, starts again, passes on and tells."""

import json
import os
import signal
import socket
import uuid
from pathlib import Path

import pytest

from sbc.runtime.supervisor.shared_memory import FOLDER

pytestmark = [pytest.mark.loopback, pytest.mark.slow]

PATIENCE = 20.0


@pytest.fixture
def host():
    return f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250 + 2}.10"


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


# --- how it ends ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [0, 1, 2])
def test_signalling_that_ends_before_it_is_ready_ends_all_with_its_status(supervise, status):
    run = supervise(f"say('began'); sys.exit({status})")
    assert run.ends() == status
    assert run.lines == [["signalling", "began"]]
    assert run.log == ""


def test_a_stop_reaches_signalling_and_the_worker_outlives_it(supervise):
    run = supervise("""
ask(wire.StartWorker(0)); tell(wire.Ready("off"))
signal.signal(signal.SIGINT, lambda *_: (say("stopped"), sys.exit(5)))
say("ready", os.getsid(0) == os.getpid())
while True: time.sleep(1)
""")
    assert run.said(1) == ["ready", "True"]  # Ctrl-C on the terminal does not reach its session
    worker = int(run.said(1, "worker")[0])
    run.signal(signal.SIGINT)
    assert run.said(2) == ["stopped"]
    assert run.ends() == 5
    assert not is_alive(worker)
    assert run.log == ""


def test_signals_are_passed_on_as_often_as_they_come(supervise):
    run = supervise("""
heard = lambda number, _: say(signal.Signals(number).name)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP): signal.signal(number, heard)
tell(wire.Ready("off")); say("ready"); wait()
""")
    run.said(1)
    for n, number in enumerate([signal.SIGHUP, signal.SIGTERM, signal.SIGTERM], start=2):
        run.signal(number)
        assert run.said(n) == [number.name]


def test_a_worker_that_does_not_end_is_killed(supervise):
    run = supervise(
        """
signal.signal(signal.SIGINT, lambda *_: sys.exit(1))
ask(wire.StartWorker(0)); tell(wire.Ready("off")); wait()
""",
        "import os, time; print('worker', os.getpid(), flush=True); time.sleep(60)",
    )
    [worker] = run.said(1, "worker")
    run.signal(signal.SIGINT)
    assert run.ends() == 1
    assert not is_alive(worker)


# --- what it keeps ----------------------------------------------------------------------------------------------------

LISTENERS = """
_, [udp] = ask(wire.Listen("udp", HOST, PORT, 24))
_, [tcp] = ask(wire.Listen("tcp", HOST, PORT, 0))
udp.setblocking(True); tcp.setblocking(True)
say(os.getpid(), inodes([udp, tcp]))
tell(wire.Ready("off"))
say(udp.recv(100).decode())
peer, _ = tcp.accept()
say(peer.recv(100).decode())
wait()
"""


def test_what_comes_while_signalling_is_dead_waits_for_the_next_one(supervise, host):
    port = 5060
    run = supervise(f"HOST, PORT = {host!r}, {port}\n" + LISTENERS)
    pid, sockets = run.said(1)
    os.kill(int(pid), signal.SIGKILL)
    while is_alive(pid):  # a dying process may still take a datagram
        pass
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer, socket.create_connection((host, port)) as stream:
        peer.sendto(b"datagram", (host, port))
        stream.sendall(b"octets")
        again, same = run.said(2)
        assert (again != pid, same) == (True, sockets)
        assert run.said(3) == ["datagram"]
        assert run.said(4) == ["octets"]
    died = json.loads(run.log)
    assert (died["event"], died["child"], died["pid"], died["status"]) == ("child.died", "signalling", int(pid), -9)


PAIRS = """
answer, sockets = ask(wire.HeldPairs())
if not answer.ports:
    answer, sockets = ask(wire.OpenPairs(HOST, 20000, 20005, 9, 46))
    say(os.getpid(), sorted(answer.ports), "|", answer.short)
say(inodes(sockets), len(ask(wire.HeldPairs())[0].ports), ask(wire.OpenPairs(HOST, 20000, 20005, 1, 0))[0].ports)
tell(wire.Ready("off")); say("ready"); wait()
"""


def test_media_pairs_are_handed_out_again_and_never_twice(supervise, host):
    run = supervise(f"HOST = {host!r}\n" + PAIRS)
    pid, *opened = run.said(1)
    assert " ".join(opened).startswith("[20000, 20002, 20004] | other programs hold the rest")
    before = run.said(2)
    assert before[1:] == ["0", "()"]
    run.said(3)
    os.kill(int(pid), signal.SIGKILL)
    assert run.said(4) == before
    assert run.said(5) == ["ready"]


JOURNAL = """
control.send(wire.encode(wire.Asked(7, wire.JournalMemory())))
_, [fd], _, _ = socket.recv_fds(control, wire.MESSAGE_OCTETS, 1)
say(os.getpid(), os.fstat(fd).st_ino, os.pread(fd, 4, 0).hex() or "-")
os.pwrite(fd, b"kept", 0)
tell(wire.Ready("off")); say("ready"); wait()
"""


def test_the_memory_of_the_journal_is_given_back_to_each_life_with_what_is_in_it(supervise):
    run = supervise(JOURNAL)
    pid, inode, content = run.said(1)
    assert content == "-"
    for life in range(1, 4):
        run.said(2 * life)
        os.kill(int(pid), signal.SIGKILL)
        pid, *same = run.said(2 * life + 1)
        assert same == [inode, b"kept".hex()]


NAMED = """
_, [fd] = ask_descriptors(wire.JournalMemory(NAME))
say(os.getpid(), os.pread(fd, 4, 0).decode() or "-")
os.pwrite(fd, b"kept", 0)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
tell(wire.Ready("off")); say("ready"); wait()
"""


def test_the_memory_of_the_journal_outlives_all_of_them_and_goes_with_a_stop(supervise):
    name = uuid.uuid4().hex
    path = Path(FOLDER) / f"sbc-journal-{name}"
    program = f"NAME = {name!r}" + NAMED
    found = []
    for last in (False, False, True):
        run = supervise(program)
        pid, said = run.said(1)
        run.said(2)
        found.append(said)
        if last:
            run.signal(signal.SIGTERM)
        else:
            run.signal(signal.SIGKILL)
            os.kill(int(pid), signal.SIGKILL)
        run.process.wait(10)
        while is_alive(pid):  # it has the memory open, and so to itself
            pass
        assert path.exists() is not last
    assert found == ["-", "kept", "kept"]


def test_the_memory_of_the_journal_stays_where_signalling_could_not_write_all_to_the_disk(supervise):
    name = uuid.uuid4().hex
    run = supervise(f"NAME = {name!r}" + NAMED.replace("exit(0)", "exit(1)"))
    run.said(2)
    run.signal(signal.SIGTERM)
    assert run.process.wait(10) == 1
    (Path(FOLDER) / f"sbc-journal-{name}").unlink()


KILLED_EARLY = """
_, [fd] = ask_descriptors(wire.JournalMemory(NAME))
if "--after" not in sys.argv:
    tell(wire.Ready("off")); sys.exit(0)
say(os.getpid()); wait()
"""


def test_the_memory_of_the_journal_stays_where_a_life_was_killed_after_one_that_ended_in_order(supervise):
    """It was not ready, but has known what is not on the disk."""
    name = uuid.uuid4().hex
    run = supervise(f"NAME = {name!r}" + KILLED_EARLY)
    os.kill(int(run.said(1)[0]), signal.SIGKILL)
    run.said(2)
    run.signal(signal.SIGTERM)
    run.process.wait(10)
    (Path(FOLDER) / f"sbc-journal-{name}").unlink()


def test_what_nobody_asks_for_again_is_closed_when_signalling_is_ready(supervise, host, tmp_path):
    mark = str(tmp_path / "mark")
    run = supervise(f"""
if not os.path.exists({mark!r}):
    open({mark!r}, "w").close()
    ask(wire.Listen("udp", {host!r}, 5060, 0)); ask(wire.OpenPairs({host!r}, 20000, 20001, 1, 0))
tell(wire.Ready("off")); say(os.getpid()); wait()
""")
    [pid] = run.said(1)
    os.kill(int(pid), signal.SIGKILL)
    run.said(2)
    for port in (5060, 20000, 20001):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            assert bind_in_time(other, (host, port))


def bind_in_time(sock, address):
    for _ in range(200):
        try:
            sock.bind(address)
        except OSError:
            sock.settimeout(0.01)
            try:
                sock.recv(1)
            except TimeoutError:
                continue
        return True
    return False


def test_a_refusal_is_told_as_the_operating_system_said_it(supervise, host):
    run = supervise("""
answer, _ = ask(wire.Listen("udp", "192.0.2.1", 5060, 0)); say(answer.errno)
answer, _ = ask(wire.OpenPairs("192.0.2.1", 20000, 20009, 2, 0)); say(answer.errno)
answer, _ = ask(wire.StartWorker(1000)); say(answer.errno)
answer, _ = ask(wire.Listen("udp", "127.0.0.1", 70000, 0)); say(answer.errno)
control.send(b"nonsense"); tell(wire.Ready("off")); wait()
""")
    assert [run.said(n) for n in (1, 2, 3, 4)] == [["99"], ["99"], ["22"], ["22"]]
    while "supervisor.bad_message" not in run.log:
        assert run.process.poll() is None


# --- workers ----------------------------------------------------------------------------------------------------------

ONE_WORKER = """
for _ in range(2): say(ask(wire.StartWorker(0))[0].address.hex())
tell(wire.Ready("off")); wait()
"""


def test_a_worker_that_is_killed_is_replaced_with_its_socket_and_its_memory(supervise):
    run = supervise(ONE_WORKER)
    address = bytes.fromhex(run.said(1)[0])
    assert run.said(2) == [address.hex()]
    pid, *memory = run.said(1, "worker")
    assert memory == ["-", "0"]  # no size: nobody has counted in it
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.connect(address)
    os.kill(int(pid), signal.SIGKILL)
    again, *memory = run.said(2, "worker")
    assert (again != pid, memory) == (True, [b"kept".hex(), "4"])
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as caller:
        caller.connect(address)


def test_a_worker_outlives_signalling(supervise):
    run = supervise("say(os.getpid()); " + ONE_WORKER)
    [pid] = run.said(1)
    [address] = run.said(2)
    run.said(1, "worker")
    os.kill(int(pid), signal.SIGKILL)
    assert run.said(5) == [address]
    assert len([words for words in run.lines if words[0] == "worker"]) == 1


def test_a_worker_that_hangs_is_replaced_when_signalling_says_so(supervise):
    run = supervise("""
signal.signal(signal.SIGHUP, lambda *_: tell(wire.ReplaceWorker(0)))
ask(wire.StartWorker(0)); tell(wire.Ready("off")); say("ready"); wait()
""")
    run.said(1)
    first = run.said(1, "worker")
    run.signal(signal.SIGHUP)
    assert run.said(2, "worker")[0] != first[0]


def test_a_worker_of_another_unit_is_used_while_it_answers(supervise, tmp_path):
    path = tmp_path / "media-0.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as unit:
        unit.bind(str(path))
        unit.listen()
        run = supervise(ONE_WORKER, SBC_MEDIA_SOCKETS=str(tmp_path))
        assert bytes.fromhex(run.said(1)[0]) == os.fsencode(path)
    assert run.lines[0][0] == "signalling"
    assert not [words for words in run.lines if words[0] == "worker"]


def test_a_socket_file_that_nobody_listens_on_is_no_worker(supervise, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as unit:
        unit.bind(str(tmp_path / "media-0.sock"))
        run = supervise(ONE_WORKER, SBC_MEDIA_SOCKETS=str(tmp_path))
        assert bytes.fromhex(run.said(1)[0])[:1] == b"\0"
        run.said(1, "worker")


# --- systemd ----------------------------------------------------------------------------------------------------------


def test_systemd_hears_of_it_and_its_watchdog_only_while_signalling_beats(supervise, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(PATIENCE)
        run = supervise(
            """
say(os.environ.get("NOTIFY_SOCKET"), os.environ.get("WATCHDOG_USEC"))
tell(wire.Ready("unix:/x")); tell(wire.Beat("ready, 3 calls")); tell(wire.Beat()); tell(wire.Stopping())
""",
            NOTIFY_SOCKET=str(path),
            WATCHDOG_USEC="60000000",
        )
        assert systemd.recv(100) == b"READY=1\nSTATUS=ready, admin unix:/x"
        assert systemd.recv(100) == b"WATCHDOG=1"
        assert systemd.recv(100) == b"STATUS=ready, 3 calls"
        assert systemd.recv(100) == b"STOPPING=1\nSTATUS=draining"
    assert run.ends() == 0
    assert run.lines == [["signalling", "None", "None"]]
