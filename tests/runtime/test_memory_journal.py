"""A value is there or the one before it, wherever the process was killed; and nothing but ours is read."""

import contextlib
import mmap
import os
import random
import signal
import struct
import time
from types import SimpleNamespace

import pytest
import structlog

from sbc.core import limits
from sbc.runtime import memory_journal
from sbc.runtime.held_memory import HeldMemory, open_journal
from sbc.runtime.memory_journal import CLASSES, EXTENT_OCTETS, HEAD_OCTETS, NOTHING, SMALLEST_OCTETS, MemoryFullError
from tests.runtime.memory_of_tests import TEARS, KilledError, MemoryOfTests

NAME = bytes(range(16))


def begun(extents=8):
    memory = MemoryOfTests(extents)
    journal = memory.journal()
    journal.begin(NAME, 1.5)
    return memory, journal


def found(memory):
    journal = memory.journal()
    assert journal.adopt() == ""
    return journal


def steps(seed, count):
    """Puts and removals of some keys, with values of all sizes."""
    chance = random.Random(seed)
    for n in range(count):
        key = f"call/{chance.randrange(12)}"
        if chance.random() < 0.2:
            yield key, None
        else:
            size = chance.choice((0, 1, 100, 480, 494, 495, 3_000, 4_000, 20_000))
            yield key, bytes([n % 256]) * size


def do(journal, model, key, value):
    if value is None:
        journal.remove(key)
        model.pop(key, None)
    else:
        journal.put(key, value)
        model[key] = value


# --- keeping ----------------------------------------------------------------------------------------------------------


def test_the_next_process_finds_what_was_kept():
    memory, journal = begun()
    journal.put("call/1", b"one")
    journal.put("call/2", b"two")
    journal.put("call/1", b"")
    journal.put("binding/é\udc80", b"x" * 5_000)
    journal.remove("call/2")
    journal.remove("never")
    again = found(memory.left())
    assert dict(again.items()) == {"call/1": b"", "binding/é\udc80": b"x" * 5_000}
    assert (again.identity, again.clock_offset, again.keys) == (NAME, 1.5, 2)


def test_it_goes_on_where_the_last_process_was():
    memory, journal = begun()
    model = {}
    for n, (key, value) in enumerate(steps("goes on", 2_000)):
        do(journal, model, key, value)
        if n % 100 == 0:
            memory = memory.left()
            journal = found(memory)
        assert journal.keys == len(model)
    assert dict(found(memory.left()).items()) == model
    assert journal.octets <= 8 * EXTENT_OCTETS


