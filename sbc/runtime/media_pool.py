"""The media worker seen from signalling: started, spoken to, started again when it dies. On trio.

`media.client` knows what to say; here are the process, the socket pair and the descriptors. Nobody waits for a worker:
`ask` and `open_ports` return at once, answers go to `deliver`. The worker lives in a session of its own, so that Ctrl-C
on the terminal does not end media before calls are drained, and ends by itself when our end of the socket pair closes.
A worker that does not answer several polls, or does not read, is killed and replaced like one that died.
"""

import array
import errno
import math
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping
from typing import Final

import structlog
import trio
from msgspec import Struct

from sbc.b2bua.events import MediaReplied, PortsOpened
from sbc.core.errors import OperatorError
from sbc.core.limits import CONTROL_MESSAGE_OCTETS
from sbc.media import wire
from sbc.media.client import POLL_SECONDS, Asked, MediaClient, Outgoing
from sbc.runtime.media_sockets import Pair, descriptor_ceiling, is_short_of_descriptors, open_pairs

FIRST_START_SECONDS: Final = 15.0  # of the very first worker; later ones are tried for ever
QUEUE_MESSAGES: Final = 10_000  # unsent to one worker, beyond what it had to be told at its start
_SILENT_POLLS: Final = 3
_STABLE_SECONDS: Final = 5.0  # a worker that ran so long was not killed by what it was told
_QUICK_DEATHS: Final = 2  # so many in a row are followed by an immediate start too
_BACK_OFF_SECONDS: Final = (0.1, 5.0)  # first, longest; doubled in between
_MESSAGES_PER_TURN: Final = 64

_log = structlog.get_logger()


class MediaWorkerError(OperatorError):
    """The first media worker did not come up: the program cannot run."""


class _Worker(Struct, eq=False):
    """One process and our end of its control socket."""

    process: trio.Process
    control: socket.socket
    outbox: deque[Outgoing]
    stuck: trio.Event  # set when the kernel did not take everything
    limit: float = QUEUE_MESSAGES
    running_since: float = math.inf
    unanswered: int = 0


