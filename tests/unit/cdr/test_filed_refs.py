"""Files never get a second record of a call, also where the first one is damaged in the spool."""

import errno
import os

import msgspec
import pytest

from sbc.cdr.entry import Attempted, Started, Stopped, line_of
from sbc.cdr.feed import Feed
from sbc.cdr.filed import RecordFiles, forget_place
from sbc.cdr.filed_refs import REFS, FiledRefs
from sbc.cdr.spool import Spool, Spot
from sbc.testing.power import Disk, Fate

SEGMENT = "0000000001.spool"


@pytest.fixture
def disk():
    return Disk()


class Life:
    def __init__(self, disk):
        self.disk = disk
        self.spool = Spool(disk.folder("spool"))
        self.files = RecordFiles(disk.folder("out"), "/out", "json", 86_400.0, "sbc", disk.folder("spool"))
        self.files.begin(Spot())
        self.files.tell_time(1_735_736_400.0)
        self.spool.load([self.files.fed()])
        self.feed = Feed(self.spool, self.files, self.files.fed())

    def closes(self):
        closing = self.spool.closing(())
        self.spool.write([Stopped(one) for one in closing])
        self.takes()
        return [one.ref for one in closing]

    def takes(self):
        while self.feed.step():
            pass

    def filed(self):
        folder = self.disk.folder("out")
        text = b"".join(folder.read(name, 0, 1 << 30) for name in folder.names())
        return [(one["ref"], one["cause"]) for one in map(msgspec.json.decode, text.splitlines())]


def talked(life, record, ref):
    life.spool.write([Attempted(ref, "office", "100", "200", 1.0, "id")])
    life.spool.write([Started(record(ref, answered_at=2.0))])
    life.spool.write([Stopped(record(ref, cause="normal"))])


def damage(disk, record, ref):
    """The first record of this call."""
    at = disk.content("spool", SEGMENT).index(line_of(Stopped(record(ref, cause="normal"))))
    disk.spoil("spool", SEGMENT, at + 50, b"???")


def test_a_record_that_is_damaged_once_it_was_fed_leaves_no_second_one(disk, record):
    life = Life(disk)
    for ref in "abc":
        talked(life, record, ref)
    life.takes()
    damage(disk, record, "b")
    again = Life(disk)
    assert again.closes() == ["b"]  # as far as the spool can tell, nobody has ended it
    assert again.filed() == [("a", "normal"), ("b", "normal"), ("c", "normal")]
    assert again.feed.waiting == 0
    assert Life(disk).closes() == []


def test_one_that_is_damaged_before_it_was_fed_is_estimated_and_there_once(disk, record):
    life = Life(disk)
    talked(life, record, "a")
    life.takes()
    talked(life, record, "b")
    damage(disk, record, "b")
    assert Life(disk).closes() == ["b"]
    assert Life(disk).closes() == []
    assert Life(disk).filed() == [("a", "normal"), ("b", "internal")]


def test_the_journals_record_of_such_a_call_is_no_second_one_either(disk, record):
    life = Life(disk)
    talked(life, record, "a")
    life.takes()
    damage(disk, record, "a")
    again = Life(disk)
    again.spool.write([Stopped(record("a", cause="normal"))])
    talked(again, record, "b")
    again.takes()
    assert again.filed() == [("a", "normal"), ("b", "normal")]
    assert again.files.fed() == again.spool.end


def test_a_power_cut_after_the_refs_and_before_the_place_loses_no_record(disk, record, monkeypatch):
    life = Life(disk)
    talked(life, record, "a")
    life.takes()
    talked(life, record, "b")

    def cut(place):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(life.files, "_keep", cut)
    with pytest.raises(OSError, match="Input/output"):
        life.takes()
    assert b'"b"' in disk.content("spool", REFS)
    again = Life(disk.left(Fate.DROPPED))
    again.takes()
    assert again.filed() == [("a", "normal"), ("b", "normal")]
    damage(again.disk, record, "b")
    assert Life(again.disk).closes() == ["b"]
    assert Life(again.disk).filed() == [("a", "normal"), ("b", "normal")]


def test_a_batch_that_failed_comes_again_whole(disk, record, monkeypatch):
    life = Life(disk)
    talked(life, record, "a")
    keep = life.files._keep
    monkeypatch.setattr(life.files, "_keep", lambda place: (_ for _ in ()).throw(OSError(errno.EIO, "no")))
    with pytest.raises(OSError, match="no"):
        life.takes()
    monkeypatch.setattr(life.files, "_keep", keep)
    life.takes()
    assert life.filed() == [("a", "normal")]


def test_a_damaged_or_torn_list_of_refs_is_passed_over_and_written_anew(disk, record):
    life = Life(disk)
    for ref in "abc":
        talked(life, record, ref)
        life.takes()
    lines = disk.content("spool", REFS).splitlines(keepends=True)
    disk.spoil("spool", REFS, len(lines[0]) + 20, b"?")
    disk.spoil("spool", REFS, sum(map(len, lines)) - 1, b"!")  # no end of a line
    again = Life(disk)
    talked(again, record, "d")
    again.takes()
    kept = disk.content("spool", REFS)
    assert kept.count(b"\n") == 2
    assert [ref in kept for ref in (b'"a"', b'"b"', b'"c"', b'"d"')] == [True, False, False, True]
    damage(disk, record, "a")
    assert Life(disk).closes() == ["a"]
    assert [ref for ref, _ in Life(disk).filed()] == ["a", "b", "c", "d"]


def test_the_oldest_refs_go_and_the_list_stays_short(disk):
    folder = disk.folder("spool")
    refs = FiledRefs(folder, most=10)
    refs.load(Spot())
    for n in range(100):
        refs.write([f"c{n}"], Spot(1, n))
        refs.add([f"c{n}"])
    assert disk.content("spool", REFS).count(b"\n") <= 22
    again = FiledRefs(folder, most=10)
    again.load(Spot(1, 99))
    assert list(again._refs) == [f"c{n}" for n in range(90, 100)]


def test_a_full_disk_leaves_a_list_that_goes_on(disk):
    refs = FiledRefs(disk.folder("spool"))
    refs.load(Spot())
    refs.write(["a"], Spot(1, 1))
    refs.add(["a"])
    disk.room = 12
    with pytest.raises(OSError, match="No space left"):
        refs.write(["b"], Spot(1, 2))
    disk.room = None
    refs.write(["b"], Spot(1, 2))
    again = FiledRefs(disk.folder("spool"))
    again.load(Spot(1, 2))
    assert list(again._refs) == ["a", "b"]


def test_another_folder_and_no_files_at_all_begin_with_nothing_known(disk, record):
    life = Life(disk)
    talked(life, record, "a")
    life.takes()
    other = RecordFiles(disk.folder("other"), "/other", "json", 86_400.0, "sbc", disk.folder("spool"))
    other.begin(life.spool.end)
    assert REFS not in disk.folder("spool").names()
    talked(life, record, "b")
    Life(disk).takes()
    forget_place(disk.folder("spool"))
    assert REFS not in disk.left(Fate.DROPPED).folder("spool").names()
