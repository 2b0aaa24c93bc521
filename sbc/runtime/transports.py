"""Which socket a message leaves by: UDP by the flow's local address, streams by connection. Used by `app`.

A reload changes the listeners: `open` first, which may fail, then `change`. One that is removed goes on serving until
the engine lets go of it, and is closed then.
"""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Protocol

import structlog
import trio
from msgspec.structs import replace

from sbc.core import limits
from sbc.core.address import Address, Transport
from sbc.core.tables import Table
from sbc.policy.model import Interface, Listener
from sbc.policy.protection import TlsProfile
from sbc.runtime.driver import Driver
from sbc.runtime.keeper import Keeper
from sbc.runtime.sip_sockets import set_dscp
from sbc.runtime.sockets import OpenSocket, kind_of, open_listeners
from sbc.runtime.tcp import TcpTransport
from sbc.runtime.tls_gate import TlsGate
from sbc.runtime.udp import UdpSocket
from sbc.sip.commands import CloseFlow, SendMessage
from sbc.sip.events import FlowFailed

_LOOK_SECONDS: Final = 1.0
_SELDOM_SECONDS: Final = 10.0  # while there is nothing but peers that a reload has taken away, and their calls

log = structlog.get_logger("listeners")


class Neighbours(Protocol):
    """The engine, as far as sockets ask it."""

    def knows(self, interface: str, host: str, port: int, transport: Transport) -> bool: ...
    def lets_go(self, transport: Transport, local: Address) -> bool: ...
    @property
    def has_former_peers(self) -> bool: ...


