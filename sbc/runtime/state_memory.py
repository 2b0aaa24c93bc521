"""The first tier of what is kept: the memory journal, and whether it alone may be believed.

Where there is no room for a value, the journal is not complete as long as that value lives: the next start asks the
disk. It writes no file. Used by `state_store`.
"""

import structlog

from sbc.core.tables import Table
from sbc.runtime.memory_journal import NOTHING, MemoryFullError, MemoryJournal
from sbc.runtime.state_keeper import Items

log = structlog.get_logger("state")


class StateMemory:
    """`recall`, and where that gives nothing `fill`; then `keep` each value."""

    def __init__(self, journal: MemoryJournal) -> None:
        self._journal = journal
        self._left_out: set[str] = set()  # keys for which there was no memory
        self._holds_disk = True  # all that was there

    @property
    def identity(self) -> bytes:
        return self._journal.identity

    @property
    def clock_offset(self) -> float:
        return self._journal.clock_offset

    def table(self) -> Table:
        return Table("state_memory", self._journal.octets, self._journal.most_octets)

    def recall(self, identity: bytes | None, state: bytes) -> Items | None:
        """What an earlier life of ours has left. None: nothing that can be believed.

        `identity`: of the file of now; None where there is none, or where nothing is in it. `state`: that it is in.
        """
        why = self._journal.adopt()
        if not why and not self._journal.is_complete:
            why = "it does not hold everything"
        if not why and identity not in (None, self._journal.identity):
            why = "it belongs to another data_dir"
        if not why and identity is not None and not self._journal.knows_disk(state):
            why = "somebody else has written state.db since"
        if not why:
            return tuple(self._journal.items())
        if why != NOTHING:
            log.error("state.memory_refused", alarm=True, reason=why)
        return None

    def fill(self, items: Items, identity: bytes, state: bytes, clock_offset: float, *, is_all: bool) -> None:
        """Anew. `identity` and `state`: of the file, where it is open. `is_all`: it has nothing else. Raises OSError:
        there is no memory at all.
        """
        self._holds_disk = is_all
        self._journal.begin(identity, clock_offset)
        if state:
            self.note_disk(state, state)
        for key, value in items:
            self.keep(key, value)
        self._journal.is_complete = is_all and not self._left_out

    def note_disk(self, was: bytes, becomes: bytes) -> None:
        """How the disk is, and how it will be when what is written now is there."""
        self._journal.note_disk(was, becomes)

    def note_time(self, now: float) -> None:
        """We live."""
        self._journal.seen = now

    def was_away(self, now: float) -> float:
        """For how many seconds nobody has heard what peers say; none where that is not known."""
        seen = self._journal.seen
        return now - seen if seen else 0.0

    def keep(self, key: str, value: bytes | None) -> None:
        """None: no more."""
        try:
            if value is None:
                self._journal.remove(key)
            else:
                self._journal.put(key, value)
        except MemoryFullError as error:
            self._leave_out(key, str(error))
            return
        if key in self._left_out:
            self._take_in(key)

    def _leave_out(self, key: str, why: str) -> None:
        self._journal.is_complete = False
        self._journal.remove(key)
        if not self._left_out:
            log.error("state.memory_full", alarm=True, reason=why, octets=self._journal.octets)
        self._left_out.add(key)

    def _take_in(self, key: str) -> None:
        self._left_out.discard(key)
        if not self._left_out:
            self._journal.is_complete = self._holds_disk
            log.warning("state.memory_room_again", octets=self._journal.octets)
