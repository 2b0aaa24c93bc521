"""The supervisor's process: one poll loop over signals, signalling's questions and the workers' life lines.

It reads no policy and no packet, so there is little in it that can break. It holds what must outlive the others: `held`
(sockets), the workers' seats, and `children` says who is started again. `kill -9` of it ends the others: their sockets
to it close. `sbc run` becomes this process.
"""

import contextlib
import errno
import math
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Sequence
from typing import Final, NoReturn

import msgspec

from sbc.runtime.media_sockets import Pair
from sbc.runtime.notify import Watchdog, is_journal, notify
from sbc.runtime.sip_sockets import raise_descriptor_limit
from sbc.runtime.supervisor import wire
from sbc.runtime.supervisor.children import (
    SIGNALLING,
    Began,
    Child,
    Children,
    Command,
    Ended,
    Exit,
    LetGo,
    Log,
    Runs,
    Send,
    Signalled,
    Start,
    Stops,
    Unwanted,
    Wanted,
    name,
)  # fmt: skip
from sbc.runtime.supervisor.held import Held
from sbc.runtime.supervisor.log_line import LogFormat, log_line, write_line
from sbc.runtime.supervisor.starting import RUNNING, WORKER_PROGRAM, Seat, make_seat, name_process, spawn, start_worker

SOCKETS_FOLDER: Final = "/run/sbc"  # or $SBC_MEDIA_SOCKETS; where workers of sbc-media@.service listen
SIGNALLING_PROGRAM: Final = ("-m", "sbc.cli.signalling")  # this interpreter's arguments
WORKERS: Final = 64  # far beyond what a machine has use for
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_OURS: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")  # systemd talks to us, not to the children


def main() -> NoReturn:
    """`[--debug] --log-format console|json POLICY…`, as `sbc run` has checked them."""
    arguments = sys.argv[1:]
    log_format: LogFormat = "json" if "json" in arguments[arguments.index("--log-format") :][1:2] else "console"
    name_process("sbc")
    raise_descriptor_limit()
    _keep_to_ourselves()
    status = Supervisor(arguments, log_format).run()
    if status in {-number for number in _SIGNALS}:  # end as it ended, so that who waits for us sees what happened
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status if status >= 0 else 128 - status)


def _keep_to_ourselves() -> None:
    """What we were started with besides the standard streams is not for our children."""
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 - pathlib costs memory
        if int(number) > 2:
            with contextlib.suppress(OSError):  # the folder's own, closed by now
                os.set_inheritable(int(number), False)


