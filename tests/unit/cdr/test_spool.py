"""The spool: what is read of it, what is cut, passed over and removed. Deaths are in test_spool_deaths."""

import errno
import os
import random
import re
import zlib
from itertools import pairwise

import pytest

from sbc.cdr.entry import Attempted, Interim, Started, Stopped, line_of, lines, read_entry
from sbc.cdr.spool import Damage, Spool, SpoolError, Spot
from sbc.core.cause import Cause
from sbc.testing.power import Disk, Fate

FIRST = "0000000001.spool"
START = Spot()


@pytest.fixture
def disk():
    return Disk()


def spool_on(disk, **how):
    spool = Spool(disk.folder("spool"), **how)
    spool.damages = spool.load()
    return spool


def attempt(ref, **changes):
    return Attempted(ref, "office", "100", "200", 1000.0, f"id-{ref}", **changes)


def fill(spool, record):
    for n in range(100):
        spool.write([Stopped(record(f"c{n}"))])


def refs(spool, after=START, most=1000):
    records, _ = spool.records(after, most)
    return [record.ref for record in records]


# --- lines ------------------------------------------------------------------------------------------------------------


def test_each_kind_of_entry_is_read_as_it_was_written(record):
    entries = [attempt("a", emergency=True), Started(record("b")), Interim(record("b")), Stopped(record("b"))]
    text = b"".join(line_of(entry) for entry in entries)
    assert [read_entry(line.text) for line in lines(text)] == entries


def test_a_line_is_a_checksum_and_json_that_a_pager_shows(record):
    assert re.fullmatch(rb'[0-9a-f]{8} \{"kind":"stop","record":\{"ref":"a",.*\}\}\n', line_of(Stopped(record("a"))))


def test_octets_of_a_peer_that_are_no_utf8_are_kept_escaped(record):
    [line] = lines(line_of(Stopped(record("a", caller="\udcff1"))))
    assert read_entry(line.text).record.caller == "\\udcff1"


def test_what_a_newer_program_wrote_is_read_without_what_is_new_and_an_unknown_kind_is_passed_over(disk, record):
    spool = spool_on(disk)
    spool.write([Stopped(record("a"))])
    text = disk.content("spool", FIRST)
    newer = line_of(Stopped(record("b"))).split(b" ", 1)[1][:-2] + b',"new":1}'
    unknown = b'{"kind":"pause","ref":"c"}'
    for one in (newer, unknown):
        text += b"%08x %b\n" % (zlib.crc32(one), one)
    again = spool_on(Disk({"spool": {FIRST: text}}))
    assert (refs(again), again.damages) == (["a", "b"], [])


# --- the start --------------------------------------------------------------------------------------------------------


def test_an_empty_spool_begins_with_nothing(disk):
    spool = spool_on(disk)
    assert (spool.damages, refs(spool), spool.open_refs(), spool.end, spool.octets) == ([], [], set(), Spot(), 0)


@pytest.mark.parametrize("lost", [1, 5, 100])
def test_a_torn_end_is_cut_and_told_and_the_rest_is_there(disk, record, lost):
    spool_on(disk).write([Stopped(record("a")), Stopped(record("b"))])
    text = disk.content("spool", FIRST)
    whole = len(line_of(Stopped(record("a"))))
    torn = Disk({"spool": {FIRST: text[:-lost]}})
    spool = spool_on(torn)
    assert spool.damages == [Damage(FIRST, whole, len(text) - lost - whole, is_end=True)]
    assert refs(spool) == ["a"]
    assert torn.content("spool", FIRST) == text[:whole]
    spool.write([Stopped(record("b"))])
    assert refs(spool_on(torn.left(Fate.DROPPED))) == ["a", "b"]


def test_a_torn_end_that_cannot_be_cut_yet_is_cut_before_anything_is_written(disk, record):
    spool_on(disk).write([Stopped(record("a"))])
    torn = Disk({"spool": {FIRST: disk.content("spool", FIRST) + b"half a line"}})

    def refuse(operation):
        if operation.kind == "cut":
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    torn.refuses = refuse
    spool = spool_on(torn)
    with pytest.raises(SpoolError, match="cannot be cut"):
        spool.write([Stopped(record("b"))])
    torn.refuses = lambda _: None
    spool.write([Stopped(record("b"))])
    assert refs(spool_on(torn.left(Fate.DROPPED))) == ["a", "b"]


