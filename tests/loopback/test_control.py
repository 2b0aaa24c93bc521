"""An operator at a running `sbc run`: the commands of the control side against a real process and real sockets."""

import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from sbc.cli import run_command

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0

pytestmark = [pytest.mark.loopback, pytest.mark.slow]

POLICY = """
sbc: {{name: test, data_dir: {folder}/data, admin: "unix:{folder}/admin", stop_after: 1s}}
interfaces:
  inside: {{sip: ["udp:{net}.10:5060"], media: {net}.10}}
  outside: {{sip: ["udp:{net}.20:5060"], media: {net}.20}}
media: {{ports: 20000-20999}}
pbxs:
  office: {{interface: inside, address: "sip:{net}.30:5060", dids: ["+14155550100"]}}
trunks:
  carrier: {{interface: outside, servers: ["sip:{net}.40:5060"], call_paths: 4}}
  silent: {{interface: outside, servers: ["sip:{net}.41:5060"], health: {{timeout: 200ms}}}}
routes:
  - {{name: out, from: office, to: ["+X."], via: [carrier]}}
  - {{name: in, from: [carrier, silent], to: dids, disaster: [{{reject: 480}}]}}
"""


@pytest.fixture
def net():
    """A corner of 127/8 of our own, for tests that run side by side."""
    return f"127.{os.getpid() % 200 + 20}.{os.getpid() // 200 % 250 + 2}"


