"""CPU per packet of a flood, by everything that can bring it from the PBX to the carrier: `sbc bench media`.

One sender at the PBX sends bursts of one 172-octet RTP packet of each stream, and the next when the burst has come
through. The relays take turns, many times over; figures are medians over the turns, ratios are medians of the ratios
within a turn, because what else the machine does comes and goes.

What is counted. `send` runs the packet's whole way through the kernel, up to where it is dropped or queued, on the
sender's CPU and, as the sender, in softirq context. So the kernel's part of a way is the sender's CPU time per packet
less that of packets which the SBC's device drops at once; what a relaying process adds is its own CPU clock, all its
threads, system calls, and what its sending brings about up to the carrier's device. Making the packet, the sender's
loop, system call and socket, and the first veth pair are thus in no figure.

What could be wrong, and is looked after:
- a kernel that takes interrupts out of processes' time (IRQ_TIME_ACCOUNTING) would hide the forwarding: said;
- packets that never arrive cost less: they are counted at the carrier's device, and what is missing is said;
- a kernel flow that is not in force passes packets to the worker: the worker's counters tell how many the kernel had;
- sender and relays have a CPU each, where there are two; garbage is not collected during a turn;
- statistics of equal numbers would be cheap: sequence number and timestamp go on in each stream, as a call's do;
- a turn's first bursts find what others left in the caches and do not count: a flood goes on and on;
- sources are learned, and kernel flows installed, before the first turn that counts;
- what the relays do by the clock (sweeps, timers) is theirs, and is in their figures.
"""

import contextlib
import gc
import itertools
import socket
import statistics
import struct
import time
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct

from sbc.cli.bench_lab import Namespace, UnavailableError, disconnect, laboratory, reason
from sbc.cli.bench_relays import CONTENDERS, KERNEL, Relay, far_ports, on_our_cpu
from sbc.cli.bench_worker import counts, cpu_ns

STREAMS: Final = 1_000
_TURNS: Final = 30
_TURNS_SECONDS: Final = 25.0  # no turn begins later
_BURSTS: Final = 8
_UNCOUNTED: Final = 2
_PATIENCE: Final = 0.5  # seconds for a burst to come through
_WARM_SECONDS: Final = 4.5  # rtpengine watches a stream for three before it takes its source for granted
_WARM_PAUSE: Final = 0.2
_VOICE: Final = bytes([0xD5]) * 160


class Turn(Struct, frozen=True):
    """`sender`, `relay`: CPU nanoseconds of all its packets. `arrived`: packets, at the carrier."""

    packets: int
    arrived: int
    sender: int
    relay: int


class Cost(Struct, frozen=True):
    """CPU nanoseconds per packet: in the kernel on its way in, or all the way; in the relaying process."""

    kernel: float
    process: float

    @property
    def whole(self) -> float:
        return self.kernel + self.process