def test_a_damaged_middle_is_passed_over_and_told_and_what_stood_there_alone_is_lost(disk, record):
    spool_on(disk).write([Stopped(record(ref)) for ref in "abcd"])
    line = len(line_of(Stopped(record("a"))))
    disk.spoil("spool", FIRST, line + 50, b"???")
    spool = spool_on(disk)
    assert spool.damages == [Damage(FIRST, line, line, is_end=False)]
    assert refs(spool) == ["a", "c", "d"]


def test_damaged_lines_in_a_row_are_one_place(disk, record):
    spool_on(disk).write([Stopped(record(ref)) for ref in "abcd"])
    line = len(line_of(Stopped(record("a"))))
    for n in (1, 2):
        disk.spoil("spool", FIRST, n * line + 50, b"???")
    assert spool_on(disk).damages == [Damage(FIRST, line, 2 * line, is_end=False)]


def test_a_segment_that_the_disk_does_not_give_is_told_and_the_others_are_read(disk, record, monkeypatch):
    spool = spool_on(disk, segment=100)
    spool.write([Stopped(record("a"))])
    spool.write([Stopped(record("b"))])
    folder = disk.folder("spool")
    real = folder.read

    def read(name, start, most):
        if name == FIRST:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(name, start, most)

    monkeypatch.setattr(folder, "read", read)
    again = Spool(folder)
    [damage] = again.load()
    assert (damage.file, damage.is_end) == (FIRST, False)
    assert refs(again) == ["b"]


def test_a_folder_that_cannot_be_read_is_a_sentence(disk, monkeypatch):
    folder = disk.folder("spool")

    def names():
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(folder, "names", names)
    with pytest.raises(SpoolError, match="spool of call records cannot be read: Permission denied"):
        Spool(folder).load()


def test_foreign_files_are_left_alone(disk, record):
    disk.folder("spool").grow("notes.txt").write(b"hands off")
    disk.folder("spool").grow("x.spool").write(b"hands off")
    spool_on(disk).write([Stopped(record("a"))])
    spool = spool_on(disk)
    assert (spool.damages, refs(spool)) == ([], ["a"])
    assert disk.folder("spool").names() == [FIRST, "notes.txt", "x.spool"]


def test_where_somebody_emptied_the_folder_new_records_are_behind_what_destinations_have(disk, record):
    spool = Spool(disk.folder("spool"))
    spool.load([Spot(7, 4000)])
    spool.write([Stopped(record("a"))])
    assert refs(spool, Spot(7, 4000)) == ["a"]


# --- one record per call ----------------------------------------------------------------------------------------------


def test_of_two_records_the_first_counts_in_one_batch_and_in_two_lives(disk, record):
    spool = spool_on(disk)
    spool.write([Stopped(record("a", cause="busy")), Stopped(record("a", cause="normal"))])
    again = spool_on(disk)
    again.write([Stopped(record("a", cause="normal")), Stopped(record("b"))])
    records, _ = again.records(Spot(), 10)
    assert [(one.ref, one.cause) for one in records] == [("a", "busy"), ("b", "normal")]


def test_where_a_record_stands_twice_all_the_same_a_reader_gets_the_first(disk, record):
    text = line_of(Stopped(record("a", cause="busy"))) + line_of(Stopped(record("a", cause="normal")))
    records, _ = spool_on(Disk({"spool": {FIRST: text}})).records(Spot(), 10)
    assert [one.cause for one in records] == ["busy"]


def test_what_comes_after_the_record_does_not_open_the_call_again(disk, record):
    spool = spool_on(disk)
    spool.write([Started(record("a")), Stopped(record("a")), Interim(record("a"))])
    spool.write([Interim(record("a"))])
    assert spool_on(disk).open_refs() == set()


def test_a_reader_goes_on_where_it_was_in_pieces_of_any_size(disk, record):
    spool = spool_on(disk, segment=3_000)
    for n in range(40):
        spool.write([attempt(f"c{n}"), Stopped(record(f"c{n}"))])
    for most in (1, 3, 7):
        spot, found = Spot(), []
        while True:
            records, spot = spool.records(spot, most)
            if not records:
                break
            assert len(records) <= most
            found += [one.ref for one in records]
        assert found == [f"c{n}" for n in range(40)]
        assert spot == spool.end
        assert spool.waiting(spot) == 0
    assert spool.waiting(Spot()) == 40


# --- a disk that does not take it -------------------------------------------------------------------------------------


def test_what_was_not_taken_is_not_there_and_the_next_try_is(disk, record):
    spool = spool_on(disk)
    spool.write([Stopped(record("a"))])
    disk.room = 100
    with pytest.raises(SpoolError, match="cannot be written: the disk is full"):
        spool.write([Stopped(record("b"))])
    disk.room = None
    spool.write([Stopped(record("b"))])
    assert refs(spool) == ["a", "b"]
    assert spool_on(disk.left(Fate.DROPPED)).damages == []


