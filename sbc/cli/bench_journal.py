"""What the call journal costs: CPU per complete call with it and without it, in turns of one run, and a call's size.

Calls ring, are answered and end a while after each other, at `RATE` calls/s: so many at once each 200 ms, as the disk's
writer gathers them. Counted is the engine's part (values are made of calls), the memory's (they are copied) and the
writer thread's (SQLite and fsync, its CPU alone). Without: the same engine, whose journal is told nothing. Then the
whole of it is compared with what such a call costs the running program, sockets and records included. The figures are
medians; a busy machine makes them all larger. How soon a call's start is on the disk is printed besides, by
`bench_start`. Used by `sbc bench journal`.
"""

import os
import statistics
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import trio
from msgspec import Struct

from sbc.b2bua import journal
from sbc.b2bua.call import Call
from sbc.b2bua.commands import Command
from sbc.b2bua.journal import CallJournal
from sbc.cli import bench_calls, bench_start
from sbc.cli.bench_engine import EngineBench
from sbc.core.commands import StoreState
from sbc.runtime.held_memory import HeldMemory
from sbc.runtime.memory import settle_memory
from sbc.runtime.state_store import StateStore
from sbc.runtime.state_writer import GATHER_SECONDS
from sbc.sip.commands import SendMessage
from sbc.sip.message import Request, Response

AIM: Final = 0.15
RATE: Final = 100.0  # calls/s
_TURN_SECONDS: Final = 0.2
_LOOK_SECONDS: Final = 0.01
_WRITER: Final = "state-writer"  # the thread's name
_WARM: Final = 100  # calls before anything is counted
_VIRTUAL_SECONDS: Final = 0.1  # of the engine's clock from call to call: what is kept for half a minute goes in time
_RING_CALLS: Final = 20  # that come later than a call which is answered then: a fifth of a second
_TALK_CALLS: Final = 60
_WHOLE_CALLS: Final = 800


class JournalCost(Struct, frozen=True):
    """CPU microseconds per complete call, medians of the turns. `ratio`: what is added, the median of the ratios within
    a turn. `sizes`: octets of a plain call's values, the median of each sort.
    """

    without: float
    engine: float  # with the journal
    memory: float
    writer: float
    ratio: float
    calls: int
    puts: float  # values that were written for a call, and deletions
    sizes: dict[str, int]


