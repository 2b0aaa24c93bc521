"""`sbc replay`: a recording run again, here and now; what came out otherwise; ladders; and what can be made of it.

Each life runs with the hash seed that it had: where that is another one than ours, in a process of its own. An engine
that goes by the order of a set would else differ for no reason that anybody wants to know. Nothing here opens a socket
or reads a file beside the recording.
"""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from msgspec import Struct

import sbc
from sbc.cli import UsageError
from sbc.cli.output import printable, printable_lines
from sbc.core.errors import OperatorError
from sbc.runtime.recording import frames
from sbc.runtime.recording.files import Torn, lives_in, read_life
from sbc.runtime.recording.frames import Life
from sbc.runtime.recording.replaying import Difference, Done, Replay, UnfitError, tell
from sbc.trace.ladder import draw

_SEED: Final = "PYTHONHASHSEED"
_LONGEST_LINE: Final = 2_000  # characters of one command that differs
_AFTER_SECONDS: Final = 33.0  # of a call: what still comes late belongs to it
_NAMES: Final = {
    frames.Started: "start",
    frames.Ticked: "timers",
    frames.BadFrame: "octets that are no message",
    frames.PolicyPut: "reload",
    frames.Asked: "a removed listener is not needed any more",
}


class Wish(Struct, frozen=True):
    """What the command line asks for; see `sbc replay --help`."""

    life: int | None = None
    begin: float | None = None
    end: float | None = None
    ref: str | None = None
    ladder: bool = False
    mask: Path | None = None
    as_test: Path | None = None


def replay_recording(folder: Path, wish: Wish) -> int:
    lives = lives_in(folder)
    if wish.life is not None and wish.life not in lives:
        raise OperatorError(f"{folder}: it has no life {wish.life}; there are {', '.join(map(str, lives))}")
    if wish.as_test is not None:
        if wish.ref is None:
            raise UsageError("--as-test needs --ref: a test is about one call")
        from sbc.cli.replay_as_test import write_test

        return write_test(lives, wish.ref, wish.life, wish.as_test)
    if wish.mask is not None:
        from sbc.cli.replay_mask import mask_recording

        return mask_recording(lives, wish.mask, wish.life)
    chosen = [wish.life] if wish.life is not None else list(lives)
    statuses = [_one_life(folder, n, lives[n], wish) for n in chosen]
    return max(statuses)


def _one_life(folder: Path, number: int, segments: Sequence[Path], wish: Wish) -> int:
    torn: list[Torn] = []
    rest = read_life(segments, torn)
    life = next(rest, None)
    if not isinstance(life, Life):
        print(f"life {number}: nothing of it is whole")
        return 1
    if life.seed and life.seed != os.environ.get(_SEED, "") and life.seed.isdigit():
        return _elsewhere(folder, number, life.seed, wish)
    return _Shown(life, wish).run(rest, torn)


def _elsewhere(folder: Path, number: int, seed: str, wish: Wish) -> int:
    words = [sys.executable, "-m", "sbc", "replay", str(folder), "--life", str(number)]
    for option, value in (("--from", wish.begin), ("--to", wish.end), ("--ref", wish.ref)):
        words += [] if value is None else [option, str(value)]
    words += ["--ladder"] * wish.ladder
    sys.stdout.flush()
    return subprocess.run(words, env={**os.environ, _SEED: seed}, check=False).returncode  # noqa: S603


