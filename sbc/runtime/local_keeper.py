"""Where there is no supervisor: sockets are opened here, workers are children of this process. See `keeper`.

Nothing outlives us then. A worker that dies is started again by the same rule as under the supervisor.
Used by `app` when nobody gives it another keeper, and by tests.
"""

import contextlib
import math
import os
import signal
import socket
import time
from collections.abc import Callable
from typing import Final

import structlog
import trio
from msgspec import Struct

from sbc.runtime.media_sockets import Pair, descriptor_ceiling, open_pairs, why_short
from sbc.runtime.notify import notify
from sbc.runtime.sip_sockets import ListenKind, open_sip_socket
from sbc.runtime.supervisor.restart import Restart
from sbc.runtime.supervisor.starting import RUNNING, Seat, make_seat, start_worker

_END_SECONDS: Final = 2.0  # for a worker's end
_LOOK_SECONDS: Final = 0.002

log = structlog.get_logger("media")


class _Worker(Struct, eq=False):
    seat: Seat
    pid: int
    line: socket.socket


class LocalKeeper:
    """`number(n)` picks a port at random below n."""

    def __init__(self, number: Callable[[int], int]) -> None:
        self._number = number
        self._taken: dict[str, set[int]] = {}
        self._ceiling = descriptor_ceiling()
        self._workers: dict[int, _Worker] = {}
        self._fresh_in, self._fresh = trio.open_memory_channel[_Worker](math.inf)

    @property
    def supervisor(self) -> int | None:
        return None

    @property
    def is_restart(self) -> bool:
        return False

    def listen(self, kind: ListenKind, host: str, port: int, dscp: int) -> socket.socket:
        return open_sip_socket(kind, host, port, dscp)

    def close_listener(self, kind: ListenKind, host: str, port: int) -> None:
        """There is no other socket than the caller's."""

    def open_pairs(self, local: str, ports: tuple[int, int], pairs: int, dscp: int) -> list[Pair]:
        taken = self._taken.setdefault(local, set())
        opened = open_pairs(local, ports, pairs, taken, self._number, dscp=dscp, ceiling=self._ceiling)
        taken.update(pair.port for pair in opened)
        return opened

    def close_pairs(self, local: str, ports: tuple[int, ...]) -> None:
        self._taken.get(local, set()).difference_update(ports)

    def why_short(self) -> str:
        return why_short(self._ceiling)

    def held_pairs(self) -> list[Pair]:
        return []

    def journal_memory(self, name: str) -> int | None:  # noqa: ARG002
        return None

    def worker_address(self, number: int) -> str | bytes:
        worker = self._workers.get(number)
        if worker is None:
            seat = make_seat(number)
            try:
                worker = self._workers[number] = _Worker(seat, *start_worker(seat, os.environ))
            except OSError:
                seat.close()
                raise
            self._fresh_in.send_nowait(worker)
        return worker.seat.address

    def replace_worker(self, number: int) -> None:
        worker = self._workers.get(number)
        if worker is not None and worker.pid:
            os.kill(worker.pid, signal.SIGKILL)

    def has_pulse(self, pulse: Callable[[], str | None]) -> None:
        """Nobody watches over us."""

    def ready(self, admin: str) -> None:  # noqa: ARG002 - the protocol's
        notify("READY=1")

    def stopping(self) -> None:
        notify("STOPPING=1")

    async def restart(self) -> str:
        return "this program has no supervisor that could go on with its sockets"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            task_status.started()
            async for worker in self._fresh:
                nursery.start_soon(self._look_after, worker)

    def close(self) -> None:
        for worker in self._workers.values():
            worker.line.close()
        deadline = time.monotonic() + _END_SECONDS
        for worker in self._workers.values():
            while worker.pid and _status(worker) is None and time.monotonic() < deadline:
                time.sleep(_LOOK_SECONDS)
            if worker.pid:
                os.kill(worker.pid, signal.SIGKILL)
                os.waitpid(worker.pid, 0)
            worker.seat.close()
        self._workers.clear()

    async def _look_after(self, worker: _Worker) -> None:
        restart = Restart()
        while True:
            lived = await _life(worker)
            pid, status = worker.pid, await _reap(worker)
            name = f"media-{worker.seat.number}"
            # Of its death the pool raises the alarm, which is posted.
            log.error("child.died", child=name, pid=pid, status=status, ran_seconds=_rounded(lived))
            pause, is_said = restart.pause(lived), False
            while not worker.pid:
                await trio.sleep(pause)
                try:
                    worker.pid, worker.line = start_worker(worker.seat, os.environ)
                except OSError as error:
                    log.error("child.not_started", alarm=True, child=name, reason=str(error))  # noqa: TRY400
                    pause = restart.pause(None)
                    is_said = True
            if is_said:
                log.info("child.started", child=name)


async def _life(worker: _Worker) -> float | None:
    """Until its end: how many seconds it ran, None where it never said so."""
    since: float | None = None
    while True:
        await trio.lowlevel.wait_readable(worker.line)
        data = b""
        with contextlib.suppress(ConnectionError):
            data = worker.line.recv(64)
        if not data:
            worker.line.close()
            return None if since is None else trio.current_time() - since
        if data == RUNNING:
            since = trio.current_time()


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


async def _reap(worker: _Worker) -> int:
    with trio.move_on_after(_END_SECONDS):
        while (status := _status(worker)) is None:  # noqa: ASYNC110 - another process is waited for
            await trio.sleep(_LOOK_SECONDS)
        return status
    os.kill(worker.pid, signal.SIGKILL)
    while (status := _status(worker)) is None:  # noqa: ASYNC110
        await trio.sleep(_LOOK_SECONDS)
    return status


def _status(worker: _Worker) -> int | None:
    """How it ended; None while it lives."""
    pid, status = os.waitpid(worker.pid, os.WNOHANG)
    if not pid:
        return None
    worker.pid = 0
    return os.waitstatus_to_exitcode(status)
