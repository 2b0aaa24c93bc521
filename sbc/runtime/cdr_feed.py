"""Feeds one destination from the spool, in a thread of its own: our SQLite store, or files.

A destination that is full, locked or hangs holds up no call and no other destination: its records wait in the spool, it
is an alarm, and it is tried again. Used by `app`.
"""

import re
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog
import trio

from sbc.cdr.feed import Destination, Feed
from sbc.cdr.filed import RecordFiles, forget_place
from sbc.cdr.record import CallRecord
from sbc.cdr.spool import Spool, Spot
from sbc.core.errors import OperatorError
from sbc.policy import model
from sbc.runtime.disk import DiskFolder

_GATHER_SECONDS: Final = 0.05  # a commit costs much more than a record, so some are waited for
_PAUSES_SECONDS: Final = (0.5, 1.0, 2.0, 5.0, 10.0)  # after a failure; then the last for ever
_AGAIN_SECONDS: Final = 3_600.0  # after a bug in what is done between: it may well work next time

_UNFIT: Final = re.compile(r"[^A-Za-z0-9_-]")  # for a file's name

log = structlog.get_logger("cdr")


class CdrFeed:
    """`start` when the spool is loaded; `more` when it has got records; `finish` at the end.

    `fed` is called after each batch, and `between` when nothing waits, so many seconds after its last call as that has
    returned, or later; both in the thread, as `make`, which brings the destination to life.
    """

    def __init__(
        self,
        name: str,
        spool: Spool,
        make: Callable[[], Destination],
        *,
        fed: Callable[[], None] | None = None,
        between: Callable[[], float] | None = None,
        after: "CdrFeed | None" = None,
    ) -> None:
        """`after`: who has fed the same place before, and must have ended."""
        self.name = name
        self._spool = spool
        self._make = make
        self._fed = fed
        self._between = between
        self._between_at = 0.0  # monotonic
        self._after = after
        self._feed: Feed | None = None
        self._failures = 0
        self._more = threading.Event()
        self._finishing = threading.Event()
        self._giving_up = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"cdr-feed {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def more(self) -> None:
        self._more.set()

    @property
    def spot(self) -> Spot:
        """Everything before it has been taken; the beginning, while that is not known."""
        feed = self._feed
        return Spot() if feed is None else feed.spot

    @property
    def pending(self) -> int:
        return self._spool.waiting(self.spot)

    def leave(self) -> None:
        """End after what is under way."""
        self._giving_up.set()
        self._finishing.set()
        self._more.set()

    async def finish(self, patience: float) -> None:
        """Feed what is left if that can be had within `patience` seconds; the next start goes on."""
        if self._thread.ident is None:
            return
        self._finishing.set()
        self._more.set()
        await trio.to_thread.run_sync(self._thread.join, patience)
        self.leave()
        await trio.to_thread.run_sync(self._thread.join, 1.0)

    # --- in the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        if self._after is not None and self._after._thread.ident is not None:
            self._after._thread.join()
        while not self._giving_up.is_set():
            self._more.clear()
            try:
                self._take_all()
                rest = self._do_between()
            except Exception as error:  # noqa: BLE001 - whatever it was, the records wait
                self._failed(error)
                if self._finishing.is_set():
                    return
                self._giving_up.wait(_PAUSES_SECONDS[min(self._failures, len(_PAUSES_SECONDS)) - 1])
                continue
            if self._finishing.is_set() and not self._more.is_set():
                return
            if self._more.wait(rest):
                self._finishing.wait(_GATHER_SECONDS)

    def _take_all(self) -> None:
        feed = self._feed
        if feed is None:
            destination = self._make()
            feed = self._feed = Feed(self._spool, destination, destination.fed())
        while not self._giving_up.is_set() and feed.step():
            self._succeeded()
            if self._fed is not None:
                self._fed()
        self._succeeded()

    def _do_between(self) -> float | None:
        """Seconds until there may be something to do; None: never."""
        if self._between is None:
            return None
        now = time.monotonic()
        if now >= self._between_at:
            self._between_at = now + _AGAIN_SECONDS
            self._between_at = now + self._between()
        return max(self._between_at - now, 0.0)

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._failures > 1:
            return
        known = isinstance(error, OSError | OperatorError)
        reason = str(error) if known else f"{type(error).__name__}, a bug of the SBC"
        log.error(
            "cdr.feed_failing",
            alarm=True,
            destination=self.name,
            reason=reason,
            pending=self.pending,
            exc_info=None if known else error,
        )

    def _succeeded(self) -> None:
        if self._failures:
            failures, self._failures = self._failures, 0
            log.warning("cdr.fed_again", destination=self.name, failures=failures, pending=self.pending)


class CdrFiles:
    """The files of `sbc.cdr.files`, as the policy in force has them. `label`: what their names begin with."""

    def __init__(self, spool: Spool, kept_in: Path, label: str, wall: Callable[[], float] = time.time) -> None:
        self._spool = spool
        self._kept_in = DiskFolder(kept_in)
        self._label = _UNFIT.sub("_", label)
        self._wall = wall
        self._rules: model.RecordFiles | None = None
        self._feed: CdrFeed | None = None

    def start(self, rules: model.RecordFiles | None) -> None:
        if rules is None:
            forget_place(self._kept_in)
        self.change(rules)

    def change(self, rules: model.RecordFiles | None) -> None:
        """After a reload. What was written stays; another folder begins with the next record."""
        if rules == self._rules:
            return
        self._rules, before = rules, self._feed
        if before is not None:
            before.leave()
        self._feed = None if rules is None else self._make(rules, before)
        if self._feed is not None:
            self._feed.start()
        elif before is not None:
            log.warning("cdr.feed_ended", destination=before.name)

    def _make(self, rules: model.RecordFiles, before: CdrFeed | None) -> CdrFeed:
        where = str(Path(rules.folder).absolute())
        files = RecordFiles(DiskFolder(Path(where)), where, rules.style, rules.rotate, self._label, self._kept_in)
        end = self._spool.end

        def begin() -> Destination:
            files.begin(end)
            return _Timed(files, self._wall)

        def turn() -> float:
            files.tell_time(self._wall())
            files.turn()
            return 1.0

        return CdrFeed(where, self._spool, begin, between=turn, after=before)

    def more(self) -> None:
        if self._feed is not None:
            self._feed.more()

    @property
    def spot(self) -> Spot | None:
        """None: there are no files to be written."""
        return None if self._feed is None else self._feed.spot

    @property
    def pending(self) -> dict[str, int]:
        return {} if self._feed is None else {"files": self._feed.pending}

    async def finish(self, patience: float) -> None:
        if self._feed is not None:
            await self._feed.finish(patience)


class _Timed:
    """A destination that hears what time it is."""

    def __init__(self, files: RecordFiles, wall: Callable[[], float]) -> None:
        self._files = files
        self._wall = wall

    def fed(self) -> Spot:
        return self._files.fed()

    def take(self, records: Sequence[CallRecord], spot: Spot) -> None:
        self._files.tell_time(self._wall())
        self._files.take(records, spot)
