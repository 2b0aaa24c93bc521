"""What `sbc bench media` compares: each thing that brings packets from the PBX to the carrier, ready to be flooded.

A relay knows where the PBX is to send for each of its streams, and the process whose CPU time counts. Relays that are
processes share one CPU, and the sender has another, so that neither waits for the other. The media worker is told as
`media_pool` tells it.
"""

import contextlib
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from msgspec import Struct

from sbc.cli.bench_lab import Middle, UnavailableError
from sbc.cli.bench_rtpengine import place, rtpengine
from sbc.cli.bench_worker import add_ports, await_kernel, configure, counts
from sbc.media import wire
from sbc.media.mute import unmute
from sbc.runtime.media_sockets import Pair, open_pairs

DROPPED: Final = "sent, dropped at the SBC"
FORWARDING: Final = "kernel IP forwarding"
KERNEL: Final = "media worker, kernel engine"
BARE: Final = "bare Python loop"
USERLAND: Final = "media worker, userland engine"
RTPENGINE: Final = "rtpengine in user space"

FIRST_FAR_PORT: Final = 10_000  # at the PBX and at the carrier; each stream two further
_PORTS: Final = (20_000, 59_998)
_WITH_BPFFS: Final = 'mount -t bpf bpf /sys/fs/bpf && exec "$@"'  # where only this process sees it
_CPUS: Final = frozenset(os.sched_getaffinity(0))
_Address = tuple[str, int]


class Relay(Struct, eq=False):
    """`targets`: where the PBX sends stream n; `back`: where the carrier does, empty: streams go one way.

    `pid`: the relaying process; None: the kernel alone, and the sender's CPU time has it all.
    """

    name: str
    middle: Middle
    targets: list[_Address]
    back: list[_Address] = []
    pid: int | None = None
    control: socket.socket | None = None


def far_ports(streams: int) -> range:
    return range(FIRST_FAR_PORT, FIRST_FAR_PORT + 2 * streams, 2)


@contextlib.contextmanager
def dropped(middle: Middle, streams: int) -> Iterator[Relay]:
    """No relay: packets end at the SBC's device. What sending by itself costs."""
    middle.drop()
    yield Relay(DROPPED, middle, [(middle.inside, port) for port in far_ports(streams)])


@contextlib.contextmanager
def forwarding(middle: Middle, streams: int) -> Iterator[Relay]:
    middle.forward()
    to_carrier, to_pbx = ([(host, port) for port in far_ports(streams)] for host in (middle.carrier, middle.pbx))
    yield Relay(FORWARDING, middle, to_carrier, to_pbx)


@contextlib.contextmanager
def bare_loop(middle: Middle, streams: int) -> Iterator[Relay]:
    """`bench_media.bare_loop` on sockets that are connected to both ends."""
    inside, outside = _pairs(middle, streams)
    fds: list[int] = []
    for pairs, host in ((inside, middle.pbx), (outside, middle.carrier)):
        for pair, port in zip(pairs, far_ports(streams), strict=True):
            unmute(pair.rtp)
            pair.rtp.connect((host, port))
    for here, there in zip(inside, outside, strict=True):
        fds += [here.rtp.fileno(), there.rtp.fileno()]
    words = [sys.executable, "-m", "sbc.cli.bench_media", *map(str, fds)]
    with _process(middle, words, fds) as process:
        for pair in (*inside, *outside):
            pair.close()
        yield Relay(BARE, middle, _addresses(inside), _addresses(outside), process.pid)


