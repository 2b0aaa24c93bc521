"""The one loop that moves the engine: feed one thing, perform every command, then feed the next.

No task, lock or queue stands between a received message and what the engine does about it: receivers call `feed` from
where they read, and no performer awaits, so no task switch can happen in the middle. `run` is the only task here: it
sleeps until the engine's next deadline. It knows no protocol; `app` tells it who performs which command.
"""

import math
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import trio

from sbc.b2bua.commands import Command
from sbc.b2bua.events import ClockSet, Event, QueueAged
from sbc.core.address import Flow
from sbc.runtime import clock

BEAT_SECONDS: Final = 1.0  # the longest sleep: proof of life, and where a stepped wall clock is noticed
# Between two turns: the timers of dead transactions come one by one, and a wake-up costs as much as what it serves.
# No timer of SIP is shorter than half a second, so that a hundredth more or less is nothing to a peer.
_GRAIN_SECONDS: Final = 0.01
_LATE_SECONDS: Final = 0.02  # what a busy turn takes; later than that says that the loop does not keep up
_FADING: Final = 0.9
# Who comes so late to a deadline was stopped, or the machine slept. What peers have answered meanwhile waits in the
# sockets: it is read before a timer may say that nobody answered.
_FROZEN_SECONDS: Final = 0.5
_READING_SECONDS: Final = 1.0  # at most; a socket's queue is read in less
_QUIET_ROUNDS: Final = 8  # of the scheduler, in which nobody had anything to say; a message through TLS takes some


class Engine(Protocol):
    """What the driver moves; `b2bua.switch` in production."""

    def start(self, now: float) -> list[Command]: ...
    def receive(self, data: bytes, flow: Flow, now: float) -> list[Command]: ...
    def bad_frame(self, data: bytes, flow: Flow, reason: str, now: float) -> list[Command]: ...
    def handle(self, event: Event, now: float) -> list[Command]: ...
    def tick(self, now: float) -> list[Command]: ...
    def next_deadline(self) -> float | None: ...


Performers = Mapping[type[Any], Callable[[Any], None]]


class Driver:
    """Owns the engine. `escaped` is told of every exception that came out of the engine or of a performer."""

    def __init__(
        self,
        engine: Engine,
        escaped: Callable[[Exception, str], None],
        *,
        now: Callable[[], float] = clock.boot_seconds,
        wall_at_zero: Callable[[], float] = clock.wall_at_zero,
    ) -> None:
        self.performers: Performers = {}
        self.failures = 0
        self.lag = 0.0  # how late the loop came to its deadlines lately, seconds
        self.queue_age = 0.0  # how long the oldest message had waited in the kernel lately, seconds
        self.beat_at = -math.inf
        self._is_late = False
        self._engine = engine
        self._escaped = escaped
        self._now = now
        self._wall_at_zero = wall_at_zero
        self._wall = math.nan
        self._feeding = False
        self._fed = 0  # steps so far
        self._waiting: deque[tuple[Callable[..., list[Command]], tuple[Any, ...]]] = deque()
        self._sleeping_until = -math.inf
        self._wake = trio.Event()

    # --- what goes in ---------------------------------------------------------------------------------------------

    def start(self, *before: Event) -> None:
        """The engine learns the wall clock before anything else, and then what is to be known `before` it starts."""
        self._watch_wall()
        for event in before:
            self.handle(event)
        self.beat_at = self._now()  # alive from now on, not only after the first deadline
        self.feed(self._engine.start)

    def receive(self, data: bytes, flow: Flow) -> None:
        self.feed(self._engine.receive, data, flow)

    def bad_frame(self, data: bytes, flow: Flow, reason: str) -> None:
        self.feed(self._engine.bad_frame, data, flow, reason)

    def handle(self, event: Event) -> None:
        self.feed(self._engine.handle, event)

    def queued(self, age: float, queue: str) -> None:
        """The oldest message of a queue has waited so long; 0: there is none any more."""
        self.queue_age = age if age > self.queue_age else max(age, self.queue_age * _FADING)
        self.handle(QueueAged(age, queue))

    def feed(self, step: Callable[..., list[Command]], *args: Any) -> None:
        """One step of the engine and everything it orders. What performing brings about waits its turn."""
        if self._feeding:
            self._waiting.append((step, args))
            return
        self._feeding = True
        self._fed += 1
        self._step(step, args)
        while self._waiting:
            self._step(*self._waiting.popleft())
        self._feeding = False
        deadline = self._next_deadline()
        if deadline is not None and deadline + _GRAIN_SECONDS < self._sleeping_until:
            self._sleeping_until = -math.inf
            self._wake.set()

    def _step(self, step: Callable[..., list[Command]], args: tuple[Any, ...]) -> None:
        try:
            commands = step(*args, self._now())
        except Exception as error:  # noqa: BLE001 - the outermost barrier: no message may end the process
            self._report(error, getattr(step, "__name__", "step"))
            return
        performers = self.performers
        for command in commands:
            try:
                performers[type(command)](command)
            except Exception as error:  # noqa: BLE001 - the other commands must still be performed
                self._report(error, type(command).__name__)

    def _report(self, error: Exception, where: str) -> None:
        self.failures += 1
        self._escaped(error, where)

    def _next_deadline(self) -> float | None:
        try:
            return self._engine.next_deadline()
        except Exception as error:  # noqa: BLE001 - as in `_step`
            self._report(error, "next_deadline")
            return None

    # --- time -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Ticks the engine whenever its deadline has come."""
        while True:
            now = self._now()
            deadline = self._next_deadline()
            soon, until = now + _GRAIN_SECONDS, now + BEAT_SECONDS
            if deadline is not None:
                until = max(soon, min(deadline, until))
            self._wake = trio.Event()
            # The pause between two turns is not cut short: a flood that finds a deadline overdue would begin it for
            # ever anew, and no timer would have its turn. (`until - now` says nothing: it is rounded.)
            self._sleeping_until = until if until > soon else -math.inf
            with trio.move_on_after(until - now) as slept:
                await self._wake.wait()
            self._sleeping_until = -math.inf
            if slept.cancelled_caught:
                if self._now() - until > _FROZEN_SECONDS:
                    await self._let_others_read()
                self._turn(until)

    async def _let_others_read(self) -> None:
        end, quiet = self._now() + _READING_SECONDS, 0
        while quiet < _QUIET_ROUNDS and self._now() < end:
            fed = self._fed
            await trio.lowlevel.checkpoint()
            quiet = quiet + 1 if self._fed == fed else 0

    def _turn(self, planned: float) -> None:
        now = self._now()
        late = now - planned
        # A peak that fades: a scrape every few seconds still sees it.
        self.lag = late if late > self.lag else max(late, 0.0, self.lag * _FADING)
        self.queue_age *= _FADING
        self.beat_at = now
        if late > _LATE_SECONDS or self._is_late:
            self._is_late = late > _LATE_SECONDS
            self.handle(QueueAged(max(0.0, late), "loop"))
        self._watch_wall()
        deadline = self._next_deadline()
        if deadline is not None and deadline <= now:
            self.feed(self._engine.tick)

    def _watch_wall(self) -> None:
        wall = self._wall_at_zero()
        if not abs(wall - self._wall) <= clock.WALL_STEP_SECONDS:  # also true for the first, which is no number
            self._wall = wall
            self.handle(ClockSet(wall))
