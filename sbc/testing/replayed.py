"""Worlds whose engines are recorded and replayed: whatever a story did, the same events give the same commands.

Used by the fixture `world`, for a part of all flow tests or for all of them; so it is found out at once when an engine
takes something from outside that no recording holds, or goes by an order that is not the same in every run.
"""

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sbc
from sbc.b2bua.switch import Switch
from sbc.core.ids import IdSource
from sbc.policy.engine import Policy
from sbc.runtime.recording import frames
from sbc.runtime.recording.engine import RecordedSwitch, Taken
from sbc.runtime.recording.files import write_life
from sbc.runtime.recording.making import Making
from sbc.runtime.recording.replaying import Difference, Replay, tell
from sbc.sip.timing import DEFAULT_TIMING, Timing
from sbc.testing import lives, world
from sbc.testing.world import WALL_AT_ZERO


class Tape:
    """One engine's."""

    def __init__(self, timing: Timing) -> None:
        self.timing = timing
        self.taken: list[Taken] = []

    @property
    def is_timed_as_usual(self) -> bool:
        """Else nobody else can replay it: timers are no part of a recording."""
        return self.timing == DEFAULT_TIMING

    def frames(self) -> list[frames.Frame]:
        """Written and read, as from a file."""
        making = Making()
        made = [frame for taken in self.taken for frame in making.made_of(taken)]
        return [frames.decode(frames.encode(frame)) for frame in made]

    def write(self, folder: Path, life: int = 1, seed: str = "") -> None:
        """As `sbc run --record` would have left it."""
        head = frames.Life(
            frames.FORMAT, life, sbc.__version__, f"CPython {platform.python_version()}", seed, WALL_AT_ZERO
        )
        write_life(folder, life, iter([head, *self.frames()]))

    def difference(self) -> str:
        """What a replay does otherwise; empty: nothing."""
        replay = Replay(frames.Life(frames.FORMAT, 1, "", "", "", 0.0), timing=self.timing)
        for result in replay.run(self.frames()):
            if isinstance(result, Difference):
                told = tell(result)
                return "\n".join(
                    [
                        f"step {result.number} at {result.now:.3f} came out otherwise: {str(result.step)[:500]}",
                        result.why,
                        *(f"  expected {line}" for line in told.expected),
                        *(f"  actual   {line}" for line in told.actual),
                    ]
                )
        return ""


@contextmanager
def recorded_worlds() -> Iterator[list[Tape]]:
    """While it lasts, every engine of a world is recorded."""
    tapes: list[Tape] = []

    def make(policy: Policy, ids: IdSource, *, timing: Timing = DEFAULT_TIMING) -> Switch:
        tapes.append(Tape(timing))
        return RecordedSwitch(policy, ids, tapes[-1].taken.append, timing=timing)

    places = [module for module in (lives, world) if vars(module).get("Switch") is Switch]
    for module in places:
        _put(module, make)
    try:
        yield tapes
    finally:
        for module in places:
            _put(module, Switch)


def _put(module: Any, makes: Callable[..., Switch]) -> None:
    module.Switch = makes