@contextlib.contextmanager
def worker(middle: Middle, streams: int, engine: wire.EngineChoice) -> Iterator[Relay]:
    """The media worker, each stream a call. Raises UnavailableError where it cannot have that engine."""
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    words = [sys.executable, "-m", "sbc.media.worker", "--control-fd", str(theirs.fileno())]
    if engine == "kernel":
        words = ["unshare", "--mount", "sh", "-c", _WITH_BPFFS, "sh", *words]
    with control, theirs, _process(middle, words, [theirs.fileno()]) as process:
        theirs.close()
        inside, outside = _pairs(middle, streams)
        configure(control, engine, (middle.inside, middle.outside))
        for pairs in (inside, outside):
            add_ports(control, pairs)
        for n, (here, there, far) in enumerate(zip(inside, outside, far_ports(streams), strict=True)):
            ingress = wire.End(here.local, here.port, wire.Remote(middle.pbx, far, 0))
            egress = wire.End(there.local, there.port, wire.Remote(middle.carrier, far, 0))
            control.send(wire.encode(wire.PutSession(f"call-{n}", 1, (wire.Stream(ingress, egress),))))
        control.send(wire.encode(wire.Synced()))
        if engine == "kernel":
            await_kernel(control)
        counts(control)  # it has read all that
        for pair in (*inside, *outside):
            pair.close()
        name = KERNEL if engine == "kernel" else USERLAND
        yield Relay(name, middle, _addresses(inside), _addresses(outside), process.pid, control)


@contextlib.contextmanager
def yardstick(middle: Middle, streams: int) -> Iterator[Relay]:
    """rtpengine, each stream a call."""
    with rtpengine(middle, on_their_cpu([])) as (pid, ng):
        ports = [place(ng, n, (middle.pbx, far), (middle.carrier, far)) for n, far in enumerate(far_ports(streams))]
        targets = [(middle.inside, port) for port, _ in ports]
        yield Relay(RTPENGINE, middle, targets, [(middle.outside, port) for _, port in ports], pid)


def on_their_cpu(words: Sequence[str]) -> list[str]:
    """`words` to be run by subprocess, on the CPU that is not ours where there are two."""
    return ["taskset", "--cpu-list", str(sorted(_CPUS)[:2][-1]), *words]


@contextlib.contextmanager
def on_our_cpu() -> Iterator[None]:
    """This process keeps to the first CPU that it may use; relays get the second. Both may open many sockets."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, sorted(_CPUS)[:1])
    try:
        yield
    finally:
        os.sched_setaffinity(0, _CPUS)


def _pairs(middle: Middle, streams: int) -> tuple[list[Pair], list[Pair]]:
    with middle.namespace.entered():
        inside, outside = (open_pairs(host, _PORTS, streams, (), _number) for host in (middle.inside, middle.outside))
    if len(inside) < streams or len(outside) < streams:
        raise UnavailableError(f"not descriptors enough for {streams} streams (ulimit -n)")
    return inside, outside


@contextlib.contextmanager
def _process(middle: Middle, words: Sequence[str], fds: Sequence[int]) -> Iterator["subprocess.Popen[bytes]"]:
    """Run in the SBC's namespace, on the relays' CPU; killed at the end."""
    space = middle.namespace
    command = space.command(on_their_cpu(words))
    with subprocess.Popen(command, pass_fds=[space.fd, *fds]) as process:  # noqa: S603 - it is ourselves
        try:
            yield process
        finally:
            process.kill()


def _addresses(pairs: Sequence[Pair]) -> list[_Address]:
    return [(pair.local, pair.port) for pair in pairs]


def _number(below: int) -> int:
    return int.from_bytes(os.urandom(6)) % below


CONTENDERS: Final[dict[str, Callable[[Middle, int], contextlib.AbstractContextManager[Relay]]]] = {
    DROPPED: dropped,  # first: what it costs is taken off the others
    FORWARDING: forwarding,
    KERNEL: lambda middle, streams: worker(middle, streams, "kernel"),
    BARE: bare_loop,
    USERLAND: lambda middle, streams: worker(middle, streams, "userland"),
    RTPENGINE: yardstick,
}
TALKERS: Final = {name: CONTENDERS[name] for name in (FORWARDING, KERNEL, USERLAND)}
