"""Once a second: which sessions are silent, which have no owner for too long, which hand-overs hold (a machine).

A sign of life is a packet that was relayed or that began a digit; the counters in the slots tell, whoever counted: the
userland loop, or the kernel, which tells nobody. So nothing is done for it when a packet comes. A session that nobody
owns ends where an owned one is only called silent. Used by `service`, which keeps one `Life` for each session.
"""

import struct
from collections.abc import Callable, Iterable
from typing import Final

from sbc.media import wire
from sbc.media.worker.engine_choice import EngineChoice
from sbc.media.worker.ports import Key
from sbc.media.worker.session import Session, Surroundings
from sbc.media.worker.slots import DIGITS, LAST_NS, OCTETS, RTCP_PACKETS, Slots, owner_of

SWEEP_SECONDS: Final = 1.0

# PACKETS, which stands first, LAST_NS, RTCP_PACKETS, DIGITS
_LOOK: Final = struct.Struct(f"<Q{LAST_NS - OCTETS}xQ{RTCP_PACKETS - LAST_NS - 8}xI{DIGITS - RTCP_PACKETS - 4}xI")
_look = _LOOK.unpack_from


class Life:
    """Of one session: when it was heard last, and since when nobody owns it (None: somebody does)."""

    __slots__ = (
        "_others",
        "_packets",
        "_seen_at",
        "_slots",
        "heard_at",
        "is_told",
        "keys",
        "ownerless_since",
        "session",
    )

    def __init__(self, session: Session) -> None:
        self.session = session
        self.keys: set[Key] = set()  # each end that it has ever had
        self.heard_at = 0.0
        self.is_told = False
        self.ownerless_since: float | None = None
        self._slots: tuple[int, ...] | None = None
        self._packets = self._others = 0
        self._seen_at = 0.0

    def begin(self, slots: Slots, now: float) -> None:
        """The session was put just now, or its counters have moved.

        Where an end has none, or nobody reads its sockets yet, nobody can tell of silence.
        """
        put = self.session.put
        keys = [(end.local, end.port) for stream in put.streams for end in (stream.ingress, stream.egress)]
        self.keys.update(keys)
        offsets = [slots.find(owner_of(put.ref, *key)) for key in keys]
        found = tuple(offset for offset in offsets if offset is not None)
        self._slots = found if len(found) == len(offsets) and not put.early else None
        if self._slots is not None:
            self._packets, self._others, _ = _total(slots, self._slots)
        self.heard_at = self._seen_at = now
        self.is_told = False

    def is_silent(self, limit: float, slots: Slots, now: float) -> bool:
        """Has it been so for `limit` seconds? 0: it may."""
        if self._slots is None or limit <= 0:
            return False
        packets, others, last_ns = _total(slots, self._slots)
        if others != self._others:
            self.heard_at, self.is_told = now, False
        elif packets != self._packets:
            at = last_ns / 1e9  # an earlier time is that of a packet before those that were counted now
            self.heard_at, self.is_told = at if self._seen_at < at <= now else now, False
        self._packets, self._others, self._seen_at = packets, others, now
        return now - self.heard_at >= limit


class Sweep:
    """`lives`: the service's, with a session for each. `end` ends one of them, and says so."""

    __slots__ = ("_around", "_choice", "_end", "_lives", "orphan_seconds")

    def __init__(
        self,
        around: Surroundings,
        choice: EngineChoice,
        lives: dict[str, Life],
        end: Callable[[str], None],
        now: float,
    ) -> None:
        self._around = around
        self._choice = choice
        self._lives = lives
        self._end = end
        self.orphan_seconds = wire.Configure("").orphan_seconds
        around.agenda.book(now + SWEEP_SECONDS, self)

    def tick(self, now: float) -> None:
        around = self._around
        around.agenda.book(now + SWEEP_SECONDS, self)
        around.engine.beat()
        slots = self._choice.slots
        for ref, life in list(self._lives.items()):
            limit = life.session.put.silence_seconds
            is_silent = life.is_silent(limit, slots, now)
            since = life.ownerless_since
            if since is not None and (is_silent or now - since >= self.orphan_seconds):
                self._end(ref)
                continue
            if since is None and is_silent and not life.is_told:
                life.is_told = True
                around.say(wire.Silent(ref, limit))


def _total(slots: Slots, offsets: Iterable[int]) -> tuple[int, int, int]:
    """RTP packets, other signs of life, and when the latest packet came that was in order."""
    memory = slots.memory
    packets = others = last = 0
    for offset in offsets:
        rtp, last_ns, rtcp, digits = _look(memory, offset)
        packets += rtp
        others += rtcp + digits
        last = max(last, last_ns)
    return packets, others, last
