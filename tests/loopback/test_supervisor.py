"""`sbc run` is several processes: what an operator sees when one of them is killed, and that a terminal sees one."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sbc.cli.bench_calls import signalling_of

PATIENCE = 20.0

pytestmark = [pytest.mark.loopback, pytest.mark.slow]


def options(host, branch):
    return (
        f"OPTIONS sip:{host}.10 SIP/2.0\r\nVia: SIP/2.0/UDP {host}.30:5060;branch=z9hG4bK{branch}\r\n"
        f"Max-Forwards: 70\r\nFrom: <sip:a@{host}.30>;tag={branch}\r\nTo: <sip:{host}.10>\r\nCall-ID: {branch}\r\n"
        "CSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    ).encode()


def processes(sbc):
    status = sbc.get("/api/v1/status")
    return status["pids"] | {"media": [worker["pid"] for worker in status["media"]]}


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def readies(sbc):
    return sum(line.startswith("sbc: ready ") for line in sbc.text.splitlines())


def test_a_killed_signalling_is_back_at_once_and_what_came_meanwhile_is_answered(start, peer, host):
    sbc = start().ready()
    before = processes(sbc)
    os.kill(before["signalling"], signal.SIGKILL)
    while is_alive(before["signalling"]):
        pass
    peer.sendto(options(host, "meanwhile"), sbc.address(10))
    assert peer.recv(4096).startswith(b"SIP/2.0 200 OK")
    sbc.until(lambda: readies(sbc) == 2)

    after = processes(sbc)
    assert after["signalling"] != before["signalling"]
    assert (after["supervisor"], after["media"]) == (before["supervisor"], before["media"])
    [died] = sbc.events("child.died")
    assert (died["child"], died["pid"], died["status"]) == ("signalling", before["signalling"], -signal.SIGKILL)
    assert not sbc.events("media.worker_died")
    [again] = sbc.events("signalling.restarted")  # who is posted to hears of it from its successor
    assert (again["alarm"], again["after_status"]) == (True, -signal.SIGKILL)

    sbc.process.send_signal(signal.SIGTERM)
    assert sbc.ends() == 0
    assert not sbc.admin.exists()


def test_what_was_ordered_a_moment_before_a_kill_is_in_force_afterwards(start):
    """No disk could have been that fast: the order is in the memory that the supervisor holds."""
    sbc = start().ready()
    for times in range(2, 7):
        order = "POST" if times % 2 == 0 else "DELETE"
        before = processes(sbc)["signalling"]
        assert sbc.ask(order, "/api/v1/trunks/carrier/busyout")
        os.kill(before, signal.SIGKILL)
        sbc.until(lambda times=times: readies(sbc) == times)
        [trunk] = [one for one in sbc.get("/api/v1/trunks")["trunks"] if one["name"] == "carrier"]
        assert trunk["state"] == ("busyout" if order == "POST" else "up"), times
    assert not sbc.events("state.memory_refused")


def test_the_bench_counts_the_process_that_does_the_work(start):
    sbc = start().ready()
    assert signalling_of(sbc.process.pid) == processes(sbc)["signalling"]


def test_it_comes_back_as_often_as_it_is_killed_with_the_same_ports(start):
    sbc = start(ports="20000-20255").ready()  # as many as are opened at once: none is left to be opened anew
    for times in range(2, 5):
        os.kill(processes(sbc)["signalling"], signal.SIGKILL)
        sbc.until(lambda times=times: readies(sbc) == times)
    assert not sbc.events("media.ports_short")


def test_a_killed_supervisor_takes_everything_with_it(start):
    sbc = start().ready()
    pids = processes(sbc)
    everybody = [pids["signalling"], *pids["media"]]
    sbc.process.kill()
    sbc.process.wait()
    deadline = time.monotonic() + PATIENCE
    while any(is_alive(pid) for pid in everybody):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    assert sbc.events("supervisor.gone")
    assert not sbc.admin.exists()


def test_a_policy_that_is_wrong_is_said_once_and_nothing_is_started_again(tmp_path):
    (tmp_path / "policy.yaml").write_text("sbc: {name: 5\n")
    command = [sys.executable, "-m", "sbc", "run", str(tmp_path / "policy.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == [str(tmp_path / "policy.yaml")]
    assert done.stdout == ""


def test_ctrl_c_on_the_terminal_is_one_signal_for_all(tmp_path, policy_text):
    (tmp_path / "policy.yaml").write_text(
        policy_text(data_dir=tmp_path / "data", admin=f"unix:{tmp_path}/admin", sbc="")
    )
    log = tmp_path / "stderr"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "sbc", "run", str(tmp_path / "policy.yaml")], stderr=stderr, process_group=0
        )
    try:
        deadline = time.monotonic() + PATIENCE
        while "sbc: ready" not in log.read_text():
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
    said = log.read_text()
    assert said.count("stop.drain") == 1
    assert "stop.now" not in said
    assert "died" not in said
