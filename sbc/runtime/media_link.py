"""One connection to a media worker: messages out, with descriptors, in their order; messages in. On trio.

What the kernel does not take at once waits here. It does not know what is said. Used by `media_pool`.
"""

import array
import errno
import math
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

import structlog
import trio

from sbc.core.limits import CONTROL_MESSAGE_OCTETS, MEDIA_REQUESTS_WAITING
from sbc.media.client import Outgoing

_MESSAGES_PER_TURN: Final = 64

_log = structlog.get_logger()

Descriptors = Callable[[Outgoing], list[int]]


class MediaLink:
    """`pid`: what the worker said in `Running`; None: it has not yet. `unanswered`: polls since it was heard last."""

    def __init__(self, control: socket.socket, descriptors: Descriptors) -> None:
        self.connected_at = trio.current_time()
        self.running_since = math.inf
        self.pid: int | None = None
        self.unanswered = 0
        self.is_given_up = False
        self._control = control
        self._descriptors = descriptors
        self._outbox: deque[Outgoing] = deque()
        self._limit: float = MEDIA_REQUESTS_WAITING
        self._stuck = trio.Event()  # set when the kernel did not take everything
        self._scope = trio.CancelScope()

    @classmethod
    def connect(cls, address: str | bytes, descriptors: Descriptors) -> "MediaLink":
        """Raises OSError; BlockingIOError where the worker has a queue of connections."""
        control = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            control.setblocking(False)
            control.connect(address)
        except OSError:
            control.close()
            raise
        return cls(control, descriptors)

    @property
    def waiting(self) -> int:
        """Requests that the worker has not taken yet."""
        return len(self._outbox)

    def close(self) -> None:
        self._control.close()

    def started(self, pid: int, messages: int) -> None:
        """The worker runs, and will be told so many messages at once."""
        self.pid = pid
        self.running_since = trio.current_time()
        self._limit += messages

    def give_up(self) -> None:
        """`serve` returns, and nothing is sent any more."""
        self.is_given_up = True
        self._outbox.clear()  # the next worker is told all of it
        self._scope.cancel()

    def send(self, message: Outgoing) -> bool:
        """False: too much waits already."""
        if self.is_given_up:
            return True
        was_empty = not self._outbox
        self._outbox.append(message)
        if was_empty and not self._flush():
            self._stuck.set()
        return len(self._outbox) <= self._limit

    async def serve(self, received: Callable[[bytes], None]) -> None:
        """Until the worker is gone, or given up."""
        with self._scope:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._write)
                await self._read(received)
                nursery.cancel_scope.cancel()

    async def _read(self, received: Callable[[bytes], None]) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._control)
            for _ in range(_MESSAGES_PER_TURN):
                try:
                    data = self._control.recv(CONTROL_MESSAGE_OCTETS)
                except BlockingIOError:
                    break
                except ConnectionError:
                    return
                if not data:
                    return
                self.unanswered = 0
                received(data)

    async def _write(self) -> None:
        """Send what the kernel did not take at once."""
        while True:
            await self._stuck.wait()
            self._stuck = trio.Event()
            while not self._flush():
                await trio.lowlevel.wait_writable(self._control)
                await trio.sleep(0.001)  # too many descriptors on their way (unix(7), ETOOMANYREFS) is not waited for

    def _flush(self) -> bool:
        """Send what waits; False when the kernel takes no more now. A worker that is gone is noticed by reading."""
        while self._outbox:
            message = self._outbox[0]
            try:
                self._control.sendmsg([message.data], self._ancillary(message))
            except OSError as error:
                if error.errno in (errno.EPIPE, errno.ECONNRESET):
                    self._outbox.clear()
                    return True
                if error.errno in (errno.EAGAIN, errno.ETOOMANYREFS, errno.ENOBUFS):
                    return False
                _log.error("media.request_lost", octets=len(message.data), reason=str(error))
            self._outbox.popleft()
        return True

    def _ancillary(self, message: Outgoing) -> list[tuple[int, int, bytes]]:
        fds = self._descriptors(message)
        return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []
