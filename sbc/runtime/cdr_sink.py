"""Takes what calls come to from the engine and makes it durable in the spool: a queue and one writer thread.

A thread hop per call would cost more than the record, so the thread gathers for a moment, writes and syncs once, and
says once what is safe. On a full disk records are kept and tried again with growing pauses, and a disk that hangs
counts as full after some seconds. The engine learns of that, and of each record that waits: it refuses new calls when
too many do, or at once where it must (`cdr: strict`). What is less than a record is given up first. It knows nothing of
the spool's files: "write these, or raise SpoolError". Used by `app`.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, Protocol

import structlog
import trio

from sbc.b2bua.commands import NoteCdr, WriteCdr
from sbc.b2bua.events import CdrDurable, CdrFailed, CdrFlows, CdrStalled, CdrStarted
from sbc.cdr.entry import Entry, Stopped
from sbc.cdr.record import CallRecord
from sbc.cdr.spool import SpoolError
from sbc.core import limits

_BATCH: Final = 500
_SAFE_SECONDS: Final = 0.035  # a start is safe so soon, where the disk can do it: it may just miss one sync
_GATHER_SECONDS: Final = (0.002, 0.015)  # a sync costs much more than a record, so some are waited for
_FADING: Final = 0.95
_PAUSES_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
_HANGS_SECONDS: Final = 5.0  # that a write is under way: the disk takes nothing
_TIDY_SECONDS: Final = 2.0  # between two looks for segments that nobody needs

log = structlog.get_logger("cdr")

Told = CdrDurable | CdrFailed | CdrStarted | CdrStalled | CdrFlows
Item = WriteCdr | NoteCdr


class Store(Protocol):
    """`cdr.spool.Spool`."""

    def write(self, entries: Iterable[Entry]) -> None: ...
    def closing(self, alive: Collection[str]) -> list[CallRecord]: ...


class _Close(frozenset[str]):
    """Refs of calls that go on: the others of an earlier life are over."""


class CdrSink:
    """`tell` goes to the driver. `start` from inside the trio run; `finish` before its end.

    In the writer's thread: `stored` is called after each batch with a record in it, and `tidy` now and then when
    nothing waits.
    """

    def __init__(
        self,
        store: Store,
        tell: Callable[[Told], None],
        *,
        stored: Callable[[], None] | None = None,
        tidy: Callable[[], None] | None = None,
    ) -> None:
        self._waiting: dict[str, None] = {}  # records not yet safe, in order
        self._store = store
        self._tell = tell
        self._stored = stored
        self._tidy = tidy
        self._tidy_at = 0.0  # monotonic
        self._queue: queue.SimpleQueue[Item | _Close | None] = queue.SimpleQueue()
        self._said: deque[Told] = deque()
        self._lock = threading.Lock()  # for the next two
        self._is_stalled = False
        self._busy_since: float | None = None  # monotonic; None: nothing is being written
        self._why = ""  # the engine was told that the disk takes nothing; empty: it takes what comes
        self._sync_seconds = 0.0  # that a write took at most lately
        self._token: trio.lowlevel.TrioToken | None = None
        self._finishing = threading.Event()
        self._giving_up = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="cdr-writer", daemon=True)

    def start(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._thread.start()

    @property
    def pending(self) -> int:
        """Records not yet safe."""
        return len(self._waiting)

    def write(self, command: WriteCdr) -> None:
        self._waiting[command.record.ref] = None
        self._queue.put(command)
        self._look_at_the_disk()
        if self._why:
            self._say([CdrFailed(command.record.ref, self._why)])

    def note(self, command: NoteCdr) -> None:
        """Not while the disk takes nothing and much waits: the record will say all of it."""
        self._look_at_the_disk()
        if self._is_stalled and self._queue.qsize() >= limits.CDR_QUEUE:
            return
        self._queue.put(command)

    def close_open(self, alive: Collection[str]) -> None:
        """Once, after the engine has its calls back: records of earlier calls that are not `alive` are closed."""
        self._queue.put(_Close(alive))

    async def finish(self, patience: float) -> int:
        """Store what waits; the number of records that could not be stored within `patience` seconds."""
        self._queue.put(None)
        self._finishing.set()
        await trio.to_thread.run_sync(self._thread.join, patience)
        self._giving_up.set()
        await trio.to_thread.run_sync(self._thread.join, 1.0)
        self._deliver()
        return self.pending

    # --- on the engine's side ---------------------------------------------------------------------------------------

    def _deliver(self) -> None:
        while self._said:
            event = self._said.popleft()
            match event:
                case CdrDurable(ref):
                    self._waiting.pop(ref, None)
                case CdrFlows():
                    self._why = ""
                case _:
                    pass
            self._tell(event)
            if isinstance(event, CdrStalled):
                self._why = event.why
                for ref in list(self._waiting):
                    self._tell(CdrFailed(ref, event.why))

    def _look_at_the_disk(self) -> None:
        """A write that neither ends nor fails is noticed by who comes next."""
        busy_since = self._busy_since
        if busy_since is None or self._is_stalled or time.monotonic() - busy_since < _HANGS_SECONDS:
            return
        with self._lock:
            if self._busy_since is None or self._is_stalled:
                return
            self._is_stalled = True
        why = f"the disk has not answered for {_HANGS_SECONDS:g} s"
        log.error("cdr.not_stored", alarm=True, records=self.pending, failures=0, reason=why)
        self._say([CdrStalled(why)])

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        is_last = False
        while not is_last:
            self._tidy_up()
            batch, is_last = self._next_batch()
            if batch:
                self._store_batch(batch)

    def _tidy_up(self) -> None:
        now = time.monotonic()
        if self._tidy is None or now < self._tidy_at or not self._queue.empty():
            return
        self._tidy_at = now + _TIDY_SECONDS
        try:
            self._tidy()
        except SpoolError as error:  # in the way of writing it is an alarm
            log.warning("cdr.spool_not_tidied", reason=str(error))
        except Exception:  # records must go on being written
            log.exception("cdr.tidy_failed")

    def _next_batch(self) -> tuple[list[Item], bool]:
        """Waits for one, gives others a moment, then takes what is there."""
        batch: list[Item] = []
        try:
            item = self._queue.get(timeout=None if self._tidy is None else _TIDY_SECONDS)
        except queue.Empty:
            return batch, False
        self._finishing.wait(self._gather_seconds(item))
        while item is not None:
            if isinstance(item, _Close):
                batch += self._closing(item)
            else:
                batch.append(item)
            if len(batch) >= _BATCH:
                return batch, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _gather_seconds(self, first: Item | _Close | None) -> float:
        """Where somebody waits for the disk, hardly at all."""
        least, most = _GATHER_SECONDS
        if isinstance(first, NoteCdr) and first.tells:
            return least
        return min(most, max(least, _SAFE_SECONDS - 2 * self._sync_seconds))

    def _closing(self, alive: _Close) -> list[Item]:
        try:
            records = self._store.closing(alive)
        except Exception:  # what was before must not be in the way of what is now
            log.exception("cdr.not_closed")
            return []
        if records:
            log.warning("cdr.closed", calls=len(records), refs=" ".join(record.ref for record in records[:10]))
        return [NoteCdr(Stopped(record)) for record in records]  # no call waits to hear of it

    def _store_batch(self, batch: list[Item]) -> None:
        """Until it is stored, or the program ends and will not wait longer."""
        failures = 0
        while True:
            begun = self._busy_since = time.monotonic()
            try:
                self._store.write([_entry(item) for item in batch])
            except Exception as error:  # noqa: BLE001 - whatever it was, the records must not be lost with the thread
                failures += 1
                self._failed(batch, error, failures)
                pause = _PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS)) - 1]
                if self._giving_up.wait(pause):
                    return
            else:
                self._sync_seconds = max(time.monotonic() - begun, self._sync_seconds * _FADING)
                self._succeeded(batch, failures)
                return

    def _succeeded(self, batch: Sequence[Item], failures: int) -> None:
        events = [event for item in batch if (event := _safe(item)) is not None]
        with self._lock:
            was_stalled, self._is_stalled, self._busy_since = self._is_stalled, False, None
        if was_stalled:
            records = sum(isinstance(item, WriteCdr) for item in batch)
            log.warning("cdr.stored_again", records=records, failures=failures)
            self._say([*events, CdrFlows()])
        elif events:
            self._say(events)
        if self._stored is not None and any(isinstance(_entry(item), Stopped) for item in batch):
            self._stored()

    def _failed(self, batch: Sequence[Item], error: Exception, failures: int) -> None:
        reason = str(error) if isinstance(error, SpoolError) else f"{type(error).__name__}: {error}"
        records = sum(isinstance(item, WriteCdr) for item in batch)
        waiting = max(records, self.pending)  # with those that came after this batch
        log.error("cdr.not_stored", alarm=True, records=waiting, failures=failures, reason=reason)
        with self._lock:
            was_stalled, self._is_stalled, self._busy_since = self._is_stalled, True, None
        if not was_stalled:
            self._say([CdrStalled(reason)])

    def _say(self, events: Sequence[Told]) -> None:
        self._said.extend(events)
        if self._token is None:
            return
        try:
            self._token.run_sync_soon(self._deliver, idempotent=True)
        except trio.RunFinishedError:
            return


def _entry(item: Item) -> Entry:
    return Stopped(item.record) if isinstance(item, WriteCdr) else item.entry


def _safe(item: Item) -> CdrDurable | CdrStarted | None:
    """What the engine hears of it once it is safe."""
    if isinstance(item, WriteCdr):
        return CdrDurable(item.record.ref)
    return CdrStarted(item.entry.ref) if item.tells else None
