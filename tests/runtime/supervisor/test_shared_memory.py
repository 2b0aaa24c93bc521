"""Memory that outlives the supervisor: under a name where that can be, without one where it cannot."""

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path
from typing import NamedTuple

import pytest

from sbc.runtime.supervisor import shared_memory
from sbc.runtime.supervisor.shared_memory import open_memory, remove

NAME = "0123456789abcdef" * 2


class Room(NamedTuple):
    f_bavail: int
    f_frsize: int


@pytest.fixture
def memory():
    """A folder like /dev/shm."""
    with tempfile.TemporaryDirectory(prefix="sbc-test-", dir=shared_memory.FOLDER) as folder:
        yield Path(folder)


@pytest.fixture
def opened(memory):
    """Opens as a supervisor of its own would."""
    held = []

    def open_(name=NAME):
        held.append(open_memory(name, str(memory)))
        return held[-1]

    yield open_
    for fd in held:
        os.close(fd)


def is_named(fd):
    return os.fstat(fd).st_nlink == 1


def test_what_a_killed_supervisor_has_left_is_found_again(memory):
    program = f"""
import os, signal
from sbc.runtime.supervisor.shared_memory import open_memory
os.pwrite(open_memory({NAME!r}, {str(memory)!r}), b"kept", 0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    fd = open_memory(NAME, str(memory))
    assert os.pread(fd, 9, 0) == b"kept"
    os.close(fd)


def test_only_we_may_read_it_and_its_name_goes_when_all_is_in_order(opened, memory):
    fd = opened()
    [path] = memory.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    remove(fd, str(memory))
    assert list(memory.iterdir()) == []
    remove(fd, str(memory))  # it has none any more


def test_of_two_that_want_the_same_one_the_second_gets_another_without_a_name(opened):
    first, second = opened(), opened()
    os.pwrite(first, b"mine", 0)
    assert (is_named(first), is_named(second)) == (True, False)
    assert os.pread(second, 4, 0) == b""


@pytest.mark.parametrize("name", ["", "journal", "../" + NAME, NAME.upper(), NAME + "0"])
def test_a_name_that_is_none_names_nothing(opened, memory, name):
    assert not is_named(opened(name))
    assert list(memory.iterdir()) == []


@pytest.mark.parametrize("kind", ["of others", "link", "second name", "folder", "fifo"])
def test_what_somebody_else_has_put_there_is_left_alone(opened, memory, kind):
    path, other = memory / f"sbc-journal-{NAME}", memory / "other"
    match kind:
        case "of others":
            path.write_bytes(b"")
            path.chmod(0o666)
        case "link":
            other.write_bytes(b"theirs")
            other.chmod(0o600)
            path.symlink_to(other)
        case "second name":
            other.write_bytes(b"theirs")
            other.chmod(0o600)
            path.hardlink_to(other)
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path, 0o600)
    fd = opened()
    os.pwrite(fd, b"ours", 0)
    assert not is_named(fd)
    assert not other.exists() or other.read_bytes() == b"theirs"


def test_where_there_is_little_room_nothing_is_begun_there_and_what_is_there_is_found(opened, memory, monkeypatch):
    room = Room(shared_memory.ROOM_OCTETS // 4096 - 1, 4096)
    with monkeypatch.context() as small:
        small.setattr(os, "statvfs", lambda _folder: room)
        assert not is_named(opened())
    fd = open_memory(NAME, str(memory))
    os.pwrite(fd, b"kept", 0)
    os.close(fd)
    monkeypatch.setattr(os, "statvfs", lambda _folder: room)
    assert os.pread(opened(), 4, 0) == b"kept"


def test_its_name_goes_also_where_its_path_was_another_one(opened, memory, tmp_path):
    """/dev/shm is a link somewhere, and of another mount namespace after a restart of the unit."""
    link = tmp_path / "shm"
    link.symlink_to(memory)
    fd = opened()
    remove(fd, str(link))
    assert list(memory.iterdir()) == []


def test_what_has_its_name_elsewhere_stays(opened, memory, tmp_path):
    fd = opened()
    other = tmp_path / f"sbc-journal-{NAME}"
    other.write_bytes(b"theirs")
    remove(fd, str(tmp_path))
    assert other.exists()
    assert is_named(fd)


def test_what_a_reboot_would_not_forget_is_no_memory(tmp_path):
    """In a chroot without a tmpfs: after a power cut it would be old and look new."""
    with (tmp_path / "probe").open("wb") as probe, contextlib.suppress(OSError):
        fcntl.fcntl(probe, fcntl.F_GET_SEALS)
        pytest.skip("the folder of the tests is memory itself")
    fd = open_memory(NAME, str(tmp_path))
    assert not is_named(fd)
    os.close(fd)


def test_where_there_is_no_such_place_it_has_no_name(memory):
    fd = open_memory(NAME, str(memory / "none"))
    assert os.fstat(fd).st_nlink == 0
    os.close(fd)


def test_by_default_it_is_where_a_reboot_forgets_it():
    name = uuid.uuid4().hex
    fd = open_memory(name)
    path = Path(shared_memory.FOLDER) / f"sbc-journal-{name}"
    assert path.exists()
    remove(fd)
    assert not path.exists()
    os.close(fd)
