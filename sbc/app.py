"""The composition root: the only module that knows every other. It opens, builds, wires, and ends things in order.

Sockets, from the `Keeper`, and files first, all problems said at once; then the media workers, the engine, the
listeners, the admin API; then one line, `sbc: ready …`. A stop drains: the engine ends what is left, every record gets
to the disk, then all else goes.
Used by `sbc.cli.signalling`, which `sbc run` starts.
"""

import contextlib
import gc
import ipaddress
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import structlog
import trio
from msgspec import Struct
from msgspec.structs import replace

from sbc.admin.state import WorkerView
from sbc.admin.testcall import CloseDoor, OpenDoor
from sbc.b2bua.commands import Alert, AskMedia, ClosePorts, Log, OpenPorts, StoreState, WriteCdr
from sbc.b2bua.events import DrainOrdered, HangUpOrdered, PolicyChanged, PortsOpened, StateRestored
from sbc.b2bua.exit import MEDIA_REPORT_SECONDS
from sbc.b2bua.switch import Switch
from sbc.cdr.store import CdrWriter
from sbc.core.address import Address, Transport
from sbc.core.errors import OperatorError
from sbc.core.ids import IdSource
from sbc.policy.changes import Changes
from sbc.policy.engine import Policy
from sbc.policy.load import load_policy
from sbc.policy.model import MediaSettings
from sbc.policy.testcall import NAME, Door, with_door
from sbc.runtime import clock, sockets
from sbc.runtime.admin_socket import label_of, open_admin_socket, remove_socket
from sbc.runtime.alerts import Alerts
from sbc.runtime.call_door import CallDoor
from sbc.runtime.cdr_copy import CdrCopy
from sbc.runtime.cdr_postgres import need_psycopg
from sbc.runtime.cdr_retention import CdrRetention
from sbc.runtime.cdr_sink import CdrSink
from sbc.runtime.data_dir import make_data_dir, node_label
from sbc.runtime.dns import Resolver, name_servers
from sbc.runtime.driver import Driver, Engine
from sbc.runtime.hep import HepExport
from sbc.runtime.keeper import Keeper
from sbc.runtime.local_keeper import LocalKeeper
from sbc.runtime.logging import LogFormat, LogWriter
from sbc.runtime.media_pool import MediaPool
from sbc.runtime.network import NetworkWatch
from sbc.runtime.reload import Reloader
from sbc.runtime.signals import watch_signals
from sbc.runtime.sockets import OpenSocket
from sbc.runtime.state_store import StateStore
from sbc.runtime.transports import Transports
from sbc.runtime.view import ProgramView, Viewed
from sbc.sip.commands import CloseFlow, LookUp, SendMessage

_FIRST_LOOK_UPS_SECONDS: Final = 2.0  # for the policy's host names, before the first message is read
_LAST_TRANSACTIONS_SECONDS: Final = 2.0  # after the last call: time for answers to the last BYE
_OVERTIME_SECONDS: Final = 5.0  # beyond `stop_after`, whatever happens
_STOP_NOW_SECONDS: Final = MEDIA_REPORT_SECONDS + 0.2  # without its counts a record is written a little later
_FLUSH_SECONDS: Final = 5.0  # for records and state that are not on disk yet
_LAST_COPIES_SECONDS: Final = 3.0  # for records that another database has not yet; the next start goes on
_LAST_ALERTS_SECONDS: Final = 2.0  # for what the webhook has not been told yet
_ALIVE_SECONDS: Final = 5.0  # an engine that has not turned for as long does not turn
_LOOK_SECONDS: Final = 0.05
_LOAD_SECONDS: Final = 5.0  # between two looks at the load
# Calls leave hardly any cycles. At its own pace the collector cost 0.2 ms a call, in pauses of up to 90 ms.
_COLLECT_AFTER: Final = (20_000, 20, 20)

log = structlog.get_logger("app")


class RunningEngine(Engine, Viewed, Protocol):
    """What the app needs of `b2bua.switch.Switch`; tests bring their own."""

    def knows(self, interface: str, host: str, port: int) -> bool: ...
    def lets_go(self, transport: Transport, local: Address) -> bool: ...


MakeEngine = Callable[[Policy, IdSource], RunningEngine]
Ready = Callable[[str], None]
ReadPolicy = Callable[[], Policy]


class Stop:
    """How to end a running program: `drain` first; `now` does not wait for calls."""

    def __init__(self) -> None:
        self.drain = trio.Event()
        self.now = trio.Event()


