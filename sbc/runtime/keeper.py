"""What holds sockets and media workers on behalf of signalling, so that they outlive it: the supervisor, or nobody.

`Keeper` is all that signalling asks of it. `LocalKeeper` (in `local_keeper`) opens and starts everything in this
process: for tests and programs that call `app.serve` themselves. `SupervisedKeeper` (in `supervised_keeper`) asks the
supervisor that started us. Calls are synchronous: an answer takes well below a millisecond, and nobody may wait for
more. Used by `app`, `sockets` and `media_pool`.
"""

import socket
from collections.abc import Callable
from typing import Protocol

import trio

from sbc.runtime.media_sockets import Pair
from sbc.runtime.sip_sockets import ListenKind


class Keeper(Protocol):
    """Every descriptor that is handed out is the caller's own to close; the keeper has another of the same socket."""

    @property
    def supervisor(self) -> int | None:
        """Its process id; None where there is none."""
        ...

    @property
    def is_restart(self) -> bool:
        """Signalling has died, and this is its next life: what is lost of the machine meanwhile must not keep it
        down.
        """
        ...

    def listen(self, kind: ListenKind, host: str, port: int, dscp: int) -> socket.socket:
        """A bound (tcp: listening), non-blocking SIP socket; after a death of ours, the one that we had before, with
        what waits in it. Raises OSError as bind(2) and its like do.
        """
        ...

    def close_listener(self, kind: ListenKind, host: str, port: int) -> None:
        """A reload has taken this SIP socket away, and ours is closed: the address is for others now."""
        ...

    def open_pairs(self, local: str, ports: tuple[int, int], pairs: int, dscp: int) -> list[Pair]:
        """Up to `pairs` new media port pairs within `ports` (first, last), at random places, muted; never one that was
        handed out before or that `held_pairs` tells. Fewer where ports or descriptors have run out (`why_short`).
        Raises OSError where `local` is no address of this machine.
        """
        ...

    def close_pairs(self, local: str, ports: tuple[int, ...]) -> None:
        """As `close_listener`, of media port pairs."""
        ...

    def why_short(self) -> str:
        """Why the latest `open_pairs` gave fewer than were asked for, for people."""
        ...

    def held_pairs(self) -> list[Pair]:
        """The pairs that an earlier life of signalling opened, in the state that it and the workers left them in. Those
        that a worker still relays for are told by its `Report`; the others may be used like new ones.

        To be asked before the first `open_pairs`; pairs that nobody has asked for when we are ready are closed.
        """
        ...

    def journal_memory(self, name: str) -> int | None:
        """Memory for the memory journal, a file without a disk: after a death of ours, or of us all, what we had before
        under this name, if there was one. The descriptor is the caller's own. None where nothing outlives us. Raises
        OSError.
        """
        ...

    def worker_address(self, number: int) -> str | bytes:
        """Where worker `number`, from 0, listens (AF_UNIX, SOCK_SEQPACKET); it is started where none runs.

        A connection is taken at once though the worker is starting: its first message, `Running`, says that it is up.
        When the connection ends, ask for the address and connect again: a worker that died is replaced by the keeper,
        by the rule of `supervisor.restart`, as long as `run` runs. Raises OSError.
        """
        ...

    def replace_worker(self, number: int) -> None:
        """Kill it, because it hangs; another one is started in its place. A worker that is not ours is left alone."""
        ...

    def has_pulse(self, pulse: Callable[[], str | None]) -> None:
        """Asked every second from now on: what we are doing, in a few words; None: the engine does not turn, and who
        watches over us may act.
        """
        ...

    def ready(self, admin: str) -> None:
        """Calls can come: who started us may be told. `admin`: the address of the admin API, for people."""
        ...

    def stopping(self) -> None:
        """No new calls are taken; our end is no accident from now on."""
        ...

    async def restart(self) -> str:
        """Let the program that is installed now go on with everything. Why not, for people; empty: it begins, and
        SIGUSR2 tells us to leave.
        """
        ...

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """To be run beside everything else, by `app` (a test of `MediaPool` does it itself), until cancelled. It looks
        after the workers. It returns when the supervisor is gone: nobody holds our sockets any more, and we must end.
        """
        ...

    def close(self) -> None:
        """After `run` has ended: end the workers that are children of this process, and wait for them."""
        ...
