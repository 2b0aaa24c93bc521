"""The media workers as the supervisor has them: their seats and life lines, and which of them must make way.

A seat (see `starting`) stays when its worker dies and when another supervisor takes over. It starts nobody by itself:
`children` says when. Used by `main`.
"""

import errno
import os
import select
import socket
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from sbc.media.wire import VERSION
from sbc.runtime.supervisor.children import Child
from sbc.runtime.supervisor.inheritance import LeftWorker
from sbc.runtime.supervisor.starting import Seat, make_seat, start_worker

SOCKETS_FOLDER: Final = "/run/sbc"  # or $SBC_MEDIA_SOCKETS; where workers of sbc-media@.service listen
WORKERS: Final = 64  # far beyond what a machine has use for


class Crew:
    """`pids`: of all children that run, by child; whoever owns it keeps it."""

    def __init__(self, poll: select.poll, environment: Mapping[str, str], program: Sequence[str]) -> None:
        self._poll = poll
        self._environment = environment
        self._program = program
        self._seats: dict[Child, Seat] = {}
        self._lines: dict[Child, socket.socket] = {}
        self._wires: dict[Child, int] = {}  # the version that each one speaks
        self._asked_for: set[Child] = set()
        self._empty: set[Child] = set()  # seats of an earlier supervisor, whose workers have ended with it

    # --- for signalling -----------------------------------------------------------------------------------------------

    def new_life(self) -> None:
        """Signalling is about to start."""
        self._asked_for.clear()

    def ask(self, number: int) -> tuple[bytes, Child | None]:
        """Where worker `number` listens; and who it is, where it is ours. Raises OSError."""
        if not 0 <= number < WORKERS:
            raise OSError(errno.EINVAL, f"there are at most {WORKERS} media workers")
        child = Child(number)
        self._asked_for.add(child)
        seat = self._seats.get(child)
        if seat is None or child in self._empty:
            path = os.path.join(os.environ.get("SBC_MEDIA_SOCKETS", SOCKETS_FOLDER), f"media-{number}.sock")  # noqa: PTH118
            if _answers(path):
                if seat is not None:
                    self.dismiss(child)
                return os.fsencode(path), None
        if seat is None:
            seat = self._seats[child] = make_seat(number)
        return seat.address, child

    def is_of_another_version(self, child: Child) -> bool:
        """It runs, and signalling of this program cannot speak to it."""
        return self._wires.get(child, VERSION) != VERSION

    def unasked(self) -> list[Child]:
        return [child for child in self._seats if child not in self._asked_for]

    def dismiss(self, child: Child) -> None:
        """Its seat is not needed any more."""
        self._seats.pop(child).close()
        self._empty.discard(child)

    # --- processes ----------------------------------------------------------------------------------------------------

    def start(self, child: Child) -> int:
        """Its process id. Raises OSError."""
        pid, line = start_worker(self._seats[child], self._environment, self._program)
        self.close_line(child)
        self._wires[child] = VERSION
        self._empty.discard(child)
        self._watch(child, line)
        return pid

    def _watch(self, child: Child, line: socket.socket) -> None:
        line.setblocking(False)
        self._lines[child] = line
        self._poll.register(line.fileno(), select.POLLIN)

    def hear(self, fd: int) -> tuple[Child, bytes] | None:
        """What was said on that life line; nothing where it is not one, or has nothing."""
        child = next((child for child, line in self._lines.items() if line.fileno() == fd), None)
        return None if child is None else self.hear_from(child)

    def hear_from(self, child: Child) -> tuple[Child, bytes] | None:
        line = self._lines.get(child)
        if line is None:
            return None
        try:
            data = line.recv(64)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            self.close_line(child)  # it is about to end
        return child, data

    def close_line(self, child: Child) -> None:
        line = self._lines.pop(child, None)
        if line is not None:
            self._poll.unregister(line.fileno())
            line.close()

    # --- from one supervisor to the next ------------------------------------------------------------------------------

    def left(self, pids: Mapping[Child, int]) -> tuple[tuple[LeftWorker, ...], tuple[int, ...]]:
        """What the next supervisor gets, with the descriptors in their order."""
        workers: list[LeftWorker] = []
        descriptors: list[int] = []
        for child, seat in self._seats.items():
            line = self._lines.get(child)
            pid = 0 if line is None else pids.get(child, 0)
            workers.append(LeftWorker(seat.number, pid, self._wires.get(child, VERSION)))
            descriptors += [seat.listener.fileno(), seat.memory]
            if line is not None and pid:
                descriptors.append(line.fileno())
        return tuple(workers), tuple(descriptors)

    def take(self, workers: Sequence[LeftWorker], descriptors: Iterator[int]) -> dict[Child, int]:
        """From the supervisor before us. The process ids of those that run."""
        running: dict[Child, int] = {}
        for worker in workers:
            child = Child(worker.number)
            listener, memory = socket.socket(fileno=next(descriptors)), next(descriptors)
            self._seats[child] = Seat(worker.number, listener, memory)
            self._wires[child] = worker.wire
            if not worker.pid:
                self._empty.add(child)
            else:
                running[child] = worker.pid
                self._watch(child, socket.socket(fileno=next(descriptors)))
        return running


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