def journal_cost(seconds: float = 8.0) -> JournalCost:
    """Each half of it for so long. Raises OSError: there is no place for the journal."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sbc-bench-")))
        memory = HeldMemory(os.memfd_create("sbc-bench", os.MFD_CLOEXEC))
        stack.callback(memory.close)
        store = StateStore(folder, lambda _of: memory.journal())
        store.load()
        store.start()
        kept, bare = _Kept(store), _Half()
        bare.bench.silence()
        for _ in range(_WARM):
            kept.step()
            bare.step()
        settle_memory()  # as the program does it
        turns = [_turn(kept, bare, store) for _ in range(round(seconds / _TURN_SECONDS))]
        without, engine, memory_part, writer = (statistics.median(one[n] for one in turns) * 1e6 for n in range(4))
        cost = JournalCost(
            without,
            engine,
            memory_part,
            writer,
            statistics.median(sum(one[1:4]) / one[0] - 1 for one in turns),
            round(sum(one[4] for one in turns)),
            kept.puts / kept.calls,
            kept.sizes(),
        )
        trio.run(store.finish, 5.0)
        return cost


def _turn(kept: "_Kept", bare: "_Half", store: StateStore) -> tuple[float, ...]:
    """Seconds of a call: the engine without, the engine with, memory, writer; then how many calls it were."""
    writer = _writer_seconds()
    kept.turn()
    while store.lag()[0]:  # the thread disturbs its own half alone
        time.sleep(_LOOK_SECONDS)
    wrote = (_writer_seconds() - writer) / kept.calls
    bare.turn()
    return bare.bench.cpu / bare.calls, kept.bench.cpu / kept.calls, kept.seconds / kept.calls, wrote, kept.calls


class _Engine(EngineBench):
    """`keep` is given what the engine wants to be kept, when it is ordered."""

    def __init__(self, keep: Callable[[StoreState], None]) -> None:
        self._keep = keep
        super().__init__()

    def silence(self) -> None:
        self.switch._journal.__class__ = _Silent

    def _perform(self, commands: Sequence[Command]) -> list[SendMessage]:
        for command in commands:
            if isinstance(command, StoreState):
                self._keep(command)
        return super()._perform(commands)


class _Silent(CallJournal):
    """Is told nothing, and so writes nothing."""

    __slots__ = ()

    def touched(self, call: Call) -> None:
        pass

    def over(self, call: Call) -> None:
        pass


class _Half:
    """One engine with calls at `RATE`."""

    def __init__(self) -> None:
        self.bench = _Engine(self.keep)
        self.calls = 0
        self._n = 0
        self._ringing: list[tuple[int, Request]] = []
        self._talking: list[tuple[int, Response]] = []

    def keep(self, command: StoreState) -> None:
        pass

    def turn(self) -> None:
        """A fifth of a second, in real time."""
        self.bench.cpu, self.calls = 0.0, 0
        begun = time.monotonic()
        for n in range(round(_TURN_SECONDS / GATHER_SECONDS)):
            time.sleep(max(0.0, begun + n * GATHER_SECONDS - time.monotonic()))
            for _ in range(round(GATHER_SECONDS * RATE)):
                self.step()

    def step(self) -> None:
        """One call begins, an earlier one is answered, a still earlier one ends."""
        bench, n = self.bench, self._n
        self._n += 1
        self._ringing.append((n, bench.ring(n)))
        if len(self._ringing) > _RING_CALLS:
            answered, invite = self._ringing.pop(0)
            self._talking.append((answered, bench.answer(answered, invite)[0]))
        if len(self._talking) > _TALK_CALLS:
            bench.hang_up(*self._talking.pop(0))
            self.calls += 1
        bench.pass_time(_VIRTUAL_SECONDS)


class _Kept(_Half):
    """With a journal in memory and on the disk."""

    def __init__(self, store: StateStore) -> None:
        self._store = store
        self.seconds = 0.0
        self.puts = 0
        self._last: dict[str, tuple[str, int]] = {}
        self._sizes: dict[str, list[int]] = defaultdict(list)
        super().__init__()

    def turn(self) -> None:
        self.seconds, self.puts = 0.0, 0
        super().turn()

    def keep(self, command: StoreState) -> None:
        begun = time.thread_time()
        self._store.store(command)
        self.seconds += time.thread_time() - begun
        if command.key.startswith(journal.PREFIX):
            self.puts += 1
            self._note(command.key, command.value)

    def _note(self, key: str, value: bytes | None) -> None:
        """Of the values of one sort the last one counts: that is what is kept for long."""
        last = self._last.pop(key, None)
        if value is not None:
            self._last[key] = type(journal.decode(value)).__name__, len(value)
        if last is not None and self._last.get(key, ("",))[0] != last[0]:
            self._sizes[last[0]].append(last[1])

    def sizes(self) -> dict[str, int]:
        return {name: round(statistics.median(octets)) for name, octets in sorted(self._sizes.items())}


def _writer_seconds() -> float:
    """CPU of the thread that writes to the disk."""
    (ident,) = [thread.ident for thread in threading.enumerate() if thread.name == _WRITER]
    return 0.0 if ident is None else time.clock_gettime(time.pthread_getcpuclockid(ident))


def run_journal_bench() -> int:
    cost = journal_cost()
    print(
        f"The call journal ({cost.calls} complete calls at {RATE:.0f}/s each with it and without, in turns; no sockets)"
    )
    print(f"  {'engine without it':<28}{cost.without:>9.0f} µs CPU a call")
    print(f"  {'engine with it':<28}{cost.engine:>9.0f} µs CPU a call")
    print(f"  {'into memory':<28}{cost.memory:>9.0f} µs CPU a call   {cost.puts:.1f} values and deletions")
    print(f"  {'onto the disk (a thread)':<28}{cost.writer:>9.0f} µs CPU a call")
    print(f"  {'the journal':<28}{cost.ratio:>9.1%} of the engine")
    added = cost.ratio * cost.without
    whole = bench_calls.call_cost(calls=_WHOLE_CALLS, rate=RATE).sbc_ms * 1000
    print(f"The same call through `sbc run` and UDP sockets, with its record ({_WHOLE_CALLS} calls at {RATE:.0f}/s)")
    print(f"  {'with the journal':<28}{whole:>9.0f} µs CPU a call")
    print(f"  {'the journal':<28}{added / (whole - added):>9.1%} of a call without it   aim {AIM:.0%} at most")
    for name, octets in cost.sizes.items():
        print(f"  {name:<28}{octets:>9} octets")
    print("\n".join(bench_start.lines_of(bench_start.start_cost(RATE), RATE)))
    return 0
