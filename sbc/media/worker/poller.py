"""Which descriptors are listened to: media sockets, each with the lane that its packets take, and the few others.

Whoever waits asks `epoll`, and looks up what has come by its descriptor. Nothing is read here. Used by `main`.
"""

import select
from collections.abc import Callable

from sbc.media.worker.inlet import Inlet
from sbc.media.worker.lane import Lane
from sbc.media.worker.ports import Udp


class Poller:
    """`surroundings.Watch` of real sockets. `lanes`: by descriptor; None: there is none, or it is one of the others.

    `others`: what is done when such a one is ready.
    """

    __slots__ = ("epoll", "lanes", "others")

    def __init__(self) -> None:
        self.epoll = select.epoll()
        self.lanes: list[Lane | None] = []
        self.others: dict[int, Callable[[], object]] = {}

    def set(self, one: Udp, inlet: Inlet) -> None:
        self.beside(one, inlet.lane)

    def beside(self, one: Udp, lane: Lane) -> None:
        fd = one.fileno()
        self._make_room(fd)
        if self.lanes[fd] is None:
            self.epoll.register(fd, select.EPOLLIN)
        self.lanes[fd] = lane

    def unset(self, one: Udp) -> None:
        fd = one.fileno()
        if 0 <= fd < len(self.lanes) and self.lanes[fd] is not None:
            self.lanes[fd] = None
            self.epoll.unregister(fd)

    def add(self, fd: int, turn: Callable[[], object]) -> None:
        self._make_room(fd)
        self.epoll.register(fd, select.EPOLLIN)
        self.others[fd] = turn

    def drop(self, fd: int) -> None:
        if self.others.pop(fd, None) is not None:
            self.epoll.unregister(fd)

    def _make_room(self, fd: int) -> None:
        """Twice as much as is needed: descriptors come one by one."""
        if fd >= len(self.lanes):
            self.lanes.extend([None] * (2 * fd + 2 - len(self.lanes)))
