"""Commands that ask a running SBC: a real socket with canned answers, and every way in which asking fails."""

import json
import re
import socket
from urllib.parse import unquote_plus

import pytest

from sbc.cli import run_command
from sbc.cli.client import find_admin
from sbc.core.errors import OperatorError

pytestmark = pytest.mark.loopback

CALL = {
    "ref": "k3v7q2mxya",
    "state": "answered",
    "ingress": "office",
    "egress": None,
    "route": "outbound",
    "caller": "\x1b[2J100",
    "called": "911",
    "started_at": "2025-01-31T09:00:00.000Z",
    "answered_at": "2025-01-31T09:00:05.250Z",
    "media": {},
}
STATUS = {"name": "hq", "ready": True, "calls": 1, "transactions": 3, "dialogs": 2, "ports": 4, "tasks": 17}


def test_status_is_a_table_or_the_apis_body(sbc, capsys):
    sbc.knows("GET /api/v1/status", STATUS)

    assert run_command(["status", "--admin", sbc.address]) == 0
    assert "name          hq\nready         yes\ncalls         1\n" in capsys.readouterr().out
    assert run_command(["status", "--admin", sbc.address, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == STATUS


def test_status_says_why_no_call_is_taken(sbc, capsys):
    sbc.knows("GET /api/v1/status", STATUS | {"ready": False})

    assert run_command(["status", "--admin", sbc.address]) == 0
    assert "ready         no: draining, new calls are refused\n" in capsys.readouterr().out


def test_status_says_in_words_what_keeps_calls_out(sbc, capsys):
    sbc.knows("GET /api/v1/status", STATUS | {"ready": False, "draining": False, "reason": "the disk is full"})

    assert run_command(["status", "--admin", sbc.address]) == 0
    said = capsys.readouterr().out
    assert "ready         no: the disk is full; new calls are refused, but emergency calls\n" in said
    assert "reason" not in said


def test_status_says_how_long_it_is_up_and_how_fast_calls_come(sbc, capsys):
    more = {"uptime_seconds": 7_450.2, "rates": {"calls_per_second": 1.25, "answered_per_second": 1.0}}
    sbc.knows("GET /api/v1/status", STATUS | more)

    assert run_command(["status", "--admin", sbc.address]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines[-3:]] == ["up for", "calls per second", "answered per second"]
    assert [line.split("  ")[-1].strip() for line in lines[-3:]] == ["2h 04m", "1.25", "1"]


@pytest.mark.parametrize(("percent", "said"), [(0, "no"), (40, "40 % of new work is refused, waited 130 ms")])
def test_status_says_in_words_whether_it_is_overloaded(sbc, capsys, percent, said):
    more = {"overload": {"refused_percent": percent, "waited_ms": 130, "refused": 7}}
    sbc.knows("GET /api/v1/status", STATUS | more)

    assert run_command(["status", "--admin", sbc.address]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2:] == [f"overload       {said}", "refused by it  7"]


def test_status_says_who_is_up_and_whether_there_are_alarms(sbc, capsys):
    sbc.knows("GET /api/v1/status", STATUS)
    sbc.knows("GET /api/v1/trunks", {"trunks": [{"state": state} for state in ("down", "up", "down", "busyout")]})
    sbc.knows("GET /api/v1/pbxs", {"pbxs": []})
    sbc.knows("GET /api/v1/alarms", {"alarms": [{"active": True}, {"active": True}, {"active": False}]})

    assert run_command(["status", "--admin", sbc.address]) == 0
    assert capsys.readouterr().out.splitlines()[-3:] == [
        "trunks        2 down, 1 up, 1 busyout",
        "pbxs          none",
        "alarms        2 active, see sbc alarms",
    ]


def test_a_call_that_waits_for_its_record_talks_no_more(sbc, capsys):
    sbc.knows("GET /api/v1/calls", {"calls": [CALL | {"state": "ending"}], "total": 1})

    assert run_command(["calls", "--admin", sbc.address]) == 0
    assert re.search(r"2025-01-31T09:00:00Z +- ", capsys.readouterr().out)


def test_status_has_a_line_for_each_process(sbc, capsys):
    up = {"worker": 0, "pid": 72, "engine": "kernel", "reason": "", "devices": ["eth0", "eth1"], "sessions": 3}
    why = {"worker": 1, "pid": 73, "engine": "userland", "reason": "no bpffs", "devices": [], "sessions": 0}
    dead = {"worker": 2, "pid": None, "engine": "", "reason": "", "devices": [], "sessions": 0}
    more = {"pids": {"supervisor": 70, "signalling": 71}, "media": [up, why, dead]}
    sbc.knows("GET /api/v1/status", STATUS | more)

    assert run_command(["status", "--admin", sbc.address]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-5:] == [
        "pid of supervisor  70",
        "pid of signalling  71",
        "media worker 0     pid 72, kernel on eth0, eth1, 3 calls",
        "media worker 1     pid 73, userland (no bpffs), 0 calls",
        "media worker 2     not running",
    ]


@pytest.mark.parametrize(
    ("quality", "shown"),
    [
        ({}, ["-", "-", "-", "-", "-"]),
        ({"ingress": [], "egress": []}, ["-", "-", "-", "-", "-"]),
        (
            {
                "ingress": [{"mos": 4.41, "lost": 0, "packets": 50, "engine": "kernel", "jitter_ms": 0.2}],
                "egress": [
                    {
                        "mos": 3.96,
                        "lost": 3,
                        "packets": 97,
                        "engine": "userland",
                        "jitter_ms": 7.5,
                        "round_trip_ms": 42.25,
                    }
                ],
            },
            ["4.4/4.0", "0.0/3.0", "0.2/7.5", "-/42.2", "kernel+userland"],
        ),
        (
            {
                "ingress": [{"mos": 4.41, "lost": 0, "packets": 50, "engine": "kernel"}],
                "egress": [{"mos": None, "lost": None, "packets": 0, "engine": "kernel"}],
                "one_way": "egress",
            },
            ["4.4/-", "0.0/-", "-", "-", "one-way: egress not heard"],
        ),
        (
            {
                "ingress": [{"mos": 4.41, "lost": 0, "packets": 50, "engine": "kernel", "silent_seconds": 65}],
                "egress": [{"mos": 4.41, "lost": 0, "packets": 900, "engine": "kernel", "silent_seconds": 2}],
            },
            ["4.4/4.4", "0.0/0.0", "-", "-", "ingress silent 1:05"],
        ),
    ],
)
def test_calls_show_how_they_sound(sbc, capsys, quality, shown):
    sbc.knows("GET /api/v1/calls", {"calls": [CALL | {"quality": quality}]})

    assert run_command(["calls", "--admin", sbc.address]) == 0
    assert re.split("  +", capsys.readouterr().out.splitlines()[1])[-5:] == shown


def test_calls_are_a_table_or_the_apis_body(sbc, capsys):
    sbc.knows("GET /api/v1/calls", {"calls": [CALL]})

    assert run_command(["calls", "--admin", sbc.address]) == 0
    header, line = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["REF", "STATE", "INGRESS", "EGRESS"]
    assert line.split()[:7] == ["k3v7q2mxya", "answered", "office", "-", "outbound", "\\x1b[2J100", "911"]
    assert run_command(["calls", "--admin", sbc.address, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"calls": [CALL]}


def test_calls_that_are_not_in_the_list_are_named(sbc, capsys):
    sbc.knows("GET /api/v1/calls", {"calls": [CALL], "total": 1_001})

    assert run_command(["calls", "--admin", sbc.address]) == 0
    assert capsys.readouterr().err == "1000 calls that are older run besides\n"


def test_hangup_deletes_the_call(sbc, capsys):
    sbc.knows("DELETE /api/v1/calls/k3v7q2mxya", CALL | {"state": "ending"}, status=202)

    assert run_command(["hangup", "k3v7q2mxya", "--admin", sbc.address]) == 0
    assert sbc.asked == ["DELETE /api/v1/calls/k3v7q2mxya"]
    assert capsys.readouterr().out == "k3v7q2mxya: ending\n"


def test_a_ref_cannot_become_another_path(sbc):
    assert run_command(["hangup", "../status?x=/", "--admin", sbc.address]) == 1
    assert sbc.asked == ["DELETE /api/v1/calls/..%2Fstatus%3Fx%3D%2F"]


def test_a_problem_document_becomes_a_line_and_1(sbc, capsys):
    problem = {"type": "about:blank", "title": "Not Found", "status": 404, "detail": "no running call has the ref x"}
    sbc.knows("DELETE /api/v1/calls/x", problem, status=404, kind="application/problem+json")

    assert run_command(["hangup", "x", "--admin", sbc.address]) == 1
    assert capsys.readouterr().err == "sbc: no running call has the ref x\n"


def test_cdr_list_asks_for_the_last_ones(sbc, capsys):
    record = dict.fromkeys(("ref", "ingress", "egress", "called", "cause", "ended_by"), "x")
    record |= {"caller": None, "started_at": "2025-01-31T09:00:00.123Z", "billable_ms": 61_900, "sip_status": 200}
    sbc.knows("GET /api/v1/cdrs", {"cdrs": [record], "next": None})
    command = ["cdr", "list", "--admin", sbc.address, "--since", "2025-01-31", "--trunk", "a b", "--limit", "3"]

    assert run_command(command) == 0
    asked = [unquote_plus(line) for line in sbc.asked]
    assert asked == ["GET /api/v1/cdrs?last=3&since=2025-01-31T00:00:00.000Z&trunk=a b"]
    line = capsys.readouterr().out.splitlines()[1]
    assert line.split() == ["2025-01-31T09:00:00Z", "x", "x", "x", "-", "x", "1:01", "200", "x", "x"]


def test_one_record_is_asked_for_by_its_ref(sbc):
    sbc.knows("GET /api/v1/cdrs", {"cdrs": [], "next": None})

    assert run_command(["cdr", "list", "--admin", sbc.address, "--ref", "k3v7q2mxya"]) == 0
    assert sbc.asked == ["GET /api/v1/cdrs?last=50&ref=k3v7q2mxya"]


def test_something_else_that_answers_is_no_sbc(sbc, capsys):
    assert run_command(["status", "--admin", sbc.address]) == 1
    assert capsys.readouterr().err == f"sbc: {sbc.address}: what answers there (status 404) is no sbc\n"


def test_json_of_another_shape_is_no_sbc(sbc, capsys):
    sbc.knows("GET /api/v1/calls", ["what"])

    assert run_command(["calls", "--admin", sbc.address]) == 1
    assert "is no sbc" in capsys.readouterr().err


def test_a_proxy_of_the_environment_is_not_asked(sbc, monkeypatch):
    sbc.knows("GET /api/v1/status", STATUS)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")

    assert run_command(["status", "--admin", sbc.address]) == 0


def test_nobody_listening_is_one_line_and_1(capsys):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        assert run_command(["status", "--admin", address]) == 1

    said = capsys.readouterr().err
    assert said.startswith(f"sbc: {address}: nobody listens there; is sbc running?")
    assert len(said.splitlines()) == 1


def test_a_unix_socket_that_is_not_there_is_one_line_and_1(tmp_path, capsys):
    assert run_command(["status", "--admin", f"unix:{tmp_path}/admin"]) == 1
    assert f"sbc: unix:{tmp_path}/admin: there is no such socket; is sbc running?" in capsys.readouterr().err


def test_an_address_that_is_none_is_one_line_and_1(capsys):
    assert run_command(["status", "--admin", "somewhere"]) == 1
    assert "expected 127.0.0.1:8088" in capsys.readouterr().err


@pytest.fixture
def policy(tmp_path):
    def write(admin):
        path = tmp_path / "policy.yaml"
        path.write_text(f"""
sbc: {{admin: "{admin}"}}
interfaces: {{inside: {{sip: ["udp:127.0.0.10:5060"], media: 127.0.0.10}}}}
pbxs: {{office: {{interface: inside, address: "sip:127.0.0.30:5060"}}}}
routes: [{{name: none, from: office, to: national, reject: 403}}]
""")
        return path

    return write


def test_the_admin_address_is_the_option_then_the_environment_then_the_policy_then_the_default(monkeypatch, policy):
    monkeypatch.delenv("SBC_ADMIN", raising=False)
    path = policy("127.0.0.1:7777")

    assert find_admin(None, None) == "127.0.0.1:8088"
    assert find_admin(None, [path]) == "127.0.0.1:7777"
    monkeypatch.setenv("SBC_ADMIN", "127.0.0.1:6666")
    assert find_admin(None, [path]) == "127.0.0.1:6666"
    assert find_admin("127.0.0.1:5555", [path]) == "127.0.0.1:5555"


def test_a_policy_that_switches_the_api_off_is_said(monkeypatch, policy):
    monkeypatch.delenv("SBC_ADMIN", raising=False)

    with pytest.raises(OperatorError, match="admin: off"):
        find_admin(None, [policy("off")])


def test_a_drain_is_taken_back(sbc, capsys):
    sbc.knows("DELETE /api/v1/drain", {"draining": False})

    assert run_command(["drain", "--off", "--admin", sbc.address]) == 0
    assert capsys.readouterr().out == "not draining: new calls are taken\n"


def test_a_drain_is_not_taken_back_by_a_deadline(sbc, capsys):
    assert run_command(["drain", "--off", "--deadline", "5m", "--admin", sbc.address]) == 2
    assert sbc.asked == []
