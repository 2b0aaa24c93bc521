"""Trying the program that is installed now before this one makes way for it.

In a process of its own it imports everything, reads the policy and says whether it could take over. So a new version
that cannot start costs no more than a line in the log.

`cli.rehearsal` is what runs there. Used by `main`.
"""

import contextlib
import os
import signal
from collections.abc import Mapping, Sequence
from typing import Final

from sbc.runtime.supervisor import inheritance
from sbc.runtime.supervisor.starting import spawn

PROGRAM: Final = ("-m", "sbc.cli.rehearsal")  # this interpreter's arguments
SECONDS: Final = 30.0  # a policy of a thousand trunks is read in one
_REASON_OCTETS: Final = 1_000


class Rehearsal:
    """One try. Raises OSError where not even that can be started."""

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], now: float, program: Sequence[str] = PROGRAM
    ) -> None:
        self.kill_at = now + SECONDS
        self._said, said = os.pipe2(os.O_CLOEXEC)
        try:
            words = [*program, str(inheritance.VERSION), *arguments]
            self.pid = spawn(words, (), environment, stderr=said)
        except OSError:
            os.close(self._said)
            raise
        finally:
            os.close(said)

    def tick(self, now: float) -> None:
        if now >= self.kill_at:
            self.kill()

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def refusal(self, status: int) -> str:
        """Why the new program would not start, once this one has ended; empty: it would. To be asked once."""
        os.set_blocking(self._said, False)  # a grandchild may still hold the other end
        try:
            said = os.read(self._said, _REASON_OCTETS).decode(errors="replace").strip()
        except BlockingIOError:
            said = ""
        finally:
            os.close(self._said)
        if not status:
            return ""
        return said or f"the installed program ended with status {status} when it was tried"
