"""A session of SIPp that a real `sbc run --record` has recorded, replayed by another process elsewhere: bit for bit."""

import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import sbc

from .children import is_full, until
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

RATE = 50 if is_full() else 10
ROOT = Path(sbc.__file__).parent.parent


def elsewhere(*words, seed="12345"):
    """`sbc replay` in a process that shares nothing with the one that recorded."""
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": seed, "HOME": "/"}
    return subprocess.run(
        [sys.executable, "-m", "sbc", "replay", *map(str, words)],
        cwd="/", env=env, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


def talk(sbc, started, folder, calls):
    folder.mkdir()
    carrier = started(Sipp("carrier", "uas", folder, local=sbc.carrier, calls=calls))
    pbx = started(Sipp("pbx", "uac", folder, local=sbc.pbx, remote=f"{sbc.inside}:5060", calls=calls, rate=RATE))
    assert pbx.child.wait(60 + calls / RATE) == 0, pbx.errors
    assert pbx.successful == calls
    sbc.has_no_call_within(20)
    carrier.stop()  # it would wait half a minute for what comes late


@pytest.fixture
def recorded(node, started, tmp_path):
    """The folder of a recording, moved to another place; SIPp has had `calls` calls."""
    calls = 1000 if is_full() else 40
    node = node(options=("--record", "recording"))
    talk(node, started, tmp_path / "first", calls)
    node.child.process.send_signal(signal.SIGTERM)
    assert node.child.wait(20) in (0, -signal.SIGTERM)
    return shutil.move(node.folder / "recording", tmp_path / "moved"), calls


def test_a_session_replays_bit_for_bit_in_another_process(recorded, tmp_path):
    folder, calls = recorded
    print(f"{calls} calls, {sum(path.stat().st_size for path in folder.iterdir()) / calls / 1000:.1f} KB each")
    done = elsewhere(folder, "--ladder")
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr
    assert "the same commands" in done.stdout
    refs = re.findall(r"call (\w+), over", done.stdout)
    assert len(refs) == calls

    test = tmp_path / "test_recorded.py"
    made = elsewhere(folder, "--ref", refs[3], "--as-test", test)
    assert made.returncode == 0, made.stderr
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "conftest", "-c", os.devnull, str(test)],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "SBC_TEST_REPLAY": "all"},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert "1 passed" in ran.stdout, ran.stdout + ran.stderr

    masked = elsewhere(folder, "--mask", tmp_path / "masked")
    assert masked.returncode == 0, masked.stderr
    shown = elsewhere(tmp_path / "masked", "--ladder", seed="777")
    assert shown.returncode == 0, shown.stdout[-2000:]
    assert "4155559999" in done.stdout
    assert "4155559999" not in shown.stdout


def test_a_session_through_which_signalling_was_killed_has_two_lives(node, started, tmp_path):
    sbc = node(options=("--record", "recording"))
    talk(sbc, started, tmp_path / "first", 5)
    os.kill(sbc.status()["pids"]["signalling"], signal.SIGKILL)
    until(lambda: "sbc: ready" in sbc.child.log.partition("child.died")[2], "signalling to be back", 20)
    talk(sbc, started, tmp_path / "second", 5)
    sbc.child.process.send_signal(signal.SIGTERM)
    assert sbc.child.wait(20) in (0, -signal.SIGTERM)
    done = elsewhere(sbc.folder / "recording")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("the same commands") == 2
