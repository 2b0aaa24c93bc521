"""The media worker's process: one epoll loop over the control socket and the media sockets. All its I/O is here.

It holds no state that signalling does not know, so it may be killed at any time. Its control socket is its life line:
when that closes, nobody is left to say which calls still run, and it ends at once. Imports are few because a
restart is a gap that callers hear; the loop is plain epoll because a task switch per packet would double its cost.
"""

import contextlib
import os
import resource
import select
import signal
import socket
import sys
import time
from collections import deque
from typing import Final

from sbc.core.limits import CONTROL_MESSAGE_OCTETS
from sbc.media import wire
from sbc.media.worker.ports import Udp
from sbc.media.worker.relay import Inlet, relay
from sbc.media.worker.service import Service

_READY_AT_MOST: Final = 512  # sockets looked at before epoll is asked again
_FEW: Final = 8
_PACKETS_PER_TURN: Final = 32  # of one socket, before others get their turn
_MESSAGES_PER_TURN: Final = 64  # requests served before packets get their turn
_UNREAD_AT_MOST: Final = 1_000  # messages to signalling, before digits are not told any more
_DESCRIPTORS: Final = 2 * wire.PORT_PAIRS_PER_MESSAGE


def main() -> None:
    """`--control-fd N`: the descriptor of a SOCK_SEQPACKET socket to signalling."""
    match sys.argv[1:]:
        case ["--control-fd", number] if number.isdecimal():
            pass
        case _:
            sys.exit("usage: python -m sbc.media.worker --control-fd N (started by sbc run, never by hand)")
    for sent_to_everybody in (
        signal.SIGINT,
        signal.SIGTERM,
    ):  # by a terminal or an init system: signalling drains first
        signal.signal(sent_to_everybody, signal.SIG_IGN)
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    control = socket.socket(fileno=int(number))
    control.setblocking(False)
    serve(control)


def serve(control: socket.socket) -> None:
    """Relay until signalling closes the control socket."""
    poller = Poller()
    link = Link(control, poller)
    link.send(wire.Running(os.getpid(), wire.VERSION))
    control_fd = control.fileno()
    poll, inlets = poller.epoll.poll, poller.inlets
    agenda, news = link.agenda, link.news
    entries = agenda.entries
    while True:
        events = poll(max(entries[0][0] - time.monotonic(), 0) if entries else None, _READY_AT_MOST)
        # Where many sockets are ready, each has about one packet: to ask each again for EAGAIN costs more than epoll,
        # which is asked once for all. Where few are ready it costs less, and one of them may hold a queue.
        budget = _PACKETS_PER_TURN if len(events) <= _FEW else 1
        for fd, _ in events:
            inlet = inlets.get(fd)
            if inlet is not None:
                relay(inlet, budget)
            elif fd == control_fd and not link.turn():
                return
        if entries:
            agenda.tick(time.monotonic())
        if news:
            link.tell()


class Poller:
    """Which socket is listened to, and for which inlet (`session.Watch`)."""

    __slots__ = ("epoll", "inlets")

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.inlets: dict[int, Inlet] = {}

    def set(self, one: Udp, inlet: Inlet) -> None:
        fd = one.fileno()
        if fd not in self.inlets:
            self.epoll.register(fd, select.EPOLLIN)
        self.inlets[fd] = inlet

    def unset(self, one: Udp) -> None:
        fd = one.fileno()
        if self.inlets.pop(fd, None) is not None:
            self.epoll.unregister(fd)


class Link:
    """The control socket: requests with their descriptors in, replies out, none of it ever waited for."""

    __slots__ = ("_control", "_epoll", "_events", "_outbox", "_service", "agenda", "news")

    def __init__(self, control: socket.socket, poller: Poller) -> None:
        self._control = control
        self._epoll = poller.epoll
        self._outbox: deque[bytes] = deque()
        self._service = Service(poller, time.monotonic)
        self._events = select.EPOLLIN
        self._epoll.register(control.fileno(), self._events)
        self.agenda = self._service.agenda
        self.news = self._service.news

    def turn(self) -> bool:
        """Serve what waits; False when signalling is gone."""
        try:
            self._flush()
            for _ in range(_MESSAGES_PER_TURN):
                data, descriptors, _, _ = socket.recv_fds(self._control, CONTROL_MESSAGE_OCTETS, _DESCRIPTORS)
                if not data:
                    return False
                for reply in self._answers(data, descriptors):
                    self.send(reply)
        except BlockingIOError:
            return True
        except ConnectionError:
            return False
        return True

    def send(self, reply: wire.Reply) -> None:
        self._outbox.append(wire.encode(reply))
        if len(self._outbox) == 1:
            self._flush()

    def tell(self) -> None:
        """Send what packets have made known; drop it where signalling does not read what was sent before."""
        for reply in self.news:
            if len(self._outbox) < _UNREAD_AT_MOST:
                self.send(reply)
        self.news.clear()

    def _answers(self, data: bytes, descriptors: list[int]) -> list[wire.Reply]:
        """The crash barrier: a request that breaks us is refused, and the other calls go on."""
        try:
            sockets = [_udp(fd) for fd in descriptors]  # those that nobody keeps are closed when they go out of scope
            return self._service.receive(data, sockets)
        except Exception as error:  # noqa: BLE001
            import traceback  # noqa: PLC0415 - costs start-up time, which is a gap that callers hear

            traceback.print_exc()
            return [wire.Refused("", f"the media worker failed on a request: {error!r}")]

    def _flush(self) -> None:
        events = select.EPOLLIN
        while self._outbox:
            try:
                self._control.send(self._outbox[0])
            except BlockingIOError:
                events |= select.EPOLLOUT
                break
            self._outbox.popleft()
        if events != self._events:
            self._epoll.modify(self._control.fileno(), events)
            self._events = events


def _udp(fd: int) -> socket.socket:
    one = socket.socket(fileno=fd)
    one.setblocking(False)
    return one
