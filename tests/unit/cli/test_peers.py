"""`sbc trunks`, `pbxs`, `paths`, `ping` and the orders: what they ask, what they print, how they end."""

import json

import pytest

from sbc.cdr.format import time_text
from sbc.cli import run_command
from sbc.cli.peers import age

pytestmark = pytest.mark.loopback

ADDRESS = "udp:192.0.2.1:5060"


NOW = 1_738_314_000.5


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    """Ages are told by a clock that stands still."""
    monkeypatch.setattr("sbc.cli.peers._now", lambda: NOW)


def ago(seconds):
    return time_text(NOW - seconds)


def server(state, why=""):
    return {"server": "sip:a.example", "address": ADDRESS, "state": state, "since": ago(130), "why": why}


def trunk(**changes):
    fields = {
        "name": "carrier-a",
        "state": "up",
        "since": ago(7380),
        "why": "",
        "servers": [server("up")],
        "registration": None,
        "call_paths": {"used": 3, "limit": 24, "inbound": 1, "outbound": 2, "pool": None},
    }
    return fields | changes


def registration(**changes):
    fields = {"state": "registered", "aor": "sip:a@b", "since": ago(60), "why": "", "expires_at": ago(-515)}
    return fields | {"next_at": None, "registrar": ADDRESS} | changes


@pytest.fixture
def run(sbc, capsys):
    """Runs a command against `sbc`: status, lines of stdout, stderr."""

    def run(*words):
        status = run_command([*words, "--admin", sbc.address])
        said = capsys.readouterr()
        return status, said.out.splitlines(), said.err

    return run


def test_trunks_are_a_line_each_with_their_servers_below(sbc, run):
    down = trunk(
        name="carrier-b",
        state="down",
        why="no reply to 3 OPTIONS",
        servers=[server("down", "no reply to 3 OPTIONS")],
        registration=registration(),
        call_paths={"used": 0, "limit": None, "inbound": 0, "outbound": 0, "pool": None},
    )
    sbc.knows("GET /api/v1/trunks", {"trunks": [trunk(), down]})

    status, lines, _ = run("trunks")

    assert status == 0
    cells = [[cell for cell in line.split("  ") if cell] for line in lines]
    assert [[cell.strip() for cell in line] for line in cells] == [
        ["TRUNK", "STATE", "FOR", "PATHS", "REGISTRATION", "WHY"],
        ["carrier-a", "up", "2h 03m", "3/24", "-"],
        [ADDRESS, "up", "2m 10s"],
        ["carrier-b", "down", "2h 03m", "0", "registered, 8m 35s left", "no reply to 3 OPTIONS"],
        [ADDRESS, "down", "2m 10s", "no reply to 3 OPTIONS"],
    ]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"state": "failing", "why": "no reply", "expires_at": None}, "failing for 1m 00s: no reply"),
        ({"state": "rejected", "why": "403", "since": ago(5)}, "rejected for 5s: 403"),
        ({"state": "registering", "expires_at": None}, "registering for 1m 00s"),
        (
            {"state": "rejected", "why": "403", "since": ago(5), "next_at": ago(-595)},
            "rejected for 5s: 403; next try in 9m 55s",
        ),
    ],
)
def test_a_registration_that_does_not_hold_says_why(sbc, run, changes, text):
    sbc.knows("GET /api/v1/trunks", {"trunks": [trunk(registration=registration(**changes))]})

    assert text in run("trunks")[1][1]


def test_a_trunk_of_a_pool_names_it(sbc, run):
    paths = {"used": 3, "limit": 24, "inbound": 1, "outbound": 2, "pool": "acme"}
    sbc.knows("GET /api/v1/trunks", {"trunks": [trunk(call_paths=paths)]})

    assert "3/24 (acme)" in run("trunks")[1][1]


def test_what_a_carrier_says_cannot_move_the_cursor(sbc, run):
    sbc.knows("GET /api/v1/trunks", {"trunks": [trunk(why="\x1b[2J\nsbc: ready")]})

    _, lines, _ = run("trunks")

    assert lines[1].endswith("\\x1b[2J\\nsbc: ready")


@pytest.mark.parametrize("what", ["trunks", "pbxs", "paths"])
def test_json_is_the_apis_body(sbc, run, what):
    body = {what: [{"anything": 1}]}
    sbc.knows(f"GET /api/v1/{what}", body)

    status, lines, _ = run(what, "--json")

    assert (status, json.loads(lines[0])) == (0, body)


