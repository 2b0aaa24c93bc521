"""Calls at the pace of calls: RTP both ways at 50 packets/s, what is lost and how long a packet takes.

One process sends for all ends, spread evenly over every 20 ms; another receives for all. They share a CPU; a relay that
is a process has the other. A packet carries the time of its sending; its arrival is the kernel's stamp at the receiving
device (SO_TIMESTAMPNS), so that the receiver's own slowness is not measured. Calls begin one after the other in the
first second. Latency is counted from each stream's third second on, when hand-overs are done; loss from its first
packet. Plain forwarding in the same run is what a packet needs without us.

As a program (`python -m sbc.cli.bench_talk FD …`) this is the receiver: when its standard input has ended and nothing
comes any more, it prints what it `Heard`. Used by `sbc bench media`.
"""

import contextlib
import itertools
import math
import select
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec
from msgspec import Struct

from sbc.cli.bench_lab import Namespace, UnavailableError, laboratory, reason
from sbc.cli.bench_relays import KERNEL, TALKERS, Relay, far_ports, on_our_cpu
from sbc.cli.bench_worker import counts, cpu_ns

_PACKETS_PER_SECOND: Final = 50
_STEPS: Final = 20  # in the time of a packet; a step is a millisecond
_STEP: Final = 1 / _PACKETS_PER_SECOND / _STEPS
_SETTLED: Final = 2 * _PACKETS_PER_SECOND  # the sequence number from which latency counts
_COMPARED_SECONDS: Final = 10.0  # enough for what the kernel engine is compared with
_HEADER: Final = struct.Struct("!BBHIIQ")  # RTP's, and the time of sending: CLOCK_REALTIME, ns
_VOICE: Final = bytes([0xD5]) * (172 - _HEADER.size)
_TIMESPEC: Final = struct.Struct("@qq")
_SO_TIMESTAMPNS: Final = 35
_BUCKET: Final = 100  # ns
_BUCKETS: Final = 1_000_000  # up to 100 ms; what takes longer counts as that
LONGEST_US: Final = _BUCKETS * _BUCKET / 1000
_QUIET: Final = 0.3  # seconds after the last packet
_PATIENCE: Final = 10.0  # seconds for what is still under way


class Heard(Struct, frozen=True):
    """`late`: packets that came after a later one of their stream, or again. `latencies`: (bucket, packets)."""

    packets: int
    late: int
    latencies: list[tuple[int, int]]

    def latency(self, share: float) -> float:
        """Microseconds that this share of packets stayed within; 0: there were none."""
        left = share * sum(packets for _, packets in self.latencies)
        for bucket, packets in self.latencies:
            left -= packets
            if left <= 0:
                return (bucket + 0.5) * _BUCKET / 1000
        return 0.0


class Talk(Struct, frozen=True):
    """`rate`: packets/s that were sent in fact, once all calls were there. `userland`: of each stream, packets that
    the kernel did not relay; empty where nobody says. `process`: CPU nanoseconds of the relaying process, of all.
    """

    name: str
    sent: int
    rate: float
    heard: Heard
    userland: list[int] = []
    process: int = 0


class Missing(Struct, frozen=True):
    """What could not be measured."""

    name: str
    why: str


