"""The frames of one life run through an engine of this program; the first step that comes out otherwise is the answer.

It needs nothing but the frames: no clock, socket, file or name. What an engine draws is what it drew then; an engine
that asks for more, for less or for something else has gone another way, which is a difference like any other.
Used by `sbc replay`, by whoever turns a recording into something else, and by tests.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Literal

from msgspec import Struct

from sbc.b2bua.commands import Command
from sbc.b2bua.events import Event, PolicyChanged
from sbc.b2bua.switch import Switch
from sbc.core.ids import IdSource
from sbc.policy.engine import Policy
from sbc.runtime.recording import frames
from sbc.runtime.recording.frames import KEY, Frame, Keeps, Life, Step
from sbc.runtime.recording.policies import read_policy
from sbc.sip.timing import DEFAULT_TIMING, Timing

Makes = Callable[[Policy, IdSource], Switch]


class UnfitError(ValueError):
    """What the recording holds is nothing that this program can run."""


class AstrayError(BaseException):
    """The engine draws otherwise than it did. No barrier against bugs within a step may take it for one."""


class Difference(Struct, frozen=True):
    """`number`: of the step, from 1. `expected`, `actual`: outcomes as `frames.outcome_of` makes them; or `why` says
    what could not be compared.
    """

    number: int
    now: float
    step: Step
    expected: bytes
    actual: bytes
    keeps: Keeps
    why: str = ""


class Done(Struct, frozen=True):
    """One step that came out as it did before. `commands`: its own, where it ended well."""

    number: int
    step: Step
    commands: tuple[Command, ...]


class ReplayedIds(IdSource):
    """Draws what was drawn."""

    __slots__ = ("_drawn",)

    def __init__(self) -> None:
        super().__init__(_no_entropy)
        self._drawn: deque[str] = deque()

    def feed(self, drawn: Iterable[str]) -> None:
        self._drawn.extend(drawn)

    @property
    def left(self) -> int:
        return len(self._drawn)

    def _take(self, hex_digits: int) -> str:
        if not self._drawn:
            raise AstrayError("it drew more random digits than it did")
        drawn = self._drawn.popleft().removeprefix(KEY)
        if len(drawn) != hex_digits:
            raise AstrayError(f"it drew {hex_digits} random digits where it drew {len(drawn)}")
        return drawn


class Replay:
    """`run` yields what each step came to, and ends with the first difference. `switch`: as it is by then."""

    def __init__(self, life: Life, *, timing: Timing = DEFAULT_TIMING, makes: Makes | None = None) -> None:
        if life.format != frames.FORMAT:
            raise UnfitError(f"a recording of format {life.format}, and this program reads {frames.FORMAT}")
        self.life = life
        self.switch: Switch | None = None
        self.steps = 0
        self.begins_at: float | None = None  # `now` of the first step
        self.ended: str | None = None  # why nothing was kept any more, where the recording says so
        self._makes = makes or (lambda policy, ids: Switch(policy, ids, timing=timing))
        self._ids = ReplayedIds()
        self._policies: dict[int, Policy] = {}

    def run(self, rest: Iterable[Frame]) -> Iterator[Done | Difference]:
        """`rest`: the frames after the life's. Raises UnfitError for what does not belong there."""
        for frame in rest:
            match frame:
                case frames.PolicyRead(number, parts):
                    self._policies[number] = _policy(parts)
                case frames.Made(policy, drawn):
                    self._make(policy, drawn)
                case frames.Shown(fingerprint):
                    self.running.show_fingerprint(fingerprint)
                case frames.Ended(reason):
                    self.ended = reason
                case Life():
                    raise UnfitError("a second life begins within this one")
                case _:
                    result = self._step(frame)
                    yield result
                    if isinstance(result, Difference):
                        return

    @property
    def running(self) -> Switch:
        """Raises UnfitError before there is one."""
        if self.switch is None:
            raise UnfitError("its first steps are missing")
        return self.switch

    def _make(self, number: int, drawn: frames.Draws) -> None:
        self._ids.feed(drawn)
        try:
            self.switch = self._makes(self._policy(number), self._ids)
        except AstrayError as error:
            raise UnfitError(f"the engine of this version begins otherwise: {error}") from None
        if self._ids.left:
            raise UnfitError("the engine of this version begins otherwise: it drew fewer random digits than it did")

    def _policy(self, number: int) -> Policy:
        policy = self._policies.get(number)
        if policy is None:
            raise UnfitError(f"its policy {number} is missing")
        return policy

    def _step(self, step: Step) -> Done | Difference:
        self.steps += 1
        if self.begins_at is None and not isinstance(step, frames.Asked):
            self.begins_at = step.now
        self._ids.feed(step.drawn)
        came_out: object
        why = ""
        try:
            came_out = self._take(step)
        except AstrayError as error:
            came_out, why = None, str(error)
        except UnfitError:
            raise
        except Exception as error:  # noqa: BLE001 - it may have been so then; if not, it is the difference
            came_out = error
        if not why and self._ids.left:
            why = "it drew fewer random digits than it did"
        actual = frames.outcome_of(came_out, self.life.keeps)
        if why or actual != step.outcome:
            return Difference(self.steps, step.now, step, step.outcome, actual, self.life.keeps, why)
        return Done(self.steps, step, tuple(came_out) if isinstance(came_out, list) else ())

    def _take(self, step: Step) -> list[Command] | bool:
        switch = self.running
        match step:
            case frames.Received(now, data, flow):
                return switch.receive(data, flow, now)
            case frames.Ticked(now):
                return switch.tick(now)
            case frames.Handled(now):
                return switch.handle(_event(step), now)
            case frames.PolicyPut(now, number):
                return switch.handle(PolicyChanged(self._policy(number)), now)
            case frames.BadFrame(now, data, flow, reason):
                return switch.bad_frame(data, flow, reason, now)
            case frames.Started(now):
                return switch.start(now)
            case frames.Asked(_, transport, local):
                return switch.lets_go(transport, local)


def _event(step: frames.Handled) -> Event:
    try:
        return frames.event_of(step)
    except ValueError as error:
        raise UnfitError(str(error)) from error


def _policy(parts: bytes) -> Policy:
    try:
        return read_policy(parts)
    except ValueError as error:
        raise UnfitError(str(error)) from error


def _no_entropy(_octets: int) -> bytes:
    raise AstrayError("it draws where nothing was drawn")


# What a person is told of a difference.


class Told(Struct, frozen=True):
    """Lines of both sides; `same`: of so many commands before, both were alike."""

    same: int
    expected: tuple[str, ...]
    actual: tuple[str, ...]


_MOST_SHOWN: Final = 6
Side = Literal["expected", "actual"]


def tell(difference: Difference) -> Told:
    """The first commands that differ. Of digests nothing can be said but that."""
    if difference.keeps == "digest":
        return Told(0, (difference.expected.hex(),), (difference.actual.hex(),))
    expected, actual = (_lines(outcome) for outcome in (difference.expected, difference.actual))
    same = 0
    while same < min(len(expected), len(actual)) and expected[same] == actual[same]:
        same += 1
    most = same + _MOST_SHOWN
    return Told(same, tuple(expected[same:most]), tuple(actual[same:most]))


def _lines(outcome: bytes) -> list[str]:
    try:
        return [_line(command) for command in frames.commands_in(outcome)]
    except ValueError:
        return [outcome.hex()]


def _line(command: object) -> str:
    if isinstance(command, list) and len(command) == 2 and isinstance(command[1], dict):
        name, fields = command
        return f"{name} " + ", ".join(f"{key}={value!r}" for key, value in fields.items())
    return repr(command)
