"""`sbc trace`: what it says first, what it draws, what it writes, and how it fails."""

import json
import os
import stat

import pytest

from sbc.cli import run_command

REF = "k3v7q2mxya"
HEAD = {"at": 0.0, "time": "2025-01-31T09:00:00.000Z", "leg": "ingress", "sent": False, "note": None, "message": None}
NOTE = HEAD | {"leg": "", "label": "", "local": None, "remote": None, "transport": None}
INVITE = HEAD | {
    "label": "INVITE",
    "message": "INVITE sip:1@sbc SIP/2.0\r\nSubject: \x1b[2J\r\n\r\n",
    "local": "192.0.2.1:5060",
    "remote": "192.0.2.9:5060",
    "transport": "udp",
}
TRACE = {
    "ref": REF,
    "running": False,
    "peers": {"ingress": "office", "egress": "carrier-a"},
    "entries": [
        INVITE,
        NOTE | {"note": ["carrier-a is passed over: down"]},
        NOTE | {"note": ["ended: unreachable (503) by sbc"]},
        INVITE | {"sent": True, "leg": "egress-2", "message": "ACK"},
    ],
}
RECORD = {
    "ref": REF, "ingress": "office", "egress": "carrier-a", "route": "out", "caller": "+1\x07", "called": "+44",
    "started_at": "2025-01-31T09:00:00.000Z", "answered_at": None, "ended_at": "2025-01-31T09:00:01.000Z",
    "billable_ms": 0,
}  # fmt: skip


@pytest.fixture
def run(sbc, capfdbinary):
    """Runs `sbc trace` against `sbc`: status, stdout, stderr."""

    def run(*words):
        status = run_command(["trace", *words, "--admin", sbc.address])
        out, err = capfdbinary.readouterr()
        return status, out, err.decode()

    return run


@pytest.fixture
def known(sbc):
    sbc.knows(f"GET /api/v1/calls/{REF}/trace", TRACE)
    sbc.knows("GET /api/v1/cdrs", {"cdrs": [RECORD], "next": None})
    return sbc


def test_first_comes_who_called_whom_and_why_it_ended_then_the_ladder(known, run):
    status, out, _ = run(REF)
    assert status == 0
    assert out.decode().splitlines() == [
        f"call {REF}, over",
        "+1\\x07 of office called +44 at carrier-a, route out",
        "began 2025-01-31T09:00:00.000Z, not answered, ended 2025-01-31T09:00:01.000Z",
        "ended: unreachable (503) by sbc",
        "because: carrier-a is passed over: down",
        "",
        "         office                                 sbc                                egress peer",
        "   0.000  |--------------- INVITE -------------->|                                      |",
        "   0.000  |                                      * carrier-a is passed over: down       |",
        "   0.000  |                                      * ended: unreachable (503) by sbc      |",
        "   0.000  |                                      |---------------- ACK ---------------->|",
    ]


def test_where_nobody_was_left_it_says_why_each_one_was_not(known, run):
    notes = [["hunt: a, b"], ["a is passed over: down"], ["b is passed over: full"], ["ended: paths_full (503) by sbc"]]
    known.knows(f"GET /api/v1/calls/{REF}/trace", TRACE | {"entries": [NOTE | {"note": note} for note in notes]})
    assert b"because: a is passed over: down; b is passed over: full\n" in run(REF)[1]


def test_a_ladder_fits_the_terminal(known, run, monkeypatch):
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "64")
    assert max(map(len, run(REF)[1].decode().splitlines()[6:])) <= 64


def test_a_call_that_ended_well_needs_no_because(known, run):
    known.knows(
        f"GET /api/v1/calls/{REF}/trace", TRACE | {"entries": [NOTE | {"note": ["ended: normal (200) by caller"]}]}
    )
    assert b"because" not in run(REF)[1]


def test_a_running_call_is_told_by_its_state(known, run):
    known.knows(f"GET /api/v1/calls/{REF}/trace", TRACE | {"running": True, "entries": [INVITE]})
    known.knows(f"GET /api/v1/calls/{REF}", RECORD | {"state": "answered", "answered_at": "2025-01-31T09:00:00.500Z"})
    lines = run(REF)[1].decode().splitlines()
    assert lines[0] == f"call {REF}, running"
    assert lines[2].startswith("began 2025-01-31T09:00:00.000Z, answered, answered 2025-01-31T09:00:00.500Z")


@pytest.mark.parametrize("record", [{"cdrs": [], "next": None}, {"cdrs": [RECORD | {"ref": "another"}], "next": None}])
def test_without_its_record_the_ladder_is_shown_all_the_same(known, run, record):
    known.knows("GET /api/v1/cdrs", record)
    status, out, _ = run(REF)
    assert status == 0
    assert b"of office called" not in out
    assert b"--- INVITE ---" in out


def test_every_message_in_full_says_who_sent_it_and_moves_no_cursor(known, run):
    out = run(REF, "--messages")[1].decode()
    assert "office (ingress) to sbc, udp 192.0.2.9:5060 to 192.0.2.1:5060\nINVITE sip:1@sbc SIP/2.0\n" in out
    assert "sbc to peer (egress-2), udp 192.0.2.1:5060 to 192.0.2.9:5060\nACK\n" in out
    assert "* carrier-a is passed over: down\n" in out
    assert "\x1b" not in out
    assert "Subject: \\x1b[2J" in out


def test_json_is_the_apis_answer(known, run):
    assert json.loads(run(REF, "--json")[1]) == TRACE


