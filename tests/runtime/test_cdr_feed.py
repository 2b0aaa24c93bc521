"""The spool on a real disk and what is fed from it: our store, files, a reload between, a destination that fails."""

import json
import shutil
import threading

import pytest
import trio
from structlog.testing import capture_logs

from sbc.b2bua.commands import NoteCdr, WriteCdr
from sbc.b2bua.events import CdrDurable
from sbc.cdr.entry import Attempted, Stopped
from sbc.cdr.spool import Spool, Spot
from sbc.cdr.store import CdrReader, CdrWriter, StoreError
from sbc.policy.model import CdrRules, RecordFiles
from sbc.runtime import cdr_feed
from sbc.runtime.cdr_copy import CdrCopy
from sbc.runtime.cdr_feed import CdrFeed
from sbc.runtime.cdr_records import CdrRecords
from sbc.runtime.cdr_retention import CdrRetention
from sbc.runtime.disk import DiskFolder
from tests.runtime.records_of_tests import record


async def until(condition):
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - it waits for a thread
            await trio.sleep(0.002)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(cdr_feed, "_PAUSES_SECONDS", (0.01,))


class Life:
    """All of it on a data_dir, as `app` puts it together."""

    def __init__(self, data_dir, rules=CdrRules()):  # noqa: B008 - a frozen value
        self.told = []
        self.store = CdrWriter.open(data_dir)
        self.records = CdrRecords(
            self.store, CdrCopy(self.store), CdrRetention(self.store, rules), self.told.append, "sbc"
        )
        self.records.start(rules)
        self.sink = self.records.sink

    def write(self, *refs):
        for ref in refs:
            self.sink.write(WriteCdr(record(ref)))

    async def end(self):
        assert await self.records.finish(5) == 0
        self.store.close()


def stored(data_dir):
    with CdrReader.open(data_dir) as reader:
        return [shown["ref"] for shown in reader.every()]


def filed(folder):
    return [json.loads(line)["ref"] for path in sorted(folder.iterdir()) for line in path.read_text().splitlines()]


