"""The copy without a server: order, cursor, alarms, the end. With one: tests/interop/test_postgres_records.py."""

import threading

import pytest
import structlog
import trio

from sbc.admin.alarm_kinds import KINDS
from sbc.cdr.store import CdrWriter, Place
from sbc.core import limits
from sbc.core.errors import OperatorError
from sbc.core.secret import Secret
from sbc.policy.model import Postgres
from sbc.runtime import cdr_copy, cdr_postgres
from sbc.runtime.cdr_copy import CdrCopy
from sbc.runtime.cdr_postgres import CopyError, need_psycopg
from tests.runtime.records_of_tests import record

HERE = Postgres("postgresql://x@here/z", Secret("secret-word"))
THERE = Postgres("postgresql://x@there/z")


class Server:
    """What all connections lead to. `down`: nobody connects; `gate`: a statement hangs; `bad`: is refused for good."""

    def __init__(self):
        self.refs, self.connections, self.down, self.bad = [], [], False, set()
        self.gate = threading.Event()
        self.gate.set()

    def connect(self, postgres):
        if self.down:
            raise CopyError("connection refused")
        self.connections.append(postgres.url)
        return Connection(self)


class Connection:
    def __init__(self, server):
        self.server, self.is_cut = server, threading.Event()

    def put(self, calls, attempts):
        while not self.server.gate.wait(0.005):
            if self.is_cut.is_set():
                raise CopyError("cut")
        self.server.refs += [row[0] for row in calls if row[0] not in self.server.bad]
        return [(row[0], "no") for row in calls if row[0] in self.server.bad]

    def cut(self):
        self.is_cut.set()

    def close(self):
        pass


@pytest.fixture
def server():
    return Server()


@pytest.fixture
def writer(tmp_path):
    with CdrWriter.open(tmp_path) as writer:
        yield writer


@pytest.fixture
async def copy(writer, server, monkeypatch):
    monkeypatch.setattr(cdr_copy, "_GATHER_SECONDS", 0.001)
    monkeypatch.setattr(cdr_copy, "_BREATH_SECONDS", 0.001)
    monkeypatch.setattr(cdr_copy, "_PAUSES_SECONDS", (0.02,))
    copy = CdrCopy(writer, server.connect)
    yield copy
    await copy.finish(0.05)


@pytest.fixture
def logs():
    with structlog.testing.capture_logs() as logs:
        yield logs


def write(writer, copy, *refs):
    writer.write([record(ref) for ref in refs])
    copy.stored()


async def until(condition):
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - it waits for a thread
            await trio.sleep(0.001)


def events(logs, *names):
    return [line["event"] for line in logs if line["event"] in names]


async def test_records_are_copied_in_the_order_of_writing_with_the_cursor_behind_them(copy, writer, server):
    refs = [f"r{n:04}" for n in range(450)]
    write(writer, copy, *refs[:300])
    copy.start(HERE)
    await until(lambda: len(server.refs) == 300)
    write(writer, copy, *refs[300:])
    await until(lambda: copy.pending == 0)

    assert server.refs == refs
    assert writer.copied_to(HERE.url) == Place(450, "r0449")


async def test_nothing_is_asked_for_and_nothing_is_pending(copy, writer):
    copy.start(None)
    write(writer, copy, "r1")
    assert copy.pending is None


async def test_records_that_were_removed_before_do_not_wait(copy, writer, server):
    writer.write([record(f"r{n:02}") for n in range(20)])
    writer.forget(4e9, None, 15)
    server.down = True
    copy.start(HERE)
    await until(lambda: copy._failures)
    assert copy.pending == 5


async def test_a_server_that_is_down_is_one_alarm_and_its_end_is_said(copy, writer, server, logs):
    server.down = True
    copy.start(HERE)
    write(writer, copy, "r1", "r2")
    await until(lambda: copy._failures > 3)
    assert copy.pending == 2
    server.down = False
    await until(lambda: server.refs == ["r1", "r2"])
    await until(lambda: copy._failures == 0)

    assert events(logs, "cdr.copy_failing", "cdr.copied_again") == ["cdr.copy_failing", "cdr.copied_again"]
    assert logs[0]["alarm"] is True
    assert "secret-word" not in str(logs)


async def test_what_was_handed_over_before_the_cursor_could_move_is_handed_over_again(
    copy, writer, server, monkeypatch
):
    moved = writer.set_copied
    monkeypatch.setattr(writer, "set_copied", lambda *_: (_ for _ in ()).throw(cdr_copy.StoreError("the disk is full")))
    copy.start(HERE)
    write(writer, copy, "r1")
    await until(lambda: len(server.refs) >= 2)
    monkeypatch.setattr(writer, "set_copied", moved)
    await until(lambda: copy.pending == 0)

    assert set(server.refs) == {"r1"}  # the server ignores what it has


