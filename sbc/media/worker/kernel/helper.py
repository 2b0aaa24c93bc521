"""The short-lived process that attaches the program (`attach`), as the worker sees it: started, read, ended.

It inherits nothing of the worker but standard error: a descriptor that it held would look like a worker that lives.
"""

import contextlib
import ctypes
import os
import select
import signal
import sys
import time
from typing import Final

PATIENCE_SECONDS: Final = 10.0  # it takes a third of one
_READ_OCTETS: Final = 65_536
_ANSWER_OCTETS: Final = 1 << 20
_SYS_CLOSE_RANGE: Final = 436  # on every machine
_CLOEXEC: Final = 1 << 2  # CLOSE_RANGE_CLOEXEC
_LAST: Final = 2**32 - 1

_libc = ctypes.CDLL(None, use_errno=True)
_dead: list[int] = []


class Helper:
    """`pipe`: readable when `read` has something to do. `is_killed`: it took too long."""

    __slots__ = ("_answer", "_deadline", "_pid", "is_killed", "pipe")

    def __init__(self, *words: str) -> None:
        """Raises OSError where no process can be started."""
        self._answer = b""
        self._deadline = time.monotonic() + PATIENCE_SECONDS
        self.is_killed = False
        _keep_descriptors()
        self.pipe, writing = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        argv = [sys.executable, "-m", "sbc.media.worker.kernel.attach", *words]
        try:
            actions = [(os.POSIX_SPAWN_DUP2, writing, 1)]
            self._pid = os.posix_spawn(sys.executable, argv, os.environ, file_actions=actions)
        except OSError:
            os.close(self.pipe)
            raise
        finally:
            os.close(writing)

    def read(self) -> bytes | None:
        """All that it had to say, once it has ended."""
        while True:
            try:
                data = os.read(self.pipe, _READ_OCTETS)
            except BlockingIOError:
                return None
            if not data or len(self._answer) > _ANSWER_OCTETS:
                return self._answer
            self._answer += data

    def wait(self, seconds: float) -> None:
        """Until it has ended, or for so long."""
        deadline = time.monotonic() + seconds
        with select.epoll() as done:
            done.register(self.pipe, select.EPOLLIN)
            while self.read() is None and (left := deadline - time.monotonic()) > 0:
                done.poll(left)

    def kill_if_late(self) -> None:
        """One that hangs is to be killed; `read` tells when it is gone."""
        if not self.is_killed and time.monotonic() >= self._deadline:
            self._kill()

    def end(self) -> None:
        """It has said what it has to say, or is not asked any more. Its remains are `bury`'s: one that waits for the
        kernel outlives SIGKILL, and callers would hear us wait for it.
        """
        os.close(self.pipe)
        self._kill()
        _dead.append(self._pid)
        bury()

    def _kill(self) -> None:
        self.is_killed = True
        os.kill(self._pid, signal.SIGKILL)  # nobody has waited for it: the number is still its own


def bury() -> None:
    """To be called now and then: take notice of the ends of processes that were ended."""
    for pid in list(_dead):
        try:
            is_gone = os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            is_gone = True
        if is_gone:
            _dead.remove(pid)


def _keep_descriptors() -> None:
    """What this process holds is its own: sockets that came over another (SCM_RIGHTS) would be inherited otherwise."""
    if _libc.syscall(ctypes.c_long(_SYS_CLOSE_RANGE), ctypes.c_uint(3), ctypes.c_uint(_LAST), ctypes.c_uint(_CLOEXEC)):
        for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - pathlib is slow to import. Before Linux 5.11
            with contextlib.suppress(OSError):
                os.set_inheritable(int(name), int(name) < 3)
