"""The engine as a host of the network in memory: it performs commands as the runtime would, at once and without I/O.

While its process is dead, what comes waits in its sockets (`lives`). Used by `world`, whose media worker, store, names
and lists of what came out it fills.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from sbc.b2bua.commands import (
    Alert,
    AskMedia,
    BlockAll,
    BlockSource,
    ClosePorts,
    Command,
    HoldPorts,
    Log,
    NoteCdr,
    OpenPorts,
    StoreState,
    WriteCdr,
)
from sbc.b2bua.events import CdrFailed, CdrStalled, CdrStarted, Event, MediaReplied, PortsOpened
from sbc.cdr.record import CallRecord
from sbc.core.address import Flow, Transport
from sbc.media import wire
from sbc.sip.commands import CloseFlow, LookUp, SendMessage
from sbc.sip.events import FlowFailed

if TYPE_CHECKING:
    from sbc.testing.world import World


class SbcHost:
    name = "sbc"

    def __init__(self, world: "World") -> None:
        self._world = world
        self.is_frozen = False  # SIGSTOP, or a machine that sleeps: nothing is read and no timer has its turn

    @property
    def _is_away(self) -> bool:
        return self.is_frozen or self._world.lives.is_dead

    def receive(self, data: bytes, flow: Flow, now: float) -> list[SendMessage | CloseFlow]:
        if self._is_away:
            return self._wait(flow, lambda: self.receive(data, flow, self._world.now))
        return self.perform(self._world.switch.receive(data, flow, now), now)

    def bad_frame(self, data: bytes, flow: Flow, reason: str, now: float) -> list[SendMessage | CloseFlow]:
        if self._is_away:
            return self._wait(flow, lambda: self.bad_frame(data, flow, reason, self._world.now))
        return self.perform(self._world.switch.bad_frame(data, flow, reason, now), now)

    def flow_failed(self, flow: Flow, reason: str, now: float) -> list[SendMessage | CloseFlow]:
        return self.handle(FlowFailed(flow, reason), now)

    def handle(self, event: Event, now: float) -> list[SendMessage | CloseFlow]:
        """Nobody hears what happens while nobody lives."""
        if self.is_frozen:
            self._world.lives.wait(
                Transport.TCP, lambda: self._world.net.perform(self, self.handle(event, self._world.now))
            )
            return []
        return [] if self._world.lives.is_dead else self.perform(self._world.switch.handle(event, now), now)

    def tick(self, now: float) -> list[SendMessage | CloseFlow]:
        if self._is_away:
            return []
        sends = [send for news in self._world.lives.durable(now) for send in self.handle(news, now)]
        return [*sends, *self.perform(self._world.switch.tick(now), now)]

    def next_deadline(self) -> float | None:
        if self._is_away:
            return None
        times = (self._world.switch.next_deadline(), self._world.lives.next_deadline())
        return min((at for at in times if at is not None), default=None)

    def perform(self, commands: Sequence[Command], now: float) -> list[SendMessage | CloseFlow]:
        """Every command of a batch first, then the answers to them one after another."""
        lives = self._world.lives
        sends: list[SendMessage | CloseFlow] = []
        events: deque[Event] = deque()
        self._perform(commands, sends, events)
        while events and not lives.is_dead:
            self._perform(self._world.switch.handle(events.popleft(), now), sends, events)
        # Of a process that died meanwhile the kernel has the datagrams; its connections are gone with what they held.
        return [one for one in sends if one.flow.transport is Transport.UDP] if lives.is_dead else sends

    def _wait(self, flow: Flow, happen: Callable[[], list[SendMessage | CloseFlow]]) -> list[SendMessage | CloseFlow]:
        self._world.lives.wait(flow.transport, lambda: self._world.net.perform(self, happen()))
        return []

    def _perform(self, commands: Sequence[Command], sends: list[SendMessage | CloseFlow], events: deque[Event]) -> None:
        world = self._world
        for command in commands:
            if world.lives.counts_down():
                return
            match command:
                case SendMessage(flow=flow) if not world.net.listens(flow.transport, flow.local):
                    events.append(FlowFailed(flow, f"no {flow.transport} listener on {flow.local}"))
                case SendMessage() | CloseFlow():
                    sends.append(command)
                case OpenPorts(local=local, pairs=pairs):
                    events.append(PortsOpened(local, world.media.open_ports(local, pairs)))
                case HoldPorts(local=local, ports=ports):
                    world.media.hold_ports(local, ports)
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
                    stored = self._write(record)
                    if stored is not None:
                        events.append(stored)
                case NoteCdr(entry=entry, tells=tells):
                    world.noted.append(entry)
                    if world.disk_is_full:
                        events.append(CdrStalled())
                        world.untold += [entry.ref] if tells else []
                    elif tells:
                        events.append(CdrStarted(entry.ref))
                case StoreState(key=key, value=value):
                    world.kept.put(key, value, world.now)
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

    def _write(self, record: CallRecord) -> Event | None:
        if self._world.disk_is_full:
            self._world.unwritten.append(record)
            return CdrFailed(record.ref, "disk full")
        return self._world.lives.store(record)
