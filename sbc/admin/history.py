"""What the last day was like, minute by minute: calls, attempts, quality, call paths. In memory, lost at a restart.

It is given a `LoadView` every few seconds and keeps of each minute the most calls and paths, and what was counted
meanwhile; and it knows the rates of the last ten seconds. Sans-IO; `runtime.view` owns one.
"""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from msgspec import Struct

from sbc.b2bua.snapshot import LoadView
from sbc.cdr.format import time_text

STEP_SECONDS: Final = 60.0
KEPT_MINUTES: Final = 1_440
_RATE_SECONDS: Final = 10.0
_STEPPED_SECONDS: Final = 30.0  # between two looks: the clock was set


class Sample(Struct, frozen=True):
    """One minute. `at`: its beginning, wall-clock seconds. `calls`, `paths`: most at once. `mos`, `jitter_ms`: means of
    the streams that ended in it; None: none did. `lost_percent` None: no packet came.
    """

    at: float
    calls: int
    attempts: int
    answered: int
    mos: float | None
    lost_percent: float | None
    jitter_ms: float | None
    paths: tuple[tuple[str, int], ...]


class History:
    def __init__(self) -> None:
        self._samples: deque[Sample] = deque(maxlen=KEPT_MINUTES)
        self._minute: float | None = None  # that is being sampled
        self._before = LoadView()  # when it began
        self._last = LoadView()
        self._calls = 0
        self._paths: dict[str, int] = {}
        self._lately: deque[tuple[float, LoadView]] = deque()

    def take(self, load: LoadView, wall: float) -> None:
        """To be called every few seconds. A wall clock that is set back by a little stays in the minute; by more, and
        what is remembered of times that have not come yet is forgotten.
        """
        minute = wall - wall % STEP_SECONDS
        if self._minute is None:
            self._begin(minute, load)
        elif minute > self._minute:
            self._samples.append(self._sample(self._minute, load))
            self._begin(minute, load)
        elif minute < self._minute - STEP_SECONDS:
            while self._samples and self._samples[-1].at >= minute:
                self._samples.pop()
            self._begin(minute, load)
        self._last = load
        self._calls = max(self._calls, load.calls)
        for trunk, used in load.paths:
            self._paths[trunk] = max(self._paths.get(trunk, 0), used)
        if self._lately and not 0 <= wall - self._lately[-1][0] <= _STEPPED_SECONDS:
            self._lately.clear()
        self._lately.append((wall, load))
        while len(self._lately) > 1 and self._lately[1][0] <= wall - _RATE_SECONDS:
            self._lately.popleft()

    @property
    def rates(self) -> tuple[float, float]:
        """New calls and answers per second, over the last ten seconds."""
        if len(self._lately) < 2:
            return 0.0, 0.0
        (then, before), (now, after) = self._lately[0], self._lately[-1]
        span = max(now - then, 1.0)
        return (after.begun - before.begun) / span, (after.answered - before.answered) / span

    def samples(self, minutes: int) -> list[Sample]:
        """The last minutes, oldest first; the one that runs is the last."""
        running = [] if self._minute is None else [self._sample(self._minute, self._last)]
        whole = list(self._samples)[-(minutes - 1) :] if minutes > 1 else []
        return [*whole, *running]

    def _begin(self, minute: float, load: LoadView) -> None:
        self._minute, self._before, self._calls, self._paths = minute, load, 0, {}

    def _sample(self, minute: float, load: LoadView) -> Sample:
        before = self._before
        lost, came = load.lost - before.lost, load.packets - before.packets
        return Sample(
            minute,
            self._calls,
            load.begun - before.begun,
            load.answered - before.answered,
            _mean(before.mos, load.mos, 1),
            round(100 * lost / (lost + came), 3) if lost + came > 0 else None,
            _mean(before.jitter_seconds, load.jitter_seconds, 1000),
            tuple(self._paths.items()),
        )


def history_object(samples: Sequence[Sample]) -> dict[str, Any]:
    """As `GET /api/v1/history` shows it."""
    return {
        "step_seconds": int(STEP_SECONDS),
        "samples": [
            {
                "at": time_text(sample.at),
                "calls": sample.calls,
                "attempts": sample.attempts,
                "answered": sample.answered,
                "mos": sample.mos,
                "lost_percent": sample.lost_percent,
                "jitter_ms": sample.jitter_ms,
                "paths": dict(sample.paths),
            }
            for sample in samples
        ],
    }


def _mean(before: tuple[float, int], after: tuple[float, int], scale: int) -> float | None:
    count = after[1] - before[1]
    return round(scale * (after[0] - before[0]) / count, 3) if count > 0 else None
