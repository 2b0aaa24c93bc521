"""A supervisor as a process whose children do what a test says, in a few lines of Python each."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PATIENCE = 20.0

SUPERVISOR = """
import sys
from sbc.runtime.supervisor.main import Supervisor
own, signalling, worker, stand_by, arguments = sys.argv[1:]
again = ["-c", own, own, signalling, worker, stand_by]
supervisor = Supervisor(
    [arguments], "json", ["-c", signalling], ["-c", worker], program=again, stand_by=["-c", stand_by]
)
supervisor.take_over()
status = supervisor.run()
sys.exit(status if status >= 0 else 128 - status)
"""

SIGNALLING = """
import os, signal, socket, sys, time
from sbc.runtime.supervisor import wire
signal.alarm(60)  # whatever the test does
control = socket.socket(fileno=int(sys.argv[2]))

def ask(question):
    answer, descriptors = ask_descriptors(question)
    return answer, [socket.socket(fileno=fd) for fd in descriptors]

def ask_descriptors(question):
    control.send(wire.encode(wire.Asked(7, question)))
    data, descriptors, _, _ = socket.recv_fds(control, wire.MESSAGE_OCTETS, 253)
    assert wire.decode_answer(data).serial == 7
    return wire.decode_answer(data).answer, descriptors

def tell(notice):
    control.send(wire.encode(notice))

def say(*words):
    print("signalling", *words, flush=True)

def inodes(sockets):
    return ",".join(str(os.fstat(one.fileno()).st_ino) for one in sockets)

def wait():
    while control.recv(100):
        pass

exec(sys.argv[-1])
"""

WORKER = """
import os, socket, sys, time
given = dict(zip(sys.argv[1::2], map(int, sys.argv[2::2])))
listener, life = (socket.socket(fileno=given[name]) for name in ("--listen-fd", "--life-fd"))
beginning = os.pread(given["--memory-fd"], 4, 0)
size = os.fstat(given["--memory-fd"]).st_size
os.pwrite(given["--memory-fd"], b"kept", 0)
print("worker", os.getpid(), beginning.hex() or "-", size, flush=True)
life.send(b"running")
life.recv(1)
"""


# Becomes signalling when it is told to.
STAND_BY = (
    f"SIGNALLING = {SIGNALLING!r}"
    """
import os, socket, sys
import msgspec
line = socket.socket(fileno=int(sys.argv[1]))
line.send(b"ready")
data, descriptors, _, _ = socket.recv_fds(line, 65536, 3)
if not data:
    sys.exit()
control, *streams = descriptors
for number, stream in enumerate(streams, start=1):
    os.dup2(stream, number)
sys.argv = ["-c", "--supervisor-fd", str(control), *msgspec.msgpack.decode(data)]
exec(SIGNALLING)
"""
)


class Run:
    """One supervisor; `lines` is what its children have said."""

    def __init__(self, folder, signalling, worker=WORKER, *, stand_by=STAND_BY, inherits=(), told="", **environment):
        """`inherits`: descriptors, from number 3 on; `told`: what the environment says of them, $$ being its own id."""
        moved = " ".join(f"{n}<&{fd}" for n, fd in enumerate(inherits, start=3))
        self._said = folder / "stdout"
        self._log = folder / "stderr"
        with self._said.open("wb") as stdout, self._log.open("wb") as stderr:
            self.process = subprocess.Popen(
                [
                    *("bash", "-c", f'exec {moved}; {told} exec "$0" "$@"'),
                    *(sys.executable, "-c", SUPERVISOR, SUPERVISOR, SIGNALLING, worker, stand_by, signalling),
                ],
                pass_fds=inherits,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            )

    @property
    def lines(self):
        whole = self._said.read_text().rpartition("\n")[0]  # the last one may still be on its way
        return [line.split() for line in whole.splitlines()]

    @property
    def log(self):
        return self._log.read_text()

    def said(self, count, who="signalling"):
        """The words of the `count`th line of that child, waited for."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = [words[1:] for words in self.lines if words[0] == who]
            if len(found) >= count:
                return found[count - 1]
            assert time.monotonic() < deadline, (self.lines, self.log)
            assert self.process.poll() is None, (self.lines, self.log)
            time.sleep(0.01)

    def signal(self, number):
        self.process.send_signal(number)

    def ends(self):
        return self.process.wait(PATIENCE)


@pytest.fixture
def supervise(tmp_path):
    started = []

    def supervise(signalling, *arguments, **more):
        folder = tmp_path / f"run{len(started)}"
        folder.mkdir()
        run = Run(folder, signalling, *arguments, **more)
        started.append(run)
        return run

    yield supervise
    for run in started:
        run.process.send_signal(signal.SIGKILL)
        run.process.wait()
