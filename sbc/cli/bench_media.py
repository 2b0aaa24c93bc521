"""What the media worker spends on a packet over loopback, against a bare receive-and-send loop in the same run. Used by
`sbc bench`, which needs no rights for it; `bench_flood` measures more, between namespaces.

Both run as processes of their own on the same kind of sockets, take turns under the same load, and are judged by the
CPU time of their process, system calls included. The bare loop is epoll, `recv_into` and `send` on connected sockets,
each drained until EAGAIN: no source is checked, nothing is counted. The worker does all that it does for a call: once
for one that it relays as it comes, once for one on which digits are known and payload types differ.
"""

import contextlib
import itertools
import os
import select
import socket
import statistics
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import Final

from msgspec import Struct, field

from sbc.cli.bench_worker import add_ports, configure, counts, cpu_ns
from sbc.media import wire
from sbc.media.mute import unmute
from sbc.runtime.media_sockets import Pair, open_media_socket, open_pairs

AIM: Final = 1.15
_Map = tuple[tuple[int, int], ...]
_LOCAL: Final = ("127.0.0.10", "127.0.0.20")  # where the relay is
_FAR: Final = ("127.0.0.30", "127.0.0.40")
_PORTS: Final = (40000, 59998)
_VOICE: Final = bytes(160)  # G.711, 20 ms
_DIGITS: Final = (((101, 96),), ((96, 101),), (101, 96))  # both maps of a stream, and its telephone-events
_TURNS: Final = 15
_PACKETS_PER_TURN: Final = 10_000
_PATIENCE: Final = 5.0


class _Load(Struct, frozen=True):
    """`streams` one-way streams, `burst` packets of each at once; the next when these have come through."""

    name: str
    streams: int
    burst: int


_LOADS: Final = (
    _Load("50 streams, packet by packet", 50, 1),
    _Load("4 streams, 16 packets at once", 4, 16),
)


class _Relay(Struct, eq=False):
    """A relaying process, and the far ends of its streams. `sequence`: numbers for their next packets."""

    pid: int
    senders: list[socket.socket]
    receivers: list[socket.socket]
    sequence: Iterator[int] = field(default_factory=itertools.count)


def run() -> None:
    """Print the table."""
    for load in _LOADS:
        with _bare(load.streams) as bare, _worker(load.streams) as plain, _worker(load.streams, _DIGITS) as digits:
            relays = (bare, plain, digits)
            turns = [[_microseconds(relay, load) for relay in relays] for _ in range(_TURNS + 1)][1:]
        print(f"  {load.name}")
        print(f"    {'bare loop':<30}{statistics.median(turn[0] for turn in turns):>13.2f} µs CPU")
        for at, name in ((1, "media worker"), (2, "media worker, digits known")):
            ours = statistics.median(turn[at] for turn in turns)
            ratio = statistics.median(turn[at] / turn[0] for turn in turns)
            aim = f" (aim {AIM} ×)" if at == 1 else ""
            print(f"    {name:<30}{ours:>13.2f} µs CPU   {ratio:.2f} × the bare loop{aim}")


def _microseconds(relay: _Relay, load: _Load) -> float:
    """CPU per relayed packet of the relaying process."""
    rounds = _PACKETS_PER_TURN // (load.streams * load.burst)
    before = cpu_ns(relay.pid)
    for _ in range(rounds):
        for n in itertools.islice(relay.sequence, load.burst):
            packet = struct.pack("!BBHII", 0x80, 8, n & 0xFFFF, n * 160 & 0xFFFF_FFFF, 0x5BC) + _VOICE
            for sender in relay.senders:
                sender.send(packet)
        for receiver in relay.receivers:
            for _ in range(load.burst):
                receiver.recv(2048)
    return (cpu_ns(relay.pid) - before) / (rounds * load.streams * load.burst) / 1000


