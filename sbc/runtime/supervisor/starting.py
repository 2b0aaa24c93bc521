"""Starting the other processes: what each is given, and what a worker finds again when it is started once more.

A worker's seat stays when the worker dies: the socket that it listens on, so that who connects meanwhile only waits,
and the memory of its counters. Its life line is made anew each time: it says "running" there when it is, and whoever
reads the end of it knows that the other process is gone. Used by the supervisor and by `runtime.local_keeper`.
"""

import os
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Final

from msgspec import Struct

RUNNING: Final = b"running"
WORKER_PROGRAM: Final = ("-m", "sbc.media.worker")  # this interpreter's arguments
_BACKLOG: Final = 16


class Seat(Struct, frozen=True, eq=False):
    """What stays of a worker: `listener` for signalling, `memory` (a memfd) for its counters, which sizes it."""

    number: int
    listener: socket.socket
    memory: int

    @property
    def address(self) -> bytes:
        name = self.listener.getsockname()
        return name if isinstance(name, bytes) else os.fsencode(name)

    def close(self) -> None:
        self.listener.close()
        os.close(self.memory)


def make_seat(number: int) -> Seat:
    """Raises OSError."""
    memory = os.memfd_create(f"sbc-media-{number}", os.MFD_CLOEXEC)
    try:
        listener = _listen()
    except OSError:
        os.close(memory)
        raise
    return Seat(number, listener, memory)


def start_worker(
    seat: Seat, environment: Mapping[str, str], program: Sequence[str] = WORKER_PROGRAM
) -> tuple[int, socket.socket]:
    """Its process id and our end of its life line, non-blocking. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    given = {"--listen-fd": seat.listener.fileno(), "--life-fd": theirs.fileno(), "--memory-fd": seat.memory}
    words = [word for name, fd in given.items() for word in (name, str(fd))]
    try:
        pid = spawn([*program, *words], tuple(given.values()), environment)
    except OSError:
        ours.close()
        raise
    finally:
        theirs.close()
    return pid, ours


def _listen() -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        listener.bind("")  # an abstract address that the kernel chooses (unix(7), autobind)
        listener.listen(_BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener


def spawn(
    arguments: Sequence[str], descriptors: Sequence[int], environment: Mapping[str, str], *, stderr: int | None = None
) -> int:
    """This interpreter again, in a session of its own so that Ctrl-C on the terminal does not reach it. Its process id.

    Descriptors keep their numbers; `stderr` stands for standard output as well. Raises OSError.
    """
    streams = () if stderr is None else tuple((os.POSIX_SPAWN_DUP2, stderr, number) for number in (1, 2))
    for fd in descriptors:
        os.set_inheritable(fd, True)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, *arguments],
            environment,
            file_actions=streams,
            setsid=True,
            setsigmask=(),
            setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),  # as subprocess does: the interpreter ignores them
        )
    finally:
        for fd in descriptors:
            os.set_inheritable(fd, False)


def name_process(name: str) -> None:
    """What ps -c, top and pgrep show. 15 octets at most."""
    try:
        with open("/proc/self/comm", "w", encoding="ascii") as comm:  # noqa: PTH123 - pathlib costs the supervisor memory
            comm.write(name)
    except OSError:
        pass
