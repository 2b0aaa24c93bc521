"""The engine as a host of the network in memory: it performs commands as the runtime would, at once and without I/O.

Used by `world`, whose media worker, store, names and lists of what came out it fills.
"""

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sbc.b2bua.commands import (
    Alert,
    AskMedia,
    BlockAll,
    BlockSource,
    ClosePorts,
    Command,
    Log,
    OpenPorts,
    StoreState,
    WriteCdr,
)
from sbc.b2bua.events import CdrDurable, CdrFailed, Event, MediaReplied, PortsOpened
from sbc.cdr.record import CallRecord
from sbc.core.address import Flow
from sbc.media import wire
from sbc.sip.commands import CloseFlow, LookUp, SendMessage
from sbc.sip.events import FlowFailed

if TYPE_CHECKING:
    from sbc.testing.world import World


class SbcHost:
    name = "sbc"

    def __init__(self, world: "World") -> None:
        self._world = world

    def receive(self, data: bytes, flow: Flow, now: float) -> list[SendMessage | CloseFlow]:
        return self.perform(self._world.switch.receive(data, flow, now), now)

    def bad_frame(self, data: bytes, flow: Flow, reason: str, now: float) -> list[SendMessage | CloseFlow]:
        return self.perform(self._world.switch.bad_frame(data, flow, reason, now), now)

    def flow_failed(self, flow: Flow, reason: str, now: float) -> list[SendMessage | CloseFlow]:
        return self.perform(self._world.switch.handle(FlowFailed(flow, reason), now), now)

    def tick(self, now: float) -> list[SendMessage | CloseFlow]:
        return self.perform(self._world.switch.tick(now), now)

    def next_deadline(self) -> float | None:
        return self._world.switch.next_deadline()

    def perform(self, commands: Sequence[Command], now: float) -> list[SendMessage | CloseFlow]:
        """Every command of a batch first, then the answers to them one after another."""
        sends: list[SendMessage | CloseFlow] = []
        events: deque[Event] = deque()
        self._perform(commands, sends, events)
        while events:
            self._perform(self._world.switch.handle(events.popleft(), now), sends, events)
        return sends

    def _perform(self, commands: Sequence[Command], sends: list[SendMessage | CloseFlow], events: deque[Event]) -> None:
        world = self._world
        for command in commands:
            match command:
                case SendMessage(flow=flow) if not world.net.listens(flow.transport, flow.local):
                    events.append(FlowFailed(flow, f"no {flow.transport} listener on {flow.local}"))
                case SendMessage() | CloseFlow():
                    sends.append(command)
                case OpenPorts(local=local, pairs=pairs):
                    events.append(PortsOpened(local, world.media.open_ports(local, pairs)))
                case ClosePorts(local=local, ports=ports):
                    world.media.close_ports(local, ports)
                case AskMedia(request=request):
                    replies = world.media.ask(request)
                    events += [MediaReplied(reply) for reply in replies if not isinstance(reply, wire.Running)]
                case LookUp():
                    answer = world.names.answer(command)
                    if answer is not None:
                        events.append(answer)
                case WriteCdr(record=record):
                    events.append(self._write(record))
                case StoreState(key=key, value=value):
                    if value is None:
                        world.kept.pop(key, None)
                    else:
                        world.kept[key] = value
                case BlockSource(source=source, seconds=seconds):
                    world.blocked.pop(source, None)
                    if seconds:
                        world.blocked[source] = world.net.now + seconds
                case BlockAll(sources=sources):
                    world.blocked = {source: world.net.now + seconds for source, seconds in sources}
                case Alert():
                    world.alerts.append(command)
                case Log():
                    world.logs.append(command)

    def _write(self, record: CallRecord) -> Event:
        if self._world.disk_is_full:
            self._world.unwritten.append(record)
            return CdrFailed(record.ref, "disk full")
        self._world.cdr.append(record)
        return CdrDurable(record.ref)