class Transports:
    """Every SIP socket of this process, given open. `engine` tells peers from strangers, and what is needed no more.
    `gate`: the TLS handshakes; without one there is no TLS.
    """

    def __init__(
        self,
        opened: Sequence[OpenSocket],
        driver: Driver,
        engine: Neighbours,
        drops: Counter[str],
        now: Callable[[], float],
        keeper: Keeper,
        gate: TlsGate | None = None,
    ) -> None:
        self._driver = driver
        self._engine = engine
        self._drops = drops
        self._keeper = keeper
        self._open = {entry.listener: entry for entry in opened}
        self._removed: dict[Listener, None] = {}
        self._changed = trio.Event()
        udp = [self._udp_of(entry) for entry in opened if entry.listener.transport is Transport.UDP]
        self._udp: dict[Address, UdpSocket] = {one.local: one for one in udp}
        streams = [entry for entry in opened if entry.listener.transport is not Transport.UDP]
        self._tcp = TcpTransport(streams, driver, engine.knows, drops, now, gate)

    @property
    def connecting(self) -> int:
        """Connection attempts under way."""
        return self._tcp.connecting

    @property
    def sockets(self) -> int:
        return len(self._open) + self._tcp.connections

    def tables(self) -> tuple[Table, ...]:
        looks = [udp.look() for udp in self._udp.values()]
        fullest = max(looks, key=lambda look: look[0] / max(1, look[1]), default=(0, 0))
        backlog = max((udp.waiting for udp in self._udp.values()), default=0)
        return (
            *self._tcp.tables(),
            Table("udp_queue_octets", *fullest),
            Table("udp_backlog", backlog, limits.UDP_BACKLOG),
        )

    @property
    def removed(self) -> int:
        """Listeners that the policy has no more and that something still needs."""
        return len(self._removed)

    def send(self, command: SendMessage) -> None:
        flow = command.flow
        if flow.transport is Transport.UDP:
            udp = self._udp.get(flow.local)
            if udp is not None:
                udp.send(command.data, flow)
                return
        else:
            self._tcp.send(command.data, flow)
            return
        self._driver.handle(FlowFailed(flow, f"no {flow.transport} listener on {flow.local}"))

    def close(self, command: CloseFlow) -> None:
        self._tcp.close(command.flow)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Started when messages can be sent; receiving begins with `listen`."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            await nursery.start(self._tcp.run)
            nursery.start_soon(self._close_removed)
            task_status.started()

    def listen(self) -> None:
        """What has arrived since the sockets were opened waits in them until now."""
        self._tcp.listen()
        for udp in self._udp.values():
            self._nursery.start_soon(udp.run)

    def close_all(self) -> None:
        """After `run` has ended."""
        for entry in self._open.values():
            entry.socket.close()

    # --- what a reload changes ------------------------------------------------------------------------------------

    def open(self, interfaces: Iterable[Interface], media: Iterable[str]) -> tuple[OpenSocket, ...]:
        """The listeners of these interfaces that are not open. `media`: addresses that are in use. Raises OperatorError
        with all problems; then nothing stays open.
        """
        return open_listeners(
            interfaces, self._keeper.listen, but=self._open.keys(), but_media=frozenset(media), close=self.drop
        )

    def drop(self, opened: Sequence[OpenSocket]) -> None:
        """They are not needed after all."""
        for entry in opened:
            entry.socket.close()
            self._release(entry.listener)

    def change(self, interfaces: Iterable[Interface], opened: Sequence[OpenSocket]) -> None:
        """These interfaces from now on; `opened` is what `open` gave for them."""
        for entry in opened:
            self._add(entry)
        wanted: set[Listener] = set()
        for interface in interfaces:
            for listener in interface.listeners:
                wanted.add(listener)
                self._keep(interface, self._open[listener])
        for listener in self._open:
            if listener not in wanted and listener not in self._removed:
                self._removed[listener] = None
                log.info("listener.removed", listener=_text(listener))
        self._changed.set()

    def judge_again(self, before: Mapping[str, TlsProfile]) -> None:
        """After `change`: the rules of TLS may be others. `before`: the profiles until now."""
        self._tcp.judge_again(before)

    def _udp_of(self, entry: OpenSocket) -> UdpSocket:
        return UdpSocket(entry, self._driver.receive, self._driver.handle, self._drops, self._driver.queued)

    def _add(self, entry: OpenSocket) -> None:
        self._open[entry.listener] = entry
        if entry.listener.transport is Transport.UDP:
            udp = self._udp[entry.listener.address] = self._udp_of(entry)
            self._nursery.start_soon(udp.run)
        else:
            self._tcp.add(entry)
        log.info("listener.added", listener=_text(entry.listener), interface=entry.interface)

    def _keep(self, interface: Interface, entry: OpenSocket) -> None:
        """One that is open; also one that was removed and is still needed by what began by it."""
        self._removed.pop(entry.listener, None)
        changed = replace(entry, interface=interface.name, dscp=interface.dscp_sip)
        if changed.dscp != entry.dscp:
            set_dscp(entry.socket, changed.dscp)
        if (changed.interface, changed.dscp) == (entry.interface, entry.dscp):
            return
        self._open[entry.listener] = changed
        if entry.listener.transport is not Transport.UDP:
            self._tcp.change(changed)
        elif changed.interface != entry.interface:
            self._udp[entry.listener.address].reopen(changed)

    async def _close_removed(self) -> None:
        """Asks, while there is something to ask for: of thousands of transactions none tells when it is the last."""
        pause = math.inf
        while True:
            with trio.move_on_after(pause):
                await self._changed.wait()
            self._changed = trio.Event()
            try:
                pause = self._close_what_is_over()
            except Exception:  # a socket too many is no reason to end calls
                log.exception("engine.failure", alarm=True, where="listeners")
                pause = _SELDOM_SECONDS

    def _close_what_is_over(self) -> float:
        """Seconds until there may be more."""
        for listener in list(self._removed):
            if self._engine.lets_go(listener.transport, listener.address):
                self._close(listener)
        strangers = self._tcp.close_strangers()
        seldom = _SELDOM_SECONDS if self._engine.has_former_peers else math.inf
        return _LOOK_SECONDS if self._removed or strangers else seldom

    def _close(self, listener: Listener) -> None:
        del self._removed[listener], self._open[listener]
        if listener.transport is Transport.UDP:
            self._udp.pop(listener.address).close()
        else:
            self._tcp.remove(listener.address)
        self._release(listener)
        log.info("listener.closed", listener=_text(listener))

    def _release(self, listener: Listener) -> None:
        self._keeper.close_listener(kind_of(listener), listener.address.host, listener.address.port)


def _text(listener: Listener) -> str:
    return f"{listener.transport}:{listener.address}"
