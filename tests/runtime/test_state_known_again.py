"""The memory knows its `state.db` again, whenever we have died, and takes none for it that others have written."""

import contextlib
import sqlite3

import pytest
import structlog

from sbc.runtime import clock, state_writer
from sbc.runtime.state_file import CLOCK
from tests.runtime.memory_of_tests import KilledError, MemoryOfTests
from tests.runtime.state_lives import Lives


@pytest.fixture
def said():
    with structlog.testing.capture_logs() as lines:
        yield lines


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(state_writer, "GATHER_SECONDS", 0.01)
    monkeypatch.setattr(clock, "_origin", clock._Origin())


@pytest.fixture
def lives(tmp_path):
    lives = Lives(tmp_path)
    yield lives
    lives.closes()


async def test_memory_is_not_believed_where_somebody_else_has_worked_on_the_disk_since(lives, said):
    """A start without memory, or of a copy: what it has ended must not come back."""
    lives.begins()
    lives.keeps(call_1=b"a", call_2=b"b")
    assert lives.store._disk._try_to_write(0) == 0
    lives.keeps(call_3=b"c")
    lives.dies()
    memory, lives.memory = lives.memory, MemoryOfTests()
    lives.begins()
    lives.keeps(call_1=None, call_2=b"B")
    await lives.ends()
    lives.memory = memory
    assert lives.begins() == {"call/2": b"B"}
    assert [line["reason"] for line in said] == ["somebody else has written state.db since"]
    assert not lives.store.is_late


async def test_it_is_known_while_an_operator_is_about_to_write_into_it(lives, said):
    """With sqlite3, in the middle of the night. To read, nobody has to wait for him."""
    lives.begins()
    lives.keeps(call_1=b"a")
    await lives.ends()
    lives.keeps(call_2=b"b")
    lives.dies()
    with contextlib.closing(sqlite3.connect(lives.folder / "state.db", isolation_level=None)) as operator:
        operator.execute("BEGIN IMMEDIATE")
        assert lives.begins() == {"call/1": b"a", "call/2": b"b"}
        lives.memory = MemoryOfTests()
        assert lives.begins() == {"call/1": b"a"}
    assert said == []


@pytest.fixture
def dying(lives):
    """Writes, and comes to the end of it no more: `how` is what becomes of the transaction."""

    def write(how):
        file = lives.store._disk._file
        whole = file.write

        def half(batch, clock):
            if how != "before it":
                whole(batch, clock)
            raise KilledError if how != "and it is said to have failed" else OSError(5, "Input/output error")

        file.write = half
        if how == "and it is said to have failed":
            assert lives.store._disk._try_to_write(0) == 1
            file._about[CLOCK] = lives.mark  # as if it had not come to that
            how = "before it"
        lives.mark = file.clock
        with pytest.raises(KilledError):
            lives.store._disk._try_to_write(0)
        file.write = whole

    return write


@pytest.mark.parametrize("how", ["before it", "after it", "and it is said to have failed"])
async def test_memory_is_believed_after_a_death_at_any_moment_of_a_write(lives, said, dying, how):
    lives.begins()
    lives.keeps(call_1=b"a")
    assert lives.store._disk._try_to_write(0) == 0
    lives.mark = lives.store._disk._file.clock
    lives.keeps(call_2=b"b")
    dying(how)
    lives.keeps(call_3=b"c")
    lives.dies()
    assert lives.begins() == {"call/1": b"a", "call/2": b"b", "call/3": b"c"}
    assert [line["event"] for line in said] == ["state.not_stored"] * (how == "and it is said to have failed")
    assert not lives.store.is_late


@pytest.mark.parametrize("how", ["before it", "after it"])
async def test_nor_is_it_where_we_have_died_in_the_middle_of_a_write_before_that(lives, said, dying, how):
    lives.begins()
    lives.keeps(call_1=b"a")
    dying(how)
    lives.dies()
    memory, lives.memory = lives.memory, MemoryOfTests()
    lives.begins()
    lives.keeps(call_1=None, call_2=b"B")
    await lives.ends()
    lives.memory = memory
    assert lives.begins() == {"call/2": b"B"}
    assert [line["reason"] for line in said] == ["somebody else has written state.db since"]
