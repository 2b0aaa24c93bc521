"""What the DNS has said: record sets by name and kind, with their lifetimes, and which look-ups are under way.

A record set that is old stays in use until a new one is there; a failed look-up changes nothing but the time of the
next. It asks nobody itself: `due` says what is to be asked. It knows nothing of SIP. Used by the locator.
"""

from typing import Final

from msgspec import Struct

from sbc.core import limits
from sbc.core.timers import Schedule
from sbc.sip.commands import LookUp, RecordKind
from sbc.sip.events import LookedUp, NaptrRecord, SrvRecord

Key = tuple[str, RecordKind]
Records = tuple[str, ...] | tuple[SrvRecord, ...] | tuple[NaptrRecord, ...]

_REFRESH_AT: Final = 0.9  # of the lifetime: the new answer is there before the old one has expired


class Known(Struct, frozen=True):
    """A record set. `failed`: why nothing is known, where nobody has ever answered; `records` is empty then."""

    records: Records
    expires_at: float
    failed: str = ""
    failures: int = 0  # look-ups in a row that nobody answered


class NameCache:
    """Bounded. Kept keys are refreshed before they expire and never given up; others when they are used again."""

    def __init__(self) -> None:
        self._known: dict[Key, Known] = {}
        self._kept: set[Key] = set()
        self._asked: Schedule[Key] = Schedule()  # under way; when we stop waiting
        self._to_ask: Schedule[Key] = Schedule()

    def __len__(self) -> int:
        return len(self._known)

    @property
    def under_way(self) -> int:
        return len(self._asked)

    def look(self, key: Key, now: float) -> Known | None:
        """What is known, old as it may be. None: it must be looked up first. Old or None: `due` asks for it."""
        known = self._known.get(key)
        if known is None:
            self._ask(key, now)
            return None
        if now < known.expires_at:
            return known
        self._ask(key, now)
        return None if self._is_outdated(key, known, now) else known

    def learn(self, event: LookedUp, now: float) -> bool:
        """Keep an answer. Returns whether what can be built on it has changed."""
        key = (event.name, event.kind)
        old = self._known.get(key)
        self._asked.set(key, None)
        known = _failed(event, old, now) if event.failed else _answered(event, now)
        self._known.pop(key, None)
        self._make_room()
        self._known[key] = known
        self._to_ask.set(key, self._refresh_at(known, now) if key in self._kept else None)
        return old is None or (old.records, bool(old.failed)) != (known.records, bool(known.failed))

    def keep(self, key: Key, now: float) -> None:
        """From now on this one is kept fresh without being used."""
        if key in self._kept:
            return
        self._kept.add(key)
        known = self._known.get(key)
        if key not in self._asked:
            self._to_ask.set(key, now if known is None else max(now, self._refresh_at(known, now)))

    def release(self, key: Key) -> None:
        self._kept.discard(key)
        self._to_ask.set(key, None)

    def due(self, now: float) -> list[LookUp]:
        """What is to be asked now; each is under way from here on."""
        asks = [key for key in self._to_ask.pop_due(now) if key not in self._asked]
        for key in asks:
            self._asked.set(key, now + limits.LOOK_UP_SECONDS)
        return [LookUp(*key) for key in asks]

    def overdue(self, now: float) -> list[LookedUp]:
        """Look-ups that were never answered: to be learned as failures."""
        return [LookedUp(*key, failed="nobody answered the look-up") for key in self._asked.pop_due(now)]

    def next_deadline(self) -> float | None:
        deadlines = [at for at in (self._asked.next(), self._to_ask.next()) if at is not None]
        return min(deadlines) if deadlines else None

    def _ask(self, key: Key, now: float) -> None:
        """Names that peers make up wait for room; those of configured servers do not."""
        if key not in self._asked and (key in self._kept or self.under_way < limits.LOOK_UPS):
            self._to_ask.set(key, now)

    def _is_outdated(self, key: Key, known: Known, now: float) -> bool:
        """That there is none was said long ago, and has not been asked since: better to wait than to fail by that."""
        is_negative = not known.records and not known.failures
        return is_negative and key not in self._kept and now >= known.expires_at + limits.NEGATIVE_TTL_SECONDS

    def _refresh_at(self, known: Known, now: float) -> float:
        return now + (known.expires_at - now) * _REFRESH_AT

    def _make_room(self) -> None:
        if len(self._known) < limits.NAMES:
            return
        oldest = next((key for key in self._known if key not in self._kept), None)
        if oldest is not None:
            del self._known[oldest]


def _answered(event: LookedUp, now: float) -> Known:
    records: Records = event.addresses or event.srv or event.naptr
    ceiling = limits.TTL_SECONDS if records else limits.NEGATIVE_TTL_SECONDS
    ttl = min(max(event.ttl, limits.TTL_FLOOR_SECONDS), ceiling)
    return Known(records[: limits.RECORDS_PER_SET], now + ttl)


def _failed(event: LookedUp, old: Known | None, now: float) -> Known:
    """What was known stays good; asked again soon, then less and less often."""
    failures = 1 if old is None else min(old.failures + 1, 10)
    again_at = now + min(limits.LOOK_UP_RETRY_SECONDS * 2 ** (failures - 1), limits.LOOK_UP_RETRY_CEILING_SECONDS)
    if old is None or old.failed:
        return Known((), again_at, event.failed, failures)
    return Known(old.records, again_at, "", failures)
