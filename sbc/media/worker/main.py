"""The media worker's process: one epoll loop over signalling's connection and the media sockets. It starts what else
does I/O: `control`, `connecting`, `stand_by`, the `kernel` engine.

It listens on a Unix SOCK_SEQPACKET socket that it inherits, and serves the signalling that connected last. When that
connection closes it goes on relaying: signalling is started again, or its calls end by silence. It ends when the
process that started it does (`--life-fd`), or by SIGTERM where none did (systemd). Its counters are in memory that is
handed to it (`--memory-fd`), all else signalling tells it again; so it may be killed at any time. Imports are few
because a restart is a gap that callers hear; the loop is plain epoll because a task switch per packet would double
its cost.
"""

import contextlib
import mmap
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, Final, NoReturn

from sbc.media import wire
from sbc.media.worker.breakage import say_once
from sbc.media.worker.connecting import SystemConnector
from sbc.media.worker.control import Control, is_ours
from sbc.media.worker.engine import Engine, NoEngine
from sbc.media.worker.kernel.directory import is_anything_left
from sbc.media.worker.poller import Poller
from sbc.media.worker.relay import relay_ready
from sbc.media.worker.service import Service
from sbc.media.worker.slots import SLOT_OCTETS, SLOTS, Memory
from sbc.media.worker.srtp_memory import BEHIND, OCTETS
from sbc.media.worker.stand_by import Parent

if TYPE_CHECKING:
    from sbc.media.worker.kernel.engine import KernelEngine

_READY_AT_MOST: Final = 512  # sockets looked at before epoll is asked again
_FEW: Final = 8
_PACKETS_PER_TURN: Final = 32  # of one socket, before others get their turn
_CAP_SYS_ADMIN: Final = 21
_CAP_BPF: Final = 39
_OPTIONS: Final = ("--listen-fd", "--life-fd", "--memory-fd", "--control-fd")
_USAGE: Final = (
    "usage: python -m sbc.media.worker --listen-fd N [--life-fd N] [--memory-fd N], or --control-fd N "
    "(started by sbc run or systemd, never by hand)"
)


def main() -> None:
    """`--listen-fd N`, or systemd's LISTEN_FDS: the socket on which signalling connects. `--life-fd N`: a socket to who
    started us, which hears that we run; we end when it closes. `--memory-fd N`: the counters (see `slots`), kept for
    the worker that follows. `--control-fd N`: in place of all that, one connection; we end when it closes.
    """
    fds = _descriptors(sys.argv[1:])
    listen, control, life = fds.get("--listen-fd"), fds.get("--control-fd"), fds.get("--life-fd")
    if (listen is None) == (control is None):
        sys.exit(_USAGE)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to everybody: signalling drains first
    is_on_its_own = control is None and life is None
    parent = Parent(_import_the_rest)
    signal.signal(signal.SIGTERM, parent.end if is_on_its_own else signal.SIG_IGN)
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    _name_process("sbc-media")
    parents_life = parent.fork() if control is None else None
    if is_on_its_own:
        signal.signal(signal.SIGTERM, _end)
    worker = _worker(fds.get("--memory-fd"))
    if parents_life is not None:
        worker.die_with(parents_life)
    if control is not None:
        worker.talk(socket.socket(fileno=control), is_life_line=True)
    if listen is not None:
        worker.listen(socket.socket(fileno=listen))
    if life is not None:
        worker.live_with(socket.socket(fileno=life))
    with contextlib.suppress(SystemExit):
        worker.relay()
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if not worker.is_abandoned():
        worker.end(is_alone=is_on_its_own)


