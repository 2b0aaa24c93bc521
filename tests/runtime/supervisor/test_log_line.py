"""The supervisor's lines look as the log of signalling does, and never wait for who does not read them."""

import io
import json
import os

import pytest

from sbc.runtime.logging import LogWriter
from sbc.runtime.supervisor.log_line import log_line, write_line

FIELDS = {"alarm": True, "child": "media-0", "pid": 12, "status": -9, "ran_seconds": 1.5, "reason": "no more memory"}


def said_by_signalling(log_format):
    stream = io.StringIO()
    with LogWriter(stream, log_format) as writer:
        writer.put("error", "child.died", FIELDS)
    return stream.getvalue()


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_it_is_the_line_that_signalling_would_write(log_format):
    ours = log_line(log_format, "error", "child.died", FIELDS, 1_700_000_000.25).decode()
    theirs = said_by_signalling(log_format)
    stamp = json.loads(theirs)["timestamp"] if log_format == "json" else theirs.split()[0]
    assert ours == theirs.replace(stamp, "2023-11-14T22:13:20.250Z")


def test_a_pipe_that_nobody_empties_holds_nobody_up():
    reading, writing = os.pipe()
    try:
        for _ in range(10_000):
            write_line(writing, b"x" * 100 + b"\n")
        os.set_blocking(reading, False)
        assert os.read(reading, 101) == b"x" * 100 + b"\n"
    finally:
        os.close(reading)
        write_line(writing, b"nobody is there\n")
        os.close(writing)
