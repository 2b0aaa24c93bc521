"""What a recording (`sbc run --record`) costs a plain call: with its thread, in turns with an engine without it.

It prints and judges nothing. No sockets. Used by `sbc bench recording`.
"""

import tempfile
import time
from pathlib import Path
from typing import Final

import trio
from msgspec import Struct

from sbc.cli.bench_engine import EngineBench
from sbc.runtime.recording.writer import Recording

_WARM: Final = 50  # calls before anything is counted
_CALLS: Final = 300  # of each turn
_TURNS: Final = 4
_LAST_SECONDS: Final = 60.0  # of the engine's clock: what calls leave behind goes
_FLUSH_SECONDS: Final = 30.0


class RecordingCost(Struct, frozen=True):
    """CPU microseconds of this process per complete call, the best turn of each; octets on the disk per call."""

    plain: float
    recorded: float
    octets: int

    @property
    def ratio(self) -> float:
        return self.recorded / self.plain


def recording_cost() -> RecordingCost:
    """Raises OSError: there is no place for a recording."""
    plain, recorded, octets = [], [], 0
    with tempfile.TemporaryDirectory(prefix="sbc-bench-") as folder:
        for turn in range(_TURNS):
            plain.append(_cost(EngineBench(), None))
            recording = Recording(Path(folder) / str(turn))
            recording.open()
            recorded.append(_cost(EngineBench(recording.make_engine), recording))
            octets = sum(path.stat().st_size for path in (Path(folder) / str(turn)).iterdir())
    return RecordingCost(min(plain), min(recorded), octets // (_WARM + _CALLS))


def _cost(bench: EngineBench, recording: Recording | None) -> float:
    for n in range(_WARM):
        bench.complete(n)
    begun = time.process_time()
    for n in range(_WARM, _WARM + _CALLS):
        bench.complete(n)
        bench.pass_time(0.01)
    bench.pass_time(_LAST_SECONDS)
    if recording is not None:
        trio.run(recording.finish, _FLUSH_SECONDS)
    return (time.process_time() - begun) / _CALLS * 1e6


def run_recording_bench() -> int:
    cost = recording_cost()
    print(
        f"A recording of all that the engine does ({_CALLS} complete calls with it and without, in turns; no sockets)"
    )
    print(f"  {'a plain call':<28}{cost.plain:>9.0f} µs CPU")
    print(f"  {'recorded':<28}{cost.recorded:>9.0f} µs CPU   {cost.ratio:.2f} times")
    print(f"  {'on the disk':<28}{cost.octets:>9} octets a call")
    return 0
