"""The process that attaches the program is a stranger to what the worker holds."""

import contextlib
import os
import signal
import time
from pathlib import Path

import pytest

from sbc.media.worker.kernel.helper import Helper, bury

pytestmark = pytest.mark.slow


def test_it_inherits_no_descriptor_that_could_be_inherited():
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)  # as a socket is that came over another
    ours = Path(f"/proc/self/fd/{writing}").readlink()
    helper = Helper("nothing", "that", "it", "knows")
    try:
        os.kill(helper._pid, signal.SIGSTOP)  # else it opens and closes files meanwhile
        theirs = []
        for path in Path(f"/proc/{helper._pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                theirs.append(path.readlink())
        assert ours not in theirs
        assert Path(f"/proc/self/fd/{helper.pipe}").readlink() in theirs  # where it says what it has to say
    finally:
        helper.end()
        os.close(reading)
        os.close(writing)


def test_what_it_does_not_say_is_nothing_and_it_leaves_no_process_behind():
    helper = Helper("nothing", "that", "it", "knows")
    helper.wait(20.0)
    assert helper.read() == b""
    helper.end()
    is_buried(helper)


def test_one_that_hangs_is_killed_when_it_is_late_and_nobody_waits_for_it(monkeypatch):
    monkeypatch.setattr("sbc.media.worker.kernel.helper.PATIENCE_SECONDS", 0.0)
    helper = Helper("nothing", "that", "it", "knows")
    os.kill(helper._pid, signal.SIGSTOP)
    assert helper.read() is None
    assert not helper.is_killed
    helper.kill_if_late()
    helper.kill_if_late()
    helper.wait(20.0)
    assert helper.read() == b""
    assert helper.is_killed
    helper.end()
    is_buried(helper)


def test_one_that_has_time_left_is_let_be():
    helper = Helper("nothing", "that", "it", "knows")
    helper.kill_if_late()
    assert not helper.is_killed
    helper.end()
    is_buried(helper)


def is_buried(helper):
    for _ in range(1000):
        bury()
        try:
            os.waitid(os.P_PID, helper._pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        time.sleep(0.01)
    pytest.fail("it is still there")