def run(calls: int, seconds: float) -> Iterator[Talk | Missing]:
    """One after the other. Raises UnavailableError where nothing can be measured."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(on_our_cpu())
        pbx, carrier, middles = stack.enter_context(laboratory(len(TALKERS), is_sink=False))
        for (name, make), middle in zip(TALKERS.items(), middles, strict=True):
            span = seconds if name == KERNEL else min(seconds, _COMPARED_SECONDS)
            try:
                with make(middle, calls) as relay:
                    yield _talk(pbx, carrier, relay, span)
            except (UnavailableError, OSError) as error:
                yield Missing(name, reason(error))


def _talk(pbx: Namespace, carrier: Namespace, relay: Relay, seconds: float) -> Talk:
    with contextlib.ExitStack() as stack:
        callers = _ends(stack, pbx, relay.middle.pbx, relay.targets)
        callees = _ends(stack, carrier, relay.middle.carrier, relay.back)
        fds = [one.fileno() for one in (*callers, *callees)]
        words = [sys.executable, "-m", "sbc.cli.bench_talk", *map(str, fds)]
        receiver = stack.enter_context(
            subprocess.Popen(words, pass_fds=fds, stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # noqa: S603 - ourselves
        )
        stack.callback(receiver.kill)
        if receiver.stdout is None or not receiver.stdout.readline():
            raise UnavailableError("the receiver does not start")
        before = cpu_ns(relay.pid)
        sent, rate = _send(list(zip(callers, callees, strict=True)), seconds)
        said, _ = receiver.communicate()
        process = cpu_ns(relay.pid) - before
        heard = msgspec.msgpack.decode(said, type=Heard)
        return Talk(relay.name, sent, rate, heard, _userland(relay) if relay.name == KERNEL else [], process)


def _ends(
    stack: contextlib.ExitStack, space: Namespace, host: str, targets: Sequence[tuple[str, int]]
) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    with space.entered():
        for port, target in zip(far_ports(len(targets)), targets, strict=True):
            one = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            one.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
            one.bind((host, port))
            one.connect(target)
            sockets.append(one)
    return sockets


def _send(calls: Sequence[tuple[socket.socket, socket.socket]], seconds: float) -> tuple[int, float]:
    """Packets sent, and packets/s from when all calls were there."""
    begins = [n * _PACKETS_PER_SECOND // len(calls) for n in range(len(calls))]  # in which packet time
    packet = bytearray(_HEADER.size) + _VOICE
    begun = time.monotonic()
    sent = sent_before = 0
    full = begun
    for time_slot in range(round(seconds * _PACKETS_PER_SECOND)):
        if time_slot == _PACKETS_PER_SECOND:
            full, sent_before = time.monotonic(), sent
        for step in range(_STEPS):
            pause = begun + (time_slot * _STEPS + step) * _STEP - time.monotonic()
            if pause > 0:
                time.sleep(pause)
            for n in range(step, len(calls), _STEPS):
                sequence = time_slot - begins[n]
                if sequence < 0:
                    break
                for one in calls[n]:
                    _HEADER.pack_into(packet, 0, 0x80, 8, sequence, sequence * 160, 0x5BC, time.time_ns())
                    one.send(packet)
                sent += 2
    return sent, (sent - sent_before) / max(time.monotonic() - full, _STEP)


def _userland(relay: Relay) -> list[int]:
    if relay.control is None:
        return []
    ends = itertools.chain.from_iterable(
        (stream.ingress, stream.egress) for session in counts(relay.control) for stream in session.streams
    )
    return [end.received - end.in_kernel for end in ends]


def receive(fds: Iterable[int]) -> Heard:
    """Until standard input ends, and what was sent until then has come."""
    streams = {fd: socket.socket(fileno=fd) for fd in fds}
    expected = dict.fromkeys(streams, 0)
    packets = late = 0
    buckets = [0] * (_BUCKETS + 1)
    poller = select.epoll()
    for fd in (sys.stdin.fileno(), *streams):
        poller.register(fd, select.EPOLLIN)
    print(flush=True)  # we listen
    patience, end = -1.0, math.inf
    while (ready := poller.poll(patience, len(streams) + 1)) and time.monotonic() < end:
        for fd, _ in ready:
            one = streams.get(fd)
            if one is None:
                poller.unregister(fd)
                patience, end = _QUIET, time.monotonic() + _PATIENCE
                continue
            data, stamps, _, _ = one.recvmsg(256, 64)
            _, _, sequence, _, _, sent = _HEADER.unpack_from(data)
            packets += 1
            if sequence < expected[fd]:
                late += 1
                continue
            expected[fd] = sequence + 1
            if sequence >= _SETTLED:
                seconds, nanoseconds = _TIMESPEC.unpack_from(stamps[0][2])
                bucket = (seconds * 1_000_000_000 + nanoseconds - sent) // _BUCKET
                buckets[min(max(bucket, 0), _BUCKETS)] += 1
    return Heard(packets, late, [(at, n) for at, n in enumerate(buckets) if n])


if __name__ == "__main__":
    sys.stdout.buffer.write(msgspec.msgpack.encode(receive([int(argument) for argument in sys.argv[1:]])))
