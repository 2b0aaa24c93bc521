"""How soon a call's start is on the disk: from the answer, with which it is ordered, until the spool has synced it.

Calls come at an even rate, each with its attempt, start and record, as the engine orders them, through the writer and
the spool of `sbc run`, without `cdr: strict`. Beside them, in turns of one run, small writes to another file there,
each synced by itself: machines differ, and the ratio of both says what is ours. Used by `sbc bench journal`.
"""

import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Final

import trio
from msgspec import Struct

from sbc.b2bua.commands import Command, NoteCdr, WriteCdr
from sbc.cdr.entry import Entry, Started
from sbc.cdr.record import CallRecord
from sbc.cdr.spool import Spool
from sbc.cli.bench_engine import EngineBench
from sbc.core.errors import OperatorError
from sbc.runtime.cdr_sink import CdrSink, Item
from sbc.runtime.disk import DiskFolder
from sbc.runtime.memory import settle_memory
from sbc.sip.commands import SendMessage
from sbc.sip.message import Request, Response

AIM_SECONDS: Final = 0.05
_TURN_SECONDS: Final = 1.0
_RING_CALLS: Final = 20  # that come later than a call which is answered then
_TALK_CALLS: Final = 40
_WARM: Final = 100  # calls at once before any is counted
_SYNCS: Final = 30  # in a turn
_WARM_SYNCS: Final = 5
_SYNCED: Final = b"." * 1_024  # about a start
_PATIENCE_SECONDS: Final = 30.0


class StartCost(Struct, frozen=True):
    """Seconds: until a start is on the disk, and that a sync takes there. `ratio`: of the medians. `within`: the part
    of all starts that were there in time. `starts`: how many.
    """

    median: float
    most: float
    sync_median: float
    sync_most: float
    ratio: float
    within: float
    starts: int


def start_cost(rate: float, seconds: float = 5.0) -> StartCost:
    """`rate`: calls per second. Raises OSError, and OperatorError where the disk does not take them in time."""
    with tempfile.TemporaryDirectory(prefix="sbc-bench-") as name:
        meter = _Meter(Path(name))
        trio.run(meter.run, rate, round(seconds / _TURN_SECONDS))
    return cost_of(meter.waits, meter.syncs)


def cost_of(waits: Sequence[float], syncs: Sequence[float]) -> StartCost:
    """Of seconds that were measured, one at least of each sort."""
    median, sync = statistics.median(waits), statistics.median(syncs)
    within = sum(wait <= AIM_SECONDS for wait in waits) / len(waits)
    return StartCost(median, max(waits), sync, max(syncs), median / sync, within, len(waits))


def lines_of(cost: StartCost, rate: float) -> list[str]:
    """As `sbc bench journal` prints it."""
    where, aim = tempfile.gettempdir(), AIM_SECONDS * 1e3
    return [
        f"A call's start after its answer ({cost.starts} calls at {rate:.0f}/s, onto the disk of {where})",
        f"  {'safe, median':<28}{cost.median * 1e3:>9.1f} ms   {cost.ratio:.1f} times an fsync there",
        f"  {'safe, most':<28}{cost.most * 1e3:>9.1f} ms   {cost.within:.1%} within {aim:.0f} ms, the aim",
        f"  {'an fsync':<28}{cost.sync_median * 1e3:>9.1f} ms   most {cost.sync_most * 1e3:.1f} ms",
    ]


class _Meter:
    """Also what the writer writes to: the spool, with a look at the clock behind it."""

    def __init__(self, folder: Path) -> None:
        self.waits: list[float] = []
        self.syncs: list[float] = []
        self._spool = Spool(DiskFolder(folder / "spool"))
        self._beside = DiskFolder(folder / "beside")
        self._noted: dict[str, float] = {}  # by both threads: one adds, the other takes
        self._all_safe = threading.Event()
        self._sink = CdrSink(self, lambda _: None)
        self._calls = _Calls(self._take)

    async def run(self, rate: float, turns: int) -> None:
        self._spool.load()
        self._sink.start()
        for _ in range(_WARM):
            self._calls.step()
        settle_memory()  # as the program does it
        for _ in range(turns):
            begun = trio.current_time()
            for n in range(round(_TURN_SECONDS * rate)):
                await trio.sleep_until(begun + n / rate)
                self._calls.step()
            if not await trio.to_thread.run_sync(self._all_safe.wait, _PATIENCE_SECONDS):
                raise OperatorError(f"{tempfile.gettempdir()}: the disk does not take what the bench writes")
            await trio.to_thread.run_sync(self._sync_alone)
        del self.waits[: _WARM - _RING_CALLS], self.syncs[:_WARM_SYNCS]
        await self._sink.finish(_PATIENCE_SECONDS)
        self._spool.close()

    def _take(self, item: Item) -> None:
        if isinstance(item, WriteCdr):
            self._sink.write(item)
            return
        if isinstance(item.entry, Started):
            self._all_safe.clear()
            self._noted[item.entry.ref] = time.monotonic()
        self._sink.note(item)

    def _sync_alone(self) -> None:
        file = self._beside.grow("synced")
        for _ in range(_SYNCS):
            file.write(_SYNCED)
            begun = time.monotonic()
            file.sync()
            self.syncs.append(time.monotonic() - begun)
        file.close()

    # --- in the writer's thread ---------------------------------------------------------------------------------------

    def write(self, entries: Iterable[Entry]) -> None:
        batch = list(entries)
        self._spool.write(batch)
        now = time.monotonic()
        self.waits += [now - self._noted.pop(entry.ref) for entry in batch if isinstance(entry, Started)]
        if not self._noted:
            self._all_safe.set()

    def closing(self, alive: Collection[str]) -> list[CallRecord]:
        return self._spool.closing(alive)


class _Calls(EngineBench):
    """`take` is given what the engine wants to be stored, when it is ordered."""

    def __init__(self, take: Callable[[Item], None]) -> None:
        self._take = take
        self._n = 0
        self._ringing: list[tuple[int, Request]] = []
        self._talking: list[tuple[int, Response]] = []
        super().__init__()

    def step(self) -> None:
        """One call begins, an earlier one is answered, a still earlier one ends."""
        n = self._n
        self._n += 1
        self._ringing.append((n, self.ring(n)))
        if len(self._ringing) > _RING_CALLS:
            answered, invite = self._ringing.pop(0)
            self._talking.append((answered, self.answer(answered, invite)[0]))
        if len(self._talking) > _TALK_CALLS:
            self.hang_up(*self._talking.pop(0))
        self.pass_time(0.1)

    def _perform(self, commands: Sequence[Command]) -> list[SendMessage]:
        for command in commands:
            if isinstance(command, NoteCdr | WriteCdr):
                self._take(command)
        return super()._perform(commands)
