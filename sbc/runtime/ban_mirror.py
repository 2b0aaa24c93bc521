"""Tells the kernel whom we have banned, where the policy has `sbc.bans.nftables`: through a helper (`ban_helper`).

The engine's orders are noted in a dict and sent by a task of its own, in batches; nobody waits for the kernel. Where
there is no helper, or nft fails, that is an alarm, and it is tried again; the engine drops messages of banned sources
itself in any case. Each new connection begins with the whole list, so that a restart of either side leaves nothing
behind; it is said again every five minutes in which nothing changes, in case somebody has flushed the kernel's tables.

What is trusted is looked up once more before it is said: a mistake here would cut off a carrier. Used by `app`.
"""

import contextlib
import math
import os
import socket
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Final

import structlog
import trio

from sbc.core import limits
from sbc.core.commands import BlockAll, BlockSource
from sbc.policy.engine import Policy
from sbc.policy.trusted import TrustedSources
from sbc.runtime import ban_wire
from sbc.runtime.ban_wire import Banned, Change, Clear, Message, Replace
from sbc.runtime.supervisor.starting import spawn

SOCKET: Final = "/run/sbc/bans.sock"  # or $SBC_BANS_SOCKET; of sbc-bans.socket
PROGRAM: Final = ("-m", "sbc.runtime.ban_helper")
_ANSWER_SECONDS: Final = 10.0  # nft itself gets five
_GATHER_SECONDS: Final = 0.2
_ANEW_SECONDS: Final = 300.0  # the whole list again: somebody may have flushed the kernel's tables
_PAUSES_SECONDS: Final = (1.0, 2.0, 5.0, 10.0, 30.0)
_CAP_NET_ADMIN: Final = 12

log = structlog.get_logger("bans")


class BanMirror:
    """`perform` takes the engine's orders. `connect` gives a connected SEQPACKET socket, or raises OSError."""

    def __init__(
        self, policy: Policy, now: Callable[[], float], *, connect: Callable[[], socket.socket] | None = None
    ) -> None:
        self._now = now
        self._connect = connect or connect_helper
        self._until: dict[str, float] = {}  # all that the kernel is to know
        self._changed: dict[str, None] = {}  # of these it does not know yet
        self._wants_all = True
        self._is_failing = False
        self._was_on = False
        self._wake = trio.Event()
        self._set(policy)

    # --- what the engine and the policy say ---------------------------------------------------------------------------

    def perform(self, command: BlockSource | BlockAll) -> None:
        if isinstance(command, BlockAll):
            self._until = {source: self._now() + seconds for source, seconds in command.sources}
            self._changed.clear()
            self._wants_all = True
        else:
            self._until.pop(command.source, None)
            if command.seconds > 0:
                self._until[command.source] = self._now() + command.seconds
            self._changed[command.source] = None
        self._wake.set()

    def set_policy(self, policy: Policy) -> None:
        self._set(policy)
        self._wake.set()

    def _set(self, policy: Policy) -> None:
        self._policy = policy
        listeners = [one for interface in policy.interfaces.values() for one in interface.listeners]
        ports = tuple(sorted({one.address.port for one in listeners}))[: ban_wire.PORTS]
        self._is_on = policy.bans.nftables
        if getattr(self, "_ports", None) != ports:
            self._ports, self._wants_all = ports, True

    # --- the task -----------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Nothing that goes wrong here ends it."""
        failures = 0
        while True:
            if not self._is_on and not self._was_on:
                await self._sleep(math.inf)
                continue
            try:
                await self._serve()
                failures = 0
            except (OSError, ValueError) as error:
                self._say_failing(str(error) or type(error).__name__)
                await trio.sleep(_PAUSES_SECONDS[min(failures, len(_PAUSES_SECONDS) - 1)])
                failures += 1

    async def _serve(self) -> None:
        """One connection, as long as it is good and wanted. Raises OSError."""
        helper = self._connect()
        helper.setblocking(False)
        with contextlib.closing(helper):
            self._wants_all = self._was_on = True
            while self._is_on:
                for message in self._news():
                    await _ask(helper, message)
                self._say_well()
                await self._sleep(_ANEW_SECONDS)
                await trio.sleep(_GATHER_SECONDS)
            await _ask(helper, Clear())
            self._was_on = self._is_failing = False
            log.info("ban.mirror_ended")

    async def _sleep(self, seconds: float) -> None:
        """Until there is something to do; with nothing for so long, all is said again."""
        with trio.move_on_after(seconds) as slept:
            await self._wake.wait()
        self._wake = trio.Event()
        self._wants_all |= slept.cancelled_caught

    def _news(self) -> Iterator[Message]:
        """What the kernel does not know; it counts as known when the last of it has been said."""
        if self._wants_all:
            bans = self._bans(self._until)
            if not self._ports:
                return
            yield Replace(self._ports, tuple(bans[: limits.BANS_AT_ONCE]))
            for at in range(limits.BANS_AT_ONCE, len(bans), limits.BANS_AT_ONCE):
                yield Change(bans=tuple(bans[at : at + limits.BANS_AT_ONCE]))
            self._wants_all = False
            self._changed.clear()
        while self._changed:
            some = list(self._changed)[: limits.BANS_AT_ONCE]
            for source in some:
                del self._changed[source]
            bans = self._bans(source for source in some if source in self._until)
            known = {ban.source for ban in bans}
            yield Change(tuple([source for source in some if source not in known]), tuple(bans))

    def _bans(self, sources: Iterable[str]) -> list[Banned]:
        """Of what is not over, and is no peer's."""
        trusted, now = TrustedSources(self._policy), self._now()
        left = [(source, math.ceil(self._until[source] - now)) for source in sources]
        bans = [Banned(source, seconds) for source, seconds in left if seconds > 0 and not trusted.touches(source)]
        return bans[-limits.BANS_IN_KERNEL :]

    def _say_failing(self, reason: str) -> None:
        if not self._is_failing and self._is_on:
            self._is_failing = True
            log.error("ban.not_mirrored", alarm=True, reason=reason)

    def _say_well(self) -> None:
        if self._is_failing:
            self._is_failing = False
            log.info("ban.mirrored", bans=len(self._until))


