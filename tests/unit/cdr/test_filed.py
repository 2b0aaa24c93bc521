"""Call records in files: names, turns, headers, and hands that come in between. Deaths are in test_spool_deaths."""

import csv
import io
import json

import pytest

from sbc.cdr.filed import PLACE, FilesError, RecordFiles, forget_place, place_in
from sbc.cdr.sheet import CALL_COLUMNS
from sbc.cdr.spool import Spot
from sbc.testing.power import Disk, Fate

WALL = 1_735_736_400.0  # 2025-01-01T13:00:00Z
START = Spot()
NAME = "sbc-20250101T130000Z"


@pytest.fixture
def disk():
    return Disk()


def files_on(disk, style="csv", rotate=86_400.0, wall=WALL, end=START, where="/out"):
    files = RecordFiles(disk.folder("out"), where, style, rotate, "sbc", disk.folder("spool"))
    files.begin(end)
    files.tell_time(wall)
    return files


def names(disk):
    return disk.folder("out").names()


def rows(disk, name):
    return list(csv.DictReader(io.StringIO(disk.content("out", name).decode())))


def test_csv_has_one_header_and_the_columns_of_the_export(disk, record):
    files = files_on(disk)
    files.take([record("a")], Spot(1, 10))
    files.take([record("b"), record("c")], Spot(1, 30))
    assert names(disk) == [f"{NAME}.csv.part"]
    found = rows(disk, f"{NAME}.csv.part")
    assert [row["ref"] for row in found] == ["a", "b", "c"]
    assert tuple(found[0]) == CALL_COLUMNS


def test_json_has_a_line_for_each_call_with_its_attempts(disk, record):
    files = files_on(disk, "json")
    files.take([record("a"), record("b", caller="\udcff1")], Spot(1, 10))
    first, second = [json.loads(line) for line in disk.content("out", f"{NAME}.jsonl.part").splitlines()]
    assert (first["ref"], first["attempts"][0]["peer"]) == ("a", "carrier-a")
    assert second["caller"] == "\\udcff1"


def test_a_file_gets_its_name_when_its_time_is_over_and_is_complete_then(disk, record):
    files = files_on(disk)
    files.take([record("a")], Spot(1, 10))
    files.tell_time(WALL + 11 * 3600 - 1)
    files.turn()
    assert names(disk) == [f"{NAME}.csv.part"]
    files.tell_time(WALL + 11 * 3600)  # midnight, UTC
    files.turn()
    assert names(disk) == [f"{NAME}.csv"]
    files.take([record("b")], Spot(1, 20))
    assert names(disk) == [f"{NAME}.csv", "sbc-20250102T000000Z.csv.part"]
    assert names(disk.left(Fate.DROPPED)) == names(disk)


def test_no_file_is_made_where_no_call_was(disk):
    files = files_on(disk)
    files.tell_time(WALL + 10 * 86_400)
    files.turn()
    assert names(disk) == []


def test_a_wall_clock_that_is_set_back_keeps_no_file_for_ever(disk, record):
    files = files_on(disk)
    files.take([record("a")], Spot(1, 10))
    files.tell_time(WALL - 3 * 86_400)
    files.turn()
    assert names(disk) == [f"{NAME}.csv"]


def test_a_name_is_not_given_twice(disk, record):
    for n in range(3):
        files = files_on(disk, rotate=60.0)
        files.take([record(f"c{n}")], Spot(1, 10 + n))
        files.tell_time(WALL + 60)
        files.turn()
    assert names(disk) == [f"{NAME}-2.csv", f"{NAME}-3.csv", f"{NAME}.csv"]


def test_it_begins_at_the_end_of_the_spool_and_then_goes_on_where_it_was(disk, record):
    assert files_on(disk, end=Spot(4, 700)).fed() == Spot(4, 700)
    files_on(disk).take([record("a")], Spot(4, 900))
    assert files_on(disk, end=Spot(9, 0)).fed() == Spot(4, 900)
    assert place_in(disk.folder("spool")) == Spot(4, 900)


def test_another_folder_begins_at_the_end_and_leaves_the_first_alone(disk, record):
    files_on(disk).take([record("a")], Spot(4, 900))
    assert files_on(disk, end=Spot(9, 0), where="/elsewhere").fed() == Spot(9, 0)


def test_where_somebody_takes_the_open_file_away_another_is_begun(disk, record):
    files = files_on(disk)
    files.take([record("a")], Spot(1, 10))
    disk.folder("out").remove(f"{NAME}.csv.part")
    files.tell_time(WALL + 5)
    files.take([record("b")], Spot(1, 20))
    assert [row["ref"] for row in rows(disk, "sbc-20250101T130005Z.csv.part")] == ["b"]


def test_what_a_failed_try_has_written_is_cut_off_first(disk, record):
    files = files_on(disk)
    files.take([record("a")], Spot(1, 10))
    disk.room = 40
    with pytest.raises(OSError, match="No space left"):
        files.take([record("b")], Spot(1, 20))
    disk.room = None
    files.take([record("b")], Spot(1, 20))
    never_full = Disk()
    files_on(never_full).take([record("a"), record("b")], Spot(1, 20))
    assert disk.content("out", f"{NAME}.csv.part") == never_full.content("out", f"{NAME}.csv.part")


def test_a_first_try_that_failed_leaves_a_file_whose_name_is_safe_later(disk, record):
    files = files_on(disk)
    disk.room = 400  # the place fits, the record does not
    with pytest.raises(OSError, match="No space left"):
        files.take([record("a")], Spot(1, 10))
    disk.room = None
    files.take([record("a")], Spot(1, 10))
    assert names(disk.left(Fate.DROPPED)) == [f"{NAME}.csv.part"]


def test_a_place_that_cannot_be_read_is_a_sentence_and_nothing_is_written_over(disk):
    disk.folder("spool").grow(PLACE).write(b"{")
    with pytest.raises(FilesError, match="move it away to begin anew"):
        files_on(disk)
    assert place_in(disk.folder("spool")) is None


def test_it_is_forgotten_where_there_are_no_files_any_more(disk, record):
    files_on(disk).take([record("a")], Spot(4, 900))
    forget_place(disk.folder("spool"))
    forget_place(disk.folder("spool"))
    assert place_in(disk.left(Fate.DROPPED).folder("spool")) is None
