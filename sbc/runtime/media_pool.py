"""The media workers seen from signalling: connected to, spoken to, connected to again when one has died. On trio.

`media.client` knows what to say; here are the connections, the sockets of the port pairs and the descriptors. The
keeper starts workers and replaces those that die. Its listening sockets outlive them, so that we are connected again
before the next one is up. Nobody waits for a worker: `ask` and `open_ports` return at once, answers go to `deliver`.
A worker that does not answer several polls, or does not read, is killed.
"""

import contextlib
import errno
import os
import signal
from collections.abc import Callable, Collection, Mapping
from typing import Final

import structlog
import trio

from sbc.b2bua.events import MediaReplied, PortsOpened
from sbc.core.errors import OperatorError
from sbc.core.limits import MEDIA_REQUESTS_WAITING, PORT_QUARANTINE_SECONDS
from sbc.core.tables import Table
from sbc.media import wire
from sbc.media.client import POLL_SECONDS, Asked, MediaClient, Outgoing
from sbc.policy.model import MediaSettings
from sbc.runtime.keeper import Keeper
from sbc.runtime.media_link import MediaLink
from sbc.runtime.media_sockets import Pair
from sbc.runtime.sip_sockets import set_dscp
from sbc.runtime.sockets import explain
from sbc.runtime.supervisor.restart import Restart

FIRST_START_SECONDS: Final = 15.0  # of the very first workers; later ones are tried for ever
_SILENT_POLLS: Final = 3
_START_PATIENCE_SECONDS: Final = 15.0  # from our connection to `Running`; the keeper's longest pause is 5 s

_log = structlog.get_logger()


class MediaWorkerError(OperatorError):
    """The first media workers did not come up: the program cannot run."""


