"""Call records on disk: what is written stays, what cannot be read is left alone, pages neither skip nor repeat."""

import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from sbc.cdr.filters import Filters
from sbc.cdr.format import CDR_COLUMNS, cdr_row
from sbc.cdr.record import AttemptRecord
from sbc.cdr.spool import Spot
from sbc.cdr.store import CdrReader, CdrWriter, StoreError

CONTRACT = {
    "cdr": "ref ingress egress route caller called called_as_sent started_at ringing_at answered_at ended_at "
    "billable_ms sip_status q850 ended_by cause emergency disaster media ingress_call_id egress_call_id joined_to "
    "estimated",
    "attempt": "ref n peer server called_as_sent started_at ended_at sip_status cause call_id",
}

as_user = pytest.mark.skipif(os.geteuid() == 0, reason="root may do anything")


# `cdr` as the first version made it, before calls could become one.
FIRST_SCHEMA = (
    """CREATE TABLE cdr(
        ref TEXT PRIMARY KEY NOT NULL, ingress TEXT, egress TEXT, route TEXT, caller TEXT, called TEXT,
        called_as_sent TEXT, started_at TEXT, ringing_at TEXT, answered_at TEXT, ended_at TEXT, billable_ms INTEGER,
        sip_status INTEGER, q850 INTEGER, ended_by TEXT, cause TEXT, emergency INTEGER, disaster INTEGER, media TEXT,
        ingress_call_id TEXT, egress_call_id TEXT)""",
    """CREATE TABLE attempt(
        ref TEXT NOT NULL, n INTEGER NOT NULL, peer TEXT, server TEXT, called_as_sent TEXT, started_at TEXT,
        ended_at TEXT, sip_status INTEGER, cause TEXT, call_id TEXT, PRIMARY KEY (ref, n)) WITHOUT ROWID""",
    "CREATE INDEX cdr_by_end ON cdr(ended_at, ref)",
    "PRAGMA user_version=1",
)
FIRST_COLUMNS = CDR_COLUMNS[:-2]  # without what was added


