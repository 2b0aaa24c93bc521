"""Looks up host names for the engine: A and AAAA by the system's resolver, in threads (RFC 3263 comes later).

The engine's loop never waits. Used by `app`.
"""

import socket
from collections import Counter
from collections.abc import Callable
from typing import Final

import structlog
import trio

from sbc.core.address import canonical_ip
from sbc.sip.commands import LookUp
from sbc.sip.events import LookedUp

_PATIENCE_SECONDS: Final = 5.0
_THREADS: Final = 8

Lookup = Callable[[str], tuple[str, ...]]

log = structlog.get_logger("dns")


def system_lookup(host: str) -> tuple[str, ...]:
    """Blocks. IP literals in the system's order (RFC 6724); raises OSError or UnicodeError when there are none."""
    infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    literals = (canonical_ip(str(info[4][0])) for info in infos)
    return tuple(dict.fromkeys(literal for literal in literals if literal is not None))


class Resolver:
    """`answer` goes to the driver. What is being looked up is not looked up twice."""

    def __init__(self, answer: Callable[[LookedUp], None], drops: Counter[str], lookup: Lookup = system_lookup) -> None:
        self._answer = answer
        self._drops = drops
        self._lookup = lookup
        self._under_way: set[LookUp] = set()
        self._limiter = trio.CapacityLimiter(_THREADS)
        self._nursery: trio.Nursery | None = None

    @property
    def under_way(self) -> int:
        return len(self._under_way)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def look_up(self, command: LookUp) -> None:
        if command in self._under_way or self._nursery is None:
            return
        self._under_way.add(command)
        self._nursery.start_soon(self._look_up, command)

    async def _look_up(self, command: LookUp) -> None:
        try:
            answer = await self._ask(command)
        finally:
            self._under_way.discard(command)
        self._answer(answer)

    async def _ask(self, asked: LookUp) -> LookedUp:
        reason = f"no answer within {_PATIENCE_SECONDS:g} s"
        with trio.move_on_after(_PATIENCE_SECONDS):
            try:
                found = await trio.to_thread.run_sync(
                    self._lookup, asked.name, abandon_on_cancel=True, limiter=self._limiter
                )
                of_family = tuple(address for address in found if (":" in address) == (asked.kind == "AAAA"))
                return LookedUp(asked.name, asked.kind, of_family)
            except (OSError, UnicodeError) as error:  # UnicodeError: no name at all, for IDNA
                reason = str(getattr(error, "strerror", None) or error)
        self._drops["dns_failed"] += 1
        log.warning("dns.failed", host=asked.name, reason=reason)
        return LookedUp(asked.name, asked.kind, failed=reason)