def run(paths: Sequence[Path | str], *, log_format: LogFormat = "console", keeper: Keeper | None = None) -> int:
    """Signalling: until a signal ends it. Raises OperatorError for what the operator can put right."""
    read = partial(load_policy, paths, environment=os.environ, wants_secrets=True)
    trio.run(partial(serve, read(), read_again=read, log_format=log_format, keeper=keeper))
    return 0


async def serve(
    policy: Policy,
    *,
    read_again: ReadPolicy | None = None,
    log_format: LogFormat = "console",
    admin_override: str | None = None,
    ready: Ready | None = None,
    stop: Stop | None = None,
    make_engine: MakeEngine = Switch,
    keeper: Keeper | None = None,
) -> None:
    """Runs until it is stopped: by `stop` where one is given, else by signals. Cancelling it ends it without draining.

    `ready` is told the admin address instead of the line on stderr. `read_again` is what a reload asks, in a thread.
    `keeper` holds the sockets and the media workers; without one they are this process's own.
    """
    sockets.raise_descriptor_limit()
    with contextlib.ExitStack() as stack:
        ids = IdSource(os.urandom)  # noqa: TID251 - here it comes in
        keeper = keeper or LocalKeeper(ids.number)
        stack.callback(keeper.close)
        opened = _open_all(policy, admin_override or policy.admin, keeper, stack)
        writer = stack.enter_context(LogWriter(sys.stderr, log_format, policy.log))
        for warning in policy.warnings:
            log.warning("policy.warning", text=str(warning))
        await _Program(policy, opened, keeper, ids, writer, make_engine, read_again).run(ready, stop)


class _Opened(Struct, frozen=True, eq=False):
    """Everything that can be missing or taken, held before anything is started."""

    listeners: tuple[OpenSocket, ...]
    admin: socket.socket | None
    store: CdrWriter
    state: StateStore


def _open_all(policy: Policy, admin: str, keeper: Keeper, stack: contextlib.ExitStack) -> _Opened:
    """All of it, or one OperatorError with every problem; then nothing stays open."""
    problems: list[str] = []
    listeners: tuple[OpenSocket, ...] = ()
    admin_socket: socket.socket | None = None
    store: CdrWriter | None = None
    try:
        listeners = sockets.open_listeners(policy.interfaces.values(), keeper.listen)
        stack.callback(sockets.close_all, listeners)
    except OperatorError as error:
        problems.append(str(error))
    try:
        admin_socket = _open_admin(admin, stack, has_token=policy.admin_token is not None)
    except OperatorError as error:
        problems.append(str(error))
    try:
        store = stack.enter_context(CdrWriter.open(make_data_dir(Path(policy.data_dir))))
    except OperatorError as error:
        problems.append(str(error))
    try:
        need_psycopg(policy.cdr.postgres)
    except OperatorError as error:
        problems.append(str(error))
    if problems or store is None:
        raise OperatorError("\n".join(problems))
    return _Opened(listeners, admin_socket, store, StateStore(store.path.parent))


def _open_admin(address: str, stack: contextlib.ExitStack, *, has_token: bool) -> socket.socket | None:
    if address == "off":
        return None
    listener = open_admin_socket(address, has_token=has_token)
    stack.enter_context(remove_socket(label_of(listener)))
    stack.enter_context(listener)
    return listener


