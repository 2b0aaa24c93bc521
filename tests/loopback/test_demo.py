"""`sbc demo` on real sockets: exit 0, audio both ways, and ports that somebody else has are replaced and said."""

import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from sbc.cli.demo_policy import write_policy
from sbc.cli.examples import example_policy
from sbc.policy.load import load_policy

pytestmark = [pytest.mark.loopback, pytest.mark.slow]
ROOT = Path(__file__).resolve().parents[2]


def run_demo(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sbc", "demo"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
    )


def taken(host: str, port: int, kind: socket.SocketKind) -> socket.socket:
    probe = socket.socket(socket.AF_INET, kind)
    try:
        probe.bind((host, port))
    except OSError:
        probe.close()
        pytest.skip(f"{host}:{port} is in use on this machine")
    if kind is socket.SOCK_STREAM:
        probe.listen()
    return probe


def test_demo_shows_two_calls_with_audio_both_ways():
    done = run_demo()
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stderr == ""
    out = done.stdout
    assert "audio was heard both ways in both calls" in out
    assert "NOT HEARD" not in out
    heads = [line.split() for line in out.splitlines()]
    assert heads.count(["office", "sbc", "carrier-a"]) == 1
    assert heads.count(["carrier-a", "sbc", "office"]) == 1
    assert out.count("INVITE sdp sendonly") == 2
    assert "ENDED BY" in out
    assert out.count("normal") >= 2


def test_taken_ports_are_replaced_and_said(tmp_path):
    with (
        taken("127.0.0.10", 5060, socket.SOCK_STREAM),
        taken("127.0.0.40", 5060, socket.SOCK_DGRAM),
        ExitStack() as stack,
    ):
        policy = write_policy(example_policy("quickstart"), tmp_path, stack)
        assert policy.inside.host == "127.0.0.10"
        assert policy.inside.port != 5060
        assert policy.outside.port == 5060
        carrier_port = policy.carrier_sip.getsockname()[1]
        assert carrier_port != 5060
        assert sorted(line.partition(" is taken")[0] for line in policy.replaced) == [
            "127.0.0.10:5060",
            "127.0.0.40:5060",
        ]
        loaded = load_policy([policy.folder])
        assert {listener.address.port for listener in loaded.interfaces["inside"].listeners} == {policy.inside.port}
        assert loaded.peers["carrier-a"].servers[0].port == carrier_port
        assert str(loaded.data_dir) == str(policy.data_dir)


def test_free_ports_stay_as_they_are(tmp_path):
    with ExitStack() as stack:
        policy = write_policy(example_policy("quickstart"), tmp_path, stack)
        if not policy.replaced:
            assert (policy.inside.port, policy.outside.port) == (5060, 5060)
        assert load_policy([policy.folder]).admin == policy.admin
