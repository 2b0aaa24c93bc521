"""What survives a restart: written soon, read back whole, and never in the way of a start."""

import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
import structlog
import trio

from sbc.core.commands import StoreState
from sbc.runtime import state_writer
from sbc.runtime.state_file import StateFile
from sbc.runtime.state_store import StateStore

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def said():
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(state_writer, "_PAUSES_SECONDS", (0.01,))
    monkeypatch.setattr(state_writer, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr("sbc.runtime.state_file._BUSY_SECONDS", 0.05)


async def until(condition):
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - it waits for a thread
            await trio.sleep(0.005)


def opened(folder):
    store = StateStore(folder)
    items = store.load()
    store.start()
    return store, items


async def kept(folder, *commands):
    store, _ = opened(folder)
    for key, value in commands:
        store.store(StoreState(key, value))
    assert await store.finish(5) == 0


async def test_a_first_start_has_nothing_and_a_private_file(tmp_path):
    store, items = opened(tmp_path)
    assert items == ()
    assert (tmp_path / "state.db").stat().st_mode & 0o777 == 0o600
    assert await store.finish(5) == 0


async def test_what_was_kept_is_given_back(tmp_path):
    await kept(tmp_path, ("register/a", b"\x00\xff"), ("binding/b", b""), ("drill/c", b"1"))
    await kept(tmp_path, ("drill/c", None), ("register/a", b"2"), ("unknown", None))
    store, items = opened(tmp_path)
    assert items == (("binding/b", b""), ("register/a", b"2"))
    await store.finish(5)


async def test_of_values_that_wait_the_last_of_each_key_is_written_in_one_transaction(tmp_path, monkeypatch):
    batches = []
    real = StateFile.write

    def watched(file, batch, clock):
        batches.append(dict(batch))
        real(file, batch, clock)

    monkeypatch.setattr(StateFile, "write", watched)
    store, _ = opened(tmp_path)
    for n in range(100):
        store.store(StoreState("a", str(n).encode()))
        store.store(StoreState("b", None if n == 99 else b"x"))
    assert await store.finish(5) == 0
    assert batches[-1]["a"] == b"99"
    assert batches[-1]["b"] is None
    assert len(batches) <= 3
    assert StateStore(tmp_path).load() == (("a", b"99"),)


async def test_a_value_is_on_the_disk_soon_without_an_end(tmp_path):
    store, _ = opened(tmp_path)
    store.store(StoreState("a", b"1"))
    reader = sqlite3.connect(store.place)
    await until(lambda: reader.execute("SELECT value FROM state").fetchall() == [(b"1",)])
    reader.close()
    await store.finish(5)


@pytest.mark.slow
def test_what_was_said_a_moment_before_a_kill_is_there_afterwards(tmp_path):
    program = f"""
import time
from pathlib import Path
from sbc.core.commands import StoreState
from sbc.runtime.state_store import StateStore
store = StateStore(Path({str(tmp_path)!r}))
store.load()
store.start()
for n in range(1000):
    store.store(StoreState(f"k/{{n}}", b"v"))
print("said", flush=True)
time.sleep(60)
"""
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(ROOT)}
    ) as process:
        assert process.stdout.readline() == b"said\n"
        time.sleep(0.3)  # a twentieth of a second, and a disk that may be slow
        process.send_signal(signal.SIGKILL)
    assert len(StateStore(tmp_path).load()) == 1000


@pytest.mark.parametrize("damage", ["garbage", "cut", "folder"])
async def test_an_unreadable_file_is_moved_aside_and_does_not_stop_the_start(tmp_path, said, damage):
    path = tmp_path / "state.db"
    if damage == "garbage":
        path.write_bytes(b"this is no database, whatever its name says" * 100)
    elif damage == "folder":
        path.mkdir()
    else:
        await kept(tmp_path, *((f"key/{n}", bytes(1000)) for n in range(200)))
        path.write_bytes(path.read_bytes()[:20_000])
    store, items = opened(tmp_path)
    assert items == ()
    [line] = said
    assert (line["event"], line["alarm"], line["log_level"]) == ("state.unreadable", True, "error")
    assert (tmp_path / line["moved_to"]).exists()

    store.store(StoreState("a", b"1"))
    assert await store.finish(5) == 0
    assert StateStore(tmp_path).load() == (("a", b"1"),)


