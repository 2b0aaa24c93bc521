"""A process that has imported all that signalling is, and waits to become it: starting an interpreter is most of what a
restart takes.

One stands by for the case that signalling dies. Another one is started for a restart, of the program that is installed
then: it reads the policy as well, so that a version that cannot start costs no more than a line in the log; it becomes
the first signalling of the next supervisor. `cli.stand_by` is what runs there, and ends when our end of its line does.
Used by `main`.
"""

import contextlib
import os
import signal
import socket
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from sbc.runtime.supervisor import inheritance
from sbc.runtime.supervisor.starting import spawn

PROGRAM: Final = ("-m", "sbc.cli.stand_by")  # this interpreter's arguments
READY: Final = b"ready"
REHEARSAL_SECONDS: Final = 30.0  # a policy of a thousand trunks is read in one
_REASON_OCTETS: Final = 1_000


class StandBy:
    """`line`: our end, to be polled until it is ready."""

    def __init__(self, pid: int, line: socket.socket, said: int | None = None, *, is_ready: bool = False) -> None:
        line.setblocking(False)
        self.pid = pid
        self.line = line
        self.is_ready = is_ready
        self._said = said

    def hear(self) -> None:
        with contextlib.suppress(OSError):
            self.is_ready = self.is_ready or self.line.recv(64) == READY

    def become_signalling(self, words: Sequence[str], control: int) -> bool:
        """`words`: its arguments, behind the descriptor. False: it cannot, and another one is needed."""
        try:
            socket.send_fds(self.line, [msgspec.msgpack.encode(list(words))], [control, 1, 2])
        except OSError:
            self.kill()
            return False
        self.close()
        return True

    def refusal(self, status: int) -> str:
        """Why the new program does not start, once this one has ended."""
        said = ""
        if self._said is not None:
            os.set_blocking(self._said, False)  # a grandchild may still hold the other end
            with contextlib.suppress(OSError):
                said = os.read(self._said, _REASON_OCTETS).decode(errors="replace").strip()
        return said or f"the installed program ended with status {status} when it was tried"

    def kill(self) -> None:
        """Whoever waits for children buries it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self) -> None:
        self.line.close()
        if self._said is not None:
            os.close(self._said)
            self._said = None


def start_stand_by(
    arguments: Sequence[str], environment: Mapping[str, str], program: Sequence[str] = PROGRAM, *, rehearses: bool
) -> StandBy:
    """`arguments`: signalling's. Raises OSError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    said, say = os.pipe2(os.O_CLOEXEC) if rehearses else (None, None)
    version = str(inheritance.VERSION) if rehearses else "-"
    try:
        words = [*program, str(theirs.fileno()), version, *arguments]
        pid = spawn(words, (theirs.fileno(),), environment, stderr=say)
    except OSError:
        ours.close()
        if said is not None:
            os.close(said)
        raise
    finally:
        theirs.close()
        if say is not None:
            os.close(say)
    return StandBy(pid, ours, said)
