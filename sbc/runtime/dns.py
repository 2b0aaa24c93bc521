"""Looks up host names for the engine: A and AAAA by the system's resolver, in threads (RFC 3263 comes later).

The names of the policy are looked up again every minute; while a later look-up fails, what was found before stays.
The engine's loop never waits. Used by `app`.
"""

import socket
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Final

import structlog
import trio

from sbc.core.address import canonical_ip
from sbc.sip.commands import Resolve
from sbc.sip.events import Resolved

REPEAT_SECONDS: Final = 60.0
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
    """`answer` goes to the driver. A name that is being looked up is not looked up twice."""

    def __init__(
        self,
        answer: Callable[[Resolved], None],
        repeated: Iterable[str],
        drops: Counter[str],
        lookup: Lookup = system_lookup,
    ) -> None:
        self._answer = answer
        self._repeated = frozenset(repeated)
        self._drops = drops
        self._lookup = lookup
        self._under_way: set[str] = set()
        self._known: dict[str, tuple[str, ...]] = {}
        self._limiter = trio.CapacityLimiter(_THREADS)
        self._nursery: trio.Nursery | None = None

    @property
    def under_way(self) -> int:
        """Look-ups that a call may be waiting for; the minute's repetitions are not counted."""
        return sum(host not in self._known for host in self._under_way)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            while True:
                await trio.sleep(REPEAT_SECONDS)
                for host in self._repeated:
                    self._start(host)

    def resolve(self, command: Resolve) -> None:
        literal = canonical_ip(command.host)
        if literal is not None:
            self._answer(Resolved(command.host, (literal,)))
        else:
            self._start(command.host)

    def _start(self, host: str) -> None:
        if host in self._under_way or self._nursery is None:
            return
        self._under_way.add(host)
        self._nursery.start_soon(self._look_up, host)

    async def _look_up(self, host: str) -> None:
        try:
            addresses = await self._ask(host)
        finally:
            self._under_way.discard(host)
        if addresses:
            if host in self._repeated:
                self._known[host] = addresses
        else:
            addresses = self._known.get(host, ())
        self._answer(Resolved(host, addresses))

    async def _ask(self, host: str) -> tuple[str, ...]:
        reason = f"no answer within {_PATIENCE_SECONDS:g} s"
        with trio.move_on_after(_PATIENCE_SECONDS):
            try:
                return await trio.to_thread.run_sync(self._lookup, host, abandon_on_cancel=True, limiter=self._limiter)
            except (OSError, UnicodeError) as error:  # UnicodeError: no name at all, for IDNA
                reason = str(getattr(error, "strerror", None) or error)
        self._drops["dns_failed"] += 1
        log.warning("dns.failed", host=host, reason=reason)
        return ()
