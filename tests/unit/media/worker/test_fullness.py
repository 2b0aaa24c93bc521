"""What a worker says of its tables when it is asked for all counters: the bounds of `core.limits`, and what is used."""

import msgspec
import pytest

from sbc.core.limits import MEDIA_REPORTS_WAITING, MEDIA_SLOTS, SRTP_RECORDS
from sbc.core.tables import Table
from sbc.media import wire

from .rig import STREAM, Rig
from .test_service import Worker


def told(worker: Worker) -> dict[str, Table]:
    *_, report = worker.service.receive(wire.encode(wire.Query()))
    assert isinstance(report, wire.Report)
    return {table.name: table for table in report.tables}


# BOUND: MEDIA_SLOTS
def test_a_worker_tells_how_many_counters_its_calls_have() -> None:
    worker = Worker()
    assert told(worker)["media_slots"] == Table("media_slots", 0, MEDIA_SLOTS)
    worker.put("a")
    worker.put("b", port=20002)
    assert told(worker)["media_slots"].used == 4
    worker.delete("a")
    worker.delete("b")
    assert told(worker)["media_slots"].used == 0


def test_all_tables_are_told_at_zero_before_there_is_anything_in_them() -> None:
    assert list(told(Worker()).values()) == [
        Table("media_slots", 0, MEDIA_SLOTS),
        Table("media_srtp_records", 0, SRTP_RECORDS),
        Table("media_dtls_handshakes", 0, 4, is_ring=True),
        Table("media_dtls_strangers", 0, 200),
        Table("media_reports", 0, MEDIA_REPORTS_WAITING),
    ]


# BOUND: MEDIA_REPORTS_WAITING
def test_that_signalling_has_not_read_is_told_when_it_reads_again_and_not_to_the_next_one() -> None:
    worker = Worker()
    for waiting in (3, 5_000, 2):
        worker.service.unread(waiting)
    assert told(worker)["media_reports"].used == MEDIA_REPORTS_WAITING
    worker.service.connected()
    assert told(worker)["media_reports"].used == 0


def test_the_answer_about_one_session_says_nothing_of_tables() -> None:
    worker = Worker()
    worker.put("a")
    (report,) = worker.service.receive(wire.encode(wire.Query("a")))
    assert report == wire.Report(report.sessions)  # type: ignore[union-attr]


def test_only_the_last_part_of_an_answer_has_them() -> None:
    worker = Worker()
    worker.put("a")
    worker.put("b", port=20002)
    parts = list(worker.service.receive(wire.encode(wire.Query())))
    assert [bool(part.tables) for part in parts] == [part.last for part in parts]  # type: ignore[union-attr]


def test_a_worker_and_a_signalling_of_different_age_understand_each_other() -> None:
    old = msgspec.msgpack.encode({"type": "Report", "sessions": [], "last": True})
    assert wire.decode_reply(old) == wire.Report(())
    new = msgspec.msgpack.decode(wire.encode(wire.Report((), tables=(Table("media_slots", 1, 2),))))
    new["tables"][0]["colour"] = "of a later version"
    assert wire.decode_reply(msgspec.msgpack.encode(new)) == wire.Report((), tables=(Table("media_slots", 1, 2),))


# BOUND: MEDIA_SLOTS
@pytest.mark.parametrize("free", [0, 1])
def test_a_way_without_a_counter_of_its_own_does_not_go_to_the_engine(free: int) -> None:
    """The engine would count it in another call's slot."""
    rig = Rig()
    kernel = rig.kernel()
    for owner in range(1, rig.slots.free + 1 - free):
        rig.slots.take(owner)
    rig.put(STREAM)
    rig.talks(1, 20)
    count = rig.count().ingress
    assert count.received == 20
    assert bool(kernel.puts) is bool(free)
    assert (count.engine, count.why) == (("kernel", "") if free else ("userland", "no counters are free"))
    assert rig.slots.find(1) == 0
    assert not any(rig.memory[:120]), "what another call has counted is as it was"
