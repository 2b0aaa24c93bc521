"""What the engine wants to find again (`StoreState`), in two tiers: memory that outlives us, and `data_dir/state.db`.

A value is in the memory journal when `store` returns, and so survives the death of this process at any instruction,
and of all of ours, as long as the machine runs. Within about a fifth of a second it is on the disk, too, and survives
the machine. After a death the memory is what counts, and the disk is made like it, unless somebody else has written
that meanwhile; after any other start the disk counts.

It never stops the program. That no other process writes here is the CDR store's lock. It bounds what is kept and says
so. The tiers are `state_memory` and `state_writer`. Used by `app`; what it promises, `state_keeper` says.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
import trio
from msgspec import Struct, field

from sbc.core import limits
from sbc.core.commands import StoreState
from sbc.core.tables import Table
from sbc.runtime import clock
from sbc.runtime.memory_journal import MemoryJournal
from sbc.runtime.state_keeper import Items
from sbc.runtime.state_memory import StateMemory
from sbc.runtime.state_writer import StateWriter

CALL_KEYS: Final = "call/"
_WHOLE: Final = "whole"  # the last key that is written; gone with the first group of the next life
_LOOK_SECONDS: Final = 1.0
_REPEATED_SECONDS: Final = 28.0  # that a request waits for us: each 4 s for 64 * T1 (RFC 3261, section 17.1.2.2)
_ASKED_SECONDS: Final = 20.0  # after which all calls of a late start have been asked
_LONG_AGO: Final = float("-inf")
_ROOM_SHARE: Final = 0.95  # of what may be kept: below that there is room again

log = structlog.get_logger("state")


class _Bound(Struct, eq=False):
    """How many keys of one sort may be kept."""

    table: str
    most: int
    keys: set[str] = field(default_factory=set)  # that are kept or on their way
    is_full_said: bool = False


class StateStore:
    """`load` before anything else, once; `start` when values may come; `finish` at the end.

    `open_memory` is asked once, by `load`, with the identity of `state.db`; empty: it cannot be opened. None, or an
    OSError: nothing outlives this process, the disk is all there is.
    """

    def __init__(self, data_dir: Path, open_memory: Callable[[bytes], MemoryJournal | None] = lambda _of: None) -> None:
        self._open_memory = open_memory
        self._memory: StateMemory | None = None
        self._disk = StateWriter(data_dir)
        self._calls = _Bound("state_calls", limits.STATE_CALLS)
        self._others = _Bound("state_keys", limits.STATE_KEYS)
        self._is_behind_said = False
        self._was_finished = False  # the last life has written all that it had
        self.is_late = False

    @property
    def place(self) -> str:
        return str(self._disk.path)

    def lag(self) -> tuple[int, float]:
        return self._disk.pending, self._disk.behind

    def tables(self) -> tuple[Table, ...]:
        tables = (
            Table("state_keys", len(self._others.keys), self._others.most),
            Table("state_calls", len(self._calls.keys), self._calls.most),
        )
        return tables if self._memory is None else (*tables, self._memory.table())

    # --- the start ----------------------------------------------------------------------------------------------------

    def load(self) -> Items:
        """What was kept. Never raises: what cannot be read is moved aside, and the program begins without it."""
        self._disk.open()
        items = self._recall()
        if items is None:
            last = self._disk.mark
            clock.go_on(clock.offset_now(last), last)
            read = self._disk.read()
            items = tuple([item for item in read if item[0] != _WHOLE])
            self._was_finished = len(items) < len(read)
            self.is_late = bool(items) and not self._was_finished
            self._fill_memory(items)
        elif self._memory is not None:
            self.is_late = bool(items) and self._memory.was_away(clock.boot_seconds()) > _REPEATED_SECONDS
            if self._disk.state:  # else it is still as it was
                self._memory.note_disk(self._disk.state, self._disk.state)
        if self._memory is not None:
            self._disk.noted = self._memory.note_disk
            self._memory.note_time(_LONG_AGO if self.is_late else clock.boot_seconds())
        for key, _ in items:
            self._bound(key).keys.add(key)
        return items

    def _recall(self) -> Items | None:
        try:
            journal = self._open_memory(self._disk.identity or b"")
        except OSError as error:
            self._do_without_memory(error)
            return None
        if journal is None:
            return None
        memory = self._memory = StateMemory(journal)
        items = memory.recall(None if self._disk.is_new else self._disk.identity, self._disk.state)
        if items is not None:
            self._disk.make_like(dict(items), self._memory.identity)
            clock.go_on(self._memory.clock_offset, self._disk.mark)
        return items

    def _fill_memory(self, items: Items) -> None:
        if self._memory is None:
            return
        try:
            disk = self._disk
            self._memory.fill(items, disk.identity or b"", disk.state, clock.offset(), is_all=disk.is_all_known)
        except OSError as error:
            self._do_without_memory(error)

    def _do_without_memory(self, error: OSError) -> None:
        self._memory = None
        log.error("state.memory_refused", alarm=True, reason=str(error))

    # --- while the engine runs ----------------------------------------------------------------------------------------

    def start(self) -> None:
        self._disk.start()
        if self._was_finished:
            self._disk.put(_WHOLE, None)

    def store(self, command: StoreState) -> None:
        """Returns at once. Of several values of one key that wait for the disk, the last counts."""
        key, value = command.key, command.value
        if value is None:
            bound = self._bound(key)
            bound.keys.discard(key)
            if bound.is_full_said:
                self._say_room(bound)
        elif not self._admits(key, value):
            return
        if self._memory is not None:
            self._memory.keep(key, value)
        self._disk.put(key, value)

    async def watch(self) -> None:
        """For ever: says when the disk does not keep up."""
        asked_at = trio.current_time() + (_ASKED_SECONDS if self.is_late else 0.0)
        while True:
            self._look_behind()
            if self._memory is not None and trio.current_time() >= asked_at:
                self._memory.note_time(clock.boot_seconds())
            await trio.sleep(_LOOK_SECONDS)

    async def finish(self, patience: float) -> int:
        """Write what waits; how many values could not be written within `patience` seconds."""
        self._disk.put(_WHOLE, b"")
        return max(0, await self._disk.finish(patience) - 1)

    # --- bounds -------------------------------------------------------------------------------------------------------

    def _bound(self, key: str) -> _Bound:
        return self._calls if key.startswith(CALL_KEYS) else self._others

    def _admits(self, key: str, value: bytes) -> bool:
        bound = self._bound(key)
        if len(value) > limits.STATE_VALUE_OCTETS:
            log.error("state.too_long", alarm=True, kind=_kind(key), octets=len(value))
            if key in bound.keys:
                self.store(StoreState(key, None))  # the old value would be taken for the latest
            return False
        if key not in bound.keys:
            if len(bound.keys) >= bound.most:
                self._say_full(bound, key)
                return False
            bound.keys.add(key)
        return True

    def _say_full(self, bound: _Bound, key: str) -> None:
        if not bound.is_full_said:
            bound.is_full_said = True
            log.error("state.full", alarm=True, table=bound.table, keys=len(bound.keys), kind=_kind(key))

    def _say_room(self, bound: _Bound) -> None:
        if len(bound.keys) < bound.most * _ROOM_SHARE:
            bound.is_full_said = False
            log.warning("state.room_again", table=bound.table, keys=len(bound.keys))

    def _look_behind(self) -> None:
        values, seconds = self.lag()
        if seconds >= limits.STATE_BEHIND_SECONDS and not self._is_behind_said:
            self._is_behind_said = True
            log.error("state.behind", alarm=True, seconds=round(seconds, 1), values=values)
        elif self._is_behind_said and seconds < limits.STATE_BEHIND_SECONDS / 2:
            self._is_behind_said = False
            log.warning("state.caught_up", values=values)


def _kind(key: str) -> str:
    return key.partition("/")[0]
