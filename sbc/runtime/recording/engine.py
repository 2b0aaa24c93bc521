"""The switch that tells everything that moves it, and what came of it, to whoever keeps that.

It does what `Switch` does. A step is told when it is over, with its arguments, its time, what it drew and the commands:
values that nobody changes, so that they can be written later and elsewhere. Whatever else the runtime asks of a switch
(`knows`, `snapshot`, `trace`) changes nothing that it orders, and is not told; a test holds that.
Used by `app` for `sbc run --record`, and by tests.
"""

from collections.abc import Callable
from typing import Any, Final, Literal

from sbc.b2bua.commands import Command
from sbc.b2bua.events import Event
from sbc.b2bua.securing import Fingerprint
from sbc.b2bua.switch import Switch
from sbc.core.address import Address, Flow, Transport
from sbc.core.ids import IdSource
from sbc.policy.engine import Policy
from sbc.runtime.recording.frames import KEY
from sbc.sip.timing import DEFAULT_TIMING, Timing

Kind = Literal["made", "shown", "start", "receive", "bad_frame", "handle", "tick", "lets_go"]
Taken = tuple[Kind, tuple[Any, ...], float, tuple[str, ...], object]
"""What it was, with what, when, what it drew, and what came out: commands, an exception, or an answer."""

Tell = Callable[[Taken], None]
_NOTHING: Final = ()


class ToldIds(IdSource):
    """Draws from another source, and remembers what."""

    __slots__ = ("_inner", "drawn")

    def __init__(self, inner: IdSource) -> None:
        super().__init__(_no_entropy)
        self._inner = inner
        self.drawn: list[str] = []

    def _take(self, hex_digits: int) -> str:
        drawn = self._inner._take(hex_digits)  # the one door that all its draws go through
        self.drawn.append(drawn)
        return drawn

    def key(self, octets: int) -> bytes:
        key = super().key(octets)
        self.drawn[-1] = KEY + self.drawn[-1]
        return key

    def take_drawn(self) -> tuple[str, ...]:
        if not self.drawn:
            return _NOTHING
        drawn, self.drawn = tuple(self.drawn), []
        return drawn


class RecordedSwitch(Switch):
    def __init__(self, policy: Policy, ids: IdSource, tell: Tell, *, timing: Timing = DEFAULT_TIMING) -> None:
        self._told_ids = told = ToldIds(ids)
        self._tell = tell
        self._is_in_step = False  # a step may take another one
        super().__init__(policy, told, timing=timing)
        tell(("made", (policy,), 0.0, told.take_drawn(), None))

    def show_fingerprint(self, fingerprint: Fingerprint) -> None:
        super().show_fingerprint(fingerprint)
        self._tell(("shown", (fingerprint,), 0.0, _NOTHING, None))

    def start(self, now: float) -> list[Command]:
        return self._told("start", super().start, (), now)

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Command]:
        return self._told("receive", super().receive, (data, flow), now)

    def bad_frame(self, data: bytes, flow: Flow, reason: str, now: float) -> list[Command]:
        return self._told("bad_frame", super().bad_frame, (data, flow, reason), now)

    def handle(self, event: Event, now: float) -> list[Command]:
        return self._told("handle", super().handle, (event,), now)

    def tick(self, now: float) -> list[Command]:
        return self._told("tick", super().tick, (), now)

    def lets_go(self, transport: Transport, local: Address) -> bool:
        lets = super().lets_go(transport, local)
        if lets:  # else nothing has changed, and who asks asks often
            self._tell(("lets_go", (transport, local), 0.0, self._told_ids.take_drawn(), lets))
        return lets

    def _told(self, kind: Kind, step: Callable[..., list[Command]], args: tuple[Any, ...], now: float) -> list[Command]:
        if self._is_in_step:
            return step(*args, now)
        self._is_in_step = True
        try:
            commands = step(*args, now)
        except Exception as error:
            self._tell((kind, args, now, self._told_ids.take_drawn(), error))
            raise
        finally:
            self._is_in_step = False
        self._tell((kind, args, now, self._told_ids.take_drawn(), commands))
        return commands


def _no_entropy(_octets: int) -> bytes:
    raise AssertionError("drawn from the inner source")
