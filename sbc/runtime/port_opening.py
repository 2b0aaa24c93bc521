"""Opens media ports for the engine, and says what came of it: at the start every address on which no call could be
carried, later once that an address is lost, and that it is back.

How ports are opened is `media_pool`'s. Used by `app`, which performs OpenPorts and HoldPorts with it.
"""

from collections.abc import Callable

import structlog

from sbc.b2bua.commands import HoldPorts, OpenPorts
from sbc.b2bua.events import PortsLost, PortsOpened
from sbc.policy.model import MediaSettings
from sbc.runtime.media_pool import MediaPool
from sbc.runtime.sockets import explain

log = structlog.get_logger("media")


class PortOpening:
    """`media`: whose range is for good. `is_restart`: an address without ports is an alarm, as it is while we run."""

    def __init__(
        self,
        pool: MediaPool,
        media: MediaSettings,
        deliver: Callable[[PortsOpened | PortsLost], None],
        *,
        is_restart: bool = False,
    ) -> None:
        self._pool = pool
        self._media = media
        self._deliver = deliver
        self._is_started = is_restart
        self._problems: list[str] = []
        self._lost: set[str] = set()  # addresses that were taken from this machine

    def started(self) -> list[str]:
        """The engine has asked for its first ports: every problem."""
        self._is_started = True
        return self._problems

    def perform(self, command: OpenPorts) -> None:
        try:
            answer = self._pool.open_ports(command.local, command.pairs)
        except OSError as error:  # the address went away while we ran
            log.error("media.no_ports", alarm=True, local=command.local, reason=explain(error))  # noqa: TRY400
            answer = PortsOpened(command.local, ())
            self._lost.add(command.local)
        else:
            if command.local in self._lost:
                self._lost.remove(command.local)
                log.info("media.ports_opened", local=command.local, pairs=len(answer.ports))
        if not answer.ports and not self._is_started:
            ports = f"media.ports {self._media.first_port}-{self._media.last_port} on {command.local}"
            self._problems.append(f"{ports}: none can be opened: {self._pool.why_short()}")
        self._deliver(answer)

    def hold(self, command: HoldPorts) -> None:
        """Of calls that go on. Without their ports nobody hears anything in them."""
        lost, reason = self._pool.hold_ports(command.local, command.ports)
        if lost:
            log.error("media.ports_lost", alarm=True, local=command.local, pairs=len(lost), reason=reason)
            self._deliver(PortsLost(command.local, tuple(lost), reason))