class Worker:
    """What is polled, and who is told."""

    def __init__(self, memory: Memory | None, *, continues: bool) -> None:
        self.poller = Poller()
        self.service = Service(self.poller, time.monotonic, memory, self._open_engine, SystemConnector())
        self.service.agenda.broke = say_once
        self._continues = continues
        self._engine: KernelEngine | None = None
        self._configured = wire.Configure("")
        self._link: Control | None = None
        self._is_over = False
        self._parent: int | None = None

    # --- descriptors ----------------------------------------------------------------------------------------------

    def listen(self, door: socket.socket) -> None:
        door.setblocking(False)
        self.poller.add(door.fileno(), lambda: self._accept(door))

    def live_with(self, life: socket.socket) -> None:
        life.setblocking(False)
        self.poller.add(life.fileno(), lambda: self._look_at_life(life))
        with contextlib.suppress(OSError):
            life.send(b"running")

    def die_with(self, parent: int) -> None:
        """See `stand_by`. What is in the kernel stays there for the worker that follows."""
        self._parent = parent
        self.poller.add(parent, self._look_at_parent)

    def is_abandoned(self) -> bool:
        """Whether our parent has died."""
        if self._parent is None:
            return False
        try:
            return not os.read(self._parent, 1)
        except BlockingIOError:
            return False

    def _look_at_parent(self) -> None:
        self._is_over = self.is_abandoned()

    def talk(self, control: socket.socket, *, is_life_line: bool = False) -> None:
        """Signalling is connected now; a connection before it is over."""
        self._hang_up()
        control.setblocking(False)
        self._link = link = Control(control, self.poller.epoll, self.service)
        self.poller.add(control.fileno(), lambda: self._turn(link, is_life_line=is_life_line))
        self.service.connected()
        link.send(wire.Running(os.getpid(), wire.VERSION, self._continues))
        self._continues = True  # what comes next finds the counters of this process

    def _turn(self, link: Control, *, is_life_line: bool) -> None:
        if link is self._link and not link.turn():
            self._hang_up()
            self._is_over = is_life_line

    def _hang_up(self) -> None:
        if self._link is not None:
            self.poller.drop(self._link.fileno())
            self._link.close()
            self._link = None
            self.service.disconnected(time.monotonic())

    def _accept(self, door: socket.socket) -> None:
        """Nobody but ourselves, or root, may say where media goes."""
        if self.is_abandoned():  # another worker is about to listen here
            return
        try:
            control, _ = door.accept()
        except OSError:
            return
        if is_ours(control, os.geteuid()):
            self.talk(control)
        else:
            control.close()

    def _look_at_life(self, life: socket.socket) -> None:
        try:
            self._is_over = not life.recv(64)
        except BlockingIOError:
            return
        except OSError:
            self._is_over = True

    # --- the loop -------------------------------------------------------------------------------------------------

    def relay(self) -> None:
        """Until it is over."""
        poll, lanes = self.poller.epoll.poll, self.poller.lanes
        agenda, news = self.service.agenda, self.service.news
        entries = agenda.entries
        now = time.monotonic()
        while not self._is_over:
            events = poll(max(entries[0][0] - now, 0) if entries else None, _READY_AT_MOST)
            now_ns = time.monotonic_ns()
            # Where many sockets are ready, each has about one packet: to ask each again for EAGAIN costs more than
            # epoll, which is asked once for all. Where few are ready it costs less, and one may hold a queue.
            if len(events) > _FEW:
                self._relay(iter(events), now_ns)
            else:
                for event in events:
                    times = 1 if lanes[event[0]] is None else _PACKETS_PER_TURN
                    self._relay(repeat(event, times), now_ns, is_drained=True)
            now = time.monotonic()
            if entries and entries[0][0] <= now:
                agenda.tick(now)
            if news:
                self._tell()

    def _relay(self, events: Iterator[tuple[int, int]], now_ns: int, *, is_drained: bool = False) -> None:
        """What one packet or one request breaks, the others do not notice: it goes on with the event behind."""
        poller, is_broken = self.poller, True
        while is_broken:
            try:
                relay_ready(events, poller.lanes, poller.others, now_ns, is_drained=is_drained)
                is_broken = False
            except Exception as error:  # noqa: BLE001 - costs nothing where there is none
                say_once(error)

    def _tell(self) -> None:
        if self._link is not None:
            self._link.tell(self.service.news)
        self.service.news.clear()

    # --- engine ---------------------------------------------------------------------------------------------------

    def _open_engine(self, configure: wire.Configure) -> tuple[Engine, Memory | None]:
        """What the service has opened when it is told to; see `engine_choice`."""
        _name_process(f"sbc-media-{configure.number}")
        self._configured = configure
        self._close_engine(detach=False)
        is_wanted = configure.engine != "userland"
        if not is_wanted and not is_anything_left(configure.node):
            return NoEngine(), None
        if not may_use_bpf(_status()):
            return NoEngine("no permission: CAP_BPF and CAP_NET_ADMIN are needed" if is_wanted else ""), None
        # It takes time to import, which callers hear as a gap; userland needs none of it.
        from sbc.media.worker.kernel.engine import open_kernel  # noqa: PLC0415
        from sbc.media.worker.kernel.leftovers import end_flows  # noqa: PLC0415
        from sbc.media.worker.kernel.pins import KernelError  # noqa: PLC0415

        if not is_wanted:
            end_flows(configure)
            return NoEngine(), None
        try:
            engine, memory = open_kernel(configure)
        except KernelError as error:
            end_flows(configure)
            return NoEngine(str(error)), None
        self._engine = engine
        self.poller.add(engine.fileno(), self.service.turn_engine)
        return engine, memory

    def _close_engine(self, *, detach: bool) -> None:
        if self._engine is not None:
            self.poller.drop(self._engine.fileno())
            self._engine.close(detach=detach)
            self._engine = None

    def end(self, *, is_alone: bool) -> None:
        """The orderly end: nothing of ours goes on in the kernel. A worker that dies in another way leaves its flows.

        `is_alone`: it is ended without the other workers of the node, who then still need the kernel's program.
        """
        is_last = self._configured.workers == 1 if is_alone else self._configured.number == 0
        if self._engine is not None:
            for flow in self._engine.flows():
                self._engine.remove(*flow)
            self._close_engine(detach=is_last)
        elif is_last and is_anything_left(self._configured.node) and may_use_bpf(_status()):
            from sbc.media.worker.kernel.leftovers import take_away  # noqa: PLC0415

            take_away(self._configured.node)


