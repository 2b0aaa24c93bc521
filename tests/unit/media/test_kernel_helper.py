"""The process that attaches the program is a stranger to what the worker holds."""

import os
from pathlib import Path

import pytest

from sbc.media.worker.kernel.helper import Helper

pytestmark = pytest.mark.slow


def test_it_inherits_no_descriptor_that_could_be_inherited():
    reading, writing = os.pipe()
    os.set_inheritable(writing, True)  # as a socket is that came over another
    ours = Path(f"/proc/self/fd/{writing}").readlink()
    helper = Helper("nothing", "that", "it", "knows")
    try:
        theirs = [path.readlink() for path in Path(f"/proc/{helper._pid}/fd").iterdir()]
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
    with pytest.raises(ChildProcessError):
        os.waitpid(helper._pid, os.WNOHANG)
