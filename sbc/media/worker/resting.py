"""A port pair after its call: is the former remote still sending there (a machine)?

It may not have heard that the call is over, and whoever gets the pair next must not hear it. So for as long as it is
heard, and PORT_QUARANTINE_SECONDS more, its address is let in and nobody else's; once a second we look whether anything
has come, throw it away, and say so. The sockets are not watched: neither the former remote nor a stranger wakes us, and
what comes between two looks is bounded by the socket's queue. Used by `service`; the pool of ports is signalling's.
"""

import contextlib
from collections.abc import Callable
from typing import Final

from sbc.core.limits import PORT_QUARANTINE_SECONDS
from sbc.media import wire
from sbc.media.mute import listen_to, mute
from sbc.media.worker.agenda import Agenda
from sbc.media.worker.ports import Pair, Udp, drain, is_waiting

_LOOK_SECONDS: Final = 1.0


class Rest:
    """Begins at once; `host` is the former remote, an IP literal of the pair's family.

    In the first second nobody is let in: what waits in the sockets may yet belong to an heir of the call.
    """

    __slots__ = ("_agenda", "_host", "_is_listening", "_pair", "_quiet_at", "_say")

    def __init__(self, pair: Pair, host: str, agenda: Agenda, say: Callable[[wire.Reply], None], now: float) -> None:
        self._pair: Pair | None = pair
        self._host = host
        self._agenda = agenda
        self._say = say
        self._quiet_at = now + PORT_QUARANTINE_SECONDS
        self._is_listening = False
        pair.mute()
        agenda.book(now + _LOOK_SECONDS, self)

    def end(self) -> None:
        """The pair is used again, or gone. It stays as it is."""
        self._pair = None

    def tick(self, now: float) -> None:
        pair = self._pair
        if pair is None:
            return
        sockets = (pair.rtp, pair.rtcp)
        if not self._is_listening:
            self._is_listening = True
            for one in sockets:
                self._begin(one)
        elif self._look(sockets):
            self._quiet_at = now + PORT_QUARANTINE_SECONDS
            self._say(wire.StillHeard(pair.local, pair.port))
        if now >= self._quiet_at:
            pair.mute()
        else:
            self._agenda.book(now + _LOOK_SECONDS, self)

    def _look(self, sockets: tuple[Udp, Udp]) -> bool:
        """Muted while it is emptied, so that this has an end."""
        heard = [one for one in sockets if is_waiting(one)]
        for one in heard:
            mute(one)
            self._begin(one)
        return bool(heard)

    def _begin(self, one: Udp) -> None:
        """A kernel that has no memory for the filter leaves the port mute."""
        drain(one)
        with contextlib.suppress(OSError):
            listen_to(one, self._host)
