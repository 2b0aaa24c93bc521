"""Copies call records to another database (`sbc.cdr.postgres`), from our own store, in the order of writing.

A thread of its own reads a batch from the disk, hands it over, and when the other side has committed it, moves the
cursor in our store. Whatever dies when: at worst a batch is handed over again, and the other side ignores what it has.
So calls and our own records never wait for it; a server that is down or hangs costs an alarm. What the server refuses
for good is set aside and does not hold up the rest; it is tried again at the next start or change.
Used by `app`.
"""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import structlog
import trio

from sbc.cdr.reader import CdrReader
from sbc.cdr.store import CdrWriter, Place, StoreError
from sbc.core import limits
from sbc.policy.model import Postgres
from sbc.runtime.cdr_postgres import CopyError, PostgresCopy, Refused, Row

_BATCH: Final = 200
_BATCH_GROWS: Final = 5  # records a time, after it had to be cut to a quarter
_GATHER_SECONDS: Final = 0.5  # for more records, so that not each one is a transaction
_BREATH_SECONDS: Final = 0.01  # between batches: calls come first
_IDLE_SECONDS: Final = 60.0  # a look without being told
_PAUSES_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0)

log = structlog.get_logger("cdr")


class Destination(Protocol):
    """As much of `PostgresCopy` as is used."""

    def put(self, calls: Sequence[Row], attempts: Sequence[Row]) -> list[Refused]: ...
    def cut(self) -> None: ...
    def close(self) -> None: ...


