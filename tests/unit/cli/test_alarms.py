"""`sbc alarms` at night: sentences, the worst first, and nothing that a peer could have drawn."""

import datetime as dt
import json

import pytest

from sbc.cdr.format import time_text
from sbc.cli import run_command


@pytest.fixture
def run(sbc, capsys):
    """Runs a command against `sbc`: status, lines of stdout."""

    def run(*words):
        status = run_command([*words, "--admin", sbc.address])
        return status, capsys.readouterr().out.splitlines()

    return run


def alarm(event, text, *, ended=None, minutes=5.0):
    since = dt.datetime.now(dt.UTC).timestamp() - minutes * 60
    return {
        "event": event, "subject": "", "text": text, "since": time_text(since), "last": time_text(since), "count": 3,
        "active": ended is None, "ended_at": None if ended is None else time_text(since + ended), "fields": {},
    }  # fmt: skip


def test_each_alarm_is_a_line_with_its_age_or_how_long_it_lasted(sbc, run):
    alarms = [
        alarm("peer.down", "No call can reach \x1b[2Jcarrier-a."),
        alarm("cdr.not_stored", "…", ended=30.0),
    ]
    sbc.knows("GET /api/v1/alarms", {"alarms": alarms})
    status, lines = run("alarms")
    assert status == 0
    assert [line.split()[:2] for line in lines] == [
        ["ALARM", "STATE"],
        ["peer.down", "active"],
        ["cdr.not_stored", "over"],
    ]
    assert "5m 0" in lines[1]
    assert "30s" in lines[2]
    assert lines[1].endswith("No call can reach \\x1b[2Jcarrier-a.")


def test_that_all_is_well_is_said(sbc, run):
    sbc.knows("GET /api/v1/alarms", {"alarms": []})
    assert run("alarms") == (0, ["No alarm is active."])


def test_json_is_what_the_api_said(sbc, run):
    body = {"alarms": [alarm("peer.down", "…")]}
    sbc.knows("GET /api/v1/alarms", body)
    _, lines = run("alarms", "--json")
    assert json.loads("\n".join(lines)) == body
