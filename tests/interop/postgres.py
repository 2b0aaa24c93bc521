"""A PostgreSQL server of the test's own: Debian's binaries, a folder of its own, an unprivileged user, one address."""

import contextlib
import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from .children import Child, missing, until

USER, PASSWORD, DATABASE = "sbc", "not-to-be-seen-anywhere", "records"
_SETTINGS = """
listen_addresses = '{host}'
port = 5432
unix_socket_directories = ''
fsync = off
log_min_messages = warning
"""


def binaries() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else missing("no PostgreSQL server is installed (Debian: postgresql)")


class PostgresServer:
    """`start`, `stop`, `crash`, `hang` and `go_on`, as often as one likes; `close` at the end."""

    def __init__(self, host: str, folder: Path) -> None:
        self.host, self._folder, self._starts = host, folder, 0
        self._bin = binaries()
        # Its user may not enter pytest's folders.
        self._home = Path(tempfile.mkdtemp(prefix="sbc-postgres-"))
        self._prefix = self._as_somebody()
        self.url = f"postgresql://{USER}@{host}:5432/{DATABASE}"
        self._initialise()
        self.start()
        self.run(f"CREATE DATABASE {DATABASE} ENCODING 'UTF8' TEMPLATE template0", database="postgres")

    def _as_somebody(self) -> Sequence[str]:
        """A server refuses to run as root."""
        if os.geteuid() != 0:
            return ()
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                user = pwd.getpwnam(name)
                os.chown(self._home, user.pw_uid, user.pw_gid)
                return ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups")
        return missing("there is no unprivileged user to run PostgreSQL as")

    def _initialise(self) -> None:
        secret = self._home / "secret"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)
        command = [
            self._bin / "initdb", "-D", self._home / "data", "-U", USER, "-A", "scram-sha-256", f"--pwfile={secret}",
            "-E", "UTF8", "--locale=C", "-N",
        ]  # fmt: skip
        subprocess.run([*self._prefix, *command], check=True, capture_output=True, cwd="/", timeout=120)
        (self._home / "data" / "postgresql.auto.conf").write_text(_SETTINGS.format(host=self.host))

    def start(self) -> None:
        self._starts += 1
        command = [self._bin / "postgres", "-D", self._home / "data"]
        self.child = Child(f"postgres-{self._starts}", command, self._folder, prefix=self._prefix)
        until(self._answers, "PostgreSQL to answer", 60, lambda: self.child.log)

    def stop(self) -> None:
        """Fast: clients are thrown out."""
        self.child.process.send_signal(signal.SIGINT)
        self.child.wait(30)

    def crash(self) -> None:
        processes = [self.child.pid, *self._children()]
        self._signal(processes, signal.SIGKILL)
        self.child.wait(30)
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in processes), "all of it to be gone", 30)

    def hang(self) -> None:
        """The kernel still takes connections and acknowledges what is sent; nobody reads it."""
        self._signal([self.child.pid, *self._children()], signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal([*self._children(), self.child.pid], signal.SIGCONT)

    def close(self) -> None:
        if self.child.is_running:
            self.go_on()
            self.crash()
        shutil.rmtree(self._home, ignore_errors=True)

    def run(self, sql: str, database: str = DATABASE) -> list[str]:
        """Lines of a query's answer, its values with | between."""
        done = self._psql(database, "-At", "-v", "ON_ERROR_STOP=1", "-c", sql)
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    def count(self, table: str) -> int:
        """0 also where it is not there yet."""
        done = self._psql(DATABASE, "-At", "-c", f"SELECT count(*) FROM {table}")
        return int(done.stdout) if done.returncode == 0 else 0

    def _answers(self) -> bool:
        return self._psql("postgres", "-c", "SELECT 1").returncode == 0

    def _psql(self, database: str, *options: str) -> "subprocess.CompletedProcess[str]":
        where = f"postgresql://{USER}@{self.host}:5432/{database}"
        environment = {**os.environ, "PGPASSWORD": PASSWORD, "PGCONNECT_TIMEOUT": "5"}
        command = [str(self._bin / "psql"), "-X", *options, where]
        return subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=60)

    def _children(self) -> list[int]:
        return list(_children_of(self.child.pid))

    @staticmethod
    def _signal(processes: Sequence[int], number: signal.Signals) -> None:
        for pid in processes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def _children_of(parent: int) -> Iterator[int]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            found = re.fullmatch(r"(\d+) \(.*\) \S (\d+) .*", path.read_text().strip(), re.DOTALL)
            if found and int(found[2]) == parent:
                yield int(found[1])