class _Program:
    """The parts and their wiring. `run` is the life of the process."""

    def __init__(
        self,
        policy: Policy,
        opened: _Opened,
        keeper: Keeper,
        ids: IdSource,
        writer: LogWriter,
        make_engine: MakeEngine,
        read_again: ReadPolicy | None,
    ) -> None:
        self._policy = policy
        self._opened = opened
        self._keeper = keeper
        self._writer = writer
        self._drops: Counter[str] = Counter()
        self._is_started = self._is_stopping = False
        self._label = ""  # the admin API's address
        self._is_abandoned = False  # who starts the next SBC wants our addresses at once
        self._lost_locals: set[str] = set()  # media addresses that were taken from this machine
        self._portless: list[str] = []  # media addresses on which no call could be carried
        self._engine = make_engine(policy, ids)
        self._driver = driver = Driver(self._engine, _escaped)
        self._copy = CdrCopy(opened.store)
        self._retention = CdrRetention(opened.store, policy.cdr)
        self._sink = CdrSink(opened.store, driver.handle, stored=self._copy.stored, tidy=self._retention.step)
        self._alerts = Alerts(policy.name, policy.webhook, self._drops, is_whole=policy.log.numbers == "full")
        writer.notice = self._alerts.notice
        self._reloader = Reloader(policy, read_again or _nothing_to_read, self._prepare)
        self._can_reload = read_again is not None
        self._overlay: Callable[[Policy], Policy] | None = None  # laid over each policy that is put in force
        self._door = CallDoor(lambda: self._policy, self._lay_door, self._end_test_calls, ids)
        self._network = NetworkWatch(policy.interfaces, driver.handle)
        self._view: ProgramView | None = None
        self._hep = HepExport(self._engine.trace, self._drops, now=clock.boot_seconds, wall_at_zero=clock.wall_at_zero)
        self._hep.set_policy(policy.hep)
        self._resolver = Resolver(driver.handle, self._drops, servers=name_servers(os.environ))
        self._media = MediaPool(
            keeper,
            _media_of(policy),
            driver.handle,
            _media_marks(policy),
            node=node_label(policy.name, opened.store.path.parent),
            own=_own_hosts(policy),
        )
        self._transports = Transports(
            opened.listeners, driver, self._engine, self._drops, clock.boot_seconds, keeper
        )
        driver.performers = {
            SendMessage: self._transports.send,
            CloseFlow: self._transports.close,
            LookUp: self._resolver.look_up,
            AskMedia: lambda command: self._media.ask(command.request),
            OpenPorts: self._open_ports,
            ClosePorts: lambda command: self._media.close_ports(command.local, command.ports),
            WriteCdr: self._sink.write,
            StoreState: opened.state.store,
            Alert: self._alerts.perform,
            Log: writer.perform,
        }

    async def run(self, ready: Ready | None, stop: Stop | None) -> None:
        unsaved = unkept = 0
        try:
            async with trio.open_nursery() as nursery:
                if stop is None:
                    stop = Stop()
                    await nursery.start(watch_signals, stop.drain.set, stop.now.set, self._reload)
                await nursery.start(self._keep, stop)
                await self._start(nursery, ready)
                await self._until_stopped(stop)
                with trio.move_on_after(0 if self._is_abandoned else _LAST_ALERTS_SECONDS):
                    await _until(lambda: not self._alerts.waiting)
                nursery.cancel_scope.cancel()
        finally:
            self._media.close()
            self._transports.close_all()
            with trio.CancelScope(shield=True):
                unsaved = await self._sink.finish(_FLUSH_SECONDS)
                await self._copy.finish(0 if self._is_abandoned else _LAST_COPIES_SECONDS)
                unkept = await self._opened.state.finish(_FLUSH_SECONDS)
        if unkept:
            log.error("state.lost", values=unkept, path=str(self._opened.state.path))
        if unsaved:
            raise OperatorError(f"{self._opened.store.path}: {unsaved} call records could not be stored and are lost")

    # --- beginning ------------------------------------------------------------------------------------------------

    async def _start(self, nursery: trio.Nursery, ready: Ready | None) -> None:
        self._sink.start()
        self._copy.start(self._policy.cdr.postgres)
        kept = self._opened.state.load()
        self._opened.state.start()
        nursery.start_soon(self._writer.watch)
        await nursery.start(self._alerts.run)
        await nursery.start(self._media.run)
        await nursery.start(self._resolver.run)
        await nursery.start(self._hep.run)
        await nursery.start(self._transports.run)
        self._driver.start(StateRestored(kept))
        self._is_started = True
        if self._portless:
            raise OperatorError("\n".join(self._portless))
        nursery.start_soon(self._driver.run)
        await self._first_look_ups()
        self._transports.listen()
        label = await self._start_admin(nursery)
        _settle_memory()
        if ready is not None:
            ready(label)
        else:
            self._writer.plain(f"sbc: ready name={self._policy.name} admin={label}")
        self._label = label
        self._keeper.ready(label)
        self._keeper.has_pulse(self._pulse)
        nursery.start_soon(self._network.run)

    async def _keep(self, stop: Stop, *, task_status: trio.TaskStatus[None]) -> None:
        await self._keeper.run(task_status=task_status)
        self._is_abandoned = True  # nobody holds our sockets any more
        stop.drain.set()
        stop.now.set()

    async def _first_look_ups(self) -> None:
        """Who may speak to us can depend on what a name resolves to; but a dead name server must not keep us down."""
        with trio.move_on_after(_FIRST_LOOK_UPS_SECONDS):
            await _until(lambda: not self._resolver.under_way)

    async def _start_admin(self, nursery: trio.Nursery) -> str:
        listener = self._opened.admin
        if listener is None:
            return "off"
        # Slow to import, and not needed for calls.
        from sbc.runtime.http import serve_admin  # noqa: PLC0415

        self._view = view = ProgramView(
            self._engine,
            self._driver,
            self._policy,
            self._drops,
            now=clock.boot_seconds,
            tasks=lambda: self._resolver.under_way + self._transports.connecting,
            log_dropped=lambda: self._writer.dropped,
            workers=self._workers,
            alarms=self._alerts.alarms,
            copy_pending=lambda: self._copy.pending,
            supervisor=self._keeper.supervisor,
        )
        data_dir = self._opened.store.path.parent
        nursery.start_soon(_look_at_the_load, view)
        await nursery.start(self._door.run)
        serving = partial(
            serve_admin,
            listener,
            view,
            self._driver.handle,
            data_dir,
            reload=self._reload,
            token=self._admin_token,
            performers={OpenDoor: self._door.open, CloseDoor: self._door.close},
            drops=self._drops,
        )
        label: str = await nursery.start(serving)
        return label

    def _admin_token(self) -> str | None:
        token = self._policy.admin_token
        return None if token is None else token.text

    def _workers(self) -> tuple[WorkerView, ...]:
        media = self._media
        return tuple(
            WorkerView(number, pid, sessions=media.sessions_of(number))
            if said is None
            else WorkerView(number, pid, said.engine, said.reason, said.devices, media.sessions_of(number))
            for number, (pid, said) in enumerate(zip(media.pids, media.engines, strict=True))
        )

    def _pulse(self) -> str | None:
        """What `systemctl status` says; None while the engine does not turn."""
        if clock.boot_seconds() - self._driver.beat_at > _ALIVE_SECONDS:
            return None
        active = sum(alarm.is_active for alarm in self._alerts.alarms())
        what = "draining" if self._is_stopping else "ready"
        return f"{what}, {self._engine.load().calls} calls, {active} alarms, admin {self._label}"

    # --- while it runs --------------------------------------------------------------------------------------------

    async def _reload(self) -> list[str] | Changes:
        """Every problem; or what has changed."""
        if not self._can_reload:
            return ["this program did not read its policy from files"]
        return await self._reloader.reload()

    async def _reapply(self) -> list[str]:
        """The policy in force with another overlay. Every problem, and then nothing has changed."""
        return await self._reloader.again()

    async def _lay_door(self, door: Door | None) -> list[str]:
        """Every problem, and then no door is open that was not before."""
        self._overlay = None if door is None else partial(with_door, door=door)
        problems = await self._reapply()
        if problems:
            self._overlay = None
        return problems

    def _end_test_calls(self) -> None:
        for call in self._engine.snapshot(clock.boot_seconds()).calls:
            if NAME in (call.ingress, call.egress):
                self._driver.handle(HangUpOrdered(call.ref))

    def _prepare(self, policy: Policy) -> "_Prepared":
        """Opens what this policy has and the one in force has not. Raises OperatorError, and then nothing is open."""
        need_psycopg(policy.cdr.postgres)
        policy = policy if self._overlay is None else self._overlay(policy)
        interfaces = policy.interfaces.values()
        return _Prepared(self, policy, self._transports.open(interfaces, _media_marks(self._policy)))

    def put_in_force(self, policy: Policy, opened: Sequence[OpenSocket]) -> None:
        self._policy = policy
        if self._view is not None:
            self._view.policy = policy
        self._writer.set_rules(policy.log)
        self._alerts.set_policy(policy)
        self._hep.set_policy(policy.hep)
        self._copy.change(policy.cdr.postgres)
        self._retention.change(policy.cdr)
        self._media.change(_media_of(policy), _media_marks(policy), _own_hosts(policy))
        self._transports.change(policy.interfaces.values(), opened)
        self._driver.handle(PolicyChanged(policy))
        self._network.change_interfaces(policy.interfaces)

    def drop(self, opened: Sequence[OpenSocket]) -> None:
        self._transports.drop(opened)

    def _open_ports(self, command: OpenPorts) -> None:
        try:
            answer = self._media.open_ports(command.local, command.pairs)
        except OSError as error:  # the address went away while we ran
            log.error("media.no_ports", alarm=True, local=command.local, reason=sockets.explain(error))  # noqa: TRY400
            answer = PortsOpened(command.local, ())
            self._lost_locals.add(command.local)
        else:
            if command.local in self._lost_locals:
                self._lost_locals.remove(command.local)
                log.info("media.ports_opened", local=command.local, pairs=len(answer.ports))
        if not answer.ports and not self._is_started:
            first, last = self._policy.media.first_port, self._policy.media.last_port
            problem = f"media.ports {first}-{last} on {command.local}: none can be opened: {self._media.why_short()}"
            self._portless.append(problem)
        self._driver.handle(answer)

    # --- ending ---------------------------------------------------------------------------------------------------

    async def _until_stopped(self, stop: Stop) -> None:
        await stop.drain.wait()
        self._is_stopping = True
        self._keeper.stopping()
        patience = self._policy.stop_after
        had_calls = not self._calls_are_over()
        self._driver.handle(DrainOrdered(clock.boot_seconds() + patience))
        async with trio.open_nursery() as waiting:
            waiting.start_soon(self._end_at_once, stop.now, waiting.cancel_scope)
            with trio.move_on_after(patience + _OVERTIME_SECONDS):
                await self._last_words(had_calls=had_calls)
            if not self._emergencies_are_over():
                await _until(self._emergencies_are_over)
                with trio.move_on_after(_OVERTIME_SECONDS):
                    await self._last_words(had_calls=True)
            waiting.cancel_scope.cancel()

    async def _end_at_once(self, now: trio.Event, waiting: trio.CancelScope) -> None:
        """Calls are ended, not left: their BYEs are sent once and their records written."""
        await now.wait()
        self._driver.handle(DrainOrdered(clock.boot_seconds(), is_final=True))
        with trio.move_on_after(_STOP_NOW_SECONDS):
            await _until(self._calls_are_over)
        waiting.cancel()

    async def _last_words(self, *, had_calls: bool) -> None:
        await _until(self._calls_are_over)
        with trio.move_on_after(_LAST_TRANSACTIONS_SECONDS if had_calls else 0.0):
            await _until(lambda: not self._engine.snapshot(clock.boot_seconds()).transactions)

    def _emergencies_are_over(self) -> bool:
        """They are exempt from the deadline (contract, section 7). Only a second signal ends them."""
        return not any(call.emergency for call in self._engine.snapshot(clock.boot_seconds()).calls)

    def _calls_are_over(self) -> bool:
        return not self._sink.pending and not self._engine.snapshot(clock.boot_seconds()).calls


