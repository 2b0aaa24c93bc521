"""What calls come to on its way to the spool: batches, a full disk, the end of the program."""

import threading

import pytest
import trio
from structlog.testing import capture_logs

from sbc.b2bua.commands import NoteCdr, WriteCdr
from sbc.b2bua.events import CdrDurable, CdrFailed, CdrFlows, CdrStalled, CdrStarted
from sbc.cdr.entry import Attempted, Started, Stopped
from sbc.cdr.spool import SpoolError
from sbc.core import limits
from sbc.runtime import cdr_sink
from sbc.runtime.cdr_sink import CdrSink
from tests.runtime.records_of_tests import record


def attempt(ref):
    return NoteCdr(Attempted(ref, "office", "1", "2", 0.0, "x"))


class FakeSpool:
    """Refuses while `full`; `gate` holds a write up."""

    def __init__(self):
        self.batches = []
        self.full = False
        self.open = {}
        self.refused = threading.Event()
        self.called = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def write(self, entries):
        self.called.set()
        self.gate.wait(5)
        if self.full:
            self.refused.set()
            raise SpoolError("the disk is full")
        self.batches.append(list(entries))

    def closing(self, alive):
        return [record(ref) for ref in self.open if ref not in alive]

    @property
    def refs(self):
        return [[entry.ref for entry in batch] for batch in self.batches]


@pytest.fixture
def spool():
    return FakeSpool()


@pytest.fixture
def rig(spool, monkeypatch):
    monkeypatch.setattr(cdr_sink, "_PAUSES_SECONDS", (0.01,))
    told = []
    sink = CdrSink(spool, told.append)
    sink.told = told
    return sink


async def until(condition):
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - it waits for a thread
            await trio.sleep(0.001)


async def test_a_record_is_durable_only_after_the_spool_has_returned(rig, spool):
    spool.gate.clear()
    rig.start()
    rig.write(WriteCdr(record("a")))
    await trio.sleep(0.02)
    assert (rig.told, rig.pending) == ([], 1)

    spool.gate.set()
    await until(lambda: rig.told)
    assert rig.told == [CdrDurable("a")]
    assert rig.pending == 0
    assert await rig.finish(5) == 0


async def test_what_comes_within_a_moment_or_while_the_disk_is_busy_is_one_batch(rig, spool):
    spool.gate.clear()
    rig.start()
    rig.write(WriteCdr(record("first")))
    rig.write(WriteCdr(record("second")))
    with trio.fail_after(5):
        await trio.to_thread.run_sync(spool.called.wait, 5)
    for n in range(100):
        rig.write(WriteCdr(record(str(n))))
    spool.gate.set()
    await until(lambda: rig.pending == 0)

    assert [len(batch) for batch in spool.batches] == [2, 100]
    assert len(rig.told) == 102
    await rig.finish(5)


async def test_a_calls_beginning_is_written_in_its_order_and_told_only_where_that_is_wanted(rig, spool):
    rig.start()
    rig.note(attempt("a"))
    rig.note(NoteCdr(Started(record("a"))))
    rig.note(NoteCdr(Started(record("b")), tells=True))
    rig.write(WriteCdr(record("a")))
    await until(lambda: CdrDurable("a") in rig.told)
    await rig.finish(5)
    entries = [entry for batch in spool.batches for entry in batch]
    assert [(type(entry), entry.ref) for entry in entries] == [
        (Attempted, "a"),
        (Started, "a"),
        (Started, "b"),
        (Stopped, "a"),
    ]
    assert rig.told == [CdrStarted("b"), CdrDurable("a")]


async def test_a_full_disk_keeps_the_records_until_there_is_room(rig, spool):
    spool.full = True
    rig.start()
    rig.write(WriteCdr(record("a")))
    await until(lambda: rig.told)
    assert rig.told == [CdrStalled("the disk is full"), CdrFailed("a", "the disk is full")]
    assert rig.pending == 1

    spool.refused.clear()
    await until(spool.refused.is_set)
    spool.full = False
    await until(lambda: rig.pending == 0)
    assert rig.told == [CdrStalled("the disk is full"), CdrFailed("a", "the disk is full"), CdrDurable("a"), CdrFlows()]
    await rig.finish(5)


async def test_a_full_disk_is_noticed_by_the_first_call_that_comes(rig, spool):
    spool.full = True
    rig.start()
    rig.note(attempt("a"))
    await until(lambda: rig.told)
    spool.full = False
    await until(lambda: len(rig.told) > 1)
    assert rig.told == [CdrStalled("the disk is full"), CdrFlows()]
    await rig.finish(5)


async def test_on_a_full_disk_only_records_are_kept_without_end(rig, spool, monkeypatch):
    monkeypatch.setattr(limits, "CDR_QUEUE", 10)
    spool.full = True
    rig.start()
    rig.write(WriteCdr(record("a")))
    await until(lambda: rig.told)
    for n in range(50):
        rig.note(attempt(f"n{n}"))
        rig.write(WriteCdr(record(f"r{n}")))
    spool.full = False
    await until(lambda: rig.pending == 0)
    await rig.finish(5)
    entries = [entry for batch in spool.batches for entry in batch]
    assert sum(isinstance(entry, Stopped) for entry in entries) == 51
    assert sum(isinstance(entry, Attempted) for entry in entries) <= 10


