"""A port pair after its call: is the former remote still sending there (a machine)?

It may not have heard that the call is over, and whoever gets the pair next must not hear it. So for as long as it is
heard, and PORT_QUARANTINE_SECONDS more, its address is let in and nobody else's; once a second we look whether anything
has come, throw it away, and say so. The sockets are not watched: neither the former remote nor a stranger wakes us, and
what comes between two looks is bounded by the socket's queue. Used by `service`; the pool of ports is signalling's.
"""

from collections.abc import Callable
from typing import Final

from sbc.core.limits import PORT_QUARANTINE_SECONDS
from sbc.media import wire
from sbc.media.mute import listen_to, mute
from sbc.media.worker.agenda import Agenda
from sbc.media.worker.ports import Pair, Udp, drain, is_waiting

_LOOK_SECONDS: Final = 1.0


class Rest:
    """Begins at once; `host` is the former remote, an IP literal of the pair's family."""

    __slots__ = ("_agenda", "_host", "_is_first", "_pair", "_quiet_at", "_say")

    def __init__(self, pair: Pair, host: str, agenda: Agenda, say: Callable[[wire.Reply], None], now: float) -> None:
        self._pair: Pair | None = pair
        self._host = host
        self._agenda = agenda
        self._say = say
        self._quiet_at = now + PORT_QUARANTINE_SECONDS
        self._is_first = True  # what waits in the sockets is from before, and may yet belong to an heir of the call
        for one in (pair.rtp, pair.rtcp):
            listen_to(one, host)
        agenda.book(now + _LOOK_SECONDS, self)

    def end(self) -> None:
        """The pair is used again, or gone. It stays as it is."""
        self._pair = None

    def tick(self, now: float) -> None:
        pair = self._pair
        if pair is None:
            return
        heard = [self._look(one) for one in (pair.rtp, pair.rtcp)]
        if any(heard) and not self._is_first:
            self._quiet_at = now + PORT_QUARANTINE_SECONDS
            self._say(wire.StillHeard(pair.local, pair.port))
        self._is_first = False
        if now >= self._quiet_at:
            pair.mute()
        else:
            self._agenda.book(now + _LOOK_SECONDS, self)

    def _look(self, one: Udp) -> bool:
        """Muted meanwhile, so that emptying it has an end."""
        if not is_waiting(one):
            return False
        mute(one)
        drain(one)
        listen_to(one, self._host)
        return True
