"""Programs that a test starts: each in a session of its own, output to a file, ended by its own id, never by name."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

PATIENCE = 20.0
_LOOK_SECONDS = 0.02


class Child:
    """A running program. `prefix` is what enters a network namespace; it becomes the program itself by exec."""

    def __init__(
        self,
        name: str,
        argv: Sequence[str | Path],
        folder: Path,
        *,
        prefix: Sequence[str] = (),
        env: dict[str, str] | None = None,
        keep_stdin: bool = False,
    ) -> None:
        self.name = name
        self.log_path = folder / f"{name}.log"
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, *map(str, argv)],
                stdin=subprocess.PIPE if keep_stdin else subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self.process.pid

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        return self.process.poll() is None

    def wait(self, seconds: float = PATIENCE) -> int:
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.name} still runs after {seconds} s:\n{self.log[-4000:]}")

    def until(self, text: str, seconds: float = PATIENCE) -> str:
        """Wait for these words in its output; it must not end before."""
        until(lambda: text in self.log or not self.is_running, f"{text!r} from {self.name}", seconds, lambda: self.log)
        if text not in self.log:
            pytest.fail(f"{self.name} ended with {self.process.returncode} before it said {text!r}:\n{self.log}")
        return self.log

    def interrupt(self) -> None:
        self.process.send_signal(signal.SIGINT)

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def stop(self) -> None:
        """Ask, then insist; the whole group of it, and nothing else."""
        for number, patience in ((signal.SIGTERM, 8.0), (signal.SIGKILL, 5.0)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(patience)
        if self.process.stdin:
            self.process.stdin.close()


def until(
    is_true: Callable[[], object], what: str, seconds: float = PATIENCE, story: Callable[[], object] = lambda: ""
) -> None:
    end = time.monotonic() + seconds
    while not is_true():
        if time.monotonic() > end:
            pytest.fail(f"waited {seconds} s for {what}\n{story()}")
        time.sleep(_LOOK_SECONDS)


def program(name: str) -> str:
    """Where it is; the test is skipped where it is not installed, but not by `.ci/run`, which installs it."""
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    return found or missing(f"{name} is not installed")


def missing(reason: str) -> NoReturn:
    if os.environ.get("SBC_TEST_NO_SKIP"):
        pytest.fail(f"{reason}; with SBC_TEST_NO_SKIP, as in .ci/run, that is an error")
    pytest.skip(reason)


def needs_root() -> None:
    if os.geteuid() != 0:
        missing("needs root")


def is_full() -> bool:
    """SBC_TEST_FULL=1: the numbers of the acceptance instead of small ones."""
    return bool(os.environ.get("SBC_TEST_FULL"))