class MediaPool:
    """`dscp` by media address, of which it names all; `node` names this SBC on the machine; `own`: our addresses, from
    which no media comes.

    `is_settled`: there is no earlier life with calls that go on; else `settled` is to be called.
    `run` must be running for anything to happen, and the keeper's `run` beside it.
    """

    def __init__(
        self,
        keeper: Keeper,
        media: MediaSettings,
        deliver: Callable[[MediaReplied], None],
        dscp: Mapping[str, int] | None = None,
        *,
        node: str = "sbc",
        own: Collection[str] = (),
        dtls: wire.DtlsIdentity | None = None,
        poll_seconds: float = POLL_SECONDS,
        start_seconds: float = FIRST_START_SECONDS,
        is_settled: bool = True,
    ) -> None:
        self._keeper = keeper
        self._media = media
        self._deliver = deliver
        self._dscp = dict(dscp or {})
        self._poll_seconds = poll_seconds
        self._start_seconds = start_seconds
        self._client = MediaClient(
            wire.Configure(
                node,
                media.engine,
                workers=media.workers,
                own=tuple(sorted(own)),
                orphan_seconds=media.orphan_timeout,
                media=tuple(sorted(self._dscp)),
                dtls=dtls,
            ),
            is_settled=is_settled,
        )
        self._pairs: dict[str, dict[int, Pair]] = {}
        self._held: dict[str, dict[int, Pair]] = {}  # of an earlier life of signalling, not in use by this one
        self._rests_until: dict[tuple[str, int], float] = {}  # of those: when a session used them, and rest
        self._own = frozenset(own)
        self._said_short: dict[str, int] = {}
        self._engine = media.engine  # what is asked for now
        self._said_engine: dict[int, wire.EngineReady] = {}
        self._links: list[MediaLink | None] = [None] * media.workers
        self._known = trio.Event()

    def tables(self) -> tuple[Table, ...]:
        """Of the worker where each is fullest: requests that it has not taken yet, and what it says of itself."""
        waiting = max((link.waiting for link in self._links if link), default=0)
        return (Table("media_requests", waiting, MEDIA_REQUESTS_WAITING), *self._client.tables())

    @property
    def pids(self) -> tuple[int | None, ...]:
        """Of each worker; None: it does not run now."""
        return tuple(link.pid if link else None for link in self._links)

    @property
    def pid(self) -> int | None:
        """Of the first worker."""
        return self.pids[0]

    @property
    def sessions(self) -> int:
        return self._client.sessions

    @property
    def pairs(self) -> int:
        return self._client.ports

    def sessions_of(self, number: int) -> int:
        """Of one worker."""
        return self._client.sessions_of(number)

    @property
    def engines(self) -> tuple[wire.EngineReady | None, ...]:
        """What each worker said last of its engine."""
        return self._client.engines

    def ask(self, request: Asked) -> None:
        self._send(self._client.ask(request))

    def settled(self) -> None:
        """Every session of calls that go on from an earlier life has been asked for."""
        self._send(self._client.settled())

    def change(
        self, media: MediaSettings, dscp: Mapping[str, int] | None = None, own: Collection[str] | None = None
    ) -> None:
        """Another engine, another time for orphans, other addresses and marks, from now on. Range and workers stay what
        they are; so do ports, until `close_ports`.
        """
        if media.engine != self._engine:
            if self._engine == "kernel" and any(said.reason for said in self._said_engine.values()):
                _log.info("media.engine", engine=media.engine)  # what is asked for now: the alarm is over
            self._engine = media.engine
            self._said_engine.clear()
        is_marked_anew = dscp is not None and self._mark(dscp)
        if own is not None:
            self._own = frozenset(own)
        self._media = media
        self._tell_addresses(anew=is_marked_anew)

    def _tell_addresses(self, *, anew: bool = False) -> None:
        """Also those that a reload has taken away, while calls have ports there."""
        used = {local for local, pairs in self._pairs.items() if pairs}
        media = self._media
        self._send(
            self._client.change(
                media.engine, media.orphan_timeout, own=self._own | used, media={*self._dscp, *used}, anew=anew
            )
        )

    def _mark(self, dscp: Mapping[str, int]) -> bool:
        """Whether open sockets are marked otherwise now."""
        old, self._dscp = self._dscp, dict(dscp)
        changed = [local for local, mark in dscp.items() if old.get(local, 0) != mark and self._pairs.get(local)]
        for local in changed:
            for pair in self._pairs[local].values():
                set_dscp(pair.rtp, dscp[local])
                set_dscp(pair.rtcp, dscp[local])
        return bool(changed)

    # --- ports ----------------------------------------------------------------------------------------------------

    def open_ports(self, local: str, pairs: int) -> PortsOpened:
        """More port pairs on a media address: first those that an earlier life of signalling has left and no session
        uses. Raises OSError where it is no address of this machine.
        """
        opened = self._left_over(local, pairs)
        if len(opened) < pairs:
            first_and_last = (self._media.first_port, self._media.last_port)
            more = pairs - len(opened)
            opened += self._keeper.open_pairs(local, first_and_last, more, self._dscp.get(local, 0))
        self._pairs.setdefault(local, {}).update((pair.port, pair) for pair in opened)
        self._say_if_short(local, short=len(opened) < pairs)
        ports = tuple(pair.port for pair in opened)
        self._send(self._client.ports_opened(local, ports))
        return PortsOpened(local, ports)

    def hold_ports(self, local: str, ports: tuple[int, ...]) -> tuple[list[int], str]:
        """Just these pairs, of calls that go on from an earlier life of signalling: left open since, or opened again.
        Returns those that cannot be had, and why, for people.
        """
        held, mine, lost, why = self._held.get(local, {}), self._pairs.setdefault(local, {}), list[int](), ""
        for port in ports:
            pair = held.pop(port, None)
            try:
                mine[port] = pair or self._open_again(local, port)
            except OSError as error:
                lost.append(port)
                why = explain(error)
        self._send(self._client.ports_opened(local, (port for port in ports if port in mine)))
        if local not in self._dscp:
            self._tell_addresses()  # a reload, or the policy of this start, has taken it away
        return lost, why

    def _open_again(self, local: str, port: int) -> Pair:
        pairs = self._keeper.open_pairs(local, (port, port + 1), 1, self._dscp.get(local, 0))
        if not pairs:
            raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))
        return pairs[0]

    def close_ports(self, local: str, ports: tuple[int, ...]) -> None:
        """Of an address that the policy has no more. No session uses them."""
        self._send(self._client.ports_closed(local, ports))
        pairs = self._pairs.get(local, {})
        for port in ports:
            pair = pairs.pop(port, None)
            if pair is not None:
                pair.close()
        self._keeper.close_pairs(local, ports)
        if not pairs:
            self._pairs.pop(local, None)
            self._said_short.pop(local, None)
            self._tell_addresses()

    def why_short(self) -> str:
        """Why fewer ports could be opened than were asked for."""
        return self._keeper.why_short()

    def close(self) -> None:
        """Close our media sockets, after `run` has ended."""
        for of_address in (*self._pairs.values(), *self._held.values()):
            for pair in of_address.values():
                pair.close()
        self._pairs.clear()
        self._held.clear()

    def _left_over(self, local: str, pairs: int) -> list[Pair]:
        held = self._held.get(local, {})
        busy = self._client.busy_ports() if held else frozenset()
        now = trio.current_time()
        free = [
            port
            for port in held
            if self._is_usable(local, port) and (local, port) not in busy and not self._rests(local, port, now)
        ]
        return [held.pop(port) for port in free[:pairs]]

    def _rests(self, local: str, port: int, now: float) -> bool:
        """Its former peer may still send there, whose call ended while nobody had an eye on it."""
        return now < self._rests_until.get((local, port), now)

    def _note_busy(self) -> None:
        until = trio.current_time() + PORT_QUARANTINE_SECONDS
        for key in self._client.busy_ports():
            self._rests_until[key] = until

    def _is_usable(self, local: str, port: int) -> bool:
        return local in self._dscp and self._media.first_port <= port < self._media.last_port

    def _close_left(self) -> None:
        """Pairs of an earlier life where the policy has no ports any more, as soon as no session goes on there."""
        left = [
            (local, port) for local, held in self._held.items() for port in held if not self._is_usable(local, port)
        ]
        if not left:
            return
        closed: dict[str, list[int]] = {}
        busy = self._client.busy_ports()
        for local, port in left:
            if (local, port) not in busy:
                self._held[local].pop(port).close()
                closed.setdefault(local, []).append(port)
        for local, ports in closed.items():
            self._keeper.close_pairs(local, tuple(ports))

    def _say_if_short(self, local: str, *, short: bool) -> None:
        """Once for each number of pairs: the engine asks again every few seconds."""
        pairs = len(self._pairs[local])
        if short and self._said_short.get(local) != pairs:
            self._said_short[local] = pairs
            _log.warning("media.ports_short", alarm=True, local=local, pairs=pairs, reason=self.why_short())
        elif not short and self._said_short.pop(local, None) is not None:
            _log.info("media.ports_opened", local=local, pairs=pairs)

    # --- workers --------------------------------------------------------------------------------------------------

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Stay connected to every worker until cancelled; started when all have run and said what sessions they have.

        Raises MediaWorkerError before.
        """
        for pair in self._keeper.held_pairs():
            self._held.setdefault(pair.local, {})[pair.port] = pair
        async with trio.open_nursery() as nursery:
            for number in range(self._media.workers):
                nursery.start_soon(self._stay_connected, number)
            nursery.start_soon(self._poll)
            with trio.move_on_after(self._start_seconds):
                await self._known.wait()
                task_status.started()
            if not self._known.is_set():
                nursery.cancel_scope.cancel()
        if not self._known.is_set():
            raise MediaWorkerError(f"the media worker did not start within {self._start_seconds:.0f} s")

    async def _stay_connected(self, number: int) -> None:
        restart = Restart()
        while True:
            lived = await self._one_connection(number)
            await trio.sleep(restart.pause(lived))

    async def _one_connection(self, number: int) -> float | None:
        """Serve a worker until it is gone; how many seconds it ran, None if it never said so."""
        try:
            link = MediaLink.connect(self._keeper.worker_address(number), self._descriptors)
        except (BrokenPipeError, ConnectionResetError):
            return None  # the supervisor is gone, and with it the program: the keeper says so
        except OSError as error:
            _log.error("media.worker_not_started", alarm=True, worker=number, reason=str(error))
            return None
        self._links[number] = link
        try:
            await link.serve(lambda data: self._received(number, link, data))
        finally:
            self._links[number] = None
            link.close()
            self._client.worker_lost(number)
        lived = None if link.pid is None else trio.current_time() - link.running_since
        if lived is not None and not link.is_given_up:
            _log.error("media.worker_died", alarm=True, worker=number, pid=link.pid, ran_seconds=round(lived, 3))
        return lived

    def _received(self, number: int, link: MediaLink, data: bytes) -> None:
        if self._held:
            self._note_busy()
        for reply in self._client.received(data, number):
            if isinstance(reply, wire.Running):
                self._started(number, link, reply)
                continue
            if isinstance(reply, wire.EngineReady):
                self._say_engine(number, reply)
            self._deliver(MediaReplied(reply))
        self._send(self._client.due())
        if self._client.is_known:
            self._known.set()

    def _started(self, number: int, link: MediaLink, running: wire.Running) -> None:
        messages = self._client.worker_started(number, continues=running.continues)
        link.started(running.pid, len(messages))
        self._send(messages)
        sessions = self._client.sessions_of(number)
        _log.info("media.worker_started", worker=number, pid=running.pid, sessions=sessions, ports=self.pairs)

    def _say_engine(self, number: int, ready: wire.EngineReady) -> None:
        """Once for all workers, and not again for the next one that starts, unless it is another."""
        if ready.reason == wire.BEGINNING or self._engine == "userland":
            return
        is_news = ready not in self._said_engine.values()
        self._said_engine[number] = ready
        if not is_news:
            return
        devices = {"devices": list(ready.devices)} if ready.devices else {}
        if ready.reason:
            # Who asked for the kernel did so for a reason; auto takes what there is.
            alarm = {"alarm": True} if self._engine == "kernel" else {}
            _log.warning("media.engine", **alarm, engine=ready.engine, **devices, reason=ready.reason)
        else:
            _log.info("media.engine", engine=ready.engine, **devices)

    def _send(self, messages: list[Outgoing]) -> None:
        for message in messages:
            link = self._links[message.worker]
            if link is not None and not link.send(message):
                self._replace(message.worker, link, "it does not read what it is told")

    def _descriptors(self, message: Outgoing) -> list[int]:
        pairs = self._pairs[message.local] if message.ports else {}
        return [one.fileno() for port in message.ports for one in (pairs[port].rtp, pairs[port].rtcp)]

    async def _poll(self) -> None:
        """Keep the counters fresh, and notice a worker that hangs."""
        while True:
            await trio.sleep(self._poll_seconds)
            if self._held and self._client.is_known:
                self._close_left()
            polls = self._client.poll()
            self._send(polls)
            asked = {message.worker for message in polls}
            for number, link in enumerate(self._links):
                if link is not None:
                    link.unanswered += number in asked
                    self._replace_if_hung(number, link)

    def _replace_if_hung(self, number: int, link: MediaLink) -> None:
        if link.unanswered > _SILENT_POLLS:
            self._replace(number, link, "it does not answer")
        elif link.pid is None and trio.current_time() - link.connected_at > _START_PATIENCE_SECONDS:
            self._replace(number, link, "it does not start")

    def _replace(self, number: int, link: MediaLink, reason: str) -> None:
        """Its connection is open, so the process that named its pid there is still the one of that pid."""
        if link.is_given_up:
            return
        _log.error("media.worker_killed", alarm=True, worker=number, pid=link.pid, reason=reason)
        link.give_up()
        if link.pid is None:
            self._keeper.replace_worker(number)
        elif link.pid > 1:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(link.pid, signal.SIGKILL)
