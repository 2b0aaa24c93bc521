"""Old records go, but never one that another database has not; and no number of a row is given twice."""

import sqlite3

import pytest

from sbc.cdr.store import CdrReader, CdrWriter, Place, StoreError

URL = "postgresql://x@y/z"
FOREVER = 4e9


@pytest.fixture
def writer(tmp_path):
    with CdrWriter.open(tmp_path) as writer:
        yield writer


@pytest.fixture
def written(writer, record, epoch):
    """Ten records, a second apart."""
    writer.write([record(f"r{n}", ended_at=epoch + n) for n in range(10)])


def rows(folder, query="SELECT ref FROM cdr ORDER BY rowid"):
    connection = sqlite3.connect(folder / "cdr.db")
    try:
        return [row[0] if len(row) == 1 else row for row in connection.execute(query)]
    finally:
        connection.close()


def test_records_of_before_go_with_their_attempts_oldest_first(writer, written, tmp_path, epoch):
    assert writer.forget(epoch + 5, None, 3) == 3
    assert writer.forget(epoch + 5, None, 3) == 2
    assert writer.forget(epoch + 5, None, 3) == 0

    assert rows(tmp_path) == ["r5", "r6", "r7", "r8", "r9"]
    assert rows(tmp_path, "SELECT ref FROM attempt ORDER BY ref") == rows(tmp_path)


def test_an_end_of_more_than_a_thousand_years_removes_nothing(writer, written, epoch):
    assert writer.forget(epoch - 400_000 * 86_400, None, 100) == 0


def test_the_newest_row_stays_so_that_its_number_is_not_given_again(writer, written, tmp_path, record):
    assert writer.forget(FOREVER, None, 100) == 9
    assert writer.forget(FOREVER, None, 100) == 0
    writer.write([record("next")])

    assert rows(tmp_path, "SELECT rowid, ref FROM cdr ORDER BY rowid") == [(10, "r9"), (11, "next")]


def test_what_a_copy_has_not_stays(writer, written, tmp_path):
    assert writer.forget(FOREVER, URL, 100) == 0
    writer.set_copied(URL, Place(5, "r4"))

    assert writer.forget(FOREVER, URL, 100) == 4  # the cursor's own row is what tells that the numbers are right
    assert rows(tmp_path)[0] == "r4"


def test_a_file_that_was_moved_away_loses_nothing_and_gets_no_cursor(writer, written, tmp_path):
    away = tmp_path / "away"
    away.mkdir()
    (tmp_path / "cdr.db").rename(away / "cdr.db")
    with pytest.raises(StoreError, match="moved or removed while in use"):
        writer.forget(FOREVER, None, 100)
    (tmp_path / "cdr.db").rename(tmp_path / "again.db")
    with pytest.raises(StoreError, match="moved or removed while in use"):
        writer.set_copied(URL, Place(1, "r0"))

    assert len(rows(away)) == 10
    assert writer.forget(FOREVER, None, 100) == 0


def test_what_a_copy_has_refused_stays_until_nothing_is_copied_any_more(writer, written, tmp_path):
    writer.set_copied(URL, Place(10, "r9"), [("r2", "why"), ("r7", "why")])

    assert writer.forget(FOREVER, URL, 100) == 7
    assert rows(tmp_path) == ["r2", "r7", "r9"]
    assert writer.forget(FOREVER, None, 100) == 2


def test_what_was_removed_is_not_in_the_file_any_more(tmp_path, record):
    with CdrWriter.open(tmp_path) as writer:
        writer.write([record("r1", caller="+49SECRET"), record("r2")])
        writer.forget(FOREVER, None, 100)

    assert b"+49SECRET" not in (tmp_path / "cdr.db").read_bytes()


def test_room_of_removed_records_is_used_again(tmp_path, record, epoch):
    with CdrWriter.open(tmp_path) as writer:
        for day in range(12):
            writer.write([record(f"{day}-{n}", ended_at=epoch + day * 86_400) for n in range(500)])
            while writer.forget(epoch + (day - 1) * 86_400, None, 500):
                pass
            if day == 3:
                pages = rows(tmp_path, "PRAGMA page_count")[0]

    assert rows(tmp_path, "PRAGMA page_count")[0] <= pages * 1.1


# BOUND: CDR_SET_ASIDE
def test_more_uncopied_ones_than_are_looked_at_do_not_make_it_slow(writer, record, epoch, monkeypatch):
    monkeypatch.setattr("sbc.core.limits.CDR_SET_ASIDE", 5)
    writer.write([record(f"r{n}", ended_at=epoch + n) for n in range(50)])
    writer.set_copied(URL, Place(50, "r49"), [(f"r{n}", "why") for n in range(5)])

    assert writer.forget(FOREVER, URL, 3) == 3