def test_slots_are_used_again():
    _, journal = begun(extents=3)
    for n in range(3 * EXTENT_OCTETS // 4096):
        journal.put(f"call/{n % 5}", bytes(3_000))
    assert journal.octets == 2 * EXTENT_OCTETS


def test_a_slot_holds_exactly_what_its_class_says():
    for kind in range(CLASSES):
        memory, journal = begun(extents=2)
        longest = bytes((SMALLEST_OCTETS << kind) - HEAD_OCTETS - 1)
        journal.put("k", longest)
        assert dict(found(memory.left()).items()) == {"k": longest}
    with pytest.raises(MemoryFullError, match="too long"):
        journal.put("k", longest + b"x")
    assert dict(found(memory.left()).items()) == {"k": longest}


def test_without_memory_the_old_value_stands_and_larger_slots_are_taken_first():
    memory, journal = begun(extents=4)
    memory.has = 3
    journal.put("large", bytes(100_000))
    for n in range(EXTENT_OCTETS // 512 + 7):  # seven go into slots of 128 KiB
        journal.put(f"call/{n}", b"1")
    with pytest.raises(MemoryFullError, match="no more memory"):
        journal.put("call/0", b"2")
    assert dict(found(memory.left()).items())["call/0"] == b"1"
    journal.remove("large")
    journal.put("call/0", b"2")
    assert dict(found(memory.left()).items())["call/0"] == b"2"


def test_whether_it_is_complete_is_kept():
    memory, journal = begun()
    assert not found(memory.left()).is_complete
    journal.is_complete = True
    assert found(memory.left()).is_complete
    journal.is_complete = False
    assert not found(memory.left()).is_complete


# --- killed -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tear", TEARS)
def test_killed_at_any_store_there_is_the_old_value_or_the_new_one(tear, monkeypatch):
    """Some 500 stores for each way to tear one: 2,500 deaths."""
    monkeypatch.setattr(memory_journal, "EXTENT_OCTETS", 32_768)
    story = list(steps("swept", 300))
    memory, journal = begun(extents=20)
    stores_before = memory.stores
    for step in story:
        do(journal, {}, *step)
    deaths = range(stores_before, memory.stores)
    assert len(deaths) > 450
    for at in deaths:
        memory, journal = begun(extents=20)
        memory.stops_at, memory.tear = at, tear
        done = _steps_done(journal, story)
        left = memory.left()
        again = dict(found(left).items())
        assert again in (after(story, done), after(story, done + 1))
        # And what was found is as sound as before: nothing of the torn store comes back.
        journal = found(left)
        journal.put("call/0", b"after")
        assert dict(found(left.left()).items()) == again | {"call/0": b"after"}


def _steps_done(journal, story):
    for n, step in enumerate(story):
        try:
            do(journal, {}, *step)
        except KilledError:
            return n
    raise AssertionError("nobody was killed")


def _living(model):
    return {key: value for key, value in model.items() if value is not None}


def test_killed_while_it_is_begun_there_is_nothing_or_it_is_not_complete():
    memory, _ = begun()
    for at in range(memory.stores + 1):
        for tear in TEARS:
            memory = MemoryOfTests()
            memory.stops_at, memory.tear = at, tear
            journal = memory.journal()
            try:
                journal.begin(NAME, 0.0)
                journal.is_complete = True
            except KilledError:
                again = memory.left().journal()
                assert again.adopt() or not again.is_complete or again.keys == 0


KILLS = 1_000 if os.environ.get("SBC_TEST_FULL") else 100


@pytest.mark.slow
def test_a_process_that_is_killed_leaves_all_that_it_has_said():
    """Real ones, by SIGKILL, at moments that nobody chose: what it has counted as done is there, and at most the one
    step after it.
    """
    story = list(steps("killed", 400))
    chance = random.Random(8)
    reached = set()
    for _ in range(KILLS):
        fd, counter = os.memfd_create("journal"), os.memfd_create("count")
        os.ftruncate(counter, 8)
        first = HeldMemory(os.dup(fd), 8 * EXTENT_OCTETS)
        first.journal().begin(NAME, 0.0)
        first.close()
        child = os.fork()
        if not child:
            _write_for_ever(fd, counter, story)
        enough = chance.randrange(1, 3_000)
        while _count(counter) < enough:
            time.sleep(0.0001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        count = _count(counter)
        held = HeldMemory(fd, 8 * EXTENT_OCTETS)
        assert dict(found_in(held)) in (after(story, count), after(story, count + 1))
        reached.add(count % len(story))
        held.close()
        os.close(counter)
    assert len(reached) > min(KILLS, len(story)) / 3


def after(story, count):
    """What there is when so many steps were done, the story again and again."""
    return _living(dict((story if count >= len(story) else []) + story[: count % len(story)]))


def found_in(held):
    journal = held.journal()
    assert journal.adopt() == ""
    return journal.items()


def _count(counter):
    return struct.unpack("<Q", os.pread(counter, 8, 0))[0]


def _write_for_ever(fd, counter, story):
    try:
        signal.alarm(20)
        held = HeldMemory(fd, 8 * EXTENT_OCTETS)
        journal = held.journal()
        journal.adopt()
        count = 0
        while True:
            for key, value in story:
                do(journal, {}, key, value)
                count += 1
                os.pwrite(counter, struct.pack("<Q", count), 0)
    finally:
        os._exit(1)


# --- what is not ours -------------------------------------------------------------------------------------------------


def test_new_memory_has_nothing():
    assert MemoryOfTests().journal().adopt() == NOTHING


@pytest.mark.parametrize(
    ("at", "octets", "why"),
    [
        (0, b"x", "not ours"),
        (8, b"\x02", "another layout, version 2"),
        (16, b"\x01", "another layout"),
        (24, b"\xff", "header is damaged"),
        (65, b"\x63", "table is damaged"),
    ],
)
def test_foreign_damaged_and_newer_memory_is_refused(at, octets, why):
    memory, journal = begun()
    journal.put("call/1", b"one")
    memory.octets[at : at + len(octets)] = octets
    journal = memory.left().journal()
    assert why in journal.adopt()
    assert journal.keys == 0
    journal.begin(NAME, 0.0)
    journal.put("call/2", b"two")
    assert dict(journal.items()) == {"call/2": b"two"}


def test_more_than_one_damaged_value_is_no_death_but_damage():
    memory, journal = begun()
    for n in range(3):
        journal.put(f"call/{n}", b"value")
    top = memory.octets.index(b"value")
    memory.octets[top] ^= 1
    assert found(memory.left()).keys == 2
    memory.octets[memory.octets.index(b"value")] ^= 1
    assert memory.left().journal().adopt() == "it is damaged"


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_in_the_memory_it_is_read_or_refused(seed):
    memory, journal = begun(extents=6)
    for key, value in steps("noise", 60):
        do(journal, {}, key, value)
    chance = random.Random(seed)
    for _ in range(40):
        place = chance.choice((chance.randrange(100), chance.randrange(len(memory))))
        memory.octets[place] = chance.randrange(256)
    journal = memory.left().journal()
    if not journal.adopt():
        assert all(isinstance(value, bytes) for _, value in journal.items())


@pytest.mark.parametrize("tear", TEARS)
@pytest.mark.parametrize("is_written", [False, True])
def test_the_disk_is_known_again_whenever_we_die_and_no_other_one(tear, is_written):
    memory = MemoryOfTests()
    journal = memory.journal()
    journal.begin(NAME, 0.0)
    assert journal.knows_disk(b"else")  # nothing is known of it
    journal.note_disk(b"once", b"once")
    if is_written:
        journal.note_disk(b"once", b"then")
    memory.stops_at, memory.tear = memory.stores, tear
    with pytest.raises(KilledError):
        journal.note_disk(b"then" if is_written else b"once", b"then")
    left = memory.left().journal()
    assert left.knows_disk(b"then" if is_written else b"once")
    assert not left.knows_disk(b"else")


# --- the memfd --------------------------------------------------------------------------------------------------------


# BOUND: STATE_OCTETS
def test_by_default_it_is_as_long_as_there_may_be_values():
    fd = os.memfd_create("journal")
    held = HeldMemory(os.dup(fd))
    assert os.fstat(fd).st_size == held.journal().most_octets == limits.STATE_OCTETS
    held.close()
    os.close(fd)


def test_what_is_read_first_is_there_before_it_is_read():
    """A full /dev/shm would be a SIGBUS, in each life anew."""
    fd = os.memfd_create("journal")
    held = HeldMemory(os.dup(fd), 4 * EXTENT_OCTETS)
    assert os.fstat(fd).st_blocks * 512 == mmap.PAGESIZE
    held.close()
    os.close(fd)


@pytest.mark.parametrize("is_named", [True, False])
def test_memory_that_a_death_of_all_would_take_is_said(is_named, tmp_path):
    fd = os.open(tmp_path / "journal", os.O_RDWR | os.O_CREAT) if is_named else os.memfd_create("journal")
    keeper = SimpleNamespace(journal_memory=lambda name: fd if name == NAME.hex() else None)
    with structlog.testing.capture_logs() as said, contextlib.ExitStack() as stack:
        open_journal(keeper, stack, NAME)
    assert [line["event"] for line in said] == ([] if is_named else ["state.memory_unnamed"])


def test_the_memfd_is_mapped_sparse_and_what_is_in_it_is_found_again():
    fd = os.memfd_create("journal")
    held = HeldMemory(os.dup(fd), 64 * EXTENT_OCTETS)
    journal = held.journal()
    journal.begin(NAME, 2.5)
    journal.put("call/1", b"one")
    assert os.fstat(fd).st_size == 64 * EXTENT_OCTETS
    assert os.fstat(fd).st_blocks * 512 < 3 * EXTENT_OCTETS
    held.close()
    again = HeldMemory(os.dup(fd), 64 * EXTENT_OCTETS)
    assert dict(found_in(again)) == {"call/1": b"one"}
    again.journal().begin(NAME, 0.0)
    assert os.fstat(fd).st_blocks * 512 <= 8_192
    again.close()
    other = HeldMemory(fd, 32 * EXTENT_OCTETS)  # a version with another bound
    assert other.journal().adopt() == NOTHING
    other.close()
