"""`sbc run` as a process: what it says, what it holds, how it ends. Real sockets, a real media worker."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sbc import __version__ as sbc_version

ROOT = Path(__file__).resolve().parents[2]
READY = re.compile(r"^sbc: ready name=(\S+) admin=(\S+)$", re.MULTILINE)
PATIENCE = 20.0

pytestmark = [pytest.mark.loopback, pytest.mark.slow]


def options(host, transport="UDP", branch="1", last=30):
    return (
        f"OPTIONS sip:{host}.10 SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} {host}.{last}:5060;branch=z9hG4bK{branch}\r\n"
        "Max-Forwards: 70\r\n"
        f"From: <sip:a@{host}.30>;tag=1{branch}\r\nTo: <sip:{host}.10>\r\nCall-ID: {branch}\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def status_of(data):
    return data.split(b"\r\n", 1)[0]


def children(pid):
    """Process ids by name, as ps shows them; a worker is the child of a parent that stands by."""
    found = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        found |= {Path(f"/proc/{child}/comm").read_text().strip(): int(child)} | children(child)
    return found


def test_it_says_ready_once_serves_and_ends_with_status_zero(start, peer, host):
    sbc = start().ready()
    assert READY.findall(sbc.text) == [("test", f"unix:{sbc.admin}")]
    status = sbc.get("/api/v1/status")
    pids, [media] = status.pop("pids"), status.pop("media")
    assert 0 <= status.pop("uptime_seconds") < PATIENCE
    assert status.pop("started_at").startswith("20")
    assert status.pop("version") == sbc_version
    assert status.pop("rates") == {"calls_per_second": 0, "answered_per_second": 0}
    assert status.pop("overload") == {"refused_percent": 0, "waited_ms": 0, "refused": 0}
    assert status == {
        "name": "test", "ready": True, "draining": False, "reason": "",
        "calls": 0, "transactions": 0, "dialogs": 0, "ports": 0, "tasks": 0, "bans": 0,
    }  # fmt: skip
    assert pids == {"supervisor": sbc.process.pid, "signalling": children(sbc.process.pid)["sbc-signalling"]}
    assert media["pid"] == children(sbc.process.pid)["sbc-media-0"]
    assert (sbc.admin.parent / "data").stat().st_mode & 0o777 == 0o700

    peer.sendto(options(host), sbc.address(10))
    assert status_of(peer.recv(4096)) == b"SIP/2.0 200 OK"

    worker = sbc.events("media.worker_started")[0]["pid"]
    sbc.process.send_signal(signal.SIGTERM)
    assert sbc.ends() == 0
    assert not Path(f"/proc/{worker}").exists()
    assert not sbc.admin.exists()
    assert len(READY.findall(sbc.text)) == 1


def test_messages_come_by_tcp_and_strangers_get_nothing(start, host):
    sbc = start().ready()
    with socket.create_connection(sbc.address(10), PATIENCE, source_address=(f"{host}.30", 0)) as known:
        known.sendall(options(host, "TCP", "tcp"))
        assert status_of(known.recv(4096)) == b"SIP/2.0 200 OK"
        known.sendall(b"\r\n\r\n")
        assert known.recv(4096) == b"\r\n"
    with socket.create_connection(sbc.address(10), PATIENCE, source_address=(f"{host}.99", 0)) as stranger:
        assert stranger.recv(4096) == b""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.bind((f"{host}.99", 5060))
        stranger.settimeout(0.3)
        stranger.sendto(options(host, branch="stranger", last=99), sbc.address(10))
        with pytest.raises(TimeoutError):
            stranger.recv(4096)
    assert sbc.get("/api/v1/status")["transactions"] == 0


def test_everything_that_is_taken_is_said_at_once_and_the_first_one_goes_on(start, peer, host):
    first = start().ready()
    data_dir = first.admin.parent / "data"
    second = start("two", data_dir=data_dir, admin=f"unix:{first.admin}")
    assert second.ends() == 1
    lines = second.text.splitlines()
    assert [line.startswith("sbc: ready") for line in lines] == [False] * 5
    assert [line for line in lines if "address already in use" in line] == [
        f"sbc: {second.policy}:{at}: interfaces.{name}.sip {listener}: address already in use; "
        "stop the program that holds it (ss -lnp) or choose another port"
        for name, listener, at in (
            ("inside", f"udp:{host}.10:5060", "4:3"),
            ("inside", f"tcp:{host}.10:5060", "4:3"),
            ("outside", f"udp:{host}.20:5060", "5:3"),
        )
    ]
    assert any(str(first.admin) in line for line in lines)
    assert any("in use by another sbc process" in line for line in lines)

    peer.sendto(options(host), first.address(10))
    assert status_of(peer.recv(4096)) == b"SIP/2.0 200 OK"
    assert first.get("/api/v1/status")["ready"]


def test_an_absent_address_and_a_bad_data_dir_start_nothing(start, tmp_path):
    (tmp_path / "file").write_text("")
    sbc = start(host="192.0.2", data_dir=tmp_path / "file" / "data")
    assert sbc.ends() == 1
    lines = sbc.text.splitlines()
    assert "policy.yaml:4:3: interfaces.inside.sip udp:192.0.2.10:5060: no network interface of this" in lines[0]
    assert (
        "policy.yaml:4:3: interfaces.inside.media 192.0.2.10: no network interface of this machine has the address"
        in sbc.text
    )
    assert f"sbc.data_dir {tmp_path}/file/data: cannot be made: not a directory" in lines[-1]
    assert not sbc.admin.exists()


def test_a_media_range_that_is_taken_starts_nothing(start, host):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((f"{host}.20", 20003))
        sbc = start(ports="20002-20003")
        assert sbc.ends() == 1
    assert sbc.text.splitlines()[-1].startswith(f"sbc: media.ports 20002-20003 on {host}.20: none can be opened: other")
    assert not READY.search(sbc.text)
    assert not sbc.admin.exists()


def test_too_few_descriptors_are_said_before_anything_is_opened(start):
    sbc = start(descriptors=64)
    assert sbc.ends() == 1
    assert sbc.text.startswith("sbc: only 64 files may be open at a time")
    assert len(sbc.text.splitlines()) == 1


def test_media_that_take_all_descriptors_leave_the_admin_api_some(start):
    sbc = start(descriptors=256).ready()
    assert [event["alarm"] for event in sbc.events("media.ports_short")] == [True]
    assert sbc.get("/api/v1/status")["ready"]


def test_a_worker_that_is_killed_is_replaced_and_signalling_never_stops(start, peer, host):
    sbc = start().ready()
    os.kill(sbc.events("media.worker_started")[0]["pid"], signal.SIGKILL)
    peer.sendto(options(host), sbc.address(10))
    assert status_of(peer.recv(4096)) == b"SIP/2.0 200 OK"
    sbc.until(lambda: len(sbc.events("media.worker_started")) == 2)


def test_admin_off_opens_no_admin_socket(start, peer, host):
    sbc = start(admin="off").ready()
    assert READY.findall(sbc.text) == [("test", "off")]
    peer.sendto(options(host), sbc.address(10))
    assert status_of(peer.recv(4096)) == b"SIP/2.0 200 OK"


def test_systemd_is_told(tmp_path, start, monkeypatch):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(path))
        systemd.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        sbc = start()
        assert systemd.recv(200) == f"READY=1\nSTATUS=ready, admin unix:{sbc.admin}".encode()
        sbc.process.send_signal(signal.SIGINT)
        assert systemd.recv(100) == b"STOPPING=1\nSTATUS=draining"
        assert sbc.ends() == 0


# --- with a call ------------------------------------------------------------------------------------------------------


def description(address):
    return f"v=0\r\no=- 1 1 IN IP4 {address}\r\ns=-\r\nc=IN IP4 {address}\r\nt=0 0\r\nm=audio 4000 RTP/AVP 0\r\n"


def invite(host):
    sdp = description(f"{host}.30")
    return (
        f"INVITE sip:+442079460000@{host}.10 SIP/2.0\r\nVia: SIP/2.0/UDP {host}.30:5060;branch=z9hG4bKinvite\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:+14155550100@{host}.30>;tag=a\r\nTo: <sip:+442079460000@{host}.10>\r\n"
        f"Call-ID: call\r\nCSeq: 1 INVITE\r\nContact: <sip:{host}.30>\r\nContent-Type: application/sdp\r\n"
        f"Content-Length: {len(sdp)}\r\n\r\n{sdp}"
    ).encode()


def answer_of(request, status, sdp=b""):
    lines = request.split(b"\r\n\r\n")[0].split(b"\r\n")[1:]
    kept = [line for line in lines if line.split(b":")[0] in {b"Via", b"From", b"Call-ID", b"CSeq"}]
    kept += [line + b";tag=b" for line in lines if line.startswith(b"To:")]
    kept += [b"Contact: <sip:carrier@%b:5060>" % re.search(rb"sip:.*@([\d.]+)", request)[1]]
    kept += [b"Content-Type: application/sdp"] if sdp else []
    return b"\r\n".join([b"SIP/2.0 " + status, *kept, b"Content-Length: %d" % len(sdp), b"", sdp])


def talking(sbc, peer, carrier, host):
    """A call that has been answered; our RTP ports towards the two."""
    peer.sendto(invite(host), sbc.address(10))
    request, sbc_outside = carrier.recvfrom(4096)
    carrier.sendto(answer_of(request, b"200 OK", description(f"{host}.40").encode()), sbc_outside)
    while not (data := peer.recv(4096)).startswith(b"SIP/2.0 200"):
        assert data.startswith(b"SIP/2.0 1")
    sbc.until(lambda: sbc.get("/api/v1/status")["calls"] == 1)
    return [int(re.search(rb"m=audio (\d+)", message)[1]) for message in (data, request)]


def cdrs(sbc):
    import sqlite3

    connection = sqlite3.connect(sbc.admin.parent / "data" / "cdr.db")
    try:
        return connection.execute("SELECT cause, ended_by, sip_status FROM cdr").fetchall()
    finally:
        connection.close()


def test_a_stop_ends_the_calls_that_are_left_and_stores_their_records(start, peer, carrier, host):
    sbc = start().ready()
    talking(sbc, peer, carrier, host)
    sbc.process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    assert sbc.ends() == 0
    assert 0.9 <= time.monotonic() - begun < 8  # stop_after is one second; the peers answer no BYE
    assert cdrs(sbc) == [("shutdown", "sbc", 200)]


def test_a_second_signal_ends_at_once_and_still_stores_the_records(start, peer, carrier, host):
    sbc = start(name="one").ready()
    talking(sbc, peer, carrier, host)
    sbc.process.send_signal(signal.SIGTERM)
    sbc.until(lambda: sbc.events("stop.drain"))
    sbc.process.send_signal(signal.SIGTERM)
    begun = time.monotonic()
    assert sbc.ends() == 0
    assert time.monotonic() - begun < 2
    assert cdrs(sbc) == [("shutdown", "sbc", 200)]


def rtp_socket(host):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((host, 4000))
    sock.settimeout(PATIENCE)
    return sock


def test_the_media_of_a_call_flows_on_when_signalling_is_killed(start, peer, carrier, host):
    sbc = start().ready()
    inside, outside = talking(sbc, peer, carrier, host)
    before = sbc.get("/api/v1/status")
    with rtp_socket(f"{host}.30") as speaker, rtp_socket(f"{host}.40") as listener:

        def says(number):
            packet = bytes([0x80, 0]) + number.to_bytes(2, "big") + bytes(8) + b"speech"
            for source, target, far in (
                (speaker, (f"{host}.10", inside), listener), (listener, (f"{host}.20", outside), speaker),
            ):  # fmt: skip
                source.sendto(packet, target)
                assert far.recv(200) == packet

        says(1)
        os.kill(before["pids"]["signalling"], signal.SIGKILL)
        for number in range(2, 12):
            says(number)
        sbc.until(lambda: len(READY.findall(sbc.text)) == 2)
        for number in range(12, 22):
            says(number)
        assert sbc.get("/api/v1/status")["media"][0]["pid"] == before["media"][0]["pid"]
        # The next call must not be given what the old one still uses.
        peer.sendto(
            invite(host).replace(b"z9hG4bKinvite", b"z9hG4bKnext").replace(b": call", b": next"), sbc.address(10)
        )
        while not (request := carrier.recv(4096)).startswith(b"INVITE "):
            pass
        assert int(re.search(rb"m=audio (\d+)", request)[1]) != outside
        says(22)


def test_a_killed_supervisor_leaves_the_calls_to_the_next_start(start, peer, carrier, host):
    """Nobody is told that they have ended; what becomes of them, `test_restart_with_calls` says."""
    sbc = start().ready()
    talking(sbc, peer, carrier, host)
    sbc.kill()
    carrier.settimeout(0.5)
    heard = []
    with contextlib.suppress(TimeoutError):
        while True:
            heard.append(carrier.recv(4096).split()[0])
    assert b"BYE" not in heard


def test_numbers_do_not_stand_in_the_log(start, peer, carrier, host):
    sbc = start().ready()
    talking(sbc, peer, carrier, host)
    sbc.process.send_signal(signal.SIGTERM)
    assert sbc.ends() == 0
    assert sbc.events("call.ended")
    assert "2079460000" not in sbc.text
    assert "4155550100" not in sbc.text


def test_closed_standard_streams_are_no_obstacle(tmp_path, policy_text):
    policy = tmp_path / "policy.yaml"
    admin = tmp_path / "admin.sock"
    policy.write_text(policy_text(data_dir=tmp_path / "data", admin=f"unix:{admin}"))
    closing = "import os; os.closerange(0, 3); os.execv({0!r}, [{0!r}, '-m', 'sbc', 'run', {1!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", closing.format(sys.executable, str(policy))],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:
        try:
            deadline = time.monotonic() + PATIENCE
            while not admin.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(PATIENCE)
                client.connect(str(admin))
                client.sendall(b"GET /readyz HTTP/1.0\r\n\r\n")
                assert b" 200 " in client.recv(4096)
            standard = [Path(f"/proc/{process.pid}/fd/{number}").readlink() for number in range(3)]
            assert standard == [Path(os.devnull)] * 3
            process.terminate()
            assert process.wait(PATIENCE) == 0
        finally:
            process.kill()
