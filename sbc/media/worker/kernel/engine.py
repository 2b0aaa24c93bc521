"""The kernel engine (`worker.engine.Engine`): puts flows into pinned maps, and has a helper attach the program.

Everything here is a system call of a microsecond or two. What takes long, pyroute2 and netlink, happens in the helper
(`attach`), whose answer `turn` reads. Flows go on when this process dies, until `alive` runs out; the next worker opens
the same pins, finds them in `flows` and may go on with them before its own helper has answered.
"""

import contextlib
import errno
import mmap
import os
import select
import sys
import time
from collections.abc import Collection
from typing import Final

import msgspec

from sbc.media import wire
from sbc.media.worker.engine import NOT_YET, Flow
from sbc.media.worker.kernel import pins
from sbc.media.worker.kernel.flow import WORKERS, Unfit, flow_of, key_of, place_of, value_of, worker_of
from sbc.media.worker.kernel.pins import KernelError
from sbc.media.worker.kernel.report import Report, handle_of

_NANOSECONDS: Final = 1_000_000_000
_READ_OCTETS: Final = 65_536
_ANSWER_OCTETS: Final = 1 << 20
_CLOSE_SECONDS: Final = 5.0
_FOREVER: Final = 2**63


def open_kernel(configure: wire.Configure) -> "tuple[KernelEngine, mmap.mmap]":
    """The engine, and the memory of the slots that it counts in (`slots.Slots`). Raises KernelError."""
    if not 0 <= configure.number < WORKERS:
        raise KernelError(f"there are counters for {WORKERS} workers")
    held = pins.open_pins(configure.node)
    try:
        memory = held.slots.memory()
    except OSError as error:
        held.close()
        raise KernelError(f"the counters cannot be mapped: {error.strerror}") from error
    return KernelEngine(held, configure), memory


