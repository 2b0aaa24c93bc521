"""The files of `systemd/` as systemd's own tools read them, where no systemd runs."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from .children import needs_root, program

pytestmark = pytest.mark.interop

ROOT = Path(__file__).resolve().parents[2]
UNITS = ROOT / "systemd"
PAGE = (ROOT / "docs" / "howto" / "systemd.md").read_text("utf-8")
PROGRAMS = ("opt/sbc/bin/sbc", "opt/sbc/bin/python", "bin/sh", "bin/kill")


def run(*argv: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*map(str, argv)], capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture
def installed(tmp_path) -> Path:
    """What the page installs, in a folder that stands for the machine's root."""
    for source, place in (
        ("sbc.sysusers", "usr/lib/sysusers.d/sbc.conf"),
        ("sbc.tmpfiles", "usr/lib/tmpfiles.d/sbc.conf"),
        *((path.name, f"etc/systemd/system/{path.name}") for path in UNITS.glob("*.s*et")),
        *((path.name, f"etc/systemd/system/{path.name}") for path in UNITS.glob("*.service")),
    ):
        path = tmp_path / place
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(UNITS / source, path)
    for name in PROGRAMS:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o755)
    shutil.copytree("/lib/systemd/system", tmp_path / "lib/systemd/system", symlinks=True)
    return tmp_path


@pytest.mark.parametrize(
    ("unit", "at_most"), [("sbc.service", 1.5), ("sbc-media@.service", 1.8), ("sbc-bans.service", 1.5)]
)
def test_the_sandbox_is_as_tight_as_the_page_says(unit, at_most):
    done = run(program("systemd-analyze"), "security", "--no-pager", "--offline=true",
               f"--threshold={round(at_most * 10)}", UNITS / unit)  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr
    (level,) = re.findall(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert f" {level}" in PAGE
    assert float(level) <= at_most


@pytest.mark.parametrize(
    "unit", ["sbc.service", "sbc-media@0.service", "sbc-media@0.socket", "sbc-bans.service", "sbc-bans.socket"]
)
def test_systemd_understands_every_line(installed, unit):
    done = run(program("systemd-analyze"), "verify", "--man=no", f"--root={installed}", unit)
    ours = [line for line in done.stderr.splitlines() if "sbc" in line]
    assert ours == [], done.stderr


def test_a_line_that_systemd_does_not_know_is_found(installed):
    unit = installed / "etc/systemd/system/sbc.service"
    unit.write_text(unit.read_text().replace("ProtectClock=yes", "ProtectClocks=yes"))
    done = run(program("systemd-analyze"), "verify", "--man=no", f"--root={installed}", "sbc.service")
    assert "ProtectClocks" in done.stderr


@pytest.mark.root
def test_user_and_folders_are_made_with_the_modes_that_the_page_names(installed):
    needs_root()
    users = run(program("systemd-sysusers"), f"--root={installed}")
    assert users.returncode == 0, users.stderr
    (line,) = [line for line in (installed / "etc/passwd").read_text().splitlines() if line.startswith("sbc:")]
    _, _, _, gid, _, home, shell = line.split(":")
    assert (home, shell) == ("/var/lib/sbc", "/usr/sbin/nologin")
    folders = run(program("systemd-tmpfiles"), "--create", f"--root={installed}", installed / UNITS / "sbc.tmpfiles")
    assert folders.returncode == 0, folders.stderr
    made = {
        name: (status.st_uid, status.st_gid, status.st_mode & 0o7777)
        for name in ("etc/sbc", "run/sbc")
        for status in [os.stat(installed / name)]  # noqa: PTH116
    }
    assert made == {"etc/sbc": (0, int(gid), 0o750), "run/sbc": (0, int(gid), 0o1770)}


@pytest.mark.root
def test_what_the_media_unit_does_as_root_follows_no_link_of_the_user_sbc(tmp_path):
    """Who has taken over signalling can write `/run/sbc`, and would have root with any folder of the machine."""
    needs_root()
    unit = (UNITS / "sbc-media@.service").read_text()
    commands = [
        line.replace("$$", "$") for line in re.findall(r"^ExecStartPre=\+/bin/sh -c '(.*)'$", unit, re.MULTILINE)
    ]
    assert "mount -t bpf" in commands[0]
    script = tmp_path / "as-root"
    script.write_text(
        "set -e\nmount -t tmpfs -o mode=755 tmpfs /run\nmkdir /run/sbc /run/victim\n"
        + "".join(f"ln -s /run/victim /run/sbc/{name}\n" for name in ("bpf", "sbc-bpf", "sbc"))
        + "chown -h 4242:4242 /run/sbc /run/sbc/*\n"
        + "".join(f"( {command.replace('sbc:sbc', '4242:4242')} )\n" for command in commands)
        + "stat -c '%u %m' /run/victim\n"
    )
    done = run(program("unshare"), "--mount", "--net", "sh", script)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "0 /run\n"
