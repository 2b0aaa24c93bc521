"""Memory and disk together: which of them is believed, and that what one has the other gets."""

import sqlite3
import time

import pytest
import structlog
import trio

from sbc.core import limits
from sbc.core.commands import StoreState
from sbc.runtime import clock, state_writer
from sbc.runtime.state_store import StateStore
from tests.runtime.memory_of_tests import MemoryOfTests
from tests.runtime.state_lives import Lives


@pytest.fixture
def said():
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(state_writer, "_PAUSES_SECONDS", (0.01,))
    monkeypatch.setattr(state_writer, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(clock, "_origin", clock._Origin())


@pytest.fixture
def lives(tmp_path):
    lives = Lives(tmp_path)
    yield lives
    lives.closes()


async def test_what_never_reached_the_disk_is_in_memory_and_reaches_it_then(lives, said):
    assert lives.begins() == {}
    lives.keeps(call_1=b"a", call_2=b"b", ban_x=b"1")
    await lives.ends()
    lives.dies()
    assert lives.begins() == {"call/1": b"a", "call/2": b"b", "ban/x": b"1"}
    lives.keeps(call_1=b"A", call_2=None, call_3=b"c")
    lives.dies()
    assert lives.begins() == {"call/1": b"A", "call/3": b"c", "ban/x": b"1"}
    assert lives.on_disk() == {"call/1": b"a", "call/2": b"b", "ban/x": b"1"}
    lives.keeps(call_4=b"d")
    await lives.ends()
    assert lives.on_disk() == {"call/1": b"A", "call/3": b"c", "call/4": b"d", "ban/x": b"1"}
    assert said == []


async def test_newer_values_win_over_what_is_brought_after(lives):
    lives.begins()
    lives.keeps(call_1=b"a", call_2=b"b")
    lives.dies()
    lives.begins()
    lives.keeps(call_1=b"A", call_2=None)
    await lives.ends()
    assert lives.on_disk() == {"call/1": b"A"}


async def test_after_the_death_of_all_the_disk_is_what_counts(lives):
    lives.begins()
    lives.keeps(call_1=b"a")
    await lives.ends()
    lives.memory = MemoryOfTests()
    assert lives.begins() == {"call/1": b"a"}
    lives.dies()
    assert lives.begins() == {"call/1": b"a"}


async def test_memory_that_was_never_filled_is_not_believed(lives, said):
    lives.begins()
    lives.keeps(call_1=b"a")
    await lives.ends()
    lives.memory = memory = MemoryOfTests()
    memory.journal().begin(bytes(16), 0.0)  # and then it was killed
    assert lives.begins() == {"call/1": b"a"}
    [line] = said
    assert (line["event"], line["alarm"], line["reason"]) == (
        "state.memory_refused",
        True,
        "it does not hold everything",
    )


async def test_memory_of_another_data_dir_is_not_believed(lives, said, tmp_path):
    lives.begins()
    lives.keeps(call_1=b"a")
    await lives.ends()
    lives.dies()
    other = Lives(tmp_path / "other")
    other.folder.mkdir()
    other.begins()
    other.keeps(call_9=b"z")
    await other.ends()
    other.memory = lives.memory
    assert other.begins() == {"call/9": b"z"}
    assert said[0]["reason"] == "it belongs to another data_dir"


@pytest.mark.parametrize("damage", ["garbage", "gone", "page"])
async def test_a_lost_file_is_written_again_from_memory(lives, said, damage):
    lives.begins()
    lives.keeps(**{f"call_{n}": bytes([n]) * 3_000 for n in range(100)})
    await lives.ends()
    lives.dies()
    path = lives.folder / "state.db"
    match damage:
        case "garbage":
            path.write_bytes(b"no database" * 1_000)
        case "gone":
            path.unlink()
        case "page":  # which only shows when all is read
            octets = bytearray(path.read_bytes())
            octets[20 * 4096 : 60 * 4096] = bytes(40 * 4096)
            path.write_bytes(octets)
    assert len(lives.begins()) == 100
    lives.keeps(call_1=None)
    await lives.ends()
    assert len(lives.on_disk()) == 99
    assert [line["event"] for line in said] == ([] if damage == "gone" else ["state.unreadable"])
    # And the next life believes the memory, which is of this file now.
    lives.dies()
    assert len(lives.begins()) == 99
    assert len(said) <= 1


async def test_a_damaged_file_has_a_new_one_that_its_memory_is_found_by(lives, said):
    """Memory goes by the name of the file, after the death of all."""
    lives.begins()
    lives.keeps(**{f"call_{n}": bytes([n]) * 3_000 for n in range(100)})
    await lives.ends()
    name = lives.store._disk.identity
    path = lives.folder / "state.db"
    octets = bytearray(path.read_bytes())
    octets[20 * 4096 : 60 * 4096] = bytes(40 * 4096)
    path.write_bytes(octets)
    lives.memory = MemoryOfTests()
    assert lives.begins() == {}
    assert lives.store._disk.identity == lives.store._memory.identity == name
    assert [line["event"] for line in said] == ["state.unreadable"]


async def test_a_new_file_that_has_never_been_written_is_believed_by_nobody(lives, said):
    """Two deaths in a row, and the file was gone before the first."""
    lives.begins()
    lives.keeps(call_1=b"a")
    await lives.ends()
    lives.dies()
    (lives.folder / "state.db").unlink()
    for _ in range(2):
        assert lives.begins() == {"call/1": b"a"}
        lives.dies()
    assert said == []


async def test_where_the_disk_could_not_be_read_memory_is_not_the_whole_truth(lives, said, monkeypatch):
    lives.begins()
    lives.keeps(call_1=b"a")
    await lives.ends()
    lives.memory = MemoryOfTests()
    with monkeypatch.context() as full:
        full.setattr(state_writer, "StateFile", lambda _path: (_ for _ in ()).throw(OSError(13, "denied")))
        assert lives.begins() == {}
        lives.keeps(call_2=b"b")
    await lives.ends()
    assert lives.on_disk() == {"call/1": b"a", "call/2": b"b"}
    lives.dies()
    assert lives.begins() == {"call/1": b"a", "call/2": b"b"}


async def test_what_does_not_fit_into_memory_is_on_the_disk_alone_and_the_next_life_asks_there(tmp_path, said):
    lives = Lives(tmp_path, extents=3)
    lives.begins()
    for n in range(2 * 4 + 1):
        lives.keeps(**{f"call_{n}": bytes(150_000)})
    assert [line["event"] for line in said] == ["state.memory_full"]
    await lives.ends()
    lives.dies()
    assert len(lives.begins()) == 9
    assert said[1]["reason"] == "it does not hold everything"
    lives.keeps(call_8=None)
    assert said[-1]["event"] == "state.memory_room_again"


# BOUND: STATE_VALUE_OCTETS
async def test_a_value_that_is_too_long_is_said_and_its_old_one_is_not_given_back(lives, said):
    lives.begins()
    lives.keeps(call_1=b"a")
    lives.keeps(call_1=bytes(limits.STATE_VALUE_OCTETS + 1))
    assert (said[0]["event"], said[0]["kind"]) == ("state.too_long", "call")
    lives.dies()
    assert lives.begins() == {}


# BOUND: STATE_CALLS
async def test_calls_are_bounded_apart_from_all_else(lives, said, monkeypatch):
    monkeypatch.setattr(limits, "STATE_CALLS", 2)
    monkeypatch.setattr(limits, "STATE_KEYS", 1)
    lives.begins()
    lives.keeps(call_1=b"", call_2=b"", call_3=b"", ban_1=b"")
    assert [(line["event"], line["table"]) for line in said] == [("state.full", "state_calls")]
    assert [(table.name, table.used, table.most) for table in lives.store.tables()[:2]] == [
        ("state_keys", 1, 1),
        ("state_calls", 2, 2),
    ]


async def test_without_memory_the_disk_is_all_there_is(tmp_path, said):
    def refused(_identity):
        raise OSError(12, "Cannot allocate memory")

    store = StateStore(tmp_path, refused)
    assert store.load() == ()
    store.store(StoreState("a", b"1"))
    store.start()
    assert await store.finish(5) == 0
    assert [line["event"] for line in said] == ["state.memory_refused"]


async def test_memory_that_does_not_even_begin_is_done_without(tmp_path, said):
    memory = MemoryOfTests()
    memory.has = 0
    store = StateStore(tmp_path, lambda _of: memory.journal())
    assert store.load() == ()
    store.store(StoreState("a", b"1"))
    assert [line["event"] for line in said] == ["state.memory_refused"]


# BOUND: STATE_BEHIND_SECONDS
async def test_a_disk_that_is_behind_is_an_alarm_until_it_has_caught_up(lives, said, monkeypatch, autojump_clock):
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    lives.begins()
    lives.keeps(call_1=b"a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lives.store.watch)
        await trio.sleep(2)
        assert said == []
        now[0] += limits.STATE_BEHIND_SECONDS
        assert lives.store.lag() == (1, limits.STATE_BEHIND_SECONDS)
        await trio.sleep(3)
        lives.store._disk._file.write(lives.store._disk._take(), b"")
        lives.store._disk._writing_since = None
        await trio.sleep(3)
        nursery.cancel_scope.cancel()
    assert [line["event"] for line in said] == ["state.behind", "state.caught_up"]


# --- the clock --------------------------------------------------------------------------------------------------------


@pytest.fixture
def machine(monkeypatch):
    """Its clocks: `up` seconds since the boot, and the wall."""

    class Machine:
        boot, up, wall = "first", 1_000.0, 1_800_000_000.0

        def passes(self, seconds):
            self.up += seconds
            self.wall += seconds

        def boots(self, off=0.0, up=10.0):
            self.boot, self.up = self.boot + "'", up
            self.wall += off + up

    machine = Machine()
    monkeypatch.setattr(clock, "boot_id", lambda: machine.boot)
    monkeypatch.setattr(time, "clock_gettime", lambda _which: machine.up)
    monkeypatch.setattr(time, "time", lambda: machine.wall)
    return machine


async def test_after_a_reboot_the_engines_clock_goes_on_by_what_the_wall_says(lives, machine):
    lives.begins()
    assert clock.boot_seconds() == 1_000.0
    machine.passes(500)
    lives.keeps(call_1=b"a")
    await lives.ends()
    machine.boots(off=90.0)
    lives.memory = MemoryOfTests()
    lives.begins()
    assert clock.boot_seconds() == pytest.approx(1_600.0)
    assert clock.wall_at_zero() == pytest.approx(machine.wall - 1_600.0)
    machine.passes(10)
    lives.dies()
    clock.go_on(0.0)
    lives.begins()  # of the same boot, from memory
    assert clock.boot_seconds() == pytest.approx(1_610.0)
    await lives.ends()
    machine.boots(off=5.0)
    lives.memory = MemoryOfTests()
    lives.begins()
    assert clock.boot_seconds() == pytest.approx(1_625.0)


@pytest.mark.parametrize(("away", "is_late"), [(27.0, False), (29.0, True)])
async def test_who_was_away_for_longer_than_a_request_is_repeated_asks_all_calls(lives, machine, away, is_late):
    """Who has hung up meanwhile has tried 32 s long, and does not come again."""
    lives.begins()
    assert not lives.store.is_late
    lives.keeps(call_1=b"a")
    lives.dies()
    machine.passes(away)
    assert lives.begins() == {"call/1": b"a"}
    assert lives.store.is_late is is_late


async def test_that_we_listen_is_written_down_while_we_do(lives, machine, autojump_clock):
    lives.begins()
    lives.keeps(call_1=b"a")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lives.store.watch)
        await trio.sleep(0.5)
        machine.passes(500)
        await trio.sleep(1)
        nursery.cancel_scope.cancel()
    lives.dies()
    machine.passes(2)
    lives.begins()
    assert not lives.store.is_late


async def test_a_late_start_that_dies_before_all_were_asked_is_followed_by_another_one(lives, machine, autojump_clock):
    lives.begins()
    lives.keeps(call_1=b"a")
    assert lives.store._disk._try_to_write(0) == 0
    lives.memory = MemoryOfTests()
    for seconds, is_late in ((5, True), (25, True), (5, False)):
        lives.begins()
        assert lives.store.is_late is is_late
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lives.store.watch)
            await trio.sleep(seconds)
            nursery.cancel_scope.cancel()
        lives.dies()


async def test_the_clock_is_marked_though_nothing_is_kept(lives, machine, monkeypatch):
    monkeypatch.setattr(state_writer, "_MARK_SECONDS", 0.01)
    lives.begins()
    lives.store.start()
    machine.passes(50)
    with trio.fail_after(5):
        while True:
            with sqlite3.connect(lives.folder / "state.db") as file:
                found = file.execute("SELECT value FROM about WHERE key = 'clock'").fetchall()
            file.close()
            if found and clock.read_mark(found[0][0]).engine == 1_050.0:
                break
            await trio.sleep(0.01)
    await lives.ends()