class KernelEngine:
    """`devices`: where the program is attached. `reason`: what keeps it from some of our addresses, for people."""

    __slots__ = (
        "_answer",
        "_epoll",
        "_generation",
        "_helper",
        "_node",
        "_number",
        "_orphan_ns",
        "_pins",
        "_pipe",
        "_places",
        "_workers",
        "devices",
        "reason",
    )

    def __init__(self, held: pins.Pins, configure: wire.Configure) -> None:
        self.devices: tuple[str, ...] = ()
        self.reason = ""
        self._pins = held
        self._node = configure.node
        self._number = configure.number
        self._workers = configure.workers
        self._orphan_ns = int(min(configure.orphan_seconds * _NANOSECONDS, _FOREVER))
        self._generation = time.monotonic_ns()
        self._places: dict[str, str] = {}  # local address: empty, or why not
        self._epoll = select.epoll()
        self._helper = 0
        self._pipe = -1
        self._answer = b""
        self._end_what_ran_out()
        self.beat()

    # --- flows ---------------------------------------------------------------------------------------------------

    def put(self, flow: Flow) -> str:
        try:
            why = self._unready(flow)
            if not why:
                self._generation += 1
                value = value_of(flow, self._number, self._generation)
                self._pins.flows.update(key_of(flow.local, flow.port), value)
        except (Unfit, ValueError, OverflowError) as error:
            why = str(error)
        except OSError as error:
            why = "the table of flows is full" if error.errno == errno.E2BIG else f"the kernel says: {error.strerror}"
        if why:
            self.remove(flow.local, flow.port)
        return why

    def remove(self, local: str, port: int) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._pins.flows.delete(key_of(local, port))

    def flows(self) -> set[tuple[str, int]]:
        return {place_of(key) for key in self._our_keys()}

    def held(self, local: str, port: int) -> Flow | None:
        try:
            key = key_of(local, port)
            value = self._pins.flows.lookup(key)
        except (OSError, ValueError):
            return None
        return None if value is None else flow_of(key, value)

    def beat(self) -> None:
        until = min(time.monotonic_ns() + self._orphan_ns, _FOREVER)
        with contextlib.suppress(OSError):
            self._pins.alive.update(self._number.to_bytes(4, "little"), until.to_bytes(8, "little"))

    def _unready(self, flow: Flow) -> str:
        """Why no packet of it would come to the program. A flow that a former worker has put shows that they do."""
        why = self._places.get(flow.local)
        if why is None and self._pins.flows.lookup(key_of(flow.local, flow.port)) is None:
            return NOT_YET
        return why or ""

    def _our_keys(self) -> list[bytes]:
        """Those of a worker that there is no longer are the first worker's to clear away."""
        ours, workers = self._number, self._workers
        try:
            items = self._pins.flows.entries()
        except OSError:
            return []
        numbers = ((key, worker_of(value)) for key, value in items)
        return [key for key, number in numbers if number == ours or (ours == 0 and number >= workers)]

    def _end_what_ran_out(self) -> None:
        """Flows that have ended by themselves must not begin anew because a worker is there again."""
        until = self._pins.alive.lookup(self._number.to_bytes(4, "little"))
        if until is None or int.from_bytes(until, "little") <= time.monotonic_ns():
            for key in self._our_keys():
                self._pins.flows.delete(key)

    # --- devices -------------------------------------------------------------------------------------------------

    def attach(self, locals_: Collection[str]) -> None:
        """Have the program attached to every device that holds one of these addresses; again at any time, as when an
        address has moved or a device has come back. `turn` tells the outcome. Never detaches.
        """
        self._start("attach", str(self._pins.program), str(handle_of(self._node)), *sorted(locals_))

    def fileno(self) -> int:
        """Readable when `turn` has something to do; the same number for life."""
        return self._epoll.fileno()

    def turn(self) -> bool:
        """Read what the helper says, without waiting; true when `devices` and `reason` are new."""
        if self._pipe < 0 or not self._read():
            return False
        answer = self._end_helper()
        try:
            report = msgspec.json.decode(answer, type=Report)
        except msgspec.DecodeError:
            report = Report(reason="the helper that attaches the program has failed")
        self.devices = report.devices
        self.reason = report.reason
        self._places = report.places
        return True

    def close(self, *, detach: bool) -> None:
        """`detach`: nothing is left of this node in the kernel, of its other workers neither. Else flows go on."""
        self._end_helper()
        if detach:
            with contextlib.suppress(OSError):
                for key, _ in self._pins.flows.entries():
                    self._pins.flows.delete(key)
            self._start("detach", str(handle_of(self._node)))
            with select.epoll() as done:
                done.register(self._pipe, select.EPOLLIN)
                deadline = time.monotonic() + _CLOSE_SECONDS
                while not self._read() and (left := deadline - time.monotonic()) > 0:
                    done.poll(left)
            self._end_helper()
            pins.remove(self._pins)
        self._pins.close()
        self._epoll.close()

    def _start(self, *words: str) -> None:
        self._end_helper()
        self._pipe, ours = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        argv = [sys.executable, "-m", "sbc.media.worker.kernel.attach", *words]
        try:
            actions = [(os.POSIX_SPAWN_DUP2, ours, 1)]
            self._helper = os.posix_spawn(sys.executable, argv, os.environ, file_actions=actions)
        except OSError as error:
            self._answer = msgspec.json.encode(Report(reason=f"no helper could be started: {error.strerror}"))
        finally:
            os.close(ours)
        self._epoll.register(self._pipe, select.EPOLLIN)

    def _read(self) -> bool:
        """Whether the helper has said everything."""
        while True:
            try:
                data = os.read(self._pipe, _READ_OCTETS)
            except BlockingIOError:
                return False
            if not data or len(self._answer) > _ANSWER_OCTETS:
                return True
            self._answer += data

    def _end_helper(self) -> bytes:
        if self._pipe >= 0:
            self._epoll.unregister(self._pipe)
            os.close(self._pipe)
            self._pipe = -1
        if self._helper:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._helper, 9)  # it has said what it has to say, or is not asked any more
            with contextlib.suppress(ChildProcessError):
                os.waitpid(self._helper, 0)
            self._helper = 0
        answer, self._answer = self._answer, b""
        return answer
