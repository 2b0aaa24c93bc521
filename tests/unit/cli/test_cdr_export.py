"""`sbc cdr export` and `report` as they are typed: whole files or none, streams, and what a pipe may do."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sbc.cdr.store import CdrWriter
from sbc.cli import run_command

SBC = [sys.executable, "-m", "sbc"]


@pytest.fixture
def folder(tmp_path, record, epoch):
    path = tmp_path / "data"
    with CdrWriter.open(path) as writer:
        writer.write([record(f"r{n:04}", ended_at=epoch + n, caller="=cmd()") for n in range(1, 1202)])
    return path


def export(folder, *options):
    return run_command(["cdr", "export", "--data-dir", str(folder), *options])


def test_all_records_are_exported_not_only_a_page(folder, tmp_path):
    assert export(folder, "--output", str(tmp_path / "all.csv")) == 0

    with (tmp_path / "all.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["ref"] for row in rows] == [f"r{n:04}" for n in range(1, 1202)]
    assert {row["caller"] for row in rows} == {"'=cmd()"}


def test_json_lines_are_the_records_of_the_api(folder, capsys):
    assert export(folder, "--format", "jsonl", "--since", "2025-01-31T09:20:00Z") == 0

    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["ref"] for line in lines] == ["r1200", "r1201"]
    assert json.loads(lines[0])["attempts"][0]["peer"] == "carrier-a"


def test_attempts_are_a_line_each_in_both_formats(folder, capsys):
    options = ("--attempts", "--since", "2025-01-31T09:20:01Z")
    assert (export(folder, *options), export(folder, *options, "--format", "jsonl")) == (0, 0)

    header, line, as_json = capsys.readouterr().out.splitlines()
    assert header.startswith("ref,n,peer,")
    assert line.startswith("r1201,1,carrier-a,")
    assert json.loads(as_json)["ref"] == "r1201"


def test_raw_is_for_csv_alone(folder):
    assert export(folder, "--raw", "--format", "jsonl") == 2


def test_a_file_is_replaced_whole_and_only_its_group_may_read_it(folder, tmp_path):
    target = tmp_path / "x.csv"
    target.write_text("old")

    assert export(folder, "--output", str(target)) == 0
    assert target.read_text().startswith("ref,")
    assert target.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_what_fails_leaves_the_old_file_and_no_other(folder, tmp_path, monkeypatch):
    target = tmp_path / "x.csv"
    target.write_text("old")
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left on device")))

    assert export(folder, "--output", str(target)) == 1
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.glob(".*")] == []


def test_a_folder_that_is_not_there_is_named_as_it_was_given(folder, tmp_path, capsys):
    target = tmp_path / "nowhere" / "x.csv"

    assert export(folder, "--output", str(target)) == 1
    assert capsys.readouterr().err == f"sbc: {target}: there is no folder {target.parent}\n"


def test_a_device_is_written_to_and_not_replaced(folder):
    assert export(folder, "--output", "/dev/null") == 0
    assert not Path("/dev/null").is_file()


def test_a_reader_that_has_seen_enough_ends_it_without_a_word(folder):
    with subprocess.Popen(
        [*SBC, "cdr", "export", "--data-dir", str(folder)], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline().endswith(b"\r\n")
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_who_ends_it_finds_no_half_of_a_file(number, folder, tmp_path):
    program = f"""
import os, signal
from sbc.cli import cdr_export, main
from sbc.cli.records import every_record
def slow(*asked):
    for n, record in enumerate(every_record(*asked)):
        if n == 500:
            os.kill(os.getpid(), {int(number)})
        yield record
cdr_export.every_record = slow
main()
"""
    command = ["cdr", "export", "--data-dir", str(folder), "--output", str(tmp_path / "x.csv")]
    done = subprocess.run([sys.executable, "-c", program, *command], capture_output=True, check=False)

    assert (done.returncode, done.stderr) == (130, b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_pages_of_the_api_are_followed(sbc, capsys):
    record = {"ref": "r1", "caller": "+49301"}
    sbc.knows("GET /api/v1/cdrs", {"cdrs": [record], "next": None})

    assert run_command(["cdr", "export", "--admin", sbc.address, "--number", "301", "--until", "2025-01-31"]) == 0
    assert capsys.readouterr().out.splitlines()[1].startswith("r1,")
    assert "number=301" in sbc.asked[0]
    assert "limit=1000" in sbc.asked[0]


# --- report -----------------------------------------------------------------------------------------------------------


def test_a_report_is_a_table_of_days_and_one_of_all_days(folder, capsys):
    command = ["cdr", "report", "--data-dir", str(folder), "--since", "2025-01-31", "--until", "2025-02-01"]

    assert run_command([*command, "--timezone", "Europe/Berlin"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("2025-01-31 00:00 to 2025-02-01 00:00, Europe/Berlin\n")
    assert "10:00" in out  # 09:00 UTC
    assert [line.split()[:4] for line in out.splitlines() if "carrier-a" in line] == [
        ["2025-01-31", "carrier-a", "out", "1201"],
        ["carrier-a", "out", "1201", "1201"],
        ["carrier-a", "both", "1201", "1201"],
    ]


def test_a_test_call_came_in_by_no_trunk(tmp_path, record, epoch, capsys):
    with CdrWriter.open(tmp_path) as writer:
        writer.write([record("r1", ended_at=epoch + 1, ingress="testcall")])
    command = ["cdr", "report", "--data-dir", str(tmp_path), "--since", "2025-01-31", "--until", "2025-02-01", "--json"]

    assert run_command(command) == 0
    assert {row["trunk"] for row in json.loads(capsys.readouterr().out)["rows"]} == {"carrier-a"}


def test_a_report_as_json_is_the_apis(folder, capsys):
    command = ["cdr", "report", "--data-dir", str(folder), "--since", "2025-01-31", "--until", "2025-02-01", "--json"]

    assert run_command([*command, "--trunk", "carrier-a"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert (row["calls"], row["peak_paths"], row["peak_at"]) == (1201, 1201, "2025-01-31T09:00:00.000Z")


def test_the_running_sbc_is_asked_for_the_same_time(sbc, capsys):
    sbc.knows("GET /api/v1/report", {"since": "2025-01-30T23:00:00Z", "until": "2025-01-31T00:00:00Z", "rows": []})
    command = ["cdr", "report", "--admin", sbc.address, "--since", "2025-01-31", "--timezone", "Europe/Berlin"]

    assert run_command([*command, "--until", "2025-02-01"]) == 0
    assert "since=2025-01-30T23%3A00%3A00.000%2B00%3A00" in sbc.asked[0]
    assert "No trunk carried a call in this time." in capsys.readouterr().out


@pytest.mark.parametrize("wrong", [["--since", "x"], ["--timezone", "Mars"], ["--since", "1d", "--until", "2d"]])
def test_a_time_that_cannot_be_meant_is_2(folder, wrong):
    assert run_command(["cdr", "report", "--data-dir", str(folder), *wrong]) == 2
