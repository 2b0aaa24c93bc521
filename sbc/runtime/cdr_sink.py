"""Takes call records from the engine and makes them durable: a queue and one writer thread, in batches.

A thread hop per call would cost more than the record, so the thread says what it has stored once per batch. On a full
disk records are kept and tried again with growing pauses; the engine learns of it and refuses new calls when too many
wait. It knows nothing of SQLite beyond "write these, or raise StoreError". Used by `app`.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, Protocol

import structlog
import trio

from sbc.b2bua.commands import WriteCdr
from sbc.b2bua.events import CdrDurable, CdrFailed
from sbc.cdr.record import CallRecord
from sbc.cdr.store import StoreError

_BATCH: Final = 500
_GATHER_SECONDS: Final = 0.05  # a commit costs much more than a record, so some are waited for
_PAUSES_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)
_TIDY_AGAIN_SECONDS: Final = 3_600.0  # after a bug in it: what was promised to be removed may well be next time

log = structlog.get_logger("cdr")


class Store(Protocol):
    def write(self, records: Sequence[CallRecord]) -> None: ...


class CdrSink:
    """`tell` goes to the driver. `start` from inside the trio run; `finish` before its end.

    In the writer's thread: `stored` is called after each batch, and `tidy` when no record waits, so many seconds after
    its last call as that has returned, or later.
    """

    def __init__(
        self,
        store: Store,
        tell: Callable[[CdrDurable | CdrFailed], None],
        *,
        stored: Callable[[], None] | None = None,
        tidy: Callable[[], float] | None = None,
    ) -> None:
        self.pending = 0  # records not yet on disk
        self._store = store
        self._tell = tell
        self._stored = stored
        self._tidy = tidy
        self._tidy_at = 0.0  # monotonic
        self._queue: queue.SimpleQueue[CallRecord | None] = queue.SimpleQueue()
        self._said: deque[CdrDurable | CdrFailed] = deque()
        self._token: trio.lowlevel.TrioToken | None = None
        self._finishing = threading.Event()
        self._giving_up = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="cdr-writer", daemon=True)

    def start(self) -> None:
        self._token = trio.lowlevel.current_trio_token()
        self._thread.start()

    def write(self, command: WriteCdr) -> None:
        self.pending += 1
        self._queue.put(command.record)

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
            if isinstance(event, CdrDurable):
                self.pending -= 1
            self._tell(event)

    # --- in the thread ----------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        is_last = False
        while not is_last:
            rest = self._tidy_up()
            batch, is_last = self._next_batch(rest)
            if batch:
                self._store_batch(batch)

    def _tidy_up(self) -> float | None:
        """Seconds until there may be something to tidy up; None: never."""
        if self._tidy is None:
            return None
        now = time.monotonic()
        if now >= self._tidy_at and self._queue.empty():
            try:
                self._tidy_at = now + self._tidy()
            except Exception:  # records must go on being written
                log.exception("cdr.tidy_failed")
                self._tidy_at = now + _TIDY_AGAIN_SECONDS
        return max(self._tidy_at - now, 0.0)

    def _next_batch(self, rest: float | None) -> tuple[list[CallRecord], bool]:
        """Waits for one record (at most `rest`), gives others a moment, then takes what is there."""
        batch: list[CallRecord] = []
        try:
            item = self._queue.get(timeout=rest)
        except queue.Empty:
            return batch, False
        self._finishing.wait(_GATHER_SECONDS)
        while item is not None:
            batch.append(item)
            if len(batch) >= _BATCH:
                return batch, False
            try:
                item = self._queue.get_nowait()
            except queue.Empty:
                return batch, False
        return batch, True

    def _store_batch(self, batch: list[CallRecord]) -> None:
        """Until it is stored, or the program ends and will not wait longer."""
        failures = 0
        while True:
            try:
                self._store.write(batch)
            except Exception as error:  # noqa: BLE001 - whatever it was, the records must not be lost with the thread
                failures += 1
                self._failed(batch, error, failures)
                pause = _PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS)) - 1]
                if self._giving_up.wait(pause):
                    return
            else:
                if failures:
                    log.warning("cdr.stored_again", records=len(batch), failures=failures)
                self._say([CdrDurable(record.ref) for record in batch])
                if self._stored is not None:
                    self._stored()
                return

    def _failed(self, batch: list[CallRecord], error: Exception, failures: int) -> None:
        reason = str(error) if isinstance(error, StoreError) else f"{type(error).__name__}: {error}"
        waiting = max(len(batch), self.pending)  # with those that came after this batch
        log.error("cdr.not_stored", alarm=True, records=waiting, failures=failures, reason=reason)
        if failures == 1:
            self._say([CdrFailed(record.ref, reason) for record in batch])

    def _say(self, events: Sequence[CdrDurable | CdrFailed]) -> None:
        self._said.extend(events)
        if self._token is None:
            return
        try:
            self._token.run_sync_soon(self._deliver, idempotent=True)
        except trio.RunFinishedError:
            return