# --- the cursor -------------------------------------------------------------------------------------------------------


def after(folder, place):
    with CdrReader.open(folder) as reader:
        return [row[1] for row in reader.written_after(place, 100)]


def test_a_copy_goes_on_where_it_was(writer, written, tmp_path):
    writer.set_copied(URL, Place(7, "r6"))

    assert writer.copied_to(URL) == Place(7, "r6")
    assert after(tmp_path, Place(7, "r6")) == ["r7", "r8", "r9"]


def test_the_order_is_that_of_writing_and_not_of_ends(writer, tmp_path, record, epoch):
    writer.write([record("late", ended_at=epoch + 100)])
    writer.write([record("early", ended_at=epoch)])

    assert after(tmp_path, None) == ["late", "early"]


def test_after_everything_was_removed_new_records_are_not_taken_for_old_ones(writer, written, tmp_path, record):
    writer.set_copied(URL, Place(10, "r9"))
    writer.forget(FOREVER, URL, 100)
    writer.write([record("new")])

    assert after(tmp_path, writer.copied_to(URL)) == ["new"]


@pytest.mark.parametrize(
    "hand", ["DELETE FROM cdr", "UPDATE cdr SET rowid = rowid - 1", "DELETE FROM cdr WHERE rowid > 6"]
)
def test_where_a_foreign_hand_has_numbered_anew_all_are_copied_again(hand, writer, written, tmp_path, record):
    writer.set_copied(URL, Place(7, "r6"))
    connection = sqlite3.connect(tmp_path / "cdr.db")
    with connection:
        connection.execute(hand)
    connection.close()
    writer.write([record("new"), *(record(f"n{n}") for n in range(10))])

    assert writer.copied_to(URL) is None
    assert "new" in after(tmp_path, Place(7, "r6"))
    assert after(tmp_path, Place(7, "r6")) == rows(tmp_path)


def test_vacuum_loses_nothing(writer, written, tmp_path, record, epoch):
    writer.set_copied(URL, Place(10, "r9"))
    writer.forget(epoch + 5, URL, 100)
    writer.close()
    connection = sqlite3.connect(tmp_path / "cdr.db", isolation_level=None)
    connection.execute("VACUUM")
    connection.close()
    with CdrWriter.open(tmp_path) as again:
        again.write([record("new")])
        assert "new" in after(tmp_path, again.copied_to(URL))


def test_another_destination_begins_anew_and_the_former_is_forgotten(writer, written):
    writer.set_copied(URL, Place(10, "r9"), [("r1", "why")])
    writer.set_copied("other", Place(1, "r0"))

    assert (writer.copied_to(URL), writer.set_aside(URL)) == (None, [])


def test_a_refused_record_can_be_taken_back(writer, written, tmp_path):
    writer.set_copied(URL, Place(3, "r2"), [("r1", "why"), ("r2", "why")])
    writer.take_back(URL, "r1")

    assert writer.set_aside(URL) == ["r2"]
    with CdrReader.open(tmp_path) as reader:
        assert [row[1] for row in reader.written_as("r2")] == ["r2"]


def test_the_newest_row_is_known_also_after_a_restart(tmp_path, record):
    with CdrWriter.open(tmp_path) as writer:
        assert writer.newest == 0
        writer.write([record("r1"), record("r2")])
        assert writer.newest == 2
    with CdrWriter.open(tmp_path) as writer:
        assert writer.newest == 2


def test_a_closed_store_is_not_opened_again_by_a_copy(writer):
    writer.close()

    with pytest.raises(StoreError, match="is closed"):
        writer.set_copied(URL, Place(1, "r"))


# --- a database of an older version -----------------------------------------------------------------------------------


def test_a_database_without_cursors_gets_them_and_keeps_its_records(writer, written, tmp_path, record):
    writer.close()
    connection = sqlite3.connect(tmp_path / "cdr.db")
    connection.executescript("DROP TABLE copied; DROP TABLE set_aside;")
    connection.close()

    with CdrReader.open(tmp_path) as reader:  # `sbc cdr --data-dir` changes nothing
        assert len(reader.page().cdrs) == 10
    with CdrWriter.open(tmp_path) as again:
        again.write([record("new")])
        assert again.copied_to(URL) is None
        assert len(after(tmp_path, None)) == 11
    assert rows(tmp_path, "PRAGMA user_version") == [1]
