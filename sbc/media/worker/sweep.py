"""Once a second: which sessions are silent, which have no owner for too long, which hand-overs hold (a machine).

A session that nobody owns ends where an owned one is only called silent. Most sessions cost a comparison each: when one
was heard last is asked only when, for all that is known, it could be silent. Used by `service`, which keeps one `Life`
for each session.
"""

from collections.abc import Callable
from typing import Final

from sbc.media import wire
from sbc.media.worker.engine import NoEngine
from sbc.media.worker.ports import Key
from sbc.media.worker.session import Session
from sbc.media.worker.surroundings import Surroundings

SWEEP_SECONDS: Final = 1.0


class Life:
    """Of one session: when it was heard last, as far as is known, and since when nobody owns it (None: somebody does).

    `keys`: each end that it has ever had.
    """

    __slots__ = ("heard_at", "is_told", "keys", "ownerless_since", "session")

    def __init__(self, session: Session) -> None:
        self.session = session
        self.keys: set[Key] = set()
        self.heard_at = 0.0
        self.is_told = False
        self.ownerless_since: float | None = None

    def begin(self, now: float) -> None:
        """It was put just now: it has an owner, and the time of its silence begins anew."""
        self.keys.update((end.local, end.port) for one in self.session.put.streams for end in (one.ingress, one.egress))
        self.heard_at = now
        self.is_told = False
        self.ownerless_since = None

    def is_silent(self, now: float) -> bool:
        """For longer than it may be. While it is early nobody reads its sockets, and nobody can tell."""
        put = self.session.put
        if put.silence_seconds <= 0 or now - self.heard_at < put.silence_seconds or put.early:
            return False
        heard_at = self.session.heard_at()
        if heard_at > self.heard_at:
            self.heard_at, self.is_told = heard_at, False
        return now - self.heard_at >= put.silence_seconds


class Sweep:
    """`lives`: the service's. `end` ends one of these sessions, and says so. `orphan_seconds` may be set anew."""

    __slots__ = ("_around", "_end", "_lives", "orphan_seconds")

    def __init__(self, around: Surroundings, lives: dict[str, Life], end: Callable[[str], None], now: float) -> None:
        self._around = around
        self._lives = lives
        self._end = end
        self.orphan_seconds = wire.Configure("").orphan_seconds
        around.agenda.book(now + SWEEP_SECONDS, self)

    def tick(self, now: float) -> None:
        around = self._around
        around.agenda.book(now + SWEEP_SECONDS, self)
        around.engine.beat()
        may_be_away = not isinstance(around.engine, NoEngine)
        for ref, life in list(self._lives.items()):
            try:
                self._look_at(ref, life, now, may_be_away=may_be_away)
            except Exception as error:  # noqa: BLE001 - the other sessions have their turn all the same
                around.agenda.broke(error)

    def _look_at(self, ref: str, life: Life, now: float, *, may_be_away: bool) -> None:
        is_silent, since = life.is_silent(now), life.ownerless_since
        if since is not None and (is_silent or now - since >= self.orphan_seconds):
            self._end(ref)
            return
        if may_be_away:
            life.session.verify(now)
        if since is None and is_silent and not life.is_told:
            life.is_told = True
            self._around.say(wire.Silent(ref, life.session.put.silence_seconds))
