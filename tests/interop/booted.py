"""A machine with a real systemd as its first process, in namespaces of its own on a copy of this file system.

What is changed there is in memory and gone afterwards; the network is a loopback device alone. `/opt/sbc` has this
program and its dependencies, as `pip install` would have put them there, and `/src` is the checkout.
"""

import contextlib
import os
import shutil
import signal
import site
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from .children import missing, needs_root, program

_ROOT = Path(__file__).resolve().parents[2]
_SYSTEMD = "/lib/systemd/systemd"
_HIERARCHIES = Path("/sys/fs/cgroup")
_BOOT_SECONDS = 60.0
_LIBRARIES = "/python/lib"  # of a Python that is not the system's, and was moved

# Arguments: a folder for all of it, the checkout, Python's packages, and Python, which may be in somebody's home.
_BOOT = r"""
set -e
folder=$1 checkout=$2 packages=$3 python=$4
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder"
mkdir "$folder/up" "$folder/work" "$folder/root" "$folder/src" "$folder/packages" "$folder/python"
mount --bind "$checkout" "$folder/src"
mount --bind "$packages" "$folder/packages"
mount --bind "$python" "$folder/python"
root=$folder/root
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/up,workdir=$folder/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
for place in run tmp var/log var/lib/systemd; do mount -t tmpfs tmpfs "$root/$place"; done
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
  mkdir "$root/sys/fs/cgroup/systemd"
  mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
fi
mount -t tmpfs tmpfs "$root/dev" -o mode=755
for one in null zero full random urandom tty; do touch "$root/dev/$one"; mount --bind "/dev/$one" "$root/dev/$one"; done
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue"
mount -t devpts devpts "$root/dev/pts" -o newinstance,ptmxmode=0666
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mkdir -p "$root/src" "$root/packages" "$root/python" "$root/opt/sbc"
mount --bind "$folder/src" "$root/src"
mount --bind "$folder/packages" "$root/packages"
mount --bind "$folder/python" "$root/python"
rm -rf "$root"/etc/systemd/system/*.wants
for one in systemd-udevd systemd-networkd systemd-resolved systemd-timesyncd systemd-logind; do
  ln -sf /dev/null "$root/etc/systemd/system/$one.service"
done
ip link set lo up
mkdir -p "$root/oldroot"
cd "$root"
pivot_root . oldroot
umount -l /oldroot
mount --make-rshared /
cd /src
container=sbctest exec /lib/systemd/systemd --system --unit=multi-user.target --log-target=journal --show-status=0
"""
_PROGRAM = """#!/opt/sbc/bin/python
import sys
from sbc.cli import main
sys.exit(main())
"""