def cost(turn: Turn, base: Turn) -> Cost:
    """`base`: a turn of packets that were dropped at the SBC's device."""
    sending = base.sender / base.packets
    return Cost(turn.sender / turn.packets - sending, turn.relay / turn.packets)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the ratios within a turn: what slows a turn slows both."""
    return statistics.median(one / other for one, other in zip(ours, theirs, strict=True))


class Flood:
    """The sender's side of one relay. `sockets`, one for each stream, serve every flood in turn: then what a socket
    costs by where it lies in memory is taken off with the rest.
    """

    def __init__(self, relay: Relay, sockets: Sequence[socket.socket]) -> None:
        self.relay = relay
        self._sockets = sockets
        self._sends = [one.send for one in sockets]
        self._sequence = itertools.count()

    def turn(self, bursts: int) -> Turn:
        """So many bursts, after some that do not count: the turns of others have emptied the caches."""
        self._connect()
        self._send(_UNCOUNTED)
        return self._send(bursts)

    def _send(self, bursts: int) -> Turn:
        middle, pid, streams = self.relay.middle, self.relay.pid, len(self._sends)
        arrived, relay = middle.arrived(), cpu_ns(pid)
        spent = 0
        for n in range(1, bursts + 1):
            begun = time.thread_time_ns()
            self._burst()
            spent += time.thread_time_ns() - begun
            if pid is not None:
                self._await(arrived + n * streams)
        return Turn(bursts * streams, middle.arrived() - arrived, spent, cpu_ns(pid) - relay)

    def _connect(self) -> None:
        for one, target in zip(self._sockets, self.relay.targets, strict=True):
            disconnect(one)  # so that the source address is chosen anew
            one.connect(target)

    def _burst(self) -> None:
        n = next(self._sequence)
        packet = struct.pack("!BBHII", 0x80, 8, n & 0xFFFF, n * 160 & 0xFFFF_FFFF, 0x5BC) + _VOICE
        for send in self._sends:
            send(packet)

    def _await(self, expected: int) -> None:
        end = time.monotonic() + _PATIENCE
        while self.relay.middle.arrived() < expected and time.monotonic() < end:
            time.sleep(0.0001)


def measure(floods: Sequence[Flood]) -> list[list[Turn]]:
    """Turns, and in each one of every flood, in the order of `floods`."""
    end = time.monotonic() + _TURNS_SECONDS
    turns: list[list[Turn]] = []
    with _no_garbage():
        while len(turns) < _TURNS and time.monotonic() < end:
            # Another one begins each time, so that nobody always comes after the same.
            first = len(turns) % len(floods)
            taken = {n: floods[n].turn(_BURSTS) for n in (*range(first, len(floods)), *range(first))}
            turns.append([taken[n] for n in range(len(floods))])
    return turns


def warm(floods: Sequence[Flood]) -> None:
    """Until sources are learned and flows installed."""
    end = time.monotonic() + _WARM_SECONDS
    while time.monotonic() < end:
        for flood in floods:
            flood.turn(1)
        time.sleep(_WARM_PAUSE)


@contextlib.contextmanager
def _no_garbage() -> Iterator[None]:
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


@contextlib.contextmanager
def sockets_of(pbx: Namespace, streams: int) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack, pbx.entered():
        sockets = [stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(streams)]
        for one, port in zip(sockets, far_ports(streams), strict=True):
            one.bind(("", port))
        yield sockets


class Table(Struct, frozen=True):
    """What a run has shown: the turns of everything that was flooded, in the order of `names`; the first is the base.

    `missing`: what could not be measured, and why. `in_kernel`: which share of the kernel engine's packets, as its
    worker counts them, were relayed by the kernel.
    """

    names: list[str]
    turns: list[list[Turn]]
    missing: dict[str, str]
    in_kernel: float

    def costs(self, name: str) -> list[Cost]:
        """One for each turn; empty where it was not measured."""
        if name not in self.names:
            return []
        at = self.names.index(name)
        return [cost(turn[at], turn[0]) for turn in self.turns]

    def ratio(self, ours: str, theirs: str) -> float | None:
        one, other = self.costs(ours), self.costs(theirs)
        return ratio([each.whole for each in one], [each.whole for each in other]) if one and other else None

    def sent(self, name: str) -> int:
        at = self.names.index(name)
        return sum(turn[at].packets for turn in self.turns)

    def lost(self, name: str) -> int:
        at = self.names.index(name)
        return self.sent(name) - sum(turn[at].arrived for turn in self.turns)


def run(streams: int = STREAMS) -> Table:
    """Build it, measure, and take it down. Raises UnavailableError where nothing of it can be."""
    missing: dict[str, str] = {}
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_our_cpu())
        pbx, _, middles = stack.enter_context(laboratory(len(CONTENDERS), is_sink=True))
        sockets = stack.enter_context(sockets_of(pbx, streams))
        floods: list[Flood] = []
        for (name, make), middle in zip(CONTENDERS.items(), middles, strict=True):
            try:
                relay = stack.enter_context(make(middle, streams))
                floods.append(Flood(relay, sockets))
            except (UnavailableError, OSError) as error:
                missing[name] = reason(error)
        warm(floods)
        before = _in_kernel(floods)
        turns = measure(floods)
        names = [flood.relay.name for flood in floods]
        sent = sum(turn[names.index(KERNEL)].packets for turn in turns) if KERNEL in names else 0
        in_kernel = (_in_kernel(floods) - before) / sent if sent else 0.0
        return Table(names, turns, missing, in_kernel)


def _in_kernel(floods: Sequence[Flood]) -> int:
    for flood in floods:
        if flood.relay.name == KERNEL and flood.relay.control is not None:
            sessions = counts(flood.relay.control)
            return sum(one.ingress.in_kernel for session in sessions for one in session.streams)
    return 0
