"""Removes call records that are older than `sbc.cdr.keep`, a few at a time, once every other destination has them.

It runs in the writer's thread when no record waits, so that nothing stands in line for more than some milliseconds.
What it goes by is the wall clock, which can be wrong: for an hour after the start, and after the clock was set, nothing
is removed, so that a machine that wakes up in the wrong year does not lose its records. Used by `app`.
"""

import time
from collections.abc import Callable
from typing import Final, Protocol

import structlog

from sbc.cdr.store import StoreError
from sbc.policy.model import CdrRules

_STEP_RECORDS: Final = 25  # removed in one transaction
_STEP_PAUSE_SECONDS: Final = 0.1  # so at most 250 a second
_LOOK_SECONDS: Final = 60.0  # where nothing is to be removed
_DISTRUST_SECONDS: Final = 3_600.0
_STEPPED_SECONDS: Final = 60.0  # a wall clock that runs away from the other one by so much was set

log = structlog.get_logger("cdr")


class Store(Protocol):
    def forget(self, before: float, destination: str | None, limit: int) -> int: ...


class CdrRetention:
    """`step` from the writer's thread, `change` from any other."""

    def __init__(
        self,
        store: Store,
        rules: CdrRules,
        *,
        wall: Callable[[], float] = time.time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._rules = rules
        self._wall = wall
        self._now = now
        self._difference = wall() - now()
        self._trusted_from = now() + _DISTRUST_SECONDS
        self._removed = 0  # since it was said
        self._is_failing = False

    def change(self, rules: CdrRules) -> None:
        self._rules = rules

    def step(self) -> float:
        """Remove a few. Seconds after which there may be more to do."""
        rules, wall, now = self._rules, self._wall(), self._now()
        if abs(wall - now - self._difference) > _STEPPED_SECONDS:
            self._trusted_from = now + _DISTRUST_SECONDS
        self._difference = wall - now
        if rules.keep is None or now < self._trusted_from:
            return _LOOK_SECONDS
        destination = None if rules.postgres is None else rules.postgres.url
        try:
            removed = self._store.forget(wall - rules.keep, destination, _STEP_RECORDS)
        except StoreError as error:
            self._failed(str(error))
            return _LOOK_SECONDS
        self._is_failing = False
        self._removed += removed
        if removed == _STEP_RECORDS:
            return _STEP_PAUSE_SECONDS
        if self._removed:
            log.info("cdr.removed", records=self._removed, days=round(rules.keep / 86_400, 1))
            self._removed = 0
        return _LOOK_SECONDS

    def _failed(self, reason: str) -> None:
        """Once: what is in the way of removing is in the way of writing, and that is an alarm."""
        if not self._is_failing:
            self._is_failing = True
            log.warning("cdr.not_removed", reason=reason)
