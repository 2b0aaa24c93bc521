"""Both tiers, killed and cut off: at each store into memory, around each write to the disk, and by real SIGKILLs.

After a death of the process nothing is missing that `store` had taken. After a power cut nothing is missing that a
group had written, and what is there was all true at one moment.
"""

import os
import random
import signal
import struct
import time

import pytest

from sbc.core.commands import StoreState
from sbc.runtime import clock, memory_journal, state_writer
from sbc.runtime.held_memory import HeldMemory
from sbc.runtime.memory_journal import EXTENT_OCTETS
from sbc.runtime.state_store import StateStore
from sbc.testing.power import Disk, Fate, deaths
from tests.runtime.memory_of_tests import TEARS, KilledError, MemoryOfTests

CLOCK = "the clock"  # in the same transaction as the values
GROUP = 7  # values, from one write to the next


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(state_writer, "GATHER_SECONDS", 0.001)
    monkeypatch.setattr(clock, "_origin", clock._Origin())


class FileOfTests:
    """A `StateFile` whose transactions are those of a disk that can lose its power: SQLite is trusted with the rest."""

    is_new = False
    identity = bytes(16)

    def __init__(self, disk):
        self.disk = disk
        self.clock = disk.tables.get("state", {}).get(CLOCK)

    def items(self):
        yield from sorted(kept(self.disk).items())

    def write(self, batch, clock):
        after = dict(self.disk.tables.get("state", {})) | batch | {CLOCK: clock}
        self.disk.commit("state", {key: value for key, value in after.items() if value is not None})
        self.clock = clock

    def close(self):
        pass


def kept(disk):
    return {key: value for key, value in disk.tables.get("state", {}).items() if key != CLOCK}


class Machine:
    """`dies`: the process; `loses_power`: everything."""

    def __init__(self, monkeypatch, disk=None, memory=None):
        self.disk = disk or Disk()
        self.memory = memory or MemoryOfTests(extents=20)
        monkeypatch.setattr(state_writer, "StateFile", lambda _path, disk=self.disk: FileOfTests(disk))

    def begins(self, folder):
        memory = self.memory
        self.store = StateStore(folder, lambda _of: memory.journal())
        return dict(self.store.load())

    def writes(self):
        """What the thread does for each group."""
        assert self.store._disk._try_to_write(0) == 0


def steps(seed, count):
    chance = random.Random(seed)
    for n in range(count):
        key = f"{chance.choice(('call', 'ban'))}/{chance.randrange(8)}"
        yield key, None if chance.random() < 0.25 else b"%d " % n * chance.choice((1, 30, 200))


STORY = list(steps("state", 130))


def after(count):
    return {key: value for key, value in dict(STORY[:count]).items() if value is not None}


def plays(machine):
    """How many steps were taken before the end, and how many of them the disk may have: one number, unless the death
    came in the middle of a write.
    """
    written = 0
    for n, (key, value) in enumerate(STORY):
        try:
            machine.store.store(StoreState(key, value))
        except KilledError:
            return n, (written,)
        if n % GROUP == GROUP - 1:
            try:
                machine.writes()
            except KilledError:
                return n + 1, (written, n + 1)
            written = n + 1
    return len(STORY), (written,)


@pytest.mark.parametrize("tear", TEARS)
def test_at_each_store_into_memory_nothing_is_lost_and_the_disk_gets_it(tmp_path, monkeypatch, tear):
    """Some 150 stores for each way to tear one, and each time both deaths: 1,500 altogether."""
    monkeypatch.setattr(memory_journal, "EXTENT_OCTETS", 32_768)
    whole = Machine(monkeypatch)
    whole.begins(tmp_path)
    begun = whole.memory.stores
    plays(whole)
    assert whole.memory.stores - begun >= 150
    for at in range(begun, whole.memory.stores + 1):
        machine = Machine(monkeypatch)
        machine.memory.stops_at, machine.memory.tear = at, tear
        machine.begins(tmp_path)
        count, written = plays(machine)

        cut_off = Machine(monkeypatch, Disk(tables=machine.disk.tables))
        assert cut_off.begins(tmp_path) in [after(steps) for steps in written]

        killed = Machine(monkeypatch, Disk(tables=machine.disk.tables), machine.memory.left())
        found = killed.begins(tmp_path)
        assert found in (after(count), after(count + 1))
        killed.store.store(StoreState("ban/new", b""))
        killed.writes()
        assert kept(killed.disk) == found | {"ban/new": b""}


