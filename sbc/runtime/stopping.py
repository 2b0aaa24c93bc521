"""How a running program stops: the engine drains, and then we wait until the last call is over, its record is written,
and its peers have had their answers; but no longer than the policy's `stop_after` and a little.

Emergencies are waited for beyond that (contract, section 7): only a second signal ends them. It ends no part of the
program; `app` does, afterwards.
"""

from collections.abc import Callable
from typing import Final, Protocol

import trio

from sbc.b2bua.events import DrainOrdered
from sbc.b2bua.exit import MEDIA_REPORT_SECONDS
from sbc.b2bua.snapshot import LoadView
from sbc.runtime import clock
from sbc.runtime.until import until

_LAST_TRANSACTIONS_SECONDS: Final = 2.0  # after the last call: time for answers to the last BYE
_OVERTIME_SECONDS: Final = 5.0  # beyond `stop_after`, whatever happens
_STOP_NOW_SECONDS: Final = MEDIA_REPORT_SECONDS + 0.2  # without its counts a record is written a little later


class Stop:
    """How to end a running program: `drain` first; `now` does not wait for calls. `leave`: end, but no call ends; who
    is started next goes on with them.
    """

    def __init__(self) -> None:
        self.drain = trio.Event()
        self.now = trio.Event()
        self.leave = trio.Event()


class Stoppable(Protocol):
    """What is asked of the engine, often."""

    @property
    def has_emergencies(self) -> bool: ...

    def load(self) -> LoadView: ...


class Stopping:
    """`unwritten`: how many records are not on disk yet."""

    def __init__(
        self,
        engine: Stoppable,
        deliver: Callable[[DrainOrdered], None],
        unwritten: Callable[[], int],
        *,
        now: Callable[[], float] = clock.boot_seconds,
    ) -> None:
        self._engine = engine
        self._deliver = deliver
        self._unwritten = unwritten
        self._now = now

    async def run(self, patience: float, at_once: trio.Event) -> None:
        """`patience`: seconds that calls may last. `at_once`: ends them."""
        had_calls = not self._calls_are_over()
        self._deliver(DrainOrdered(self._now() + patience))
        async with trio.open_nursery() as waiting:
            waiting.start_soon(self._end_at_once, at_once, waiting.cancel_scope)
            with trio.move_on_after(patience + _OVERTIME_SECONDS):
                await self._last_words(had_calls=had_calls)
            if self._engine.has_emergencies:
                await until(lambda: not self._engine.has_emergencies)
                with trio.move_on_after(_OVERTIME_SECONDS):
                    await self._last_words(had_calls=True)
            waiting.cancel_scope.cancel()

    async def _end_at_once(self, at_once: trio.Event, waiting: trio.CancelScope) -> None:
        """Calls are ended, not left: their BYEs are sent once and their records written."""
        await at_once.wait()
        self._deliver(DrainOrdered(self._now(), is_final=True))
        with trio.move_on_after(_STOP_NOW_SECONDS):
            await until(self._calls_are_over)
        waiting.cancel()

    async def _last_words(self, *, had_calls: bool) -> None:
        await until(self._calls_are_over)
        with trio.move_on_after(_LAST_TRANSACTIONS_SECONDS if had_calls else 0.0):
            await until(lambda: not self._engine.load().transactions)

    def _calls_are_over(self) -> bool:
        return not self._unwritten() and not self._engine.load().calls