class CdrCopy:
    """`start` before records are written; `change` at any time; `finish` when no record will be written any more."""

    def __init__(self, store: CdrWriter, connect: Callable[[Postgres], Destination] = PostgresCopy) -> None:
        self._store = store
        self._connect = connect
        self._wanted: Postgres | None = None
        self._place: Place | None = None
        self._removed = 0  # rows that were removed before anything was copied
        self._destination: Destination | None = None
        self._served: str | None = None  # the URL that is copied to
        self._turns = 0  # how often it was changed
        self._news = threading.Event()
        self._stirred = threading.Event()  # something else than a record: no pause goes on
        self._finishing = False
        self._giving_up = False
        self._failures = 0
        self._batch = _BATCH  # records; fewer where the server could not take so many in its time (a slow trigger)
        self._alarm_at: int | None = None
        self._is_behind = False
        self._thread = threading.Thread(target=self._run, name="cdr-copy", daemon=True)

    @property
    def pending(self) -> int | None:
        """Records that are not copied yet; None: nothing is to be copied."""
        if self._wanted is None:
            return None
        return max(0, self._store.newest - (self._removed if self._place is None else self._place.row))

    def start(self, wanted: Postgres | None) -> None:
        self._wanted = wanted
        self._thread.start()

    def change(self, wanted: Postgres | None) -> None:
        """After a reload. What was set aside is tried again."""
        if wanted == self._wanted is None:
            return
        is_other = wanted != self._wanted
        self._wanted = wanted
        self._turns += 1
        self._stir()
        if is_other:
            self._cut()

    def stored(self) -> None:
        """There are new records on the disk."""
        self._news.set()

    async def finish(self, patience: float) -> None:
        """Copy what is left if that can be had within `patience` seconds; else it waits for the next start."""
        if self._thread.ident is None:
            return
        self._finishing = True
        self._stir()
        await trio.to_thread.run_sync(self._thread.join, patience)
        self._giving_up = True
        self._stir()
        self._cut()
        await trio.to_thread.run_sync(self._thread.join, 1.0)

    def _stir(self) -> None:
        self._stirred.set()
        self._news.set()

    def _cut(self) -> None:
        destination = self._destination
        if destination is not None:
            destination.cut()

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._giving_up and not (self._finishing and (self._wanted is None or self._failures)):
            self._stirred.clear()
            turn, wanted = self._turns, self._wanted
            self._turn_to(wanted)
            if wanted is None:
                self._news.wait()
                self._news.clear()
                continue
            try:
                if self._serve(wanted, turn):
                    return
            except Exception as error:  # noqa: BLE001 - whatever it was, the next records must be copied
                self._failed(wanted, error, turn)
            finally:
                self._disconnect()

    def _turn_to(self, wanted: Postgres | None) -> None:
        """What was wrong with the one before is not wrong with this one."""
        url = None if wanted is None else wanted.url
        if self._served not in (None, url):
            log.info("cdr.copy_ended", destination=self._served)
        if self._served != url:
            self._served, self._failures, self._is_behind, self._alarm_at = url, 0, False, None

    def _serve(self, wanted: Postgres, turn: int) -> bool:
        """Until something is in the way, or something else is wanted; True: all is copied, and the program ends."""
        self._removed = self._store.rows_before()
        self._place = self._store.copied_to(wanted.url)
        self._watch(wanted)
        self._destination = destination = self._connect(wanted)
        if not self._failures:
            log.info("cdr.copying", destination=wanted.url, pending=self.pending)
        self._try_refused_again(wanted, destination)
        while turn == self._turns and not self._giving_up:
            self._news.clear()
            if self._copy_batch(wanted, destination):
                self._watch(wanted)
                self._stirred.wait(_BREATH_SECONDS)
            elif self._finishing:
                return True
            else:
                self._succeeded(wanted)
                self._news.wait(_IDLE_SECONDS)
                if not self._stirred.is_set():
                    self._stirred.wait(_GATHER_SECONDS)
        return self._giving_up

    def _copy_batch(self, wanted: Postgres, destination: Destination) -> int:
        """How many records were handed over."""
        with CdrReader.open(self._store.path.parent) as reader:
            rows = reader.written_after(self._place, self._batch)
            attempts = _attempts(reader, rows)
        if not rows:
            return 0
        if self._place is not None and rows[0][0] <= self._place.row:
            log.warning("cdr.copied_anew", destination=wanted.url, text="the rows of cdr.db were numbered anew")
        refused = self._put(destination, rows, attempts)
        self._note_refused(wanted, refused)
        place = Place(rows[-1][0], rows[-1][1])
        self._store.set_copied(wanted.url, place, refused)
        self._place = place
        self._succeeded(wanted)
        return len(rows)

    def _put(self, destination: Destination, rows: Sequence[Row], attempts: Sequence[Row]) -> list[Refused]:
        try:
            refused = destination.put([row[1:] for row in rows], attempts)
        except CopyError:
            self._batch = max(1, self._batch // 4)
            raise
        self._batch = min(_BATCH, self._batch + _BATCH_GROWS)
        return refused

    def _note_refused(self, wanted: Postgres, refused: Sequence[Refused]) -> None:
        if refused and len(refused) + len(self._store.set_aside(wanted.url)) > limits.CDR_SET_ASIDE:
            raise CopyError(f"{limits.CDR_SET_ASIDE} records were refused already, and now: {refused[0][1]}")
        for ref, reason in refused:
            log.error("cdr.copy_refused", alarm=True, destination=wanted.url, ref=ref, reason=reason)

    def _try_refused_again(self, wanted: Postgres, destination: Destination) -> None:
        waiting = self._store.set_aside(wanted.url)
        refused: list[Refused] = []
        for ref in waiting:
            with CdrReader.open(self._store.path.parent) as reader:
                rows = reader.written_as(ref)
                attempts = _attempts(reader, rows)
            again = destination.put([row[1:] for row in rows], attempts) if rows else []
            refused += again
            if not again:
                self._store.take_back(wanted.url, ref)
        if refused:
            ref, reason = refused[-1]
            count = len(refused)
            log.error("cdr.copy_refused", alarm=True, destination=wanted.url, ref=ref, reason=reason, set_aside=count)
        elif waiting:
            log.warning("cdr.refused_copied", destination=wanted.url, records=len(waiting))

    # --- what is said -------------------------------------------------------------------------------------------------

    def _failed(self, wanted: Postgres, error: Exception, turn: int) -> None:
        if turn != self._turns or self._giving_up:
            return  # it was cut by us
        known = isinstance(error, CopyError | StoreError)
        reason = str(error) if known else f"{type(error).__name__}, a bug of the SBC"
        self._failures += 1
        if self._failures == 1:
            why = None if known else error  # with its traceback
            log.error(
                "cdr.copy_failing",
                alarm=True,
                destination=wanted.url,
                reason=reason,
                pending=self.pending,
                exc_info=why,
            )
        self._watch(wanted)
        pause = _PAUSES_SECONDS[min(self._failures, len(_PAUSES_SECONDS)) - 1]
        until = time.monotonic() + pause
        while (left := until - time.monotonic()) > 0 and not self._stirred.wait(min(left, 1.0)):
            self._watch(wanted)

    def _succeeded(self, wanted: Postgres) -> None:
        if self._failures:
            failures, self._failures = self._failures, 0
            log.warning("cdr.copied_again", destination=wanted.url, failures=failures, pending=self.pending)

    def _watch(self, wanted: Postgres) -> None:
        """Far behind is more than was waiting at the start, which may be all that there is, and many more."""
        pending = self.pending or 0
        if self._alarm_at is None or pending + limits.CDR_COPY_BEHIND < self._alarm_at:
            self._alarm_at = pending + limits.CDR_COPY_BEHIND
        if pending > self._alarm_at and not self._is_behind:
            self._is_behind = True
            log.error("cdr.copy_behind", alarm=True, destination=wanted.url, pending=pending)
        elif pending < limits.CDR_COPY_BEHIND // 2 and self._is_behind:
            self._is_behind = False
            log.warning("cdr.copy_caught_up", destination=wanted.url, pending=pending)

    def _disconnect(self) -> None:
        destination, self._destination = self._destination, None
        if destination is not None:
            destination.close()


def _attempts(reader: CdrReader, rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    return [attempt for row in rows for attempt in reader.attempts(row[1])]
