"""Memory that outlives even the supervisor: a file in the machine's own memory, gone with a reboot.

Where the machine has no room for it, or somebody else has this one, it is memory without a name, which lives as long as
the supervisor. Used by `held`.
"""

import contextlib
import errno
import fcntl
import os
import re
import stat
from typing import Final

from sbc.core import limits

FOLDER: Final = "/dev/shm"  # noqa: S108 - shm_overview(7); what is there is checked before it is believed
ROOM_OCTETS: Final = limits.STATE_OCTETS // 4  # that have to be free: less would be full before the calls are
PREFIX: Final = "sbc-journal-"
_NAME: Final = re.compile(r"[0-9a-f]{32}")
_FLAGS: Final = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def open_memory(name: str, folder: str = FOLDER) -> int:
    """`name`: 32 hexadecimal digits; anything else is none. Raises OSError."""
    fd = None
    if _NAME.fullmatch(name):
        with contextlib.suppress(OSError):
            fd = _named(folder, f"{folder}/{PREFIX}{name}")
    return os.memfd_create("sbc-journal", os.MFD_CLOEXEC) if fd is None else fd


def remove(fd: int, folder: str = FOLDER) -> None:
    """Its name; the memory goes with the last who has it open. Nothing where it has none."""
    with contextlib.suppress(OSError):
        # The path may be that of another mount namespace, where an earlier supervisor has opened it.
        name = os.readlink(f"/proc/self/fd/{fd}").rpartition("/")[2]  # noqa: PTH115 - pathlib costs memory
        path = f"{folder}/{name}"
        if name.startswith(PREFIX) and os.path.samestat(os.stat(path, follow_symlinks=False), os.fstat(fd)):  # noqa: PTH116
            os.unlink(path)  # noqa: PTH108


def _named(folder: str, path: str) -> int:
    try:
        fd = os.open(path, _FLAGS)
    except FileNotFoundError:
        room = os.statvfs(folder)
        if room.f_bavail * room.f_frsize < ROOM_OCTETS:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from None
        fd = os.open(path, _FLAGS | os.O_CREAT, 0o600)
    try:
        fcntl.fcntl(fd, fcntl.F_GET_SEALS)  # refused by a real disk, which would outlive a reboot, and not whole
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # shared with signalling, which has the same open file
        is_ours = _is_ours(os.fstat(fd))
    except BaseException:
        os.close(fd)
        raise
    if not is_ours:
        os.close(fd)
        raise PermissionError(errno.EACCES, "somebody else has made it")
    return fd


def _is_ours(found: os.stat_result) -> bool:
    """And has this one name, which its last owner has not just removed."""
    is_private = found.st_uid == os.geteuid() and not found.st_mode & 0o077
    return stat.S_ISREG(found.st_mode) and is_private and found.st_nlink == 1
