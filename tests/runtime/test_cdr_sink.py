"""Call records on their way to disk: batches, a full disk, the end of the program."""

import threading

import pytest
import trio
from structlog.testing import capture_logs

from sbc.b2bua.commands import WriteCdr
from sbc.b2bua.events import CdrDurable, CdrFailed
from sbc.cdr.record import CallRecord
from sbc.cdr.store import StoreError
from sbc.runtime import cdr_sink
from sbc.runtime.cdr_sink import CdrSink


def record(ref):
    return CallRecord(
        ref=ref, ingress="office", egress=None, route=None, caller="1", called="2", called_as_sent=None,
        started_at=0.0, ringing_at=None, answered_at=None, ended_at=1.0, billable_ms=0, sip_status=404, q850=1,
        ended_by="sbc", cause="no_route", emergency=False, disaster=False, media=None, ingress_call_id="x",
        egress_call_id=None,
    )  # fmt: skip


class FakeStore:
    """Refuses while `full`; `gate` holds a write up."""

    def __init__(self):
        self.batches = []
        self.full = False
        self.refused = threading.Event()
        self.called = threading.Event()
        self.gate = threading.Event()
        self.gate.set()

    def write(self, records):
        self.called.set()
        self.gate.wait(5)
        if self.full:
            self.refused.set()
            raise StoreError("the disk is full")
        self.batches.append([record.ref for record in records])


@pytest.fixture
def store():
    return FakeStore()


@pytest.fixture
def rig(store, monkeypatch):
    monkeypatch.setattr(cdr_sink, "_PAUSES_SECONDS", (0.01,))
    monkeypatch.setattr(cdr_sink, "_GATHER_SECONDS", 0.01)
    told = []
    sink = CdrSink(store, told.append)
    sink.told = told
    return sink


async def until(condition):
    with trio.fail_after(5):
        while not condition():  # noqa: ASYNC110 - it waits for a thread
            await trio.sleep(0.001)


async def test_a_record_is_durable_only_after_the_store_has_returned(rig, store):
    store.gate.clear()
    rig.start()
    rig.write(WriteCdr(record("a")))
    await trio.sleep(0.02)
    assert (rig.told, rig.pending) == ([], 1)

    store.gate.set()
    await until(lambda: rig.told)
    assert rig.told == [CdrDurable("a")]
    assert rig.pending == 0
    assert await rig.finish(5) == 0


async def test_what_comes_within_a_moment_or_while_the_disk_is_busy_is_one_batch(rig, store):
    store.gate.clear()
    rig.start()
    rig.write(WriteCdr(record("first")))
    rig.write(WriteCdr(record("second")))
    with trio.fail_after(5):
        await trio.to_thread.run_sync(store.called.wait, 5)
    for n in range(100):
        rig.write(WriteCdr(record(str(n))))
    store.gate.set()
    await until(lambda: rig.pending == 0)

    assert [len(batch) for batch in store.batches] == [2, 100]
    assert len(rig.told) == 102
    await rig.finish(5)


async def test_a_full_disk_keeps_the_records_until_there_is_room(rig, store):
    store.full = True
    rig.start()
    rig.write(WriteCdr(record("a")))
    await until(lambda: rig.told)
    assert rig.told == [CdrFailed("a", "the disk is full")]
    assert rig.pending == 1

    store.refused.clear()
    await until(store.refused.is_set)
    store.full = False
    await until(lambda: rig.pending == 0)
    assert rig.told == [CdrFailed("a", "the disk is full"), CdrDurable("a")]
    await rig.finish(5)


async def test_the_alarm_counts_every_record_that_waits(rig, store):
    store.full = True
    with capture_logs() as lines:
        rig.start()
        rig.write(WriteCdr(record("a")))
        await until(lambda: rig.told)
        for n in range(99):
            rig.write(WriteCdr(record(str(n))))
        lines.clear()
        await until(lambda: len(lines) > 1)
    assert lines[-1]["records"] == 100
    store.full = False
    await until(lambda: rig.pending == 0)
    await rig.finish(5)


async def test_finishing_stores_what_waits(rig, store):
    rig.start()
    for n in range(1200):
        rig.write(WriteCdr(record(str(n))))
    assert await rig.finish(5) == 0
    assert sum(map(len, store.batches)) == 1200
    assert len(rig.told) == 1200


async def test_finishing_gives_up_on_a_disk_that_stays_full_and_says_how_many(rig, store):
    store.full = True
    rig.start()
    for n in range(3):
        rig.write(WriteCdr(record(str(n))))
    assert await rig.finish(0.05) == 3
    assert not rig._thread.is_alive()


async def test_a_bug_in_the_store_does_not_lose_the_writer(rig, store, monkeypatch):
    real, calls = store.write, []

    def broken(records):
        calls.append(1)
        if len(calls) == 1:
            raise KeyError("ref")
        real(records)

    monkeypatch.setattr(store, "write", broken)
    rig.start()
    rig.write(WriteCdr(record("a")))
    await until(lambda: rig.pending == 0)
    assert rig.told == [CdrFailed("a", "KeyError: 'ref'"), CdrDurable("a")]
    await rig.finish(5)


# --- what else the writer's thread does -------------------------------------------------------------------------------


async def test_each_batch_is_told_and_what_is_old_is_removed_between_them(store, monkeypatch):
    monkeypatch.setattr(cdr_sink, "_GATHER_SECONDS", 0.001)
    told, tidied = [], []

    def tidy():
        tidied.append(len(store.batches))
        return 0.005

    sink = CdrSink(store, lambda _: None, stored=lambda: told.append(len(store.batches)), tidy=tidy)
    sink.start()
    await until(lambda: len(tidied) > 2)  # also where no record comes
    sink.write(WriteCdr(record("a")))
    await until(lambda: told == [1])
    await until(lambda: tidied[-1] == 1)
    await sink.finish(5)


async def test_nothing_is_removed_while_records_wait(store, monkeypatch):
    monkeypatch.setattr(cdr_sink, "_GATHER_SECONDS", 0.001)
    store.gate.clear()
    tidied = []

    def tidy():
        tidied.append(sink.pending)
        return 0.0

    sink = CdrSink(store, lambda _: None, tidy=tidy)
    for ref in ("a", "b"):
        sink.write(WriteCdr(record(ref)))
    sink.start()
    await until(store.called.is_set)
    assert tidied == []
    store.gate.set()
    await sink.finish(5)


async def test_a_bug_in_tidying_up_does_not_stop_the_writing(store, monkeypatch):
    monkeypatch.setattr(cdr_sink, "_GATHER_SECONDS", 0.001)

    monkeypatch.setattr(cdr_sink, "_TIDY_AGAIN_SECONDS", 0.001)
    failed = []

    def tidy():
        failed.append(1)
        raise ZeroDivisionError

    sink = CdrSink(store, lambda _: None, tidy=tidy)
    sink.start()
    sink.write(WriteCdr(record("a")))
    await until(lambda: store.batches == [["a"]])
    await until(lambda: len(failed) > 1)  # nor is it the end of tidying up
    await sink.finish(5)