async def test_a_server_that_cannot_take_a_whole_batch_in_its_time_gets_smaller_ones(copy, writer, server, monkeypatch):
    def slow(self, calls, attempts):
        if len(calls) > 20:
            raise CopyError("canceling statement due to statement timeout")
        server.refs += [row[0] for row in calls]
        return []

    monkeypatch.setattr(Connection, "put", slow)
    refs = [f"r{n:04}" for n in range(300)]
    write(writer, copy, *refs)
    copy.start(HERE)
    await until(lambda: copy.pending == 0)
    assert server.refs == refs


async def test_a_refused_record_is_an_alarm_until_it_is_there(writer, server, logs, monkeypatch):
    monkeypatch.setattr(cdr_copy, "_BREATH_SECONDS", 0.001)
    server.bad = {"r2"}
    writer.write([record(f"r{n}") for n in range(4)])
    for turn in range(3):  # as often the program starts
        if turn == 2:
            server.bad = set()
        copy = CdrCopy(writer, server.connect)
        copy.start(HERE)
        await copy.finish(5)

    lines = [line for line in logs if "refused" in line["event"]]
    assert [(line["event"], line.get("ref"), line.get("set_aside")) for line in lines] == [
        ("cdr.copy_refused", "r2", None),
        ("cdr.copy_refused", "r2", 1),
        ("cdr.refused_copied", None, None),
    ]
    kind = KINDS["cdr.copy_refused"]
    assert lines[-1]["event"] in kind.cleared_by
    assert lines[-1][kind.subject[0]] == lines[0][kind.subject[0]] == HERE.url


async def test_a_record_that_is_refused_is_an_alarm_and_does_not_hold_up_the_rest(copy, writer, server, logs):
    server.bad = {"r2"}
    copy.start(HERE)
    write(writer, copy, "r1", "r2", "r3")
    await until(lambda: copy.pending == 0)
    assert server.refs == ["r1", "r3"]
    assert [(line["ref"], line["alarm"]) for line in logs if line["event"] == "cdr.copy_refused"] == [("r2", True)]

    server.bad = set()
    copy.change(HERE)  # a reload
    await until(lambda: server.refs == ["r1", "r3", "r2"])
    await until(lambda: writer.set_aside(HERE.url) == [])


async def test_another_destination_gets_everything_and_ends_the_alarm_of_the_former(copy, writer, server, logs):
    server.down = True
    copy.start(HERE)
    write(writer, copy, "r1")
    await until(lambda: copy._failures)
    server.down = False
    copy.change(THERE)
    await until(lambda: server.refs == ["r1"])

    assert server.connections == [THERE.url]
    assert [line["destination"] for line in logs if line["event"] == "cdr.copy_ended"] == [HERE.url]


async def test_a_change_does_not_wait_for_a_server_that_hangs(copy, writer, server):
    server.gate.clear()
    copy.start(HERE)
    write(writer, copy, "r1")
    await until(lambda: copy._destination is not None)
    copy.change(None)
    await until(lambda: copy._destination is None)
    assert copy.pending is None


async def test_at_the_end_what_is_left_is_copied(copy, writer, server):
    copy.start(HERE)
    await until(lambda: server.connections)
    write(writer, copy, *(f"r{n}" for n in range(500)))
    with trio.fail_after(5):
        await copy.finish(5)
    assert len(server.refs) == 500


async def test_at_the_end_a_server_that_hangs_is_left(copy, writer, server):
    server.gate.clear()
    copy.start(HERE)
    write(writer, copy, "r1")
    await until(lambda: copy._destination is not None)
    with trio.fail_after(2):
        await copy.finish(0.05)
    assert not copy._thread.is_alive()
    assert writer.copied_to(HERE.url) is None


# BOUND: CDR_COPY_BEHIND
async def test_many_more_than_at_the_start_is_an_alarm_and_its_end_is_said(copy, writer, server, logs, monkeypatch):
    monkeypatch.setattr(limits, "CDR_COPY_BEHIND", 10)
    write(writer, copy, *(f"old{n}" for n in range(100)))
    server.down = True
    copy.start(HERE)
    await until(lambda: copy._failures > 2)
    assert events(logs, "cdr.copy_behind") == []
    write(writer, copy, *(f"new{n}" for n in range(20)))
    await until(lambda: events(logs, "cdr.copy_behind"))
    server.down = False
    await until(lambda: events(logs, "cdr.copy_caught_up"))


async def test_an_end_before_the_beginning_is_none(copy):
    await copy.finish(0.01)


def test_a_missing_library_is_said_with_what_brings_it(monkeypatch):
    need_psycopg(None)
    monkeypatch.setattr(cdr_postgres.importlib.util, "find_spec", lambda _: None)
    need_psycopg(None)
    with pytest.raises(OperatorError, match=r"pip install 'sbc\[postgres\]'"):
        need_psycopg(HERE)
