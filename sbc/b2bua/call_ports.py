"""The media ports of one call: a pair for each stream that lives, one after the other from the pool.

An m= line keeps its pair for as long as it lives. What has ended gives its pair up, but not before its peer has been
told: until then the pair is among the `dead`. It knows no description but for which streams it has, and no packet. Used
by `media`.
"""

from collections.abc import Iterable, Sequence

from sbc.b2bua.ports import PortPool
from sbc.b2bua.sides import Side
from sbc.sdp.model import Session


class OutOfPortsError(Exception):
    """No media port pair is to be had on this local address."""


class CallPorts:
    def __init__(self, pool: PortPool) -> None:
        self.dead: list[tuple[str, int]] = []  # address and port of streams that have ended, to be given back
        self.may_bury = False  # a stream may have ended
        self._pool = pool

    def ensure(self, side: Side, session: Session, now: float) -> None:
        """A pair for every stream that is wanted. Raises OutOfPortsError."""
        ports = side.ports
        more = len(session.media) - len(ports)
        if more > 0:
            ports += [0] * more
        elif 0 not in ports:
            return
        missing = [i for i, media in enumerate(session.media) if media.port and not ports[i]]
        if not missing:
            return
        for i, port in zip(missing, self._take(side, len(missing), now), strict=True):
            ports[i] = port

    def exchange(self, side: Side, i: int, now: float) -> None:
        """Another pair for this stream. Raises OutOfPortsError."""
        [port] = self._take(side, 1, now)
        self.dead.append((side.local, side.ports[i]))
        side.ports[i] = port

    def bury(self, sides: Iterable[Side]) -> None:
        """Streams that have ended leave their m= lines behind, and give up their ports."""
        self.may_bury = False
        for side in sides:
            self.dead += side.bury()

    def give_back_dead(self, now: float) -> None:
        for local, port in self.dead:
            self._pool.give_back(local, [port], now)
        self.dead.clear()

    def give_back(self, side: Side, now: float) -> None:
        """All of them: nobody needs this side any more, or another call has taken it."""
        self._pool.give_back(side.local, side.ports, now)
        side.ports = []

    def _take(self, side: Side, pairs: int, now: float) -> Sequence[int]:
        taken = self._pool.take(side.local, pairs, now)
        if taken is None:
            raise OutOfPortsError(side.local)
        return taken


def ports_for(side: Side, session: Session) -> list[int]:
    """Of each m= line that is told; 0 of one that is refused."""
    return [port if media.port else 0 for port, media in zip(side.ports, session.media, strict=False)]