async def test_each_record_that_waits_is_told_however_many_they_are(rig, spool):
    """The engine refuses new calls by their number: those behind the batch that the disk refuses count, too."""
    spool.full = True
    rig.start()
    rig.write(WriteCdr(record("first")))
    await until(lambda: rig.told)
    refs = [f"r{n}" for n in range(1200)]  # more than a batch
    for ref in refs:
        rig.write(WriteCdr(record(ref)))
    await until(lambda: len(rig.told) == 2 + len(refs))
    assert [event.ref for event in rig.told[1:]] == ["first", *refs]
    assert all(type(event) is CdrFailed for event in rig.told[1:])
    spool.full = False
    await until(lambda: rig.pending == 0)
    rig.told.clear()
    rig.write(WriteCdr(record("later")))
    await until(lambda: CdrDurable("later") in rig.told)
    assert CdrFailed("later", "the disk is full") not in rig.told
    await rig.finish(5)


async def test_a_disk_that_hangs_is_one_that_takes_nothing(rig, spool, monkeypatch):
    monkeypatch.setattr(cdr_sink, "_HANGS_SECONDS", 0.0)
    spool.gate.clear()
    rig.start()
    with capture_logs() as lines:
        rig.write(WriteCdr(record("a")))
        await until(spool.called.is_set)
        assert rig.told == []
        rig.note(attempt("b"))
        await until(lambda: rig.told)
        why = "the disk has not answered for 0 s"
        assert rig.told == [CdrStalled(why), CdrFailed("a", why)]
        rig.write(WriteCdr(record("c")))
        rig.note(attempt("d"))
        await until(lambda: len(rig.told) == 3)
        spool.gate.set()
        await until(lambda: rig.pending == 0)
    assert CdrFlows() in rig.told
    assert [line["event"] for line in lines][:2] == ["cdr.not_stored", "cdr.stored_again"]
    await rig.finish(5)


async def test_the_alarm_counts_every_record_that_waits(rig, spool):
    spool.full = True
    with capture_logs() as lines:
        rig.start()
        rig.write(WriteCdr(record("a")))
        await until(lambda: rig.told)
        for n in range(99):
            rig.write(WriteCdr(record(str(n))))
        lines.clear()
        await until(lambda: len(lines) > 1)
    assert lines[-1]["records"] == 100
    spool.full = False
    await until(lambda: rig.pending == 0)
    await rig.finish(5)


async def test_finishing_stores_what_waits(rig, spool):
    rig.start()
    for n in range(1200):
        rig.write(WriteCdr(record(str(n))))
    assert await rig.finish(5) == 0
    assert sum(map(len, spool.batches)) == 1200
    assert len(rig.told) == 1200


async def test_finishing_gives_up_on_a_disk_that_stays_full_and_says_how_many(rig, spool):
    spool.full = True
    rig.start()
    for n in range(3):
        rig.write(WriteCdr(record(str(n))))
    assert await rig.finish(0.05) == 3
    assert not rig._thread.is_alive()


async def test_a_bug_in_the_spool_does_not_lose_the_writer(rig, spool, monkeypatch):
    real, calls = spool.write, []

    def broken(entries):
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("ref")
        real(entries)

    monkeypatch.setattr(spool, "write", broken)
    rig.start()
    rig.write(WriteCdr(record("a")))
    await until(lambda: rig.pending == 0)
    assert rig.told == [CdrStalled("KeyError: 'ref'"), CdrFailed("a", "KeyError: 'ref'"), CdrDurable("a"), CdrFlows()]
    await rig.finish(5)


# --- calls of an earlier life -----------------------------------------------------------------------------------------


async def test_calls_that_nobody_goes_on_with_are_closed_after_what_was_ordered_before(rig, spool):
    spool.open = dict.fromkeys(("gone", "alive"))
    with capture_logs() as lines:
        rig.start()
        rig.write(WriteCdr(record("ended")))
        rig.close_open({"alive", "new"})
        await until(lambda: len([one for batch in spool.refs for one in batch]) == 2)
    assert [ref for batch in spool.refs for ref in batch] == ["ended", "gone"]
    assert [(line["event"], line["calls"], line["refs"]) for line in lines] == [("cdr.closed", 1, "gone")]
    await until(lambda: rig.told)
    assert (rig.told, rig.pending) == ([CdrDurable("ended")], 0)
    await rig.finish(5)


async def test_a_bug_in_closing_them_is_not_in_the_way_of_what_comes(rig, spool, monkeypatch):
    def broken(_alive):
        raise ZeroDivisionError

    monkeypatch.setattr(spool, "closing", broken)
    rig.start()
    rig.close_open(set())
    rig.write(WriteCdr(record("a")))
    await until(lambda: rig.told)
    assert rig.told == [CdrDurable("a")]
    await rig.finish(5)


# --- what else the writer's thread does -------------------------------------------------------------------------------


async def test_destinations_hear_of_records_and_what_nobody_needs_is_removed_between(spool, monkeypatch):
    monkeypatch.setattr(cdr_sink, "_TIDY_SECONDS", 0.002)
    told, tidied = [], []
    sink = CdrSink(spool, lambda _: None, stored=lambda: told.append(len(spool.batches)), tidy=lambda: tidied.append(1))
    sink.start()
    await until(lambda: len(tidied) > 2)  # also where nothing comes
    sink.note(attempt("a"))
    await until(lambda: spool.refs == [["a"]])
    sink.write(WriteCdr(record("a")))
    await until(lambda: told == [2])
    await sink.finish(5)


@pytest.mark.parametrize("error", [SpoolError("the disk gave an error"), ZeroDivisionError()])
async def test_a_failure_to_tidy_up_does_not_stop_the_writing(spool, monkeypatch, error):
    monkeypatch.setattr(cdr_sink, "_TIDY_SECONDS", 0.001)
    failed = []

    def tidy():
        failed.append(1)
        raise error

    sink = CdrSink(spool, lambda _: None, tidy=tidy)
    sink.start()
    sink.write(WriteCdr(record("a")))
    await until(lambda: spool.refs == [["a"]])
    await until(lambda: len(failed) > 1)  # nor is it the end of tidying up
    await sink.finish(5)
