"""The way of call records to the disk and on: the spool, its writer, and what it feeds, put together.

`start` before the engine starts; `finish` when it orders nothing more. It decides nothing about calls. Used by `app`.
"""

from collections.abc import Callable
from typing import Final

import structlog

from sbc.admin.state import SpoolView
from sbc.cdr.feed import Destination
from sbc.cdr.filed import place_in
from sbc.cdr.spool import Damage, Spool, Spot
from sbc.cdr.store import CdrWriter, StoreError
from sbc.policy.model import CdrRules
from sbc.runtime.cdr_copy import CdrCopy
from sbc.runtime.cdr_feed import CdrFeed, CdrFiles
from sbc.runtime.cdr_retention import CdrRetention
from sbc.runtime.cdr_sink import CdrSink, Told
from sbc.runtime.disk import DiskFolder

SPOOL: Final = "spool"
_LAST_FEEDS_SECONDS: Final = 2.0  # for what our own store has not yet; the next start goes on

log = structlog.get_logger("cdr")


class CdrRecords:
    """`name` begins the names of files. `sink` is what the driver performs with."""

    def __init__(
        self,
        store: CdrWriter,
        copy: CdrCopy,
        retention: CdrRetention,
        tell: Callable[[Told], None],
        name: str,
    ) -> None:
        self._store = store
        self._kept_in = store.path.parent / SPOOL
        self._spool = Spool(DiskFolder(self._kept_in), tell=_tell_of)
        self._own = CdrFeed("cdr.db", self._spool, self._own_store, fed=copy.stored, between=retention.step)
        self._files = CdrFiles(self._spool, self._kept_in, name)
        self.sink = CdrSink(self._spool, tell, stored=self._more, tidy=self._tidy)

    def _own_store(self) -> Destination:
        return self._store

    def start(self, rules: CdrRules) -> None:
        """OperatorError where the spool cannot be read at all, or cannot be used with our store."""
        placed = place_in(DiskFolder(self._kept_in))
        passed = [self._fed(), *([] if placed is None else [placed])]
        for damage in self._spool.load(passed):
            _tell_of(damage)
        self._own.start()
        self._files.start(rules.files)
        self.sink.start()

    def _fed(self) -> Spot:
        """Where our own store is; it may be there later only, which the feed says."""
        try:
            return self._store.fed()
        except StoreError:
            return Spot()

    def change(self, rules: CdrRules) -> None:
        self._files.change(rules.files)

    async def finish(self, patience: float) -> int:
        """How many records could not be made safe within `patience` seconds, and are lost."""
        unsaved = await self.sink.finish(patience)
        await self._own.finish(_LAST_FEEDS_SECONDS)
        await self._files.finish(_LAST_FEEDS_SECONDS)
        self._spool.close()
        return unsaved

    def view(self) -> SpoolView:
        pending = {"cdr.db": self._own.pending, **self._files.pending}
        return SpoolView(self._spool.octets, self.sink.pending, tuple(pending.items()))

    # --- in the writer's thread ---------------------------------------------------------------------------------------

    def _more(self) -> None:
        self._own.more()
        self._files.more()

    def _tidy(self) -> None:
        placed = self._files.spot
        self._spool.tidy([self._own.spot, *([] if placed is None else [placed])])


def _tell_of(damage: Damage) -> None:
    # The file's name would be masked as a telephone number.
    segment = int(damage.file.partition(".")[0])
    if damage.is_end:
        log.warning("cdr.spool_cut", segment=segment, offset=damage.offset, octets=damage.octets)
    else:
        log.error("cdr.spool_damaged", alarm=True, segment=segment, offset=damage.offset, octets=damage.octets)
