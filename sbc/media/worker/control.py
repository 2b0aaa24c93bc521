"""The worker's connection to signalling: requests with their descriptors in, replies out, none of it ever waited for.

Used by `main`, whose I/O it is. It knows neither sessions nor packets.
"""

import os
import select
import socket
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from sbc.core.limits import CONTROL_MESSAGE_OCTETS, MEDIA_REPORTS_WAITING
from sbc.media import wire
from sbc.media.worker.breakage import say_once
from sbc.media.worker.service import Service

_MESSAGES_PER_TURN: Final = 64  # requests served before packets get their turn
_DESCRIPTORS: Final = 2 * wire.PORT_PAIRS_PER_MESSAGE


class Control:
    __slots__ = ("_epoll", "_events", "_outbox", "_reports", "_service", "_socket")

    def __init__(self, control: socket.socket, epoll: select.epoll, service: Service) -> None:
        """Whoever makes it has its descriptor in `epoll`, for EPOLLIN."""
        self._socket = control
        self._epoll = epoll
        self._service = service
        self._outbox: deque[bytes] = deque()
        self._reports: deque[Iterator[wire.Reply]] = deque()  # each is made when the one before is sent, one a turn
        self._events = select.EPOLLIN

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    def turn(self) -> bool:
        """Serve what waits; False when signalling is gone."""
        try:
            self._flush()
            self._report()
            for _ in range(_MESSAGES_PER_TURN):
                data, descriptors, _, _ = socket.recv_fds(self._socket, CONTROL_MESSAGE_OCTETS, _DESCRIPTORS)
                if not data:
                    return False
                self._answer(data, descriptors)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return True

    def send(self, reply: wire.Reply) -> None:
        self._outbox.append(wire.encode(reply))
        if len(self._outbox) == 1:
            self._flush()

    def tell(self, news: Iterable[wire.Reply]) -> None:
        """What nobody has asked for; dropped where signalling does not read what was sent before."""
        for reply in news:
            if len(self._outbox) < MEDIA_REPORTS_WAITING:
                self.send(reply)
        self._service.unread(len(self._outbox))

    def _answer(self, data: bytes, descriptors: list[int]) -> None:
        """The crash barrier: a request that breaks us is refused, and the other calls go on."""
        try:
            replies = self._service.receive(data, _udps(descriptors))
        except Exception as error:  # noqa: BLE001
            replies = [_refused(error)]
        if isinstance(replies, list):
            for reply in replies:
                self.send(reply)
        else:
            self._reports.append(replies)
            self._flush()

    def _report(self) -> None:
        """One report, where one is to be made and nothing waits to be sent."""
        if not self._reports or self._outbox:
            return
        try:
            reply = next(self._reports[0], None)
        except Exception as error:  # noqa: BLE001
            reply = _refused(error)
        if reply is None:
            self._reports.popleft()
            self._flush()
        else:
            self.send(reply)

    def _flush(self) -> None:
        """Send what waits. That signalling is gone is noticed by reading."""
        events = select.EPOLLIN | (select.EPOLLOUT if self._reports else 0)
        while self._outbox:
            try:
                self._socket.send(self._outbox[0])
            except BlockingIOError:
                events |= select.EPOLLOUT
                break
            except ConnectionError:
                self._outbox.clear()
                break
            except OSError as error:  # this message cannot be sent: too large, or no memory for it
                say_once(error)
            self._outbox.popleft()
        if events != self._events:
            self._epoll.modify(self._socket.fileno(), events)
            self._events = events


def _refused(error: Exception) -> wire.Reply:
    say_once(error)
    return wire.Refused("", f"the media worker failed on a request: {error!r}")


def _udps(descriptors: list[int]) -> list[socket.socket]:
    """All of them, or none is left open. Those that nobody keeps are closed when they go out of scope."""
    sockets: list[socket.socket] = []
    try:
        for fd in descriptors:
            one = socket.socket(fileno=fd)
            sockets.append(one)
            one.setblocking(False)
    except OSError:
        for fd in descriptors[len(sockets) :]:
            os.close(fd)
        for one in sockets:
            one.close()
        raise
    return sockets


def is_ours(control: socket.socket, uid: int) -> bool:
    """Does the process at the other end run as `uid`, or as root? unix(7), SO_PEERCRED: pid, uid, gid."""
    credentials = control.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(credentials[4:8], sys.byteorder) in (uid, 0)
