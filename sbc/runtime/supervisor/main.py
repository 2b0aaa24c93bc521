"""The supervisor's process: one poll loop over signals, signalling's questions and the workers' life lines.

It reads no policy and no packet, so there is little in it that can break. It holds what must outlive the others: `held`
(sockets, the journal's memory) and the workers' seats (`crew`); `children` says who is started again. `kill -9` of it
ends the others: their sockets to it close. `sbc run` becomes this process, and this process another version of itself
(`handing_on`), with all that it holds.
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
from sbc.runtime.supervisor import estate, handing_on, wire
from sbc.runtime.supervisor.children import (
    LEAVES,
    SIGNALLING,
    Become,
    Began,
    Child,
    Children,
    Command,
    Ended,
    Exit,
    LetGo,
    Log,
    NotBecome,
    Rehearse,
    Rehearsed,
    Runs,
    Send,
    Signalled,
    Start,
    Stops,
    Took,
    Unwanted,
    Wanted,
    name,
)  # fmt: skip
from sbc.runtime.supervisor.crew import Crew
from sbc.runtime.supervisor.descriptors import close_all, keep_to_ourselves
from sbc.runtime.supervisor.held import Held
from sbc.runtime.supervisor.inheritance import Inheritance, UnreadableError
from sbc.runtime.supervisor.log_line import LogFormat, log_line, write_line
from sbc.runtime.supervisor.reserve import Reserve
from sbc.runtime.supervisor.stand_by import PROGRAM as STAND_BY_PROGRAM
from sbc.runtime.supervisor.starting import RUNNING, WORKER_PROGRAM, name_process, spawn

PROGRAM: Final = ("-m", "sbc.runtime.supervisor")  # this interpreter's arguments, to be this again
SIGNALLING_PROGRAM: Final = ("-m", "sbc.cli.signalling")
_STOPS: Final = (signal.SIGTERM, signal.SIGINT)
_SIGNALS: Final = (*_STOPS, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
_OURS: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE")  # systemd talks to us, not to the children


def main() -> NoReturn:
    """`[--debug] --log-format console|json POLICY…`, as `sbc run` has checked them."""
    arguments = sys.argv[1:]
    log_format: LogFormat = "json" if "json" in arguments[arguments.index("--log-format") :][1:2] else "console"
    name_process("sbc")
    raise_descriptor_limit()
    supervisor = Supervisor(arguments, log_format)
    supervisor.take_over()
    status = supervisor.run()
    if status in {-number for number in _STOPS}:  # end as it ended, so that who waits for us sees what happened
        signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    sys.exit(status if status >= 0 else 128 - status)


class Supervisor:
    """`run` returns signalling's last status, negative for a signal. `arguments` are signalling's."""

    def __init__(
        self,
        arguments: Sequence[str],
        log_format: LogFormat,
        signalling: Sequence[str] = SIGNALLING_PROGRAM,
        worker: Sequence[str] = WORKER_PROGRAM,
        *,
        program: Sequence[str] = PROGRAM,
        stand_by: Sequence[str] = STAND_BY_PROGRAM,
    ) -> None:
        self._arguments = arguments
        self._signalling = signalling
        self._program = program
        self._log_format = log_format
        self._environment = {key: value for key, value in os.environ.items() if key not in _OURS}
        self._watchdog = Watchdog(os.environ, os.getpid())
        self._children = Children()
        self._held = Held()
        self._poll = select.poll()
        self._control: socket.socket | None = None
        self._crew = Crew(self._poll, self._environment, worker)
        self._reserve = Reserve(self._poll, arguments, self._environment, stand_by)
        self._is_to_be_left = False  # what is held, to the next start of the program
        self._pids: dict[Child, int] = {}
        self._status: int | None = None
        self._fell: int | None = None  # how signalling ended, when it was ready last
        self._last_end = 0  # how it ended, ready or not

    # --- from one supervisor to the next ------------------------------------------------------------------------------

    def take_over(self) -> None:
        """What an earlier supervisor has left to us, before `run`."""
        is_from_systemd = handing_on.TAKEOVER not in os.environ
        try:
            left = handing_on.take(os.environ)
        except UnreadableError as error:
            self._say(Log("error", "takeover.unreadable", {"reason": str(error)}))
            left = None
            close_all()
        for key in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", handing_on.TAKEOVER):
            self._environment.pop(key, None)
        keep_to_ourselves()
        if left is not None:
            self._inherit(left)
            self._is_to_be_left = is_from_systemd

    def _inherit(self, left: Inheritance) -> None:
        running = estate.taken_up(left, self._held, self._crew, self._reserve)
        self._pids.update(running)
        self._fell = left.status
        self._children.handle(Took(tuple(running), left.was_ready, left.stops), time.monotonic())

    def _left(self, *, was_ready: bool, stops: tuple[int, ...] = (), with_memory: bool = True) -> Inheritance:
        status = 0 if self._fell is None else self._fell
        return estate.written_down(
            self._held,
            self._crew,
            self._reserve,
            self._pids,
            status=status,
            was_ready=was_ready,
            stops=stops,
            with_memory=with_memory,
        )

    def _become(self, stops: tuple[int, ...]) -> None:
        """Signals wait until the next one can hear them."""
        self._say(Log("info", "restart.begins", {}))
        heard = {*_SIGNALS, signal.SIGCHLD}
        signal.pthread_sigmask(signal.SIG_BLOCK, heard)
        try:
            handing_on.become([*self._program, *self._arguments], self._left(was_ready=True, stops=stops))
        except OSError as error:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, heard)
            self._reserve.end()  # it is of the other version
            self._perform(self._children.handle(NotBecome(str(error)), time.monotonic()))

    def _leave(self) -> None:
        """To the next start, if systemd keeps it; else that begins with what is in data_dir."""
        if not handing_on.has_store(os.environ):
            return
        try:
            # Who has left in order has all of the memory on the disk; and the disk stays true if somebody else works
            # on it before the next start.
            handing_on.store(self._left(was_ready=False, with_memory=not self._has_all_on_disk()))
        except OSError as error:
            self._say(Log("error", "takeover.not_stored", {"reason": str(error)}))

    # --- the loop -----------------------------------------------------------------------------------------------------

    def run(self) -> int:
        waking, woken = socket.socketpair()
        for end in (waking, woken):
            end.setblocking(False)
        for number in (*_SIGNALS, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)
        signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {*_SIGNALS, signal.SIGCHLD})
        self._poll.register(waking.fileno(), select.POLLIN)
        self._perform(self._children.handle(Began(), time.monotonic()))
        self._bury_all()  # who ended while this process became what it is
        while self._status is None:
            for fd, _ in self._poll.poll(self._patience()):
                if fd == waking.fileno():
                    self._hear_signals(waking)
                elif self._control is not None and fd == self._control.fileno():
                    self._serve(self._control)
                elif self._reserve.hear(fd):
                    self._rehearsed("")
                else:
                    self._heard(self._crew.hear(fd))
            now = time.monotonic()
            self._perform(self._children.tick(now))
            self._reserve.tick(now)
        self._reserve.end()
        if self._is_to_be_left:
            self._leave()
        if self._has_all_on_disk():
            self._held.forget_journal()
        self._held.close()
        return self._status

    def _has_all_on_disk(self) -> bool:
        """All that signalling has ever known. One that was never ready may have known more than the one before it."""
        return self._fell == self._last_end == 0

    def _patience(self) -> int | None:
        """Milliseconds."""
        deadline = min(self._children.next_deadline() or math.inf, self._reserve.next_deadline())
        return None if deadline == math.inf else max(math.ceil((deadline - time.monotonic()) * 1000), 0)

    # --- what happens ---------------------------------------------------------------------------------------------

    def _hear_signals(self, waking: socket.socket) -> None:
        with contextlib.suppress(BlockingIOError):
            # Of two that come at once, the handler of the later one runs first (its frame lies on top); but a stop
            # behind a SIGUSR1 must find us leaving.
            for number in sorted(waking.recv(64), key=lambda number: number != signal.SIGUSR1):
                if number in _SIGNALS:
                    self._perform(self._children.handle(Signalled(number), time.monotonic()))
        self._bury_all()

    def _bury_all(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG)) != (0, 0):
                self._bury(*ended)

    def _bury(self, pid: int, status: int) -> None:
        child = next((child for child, known in self._pids.items() if known == pid), None)
        if child is None:  # a worker that nobody wanted any more; or of the reserve
            refusal = self._reserve.bury(pid, os.waitstatus_to_exitcode(status), time.monotonic())
            if refusal is not None:
                self._rehearsed(refusal)
            return
        self._hear_last_words(child)
        del self._pids[child]
        if child == SIGNALLING:
            self._last_end = os.waitstatus_to_exitcode(status)
            self._fell = self._last_end if self._fell is None else self._fell
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
            self._heard(self._crew.hear_from(child))
            self._crew.close_line(child)

    def _heard(self, words: tuple[Child, bytes] | None) -> None:
        if words is not None and words[1] == RUNNING:
            self._perform(self._children.handle(Runs(words[0]), time.monotonic()))

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
            case wire.Restart():
                self._perform(self._children.handle(Signalled(signal.SIGUSR2), time.monotonic()))
            case wire.CloseListener(kind, host, port):
                self._held.close_listener(kind, host, port)
            case wire.ClosePairs(local, ports):
                self._held.close_pairs(local, ports)
            case wire.ReplaceWorker(number):
                self._perform([Send(Child(number), signal.SIGKILL)])

    def _answer(self, question: wire.Question) -> tuple[wire.Answer, list[int]]:
        try:
            match question:
                case wire.Listen():
                    return wire.Opened(), [self._held.listen(question).fileno()]
                case wire.OpenPairs(local):
                    pairs, short = self._held.open_pairs(question)
                    return wire.Pairs(local, _ports(pairs), short), _descriptors(pairs)
                case wire.HeldPairs():
                    pairs = self._held.take_left()
                    return wire.Pairs(pairs[0].local if pairs else "", _ports(pairs)), _descriptors(pairs)
                case wire.StartWorker(number):
                    return wire.WorkerAt(self._worker_address(number)), []
                case wire.JournalMemory(name):
                    return wire.Opened(), [self._held.journal_memory(name)]
        except OSError as error:
            return wire.Failed(error.errno or errno.EIO, str(error)), []
        except (OverflowError, ValueError) as error:  # a number that no socket takes
            return wire.Failed(errno.EINVAL, str(error)), []

    def _ready(self, admin: str) -> None:
        notify(f"READY=1\nSTATUS=ready, admin {admin}")
        self._held.sweep()
        self._fell = None
        self._reserve.signalling_is_ready(time.monotonic())
        self._is_to_be_left = False
        for child in self._crew.unasked():
            self._perform(self._children.handle(Unwanted(child), time.monotonic()))
            self._crew.dismiss(child)
        self._perform(self._children.handle(Runs(SIGNALLING), time.monotonic()))

    # --- what is done ---------------------------------------------------------------------------------------------

    def _perform(self, commands: list[Command]) -> None:
        for command in commands:
            match command:
                case Start(child):
                    self._start(child)
                case Send(child, number):
                    if (child, number) == (SIGNALLING, LEAVES):
                        self._tell(wire.RestartBegins())
                    self._send(child, number)
                case LetGo(child):
                    self._crew.close_line(child)
                case Log(event="restart.refused", fields=fields):
                    if not self._tell(wire.RestartRefused(str(fields["reason"]))):
                        self._say(command)
                case Log():
                    self._say(command)
                case Rehearse():
                    self._rehearse()
                case Become(stops):
                    self._become(stops)
                case Exit(status, leaves):
                    self._status = status
                    self._is_to_be_left = leaves or (self._is_to_be_left and status != 0)

    def _start(self, child: Child) -> None:
        try:
            self._pids[child] = self._start_signalling() if child == SIGNALLING else self._crew.start(child)
        except OSError as error:
            self._say(Log("error", "child.not_started", {"alarm": True, "child": name(child), "reason": str(error)}))
            self._perform(self._children.handle(Ended(child, 0, 1), time.monotonic()))

    def _start_signalling(self) -> int:
        self._held.new_life()
        self._crew.new_life()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        after = [] if self._fell is None else ["--after", str(self._fell)]
        words = [*after, *self._arguments]
        try:
            pid = self._reserve.become_signalling(words, theirs.fileno())
            if pid is None:
                arguments = [*self._signalling, "--supervisor-fd", str(theirs.fileno()), *words]
                pid = spawn(arguments, [theirs.fileno()], self._environment)
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self._control = ours
        self._poll.register(ours.fileno(), select.POLLIN)
        return pid

    def _worker_address(self, number: int) -> bytes:
        address, child = self._crew.ask(number)
        if child is not None:
            if self._crew.is_of_another_version(child):
                self._send(child, signal.SIGKILL)  # what connects meanwhile waits for its successor
            self._perform(self._children.handle(Wanted(child), time.monotonic()))
        return address

    def _rehearse(self) -> None:
        try:
            self._reserve.rehearse(time.monotonic())
        except OSError as error:
            self._rehearsed(str(error))

    def _rehearsed(self, refusal: str) -> None:
        self._perform(self._children.handle(Rehearsed(refusal), time.monotonic()))

    def _tell(self, news: wire.RestartRefused | wire.RestartBegins) -> bool:
        """Signalling raises the alarm, which is posted, and answers who asked for it. False: it is not there."""
        if self._control is None:
            return False
        try:
            self._control.send(wire.encode(wire.Answered(0, news)))
        except OSError:
            return False
        return True

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

    def _say(self, log: Log) -> None:
        fd = sys.stderr.fileno()
        journal = is_journal(fd, os.environ)
        line = log_line(self._log_format, log.level, log.event, log.fields, time.time(), journal=journal)
        write_line(fd, line)


def _reply(control: socket.socket, serial: int, answer: wire.Answer, descriptors: list[int]) -> None:
    try:
        socket.send_fds(control, [wire.encode(wire.Answered(serial, answer))], descriptors)
    except OSError as error:  # too many descriptors on their way (unix(7), ETOOMANYREFS); or nobody is there
        failed = wire.Failed(error.errno or errno.EIO, str(error))
        with contextlib.suppress(OSError):
            control.send(wire.encode(wire.Answered(serial, failed)))


def _ports(pairs: list[Pair]) -> tuple[int, ...]:
    return tuple(pair.port for pair in pairs)


def _descriptors(pairs: list[Pair]) -> list[int]:
    return [one.fileno() for pair in pairs for one in (pair.rtp, pair.rtcp)]
