"""What the admin API sees of the running program (`admin.state.AdminState`): values, made when somebody asks.

Used by `app`, which hands it to `runtime.http`.
"""

import os
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import sbc
from sbc.admin.history import History, Sample
from sbc.admin.live import live_texts
from sbc.admin.state import AlarmView, RuntimeView, SpoolView, TraceView, Why, WorkerView
from sbc.b2bua.snapshot import CallView, EngineView, LoadView
from sbc.core.errors import OperatorError
from sbc.core.tables import Table
from sbc.policy.engine import Policy
from sbc.policy.explain import dry_run
from sbc.policy.model import Facts
from sbc.runtime import clock
from sbc.runtime.driver import Driver
from sbc.runtime.media_pool import MediaPool
from sbc.trace.ladder import PEER, draw
from sbc.trace.peer_tapes import PeerTapes
from sbc.trace.recorder import Entry, Recorder
from sbc.trace.verdict import MediaSoFar

_ALIVE_SECONDS: Final = 5.0  # a loop that has not turned for as long does not turn


class Viewed(Protocol):
    """The engine, as far as it lets itself be seen."""

    @property
    def trace(self) -> Recorder: ...

    @property
    def peer_tapes(self) -> PeerTapes: ...

    def snapshot(self, now: float, newest: int | None = None) -> EngineView: ...

    def call_view(self, ref: str) -> CallView | None: ...

    def load(self) -> LoadView: ...

    def tables(self) -> tuple[Table, ...]: ...


def worker_views(media: MediaPool) -> tuple[WorkerView, ...]:
    """What each media worker has said of itself last, and what it relays."""
    return tuple(
        WorkerView(number, pid, sessions=media.sessions_of(number))
        if said is None
        else WorkerView(number, pid, said.engine, said.reason, said.devices, media.sessions_of(number))
        for number, (pid, said) in enumerate(zip(media.pids, media.engines, strict=True))
    )


class ProgramView:
    """`tasks` counts what works for calls in the background; 0 when idle. `policy`: the one in force.

    `supervisor`: its process id.
    """

    def __init__(
        self,
        engine: Viewed,
        driver: Driver,
        policy: Policy,
        drops: Counter[str],
        *,
        now: Callable[[], float],
        wall_at_zero: Callable[[], float] = clock.wall_at_zero,
        tasks: Callable[[], int],
        log_dropped: Callable[[], int],
        workers: Callable[[], tuple[WorkerView, ...]] = tuple,
        alarms: Callable[[], tuple[AlarmView, ...]] = tuple,
        copy_pending: Callable[[], int | None] = lambda: None,
        spool: Callable[[], SpoolView] = SpoolView,
        state: Callable[[], tuple[int, float]] = lambda: (0, 0.0),
        tables: Callable[[], tuple[Table, ...]] = tuple,
        supervisor: int | None = None,
        certificates: Callable[[], tuple[tuple[str, float], ...]] = tuple,
        revocation_lists: Callable[[], tuple[tuple[str, float], ...]] = tuple,
    ) -> None:
        self._engine = engine
        self._driver = driver
        self.policy = policy
        self._drops = drops
        self._now = now
        self._wall_at_zero = wall_at_zero
        self._tasks = tasks
        self._log_dropped = log_dropped
        self._workers = workers
        self._alarms = alarms
        self._copy_pending = copy_pending
        self._spool = spool
        self._state = state
        self._tables = tables
        self._supervisor = supervisor
        self._certificates = certificates
        self._revocation_lists = revocation_lists
        self._started = now()
        self._history = History()

    def engine(self) -> EngineView:
        return self._engine.snapshot(self._now())

    def glance(self, newest: int) -> EngineView:
        return self._engine.snapshot(self._now(), newest)

    def call(self, ref: str) -> CallView | None:
        return self._engine.call_view(ref)

    def now(self) -> float:
        return self._now()

    def sample(self) -> None:
        """Look at the load, for the history: to be called every few seconds."""
        self._history.take(self._engine.load(), self._wall())

    def history(self, minutes: int) -> Sequence[Sample]:
        return self._history.samples(minutes)

    def runtime(self) -> RuntimeView:
        calls_per_second, answered_per_second = self._history.rates
        uptime = self._now() - self._started
        state_pending, state_behind = self._state()
        drops = dict(self._drops)
        if self._log_dropped():
            drops["log_queue_full"] = self._log_dropped()
        if self._driver.failures:
            drops["engine_failure"] = self._driver.failures
        return RuntimeView(
            tasks=self._tasks(),
            lag_seconds=self._driver.lag,
            queue_age_seconds=self._driver.queue_age,
            alive=self._now() - self._driver.beat_at < _ALIVE_SECONDS,
            dropped=tuple(sorted(drops.items())),
            pid=os.getpid(),
            version=sbc.__version__,
            started_at=self._wall() - uptime,
            uptime_seconds=uptime,
            calls_per_second=calls_per_second,
            answered_per_second=answered_per_second,
            supervisor=self._supervisor,
            copy_pending=self._copy_pending(),
            spool=self._spool(),
            state_pending=state_pending,
            state_behind_seconds=state_behind,
            certificates=self._certificates(),
            revocation_lists=self._revocation_lists(),
            tables=self._tables(),
            workers=self._workers(),
        )

    def alarms(self) -> tuple[AlarmView, ...]:
        return self._alarms()

    def ladder(self, ref: str) -> str | None:
        found = self.trace(ref)
        return None if found is None else draw(found.entries, peers=found.peers)

    def trace(self, ref: str, *, keeps_length: bool = False) -> TraceView | None:
        tapes = self._engine.trace
        entries = tapes.entries(ref, keeps_length=keeps_length)
        if not entries:
            return None
        running = tapes.is_running(ref)
        live = self._media_so_far(ref) if running else ()
        return TraceView(ref, running, tapes.peers(ref), (*entries, *live), self._wall_at_zero())

    def peer_trace(self, name: str, *, keeps_length: bool = False) -> TraceView | None:
        if name not in self.policy.peers:
            return None
        entries = self._engine.peer_tapes.entries(name, keeps_length=keeps_length)
        return TraceView(name, False, {PEER: name}, entries, self._wall_at_zero())

    def _media_so_far(self, ref: str) -> tuple[Entry, ...]:
        call = self._engine.call_view(ref)
        if call is None or call.state != "answered":
            return ()
        return (Entry(self._now(), "", False, None, MediaSoFar(call.quality, (call.ingress, call.egress or ""))),)

    def why(self, peer: str, called: str, caller: str | None) -> Why:
        facts = Facts(peer, called, caller or "")
        try:
            run = dry_run(self.policy, facts, live_texts(self.glance(0)))
        except OperatorError as error:
            raise ValueError(str(error)) from error
        return Why(run.is_refused, run.text)

    def _wall(self) -> float:
        return self._now() + self._wall_at_zero()
