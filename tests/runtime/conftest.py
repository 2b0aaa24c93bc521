"""An engine for the runtime's tests: does what it is told, remembers what it was given."""

import pytest

from sbc.b2bua.commands import Command
from sbc.b2bua.events import Event
from sbc.core.address import Flow
from sbc.sip.commands import SendMessage


class FakeEngine:
    """Echoes messages, unless `on_receive` says otherwise. `deadlines` are ticked off as they pass."""

    def __init__(self) -> None:
        self.received: list[tuple[bytes, Flow]] = []
        self.bad_frames: list[tuple[bytes, str]] = []
        self.events: list[Event] = []
        self.ticks: list[float] = []
        self.deadlines: list[float] = []
        self.on_receive = lambda data, flow: [SendMessage(flow, data)]
        self.on_bad_frame = lambda _data, _flow: []
        self.on_event = lambda _event: []

    def start(self, now: float) -> list[Command]:
        return []

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Command]:
        self.received.append((data, flow))
        return self.on_receive(data, flow)

    def bad_frame(self, data: bytes, flow: Flow, reason: str, now: float) -> list[Command]:
        self.bad_frames.append((data, reason))
        return self.on_bad_frame(data, flow)

    def handle(self, event: Event, now: float) -> list[Command]:
        self.events.append(event)
        return self.on_event(event)

    def tick(self, now: float) -> list[Command]:
        self.ticks.append(now)
        self.deadlines = [at for at in self.deadlines if at > now]
        return []

    def next_deadline(self) -> float | None:
        return min(self.deadlines, default=None)


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()
