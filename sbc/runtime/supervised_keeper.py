"""The supervisor seen from signalling: asked over the socket that it gave us. See `keeper` for what each call means.

An answer that does not come within seconds is an OSError like any other refusal; the socket's end means that the
supervisor is gone. Used by `sbc.cli.signalling`.
"""

import array
import errno
import os
import socket
from collections.abc import Callable
from itertools import count
from typing import Final

import structlog
import trio

from sbc.runtime.media_sockets import NO_DESCRIPTORS, Pair, descriptor_ceiling, pairs_at_most
from sbc.runtime.sip_sockets import ListenKind
from sbc.runtime.supervisor import wire

ANSWER_SECONDS: Final = 3.0
BEAT_SECONDS: Final = 1.0
RESTART_SECONDS: Final = 40.0  # the supervisor itself gives up earlier
_STATUS_BEATS: Final = 10  # from one word about what we do to the next
_DESCRIPTORS: Final = 2 * wire.PAIRS_AT_ONCE

log = structlog.get_logger("supervisor")


class _Decision:
    """Whether there is a restart, made for everybody who waits for it."""

    def __init__(self) -> None:
        self.made = trio.Event()
        self.reason = ""

    async def wait_value(self) -> str:
        await self.made.wait()
        return self.reason


class SupervisedKeeper:
    """`control` is ours from now on. `after`: how the signalling before us ended, which nobody else can tell the
    webhook: exit status, or the negative number of the signal that killed it.
    """

    def __init__(self, control: socket.socket, *, after: int | None = None) -> None:
        control.settimeout(ANSWER_SECONDS)
        self._control = control
        self._after = after
        self._pulse: Callable[[], str | None] = str
        self._serial = 0
        self._short = ""
        self._ceiling = descriptor_ceiling()
        self._decision = _Decision()

    @property
    def supervisor(self) -> int | None:
        return os.getppid()

    @property
    def is_restart(self) -> bool:
        return self._after is not None

    def listen(self, kind: ListenKind, host: str, port: int, dscp: int) -> socket.socket:
        try:
            _, descriptors = self._ask(wire.Listen(kind, host, port, dscp))
            if len(descriptors) != 1:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # noqa: TRY301 - as any other refusal
        except OSError:
            self.close_listener(kind, host, port)  # it may be open there: what did not reach us is nobody's
            raise
        return _sockets(descriptors)[0]

    def close_listener(self, kind: ListenKind, host: str, port: int) -> None:
        self._tell(wire.CloseListener(kind, host, port))

    def open_pairs(self, local: str, ports: tuple[int, int], pairs: int, dscp: int) -> list[Pair]:
        first, last = ports
        opened: list[Pair] = []
        while len(opened) < pairs:
            some = min(pairs - len(opened), wire.PAIRS_AT_ONCE, pairs_at_most(self._ceiling))
            if some <= 0:
                self._short = NO_DESCRIPTORS
                break
            answer, more = self._ask_pairs(wire.OpenPairs(local, first, last, some, dscp))
            opened += more
            if len(more) < some:
                self._short = answer.short or NO_DESCRIPTORS
                break
        return opened

    def close_pairs(self, local: str, ports: tuple[int, ...]) -> None:
        for at in range(0, len(ports), wire.PORTS_AT_ONCE):
            self._tell(wire.ClosePairs(local, ports[at : at + wire.PORTS_AT_ONCE]))

    def why_short(self) -> str:
        return self._short

    def held_pairs(self) -> list[Pair]:
        held: list[Pair] = []
        # What comes beyond our limit would be lost without a word (unix(7)).
        while pairs_at_most(self._ceiling) >= wire.PAIRS_AT_ONCE:
            _, some = self._ask_pairs(wire.HeldPairs())
            if not some:
                break
            held += some
        return held

    def journal_memory(self, name: str) -> int | None:
        _, descriptors = self._ask(wire.JournalMemory(name))
        if len(descriptors) != 1:
            _close(descriptors)
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return descriptors[0]

    def worker_address(self, number: int) -> str | bytes:
        answer, _ = self._ask(wire.StartWorker(number))
        if not isinstance(answer, wire.WorkerAt):
            raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))
        return answer.address

    def replace_worker(self, number: int) -> None:
        self._tell(wire.ReplaceWorker(number))

    def has_pulse(self, pulse: Callable[[], str | None]) -> None:
        self._pulse = pulse

    def ready(self, admin: str) -> None:
        self._tell(wire.Ready(admin))

    def stopping(self) -> None:
        self._tell(wire.Stopping())

    async def restart(self) -> str:
        self._tell(wire.Restart())
        with trio.move_on_after(RESTART_SECONDS):
            return await self._decision.wait_value()
        return "the supervisor does not say anything"

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Until cancelled or the supervisor is gone."""
        if self._after == 0:
            log.info("restart.done")
        elif self._after is not None:
            log.error("signalling.restarted", alarm=True, after_status=self._after)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._beat)
            task_status.started()
            await self._watch()
            nursery.cancel_scope.cancel()
        log.error("supervisor.gone", alarm=True)

    def close(self) -> None:
        """The workers are the supervisor's."""
        self._control.close()

    async def _watch(self) -> None:
        while True:
            await trio.lowlevel.wait_readable(self._control)
            try:
                data, descriptors = self._receive(socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
            except OSError:
                return
            if not data:
                return
            _close(descriptors)  # of an answer that came too late
            self._hear(data)

    def _hear(self, data: bytes) -> None:
        """What is said without being asked."""
        match wire.decode_answer(data).answer:
            case wire.RestartRefused(reason):
                log.error("restart.refused", alarm=True, reason=reason)
                self._decide(reason)
            case wire.RestartBegins():
                self._decide("")
            case _:  # an answer that came too late
                pass

    def _decide(self, reason: str) -> None:
        self._decision.reason = reason
        self._decision.made.set()
        self._decision = _Decision()

    async def _beat(self) -> None:
        """While the engine is alive: that trio turns is not enough."""
        for n in count():
            status = self._pulse()
            if status is not None:
                self._tell(wire.Beat(status if n % _STATUS_BEATS == 0 else ""))
            await trio.sleep(BEAT_SECONDS)

    def _tell(self, notice: wire.Message) -> None:
        try:
            self._control.send(wire.encode(notice), socket.MSG_DONTWAIT)
        except OSError:
            return  # it is gone, which `run` notices, or has enough to read

    def _ask_pairs(self, question: wire.Question) -> tuple[wire.Pairs, list[Pair]]:
        answer, descriptors = self._ask(question)
        if not isinstance(answer, wire.Pairs):
            _close(descriptors)
            raise OSError(errno.EPROTO, os.strerror(errno.EPROTO))
        whole = len(descriptors) // 2 * 2
        _close(descriptors[whole:])
        sockets = iter(_sockets(descriptors[:whole]))
        return answer, [
            Pair(answer.local, port, rtp, rtcp) for port, rtp, rtcp in zip(answer.ports, sockets, sockets, strict=False)
        ]

    def _ask(self, question: wire.Question) -> tuple[wire.Answer, list[int]]:
        """The answer and its descriptors. Raises OSError: what the supervisor says, or that it says nothing."""
        self._serial += 1
        self._control.send(wire.encode(wire.Asked(self._serial, question)))
        while True:
            data, descriptors = self._receive()
            if not data:
                raise OSError(errno.EPIPE, "the supervisor is gone")
            answered = wire.decode_answer(data)
            if answered.serial == self._serial:
                break
            _close(descriptors)
        if isinstance(answered.answer, wire.Failed):
            raise OSError(answered.answer.errno, answered.answer.text)
        return answered.answer, descriptors

    def _receive(self, flags: int = 0) -> tuple[bytes, list[int]]:
        """socket.recv_fds ignores its flags (Python 3.11), and its descriptors would be inherited."""
        data, ancillary, _, _ = self._control.recvmsg(
            wire.MESSAGE_OCTETS, socket.CMSG_SPACE(4 * _DESCRIPTORS), flags | socket.MSG_CMSG_CLOEXEC
        )
        descriptors = array.array("i")
        for level, kind, octets in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                descriptors.frombytes(octets[: len(octets) // 4 * 4])
        return data, descriptors.tolist()


def _sockets(descriptors: list[int]) -> list[socket.socket]:
    found = [socket.socket(fileno=fd) for fd in descriptors]
    for one in found:
        one.setblocking(False)
    return found


def _close(descriptors: list[int]) -> None:
    for fd in descriptors:
        os.close(fd)