def test_pbxs_show_their_servers_and_registered_contacts(sbc, run):
    binding = {"aor": "sip:branch@sbc", "contact": "sip:b@192.0.2.8", "address": ADDRESS, "expires_at": ago(-3599)}
    office = {"name": "office", "state": "drill", "since": ago(40), "why": "by the operator", "servers": [server("up")]}
    branch = {"name": "branch", "state": "up", "since": ago(90_000), "why": "registered", "servers": []}
    sbc.knows("GET /api/v1/pbxs", {"pbxs": [office | {"bindings": []}, branch | {"bindings": [binding]}]})

    status, lines, _ = run("pbxs")

    assert status == 0
    assert lines[1].split() == ["office", "drill", "40s", "by", "the", "operator"]
    assert lines[2].split() == [ADDRESS, "up", "2m", "10s"]
    assert lines[3].split() == ["branch", "up", "1d", "01h", "registered"]
    assert lines[4].split("  ")[-1] == "sip:branch@sbc at sip:b@192.0.2.8, 59m 59s left"


def test_paths_name_holders_and_ages_and_pools_without_theirs(sbc, run):
    holder = {"trunk": "carrier-a", "ref": "k3v7q2mxya", "leg": 1, "direction": "outbound", "since": ago(247)}
    holder |= {"age_seconds": 247.25, "emergency": True}
    paths = [
        {
            "trunk": "carrier-a",
            "limit": 24,
            "used": 1,
            "peak_today": 7,
            "kind": "trunk",
            "pool": "acme",
            "holders": [holder],
        },
        {"trunk": "carrier-b", "limit": None, "used": 0, "peak_today": 0, "kind": "trunk", "pool": None, "holders": []},
        {"trunk": "acme", "limit": 24, "used": 1, "peak_today": 7, "kind": "pool", "pool": None, "holders": [holder]},
    ]
    sbc.knows("GET /api/v1/paths", {"paths": paths})

    status, lines, _ = run("paths")

    assert status == 0
    assert [line.split() for line in lines[1:]] == [
        ["carrier-a", "1/24", "(acme)", "7"],
        ["k3v7q2mxya", "1", "outbound,", "emergency", "4m", "07s"],
        ["carrier-b", "0", "0"],
        ["acme", "(pool)", "1/24", "7"],
    ]


def test_limits_say_how_much_of_each_is_used(sbc, run):
    limits = [
        {"name": "pbx office", "call_paths_used": 3, "call_paths": 10, "minutes_today": 61.4, "minutes_per_day": 3000,
         "cps": 5},
        {"name": "route abroad", "call_paths_used": 1, "call_paths": None, "minutes_today": 0.0,
         "minutes_per_day": None, "cps": None},
    ]  # fmt: skip
    sbc.knows("GET /api/v1/limits", {"limits": limits})

    status, lines, _ = run("limits")

    assert status == 0
    assert [line.split() for line in lines[1:]] == [
        ["pbx", "office", "3/10", "61/3000", "5"],
        ["route", "abroad", "1", "0", "-"],
    ]


def test_ping_shows_each_answer_and_ends_with_0_if_one_came(sbc, run):
    came = {"server": "sip:a", "address": ADDRESS, "status": 200, "milliseconds": 1.25, "why": ""}
    silent = {
        "server": "sip:a",
        "address": "udp:192.0.2.2:5060",
        "status": None,
        "milliseconds": None,
        "why": "no reply",
    }
    sbc.knows("POST /api/v1/peers/carrier-a/ping", {"peer": "carrier-a", "results": [came, silent]})

    status, lines, _ = run("ping", "carrier-a")

    assert status == 0
    assert lines[1].split() == ["sip:a", ADDRESS, "200", "1.2"]
    assert lines[2].split() == ["sip:a", "udp:192.0.2.2:5060", "none", "-", "no", "reply"]


@pytest.mark.parametrize("flags", [(), ("--json",)])
def test_ping_ends_with_1_if_nothing_answered(sbc, run, flags):
    silent = {"server": "sip:a", "address": ADDRESS, "status": None, "milliseconds": None, "why": "no reply"}
    sbc.knows("POST /api/v1/peers/carrier-a/ping", {"peer": "carrier-a", "results": [silent]})

    assert run("ping", "carrier-a", *flags)[0] == 1


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("drill", "office", "on"), "POST /api/v1/drill/office"),
        (("drill", "office", "off"), "DELETE /api/v1/drill/office"),
        (("busyout", "a/b"), "POST /api/v1/trunks/a%2Fb/busyout"),
        (("restore", "carrier-a"), "DELETE /api/v1/trunks/carrier-a/busyout"),
    ],
)
def test_an_order_says_how_the_peer_is_afterwards(sbc, run, words, asked):
    sbc.knows(asked, {"name": "x", "state": "drill", "why": "by the operator"})

    assert run(*words) == (0, ["x: drill, by the operator"], "")
    assert sbc.asked == [asked]


def test_a_trunk_that_is_busied_out_with_calls_up_says_so(sbc, run):
    sbc.knows("POST /api/v1/trunks/carrier-a/busyout", trunk(state="busyout", why="by the operator"))

    _, lines, _ = run("busyout", "carrier-a")

    assert lines == ["carrier-a: busyout, by the operator; calls that are up go on: 3"]
    assert json.loads(run("busyout", "carrier-a", "--json")[1][0])["state"] == "busyout"


