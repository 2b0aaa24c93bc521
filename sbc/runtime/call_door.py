"""Opens the door for one test call, and closes it: when its tester says so, and by itself when its time is over.

What the door is, `policy.testcall` says; what the API says about it, `admin.testcall`. Whoever wires it (`app`) lays
the door over the policy in force, over every policy that a reload brings meanwhile, and ends calls that still use it.
"""

import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
import trio

from sbc.admin import testcall
from sbc.admin.exchange import Reply, problem
from sbc.admin.testcall import CloseDoor, OpenDoor
from sbc.core.address import Address
from sbc.core.ids import IdSource
from sbc.core.secret import Secret
from sbc.policy.engine import Policy
from sbc.policy.testcall import HOST, Door, plan_door
from sbc.runtime import clock

GRACE_SECONDS: Final = 75.0  # to ring for a minute, and for what is before and after

# Puts the policy in force with this door in it, or without any; every problem, and then nothing has changed.
LayOver = Callable[[Door | None], Awaitable[Sequence[str]]]

log = structlog.get_logger("testcall")


class CallDoor:
    """One door at a time. `policy`: the one in force, without a door."""

    def __init__(
        self, policy: Callable[[], Policy], lay_over: LayOver, end_calls: Callable[[], None], ids: IdSource
    ) -> None:
        self._policy = policy
        self._lay_over = lay_over
        self._end_calls = end_calls
        self._ids = ids
        self._door: Door | None = None
        self._one_at_a_time = trio.Lock()
        self._turn = trio.CancelScope()  # of the watch: left when the time of the door is another one
        self._closes_at = 0.0  # trio's clock

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Closes what is forgotten, until it is cancelled."""
        task_status.started()
        while True:
            with trio.CancelScope() as self._turn:
                await trio.sleep_until(self._closes_at) if self._door else await trio.sleep_forever()
                try:
                    await self._close("its time is over")
                except Exception:  # a test is no reason to end calls
                    log.exception("engine.failure", alarm=True, where="testcall")

    async def open(self, order: OpenDoor) -> Reply:
        async with self._one_at_a_time:
            if self._door is not None:
                return problem(409, "a test call is under way; there is one at a time")
            try:
                listen = Address(HOST, _free_port())
                door = plan_door(self._policy(), order.wanted, listen, Secret(self._ids.call_id()))
            except ValueError as error:
                return problem(409, str(error))
            problems = await self._lay_over(door)
            if problems:
                return problem(503, "; ".join(problems))
            self._door = door
            seconds = order.wanted.seconds + GRACE_SECONDS
            self._closes_at = trio.current_time() + seconds
            self._turn.cancel()
            log.info("testcall.opened", trunk=door.wanted.trunk, called=door.called, seconds=round(seconds))
            return testcall.opened(door, clock.wall_at_zero() + clock.boot_seconds() + seconds)

    async def close(self, _order: CloseDoor) -> Reply:
        return testcall.closed(was_open=await self._close("the tester is done"))

    async def _close(self, why: str) -> bool:
        async with self._one_at_a_time:
            door, self._door = self._door, None
            if door is None:
                return False
            self._end_calls()
            for text in await self._lay_over(None):
                log.error("testcall.not_closed", trunk=door.wanted.trunk, text=text)
            log.info("testcall.closed", trunk=door.wanted.trunk, why=why)
            return True


def _free_port() -> int:
    """One of HOST that the system says is free; ValueError where there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((HOST, 0))
        except OSError as error:
            raise ValueError(f"{HOST}: {error.strerror}") from error
        port: int = probe.getsockname()[1]
        return port
