"""Call records in PostgreSQL: whatever becomes of the server, none is lost, none doubled, and no call waits for it."""

import contextlib
import sqlite3
import time
from pathlib import Path

import pytest

from sbc.cdr import sheet
from sbc.cdr.record import AttemptRecord, CallRecord
from sbc.cdr.store import CdrReader, CdrWriter
from sbc.core.secret import Secret
from sbc.policy.model import Postgres
from sbc.runtime import cdr_copy, cdr_postgres
from sbc.runtime.cdr_copy import CdrCopy
from sbc.runtime.cdr_postgres import CopyError, PostgresCopy

from .children import until
from .postgres import PASSWORD, PostgresServer
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

CALLS, RATE = 1000, 100
EPOCH = 1_738_314_000.0
MORE = "sbc: {{cdr: {{postgres: {{url: '{url}', password: {password}}}}}}}"


@pytest.fixture
def server(net, tmp_path):
    server = PostgresServer(f"{net}.70", tmp_path)
    yield server
    server.close()


@pytest.fixture
def postgres(server):
    return Postgres(server.url, Secret(PASSWORD))


def record(ref, **changes):
    attempt = AttemptRecord(1, "carrier-a", "sip:x", "2", EPOCH, EPOCH + 1, 200, "normal", "c")
    fields = {
        "ingress": "office", "egress": "carrier-a", "route": "r", "caller": "+4930123", "called": "2",
        "called_as_sent": "2", "started_at": EPOCH, "ringing_at": None, "answered_at": EPOCH + 1.5,
        "ended_at": EPOCH + 61.5, "billable_ms": 60_000, "sip_status": 200, "q850": 16, "ended_by": "caller",
        "cause": "normal", "emergency": False, "disaster": True, "media": '{"ingress":[{"codec":"PCMA"}],"egress":[]}',
        "ingress_call_id": "i", "egress_call_id": "e", "attempts": (attempt,),
    }  # fmt: skip
    return CallRecord(ref=ref, **(fields | changes))


def wait(condition, seconds=30.0):
    until(condition, "the copy", seconds)


# --- a running SBC ----------------------------------------------------------------------------------------------------