def test_an_unknown_name_is_one_line_and_1(sbc, run):
    sbc.refuses("POST /api/v1/drill/ofice", 404, "no pbx is called `ofice`; did you mean `office`?")

    assert run("drill", "ofice", "on") == (1, [], "sbc: no pbx is called `ofice`; did you mean `office`?\n")


@pytest.mark.parametrize("words", [("drill", "office"), ("drill", "office", "maybe"), ("busyout",), ("drain", "10m")])
def test_wrong_usage_is_2_and_asks_nobody(sbc, run, words):
    assert run(*words)[0] == 2
    assert sbc.asked == []


@pytest.mark.parametrize(("calls", "said"), [(0, "0 calls are"), (1, "1 call is")])
def test_drain_says_what_is_left_and_until_when(sbc, run, calls, said):
    sbc.knows(
        "POST /api/v1/drain", {"draining": True, "calls": calls, "ends_at": "2025-01-31T09:10:00.000Z"}, status=202
    )

    status, lines, _ = run("drain")

    assert (status, sbc.asked) == (0, ["POST /api/v1/drain?deadline=10m"])
    assert lines == [f"draining: no new calls; {said} left, and what is left at 2025-01-31T09:10:00Z is ended"]
    assert json.loads(run("drain", "--deadline", "1h", "--json")[1][0])["calls"] == calls
    assert sbc.asked[1] == "POST /api/v1/drain?deadline=1h"


def test_a_deadline_that_is_none_is_wrong_usage(sbc, run):
    status, _, said = run("drain", "--deadline", "ten")

    assert (status, sbc.asked) == (2, [])
    assert said.startswith("sbc: deadline: `ten` is not a duration")


def status_of(signalling, *, ready=True):
    return {"pids": {"signalling": signalling}, "ready": ready, "calls": 2, "version": "9.9"}


def test_a_restart_does_not_wait_for_a_disk_that_keeps_calls_out(sbc, run, monkeypatch):
    full = status_of(12, ready=False) | {"draining": False, "reason": "the disk is full"}
    sbc.knows("GET /api/v1/status", status_of(11))
    sbc.knows("POST /api/v1/restart", {"restarting": True}, 202)
    monkeypatch.setattr("sbc.cli.control.time.sleep", lambda _: sbc.knows("GET /api/v1/status", full))

    assert run("restart") == (0, ["restarted: version 9.9, 2 calls go on"], "")


def test_a_restart_is_waited_for_until_another_process_is_ready(sbc, run, monkeypatch):
    states = iter([status_of(11), status_of(12, ready=False), status_of(12)])
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        sbc.knows("GET /api/v1/status", next(states))

    sbc.knows("GET /api/v1/status", status_of(11))
    sbc.knows("POST /api/v1/restart", {"restarting": True}, 202)
    monkeypatch.setattr("sbc.cli.control.time.sleep", sleep)

    assert run("restart") == (0, ["restarted: version 9.9, 2 calls go on"], "")
    assert len(slept) == 3


def test_a_restart_that_is_refused_says_why(sbc, run):
    sbc.knows("GET /api/v1/status", status_of(11))
    sbc.refuses("POST /api/v1/restart", 409, "not restarted: no such module")

    assert run("restart") == (1, [], "sbc: not restarted: no such module\n")


def test_reload_says_what_has_changed(sbc, run):
    sbc.knows("POST /api/v1/reload", {"reloaded": True, "summary": "trunks: + carrier-b; routes: ~ out"})

    assert run("reload") == (0, ["reloaded: trunks: + carrier-b; routes: ~ out"], "")
    assert json.loads(run("reload", "--json")[1][0])["reloaded"] is True


def test_a_reload_of_the_same_policy_says_so(sbc, run):
    sbc.knows("POST /api/v1/reload", {"reloaded": True, "summary": "nothing"})

    assert run("reload") == (0, ["reloaded: the policy says what it said before"], "")


def test_a_reload_that_is_refused_shows_every_problem_with_its_place(sbc, run):
    problems = ["a.yaml:1:1: `x` is no key; expected y", "a.yaml:2:1: again"]
    sbc.refuses("POST /api/v1/reload", 409, "the policy has 2 problems; the one in force stays", problems=problems)

    status, lines, said = run("reload")

    assert (status, lines) == (1, [])
    assert said.splitlines() == [*problems, "sbc: the policy has 2 problems; the one in force stays"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-3.0, "0s"),
        (59.9, "59s"),
        (60.0, "1m 00s"),
        (3599.0, "59m 59s"),
        (3600.0, "1h 00m"),
        (86_399.0, "23h 59m"),
        (86_400.0 * 3 + 4 * 3600, "3d 04h"),
    ],
)
def test_ages_are_told_in_their_two_largest_units(seconds, text):
    assert age(seconds) == text