class MediaPool:
    """`number(n)` picks at random below n; `dscp` by local address. `run` must be running for anything to happen."""

    def __init__(
        self,
        ports: tuple[int, int],
        number: Callable[[int], int],
        deliver: Callable[[MediaReplied], None],
        dscp: Mapping[str, int] | None = None,
        *,
        poll_seconds: float = POLL_SECONDS,
        start_seconds: float = FIRST_START_SECONDS,
    ) -> None:
        self._ports = ports
        self._number = number
        self._deliver = deliver
        self._dscp = dscp or {}
        self._poll_seconds = poll_seconds
        self._start_seconds = start_seconds
        self._client = MediaClient()
        self._pairs: dict[str, dict[int, Pair]] = {}
        self._ceiling = descriptor_ceiling()
        self._said_short: dict[str, int] = {}
        self._worker: _Worker | None = None
        self._running = trio.Event()

    @property
    def pid(self) -> int | None:
        """Of the worker that runs now."""
        worker = self._worker
        return worker.process.pid if worker and worker.running_since < math.inf else None

    @property
    def sessions(self) -> int:
        return self._client.sessions

    @property
    def pairs(self) -> int:
        return self._client.ports

    def ask(self, request: Asked) -> None:
        self._send(self._client.ask(request))

    def open_ports(self, local: str, pairs: int) -> PortsOpened:
        """More port pairs on a media address. Raises OSError where it is no address of this machine."""
        have = self._pairs.setdefault(local, {})
        dscp = self._dscp.get(local, 0)
        opened = open_pairs(local, self._ports, pairs, have, self._number, dscp=dscp, ceiling=self._ceiling)
        have.update((pair.port, pair) for pair in opened)
        self._say_if_short(local, short=len(opened) < pairs)
        ports = tuple(pair.port for pair in opened)
        self._send(self._client.ports_opened(local, ports))
        return PortsOpened(local, ports)

    def why_short(self) -> str:
        """Why fewer ports could be opened than were asked for."""
        if is_short_of_descriptors(self._ceiling):
            return "no descriptors are left; raise the limit (ulimit -n, LimitNOFILE=)"
        return "other programs hold the rest of media.ports; stop them or give another range"

    def _say_if_short(self, local: str, *, short: bool) -> None:
        """Once for each number of pairs: the engine asks again every few seconds."""
        pairs = len(self._pairs[local])
        if short and self._said_short.get(local) != pairs:
            self._said_short[local] = pairs
            _log.warning("media.ports_short", alarm=True, local=local, pairs=pairs, reason=self.why_short())

    def close(self) -> None:
        """Close our media sockets, after `run` has ended."""
        for pairs in self._pairs.values():
            for pair in pairs.values():
                pair.close()
        self._pairs.clear()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Keep one worker running until cancelled; started when the first one runs. Raises MediaWorkerError before."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._keep_one)
            nursery.start_soon(self._poll)
            with trio.move_on_after(self._start_seconds):
                await self._running.wait()
                task_status.started()
            if not self._running.is_set():
                nursery.cancel_scope.cancel()
        if not self._running.is_set():
            raise MediaWorkerError(f"the media worker did not start within {self._start_seconds:.0f} s")

    async def _keep_one(self) -> None:
        back_off = 0.0
        quick_deaths = 0
        async with trio.open_nursery() as reaping:
            while True:
                await trio.sleep(back_off)
                lived = await self._one_life(reaping)
                quick_deaths = 0 if lived >= _STABLE_SECONDS else quick_deaths + 1
                if lived > 0 and quick_deaths <= _QUICK_DEATHS:
                    back_off = 0.0
                else:
                    back_off = min(max(2 * back_off, _BACK_OFF_SECONDS[0]), _BACK_OFF_SECONDS[1])

    async def _one_life(self, reaping: trio.Nursery) -> float:
        """Start a worker and serve it until it is gone; how many seconds it ran, 0 if it never said so."""
        try:
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        except OSError as error:
            _log.error("media.worker_not_started", alarm=True, reason=str(error))
            return 0.0
        ours.setblocking(False)
        try:
            process = await _start(theirs)
        except OSError as error:
            ours.close()
            _log.error("media.worker_not_started", alarm=True, reason=str(error))
            return 0.0
        finally:
            theirs.close()
        worker = self._worker = _Worker(process, ours, deque(), trio.Event())
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write, worker)
                await self._read(worker)
                nursery.cancel_scope.cancel()
        finally:
            lived = max(trio.current_time() - worker.running_since, 0.0)
            self._bury(worker)
            reaping.start_soon(_reap, process, lived)
        return lived

    def _bury(self, worker: _Worker) -> None:
        self._worker = None
        worker.control.close()
        self._client.worker_lost()

    async def _read(self, worker: _Worker) -> None:
        """Until the worker is gone."""
        while True:
            await trio.lowlevel.wait_readable(worker.control)
            for _ in range(_MESSAGES_PER_TURN):
                try:
                    data = worker.control.recv(CONTROL_MESSAGE_OCTETS)
                except BlockingIOError:
                    break
                except ConnectionError:
                    return
                if not data:
                    return
                worker.unanswered = 0
                for reply in self._client.received(data):
                    self._take(worker, reply)

    def _take(self, worker: _Worker, reply: wire.Reply) -> None:
        if not isinstance(reply, wire.Running):
            self._deliver(MediaReplied(reply))
            return
        messages = self._client.worker_started()
        worker.running_since = trio.current_time()
        worker.limit += len(messages)
        self._send(messages)
        self._running.set()
        _log.info("media.worker_started", pid=reply.pid, sessions=self.sessions, ports=self.pairs)

    def _send(self, messages: list[Outgoing]) -> None:
        worker = self._worker
        if worker is None or not messages:
            return
        was_empty = not worker.outbox
        worker.outbox.extend(messages)
        if len(worker.outbox) > worker.limit:
            _log.error("media.worker_killed", pid=worker.process.pid, reason="it does not read what it is told")
            worker.process.kill()
            worker.outbox.clear()  # the next worker is told all of it
            worker.limit = math.inf
        elif was_empty and not self._flush(worker):
            worker.stuck.set()

    def _flush(self, worker: _Worker) -> bool:
        """Send what waits; False when the kernel takes no more now. A worker that is gone is noticed by reading."""
        while worker.outbox:
            message = worker.outbox[0]
            try:
                worker.control.sendmsg([message.data], self._descriptors(message))
            except OSError as error:
                if error.errno in (errno.EPIPE, errno.ECONNRESET):
                    worker.outbox.clear()
                    return True
                if error.errno in (errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS):
                    return False
                _log.error("media.request_lost", octets=len(message.data), reason=str(error))
            worker.outbox.popleft()
        return True

    def _descriptors(self, message: Outgoing) -> list[tuple[int, int, bytes]]:
        if not message.ports:
            return []
        pairs = self._pairs[message.local]
        fds = [one.fileno() for port in message.ports for one in (pairs[port].rtp, pairs[port].rtcp)]
        return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())]

    async def _write(self, worker: _Worker) -> None:
        """Send what the kernel did not take at once."""
        while True:
            await worker.stuck.wait()
            worker.stuck = trio.Event()
            while not self._flush(worker):
                await trio.lowlevel.wait_writable(worker.control)
                await trio.sleep(0.001)  # too many descriptors on their way (unix(7), ETOOMANYREFS) is not waited for

    async def _poll(self) -> None:
        """Keep the counters fresh, and notice a worker that hangs."""
        while True:
            await trio.sleep(self._poll_seconds)
            worker = self._worker
            if worker is None:
                continue
            polls = self._client.poll()
            self._send(polls)
            worker.unanswered += len(polls)
            if worker.unanswered > _SILENT_POLLS:
                _log.error("media.worker_killed", pid=worker.process.pid, reason="it does not answer")
                worker.process.kill()


async def _start(theirs: socket.socket) -> trio.Process:
    command = [sys.executable, "-m", "sbc.media.worker", "--control-fd", str(theirs.fileno())]
    return await trio.lowlevel.open_process(
        command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
    )


async def _reap(process: trio.Process, lived: float) -> None:
    with trio.CancelScope(shield=True):
        with trio.move_on_after(2):
            await process.wait()
        process.kill()
        status = await process.wait()
    if status == 0:  # it ends so only when its control socket was closed
        _log.info("media.worker_stopped", pid=process.pid)
    else:
        _log.error("media.worker_died", alarm=True, pid=process.pid, status=status, ran_seconds=round(lived, 3))