def test_an_unknown_ref_is_status_1_with_the_apis_sentence_and_where_to_look(sbc, run):
    sbc.refuses(f"GET /api/v1/calls/{REF}/trace", 404, "no running or remembered call has the ref")
    sbc.refuses(f"GET /api/v1/calls/{REF}/pcap", 404, "no running or remembered call has the ref")
    for words in ((REF,), (REF, "--pcap", "-")):
        status, out, err = run(*words)
        assert (status, out) == (1, b"")
        assert "no running or remembered call" in err
        assert f"sbc cdr list --ref {REF}" in err


@pytest.fixture
def capture(sbc):
    sbc.replies[f"GET /api/v1/calls/{REF}/pcap"] = (200, "application/vnd.tcpdump.pcap", "OCTETS")


def test_a_capture_file_is_written_whole_for_us_and_our_group(capture, run, tmp_path):
    file = tmp_path / "call.pcap"
    file.write_text("old")
    status, out, _ = run(REF, "--pcap", str(file))
    assert status == 0
    assert f"{file}: 6 octets" in out.decode()
    assert file.read_bytes() == b"OCTETS"
    assert stat.S_IMODE(file.stat().st_mode) == 0o640
    assert list(tmp_path.glob("*.part")) == []


def test_a_capture_goes_to_stdout_as_it_is(capture, run):
    assert run(REF, "--pcap", "-")[:2] == (0, b"OCTETS")


def test_a_capture_goes_into_a_pipe_of_the_file_system(capture, run, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run(REF, "--pcap", str(pipe))[0] == 0
        assert os.read(reader, 100) == b"OCTETS"
    finally:
        os.close(reader)


def test_where_nothing_can_be_written_it_says_so_and_leaves_nothing(capture, run, tmp_path):
    status, out, err = run(REF, "--pcap", str(tmp_path / "missing" / "call.pcap"))
    assert (status, out) == (1, b"")
    assert "No such file or directory" in err
    assert list(tmp_path.iterdir()) in ([], [tmp_path / "admin"])


REGISTER = INVITE | {"leg": "peer", "sent": True, "label": "REGISTER", "message": "REGISTER sip:a SIP/2.0\r\n\r\n"}
OF_PEER = {
    "peer": "carrier-a",
    "peers": {"peer": "carrier-a"},
    "entries": [REGISTER, NOTE | {"at": 3600.0, "note": ["registration.rejected: 403 Forbidden\x1b[2J"]}],
}
TRUNK = {
    "name": "carrier-a", "state": "excluded", "since": "2025-01-31T09:00:00.000Z", "why": "registration rejected: 403",
    "registration": {"state": "rejected", "since": "2025-01-31T09:00:00.000Z", "why": "403 Forbidden"},
}  # fmt: skip


@pytest.fixture
def peer(sbc):
    for about in ("trace", "pcap"):
        sbc.refuses(f"GET /api/v1/calls/carrier-a/{about}", 404, "no running or remembered call has the ref")
    sbc.knows("GET /api/v1/peers/carrier-a/trace", OF_PEER)
    sbc.knows("GET /api/v1/trunks/carrier-a", TRUNK)
    return sbc


def test_a_name_that_is_no_calls_ref_is_a_peers(peer, run):
    status, out, _ = run("carrier-a")
    assert status == 0
    assert out.decode().splitlines() == [
        "trunk carrier-a, beside calls",
        "excluded since 2025-01-31T09:00:00.000Z: registration rejected: 403",
        "registration rejected since 2025-01-31T09:00:00.000Z: 403 Forbidden",
        "",
        "                   carrier-a                              sbc",
        "01-31 09:00:00.000  |<------------- REGISTER --------------|",
        "01-31 10:00:00.000  |                                      * registration.rejected: 403 Forbidden?[2J",
    ]


def test_a_call_wins_over_a_peer_of_the_same_name(peer, run):
    peer.knows("GET /api/v1/calls/carrier-a/trace", TRACE | {"ref": "carrier-a", "running": False})
    peer.knows("GET /api/v1/cdrs", {"cdrs": [], "next": None})
    assert run("carrier-a")[1].startswith(b"call carrier-a, over")


def test_a_peers_messages_are_shown_in_full_and_saved_like_a_calls(peer, run, tmp_path):
    out = run("carrier-a", "--messages")[1].decode()
    assert "2025-01-31T09:00:00.000Z  sbc to carrier-a, udp 192.0.2.1:5060 to 192.0.2.9:5060\nREGISTER sip:a" in out
    peer.replies["GET /api/v1/peers/carrier-a/pcap"] = (200, "application/vnd.tcpdump.pcap", "octets")
    assert run("carrier-a", "--pcap", str(tmp_path / "x"))[0] == 0
    assert (tmp_path / "x").read_bytes() == b"octets"


def test_a_peer_with_whom_nothing_was_said_says_so(peer, run):
    peer.knows("GET /api/v1/peers/carrier-a/trace", OF_PEER | {"entries": []})
    assert b"nothing has been said with it" in run("carrier-a")[1]


def test_a_name_of_neither_says_both(sbc, run):
    sbc.refuses("GET /api/v1/calls/carier/trace", 404, "no running or remembered call has the ref carier")
    sbc.refuses("GET /api/v1/peers/carier/trace", 404, "no peer is called `carier`; did you mean `carrier-a`?")
    status, _, err = run("carier")
    assert status == 1
    assert "no running or remembered call" in err
    assert "did you mean `carrier-a`?" in err