async def test_a_file_that_may_not_be_opened_stays_and_is_tried_again(tmp_path, said, monkeypatch):
    await kept(tmp_path, ("a", b"1"))
    is_full = [True]

    def refused(path):
        if is_full[0]:
            raise OSError(28, "No space left on device")
        return StateFile(path)

    monkeypatch.setattr(state_writer, "StateFile", refused)
    store, items = opened(tmp_path)
    assert items == ()
    store.store(StoreState("b", b"2"))
    await until(lambda: any(line["event"] == "state.not_stored" for line in said))
    is_full[0] = False
    assert await store.finish(5) == 0
    assert next(line["event"] for line in said if line.get("alarm")) == "state.not_read"
    assert said[-1]["event"] == "state.stored_again"
    assert StateStore(tmp_path).load() == (("a", b"1"), ("b", b"2"))


async def test_a_full_disk_is_an_alarm_and_newer_values_win_when_there_is_room(tmp_path, said, monkeypatch):
    real, is_full = StateFile.write, [True]

    def full(file, batch, clock):
        if is_full[0]:
            raise sqlite3.OperationalError("database or disk is full")
        real(file, batch, clock)

    monkeypatch.setattr(StateFile, "write", full)
    store, _ = opened(tmp_path)
    store.store(StoreState("a", b"old"))
    store.store(StoreState("b", b"b"))
    await until(lambda: len(said) > 1)
    store.store(StoreState("a", b"new"))
    is_full[0] = False
    assert await store.finish(5) == 0
    assert {(line["event"], line.get("alarm")) for line in said} == {
        ("state.not_stored", True),
        ("state.stored_again", None),
    }
    assert StateStore(tmp_path).load() == (("a", b"new"), ("b", b"b"))


async def test_the_end_does_not_wait_for_ever_and_says_how_much_is_lost(tmp_path, monkeypatch):
    def full(_file, _batch, _clock):
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(StateFile, "write", full)
    store, _ = opened(tmp_path)
    store.store(StoreState("a", b"1"))
    store.store(StoreState("b", b"2"))
    assert await store.finish(0.05) == 2
    assert not store._disk._thread.is_alive()


# BOUND: STATE_KEYS
async def test_keys_are_bounded_and_known_ones_still_change(tmp_path, said, monkeypatch):
    monkeypatch.setattr("sbc.core.limits.STATE_KEYS", 2)
    await kept(tmp_path, ("a", b"1"))
    store, _ = opened(tmp_path)
    for key in ("b", "c/x", "d"):
        store.store(StoreState(key, b"1"))
    store.store(StoreState("a", b"2"))
    store.store(StoreState("b", None))
    store.store(StoreState("e", b"1"))
    assert await store.finish(5) == 0
    assert StateStore(tmp_path).load() == (("a", b"2"), ("e", b"1"))
    assert [(line["event"], line.get("kind")) for line in said] == [("state.full", "c"), ("state.room_again", None)]


async def test_what_could_not_be_read_and_is_written_at_once_is_over_too(tmp_path, said, monkeypatch):
    def refused(_path):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(state_writer, "StateFile", refused)
        store = StateStore(tmp_path)
        assert store.load() == ()
    store.start()
    store.store(StoreState("a", b"1"))
    assert await store.finish(5) == 0
    assert [line["event"] for line in said] == ["state.not_read", "state.stored_again"]


# BOUND: STATE_KEYS
async def test_when_there_is_room_again_that_is_said_once(tmp_path, said, monkeypatch):
    monkeypatch.setattr("sbc.core.limits.STATE_KEYS", 40)
    store, _ = opened(tmp_path)
    for n in range(41):
        store.store(StoreState(f"a/{n}", b"1"))
    for n in range(10):
        store.store(StoreState(f"a/{n}", None))
    assert await store.finish(5) == 0
    assert [line["event"] for line in said] == ["state.full", "state.room_again"]


async def test_an_end_before_the_start_is_no_trouble(tmp_path):
    store = StateStore(tmp_path)
    assert await store.finish(1) == 0
    store.load()
    assert await store.finish(1) == 0