async def test_records_get_through_the_spool_into_our_store_and_the_files(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    life = Life(data, CdrRules(files=RecordFiles(str(out), "json")))
    life.sink.note(NoteCdr(Attempted("a", "office", "1", "2", 0.0, "x")))
    life.write(*(f"c{n}" for n in range(700)))
    await until(lambda: len(life.told) == 700)
    await life.end()
    assert sorted(stored(data)) == sorted(filed(out)) == sorted(f"c{n}" for n in range(700))
    assert life.told == [CdrDurable(f"c{n}") for n in range(700)]


async def test_the_next_life_goes_on_closes_what_is_open_and_doubles_nothing(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    rules = CdrRules(files=RecordFiles(str(out), "json"))
    first = Life(data, rules)
    for ref in ("open", "alive"):
        first.sink.note(NoteCdr(Attempted(ref, "office", "1", "2", 1000.0, "x")))
    first.write("a")
    await first.end()
    second = Life(data, rules)
    second.sink.close_open({"alive"})
    second.write("a", "b")
    await second.end()
    assert sorted(stored(data)) == sorted(filed(out)) == ["a", "b", "open"]
    with CdrReader.open(data) as reader:
        assert {shown["ref"]: shown["estimated"] for shown in reader.every()} == {"a": 0, "b": 0, "open": 1}


async def test_a_store_that_is_locked_holds_up_no_call_and_gets_all_later(tmp_path, monkeypatch):
    life = Life(tmp_path)
    is_locked = threading.Event()
    is_locked.set()
    real = life.store.write

    def write(records, spot=None):
        if is_locked.is_set():
            raise StoreError("is locked by another program")
        real(records, spot)

    monkeypatch.setattr(life.store, "write", write)
    with capture_logs() as lines:
        life.write("a", "b")
        await until(lambda: len(life.told) == 2)
        await until(lambda: lines)
        assert life.records.view().pending == (("cdr.db", 2),)
        is_locked.clear()
        await until(lambda: len(lines) == 2)
    assert [(line["event"], line["destination"]) for line in lines] == [
        ("cdr.feed_failing", "cdr.db"),
        ("cdr.fed_again", "cdr.db"),
    ]
    assert lines[0]["alarm"]
    assert life.records.view().pending == (("cdr.db", 0),)
    await life.end()
    assert stored(tmp_path) == ["a", "b"]


async def test_a_folder_that_cannot_be_written_holds_up_nothing_else(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    out.write_text("a file, and no folder")
    life = Life(data, CdrRules(files=RecordFiles(str(out), "json")))
    with capture_logs() as lines:
        life.write("a")
        await until(lambda: lines)
        await until(lambda: stored(data) == ["a"])
        out.unlink()
        await until(lambda: len(lines) == 2)
    assert [line["event"] for line in lines] == ["cdr.feed_failing", "cdr.fed_again"]
    await life.end()
    assert filed(out) == ["a"]


async def test_a_reload_brings_files_changes_their_folder_and_takes_them_away(tmp_path):
    data, one, other = tmp_path / "data", tmp_path / "one", tmp_path / "other"
    life = Life(data)
    life.write("before")
    await until(lambda: stored(data) == ["before"])
    life.records.change(CdrRules(files=RecordFiles(str(one), "json")))
    await trio.sleep(0.05)
    life.write("a")
    await until(lambda: one.exists() and filed(one) == ["a"])
    life.records.change(CdrRules(files=RecordFiles(str(other), "json")))
    await trio.sleep(0.05)
    life.write("b")
    await until(lambda: other.exists() and filed(other) == ["b"])
    with capture_logs() as lines:
        life.records.change(CdrRules())
    assert [(line["event"], line["destination"]) for line in lines] == [("cdr.feed_ended", str(other))]
    life.write("c")
    await life.end()
    assert sorted(stored(data)) == ["a", "b", "before", "c"]
    assert (filed(one), filed(other)) == (["a"], ["b"])


async def test_a_torn_and_a_damaged_spool_are_told_and_do_not_end_the_start(tmp_path):
    life = Life(tmp_path)
    life.write("a", "b", "c")
    await life.end()
    segment = tmp_path / "spool" / "0000000001.spool"
    text = bytearray(segment.read_bytes())
    text[30] ^= 1
    segment.write_bytes(text + b"torn")
    with capture_logs() as lines:
        again = Life(tmp_path)
    assert [(line["event"], line.get("alarm")) for line in lines] == [
        ("cdr.spool_damaged", True),
        ("cdr.spool_cut", None),
    ]
    again.write("d")
    await again.end()
    assert sorted(stored(tmp_path)) == ["a", "b", "c", "d"]  # what is damaged now, our store had already


@pytest.mark.parametrize("way", ["removed", "moved"])
async def test_a_data_dir_that_goes_away_loses_nothing_that_comes_after(tmp_path, way):
    data_dir = tmp_path / "data"
    life = Life(data_dir)
    life.write("a")
    await until(lambda: CdrDurable("a") in life.told and not life.records.view().pending[0][1])
    if way == "removed":
        shutil.rmtree(data_dir)
    else:
        data_dir.rename(tmp_path / "moved")
    life.write("b")
    await until(lambda: CdrDurable("b") in life.told)
    life.write("c")
    await until(lambda: CdrDurable("c") in life.told and not life.records.view().pending[0][1])
    await life.end()
    assert sorted(stored(data_dir)) == ["b", "c"]


async def test_a_segment_that_is_removed_before_it_was_fed_is_told_and_holds_nothing_up(tmp_path):
    life = Life(tmp_path)
    life.store.close()  # so that nothing is fed
    life.write("a")
    await until(lambda: CdrDurable("a") in life.told)
    spool = Spool(DiskFolder(tmp_path / "spool"), tell=(told := []).append)
    spool.load()
    (tmp_path / "spool" / "0000000001.spool").unlink()
    spool.write([Stopped(record("b"))])
    found, spot = spool.records(Spot(), 10)
    assert [one.ref for one in found] == ["b"]
    assert [(damage.file, damage.offset) for damage in told] == [("0000000001.spool", 0)]
    assert spool.records(spot, 10) == ([], spot)
    spool.close()
    await life.records.finish(1)


async def test_a_store_of_before_the_spool_goes_on(tmp_path):
    with CdrWriter.open(tmp_path) as writer:
        writer.write([record("old")])
        writer._connection.execute("DROP TABLE fed")
    life = Life(tmp_path)
    life.write("new")
    await life.end()
    assert sorted(stored(tmp_path)) == ["new", "old"]


async def test_a_bug_in_what_is_done_between_is_an_alarm_and_the_feed_goes_on(tmp_path):
    spool = Spool(DiskFolder(tmp_path / "spool"))
    spool.load()
    taken = []

    class Destination:
        def fed(self):
            return Spot()

        def take(self, records, spot):
            taken.extend(one.ref for one in records)

    def broken():
        raise ZeroDivisionError

    feed = CdrFeed("a", spool, Destination, between=broken)
    with capture_logs() as lines:
        feed.start()
        await until(lambda: lines)
        spool.write([Stopped(record("a"))])
        feed.more()
        await until(lambda: taken == ["a"])
        await feed.finish(5)
    assert lines[0]["event"] == "cdr.feed_failing"
    spool.close()
