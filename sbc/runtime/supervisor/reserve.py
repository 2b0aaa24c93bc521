"""Who stands by to be the next signalling, when one is started for that, what a rehearsal comes to. Used by `main`."""

import contextlib
import math
import os
import select
import signal
from collections.abc import Mapping, Sequence
from typing import Final

from sbc.runtime.supervisor.stand_by import REHEARSAL_SECONDS, StandBy, start_stand_by

AFTER_SECONDS: Final = 3.0  # after signalling is ready, which has enough to do at first
AGAIN_SECONDS: Final = 60.0  # after one that has died; it is not missed before signalling dies, too


class Reserve:
    """`poll` is told of its lines; what comes there is for `hear`."""

    def __init__(
        self, poll: select.poll, arguments: Sequence[str], environment: Mapping[str, str], program: Sequence[str]
    ) -> None:
        self._poll = poll
        self._arguments = arguments
        self._environment = environment
        self._program = program
        self._next: StandBy | None = None  # to be signalling
        self._start_at = math.inf
        self._rehearsal: StandBy | None = None
        self._rehearsal_ends_at = math.inf

    # --- for the case that signalling dies ----------------------------------------------------------------------------

    def signalling_is_ready(self, now: float) -> None:
        if self._next is None:
            self._start_at = now + AFTER_SECONDS

    def become_signalling(self, words: Sequence[str], control: int) -> int | None:
        """The process id of signalling now; None: nobody stands by."""
        one = self._next
        if one is None or not one.is_ready:
            return None
        self._next = None
        return one.pid if one.become_signalling(words, control) else None

    def next_deadline(self) -> float:
        return min(self._start_at, self._rehearsal_ends_at)

    def tick(self, now: float) -> None:
        if now >= self._rehearsal_ends_at and self._rehearsal is not None:
            self._rehearsal_ends_at = math.inf
            os.kill(self._rehearsal.pid, signal.SIGKILL)  # its end is its refusal
        if now >= self._start_at:
            self._start_at = math.inf
            with contextlib.suppress(OSError):  # no memory for it now; signalling is started anew, then
                self._next = start_stand_by(self._arguments, self._environment, self._program, rehearses=False)
                self._watch(self._next)

    # --- for a restart ------------------------------------------------------------------------------------------------

    def rehearse(self, now: float) -> None:
        """Raises OSError."""
        self._rehearsal = start_stand_by(self._arguments, self._environment, self._program, rehearses=True)
        self._rehearsal_ends_at = now + REHEARSAL_SECONDS
        self._watch(self._rehearsal)

    def hear(self, fd: int) -> bool:
        """Whether that was the word that the installed program would start; it stands by from now on."""
        one = next((one for one in (self._next, self._rehearsal) if one is not None and one.line.fileno() == fd), None)
        if one is None:
            return False
        self._poll.unregister(fd)  # it has nothing else to say; its end is told by SIGCHLD
        one.hear()
        if one is not self._rehearsal or not one.is_ready:
            return False
        if self._next is not None:
            self._dismiss(self._next)
        self._next, self._rehearsal = self._rehearsal, None
        self._rehearsal_ends_at = self._start_at = math.inf
        return True

    def bury(self, pid: int, status: int, now: float) -> str | None:
        """One of us has ended. Why the installed program does not start, where it was the rehearsal."""
        if self._rehearsal is not None and self._rehearsal.pid == pid:
            refusal = self._rehearsal.refusal(status)
            self._forget(self._rehearsal)
            self._rehearsal, self._rehearsal_ends_at = None, math.inf
            return refusal
        if self._next is not None and self._next.pid == pid:
            self._forget(self._next)
            self._next, self._start_at = None, now + AGAIN_SECONDS
        return None

    def left(self) -> StandBy | None:
        """For the next supervisor: who has rehearsed."""
        return self._next if self._next is not None and self._next.is_ready else None

    def take(self, one: StandBy) -> None:
        self._next = one

    def end(self) -> None:
        for one in (self._next, self._rehearsal):
            if one is not None:
                self._dismiss(one)
        self._next = self._rehearsal = None
        self._start_at = self._rehearsal_ends_at = math.inf

    def _watch(self, one: StandBy) -> None:
        self._poll.register(one.line.fileno(), select.POLLIN)

    def _dismiss(self, one: StandBy) -> None:
        self._forget(one, kill=True)

    def _forget(self, one: StandBy, *, kill: bool = False) -> None:
        with contextlib.suppress(KeyError):  # it has said its word
            self._poll.unregister(one.line.fileno())
        if kill:
            one.kill()
        else:
            one.close()
