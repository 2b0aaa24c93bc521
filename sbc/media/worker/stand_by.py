"""A process that has imported all that a worker needs, and does nothing but fork one again when it dies.

A restart is a gap that callers hear, and starting an interpreter is most of it; a fork takes a millisecond. The process
that is started is this one; its child relays. A child that ends by itself ends its parent with the same status; one
that dies as soon as it lives, some times in a row, does so too, and whoever started us waits before the next try. A
child whose parent dies goes at once: another is about to listen where it listens. Used by `main`.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Final

STABLE_SECONDS: Final = 0.2  # who lived so long was not killed by what it was told at its start
QUICK_DEATHS: Final = 3  # in a row


class Parent:
    """`child`: its process id; 0 in the child, and while there is none. `prepare`: done once, beside the first."""

    __slots__ = ("_deaths", "_prepare", "child")

    def __init__(self, prepare: Callable[[], None]) -> None:
        self._prepare: Callable[[], None] | None = prepare
        self.child = 0
        self._deaths = 0

    def fork(self) -> int:
        """Returns in a child, again for each, and in the parent never: SystemExit is raised there in the end.

        A descriptor, non-blocking, that reads as closed when the parent is gone. Raises OSError where there can be no
        child.
        """
        while True:
            life, ours = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
            began = time.monotonic()
            self.child = os.fork()
            if not self.child:
                os.close(ours)
                return life
            os.close(life)
            if self._prepare is not None:
                self._prepare()
                self._prepare = None
            status = os.waitstatus_to_exitcode(os.waitpid(self.child, 0)[1])
            self.child = 0
            os.close(ours)
            self._deaths = 1 if time.monotonic() - began >= STABLE_SECONDS else self._deaths + 1
            if status >= 0 or self._deaths > QUICK_DEATHS:
                sys.exit(status if status >= 0 else 128 - status)

    def end(self, _number: int, _frame: object) -> None:
        """Handler of a signal that is for the child to follow; it may not have one of its own yet."""
        if not self.child:
            sys.exit(0)
        os.kill(self.child, signal.SIGTERM)