@contextlib.contextmanager
def _streams(streams: int) -> Iterator[tuple[list[Pair], list[Pair], _Relay]]:
    """Open pairs on both sides, and far ends that are connected to them."""
    inside, outside = (open_pairs(local, _PORTS, streams, (), _number) for local in _LOCAL)
    senders, receivers = ([open_media_socket(host, 0) for _ in range(streams)] for host in _FAR)
    for pairs, far in ((inside, senders), (outside, receivers)):
        for pair, one in zip(pairs, far, strict=True):
            one.connect((pair.local, pair.port))
            one.settimeout(_PATIENCE)
    try:
        yield inside, outside, _Relay(0, senders, receivers)
    finally:
        for pair in (*inside, *outside):
            pair.close()
        for one in (*senders, *receivers):
            one.close()


@contextlib.contextmanager
def _worker(streams: int, told: tuple[_Map, _Map, tuple[int, int] | None] = ((), (), None)) -> Iterator[_Relay]:
    """The real worker, told as the pool tells it. `told`: what else is said of each stream."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-m", "sbc.media.worker", "--control-fd", str(theirs.fileno())]
    with (
        _streams(streams) as (inside, outside, relay),
        subprocess.Popen(command, pass_fds=[theirs.fileno()]) as process,  # noqa: S603 - it is ourselves
        control,  # closed first: then the worker ends
        theirs,
    ):
        configure(control, "userland", _LOCAL)
        for pairs in (inside, outside):
            add_ports(control, pairs)
        for i, pair in enumerate(inside):
            ingress = wire.End(pair.local, pair.port, _remote(relay.senders[i]))
            egress = wire.End(outside[i].local, outside[i].port, _remote(relay.receivers[i]))
            stream = wire.Stream(ingress, egress, True, *told)
            control.send(wire.encode(wire.PutSession(f"call-{i}", 1, (stream,))))
        control.send(wire.encode(wire.Synced()))
        counts(control)  # it has read all that
        yield _Relay(process.pid, relay.senders, relay.receivers)


@contextlib.contextmanager
def _bare(streams: int) -> Iterator[_Relay]:
    """This module as a process: `bare_loop` on the descriptors of connected sockets, inside and outside in turn."""
    with _streams(streams) as (inside, outside, relay):
        fds: list[int] = []
        for pairs, far in ((inside, relay.senders), (outside, relay.receivers)):
            for pair, one in zip(pairs, far, strict=True):
                unmute(pair.rtp)
                pair.rtp.connect(one.getsockname())
        for here, there in zip(inside, outside, strict=True):
            fds += [here.rtp.fileno(), there.rtp.fileno()]
        command = [sys.executable, "-m", "sbc.cli.bench_media", *map(str, fds)]
        with subprocess.Popen(command, pass_fds=fds) as process:  # noqa: S603 - it is ourselves
            try:
                yield _Relay(process.pid, relay.senders, relay.receivers)
            finally:
                process.kill()


def _remote(one: socket.socket) -> wire.Remote:
    host, port = one.getsockname()
    return wire.Remote(host, port, 0)


def _number(below: int) -> int:
    return int.from_bytes(os.urandom(6)) % below


def bare_loop(fds: Sequence[int]) -> None:
    """The least that a relay in Python can do, for ever."""
    sockets = {fd: socket.socket(fileno=fd) for fd in fds}
    poller = select.epoll()
    routes = {}
    for one, other in zip(fds[::2], fds[1::2], strict=True):
        routes[one] = (sockets[one].recv_into, sockets[other].send)
        routes[other] = (sockets[other].recv_into, sockets[one].send)
    for fd in fds:
        sockets[fd].setblocking(False)
        poller.register(fd, select.EPOLLIN)
    buffer = bytearray(2048)
    view = memoryview(buffer)
    while True:
        for fd, _ in poller.poll():
            receive, send = routes[fd]
            while True:
                try:
                    size = receive(buffer)
                except BlockingIOError:
                    break
                send(view[:size])


if __name__ == "__main__":
    bare_loop([int(argument) for argument in sys.argv[1:]])