@pytest.fixture
def carrier(net):
    """Answers OPTIONS, lets an INVITE ring until it is cancelled."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((f"{net}.40", 5060))
        thread = threading.Thread(target=_serve, args=(sock,))
        thread.start()
        yield
        sock.sendto(b"", sock.getsockname())
        thread.join()


@pytest.fixture
def silent(net):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((f"{net}.41", 5060))
        yield


@pytest.fixture
def office(net):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((f"{net}.30", 5060))
        sock.settimeout(PATIENCE)
        yield sock


@pytest.fixture
def run(tmp_path, net, carrier, silent, office, capsys):
    """Runs a command against a process of its own: status, stdout, stderr."""
    (tmp_path / "policy.yaml").write_text(POLICY.format(folder=tmp_path, net=net))
    log = tmp_path / "log"
    command = [sys.executable, "-m", "sbc", "run", str(tmp_path / "policy.yaml"), "--log-format", "json"]
    with log.open("wb") as stderr:
        process = subprocess.Popen(command, stderr=stderr, cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)})

    def run(*words):
        status = run_command([*words, "--admin", f"unix:{tmp_path}/admin"])
        said = capsys.readouterr()
        return status, said.out, said.err

    run.get = lambda path: _get(tmp_path / "admin", path)
    run.log = log.read_text
    try:
        _until(lambda: re.search("^sbc: ready ", log.read_text(), re.MULTILINE), log.read_text)
        yield run
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def test_peers_are_shown_pinged_drilled_and_busied_out(run):
    status, said, _ = run("ping", "carrier")
    assert (status, said.splitlines()[1].split()[2]) == (0, "200")
    status, said, _ = run("ping", "silent")
    assert (status, said.splitlines()[1].split()[2]) == (1, "none")
    assert "did you mean `carrier`?" in run("ping", "carier")[2]

    assert _line(run("trunks"), "carrier")[1:4:2] == ["up", "0/4"]
    assert run("busyout", "carrier") == (0, "carrier: busyout, by the operator\n", "")
    assert _line(run("trunks"), "carrier")[1] == "busyout"
    assert 'sbc_trunk_up{trunk="carrier"} 0\n' in run.get("/metrics").decode()
    assert run("restore", "carrier")[0] == 0
    assert 'sbc_trunk_up{trunk="carrier"} 1\n' in run.get("/metrics").decode()

    assert run("drill", "office", "on")[1].startswith("office: drill")
    assert _line(run("pbxs"), "office")[1] == "drill"
    assert "drill" in json.loads(run.get("/api/v1/why?from=carrier&to=%2B14155550100"))["text"]
    assert run("drill", "office", "off")[0] == 0
    assert _line(run("pbxs"), "office")[1] == "up"
    assert run("drill", "carrier", "on") == (1, "", "sbc: carrier is a trunk; only a pbx can be drilled\n")


def test_a_call_holds_a_path_until_it_is_hung_up(run, office, net):
    office.sendto(_invite(net), (f"{net}.10", 5060))
    _until(lambda: "ringing" in run("calls")[1], lambda: "the call does not ring")

    paths = json.loads(run("paths", "--json")[1])["paths"]
    [holder] = next(path["holders"] for path in paths if path["trunk"] == "carrier")
    assert (holder["direction"], holder["emergency"]) == ("outbound", False)
    assert _line(run("trunks"), "carrier")[3] == "1/4"
    assert 'sbc_call_paths_used{trunk="carrier",direction="outbound"} 1\n' in run.get("/metrics").decode()

    assert run("hangup", holder["ref"])[0] == 0
    _until(lambda: _line(run("paths"), "carrier")[1] == "0/4", lambda: run("paths")[1])
    assert "sbc_call_paths_leaked 0\n" in run.get("/metrics").decode()


def test_a_drain_takes_no_new_calls(run):
    assert json.loads(run.get("/readyz")) == {"ready": True}
    status, said, _ = run("drain", "--deadline", "1m")
    assert (status, said[:41]) == (0, "draining: no new calls; 0 calls are left,")
    assert json.loads(run.get("/readyz"))["status"] == 503
    assert _line(run("status"), "ready")[1:3] == ["no:", "draining,"]
    assert "draining" in json.loads(run.get("/api/v1/why?from=office&to=%2B442079460000"))["text"]
    _until(lambda: '"order":"POST /api/v1/drain"' in run.log(), run.log)


def _serve(sock):
    while True:
        data, source = sock.recvfrom(65_535)
        method = data.split(b" ", 1)[0]
        if not data:
            return
        if method == b"OPTIONS":
            sock.sendto(_answer(data, b"200 OK"), source)
        elif method == b"INVITE":
            invite = data
            sock.sendto(_answer(data, b"180 Ringing"), source)
        elif method == b"CANCEL":
            sock.sendto(_answer(data, b"200 OK"), source)
            sock.sendto(_answer(invite, b"487 Request Terminated"), source)


def _answer(request, status):
    lines = request.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    kept = [line for line in lines if line.split(b":")[0] in {b"Via", b"From", b"Call-ID", b"CSeq"}]
    kept += [line + b";tag=b" for line in lines if line.startswith(b"To:")]
    return b"\r\n".join([b"SIP/2.0 " + status, *kept, b"Contact: <sip:127.0.0.1>", b"Content-Length: 0", b"", b""])


def _invite(net):
    sdp = f"v=0\r\no=- 1 1 IN IP4 {net}.30\r\ns=-\r\nc=IN IP4 {net}.30\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"
    return (
        f"INVITE sip:+442079460000@{net}.10 SIP/2.0\r\nVia: SIP/2.0/UDP {net}.30:5060;branch=z9hG4bKinvite\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:+14155550100@{net}.30>;tag=a\r\nTo: <sip:+442079460000@{net}.10>\r\n"
        f"Call-ID: call\r\nCSeq: 1 INVITE\r\nContact: <sip:{net}.30>\r\nContent-Type: application/sdp\r\n"
        f"Content-Length: {len(sdp)}\r\n\r\n{sdp}"
    ).encode()


def _line(result, name):
    """The cells of one peer's line in a table."""
    status, said, _ = result
    assert status == 0
    return next(line.split() for line in said.splitlines() if line.startswith(name))


def _get(path, target):
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(path))
    try:
        connection.request("GET", target)
        return connection.getresponse().read()
    finally:
        connection.close()


def _until(condition, why):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, why()
        time.sleep(0.02)