class _Shown:
    """One life, as a person sees it."""

    def __init__(self, life: Life, wish: Wish) -> None:
        self._life = life
        self._wish = wish
        self._replay = Replay(life)
        self._last = 0.0
        self._over_at: float | None = None
        self._told: str | None = None  # the ladder of the call that is asked for, once it is over

    def run(self, rest: Iterator[frames.Frame], torn: list[Torn]) -> int:
        for line in self._head():
            print(printable(line))
        difference: Difference | None = None
        try:
            for result in self._replay.run(rest):
                if isinstance(result, Difference):
                    difference = result
                    break
                self._look()
                if self._is_enough(result):
                    break
                if self._wish.begin is not None and self._time(result) >= self._wish.begin:
                    print(printable_lines(self._line(result)), end="")
        except UnfitError as error:
            raise OperatorError(f"life {self._life.number}: {error}") from error
        for line in self._ladders():
            print(line)
        for line in self._verdict(difference, torn):
            print(printable(line[:_LONGEST_LINE]))
        return 0 if difference is None else 1

    def _head(self) -> Iterator[str]:
        life = self._life
        yield f"life {life.number}: recorded by sbc {life.program} on {life.python}" + (", masked" * life.masked)
        ours = f"{platform.python_implementation()} {platform.python_version()}"
        if (life.program, life.python) != (sbc.__version__, ours):
            yield f"  this is sbc {sbc.__version__} on {ours}: what differs may be what was changed since"
        if life.masked:
            yield "  masked: what the peers really said, and what was really answered, is not in it"
        if life.keeps == "digest":
            yield "  it holds digests of what was ordered: whether something differs can be told, and not what"

    def _is_enough(self, result: Done) -> bool:
        self._last = self._time(result)
        return self._wish.end is not None and self._last > self._wish.end

    def _look(self) -> None:
        """Of thousands of calls only the last are remembered at the end."""
        ref, trace = self._wish.ref, self._replay.running.trace
        if ref is None or self._told is not None or ref not in trace or trace.is_running(ref):
            return
        self._over_at = self._last if self._over_at is None else self._over_at
        if self._last > self._over_at + _AFTER_SECONDS:
            self._told = self._ladder(ref)

    def _time(self, result: Done | Difference) -> float:
        """Seconds of the life."""
        step = result.step
        if isinstance(step, frames.Asked):  # which has no time of its own
            return self._last
        return step.now - (self._replay.begins_at or 0.0)

    def _line(self, result: Done) -> str:
        step = result.step
        ordered = ", ".join(type(command).__name__ for command in result.commands) or "nothing"
        return f"{self._time(result):10.3f}  {result.number:>8}  {_shown(step)}: {ordered}\n"

    def _ladders(self) -> Iterator[str]:
        wish, switch = self._wish, self._replay.switch
        if switch is None or not (wish.ladder or wish.ref):
            return
        refs = switch.trace.refs() if wish.ref is None else (wish.ref,)
        for ref in refs:
            if ref in switch.trace:
                yield self._ladder(ref)
            else:
                yield self._told or printable(f"no call {ref} is in life {self._life.number}, as far as it was run")

    def _ladder(self, ref: str) -> str:
        trace = self._replay.running.trace
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 0
        head = f"call {printable(ref)}, " + ("running" if trace.is_running(ref) else "over")
        return f"{head}\n{printable_lines(draw(trace.entries(ref), peers=trace.peers(ref), width=width))}"

    def _verdict(self, difference: Difference | None, torn: list[Torn]) -> Iterator[str]:
        steps = self._replay.steps
        for where in torn:
            yield f"  {where.file}: not whole from octet {where.at} on; what was before is replayed"
        if self._replay.ended is not None:
            yield f"  the recording was ended: {self._replay.ended}"
        if difference is None:
            yield f"  {steps} steps in {self._last:.3f} s: the same commands"
            return
        yield f"  step {difference.number}, at {self._time(difference):.3f} s, came out otherwise"
        yield f"    {_shown(difference.step)}"
        if difference.why:
            yield f"    {difference.why}"
        told = tell(difference)
        if told.same:
            yield f"    the first {told.same} commands are the same"
        yield from (f"    expected  {line}" for line in told.expected or ("nothing more",))
        yield from (f"    actual    {line}" for line in told.actual or ("nothing more",))


def _shown(step: frames.Step) -> str:
    if isinstance(step, frames.Received):
        return f"received from {step.flow.remote}: {_first_line(step.data)}"
    return f"event {step.name}" if isinstance(step, frames.Handled) else _NAMES[type(step)]


def _first_line(data: bytes) -> str:
    return data.lstrip(b"\r\n").split(b"\r\n", 1)[0][:120].decode("utf-8", "replace")