def test_a_thousand_calls_while_the_server_stops_hangs_and_crashes(server, node, started, tmp_path):
    sbc = node(more=MORE.format(url=server.url, password=PASSWORD))
    started(Sipp("carrier", "uas", tmp_path, local=sbc.carrier, calls=CALLS))
    pbx = started(Sipp("pbx", "uac", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060", calls=CALLS, rate=RATE))

    wait(lambda: server.count("cdr") >= 100)
    server.stop()
    wait(lambda: len(sbc.cdrs()) >= 350)
    server.start()
    wait(lambda: server.count("cdr") >= 400)
    server.crash()
    wait(lambda: len(sbc.cdrs()) >= 600)
    server.start()
    wait(lambda: server.count("cdr") >= 650)
    server.hang()
    wait(lambda: len(sbc.cdrs()) >= 900)
    server.go_on()

    pbx.child.wait(60)
    wait(lambda: server.count("cdr") == len(sbc.cdrs()) == CALLS, 60)
    assert server.run('SELECT ref FROM cdr ORDER BY ref COLLATE "C"') == sorted(one["ref"] for one in sbc.cdrs())
    assert server.run("SELECT count(*), count(DISTINCT ref) FROM attempt") == [f"{CALLS}|{CALLS}"]
    assert "sbc_cdr_copy_pending 0\n" in sbc.metrics()
    assert "cdr.copy_failing" in sbc.child.log
    assert "cdr.copied_again" in sbc.child.log
    assert PASSWORD not in sbc.child.log + "".join(path.read_text() for path in tmp_path.glob("postgres*.log"))
    imported(server, sbc, tmp_path)


def imported(server, sbc, folder):
    """The export of the same calls, read by the database itself."""
    sbc.says("cdr", "export", "--output", str(folder / "all.csv"))
    page = (Path(__file__).parents[2] / "docs" / "howto" / "call-records.md").read_text()
    server.run(page[page.index("CREATE TABLE imported(") :].partition(";")[0])
    copied = server.run(f"\\copy imported FROM '{folder}/all.csv' WITH (FORMAT csv, HEADER)")
    assert copied == [f"COPY {CALLS}"]
    assert server.run(
        "SELECT count(*) FROM imported JOIN cdr USING (ref) WHERE imported.started_at = cdr.started_at"
        " AND imported.caller = cdr.caller AND imported.billable_ms = cdr.billable_ms"
        " AND imported.emergency = cdr.emergency AND imported.ringing_at IS NOT DISTINCT FROM cdr.ringing_at"
    ) == [str(CALLS)]


def test_what_was_not_copied_is_copied_after_the_next_start_and_a_hung_server_holds_up_no_stop(
    server, node, started, tmp_path
):
    sbc = node(more=MORE.format(url=server.url, password=PASSWORD))
    started(Sipp("carrier", "uas", tmp_path, local=sbc.carrier, calls=20))
    pbx = started(Sipp("pbx", "uac", tmp_path, local=sbc.pbx, remote=f"{sbc.inside}:5060", calls=20))
    wait(lambda: server.count("cdr") >= 1)
    server.hang()
    assert pbx.child.wait(30) == 0, pbx.errors
    wait(lambda: len(sbc.cdrs()) == 20)

    before = time.monotonic()
    sbc.child.stop()
    assert time.monotonic() - before < 8
    server.go_on()
    sbc.start()

    wait(lambda: server.count("cdr") == 20)


# --- a reload ---------------------------------------------------------------------------------------------------------


def test_a_reload_switches_it_on_and_off(server, node, tmp_path):
    sbc = node()
    with contextlib.closing(sqlite3.connect(sbc.folder / "data" / "cdr.db")) as database:
        assert database.execute("SELECT count(*) FROM copied").fetchone() == (0,)
    assert "\nsbc_cdr_copy_pending " not in sbc.metrics()

    sbc.write(MORE.format(url=server.url, password=PASSWORD))
    sbc.says("reload")
    sbc.child.until("cdr.copying")
    assert "\nsbc_cdr_copy_pending 0\n" in sbc.metrics()

    sbc.write("")
    sbc.says("reload")
    sbc.child.until("cdr.copy_ended")
    assert "\nsbc_cdr_copy_pending " not in sbc.metrics()


# --- the copy alone ---------------------------------------------------------------------------------------------------


@pytest.fixture
def writer(tmp_path):
    with CdrWriter.open(tmp_path / "data") as writer:
        yield writer


@pytest.fixture
def copying(writer, postgres, monkeypatch):
    """A copy in its thread; it ends with the test."""
    monkeypatch.setattr(cdr_copy, "_GATHER_SECONDS", 0.01)
    monkeypatch.setattr(cdr_copy, "_PAUSES_SECONDS", (0.2,))
    copy = CdrCopy(writer)
    copy.start(postgres)
    yield copy
    copy._giving_up = True
    copy._stir()
    copy._cut()
    copy._thread.join(10)


def test_any_text_is_copied(server, writer, copying):
    texts = {
        "r1": "a\x00b",
        "r2": "\udcff\ud800",
        "r3": "x" * 10_240,
        "r4": "'; DROP TABLE cdr; --",
        "r5": "%s {} \\u0000",
    }
    writer.write(
        [record(ref, caller=text, media='{"x":"\\u0000"}', ingress_call_id=text) for ref, text in texts.items()]
    )
    copying.stored()

    wait(lambda: server.count("cdr") == 5)
    assert server.run("SELECT length(caller) FROM cdr ORDER BY ref") == ["6", "12", "10240", "21", "12"]


def test_no_text_keeps_the_export_from_being_imported_as_it_is_documented(server, writer, tmp_path):
    page = (Path(__file__).parents[2] / "docs" / "howto" / "call-records.md").read_text()
    texts = ("1\n\\.\n2", "\\.", "a\x00b", "\udcff", '"', "\r", "\\N", "=1", "")
    writer.write([record(f"r{n}", caller=text, called=text) for n, text in enumerate(texts)])
    with CdrReader.open(tmp_path / "data") as reader:
        lines = "".join(sheet.calls(reader.every(), raw="--raw --output day.csv" in page))
    (tmp_path / "day.csv").write_text(lines, encoding="utf-8", errors="backslashreplace", newline="")
    server.run(page[page.index("CREATE TABLE imported(") :].partition(";")[0])

    assert server.run(f"\\copy imported FROM '{tmp_path}/day.csv' WITH (FORMAT csv, HEADER)") == [f"COPY {len(texts)}"]


def test_types_are_those_of_the_database(server, writer, copying):
    writer.write([record("r1")])
    copying.stored()

    wait(lambda: server.count("attempt") == 1)
    assert server.run(
        "SELECT started_at = '2025-01-31T09:00:00Z', extract(epoch FROM ended_at - answered_at), billable_ms, disaster,"
        " emergency, media->'ingress'->0->>'codec', ringing_at IS NULL FROM cdr"
    ) == ["t|60.000000|60000|t|f|PCMA|t"]


def test_a_record_that_is_refused_is_set_aside_and_tried_again_after_a_reload(server, writer, copying, postgres):
    writer.write([record("first")])
    copying.stored()
    wait(lambda: server.count("cdr") == 1)
    server.run("ALTER TABLE cdr ADD CONSTRAINT no_bad CHECK (caller <> 'bad')")

    writer.write([record(f"r{n}", caller="bad" if n in (3, 77) else "good") for n in range(100)])
    copying.stored()
    wait(lambda: server.count("cdr") == 99)
    wait(lambda: copying.pending == 0)
    assert sorted(writer.set_aside(postgres.url)) == ["r3", "r77"]

    server.run("ALTER TABLE cdr DROP CONSTRAINT no_bad")
    copying.change(postgres)
    wait(lambda: server.count("cdr") == 101)
    wait(lambda: writer.set_aside(postgres.url) == [])


def test_what_a_trigger_refuses_is_set_aside_as_well(server, writer, copying, postgres):
    writer.write([record("first")])
    copying.stored()
    wait(lambda: server.count("cdr") == 1)
    server.run(
        "CREATE FUNCTION judge() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        " IF NEW.caller = 'bad' THEN RAISE EXCEPTION 'not him'; END IF; RETURN NEW; END$$"
    )
    server.run("CREATE TRIGGER judge BEFORE INSERT ON cdr FOR EACH ROW EXECUTE FUNCTION judge()")

    writer.write([record(f"r{n}", caller="bad" if n == 3 else "good") for n in range(10)])
    copying.stored()
    wait(lambda: server.count("cdr") == 10)
    wait(lambda: copying.pending == 0)
    assert writer.set_aside(postgres.url) == ["r3"]


def test_a_table_that_refuses_everything_stops_the_copy_and_nothing_is_lost(
    server, writer, copying, postgres, monkeypatch
):
    monkeypatch.setattr("sbc.core.limits.CDR_SET_ASIDE", 5)
    writer.write([record("first")])
    copying.stored()
    wait(lambda: server.count("cdr") == 1)
    server.run("ALTER TABLE cdr ADD CONSTRAINT none CHECK (ref = 'first')")

    writer.write([record(f"r{n}") for n in range(50)])
    copying.stored()
    wait(lambda: copying._failures > 1)
    assert copying.pending == 50

    server.run("ALTER TABLE cdr DROP CONSTRAINT none")
    wait(lambda: server.count("cdr") == 51)


def test_an_older_table_gets_the_columns_that_it_lacks(server, writer, copying, postgres):
    writer.write([record("first")])
    copying.stored()
    wait(lambda: server.count("cdr") == 1)
    copying.change(None)
    server.run("ALTER TABLE cdr DROP COLUMN joined_to, ADD COLUMN our_own text DEFAULT 'kept'")

    writer.write([record("second", joined_to="first")])
    copying.change(postgres)
    wait(lambda: server.count("cdr") == 2)
    assert server.run("SELECT joined_to, our_own FROM cdr WHERE ref = 'second'") == ["first|kept"]


def test_rows_that_were_numbered_anew_are_all_copied_again_and_none_is_doubled(server, writer, copying, tmp_path):
    writer.write([record(f"r{n}") for n in range(10)])
    copying.stored()
    wait(lambda: server.count("cdr") == 10)
    wait(lambda: copying.pending == 0)
    with sqlite3.connect(tmp_path / "data" / "cdr.db") as hand:  # as an operator who empties it, and more
        hand.execute("DELETE FROM cdr")
    writer.write([record(f"s{n}") for n in range(3)])
    copying.stored()

    wait(lambda: server.count("cdr") == 13)


def test_a_server_that_hangs_is_cut_off_and_the_copy_goes_on(server, writer, copying, monkeypatch):
    monkeypatch.setattr(cdr_postgres, "_PATIENCE_SECONDS", 1.0)
    monkeypatch.setattr(cdr_postgres, "_CONNECT_SECONDS", 2)
    writer.write([record("r1")])
    copying.stored()
    wait(lambda: server.count("cdr") == 1)

    server.hang()
    writer.write([record("r2")])
    copying.stored()
    wait(lambda: copying._failures > 1)
    server.go_on()

    wait(lambda: server.count("cdr") == 2)
    wait(lambda: copying._failures == 0)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"url": "postgresql://sbc@{host}:5432/nowhere"}, "does not exist"),
        ({"url": "postgresql://sbc@{host}:1/records"}, "refused"),
        ({"password": Secret("wrong-secret")}, "password authentication failed"),
        ({"url": "postgresql://sbc@{host}:5432/template1?options=-csearch_path%3Dno"}, "no schema"),
    ],
)
def test_what_is_in_the_way_is_said_in_one_line_without_the_password(server, change, reason):
    url = change.get("url", server.url).format(host=server.host)
    secret = change.get("password", Secret(PASSWORD))

    with pytest.raises(CopyError, match=reason) as caught:
        PostgresCopy(Postgres(url, secret))
    assert secret.text not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_database_that_cannot_hold_any_text_is_refused(server):
    server.run("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")

    with pytest.raises(CopyError, match="LATIN1; expected UTF8"):
        PostgresCopy(Postgres(server.url.replace("/records", "/latin"), Secret(PASSWORD)))


def test_a_batch_that_was_committed_before_the_cursor_moved_is_not_doubled(server, writer, postgres, tmp_path):
    writer.write([record(f"r{n}") for n in range(3)])
    connection = PostgresCopy(postgres)
    with CdrReader.open(tmp_path / "data") as reader:
        rows = [row[1:] for row in reader.written_after(None, 10)]
        attempts = [attempt for row in rows for attempt in reader.attempts(row[0])]
    for _ in range(2):
        assert connection.put(rows, attempts) == []
    connection.close()

    assert (server.count("cdr"), server.count("attempt")) == (3, 3)
