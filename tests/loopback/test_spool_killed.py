"""The writer of call records is killed at any moment, again and again, on a real disk: no promised record is lost, and
none is there twice. What a power cut does on top of that is in tests/unit/cdr/test_spool_deaths.py.
"""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

KILLS = 1_000 if os.environ.get("SBC_TEST_FULL") == "1" else 50
LONGEST_SECONDS = 0.12  # that a life lasts after its start
PATIENCE = 60.0
PROGRAM = Path(__file__).with_name("spooling.py")

pytestmark = [pytest.mark.loopback, pytest.mark.slow]


def live(data, out, first, seconds):
    """One life: what it has promised. It may be killed before it is ready."""
    command = [sys.executable, str(PROGRAM), str(data), str(out), str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        started = process.stdout.readline()
        time.sleep(seconds)
        process.send_signal(signal.SIGKILL)
        said, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGKILL, errors.decode()
    lines = (started + said).decode().splitlines()
    return [line for line in lines if line.startswith("c")]


def stored(data):
    connection = sqlite3.connect(data / "cdr.db")
    try:
        return [ref for (ref,) in connection.execute("SELECT ref FROM cdr")]
    finally:
        connection.close()


def filed(out):
    texts = [path.read_text() for path in sorted(out.iterdir())] if out.exists() else []
    return [json.loads(line)["ref"] for text in texts for line in text.splitlines()]


def test_no_promised_record_is_lost_and_none_doubled_over_many_kills(tmp_path):
    data, out = tmp_path / "data", tmp_path / "out"
    chance = random.Random(8)
    promised, first = [], 0
    for _ in range(KILLS):
        promised += live(data, out, first, chance.uniform(0.0, LONGEST_SECONDS))
        first += 10_000
    live(data, out, first, 1.0)  # has the time to feed what is left
    assert len(promised) > KILLS  # else nothing was shown
    for there in (stored(data), filed(out)):
        assert set(promised) - set(there) == set()
        assert [ref for ref, times in Counter(there).items() if times > 1] == []
