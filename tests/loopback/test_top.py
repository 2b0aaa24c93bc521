"""`sbc top` on a real terminal (a pty) against a running SBC: it draws, takes keys, and leaves all as it was."""

import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.loopback, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 20.0
ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
ENTER, LEAVE = "\x1b[?1049h", "\x1b[?1049l"


class Terminal:
    """A pty with `sbc top` on it."""

    def __init__(self, process, rows=24, columns=100):
        self.master, self.slave = os.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.before = termios.tcgetattr(self.slave)
        self.text = ""
        self.client = subprocess.Popen(
            [sys.executable, "-m", "sbc", "top", "--admin", f"unix:{process.admin}"],
            stdin=self.slave,
            stdout=self.slave,
            stderr=subprocess.PIPE,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - one call, no lock
            env=os.environ | {"PYTHONPATH": str(ROOT), "TERM": "xterm", "NO_COLOR": "1"},
        )

    def shows(self, wanted):
        deadline = time.monotonic() + PATIENCE
        while not re.search(wanted, ESCAPES.sub("", self.text)):
            assert time.monotonic() < deadline, self.text
            self._read(0.1)

    def types(self, keys):
        self.text = ""
        os.write(self.master, keys.encode())

    def ends(self):
        deadline = time.monotonic() + PATIENCE
        while self.client.poll() is None:
            assert time.monotonic() < deadline, self.text
            self._read(0.1)
        self._read(0.1)
        return self.client.returncode

    def is_as_before(self):
        return LEAVE in self.text and termios.tcgetattr(self.slave) == self.before

    def close(self):
        if self.client.poll() is None:
            self.client.kill()
        self.client.communicate()
        os.close(self.master)
        os.close(self.slave)

    def _read(self, seconds):
        while select.select([self.master], [], [], seconds)[0]:
            self.text += os.read(self.master, 65_536).decode(errors="replace")
            seconds = 0


@pytest.fixture
def top(start):
    opened = []

    def open_(process=None, **size):
        opened.append(Terminal(process or start(trunk=", call_paths: 10").ready(), **size))
        return opened[-1]

    yield open_
    for terminal in opened:
        terminal.close()


@pytest.mark.parametrize("key", ["q", "\x03"])
def test_it_draws_and_ends_by_a_key_and_the_terminal_is_as_before(top, key):
    terminal = top()
    terminal.shows(r"test  ready  up \d+s  0 calls")
    terminal.shows(r"carrier +\w+ .*0/10")
    assert ENTER in terminal.text
    assert termios.tcgetattr(terminal.slave) != terminal.before

    terminal.types(key)

    assert terminal.ends() == 0
    assert terminal.is_as_before()


def test_a_signal_leaves_the_terminal_as_it_was_too(top):
    terminal = top()
    terminal.shows("ready")

    terminal.client.send_signal(signal.SIGTERM)

    assert terminal.ends() == 0
    assert terminal.is_as_before()


def test_keys_choose_order_and_trunk(top):
    terminal = top()
    terminal.shows("newest first")
    terminal.types("s")
    terminal.shows("longest first")
    terminal.types("t")
    terminal.shows("calls of carrier")


def test_an_sbc_that_goes_away_is_said_and_found_again(top, start):
    process = start().ready()
    terminal = top(process)
    terminal.shows("ready")
    terminal.text = ""
    process.kill()
    terminal.shows("NO ANSWER for .* trying again: ")
    terminal.text = ""

    start("two", data_dir=process.settings["data_dir"], admin=process.settings["admin"]).ready()

    terminal.shows("q quit")


def test_nobody_there_is_an_error_and_no_screen(top, tmp_path):
    class Nobody:
        admin = tmp_path / "none"

    terminal = top(Nobody)

    assert terminal.ends() == 1
    assert ENTER not in terminal.text
    assert b"there is no such socket" in terminal.client.stderr.read()


@pytest.mark.parametrize("size", [{"rows": 5, "columns": 30}, {"rows": 60, "columns": 250}])
def test_it_fits_any_terminal(top, size):
    terminal = top(**size)
    terminal.shows("ready")
    terminal.types("q")

    assert terminal.ends() == 0
