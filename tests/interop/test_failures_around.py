"""What breaks around the SBC while calls come: each is an alarm that ends by itself, and no call notices."""

import contextlib
import fcntl
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from .children import is_full, needs_root, until
from .node import Node
from .postgres import PASSWORD, PostgresServer
from .sipp import Sipp

pytestmark = [pytest.mark.interop, pytest.mark.slow]

RATE = 20
SECONDS = 60 if is_full() else 20
SECONDS_AFTER = 3  # of calls when it is over again
DISK = "24m"


class Calls:
    """So many calls at most, one after the other begun, while something else happens and for a while after it."""

    def __init__(
        self, sbc: Node, started: Callable[[Any], Any], folder: Path, seconds: int = SECONDS, rate: int = RATE
    ) -> None:
        self._sbc = sbc
        self._calls = calls = seconds * rate
        started(Sipp("carrier", "uas", folder, local=sbc.carrier, calls=calls))
        self._pbx = started(
            Sipp("pbx", "uac", folder, local=sbc.pbx, remote=f"{sbc.inside}:5060", calls=calls, rate=rate)
        )
        until(lambda: sbc.status()["calls"], "the first calls")

    def all_go_through(self) -> None:
        assert self._pbx.child.is_running, "there were no calls any more: this shows nothing"
        if not is_full():
            time.sleep(SECONDS_AFTER)
            self._pbx.child.signal(signal.SIGUSR1)  # no new ones; it ends with the last
        assert self._pbx.child.wait(60 + SECONDS + self._calls / RATE) == 0, self._pbx.errors
        calls = self._calls if is_full() else self._pbx.successful
        assert calls > SECONDS_AFTER * RATE / 2
        assert (self._pbx.successful, self._pbx.failed, self._pbx.errors) == (calls, 0, "")
        until(lambda: len(self._sbc.cdrs()) == calls, "all records", 20)
        assert self._sbc.complaints() == []


def alarm(sbc: Node, event: str) -> dict[str, Any]:
    return next((one for one in sbc.ask("alarms")["alarms"] if one["event"] == event), {})


def becomes(sbc: Node, event: str, *, active: bool, seconds: float = 20.0) -> dict[str, Any]:
    """The alarm, when it is so; the page, the metric and the command agree."""
    until(
        lambda: alarm(sbc, event).get("active") is active, f"{event} active={active}", seconds,
        lambda: sbc.ask("alarms"),
    )  # fmt: skip
    assert f'sbc_alarms{{event="{event}"}} {int(active)}\n' in sbc.metrics()
    assert any(event in line and ("active" if active else "over") in line for line in sbc.says("alarms").splitlines())
    return alarm(sbc, event)


# --- the log ----------------------------------------------------------------------------------------------------------


class Tap:
    """Reads the SBC's stderr from a pipe, until it is closed and after it is opened again."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "stderr"
        os.mkfifo(self.path)
        self._log = folder / "sbc" / "sbc.log"
        self._is_open = threading.Event()
        self._is_open.set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    @property
    def prefix(self) -> tuple[str, ...]:
        return ("bash", "-c", f'exec "$@" 2> {self.path}', "bash")

    def closes(self) -> None:
        self._is_open.clear()

    def opens(self) -> None:
        self._is_open.set()

    def stop(self) -> None:
        self._over.set()
        self._is_open.set()
        self._thread.join(10)

    def _run(self) -> None:
        with self.path.open("rb", buffering=0) as pipe:
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, 4_096)
            while not self._over.is_set():
                self._is_open.wait()
                data = pipe.read(65_536)
                if not data:
                    return
                with self._log.open("ab") as log:
                    log.write(data)


def test_a_log_that_nobody_reads(node, started, tmp_path):
    tap = started(Tap(tmp_path))
    sbc = node(prefix=tap.prefix)
    calls = Calls(sbc, started, tmp_path)
    tap.closes()
    stalled = becomes(sbc, "log.stalled", active=True)
    assert stalled["text"].startswith("Log lines cannot be written: nobody reads them")
    tap.opens()
    becomes(sbc, "log.stalled", active=False)
    calls.all_go_through()
    assert "log.flowing" in sbc.child.log


def test_a_program_whose_log_is_stalled_still_stops_when_it_is_told_to(node, started, tmp_path):
    tap = started(Tap(tmp_path))
    sbc = node(prefix=tap.prefix)
    Calls(sbc, started, tmp_path)
    tap.closes()
    becomes(sbc, "log.stalled", active=True)
    sbc.child.process.terminate()
    sbc.child.process.terminate()
    assert sbc.child.wait(20) == 0
    tap.opens()


# --- the disk ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def disk(tmp_path) -> Iterator[Path]:
    """A small one, where the SBC keeps its records and what else it does not want to lose."""
    needs_root()
    folder = tmp_path / "sbc" / "data"
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.root
def test_a_full_disk(disk, node, started, tmp_path):
    sbc = node()
    calls = Calls(sbc, started, tmp_path, 30)
    filler = disk / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4_096)
    full = becomes(sbc, "cdr.not_stored", active=True)
    assert "full" in full["text"], full
    time.sleep(3)  # of calls whose records have no place
    filler.unlink()
    over = becomes(sbc, "cdr.not_stored", active=False, seconds=40)
    assert over["ended_at"] > over["since"]
    calls.all_go_through()


# --- where records are copied to --------------------------------------------------------------------------------------


def test_a_database_that_hangs(net, node, started, tmp_path):
    server = PostgresServer(f"{net}.70", tmp_path)
    try:
        sbc = node(more=f"sbc: {{cdr: {{postgres: {{url: '{server.url}', password: {PASSWORD}}}}}}}")
        calls = Calls(sbc, started, tmp_path, 45)
        server.hang()
        hung = becomes(sbc, "cdr.copy_failing", active=True, seconds=40)
        assert PASSWORD not in str(hung)
        server.go_on()
        becomes(sbc, "cdr.copy_failing", active=False, seconds=60)
        calls.all_go_through()
    finally:
        server.close()


# --- a client of the API ----------------------------------------------------------------------------------------------


def test_a_client_that_asks_and_never_reads(node, started, tmp_path):
    sbc = node()
    calls = Calls(sbc, started, tmp_path, 30)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(str(sbc.admin))
        client.settimeout(5)
        with contextlib.suppress(OSError):  # it may be dropped while it still asks
            for _ in range(2_000):
                client.sendall(b"GET /metrics HTTP/1.1\r\nHost: sbc\r\n\r\n")
        slow = becomes(sbc, "admin.slow_client", active=True, seconds=30)
        assert "did not read" in slow["text"]
        assert sbc.status()["ready"]
    calls.all_go_through()


def test_a_reader_of_the_event_stream_that_never_reads(node, started, tmp_path):
    sbc = node()
    calls = Calls(sbc, started, tmp_path, 60, rate=45)  # much to tell
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.connect(str(sbc.admin))
        client.sendall(b"GET /api/v1/events HTTP/1.1\r\nHost: sbc\r\nAccept: text/event-stream\r\n\r\n")
        becomes(sbc, "admin.slow_client", active=True, seconds=60)
    calls.all_go_through()