class Booted:
    """`run` a command in there. `enter`: the prefix of a command that shares its network alone."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._outer: subprocess.Popen[bytes] | None = None
        self._group = f"sbctest-{os.getpid()}"
        self._groups_made: list[Path] = []
        self.pid = 0

    def __enter__(self) -> Self:
        try:
            self._boot()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    @property
    def enter(self) -> tuple[str, ...]:
        return ("nsenter", "-t", str(self.pid), "-n", "--")

    def run(self, *argv: str, ok: bool = True, seconds: float = 60.0) -> str:
        """What it says on both streams; it must succeed, unless not `ok`: then it must not."""
        inside = (
            "nsenter",
            "-t",
            str(self.pid),
            "-m",
            "-p",
            "-C",
            "-u",
            "-i",
            "-n",
            "-r",
            "-w",
            "--",
            "env",
            "-C",
            "/src",
        )
        environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "LANG": "C.UTF-8",
            "LD_LIBRARY_PATH": _LIBRARIES,
        }
        done = subprocess.run(
            [*inside, *argv], capture_output=True, text=True, timeout=seconds, check=False, env=environment
        )
        said = done.stdout + done.stderr
        assert (done.returncode == 0) == ok, f"{argv}: {done.returncode}\n{said}\n{self._journal(inside)}"
        return said

    def shell(self, script: str, *, seconds: float = 60.0) -> str:
        """As typed by root, in the checkout."""
        return self.run("bash", "-euo", "pipefail", "-c", script, seconds=seconds)

    def write(self, path: str, text: str) -> None:
        self.shell(f"mkdir -p '{Path(path).parent}'; cat > '{path}' <<'END_OF_FILE'\n{text}\nEND_OF_FILE")

    def until(self, script: str, expected: str, seconds: float = 20.0) -> str:
        """Look again until it says so."""
        end = time.monotonic() + seconds
        while True:
            said = self.run("bash", "-c", f"{script} || true")
            if expected in said:
                return said
            if time.monotonic() > end:
                pytest.fail(f"{script}: waited {seconds} s for {expected!r}\n{said}\n{self.story()}")
            time.sleep(0.2)

    def show(self, unit: str, *names: str) -> dict[str, str]:
        said = self.run("systemctl", "show", unit, *(f"--property={name}" for name in names))
        return dict(line.partition("=")[::2] for line in said.splitlines())  # type: ignore[misc]

    def _journal(self, inside: tuple[str, ...]) -> str:
        done = subprocess.run(
            [*inside, "journalctl", "--no-pager", "-u", "sbc*", "-n", "25"], capture_output=True, text=True, check=False
        )
        return done.stdout

    def story(self) -> str:
        look = "journalctl --no-pager -u 'sbc*' -n 60 -o short-precise; systemctl status --no-pager 'sbc*' || true"
        return self.run("bash", "-c", look)

    # --- beginning and end ----------------------------------------------------------------------------------------

    def _boot(self) -> None:
        needs_root()
        for name in ("unshare", "nsenter", "ip", "mount", "systemctl"):
            program(name)
        self._groups_made = [group / self._group for group in _own_groups()]
        packages = next(path for path in site.getsitepackages() if path.startswith(sys.prefix))
        arguments = [_BOOT, "boot", str(self._folder), str(_ROOT), packages, sys.base_prefix]
        unshare = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--cgroup", "--uts", "--ipc", "--net"]
        with (self._folder.parent / "boot.log").open("wb") as log:
            self._outer = subprocess.Popen(
                [*unshare, "bash", "-c", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=self._join_groups,  # noqa: PLW1509 - one thread here, and it must be before the namespaces
            )
        self._wait_until_it_runs()
        self._install()

    def _wait_until_it_runs(self) -> None:
        end = time.monotonic() + _BOOT_SECONDS
        state = ""
        while time.monotonic() < end:
            self.pid = self.pid or _only_child(self._outer.pid if self._outer else 0)
            if self.pid and _name(self.pid) == "systemd":
                state = self.run("bash", "-c", "systemctl is-system-running 2>&1 || true").strip()
                if state in {"running", "degraded"}:
                    return
            if self._outer is not None and self._outer.poll() is not None:
                break
            time.sleep(0.1)
        said = (self._folder.parent / "boot.log").read_text(errors="replace")
        missing(f"no systemd can be booted in namespaces here: {state or said[-300:] or 'it does not start'}")

    def _install(self) -> None:
        """As `python3 -m venv /opt/sbc && /opt/sbc/bin/pip install .`, without asking a registry."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.run(f"/python/bin/{version}", "-m", "venv", "--without-pip", "/opt/sbc")
        self.write(f"/opt/sbc/lib/{version}/site-packages/sbc.pth", "/src\n/packages")
        self.run("systemctl", "set-environment", f"LD_LIBRARY_PATH={_LIBRARIES}")
        self.write("/opt/sbc/bin/sbc", _PROGRAM)
        self.run("chmod", "755", "/opt/sbc/bin/sbc")

    def stop(self) -> None:
        if self._outer is not None:
            for pid in (self.pid, self._outer.pid):
                if pid:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
            self._outer.wait(10)
        for group in self._groups_made:
            end = time.monotonic() + 5
            while any(path.read_text() for path in group.rglob("cgroup.procs")) and time.monotonic() < end:
                time.sleep(0.05)
            for folder in sorted(group.rglob("*/"), key=lambda path: -len(path.parts)):
                with contextlib.suppress(OSError):
                    folder.rmdir()
            with contextlib.suppress(OSError):
                group.rmdir()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _join_groups(self) -> None:
        for group in self._groups_made:
            group.mkdir(exist_ok=True)
            with contextlib.suppress(OSError):  # a cpuset without processors takes nobody
                (group / "cgroup.procs").write_text(str(os.getpid()))


def _only_child(pid: int) -> int:
    with contextlib.suppress(OSError):
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else 0
    return 0


def _name(pid: int) -> str:
    """Empty where it has ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def _own_groups() -> list[Path]:
    """The control group that we are in, in each hierarchy that there is."""
    groups = []
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        number, names, path = line.split(":", 2)
        for name in ("unified", ".") if number == "0" else (names.removeprefix("name="),):
            group = _HIERARCHIES / name / path.lstrip("/")
            if (group / "cgroup.procs").exists():
                groups.append(group)
                break
    return groups
