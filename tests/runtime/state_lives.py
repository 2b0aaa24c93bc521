"""One life of signalling after the other, of `StateStore` alone, over the same folder and the same memory."""

import sqlite3

from sbc.core.commands import StoreState
from sbc.runtime.state_store import StateStore
from tests.runtime.memory_of_tests import MemoryOfTests


class Lives:
    """One life of signalling after the other, with memory that outlives it."""

    def __init__(self, folder, extents=12):
        self.folder = folder
        self.memory = MemoryOfTests(extents)
        self.store = None

    def begins(self):
        self.store = StateStore(self.folder, lambda _of: self.memory.journal())
        return dict(self.store.load())

    def keeps(self, **values):
        for key, value in values.items():
            self.store.store(StoreState(key.replace("_", "/"), value))

    def dies(self):
        """Before its thread has written anything, where that was not started."""
        self.closes()
        self.memory = self.memory.left()

    def closes(self):
        if self.store is not None and self.store._disk._file is not None:
            self.store._disk._file.close()

    async def ends(self):
        if not self.store._disk._thread.is_alive():
            self.store.start()
        assert await self.store.finish(5) == 0

    def on_disk(self):
        with sqlite3.connect(self.folder / "state.db") as file:
            found = dict(file.execute("SELECT key, value FROM state WHERE key <> 'whole'").fetchall())
        file.close()
        return found
