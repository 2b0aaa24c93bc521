"""The policy in force: replaced by a reload, whole or not at all, and with the door of a test call laid over it.

What has to be opened for a policy, and who is told of it, the program says (`app`). When a file is read again, and what
needs a restart, `reload` says.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import trio
from msgspec import Struct

from sbc.core.errors import OperatorError
from sbc.policy.changes import Changes
from sbc.policy.engine import Policy
from sbc.policy.testcall import Door, with_door
from sbc.runtime.reload import Reloader
from sbc.runtime.sockets import OpenSocket

ReadPolicy = Callable[[], Policy]

NOT_FROM_FILES = "this program did not read its policy from files"


class Program(Protocol):
    """`open_for` opens what this policy has and the one in force has not; it raises OperatorError with every problem,
    and then nothing is open. One of the others follows, at once.
    """

    def open_for(self, policy: Policy) -> tuple[OpenSocket, ...]: ...
    def put_in_force(self, policy: Policy, opened: Sequence[OpenSocket]) -> None: ...
    def drop(self, opened: Sequence[OpenSocket]) -> None: ...


class PolicyInForce:
    """`read_again`: None where there is nothing to be read. It may block."""

    def __init__(self, policy: Policy, read_again: ReadPolicy | None, program: Program) -> None:
        self.policy = policy  # with what is laid over it
        self._program = program
        self._can_reload = read_again is not None
        self._reloader = Reloader(policy, read_again or _nothing_to_read, self._prepare)
        self._overlay: Callable[[Policy], Policy] | None = None  # laid over each policy that is put in force

    async def reload(self) -> list[str] | Changes:
        """Every problem, and then nothing has changed; or what has changed."""
        if not self._can_reload:
            return [NOT_FROM_FILES]
        return await self._reloader.reload()

    async def lay_door(self, door: Door | None) -> list[str]:
        """Every problem, and then no door is open that was not before."""
        self._overlay = None if door is None else partial(with_door, door=door)
        with trio.CancelScope(shield=True):  # who asked for it may go away meanwhile: not one half of it is done
            problems = await self._reloader.again()
        if problems:
            self._overlay = None
        return problems

    def _prepare(self, policy: Policy) -> "_Prepared":
        policy = policy if self._overlay is None else self._overlay(policy)
        return _Prepared(self, policy, self._program.open_for(policy))

    def take(self, policy: Policy, opened: Sequence[OpenSocket]) -> None:
        self.policy = policy
        self._program.put_in_force(policy, opened)

    def drop(self, opened: Sequence[OpenSocket]) -> None:
        self._program.drop(opened)


class _Prepared(Struct, frozen=True, eq=False):
    """A policy, and the sockets that were opened for it (`reload.Prepared`)."""

    place: PolicyInForce
    policy: Policy
    opened: tuple[OpenSocket, ...]

    def put_in_force(self) -> None:
        self.place.take(self.policy, self.opened)

    def drop(self) -> None:
        self.place.drop(self.opened)


def _nothing_to_read() -> Policy:
    raise OperatorError(NOT_FROM_FILES)