def test_whenever_the_power_fails_what_was_written_is_there_and_was_all_true_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(memory_journal, "EXTENT_OCTETS", 32_768)
    machine = Machine(monkeypatch)
    machine.begins(tmp_path)
    for n, (key, value) in enumerate(STORY, 1):
        machine.store.store(StoreState(key, value))
        if n % GROUP == 0:
            machine.writes()
            assert machine.store.lag()[0] == 0
            machine.disk.mark(n)  # the pending ones are none: so says the metric, and so it is
    seen = 0
    for n, fate, left in deaths(machine.disk):
        items = Machine(monkeypatch, left).begins(tmp_path)
        promised = max(machine.disk.promised(n), default=0)
        assert items == after(promised), (n, fate)
        seen += fate is Fate.DROPPED
    assert seen == len(STORY) // GROUP + 1


KILLS = 300 if os.environ.get("SBC_TEST_FULL") else 25


@pytest.mark.slow
def test_a_process_that_is_killed_has_all_in_memory_and_a_moment_of_the_past_on_the_disk(tmp_path):
    """With SQLite itself and the thread that writes, by SIGKILL."""
    chance = random.Random(9)
    behind = 0
    for n in range(KILLS):
        folder = tmp_path / str(n)
        folder.mkdir()
        fd, count = os.memfd_create("journal"), os.memfd_create("count")
        os.ftruncate(count, 16)
        child = os.fork()
        if not child:
            _keep_for_ever(folder, fd, count)
        enough = chance.randrange(1, 2_000)
        while _numbers(count)[0] < enough:
            time.sleep(0.0002)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        stored, on_disk = _numbers(count)

        past = _on_disk(folder)
        behind += stored - _moment_of(past, on_disk, stored + 1)
        held = HeldMemory(fd, 8 * EXTENT_OCTETS)
        store = StateStore(folder, lambda _of, held=held: held.journal())
        found = dict(store.load())
        assert found in (_told(stored), _told(stored + 1))
        assert store._disk._try_to_write(0) == 0
        assert _on_disk(folder) == found
        store._disk._file.close()
        held.close()
        os.close(count)
    assert behind > 0  # else nothing was shown


def _on_disk(folder):
    store = StateStore(folder)
    found = dict(store.load())
    store._disk._file.close()
    return found


def _told(count):
    """The story again and again: after so many steps."""
    rounds, rest = divmod(count, len(STORY))
    all_steps = (STORY if rounds else []) + STORY[:rest]
    return {key: value for key, value in dict(all_steps).items() if value is not None}


def _moment_of(items, first, last):
    """The last moment at which just this was kept; there must be one, not before the one that was promised."""
    for count in range(last, first - 1, -1):
        if _told(count) == items:
            return count
    raise AssertionError((first, last))


def _numbers(count):
    return struct.unpack("<QQ", os.pread(count, 16, 0))


def _keep_for_ever(folder, fd, count):
    try:
        signal.alarm(60)
        held = HeldMemory(fd, 8 * EXTENT_OCTETS)
        store = StateStore(folder, lambda _of: held.journal())
        store.load()
        store.start()
        stored = 0
        while True:
            for key, value in STORY:
                store.store(StoreState(key, value))
                stored += 1
                os.pwrite(count, struct.pack("<Q", stored), 0)
                if store.lag() == (0, 0.0):
                    os.pwrite(count, struct.pack("<Q", stored), 8)
                if stored % 50 == 0:
                    time.sleep(0.001)
    finally:
        os._exit(1)
