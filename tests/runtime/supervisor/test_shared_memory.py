"""Memory that outlives the supervisor: under a name where that can be, without one where it cannot."""

import os
import signal
import subprocess
import sys
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
def opened(tmp_path):
    """Opens as a supervisor of its own would."""
    held = []

    def open_(name=NAME):
        held.append(open_memory(name, str(tmp_path)))
        return held[-1]

    yield open_
    for fd in held:
        os.close(fd)


def is_named(fd):
    return os.fstat(fd).st_nlink == 1


def test_what_a_killed_supervisor_has_left_is_found_again(tmp_path):
    program = f"""
import os, signal
from sbc.runtime.supervisor.shared_memory import open_memory
os.pwrite(open_memory({NAME!r}, {str(tmp_path)!r}), b"kept", 0)
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -signal.SIGKILL
    fd = open_memory(NAME, str(tmp_path))
    assert os.pread(fd, 9, 0) == b"kept"
    os.close(fd)


def test_only_we_may_read_it_and_its_name_goes_when_all_is_in_order(opened, tmp_path):
    fd = opened()
    [path] = tmp_path.iterdir()
    assert path.stat().st_mode & 0o777 == 0o600
    remove(fd, str(tmp_path))
    assert list(tmp_path.iterdir()) == []
    remove(fd, str(tmp_path))  # it has none any more


def test_of_two_that_want_the_same_one_the_second_gets_another_without_a_name(opened):
    first, second = opened(), opened()
    os.pwrite(first, b"mine", 0)
    assert (is_named(first), is_named(second)) == (True, False)
    assert os.pread(second, 4, 0) == b""


@pytest.mark.parametrize("name", ["", "journal", "../" + NAME, NAME.upper(), NAME + "0"])
def test_a_name_that_is_none_names_nothing(opened, tmp_path, name):
    assert not is_named(opened(name))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["of others", "link", "folder", "fifo"])
def test_what_somebody_else_has_put_there_is_left_alone(opened, tmp_path, kind):
    path, other = tmp_path / f"sbc-journal-{NAME}", tmp_path / "other"
    match kind:
        case "of others":
            path.write_bytes(b"")
            path.chmod(0o666)
        case "link":
            other.write_bytes(b"theirs")
            other.chmod(0o600)
            path.symlink_to(other)
        case "folder":
            path.mkdir()
        case "fifo":
            os.mkfifo(path, 0o600)
    fd = opened()
    os.pwrite(fd, b"ours", 0)
    assert not is_named(fd)
    assert not other.exists() or other.read_bytes() == b"theirs"


def test_where_there_is_little_room_nothing_is_begun_there_and_what_is_there_is_found(opened, tmp_path, monkeypatch):
    room = Room(shared_memory.ROOM_OCTETS // 4096 - 1, 4096)
    with monkeypatch.context() as small:
        small.setattr(os, "statvfs", lambda _folder: room)
        assert not is_named(opened())
    fd = open_memory(NAME, str(tmp_path))
    os.pwrite(fd, b"kept", 0)
    os.close(fd)
    monkeypatch.setattr(os, "statvfs", lambda _folder: room)
    assert os.pread(opened(), 4, 0) == b"kept"


def test_where_there_is_no_such_place_it_has_no_name(tmp_path):
    fd = open_memory(NAME, str(tmp_path / "none"))
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