class _Prepared(Struct, frozen=True, eq=False):
    """A policy, and the sockets that were opened for it."""

    program: _Program
    policy: Policy
    opened: tuple[OpenSocket, ...]

    def put_in_force(self) -> None:
        self.program.put_in_force(self.policy, self.opened)

    def drop(self) -> None:
        self.program.drop(self.opened)


def _nothing_to_read() -> Policy:
    raise OperatorError("this program did not read its policy from files")


def _media_marks(policy: Policy) -> dict[str, int]:
    """DSCP by media address."""
    return {local: interface.dscp_media for interface in policy.interfaces.values() for local in interface.media}


def _media_of(policy: Policy) -> MediaSettings:
    """Between loopback addresses the kernel engine never relays, so who left the choice to us is not told what it
    lacks there: no BPF file system, no permission.
    """
    media = policy.media
    hosts = [ipaddress.ip_address(host) for interface in policy.interfaces.values() for host in interface.media]
    is_local = media.engine == "auto" and all(host.is_loopback for host in hosts)
    return replace(media, engine="userland") if is_local else media


def _own_hosts(policy: Policy) -> frozenset[str]:
    """From which no peer sends."""
    interfaces = policy.interfaces.values()
    sip = {listener.address.host for interface in interfaces for listener in interface.listeners}
    return frozenset(sip | {host for interface in interfaces for host in interface.media})


def _settle_memory() -> None:
    """What is loaded now stays for good: the collector need not look at it again, nor look often at what calls make."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)


async def _look_at_the_load(view: ProgramView) -> None:
    while True:
        view.sample()
        await trio.sleep(_LOAD_SECONDS)


async def _until(condition: Callable[[], bool]) -> None:
    """The engine tells nobody that it is idle; at the two ends of its life that is worth asking."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(_LOOK_SECONDS)


def _escaped(error: Exception, where: str) -> None:
    log.error("engine.failure", alarm=True, where=where, exc_info=error)
