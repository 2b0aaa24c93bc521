"""The disk of the power cuts does what it says: else no test on it could fail."""

import errno
import os

import pytest

from sbc.testing.power import Disk, Fate, deaths, left_by


def test_what_was_synced_with_its_name_outlives_a_power_cut_and_nothing_else():
    disk = Disk()
    file = disk.folder("spool").grow("a")
    file.write(b"safe")
    file.sync()
    disk.folder("spool").sync()
    file.write(b" not")
    assert disk.left(Fate.DROPPED).content("spool", "a") == b"safe"
    assert disk.left(Fate.KILLED).content("spool", "a") == b"safe not"


def test_a_synced_file_whose_name_was_not_synced_may_be_gone():
    disk = Disk()
    file = disk.folder("spool").grow("a")
    file.write(b"safe")
    file.sync()
    assert disk.left(Fate.DROPPED).folder("spool").names() == []
    assert {tuple(disk.left(Fate.TORN, str(seed)).folder("spool").names()) for seed in range(20)} == {(), ("a",)}


def test_a_torn_file_keeps_a_beginning_and_one_with_holes_any_of_its_writes():
    disk = Disk()
    folder = disk.folder("spool")
    file = folder.grow("a")
    folder.sync()
    file.write(b"aaaa")
    file.write(b"bbbb")
    torn = {disk.left(Fate.TORN, str(seed)).content("spool", "a") for seed in range(200)}
    assert torn == {b"aaaabbbb"[:length] for length in range(9)}
    holes = {disk.left(Fate.HOLES, str(seed)).content("spool", "a") for seed in range(50)}
    assert holes == {b"", b"aaaa", b"aaaabbbb", b"\0\0\0\0bbbb"}


def test_a_rename_that_was_not_synced_may_be_undone_and_never_half_done():
    disk = Disk()
    folder = disk.folder("spool")
    file = folder.grow("new")
    file.write(b"1")
    file.sync()
    folder.sync()
    folder.rename("new", "now")
    assert {tuple(disk.left(Fate.TORN, str(seed)).folder("spool").names()) for seed in range(20)} == {
        ("new",),
        ("now",),
    }


def test_every_moment_of_a_life_can_be_died_at_and_what_is_left_lived_on_with():
    disk = Disk()
    folder = disk.folder("spool")
    file = folder.grow("a")
    folder.sync()
    file.write(b"1234")
    disk.commit("cdr", (1,))
    disk.mark("committed")
    file.sync()
    assert [n for n, fate, _ in deaths(disk) if fate is Fate.KILLED] == [0, 1, 2, 3, 4, 5]
    assert left_by(disk, 3, Fate.KILLED).tables == {}
    assert left_by(disk, 4, Fate.DROPPED).tables == {"cdr": (1,)}
    assert left_by(disk, 2, Fate.CUT_SHORT).content("spool", "a") == b"12"
    assert (disk.promised(3), disk.promised(4)) == ([], ["committed"])

    second = left_by(disk, 5, Fate.DROPPED)
    again = second.folder("spool").grow("a")
    again.write(b"56")
    assert left_by(second, 0, Fate.KILLED).content("spool", "a") == b"1234"
    assert left_by(second, 1, Fate.KILLED).content("spool", "a") == b"123456"


def test_a_full_disk_takes_what_fits():
    disk = Disk()
    disk.room = 3
    file = disk.folder("spool").grow("a")
    with pytest.raises(OSError, match=os.strerror(errno.ENOSPC)):
        file.write(b"12345")
    assert disk.content("spool", "a") == b"123"
