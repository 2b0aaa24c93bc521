"""Which socket a message leaves by: UDP by the flow's local address, streams by connection. Used by `app`."""

from collections import Counter
from collections.abc import Callable, Sequence

import trio

from sbc.core.address import Address, Transport
from sbc.runtime.driver import Driver
from sbc.runtime.sockets import OpenSocket
from sbc.runtime.tcp import TcpTransport
from sbc.runtime.udp import UdpSocket
from sbc.sip.commands import CloseFlow, SendMessage
from sbc.sip.events import FlowFailed


class Transports:
    """Every SIP socket of this process, given open. `is_known(interface, host, port)` tells peers from strangers."""

    def __init__(
        self,
        opened: Sequence[OpenSocket],
        driver: Driver,
        is_known: Callable[[str, str, int], bool],
        drops: Counter[str],
        now: Callable[[], float],
    ) -> None:
        self._driver = driver
        self._udp: dict[Address, UdpSocket] = {
            entry.listener.address: UdpSocket(entry, driver.receive, driver.handle, drops)
            for entry in opened
            if entry.listener.transport is Transport.UDP
        }
        self._opened = tuple(opened)
        streams = [entry for entry in opened if entry.listener.transport is Transport.TCP]
        self._tcp = TcpTransport(streams, driver, is_known, drops, now)

    @property
    def connecting(self) -> int:
        """Connection attempts under way."""
        return self._tcp.connecting

    @property
    def sockets(self) -> int:
        return len(self._opened) + self._tcp.connections

    def send(self, command: SendMessage) -> None:
        flow = command.flow
        if flow.transport is Transport.UDP:
            udp = self._udp.get(flow.local)
            if udp is not None:
                udp.send(command.data, flow)
                return
        elif flow.transport is Transport.TCP:
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
            task_status.started()

    def listen(self) -> None:
        """What has arrived since the sockets were opened waits in them until now."""
        self._tcp.listen()
        for udp in self._udp.values():
            self._nursery.start_soon(udp.run)
