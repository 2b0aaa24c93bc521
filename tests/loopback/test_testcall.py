"""`sbc testcall` against two running SBCs: ours, and one that is the carrier and sends the call back to us."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.loopback, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30.0
NUMBER = "+14155550100"
CARRIER = """
sbc: {{name: carrier, data_dir: {data_dir}, admin: "{admin}"}}
interfaces:
  net: {{sip: ["udp:{host}.40:5060"], media: {host}.40}}
media: {{ports: 26000-26199, engine: userland}}
pbxs:
  customer: {{interface: net, address: "sip:{host}.20:5060", dids: ["+14155550100"]}}
routes:
  - {{name: back, from: customer, to: dids}}
"""


@pytest.fixture
def ours(start):
    return start(trunk=", call_paths: 10").ready()


@pytest.fixture
def looping(start):
    return start("carrier", template=CARRIER).ready()


def command(process, *arguments, trunk="carrier"):
    argv = [sys.executable, "-m", "sbc", "testcall", trunk, *arguments, "--admin", f"unix:{process.admin}"]
    return subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONPATH": str(ROOT)}
    )


def run_testcall(process, *arguments):
    with command(process, *arguments) as client:
        out, err = client.communicate(timeout=PATIENCE)
    return client.returncode, out, err


def is_shut(process):
    """No door, no peer and no call of the test is left."""
    process.until(lambda: not process.get("/api/v1/calls")["calls"])
    return all(pbx["name"] != "testcall" for pbx in process.get("/api/v1/pbxs")["pbxs"])


def refuse(carrier, status):
    """A carrier that answers the first INVITE with this; ACKs are not awaited."""
    data, source = carrier.recvfrom(65_535)
    while not data.startswith(b"INVITE"):
        data, source = carrier.recvfrom(65_535)
    head = data.decode().split("\r\n")
    kept = [line for line in head if line.lower().startswith(("via:", "from:", "call-id:", "cseq:"))]
    to = next(line for line in head if line.lower().startswith("to:"))
    answer = "\r\n".join([f"SIP/2.0 {status}", *kept, f"{to};tag=c", "Content-Length: 0", "", ""])
    carrier.sendto(answer.encode(), source)
    return data.decode()


def test_a_call_goes_out_comes_back_and_is_heard_both_ways(ours, looping):
    status, out, err = run_testcall(ours, "--to", NUMBER, "--seconds", "2", "--json")

    found = json.loads(out)
    assert (status, err) == (0, "")
    assert found["good"] is True
    assert (found["back"]["trunk"], found["back"]["called"], found["back"]["caller"]) == ("carrier", NUMBER, NUMBER)
    assert [(one["way"], one["tone"] > 50, one["lost"]) for one in found["heard"]] == [
        ("out to in", True, 0),
        ("in to out", True, 0),
    ]
    assert found["digits"] == "1234"
    assert sorted(found["paths"]) == ["carrier inbound", "carrier outbound"]
    refs = {found["ref"], found["back"]["ref"]}
    ours.until(lambda: refs <= {record["ref"] for record in ours.get("/api/v1/cdrs?last=10")["cdrs"]})
    ends = {(record["ingress"], record["egress"]) for record in ours.get("/api/v1/cdrs?last=10")["cdrs"]}
    assert ends == {("testcall", "carrier"), ("carrier", "testcall")}
    assert is_shut(ours)


def test_it_is_told_in_words(ours, looping):
    status, out, _ = run_testcall(ours, "--to", NUMBER, "--seconds", "1")

    assert status == 0
    assert f"calling {NUMBER} over carrier as {NUMBER}; it is a number of office" in out
    assert "on carrier as caller +14155550100, called +14155550100" in out
    assert out.rstrip().endswith("good: out and back in, and audio was heard both ways.")


def test_a_carrier_that_refuses_is_quoted_and_a_hint_given(ours, carrier):
    with command(ours, "--to", NUMBER) as client:
        invite = refuse(carrier, "403 Forbidden")
        out, err = client.communicate(timeout=PATIENCE)

    assert invite.startswith(f"INVITE sip:{NUMBER}@")
    assert (client.returncode, err) == (1, "")
    assert "not answered: 403, rejected" in out
    assert f"called {NUMBER}: 403, rejected" in out
    assert "hint: the carrier forbids it" in out
    assert out.rstrip().endswith("the call was NOT answered.")
    assert is_shut(ours)


def test_a_tester_that_dies_leaves_nothing_behind(ours, carrier):
    client = command(ours, "--to", NUMBER)
    carrier.recvfrom(65_535)
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=PATIENCE)

    assert client.returncode == 130
    assert is_shut(ours)


def test_there_is_one_test_at_a_time(ours, carrier):
    client = command(ours, "--to", NUMBER)
    carrier.recvfrom(65_535)

    status, out, err = run_testcall(ours, "--to", NUMBER)
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=PATIENCE)

    assert (status, out) == (1, "")
    assert "a test call is under way" in err


def test_a_reload_meanwhile_leaves_the_door_open(ours, looping):
    with command(ours, "--to", NUMBER, "--seconds", "3", "--json") as client:
        ours.until(lambda: len(ours.get("/api/v1/calls")["calls"]) == 2)
        assert ours.ask("POST", "/api/v1/reload")["reloaded"] is True
        assert [pbx["name"] for pbx in ours.get("/api/v1/pbxs")["pbxs"]] == ["office", "testcall"]
        out, _ = client.communicate(timeout=PATIENCE)

    assert json.loads(out)["good"] is True
    assert is_shut(ours)


def test_somebody_elses_call_of_the_number_goes_on_to_the_pbx(ours, carrier, peer, host):
    """Where the carrier sends us a call of a caller who is not the tester, in the seconds of the test."""
    client = command(ours, "--to", NUMBER, "--caller", "+14155550188")
    carrier.recvfrom(65_535)
    carrier.sendto(an_invite(host).encode(), (f"{host}.20", 5060))
    peer.settimeout(PATIENCE)
    reached = peer.recvfrom(65_535)[0].decode()
    client.send_signal(signal.SIGINT)
    client.communicate(timeout=PATIENCE)

    assert reached.startswith(f"INVITE sip:{NUMBER}@")
    assert "+12125550177" in reached


def an_invite(host):
    sdp = f"v=0\r\no=- 1 1 IN IP4 {host}.40\r\ns=-\r\nc=IN IP4 {host}.40\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
    lines = [
        f"INVITE sip:{NUMBER}@{host}.20 SIP/2.0",
        f"Via: SIP/2.0/UDP {host}.40:5060;branch=z9hG4bK{time.monotonic_ns()}",
        "Max-Forwards: 70",
        f"From: <sip:+12125550177@{host}.40>;tag=x",
        f"To: <sip:{NUMBER}@{host}.20>",
        f"Call-ID: stranger-{time.monotonic_ns()}",
        "CSeq: 1 INVITE",
        f"Contact: <sip:{host}.40:5060>",
        "Content-Type: application/sdp",
        f"Content-Length: {len(sdp)}",
        "",
        sdp,
    ]
    return "\r\n".join(lines)


@pytest.mark.parametrize("number", ["911", "112"])
def test_emergency_numbers_are_not_called(ours, number):
    status, out, err = run_testcall(ours, "--to", number)

    assert (status, out) == (1, "")
    assert "emergency" in err


def test_a_trunk_that_is_not_there_is_said(ours):
    with command(ours, "--to", NUMBER, trunk="nobody") as client:
        _, err = client.communicate(timeout=PATIENCE)

    assert (client.returncode, err) == (1, "sbc: no trunk is called `nobody`\n")


def test_an_sbc_elsewhere_is_not_tested_from_here():
    argv = [sys.executable, "-m", "sbc", "testcall", "carrier", "--to", NUMBER, "--admin", "192.0.2.1:8088"]
    found = subprocess.run(
        argv, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(ROOT)}, timeout=PATIENCE
    )

    assert found.returncode == 1
    assert "made where the SBC runs" in found.stderr