# --- where we come from -----------------------------------------------------------------------------------------------


def _descriptors(arguments: Sequence[str]) -> dict[str, int]:
    """By option, whether they are named so or come from systemd."""
    fds = dict(zip(arguments[::2], arguments[1::2], strict=False))
    if len(arguments) % 2 or any(name not in _OPTIONS or not fd.isdecimal() for name, fd in fds.items()):
        sys.exit(_USAGE)
    if not fds and os.environ.get("LISTEN_PID") == str(os.getpid()):
        from sbc.media.worker.under_systemd import passed_descriptors  # noqa: PLC0415 - not needed under `sbc run`

        return passed_descriptors(os.environ)
    return {name: int(fd) for name, fd in fds.items()}


def _worker(memory_fd: int | None) -> Worker:
    """On the counters that were handed to us. Memory without a size is new: nobody has counted in it."""
    if memory_fd is None:
        return Worker(None, continues=False)
    size, counters, octets = os.fstat(memory_fd).st_size, SLOTS * SLOT_OCTETS, BEHIND + OCTETS
    if size < octets:
        os.ftruncate(memory_fd, octets)
    return Worker(mmap.mmap(memory_fd, octets), continues=size >= counters)


def _end(number: int, _frame: object) -> NoReturn:
    signal.signal(number, signal.SIG_IGN)  # the second one comes from our parent, or from systemd
    sys.exit(0)


def may_use_bpf(status: bytes) -> bool:
    """`status`: what /proc/PID/status says, proc(5). CAP_SYS_ADMIN or, from Linux 5.8 on, CAP_BPF; capabilities(7)."""
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith(b"CapEff:")), b"0")
    return bool(int(effective, 16) & (1 << _CAP_SYS_ADMIN | 1 << _CAP_BPF))


def _status() -> bytes:
    try:
        with open("/proc/self/status", "rb") as status:  # noqa: PTH123 - pathlib is slow to import
            return status.read()
    except OSError:
        return b""


def _import_the_rest() -> None:
    """What is imported only when it is needed, because that takes time which callers hear. A parent that stands by has
    the time, and each child that follows has the modules for nothing.
    """
    import ctypes  # noqa: F401, PLC0415
    import traceback  # noqa: F401, PLC0415

    import sbc.media.worker.securing  # noqa: PLC0415

    with contextlib.suppress(ImportError):  # an extra
        import sbc.media.worker.keying  # noqa: PLC0415

    if may_use_bpf(_status()):
        import sbc.media.worker.kernel.engine  # noqa: F401, PLC0415


def _name_process(name: str) -> None:
    """As `ps` and `top` show it; proc(5). For people only."""
    with contextlib.suppress(OSError), open("/proc/self/comm", "w") as comm:  # noqa: PTH123 - pathlib is slow to import
        comm.write(name)
