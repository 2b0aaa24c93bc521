"""`sbc replay`: a recording run again, here and now; what came out otherwise; ladders; and what can be made of it.

Each life runs with the hash seed that it had: where that is another one than ours, in a process of its own. An engine
that goes by the order of a set would else differ for no reason that anybody wants to know. Nothing here opens a socket
or reads a file beside the recording.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from enum import IntFlag
from pathlib import Path
from typing import Final

from msgspec import Struct

import sbc
from sbc.cli import UsageError, end_with, guarded
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
    return _lives(folder, lives if wish.life is None else {wish.life: lives[wish.life]}, wish)


class _End(IntFlag):
    """Of one life. Also the exit status of the process that ran it, where that was another one."""

    FAILED = 1  # something came out otherwise, or an error was told
    LACKS_CALL = 64  # the one that is asked for; no status of `sbc` itself


def _lives(folder: Path, lives: Mapping[int, Sequence[Path]], wish: Wish) -> int:
    """All of them, whatever is wrong with one. Raises what is wrong in the end."""
    ends: list[_End] = []
    errors: list[OperatorError] = []
    for number, segments in lives.items():
        try:
            ends.append(_one_life(folder, number, segments, wish))
        except OperatorError as error:
            errors.append(error)
    # A call is in one life, or in a few: it is missed where none has it.
    if wish.ref is not None and ends and all(_End.LACKS_CALL in end for end in ends):
        where = "the recording" if wish.life is None else f"life {wish.life}"
        errors.append(OperatorError(f"{folder}: no call {wish.ref} is in {where}, as far as it was run"))
    if errors:
        raise ExceptionGroup("lives", errors)
    return int(any(_End.FAILED in end for end in ends))


def _one_life(folder: Path, number: int, segments: Sequence[Path], wish: Wish) -> _End:
    torn: list[Torn] = []
    rest = read_life(segments, torn)
    life = next(rest, None)
    if not isinstance(life, Life):
        raise _nothing_whole(number, torn)
    if life.seed and life.seed != os.environ.get(_SEED, "") and life.seed.isdigit():
        return _elsewhere(folder, number, life.seed, wish)
    return _Shown(life, wish).run(rest, torn)


def _nothing_whole(number: int, torn: Sequence[Torn]) -> OperatorError:
    """Of a life that was cut off before its first block was written, or damaged there."""
    return OperatorError("\n".join([f"life {number}: nothing of it can be read", *(where.words for where in torn)]))


def _elsewhere(folder: Path, number: int, seed: str, wish: Wish) -> _End:
    words = [sys.executable, "-m", "sbc.cli.replay", str(folder), str(number)]
    words.append(json.dumps([wish.begin, wish.end, wish.ref, wish.ladder]))
    sys.stdout.flush()
    ended = subprocess.run(words, env={**os.environ, _SEED: seed}, check=False).returncode  # noqa: S603
    return _End(ended) if ended in (0, 1, 64, 65) else _End.FAILED


def main() -> None:
    """`python -m sbc.cli.replay DIR LIFE WISH`: one life, with the hash seed that it had. Nobody types it."""
    folder, number = Path(sys.argv[1]), int(sys.argv[2])
    begin, end, ref, ladder = json.loads(sys.argv[3])
    wish = Wish(number, begin, end, ref, ladder)
    end_with(lambda: guarded(lambda: _one_life(folder, number, lives_in(folder)[number], wish), debug=False))


class _Shown:
    """One life, as a person sees it."""

    def __init__(self, life: Life, wish: Wish) -> None:
        self._life = life
        self._wish = wish
        self._replay = Replay(life)
        self._last = 0.0
        self._over_at: float | None = None
        self._told: str | None = None  # the ladder of the call that is asked for, once it is over
        self._is_told = False  # nothing more will come to it

    def run(self, rest: Iterator[frames.Frame], torn: list[Torn]) -> _End:
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
        return self._end(difference)

    def _end(self, difference: Difference | None) -> _End:
        end = _End(0) if difference is None else _End.FAILED
        return end if self._wish.ref is None or self._has_call(self._wish.ref) else end | _End.LACKS_CALL

    def _has_call(self, ref: str) -> bool:
        switch = self._replay.switch
        return switch is not None and (self._told is not None or ref in switch.trace)

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
        """Of thousands of calls only the last are remembered at the end, and on a busy machine not for long."""
        ref, trace = self._wish.ref, self._replay.running.trace
        if ref is None or self._is_told or ref not in trace or trace.is_running(ref):
            return
        self._over_at = self._last if self._over_at is None else self._over_at
        self._is_told = self._last > self._over_at + _AFTER_SECONDS
        if self._told is None or self._is_told:
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
            yield f"  {where.words}; what was before is replayed"
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


if __name__ == "__main__":
    main()