def test_after_a_failed_sync_nothing_is_believed_of_that_file(disk, record):
    """ "All is well" at the second fsync says nothing: the kernel has forgotten what it could not write."""
    spool = spool_on(disk)
    spool.write([Stopped(record("a"))])

    def refuse(operation):
        if operation.kind == "sync":
            disk.refuses = lambda _: None
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    disk.refuses = refuse
    with pytest.raises(SpoolError):
        spool.write([Stopped(record("b"))])
    spool.write([Stopped(record("b"))])
    assert [disk.content("spool", name).count(b"\n") for name in disk.folder("spool").names()] == [1, 1]


# BOUND: SPOOL_OCTETS
def test_a_full_spool_refuses_and_goes_on_when_there_is_room(disk, record):
    spool = spool_on(disk, most=8_000, segment=1_000)
    with pytest.raises(SpoolError, match="is full"):
        fill(spool, record)
    assert spool.octets <= 8_000
    assert spool.tidy([spool.end]) > 0
    spool.write([Stopped(record("late"))])
    assert refs(spool)[-1] == "late"


# --- calls without an end ---------------------------------------------------------------------------------------------


def test_calls_of_an_earlier_life_that_are_not_alive_are_closed_with_what_is_known(disk, record):
    spool_on(disk).write(
        [
            attempt("rang", emergency=True),
            attempt("talked"),
            Started(record("talked", ended_at=1010.0, billable_ms=0)),
            Interim(record("talked", ended_at=1070.0, billable_ms=60_000, cause="internal")),
            attempt("alive"),
            attempt("over"),
            Stopped(record("over")),
        ]
    )
    spool = spool_on(disk)
    spool.write([attempt("new")])
    assert spool.open_refs() == {"rang", "talked", "alive"}
    rang, talked = spool.closing({"alive"})
    assert (rang.ref, rang.answered_at, rang.billable_ms, rang.ended_at, rang.emergency) == (
        "rang",
        None,
        0,
        1000.0,
        True,
    )
    assert (talked.ref, talked.ended_at, talked.billable_ms) == ("talked", 1070.0, 60_000)
    for one in (rang, talked):
        assert (one.cause, one.ended_by, one.estimated) == ("internal", "sbc", True)
    spool.write([Stopped(rang), Stopped(talked)])
    assert spool_on(disk).open_refs() == {"alive", "new"}
    assert spool.closing(()) == []  # once


def test_a_record_that_the_journal_brings_before_the_closing_is_the_one(disk, record):
    spool_on(disk).write([Started(record("a"))])
    spool = spool_on(disk)
    spool.write([Stopped(record("a", cause="normal"))])
    assert spool.closing(()) == []


def test_an_answer_that_only_the_spool_knows_of_is_in_the_record_that_the_journal_brings(disk, record):
    """All died within a fifth of a second of it: the journal has a call that nobody had answered."""
    spool_on(disk).write([attempt("a"), Started(record("a", answered_at=1010.0, billable_ms=0)), attempt("b")])
    spool = spool_on(disk)
    unanswered = {"answered_at": None, "billable_ms": 0, "cause": Cause.INTERNAL, "sip_status": 503}
    spool.write([Stopped(record(ref, **unanswered)) for ref in ("a", "b")])
    one, other = spool.records(Spot(), 9)[0]
    assert (one.answered_at, one.billable_ms, one.cause, one.estimated) == (1010.0, 0, Cause.INTERNAL, True)
    assert (other.answered_at, other.sip_status, other.estimated) == (None, 503, False)
    assert spool.closing(()) == []


def test_who_gave_up_while_the_disk_was_waited_for_has_a_call_without_answer(disk, record):
    """With `cdr: strict`: its start is on the disk, and he has never heard of it."""
    spool_on(disk).write([Started(record("a", answered_at=1010.0))])
    spool = spool_on(disk)
    spool.write([Stopped(record("a", answered_at=None, cause=Cause.CANCELLED))])
    assert [one.answered_at for one in spool.records(Spot(), 9)[0]] == [None]


# --- an end of segments -----------------------------------------------------------------------------------------------


