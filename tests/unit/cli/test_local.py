"""Commands that need no running SBC: check, why, cdr list from a folder, and where the examples are."""

import json

import pytest

from sbc.cdr.store import CdrWriter
from sbc.cli import UsageError, run_command
from sbc.cli.examples import example_policy
from sbc.cli.records import since_seconds
from sbc.core.errors import OperatorError


def test_check_of_a_good_policy_is_a_summary_and_0(capsys):
    assert run_command(["check", str(example_policy("quickstart"))]) == 0
    out, err = capsys.readouterr()
    assert "1 pbx, 1 trunk" in out
    assert err == ""


def test_check_of_a_bad_policy_shows_every_error_with_its_place_and_is_1(tmp_path, capsys):
    path = tmp_path / "policy.yaml"
    path.write_text("sbc: {nmae: hq}\nroots: []\n")

    assert run_command(["check", str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert f"{path}:1:" in err
    assert f"{path}:2:" in err
    assert all(line.startswith(str(path)) for line in err.splitlines())


def test_check_of_a_file_that_is_not_there_is_1(tmp_path, capsys):
    assert run_command(["check", str(tmp_path / "nowhere.yaml")]) == 1
    assert "No such file" in capsys.readouterr().err


def test_why_of_a_call_that_goes_out_is_0(capsys):
    quickstart = str(example_policy("quickstart"))

    assert run_command(["why", quickstart, "--from", "carrier-a", "--to", "+14155550100"]) == 0
    assert "routes.yaml:" in capsys.readouterr().out


def test_why_of_a_refused_call_is_1_and_says_why(capsys):
    quickstart = str(example_policy("quickstart"))

    assert run_command(["why", quickstart, "--from", "office", "--to", "+19005550100", "--caller", "+14155550100"]) == 1
    assert "refused" in capsys.readouterr().out


def test_why_of_an_unknown_peer_is_1(capsys):
    assert run_command(["why", str(example_policy("quickstart")), "--from", "nobody", "--to", "911"]) == 1
    assert "nobody" in capsys.readouterr().err


def test_cdr_list_reads_a_folder(tmp_path, capsys, record, epoch):
    with CdrWriter.open(tmp_path) as writer:
        writer.write([record("r1", caller="\x1b]0;owned\x07"), record("r2", ended_at=epoch + 100)])

    assert run_command(["cdr", "list", "--data-dir", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert [line.split()[1] for line in out.splitlines()] == ["REF", "r1", "r2"]
    assert "\x1b" not in out
    assert "\x07" not in out


def test_cdr_list_says_which_calls_became_part_of_others(tmp_path, capsys, record):
    with CdrWriter.open(tmp_path) as writer:
        writer.write([record("r1"), record("r2", joined_to="r1")])

    assert run_command(["cdr", "list", "--data-dir", str(tmp_path)]) == 0
    head, one, other = capsys.readouterr().out.splitlines()
    assert head.endswith("JOINED TO")
    at = head.index("JOINED TO")
    assert other[at:].strip() == "r1"
    assert "r1" not in one[at:]

    run_command(["cdr", "list", "--data-dir", str(tmp_path), "--json"])
    assert [shown["joined_to"] for shown in json.loads(capsys.readouterr().out)["cdrs"]] == [None, "r1"]


def test_cdr_list_filters_and_shows_json(tmp_path, capsys, record, epoch):
    with CdrWriter.open(tmp_path) as writer:
        writer.write([record("r1"), record("r2", egress="carrier-b"), record("r3", ended_at=epoch)])
    command = ["cdr", "list", "--data-dir", str(tmp_path), "--json", "--since", "2025-01-31T09:00:01Z"]

    run_command([*command, "--trunk", "carrier-a"])

    body = json.loads(capsys.readouterr().out)
    assert [shown["ref"] for shown in body["cdrs"]] == ["r1"]
    assert body["next"] is None


def test_cdr_list_of_a_folder_without_records_is_1(tmp_path, capsys):
    assert run_command(["cdr", "list", "--data-dir", str(tmp_path)]) == 1
    assert "there is no CDR database here" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("7d", 604_800)])
def test_since_may_be_a_time_ago(text, seconds, epoch):
    assert since_seconds(text, epoch) == epoch - seconds


def test_since_may_be_a_time(epoch):
    assert since_seconds("2025-01-31T09:00:00Z", 0.0) == epoch


@pytest.mark.parametrize("text", ["2", "2w", "-2h", "٣h", "now"])
def test_since_that_is_neither_is_wrong_usage(text, epoch):
    with pytest.raises(UsageError, match="--since"):
        since_seconds(text, epoch)


def test_an_example_that_is_missing_is_an_operators_error():
    with pytest.raises(OperatorError, match="missing from this installation"):
        example_policy("nowhere")


def test_check_in_json_has_every_problem_and_is_1(tmp_path, capsys):
    path = tmp_path / "policy.yaml"
    path.write_text("sbc: {nmae: hq}\nroots: []\n")

    assert run_command(["check", str(path), "--json"]) == 1
    out, err = capsys.readouterr()
    said = json.loads(out)
    assert said["valid"] is False
    assert {problem.rpartition("policy.yaml")[2][:3] for problem in said["problems"]} == {":1:", ":2:"}
    assert err == ""


def test_check_and_why_in_json(capsys):
    quickstart = str(example_policy("quickstart"))

    assert run_command(["check", quickstart, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["valid"], said["problems"]) == (True, [])
    assert "1 pbx, 1 trunk" in said["text"]

    assert run_command(["why", quickstart, "--from", "office", "--to", "+19005550100", "--json"]) == 1
    said = json.loads(capsys.readouterr().out)
    assert said["refused"] is True
    assert "no-premium" in said["text"]