class Supervisor:
    """`run` returns signalling's last status, negative for a signal. `arguments` are signalling's."""

    def __init__(
        self,
        arguments: Sequence[str],
        log_format: LogFormat,
        signalling: Sequence[str] = SIGNALLING_PROGRAM,
        worker: Sequence[str] = WORKER_PROGRAM,
    ) -> None:
        self._arguments = arguments
        self._signalling = signalling
        self._worker = worker
        self._log_format = log_format
        self._environment = {key: value for key, value in os.environ.items() if key not in _OURS}
        self._watchdog = Watchdog(os.environ, os.getpid())
        self._children = Children()
        self._held = Held()
        self._poll = select.poll()
        self._control: socket.socket | None = None
        self._seats: dict[Child, Seat] = {}
        self._lines: dict[Child, socket.socket] = {}
        self._asked_for: set[Child] = set()
        self._pids: dict[Child, int] = {}
        self._status: int | None = None
        self._fell: int | None = None  # how signalling ended, when it was ready last

    def run(self) -> int:
        waking, woken = socket.socketpair()
        for end in (waking, woken):
            end.setblocking(False)
        for number in (*_SIGNALS, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        self._poll.register(waking.fileno(), select.POLLIN)
        self._perform(self._children.handle(Began(), time.monotonic()))
        while self._status is None:
            for fd, _ in self._poll.poll(self._patience()):
                if fd == waking.fileno():
                    self._hear_signals(waking)
                elif self._control is not None and fd == self._control.fileno():
                    self._serve(self._control)
                else:
                    self._hear_worker(fd)
            now = time.monotonic()
            self._perform(self._children.tick(now))
        self._held.close()
        return self._status

    def _patience(self) -> int | None:
        """Milliseconds."""
        deadline = self._children.next_deadline()
        return None if deadline is None else max(math.ceil((deadline - time.monotonic()) * 1000), 0)

    # --- what happens ---------------------------------------------------------------------------------------------

    def _hear_signals(self, waking: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            for number in waking.recv(64):
                if number in _SIGNALS:
                    self._perform(self._children.handle(Signalled(number), time.monotonic()))
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                self._bury(*ended)

    def _bury(self, pid: int, status: int) -> None:
        child = next((child for child, known in self._pids.items() if known == pid), None)
        if child is None:  # a worker that nobody wanted any more
            return
        self._hear_last_words(child)
        del self._pids[child]
        if child == SIGNALLING and self._fell is None:
            self._fell = os.waitstatus_to_exitcode(status)
        self._perform(self._children.handle(Ended(child, pid, os.waitstatus_to_exitcode(status)), time.monotonic()))
        if child == SIGNALLING and self._status is None:
            notify("STATUS=signalling has ended")

    def _hear_last_words(self, child: Child) -> None:
        """What it said just before its end matters to what its end means."""
        if child == SIGNALLING:
            while self._control is not None and self._serve(self._control):
                pass
            self._close_control()
        else:
            if child in self._lines:
                self._hear_worker(self._lines[child].fileno())
            self._close_line(child)

    def _hear_worker(self, fd: int) -> None:
        child = next((child for child, line in self._lines.items() if line.fileno() == fd), None)
        if child is None:
            return
        try:
            data = self._lines[child].recv(64)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data == RUNNING:
            self._perform(self._children.handle(Runs(child), time.monotonic()))
        elif not data:
            self._close_line(child)  # it is about to end

    def _serve(self, control: socket.socket) -> bool:
        """One message; False when there is none."""
        try:
            data = control.recv(wire.MESSAGE_OCTETS)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        if not data:
            self._close_control()  # its end will be told by SIGCHLD
            return False
        try:
            message = wire.decode_message(data)
        except msgspec.DecodeError as error:
            self._say(Log("error", "supervisor.bad_message", {"reason": str(error)}))
        else:
            self._take(control, message)
        return True

    def _take(self, control: socket.socket, message: wire.Message) -> None:
        match message:
            case wire.Asked(serial, question):
                _reply(control, serial, *self._answer(question))
            case wire.Ready(admin):
                self._ready(admin)
            case wire.Stopping():
                notify("STOPPING=1\nSTATUS=draining")
                self._perform(self._children.handle(Stops(), time.monotonic()))
            case wire.Beat(status):
                self._watchdog.beat(time.monotonic())
                if status:
                    notify(f"STATUS={status}")
            case wire.CloseListener(kind, host, port):
                self._held.close_listener(kind, host, port)
            case wire.ClosePairs(local, ports):
                self._held.close_pairs(local, ports)
            case wire.ReplaceWorker(number):
                self._perform([Send(Child(number), signal.SIGKILL)])

    def _answer(self, question: wire.Question) -> tuple[wire.Answer, list[socket.socket]]:
        try:
            match question:
                case wire.Listen():
                    return wire.Opened(), [self._held.listen(question)]
                case wire.OpenPairs(local):
                    pairs, short = self._held.open_pairs(question)
                    return wire.Pairs(local, _ports(pairs), short), _sockets(pairs)
                case wire.HeldPairs():
                    pairs = self._held.take_left()
                    return wire.Pairs(pairs[0].local if pairs else "", _ports(pairs)), _sockets(pairs)
                case wire.StartWorker(number):
                    return wire.WorkerAt(self._worker_address(number)), []
        except OSError as error:
            return wire.Failed(error.errno or errno.EIO, str(error)), []
        except (OverflowError, ValueError) as error:  # a number that no socket takes
            return wire.Failed(errno.EINVAL, str(error)), []

    def _ready(self, admin: str) -> None:
        notify(f"READY=1\nSTATUS=ready, admin {admin}")
        self._held.sweep()
        self._fell = None
        for child in [child for child in self._seats if child not in self._asked_for]:
            self._perform(self._children.handle(Unwanted(child), time.monotonic()))
            self._seats.pop(child).close()
        self._perform(self._children.handle(Runs(SIGNALLING), time.monotonic()))

    # --- what is done ---------------------------------------------------------------------------------------------

    def _perform(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Start(child):
                    self._start(child)
                case Send(child, number):
                    self._send(child, number)
                case LetGo(child):
                    self._close_line(child)
                case Log():
                    self._say(command)
                case Exit(status):
                    self._status = status

    def _start(self, child: Child) -> None:
        try:
            self._pids[child] = self._start_signalling() if child == SIGNALLING else self._start_worker(child)
        except OSError as error:
            self._say(Log("error", "child.not_started", {"alarm": True, "child": name(child), "reason": str(error)}))
            self._perform(self._children.handle(Ended(child, 0, 1), time.monotonic()))

    def _start_signalling(self) -> int:
        self._held.new_life()
        self._asked_for.clear()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        after = [] if self._fell is None else ["--after", str(self._fell)]
        arguments = [*self._signalling, "--supervisor-fd", str(theirs.fileno()), *after, *self._arguments]
        try:
            pid = spawn(arguments, [theirs.fileno()], self._environment)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._control = ours
        self._poll.register(ours.fileno(), select.POLLIN)
        return pid

    def _start_worker(self, child: Child) -> int:
        pid, line = start_worker(self._seats[child], self._environment, self._worker)
        self._close_line(child)
        self._lines[child] = line
        self._poll.register(line.fileno(), select.POLLIN)
        return pid

    def _worker_address(self, number: int) -> bytes:
        if not 0 <= number < WORKERS:
            raise OSError(errno.EINVAL, f"there are at most {WORKERS} media workers")
        child = Child(number)
        self._asked_for.add(child)
        seat = self._seats.get(child)
        if seat is None:
            path = os.path.join(os.environ.get("SBC_MEDIA_SOCKETS", SOCKETS_FOLDER), f"media-{number}.sock")  # noqa: PTH118
            if _answers(path):
                return os.fsencode(path)
            seat = self._seats[child] = make_seat(number)
            self._perform(self._children.handle(Wanted(child), time.monotonic()))
        return seat.address

    def _send(self, child: Child, number: int) -> None:
        pid = self._pids.get(child)
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def _close_control(self) -> None:
        if self._control is not None:
            self._poll.unregister(self._control.fileno())
            self._control.close()
            self._control = None

    def _close_line(self, child: Child) -> None:
        line = self._lines.pop(child, None)
        if line is not None:
            self._poll.unregister(line.fileno())
            line.close()

    def _say(self, log: Log) -> None:
        fd = sys.stderr.fileno()
        journal = is_journal(fd, os.environ)
        line = log_line(self._log_format, log.level, log.event, log.fields, time.time(), journal=journal)
        write_line(fd, line)


def _reply(control: socket.socket, serial: int, answer: wire.Answer, sockets: list[socket.socket]) -> None:
    try:
        socket.send_fds(control, [wire.encode(wire.Answered(serial, answer))], [one.fileno() for one in sockets])
    except OSError as error:  # too many descriptors on their way (unix(7), ETOOMANYREFS); or nobody is there
        failed = wire.Failed(error.errno or errno.EIO, str(error))
        with contextlib.suppress(OSError):
            control.send(wire.encode(wire.Answered(serial, failed)))


def _answers(path: str) -> bool:
    """Whether a worker of our own user or of root listens there, or systemd on its behalf."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
            credentials = probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        except OSError:
            return False
    return int.from_bytes(credentials[4:8], sys.byteorder) in {0, os.geteuid()}


def _ports(pairs: list[Pair]) -> tuple[int, ...]:
    return tuple(pair.port for pair in pairs)


def _sockets(pairs: list[Pair]) -> list[socket.socket]:
    return [one for pair in pairs for one in (pair.rtp, pair.rtcp)]
