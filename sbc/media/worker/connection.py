"""Whether the RTP socket of one end is connected to where we send for that end (a machine).

A connected socket hears its peer alone and knows where to send: no source has to be read and compared, no address built
and no route looked up for each packet. Whoever else sends is heard by a second socket on the same address and port, the
aside, and its packets go the long way to the same inlet: strangers are counted, and a source that is still to be
learned can be.
It is done when a way has been as it is for a second and stays in userland. For another second each source is compared
all the same: a packet that was on its way into the socket while that was connected can be anybody's. When another
source is locked, or the streams are wired anew, it is undone. What cannot be connected stays as it was, and costs more.
`session` makes one for each end; the system calls are the `Connector`'s.
"""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Final

from sbc.media.worker.carry import take_in
from sbc.media.worker.far_end import FarEnd
from sbc.media.worker.inlet import BUFFER, Inlet
from sbc.media.worker.lane import Lane, RecvFrom
from sbc.media.worker.latch import NOWHERE, Target, canonical
from sbc.media.worker.ports import QUEUED_AT_MOST
from sbc.media.worker.relay import empty
from sbc.media.worker.surroundings import Connected, Connector, Surroundings

_SETTLED_SECONDS: Final = 1.0
_PAUSE_SECONDS: Final = 10.0  # before it is looked again whether the socket can, or has to, be connected


class Connection:
    """`coming`: the inlet of that end; `going`: those that send to it. `stays`: whether the way is userland's."""

    __slots__ = ("_around", "_coming", "_connected", "_connector", "_far", "_going", "_is_over", "_stays")

    def __init__(
        self,
        far: FarEnd,
        coming: Inlet,
        going: Sequence[Inlet],
        stays: Callable[[], bool],
        around: Surroundings,
        connector: Connector,
    ) -> None:
        self._far = far
        self._coming = coming
        self._going = going
        self._stays = stays
        self._around = around
        self._connector = connector
        self._connected: Connected | None = None
        self._is_over = False
        around.agenda.book(around.clock() + _SETTLED_SECONDS, self)

    def tick(self, now: float) -> None:
        if self._is_over:
            return
        connected = self._connected
        if connected is None:
            is_new = self._is_wanted() and self._connect(now)
            self._around.agenda.book(now + (_SETTLED_SECONDS if is_new else _PAUSE_SECONDS), self)
            return
        if not self._is_right() or self._connector.is_short():
            self._undo()
        elif self._coming.lane.recv is None and empty(self._coming, int(now * 1e9)) and self._is_right():
            self._coming.hear_only(connected.peer, self._far.hearing_only(self._coming, self._far.pair.rtp.recv_into))
        self._around.agenda.book(now + (_SETTLED_SECONDS if self._coming.lane.recv is None else _PAUSE_SECONDS), self)

    def moved(self) -> None:
        """A source has been locked. Another than the peer: sources are compared again, from now on."""
        if self._connected is not None and not self._is_right():
            self._coming.hear_all()
            self._around.agenda.book(self._around.clock(), self)

    def end(self) -> None:
        """The way is about to change, or over. The socket is as it was before; what is queued in it stays."""
        self._is_over = True
        self._undo()

    def _is_wanted(self) -> bool:
        return self._stays() and self._is_right() and not self._connector.is_short()

    def _is_right(self) -> bool:
        """We send to where its packets come from, or would if there were any."""
        latch = self._far.latches.rtp
        target = latch.target()
        if target is None or not target[1] or (self._connected is not None and target != self._connected.target):
            return False
        return latch.locked in {NOWHERE, _canonical(target)}

    def _connect(self, now: float) -> bool:
        rtp, coming, target = self._far.pair.rtp, self._coming, self._far.latches.rtp.target()
        connected = None if target is None else self._connector.connect(rtp, target)
        if connected is None:
            return False
        self._connected = connected
        empty(coming, int(now * 1e9))  # what came before is heard before what comes aside
        recv_from = self._far.hearing(coming, connected.aside.recvfrom_into)
        lane = Lane(coming, recv_from, coming.lane.memory, coming.lane.offset)
        self._around.watch.beside(connected.aside, lane)
        for inlet in self._going:
            if inlet.target == connected.target:
                inlet.send_by(self._far.saying(rtp.send))
        return True

    def _undo(self) -> None:
        connected, self._connected = self._connected, None
        if connected is None:
            return
        self._coming.hear_all()
        for inlet in self._going:
            inlet.send_by(None)
        self._around.watch.unset(connected.aside)
        if self._far.latches.rtp.locked != _canonical(connected.target):
            # Who is heard, or will be, is heard aside: what comes from now on is queued behind what has come there.
            self._disconnect()
            self._connector.retire(connected.aside)
        self._hear_out(self._far.hearing(self._coming, connected.aside.recvfrom_into))
        connected.aside.close()
        self._disconnect()

    def _disconnect(self) -> None:
        """Twice is once."""
        if not self._far.pair.is_leaving:
            self._connector.disconnect(self._far.pair.rtp)

    def _hear_out(self, recv_from: RecvFrom) -> None:
        now_ns = int(self._around.clock() * 1e9)
        for _ in repeat(None, QUEUED_AT_MOST):
            try:
                size, source = recv_from(BUFFER)
            except BlockingIOError:
                return
            except OSError:
                continue
            take_in(self._coming, size, source, now_ns)


def _canonical(target: Target) -> Target:
    return canonical(target[0]), target[1]