# BOUND: SPOOL_KEPT_OCTETS
def test_segments_that_every_destination_has_passed_go_but_for_the_last_few(disk, record):
    spool = spool_on(disk, most=20_000, segment=1_000)
    for n in range(20):
        spool.write([Stopped(record(f"c{n}"))])
    assert spool.tidy([spool.end, Spot(1, 0)]) == 0
    kept = spool.octets
    assert spool.tidy([spool.end, spool.end]) > 0
    assert 5_000 <= spool.octets < kept
    assert spool.tidy([spool.end]) == 0
    spool.write([Stopped(record("c19"))])  # is known still
    assert refs(spool)[-1] == "c19"
    assert refs(spool).count("c19") == 1


def test_what_is_known_of_a_long_call_moves_on_when_its_segment_goes(disk, record):
    spool = spool_on(disk, most=40_000, segment=1_000)
    spool.write([attempt("long"), Started(record("long", ended_at=1234.0))])
    for n in range(30):
        spool.write([Stopped(record(f"c{n}"))])
    while spool.tidy([spool.end]):
        pass
    assert FIRST not in disk.folder("spool").names()
    again = spool_on(disk.left(Fate.DROPPED))
    assert again.open_refs() == {"long"}
    [closed] = again.closing(())
    assert closed.ended_at == 1234.0


def test_a_full_spool_can_still_carry_a_long_call_on(disk, record):
    spool = spool_on(disk, most=9_000, segment=1_000)
    spool.write([attempt("long")])
    with pytest.raises(SpoolError, match="is full"):
        fill(spool, record)
    assert spool.tidy([spool.end]) > 0
    assert spool_on(disk).open_refs() == {"long"}


def test_an_old_beginning_does_not_come_back_without_its_end(disk, record):
    """Each removal is synced before the next: a power cut must not bring back a start whose stop stays removed."""
    spool = spool_on(disk, most=40_000, segment=1_000)
    for n in range(20):
        spool.write([Started(record(f"c{n}"))])
        spool.write([Stopped(record(f"c{n}"))])
    spool.tidy([spool.end])
    removals = [operation.kind for operation in disk.done if operation.kind in ("remove", "sync names")]
    assert "remove" in removals
    assert all(after == "sync names" for kind, after in pairwise(removals) if kind == "remove")


def test_segments_that_cannot_be_removed_stay_and_are_tried_again(disk, record):
    spool = spool_on(disk, most=20_000, segment=1_000)
    for n in range(20):
        spool.write([Stopped(record(f"c{n}"))])

    def refuse(operation):
        if operation.kind == "remove":
            raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    disk.refuses = refuse
    with pytest.raises(SpoolError, match="cannot be removed"):
        spool.tidy([spool.end])
    disk.refuses = lambda _: None
    assert spool.tidy([spool.end]) > 0


# --- whatever stands there --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(40))
def test_nothing_that_a_disk_gives_back_ends_the_start_or_makes_a_record_of_its_own(record, seed):
    chance = random.Random(seed)
    written = [record(f"c{n}") for n in range(12)]
    text = bytearray(b"".join(line_of(entry) for one in written for entry in (Started(one), Stopped(one))))
    for _ in range(chance.randint(1, 8)):
        at = chance.randrange(len(text))
        match chance.randrange(4):
            case 0:
                text[at] ^= 1 << chance.randrange(8)
            case 1:
                text[at : at + 500] = bytes(500)
            case 2:
                del text[at : at + chance.randint(1, 300)]
            case 3:
                text[at:at] = chance.choice([b"\n", b'00000000 {"kind":"stop"}\n', bytes(chance.randbytes(40))])
    again = Disk({"spool": {FIRST: bytes(text), "0000000007.spool": chance.randbytes(100)}})
    spool = spool_on(again)
    records, spot = spool.records(START, 1000)
    assert all(one in written for one in records)
    assert len({one.ref for one in records}) == len(records)
    spool.write([Stopped(one) for one in spool.closing(())])
    spool.write([Stopped(record("new"))])
    assert "new" in refs(spool, spot)
    assert "new" in refs(spool_on(again.left(Fate.DROPPED)))


def test_segments_that_somebody_has_removed_are_passed_over_and_tidied_away(disk, record):
    told = []
    spool = spool_on(disk, segment=500, most=100_000, tell=told.append)
    spool.write([attempt("long")])
    fill(spool, record)
    disk.folder("spool").remove(FIRST)
    assert len(refs(spool)) + sum(damage.file == FIRST for damage in told) >= 99
    assert [damage.file for damage in told] == [FIRST]
    while spool.tidy([spool.end]):
        pass
    assert FIRST not in disk.folder("spool").names()
    spool.write([Stopped(record("long"))])
    assert refs(spool)[-1] == "long"
    assert [damage.file for damage in told] == [FIRST]
