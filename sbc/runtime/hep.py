"""Sends the SIP messages of calls to a capture server (HEP3 over UDP, `sbc.hep`), as a copy that nothing waits for.

It fetches what the recorder has laid out and sends it a few at a time, so that the engine's loop goes on in between.
What does not fit in the socket or in the recorder's queue is dropped and counted. UDP says nothing of packets that were
lost; but where the server's machine answers that nobody listens there, or no way leads to it, and that for long, it is
an alarm.
Used by `app`.
"""

import contextlib
import socket
from collections import Counter
from collections.abc import Callable
from typing import Final, Protocol

import structlog
import trio

from sbc.policy.model import Hep
from sbc.trace.hep import packet
from sbc.trace.recorder import Entry

_LOOK_SECONDS: Final = 0.1
_AT_ONCE: Final = 25  # messages before other tasks have their turn: less than 2 ms
_ALARM_SECONDS: Final = 30.0  # of failures
_WELL_SECONDS: Final = 5.0  # without one, and nothing fails any more; kernels answer a sender once a second at least
_BUFFER_OCTETS: Final = 1_048_576

log = structlog.get_logger("hep")


class Source(Protocol):
    """As much of the recorder as is used."""

    unfetched: int

    def lay_out(self, *, on: bool) -> None: ...
    def fetch(self, most: int) -> list[tuple[str, Entry]]: ...


class Sender(Protocol):
    """A connected datagram socket."""

    def send(self, data: bytes, /) -> int: ...
    def close(self) -> None: ...


class HepExport:
    """`drops` counts `hep`. `set_policy` may be called at any time; None: nothing is collected or sent."""

    def __init__(
        self,
        source: Source,
        drops: Counter[str],
        *,
        now: Callable[[], float],
        wall_at_zero: Callable[[], float],
        connect: "Callable[[Hep], Sender] | None" = None,
    ) -> None:
        self._source = source
        self._drops = drops
        self._now = now
        self._wall_at_zero = wall_at_zero
        self._connect = connect or _connected
        self._hep: Hep | None = None
        self._sender: Sender | None = None
        self._changed = trio.Event()
        self._unfetched = 0
        self._failed_since: float | None = None
        self._well_since: float | None = None
        self._is_said = False

    def set_policy(self, hep: Hep | None) -> None:
        if hep == self._hep:
            return
        if self._is_said:
            log.info("hep.reachable", server=self._label, why="the policy has changed")
        self._hep = hep
        self._failed_since, self._well_since, self._is_said = None, None, False
        self._disconnect()
        self._source.lay_out(on=hep is not None)
        self._changed.set()

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        task_status.started()
        try:
            while True:
                self._changed = trio.Event()
                if self._hep is None:
                    await self._changed.wait()
                try:
                    await self.send_waiting()
                except Exception:  # a copy of a message is no reason to end calls
                    self._drops["hep"] += 1
                    log.exception("engine.failure", alarm=True, where="hep")
                await trio.sleep(_LOOK_SECONDS)
        finally:
            self._source.lay_out(on=False)
            self._disconnect()

    async def send_waiting(self) -> None:
        """Everything that is laid out now and meanwhile."""
        self._count_unfetched()
        while hep := self._hep:
            fetched = self._source.fetch(_AT_ONCE)
            wall = self._wall_at_zero()
            for ref, entry in fetched:
                data = packet(ref, entry, wall, hep.node, None if hep.password is None else hep.password.text)
                self._send(data)
            if len(fetched) < _AT_ONCE:
                return
            await trio.lowlevel.checkpoint()

    @property
    def _label(self) -> str:
        return "" if self._hep is None else f"udp:{self._hep.server}"

    def _send(self, data: bytes | None) -> None:
        if data is None:
            self._drops["hep"] += 1
            return
        try:
            if self._sender is None and self._hep is not None:
                self._sender = self._connect(self._hep)
            if self._sender is not None:
                self._sender.send(data)
                self._went_well()
        except BlockingIOError:
            self._drops["hep"] += 1
        except OSError as error:
            self._drops["hep"] += 1
            self._failed(error)

    def _failed(self, error: OSError) -> None:
        self._well_since = None
        now = self._now()
        if self._failed_since is None:
            self._failed_since = now
        if not self._is_said and now - self._failed_since >= _ALARM_SECONDS:
            self._is_said = True
            log.warning("hep.unreachable", alarm=True, server=self._label, reason=error.strerror or str(error))
        if not isinstance(error, ConnectionRefusedError):
            self._disconnect()  # addresses and ways may have changed

    def _went_well(self) -> None:
        """An error is an answer to what was sent before: what is sent is well when what follows it is, too."""
        if self._failed_since is None:
            return
        now = self._now()
        if self._well_since is None:
            self._well_since = now
        if now - self._well_since < _WELL_SECONDS:
            return
        self._failed_since = self._well_since = None
        if self._is_said:
            self._is_said = False
            log.info("hep.reachable", server=self._label)

    def _count_unfetched(self) -> None:
        missed = self._source.unfetched - self._unfetched
        self._unfetched = self._source.unfetched
        if missed:
            self._drops["hep"] += missed

    def _disconnect(self) -> None:
        if self._sender is not None:
            with contextlib.suppress(OSError):
                self._sender.close()
        self._sender = None


def _connected(hep: Hep) -> socket.socket:
    """Never waits; OSError where no way leads there."""
    family = socket.AF_INET6 if hep.server.is_ipv6 else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _BUFFER_OCTETS)
        sock.connect((hep.server.host, hep.server.port))
    except OSError:
        sock.close()
        raise
    return sock
