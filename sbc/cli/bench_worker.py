"""The media worker as the bench speaks to it, in the words of `media.wire`, and anybody's CPU time."""

import socket
import time
from collections.abc import Collection, Sequence
from typing import Final

from sbc.cli.bench_lab import UnavailableError
from sbc.core.limits import CONTROL_MESSAGE_OCTETS
from sbc.media import wire
from sbc.runtime.media_sockets import Pair

PATIENCE: Final = 5.0  # seconds for an answer, or for an engine


def cpu_ns(pid: int | None) -> int:
    """The CPU clock of another process, all its threads: clock_getcpuclockid(3), as Linux makes it of the pid."""
    return 0 if pid is None else time.clock_gettime_ns((~pid << 3) | 2)


def configure(control: socket.socket, engine: wire.EngineChoice, own: Collection[str]) -> None:
    control.settimeout(PATIENCE)
    control.send(wire.encode(wire.Configure("bench", engine, own=tuple(own))))


def add_ports(control: socket.socket, pairs: Sequence[Pair]) -> None:
    for at in range(0, len(pairs), wire.PORT_PAIRS_PER_MESSAGE):
        some = pairs[at : at + wire.PORT_PAIRS_PER_MESSAGE]
        request = wire.AddPorts(some[0].local, tuple(pair.port for pair in some))
        fds = [one.fileno() for pair in some for one in (pair.rtp, pair.rtcp)]
        socket.send_fds(control, [wire.encode(request)], fds)


def await_kernel(control: socket.socket) -> None:
    """Raises UnavailableError with the worker's reason."""
    end = time.monotonic() + PATIENCE
    why = "it does not say that it is ready"
    while time.monotonic() < end:
        reply = _reply(control)
        if isinstance(reply, wire.EngineReady):
            if reply.engine == "kernel" and reply.devices:
                return
            why = reply.reason or why
    raise UnavailableError(f"the kernel engine is not there: {why}")


def counts(control: socket.socket) -> list[wire.SessionCount]:
    """What the worker has counted, of all sessions. Raises UnavailableError where it does not answer."""
    control.send(wire.encode(wire.Query()))
    sessions: list[wire.SessionCount] = []
    while True:
        reply = _reply(control)
        if isinstance(reply, wire.Report):
            sessions += reply.sessions
            if reply.last:
                return sessions


def _reply(control: socket.socket) -> wire.Reply:
    try:
        data = control.recv(CONTROL_MESSAGE_OCTETS)
    except TimeoutError:
        raise UnavailableError("the media worker does not answer") from None
    if not data:
        raise UnavailableError("the media worker has ended")
    return wire.decode_reply(data)