def connect_helper() -> socket.socket:
    """Of systemd's socket, else a process of our own where we may change the kernel's tables. Raises OSError."""
    path = os.environ.get("SBC_BANS_SOCKET", SOCKET)
    helper = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    helper.setblocking(False)  # a helper that hangs has a full backlog some day, and connecting would wait for it
    try:
        helper.connect(path)
    except OSError as error:
        helper.close()
        if not _may_change_tables():
            raise OSError(error.errno, f"{path}: {os.strerror(error.errno or 0).lower()}") from error
        return _start_helper()
    return helper


def _start_helper() -> socket.socket:
    """It ends when our end of the socket is closed, also by our death."""
    with contextlib.suppress(ChildProcessError):
        for pid in _started:
            os.waitpid(pid, os.WNOHANG)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        try:
            pid = spawn([*PROGRAM, "--fd", str(theirs.fileno())], [theirs.fileno()], dict(os.environ))
        except OSError:
            ours.close()
            raise
    _started[:] = [pid]
    return ours


_started: list[int] = []  # the helper of ours, to be waited for when there is another


def _may_change_tables() -> bool:
    status = Path("/proc/self/status").read_text("ascii")
    effective = next((line.split()[1] for line in status.splitlines() if line.startswith("CapEff:")), "0")
    return bool(int(effective, 16) >> _CAP_NET_ADMIN & 1)


async def _ask(helper: socket.socket, message: Message) -> None:
    """Raises OSError where it was not done."""
    data = ban_wire.encode(message)
    with trio.move_on_after(_ANSWER_SECONDS) as patience:
        while True:
            try:
                helper.send(data)
                break
            except BlockingIOError:
                await trio.lowlevel.wait_writable(helper)
        while True:
            await trio.lowlevel.wait_readable(helper)
            try:
                answer = helper.recv(ban_wire.MESSAGE_OCTETS)
                break
            except BlockingIOError:
                continue
    if patience.cancelled_caught:
        raise OSError("the helper does not answer")
    if not answer:
        raise OSError("the helper has ended")
    fault = ban_wire.decode_answer(answer).fault
    if fault:
        raise OSError(fault)