def rows(folder, query):
    connection = sqlite3.connect(folder / "cdr.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()


def store(folder, *records):
    with CdrWriter.open(folder) as writer:
        writer.write(records)


def refs(page):
    return [shown["ref"] for shown in page.cdrs]


def test_the_tables_have_exactly_the_contracts_columns_in_its_order(tmp_path):
    store(tmp_path)

    for table, columns in CONTRACT.items():
        assert " ".join(row[1] for row in rows(tmp_path, f"PRAGMA table_info({table})")) == columns


def test_the_schema_says_its_version(tmp_path):
    store(tmp_path)

    assert rows(tmp_path, "PRAGMA user_version") == [(1,)]


def test_a_record_is_stored_with_its_attempts(tmp_path, record, epoch):
    attempts = (
        AttemptRecord(1, "carrier-a", "sip:a", "442", epoch, epoch + 4, None, "no_reply", "first"),
        AttemptRecord(2, "carrier-b", "sip:b", "442", epoch + 4, epoch + 65.5, 200, "normal", "second"),
    )
    store(tmp_path, record("r1", attempts=attempts))

    assert rows(tmp_path, "SELECT ref, started_at, answered_at, billable_ms, emergency FROM cdr") == [
        ("r1", "2025-01-31T09:00:00.000Z", "2025-01-31T09:00:05.250Z", 60_250, 0)
    ]
    assert rows(tmp_path, "SELECT ref, n, peer, sip_status FROM attempt ORDER BY n") == [
        ("r1", 1, "carrier-a", None),
        ("r1", 2, "carrier-b", 200),
    ]


def test_writing_a_record_again_changes_nothing(tmp_path, record):
    store(tmp_path, record("r1"), record("r1"))
    store(tmp_path, record("r1", cause="internal"), record("r2"))

    assert rows(tmp_path, "SELECT ref, cause FROM cdr ORDER BY ref") == [("r1", "normal"), ("r2", "normal")]
    assert rows(tmp_path, "SELECT count(*) FROM attempt") == [(2,)]


def test_a_batch_is_stored_whole_or_not_at_all(tmp_path, record):
    broken = record("r2", billable_ms=object())

    with CdrWriter.open(tmp_path) as writer:
        with pytest.raises(StoreError):
            writer.write([record("r1"), broken])
        assert rows(tmp_path, "SELECT count(*) FROM cdr") == [(0,)]
        writer.write([record("r1")])

    assert rows(tmp_path, "SELECT ref FROM cdr") == [("r1",)]


def test_what_write_returned_for_survives_a_killed_process(tmp_path, record):
    program = f"""
import os, pathlib, signal, sys
sys.path[:0] = {sys.path!r}
import msgspec
from sbc.cdr.record import CallRecord
from sbc.cdr.store import CdrWriter
writer = CdrWriter.open(pathlib.Path({str(tmp_path)!r}))
writer.write([msgspec.json.decode({msgspec.json.encode(record("r1"))!r}, type=CallRecord)])
os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)

    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    with CdrReader.open(tmp_path) as reader:
        assert refs(reader.page()) == ["r1"]


def test_commits_are_synced_to_the_disk(tmp_path):
    with CdrWriter.open(tmp_path) as writer:
        assert writer._connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert writer._connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL


def test_octets_of_a_peer_that_are_no_utf8_are_stored_escaped(tmp_path, record):
    store(tmp_path, record("r1"), record("r2", caller=b"caf\xe9".decode("utf-8", "surrogateescape")))

    assert rows(tmp_path, "SELECT caller FROM cdr WHERE ref = 'r2'") == [("caf\\udce9",)]
    assert rows(tmp_path, "SELECT count(*) FROM cdr") == [(2,)]


def test_a_missing_folder_is_made(tmp_path, record):
    store(tmp_path / "var" / "lib", record("r1"))

    assert rows(tmp_path / "var" / "lib", "SELECT ref FROM cdr") == [("r1",)]


@pytest.fixture
def first_version(tmp_path, record):
    """A folder as the first version has left it, with one call."""
    connection = sqlite3.connect(tmp_path / "cdr.db", isolation_level=None)
    for statement in FIRST_SCHEMA:
        connection.execute(statement)
    write_as_before(connection, record("old"))
    connection.close()
    return tmp_path


def write_as_before(connection, call):
    values = ", ".join("?" * len(FIRST_COLUMNS))
    query = f"INSERT INTO cdr({', '.join(FIRST_COLUMNS)}) VALUES ({values})"
    connection.execute(query, cdr_row(call)[: len(FIRST_COLUMNS)])


def test_a_database_of_the_first_version_gets_its_new_column_and_keeps_its_calls(first_version, record):
    store(first_version, record("new", joined_to="other"))

    assert rows(first_version, "SELECT ref, caller, joined_to FROM cdr ORDER BY ref") == [
        ("new", "+14155550100", "other"),
        ("old", "+14155550100", None),
    ]
    assert " ".join(row[1] for row in rows(first_version, "PRAGMA table_info(cdr)")) == CONTRACT["cdr"]
    store(first_version, record("third"))  # a second start finds nothing to do
    assert rows(first_version, "SELECT count(*) FROM cdr") == [(3,)]


def test_a_database_of_the_first_version_can_be_read_and_is_left_as_it_is(first_version):
    before = (first_version / "cdr.db").read_bytes()
    with CdrReader.open(first_version) as reader:
        assert [(shown["ref"], shown["joined_to"]) for shown in reader.latest().cdrs] == [("old", None)]
        assert refs(reader.page(Filters(trunk="carrier-a"))) == ["old"]
    assert (first_version / "cdr.db").read_bytes() == before


def test_the_first_version_can_go_on_with_a_database_of_today(tmp_path, record):
    store(tmp_path, record("new", joined_to="other"))
    connection = sqlite3.connect(tmp_path / "cdr.db", isolation_level=None)
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)  # it refuses what is above
    found = {row[1] for row in connection.execute("PRAGMA table_info(cdr)")}
    assert set(FIRST_COLUMNS) <= found  # all that it asks for
    write_as_before(connection, record("old"))
    connection.close()
    assert rows(tmp_path, "SELECT ref, joined_to FROM cdr ORDER BY ref") == [("new", "other"), ("old", None)]


def test_no_column_is_added_to_what_is_no_store_of_records(tmp_path):
    connection = sqlite3.connect(tmp_path / "cdr.db", isolation_level=None)
    connection.execute("CREATE TABLE cdr(ref TEXT)")
    connection.execute("PRAGMA user_version=1")
    connection.close()
    with pytest.raises(StoreError, match="not one of sbc's CDRs"):
        CdrWriter.open(tmp_path)
    assert [row[1] for row in rows(tmp_path, "PRAGMA table_info(cdr)")] == ["ref"]


def test_a_second_writer_on_the_same_folder_is_refused(tmp_path):
    with CdrWriter.open(tmp_path), pytest.raises(StoreError, match="in use by another sbc"):
        CdrWriter.open(tmp_path)

    CdrWriter.open(tmp_path).close()


def test_an_empty_file_becomes_a_store(tmp_path, record):
    (tmp_path / "cdr.db").touch()

    store(tmp_path, record("r1"))

    assert rows(tmp_path, "SELECT ref FROM cdr") == [("r1",)]


@pytest.mark.parametrize(
    "content", [b"these are my notes\n" * 100, b"x", os.urandom(8192)], ids=["text", "one octet", "noise"]
)
def test_a_file_that_is_no_database_is_refused_and_left_as_it_is(tmp_path, content):
    path = tmp_path / "cdr.db"
    path.write_bytes(content)

    with pytest.raises(StoreError, match="not an SQLite database; it is left as it is"):
        CdrWriter.open(tmp_path)
    with pytest.raises(StoreError, match=r"not an SQLite database|not one of sbc's"):
        CdrReader.open(tmp_path)

    assert path.read_bytes() == content


def test_a_damaged_database_is_refused_and_left_as_it_is(tmp_path, record):
    store(tmp_path, *(record(f"r{n:04d}") for n in range(500)))
    path = tmp_path / "cdr.db"
    whole = path.read_bytes()
    damaged = whole[:4096] + b"\xa5" * (len(whole) - 4096)
    path.write_bytes(damaged)

    with pytest.raises(StoreError, match="damaged; it is left as it is"):
        CdrWriter.open(tmp_path)

    assert path.read_bytes() == damaged


def test_a_truncated_database_is_refused_and_left_as_it_is(tmp_path, record):
    store(tmp_path, *(record(f"r{n:04d}") for n in range(500)))
    path = tmp_path / "cdr.db"
    cut = path.read_bytes()[:8192]
    path.write_bytes(cut)

    with pytest.raises(StoreError, match="damaged"):
        CdrWriter.open(tmp_path)

    assert path.read_bytes() == cut


def test_the_lock_is_free_again_after_a_failed_opening(tmp_path, record):
    path = tmp_path / "cdr.db"
    path.write_bytes(b"notes" * 100)
    with pytest.raises(StoreError):
        CdrWriter.open(tmp_path)
    path.unlink()

    store(tmp_path, record("r1"))

    assert rows(tmp_path, "SELECT ref FROM cdr") == [("r1",)]


def test_a_newer_schema_is_refused_with_both_versions(tmp_path):
    store(tmp_path)
    connection = sqlite3.connect(tmp_path / "cdr.db")
    connection.execute("PRAGMA user_version=7")
    connection.close()

    for half in (CdrWriter, CdrReader):
        with pytest.raises(StoreError, match=r"newer sbc \(schema 7, this one knows 1\)"):
            half.open(tmp_path)


def test_somebody_elses_database_is_refused_and_gets_no_tables(tmp_path):
    connection = sqlite3.connect(tmp_path / "cdr.db")
    connection.execute("CREATE TABLE recipe(name)")
    connection.close()

    with pytest.raises(StoreError, match="not one of sbc's CDRs"):
        CdrWriter.open(tmp_path)

    assert rows(tmp_path, "SELECT name FROM sqlite_schema") == [("recipe",)]


def test_a_full_disk_is_said_and_loses_nothing_that_was_stored(tmp_path, record):
    with CdrWriter.open(tmp_path) as writer:
        writer.write([record("r1")])
        pages = writer._connection.execute("PRAGMA page_count").fetchone()[0]
        writer._connection.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(StoreError, match="the disk is full"):
            writer.write([record(f"many{n}", caller="x" * 500) for n in range(100)])
        writer._connection.execute("PRAGMA max_page_count=100000")
        writer.write([record("r2")])

    assert rows(tmp_path, "SELECT ref FROM cdr ORDER BY ref") == [("r1",), ("r2",)]


@pytest.fixture
def full_disk(monkeypatch):
    """Begins and ends by its `value`."""

    class Full:
        value = True

    def execute(connection):
        if Full.value:
            connection.execute("CREATE TABLE IF NOT EXISTS filler(what)")
            connection.execute(f"PRAGMA max_page_count={connection.execute('PRAGMA page_count').fetchone()[0]}")
            connection.execute("INSERT INTO filler VALUES (zeroblob(100000))")

    monkeypatch.setattr("sbc.cdr.database._add_columns", execute)
    return Full


def test_a_start_with_a_full_disk_has_its_records_later(tmp_path, record, full_disk):
    full_disk.value = False
    with CdrWriter.open(tmp_path) as writer:
        writer.write([record("r1")], Spot(3, 7))
    full_disk.value = True
    with CdrWriter.open(tmp_path) as writer:
        assert writer.is_late
        for use in (writer.fed, lambda: writer.write([record("r2")]), writer.rows_before):
            with pytest.raises(StoreError, match="the disk is full"):
                use()
        with pytest.raises(StoreError, match="in use by another"):
            CdrWriter.open(tmp_path)
        full_disk.value = False
        assert writer.fed() == Spot(3, 7)
        assert (writer.is_late, writer.newest) == (False, 1)
        writer.write([record("r2")])
    assert rows(tmp_path, "SELECT ref FROM cdr ORDER BY ref") == [("r1",), ("r2",)]


def test_a_first_start_on_a_full_disk_is_refused(tmp_path, full_disk):
    with pytest.raises(StoreError, match="the disk is full"):
        CdrWriter.open(tmp_path / "new")
    full_disk.value = False
    CdrWriter.open(tmp_path / "new").close()


def test_a_damaged_database_keeps_no_next_life_down(tmp_path, record):
    (tmp_path / "cdr.db").write_bytes(b"no database, but many octets" * 100)
    with pytest.raises(StoreError, match="not an SQLite database"):
        CdrWriter.open(tmp_path)
    with CdrWriter.open(tmp_path, is_restart=True) as writer:
        with pytest.raises(StoreError, match="not an SQLite database"):
            writer.write([record("r1")])
        (tmp_path / "cdr.db").rename(tmp_path / "aside")
        writer.write([record("r1")])
    assert rows(tmp_path, "SELECT ref FROM cdr") == [("r1",)]


def test_a_late_store_that_is_closed_gives_its_lock_back(tmp_path):
    (tmp_path / "cdr.db").write_bytes(b"no database, but many octets" * 100)
    CdrWriter.open(tmp_path, is_restart=True).close()
    (tmp_path / "cdr.db").unlink()
    CdrWriter.open(tmp_path).close()


def test_a_file_that_is_moved_away_keeps_its_records_and_a_new_one_is_begun(tmp_path, record):
    old = tmp_path / "old"
    old.mkdir()
    with CdrWriter.open(tmp_path) as writer:
        writer.write([record("first")])
        (tmp_path / "cdr.db").rename(old / "cdr.db")
        with pytest.raises(StoreError, match="moved or removed while in use; a new one is begun"):
            writer.write([record("second")])
        writer.write([record("second")])
    assert rows(old, "SELECT ref FROM cdr") == [("first",)]
    assert rows(tmp_path, "SELECT ref FROM cdr") == [("second",)]


def test_a_folder_that_is_removed_is_made_again_with_its_lock(tmp_path, record):
    data_dir = tmp_path / "data"
    with CdrWriter.open(data_dir) as writer:
        writer.write([record("first")])
        shutil.rmtree(data_dir)
        with pytest.raises(StoreError, match="a new one is begun"):
            writer.write([record("second")])
        with pytest.raises(StoreError, match="in use by another sbc process"):
            CdrWriter.open(data_dir)
        writer.write([record("second")])
    assert rows(data_dir, "SELECT ref FROM cdr") == [("second",)]


def test_a_folder_that_cannot_be_made_again_is_said_until_it_can(tmp_path, record):
    data_dir = tmp_path / "data"
    with CdrWriter.open(data_dir) as writer:
        shutil.rmtree(data_dir)
        data_dir.write_text("in the way")
        for _ in range(2):
            with pytest.raises(StoreError, match="cannot keep CDRs here"):
                writer.write([record("one")])
        data_dir.unlink()
        with pytest.raises(StoreError, match="a new one is begun"):
            writer.write([record("one")])
        writer.write([record("one")])
    assert rows(data_dir, "SELECT ref FROM cdr") == [("one",)]


def test_a_file_size_limit_is_an_error_of_the_store_and_no_crash(tmp_path, record):
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        with CdrWriter.open(tmp_path) as writer:
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
            with pytest.raises(StoreError):
                writer.write([record(f"many{n}", caller="x" * 500) for n in range(1000)])
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            writer.write([record("r1")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)

    assert rows(tmp_path, "SELECT ref FROM cdr") == [("r1",)]


def test_a_folder_that_cannot_be_made_is_an_operators_error(tmp_path):
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError, match="cannot keep CDRs here: Not a directory"):
        CdrWriter.open(tmp_path / "file" / "var")


@as_user
def test_a_folder_without_permission_is_an_operators_error(tmp_path):
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(StoreError, match="cannot keep CDRs here: Permission denied"):
            CdrWriter.open(tmp_path)
    finally:
        tmp_path.chmod(0o700)


def test_reading_where_nothing_was_ever_written_says_so(tmp_path):
    with pytest.raises(StoreError, match="there is no CDR database here"):
        CdrReader.open(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_readers_see_records_while_the_writer_is_at_work(tmp_path, record):
    with CdrWriter.open(tmp_path) as writer, CdrReader.open(tmp_path) as reader:
        writer.write([record("r1")])
        assert refs(reader.page()) == ["r1"]
        writer.write([record("r2")])
        assert refs(reader.page()) == ["r1", "r2"]


def test_readers_cannot_write(tmp_path, record):
    store(tmp_path, record("r1"))

    with CdrReader.open(tmp_path) as reader, pytest.raises(sqlite3.OperationalError):
        reader._connection.execute("DELETE FROM cdr")


def test_a_folder_with_odd_characters_can_be_read(tmp_path, record):
    folder = tmp_path / "50% of ?mode=rw #1"
    store(folder, record("r1"))

    with CdrReader.open(folder) as reader:
        assert refs(reader.page()) == ["r1"]


def test_since_takes_calls_that_ended_then_or_later(tmp_path, record, epoch):
    store(tmp_path, record("early", ended_at=epoch), record("late", ended_at=epoch + 0.001))

    with CdrReader.open(tmp_path) as reader:
        assert refs(reader.page(Filters(since=epoch))) == ["early", "late"]
        assert refs(reader.page(Filters(since=epoch + 0.001))) == ["late"]
        assert refs(reader.page(Filters(since=epoch + 1))) == []


def test_trunk_takes_calls_from_it_and_to_it(tmp_path, record):
    store(
        tmp_path,
        record("out", ingress="office", egress="carrier-a"),
        record("in", ingress="carrier-a", egress="office"),
        record("other", ingress="office", egress="carrier-b"),
        record("refused", ingress="carrier-a", egress=None),
    )

    with CdrReader.open(tmp_path) as reader:
        assert set(refs(reader.page(Filters(trunk="carrier-a")))) == {"out", "in", "refused"}
        assert refs(reader.page(Filters(trunk="' OR 1=1 --"))) == []


def test_pages_follow_each_other_without_gap_or_repetition(tmp_path, record, epoch):
    store(tmp_path, *(record(f"r{n:02d}", ended_at=epoch + n // 3) for n in range(20)))

    seen, after = [], None
    with CdrReader.open(tmp_path) as reader:
        for _ in range(10):
            page = reader.page(after=after, limit=7)
            seen += refs(page)
            after = page.next
            if after is None:
                break

    assert seen == [f"r{n:02d}" for n in range(20)]


def test_a_cursor_stays_good_while_records_are_added(tmp_path, record, epoch):
    with CdrWriter.open(tmp_path) as writer, CdrReader.open(tmp_path) as reader:
        writer.write([record(f"r{n}", ended_at=epoch + n) for n in range(4)])
        first = reader.page(limit=2)
        writer.write([record("r4", ended_at=epoch + 4), record("r5", ended_at=epoch + 5)])

        assert refs(reader.page(after=first.next)) == ["r2", "r3", "r4", "r5"]


def test_a_last_page_that_is_exactly_full_has_no_next(tmp_path, record):
    store(tmp_path, record("r1"), record("r2"))

    with CdrReader.open(tmp_path) as reader:
        assert reader.page(limit=2).next is None


@pytest.mark.parametrize("cursor", ["nonsense", "x" * 1000 + ",y"])
def test_a_cursor_that_is_none_is_refused(tmp_path, cursor):
    store(tmp_path)

    with CdrReader.open(tmp_path) as reader, pytest.raises(ValueError, match="not a cursor"):
        reader.page(after=cursor)


def test_latest_are_the_newest_with_the_oldest_of_them_first(tmp_path, record, epoch):
    store(tmp_path, *(record(f"r{n}", ended_at=epoch + n) for n in range(5)))

    with CdrReader.open(tmp_path) as reader:
        assert refs(reader.latest(limit=2)) == ["r3", "r4"]


def test_a_closed_store_leaves_one_file_that_can_be_copied(tmp_path, record):
    store(tmp_path, record("r1"))

    assert {path.name for path in Path(tmp_path).iterdir()} == {"cdr.db", "lock"}


def test_other_users_cannot_read_who_called_whom(tmp_path, record):
    with CdrWriter.open(tmp_path / "var") as writer:
        writer.write([record("r1")])
        modes = {path.name: path.stat().st_mode & 0o007 for path in (tmp_path / "var").iterdir()}

    assert modes == {"cdr.db": 0, "cdr.db-wal": 0, "cdr.db-shm": 0, "lock": 0}
    assert (tmp_path / "var").stat().st_mode & 0o007 == 0
