"""The composition root: the only module that knows every other. It opens, builds, wires, and ends things in order.

Sockets, from the `Keeper`, and files first, all problems said at once; then the media workers, the engine, the
listeners, the admin API; then one line, `sbc: ready …`. A stop drains: the engine ends what is left, every record gets
to the disk, then all else goes.
Used by `sbc.cli.signalling`, which `sbc run` starts.
"""

import contextlib
import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol

import structlog
import trio

from sbc.admin.control import Restart, restarted
from sbc.admin.exchange import Reply
from sbc.admin.testcall import CloseDoor, OpenDoor
from sbc.b2bua.commands import (
    Alert,
    AskMedia,
    BlockAll,
    BlockSource,
    ClosePorts,
    HoldPorts,
    Log,
    NoteCdr,
    OpenPorts,
    StoreState,
    WriteCdr,
)
from sbc.b2bua.events import HangUpOrdered, LeaveOrdered, PolicyChanged, StateRestored
from sbc.b2bua.switch import Switch
from sbc.core import limits
from sbc.core.address import Address, Transport
from sbc.core.errors import OperatorError
from sbc.core.ids import IdSource
from sbc.core.tables import Table
from sbc.policy.engine import Policy
from sbc.policy.load import load_policy
from sbc.policy.testcall import NAME
from sbc.runtime import clock, media_rules, sockets
from sbc.runtime.alerts import Alerts
from sbc.runtime.ban_mirror import BanMirror
from sbc.runtime.call_door import CallDoor
from sbc.runtime.cdr_copy import CdrCopy
from sbc.runtime.cdr_postgres import need_psycopg
from sbc.runtime.cdr_records import CdrRecords
from sbc.runtime.cdr_retention import CdrRetention
from sbc.runtime.certificates import CertificateWatch
from sbc.runtime.data_dir import node_label
from sbc.runtime.dns import Resolver, name_servers
from sbc.runtime.driver import Driver, Engine
from sbc.runtime.dtls_identity import keep_identity, need_dtls, retire_identity
from sbc.runtime.fullness import Fullness
from sbc.runtime.hep import HepExport
from sbc.runtime.in_force import PolicyInForce, ReadPolicy
from sbc.runtime.keeper import Keeper
from sbc.runtime.local_keeper import LocalKeeper
from sbc.runtime.logging import LogFormat, LogWriter
from sbc.runtime.media_pool import MediaPool
from sbc.runtime.memory import settle_memory, uncollected
from sbc.runtime.network import NetworkWatch
from sbc.runtime.opening import Opened, open_all
from sbc.runtime.port_opening import PortOpening
from sbc.runtime.recording.writer import Recording
from sbc.runtime.signals import watch_signals
from sbc.runtime.sockets import OpenSocket
from sbc.runtime.stopping import Stop, Stoppable, Stopping
from sbc.runtime.tls_gate import TlsGate
from sbc.runtime.tls_rules import TlsRules
from sbc.runtime.transports import Transports
from sbc.runtime.until import until
from sbc.runtime.view import ProgramView, Viewed, worker_views
from sbc.sip.commands import CloseFlow, LookUp, SendMessage

_FIRST_LOOK_UPS_SECONDS: Final = 2.0  # for the policy's host names, before the first message is read
_FLUSH_SECONDS: Final = 5.0  # for records and state that are not on disk yet
_LAST_COPIES_SECONDS: Final = 3.0  # for records that another database has not yet; the next start goes on
_LAST_REPLY_SECONDS: Final = 0.1  # for what is leaving already, as the API's answer that we go
_LAST_ALERTS_SECONDS: Final = 2.0  # for what the webhook has not been told yet
_ALIVE_SECONDS: Final = 5.0  # an engine that has not turned for as long does not turn
_LOAD_SECONDS: Final = 5.0  # between two looks at the load

log = structlog.get_logger("app")


class RunningEngine(Engine, Viewed, Stoppable, Protocol):
    """What the app needs of `b2bua.switch.Switch`; tests bring their own."""

    def knows(self, interface: str, host: str, port: int, transport: Transport) -> bool: ...
    def lets_go(self, transport: Transport, local: Address) -> bool: ...
    def show_fingerprint(self, fingerprint: tuple[str, str]) -> None: ...
    @property
    def has_former_peers(self) -> bool: ...
    @property
    def unrecorded(self) -> set[str]: ...


MakeEngine = Callable[[Policy, IdSource], RunningEngine]
Ready = Callable[[str], None]


def run(
    paths: Sequence[Path | str],
    *,
    log_format: LogFormat = "console",
    keeper: Keeper | None = None,
    recording: Recording | None = None,
) -> int:
    """Signalling: until a signal ends it. Raises OperatorError for what the operator can put right."""

    def read() -> Policy:
        return load_policy(
            paths, environment=os.environ, wants_secrets=True, now=clock.boot_seconds() + clock.wall_at_zero()
        )

    trio.run(partial(serve, read(), read_again=read, log_format=log_format, keeper=keeper, recording=recording))
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
    recording: Recording | None = None,
) -> None:
    """Runs until it is stopped: by `stop` where one is given, else by signals. Cancelling it ends it without draining.

    `ready` is told the admin address instead of the line on stderr. `read_again` is what a reload asks, in a thread.
    `keeper` holds the sockets and the media workers; without one they are this process's own. `recording` keeps all
    that the engine does, which is then the recording's own.
    """
    sockets.raise_descriptor_limit()
    with contextlib.ExitStack() as stack:
        ids = IdSource(os.urandom)  # noqa: TID251 - here it comes in
        keeper = keeper or LocalKeeper(ids.number)
        stack.callback(keeper.close)
        opened = open_all(policy, admin_override or policy.admin, keeper, stack)
        writer = stack.enter_context(LogWriter(sys.stderr, log_format, policy.log))
        for warning in policy.warnings:
            log.warning("policy.warning", text=str(warning))
        if recording is not None and recording.open():
            make_engine = recording.make_engine
        try:
            program = _Program(policy, opened, keeper, ids, writer, make_engine, read_again)
            if recording is not None:
                recording.announce()
            await program.run(ready, stop)
        finally:
            if recording is not None:
                with trio.CancelScope(shield=True):
                    await recording.finish(_FLUSH_SECONDS)


class _Program:
    """The parts and their wiring. `run` is the life of the process."""

    def __init__(
        self,
        policy: Policy,
        opened: Opened,
        keeper: Keeper,
        ids: IdSource,
        writer: LogWriter,
        make_engine: MakeEngine,
        read_again: ReadPolicy | None,
    ) -> None:
        self._opened = opened
        self._keeper = keeper
        self._writer = writer
        self._drops: Counter[str] = Counter()
        self._is_stopping = False
        self._label = ""  # the admin API's address
        self._is_leaving = False  # the next life goes on with our calls, and wants to begin at once
        self._is_orphaned = False  # the supervisor was killed
        self._engine = make_engine(policy, ids)
        self._driver = driver = Driver(self._engine, _escaped)
        self._copy = CdrCopy(opened.store)
        self._retention = CdrRetention(opened.store, policy.cdr)
        self._records = CdrRecords(opened.store, self._copy, self._retention, driver.handle, policy.name)
        self._alerts = Alerts(policy.name, policy.webhook, self._drops, is_whole=policy.log.numbers == "full")
        writer.notice = self._alerts.notice
        self._tls = TlsRules(policy)
        self._tls.prepare(policy)
        self._gate = TlsGate(self._tls, self._drops, clock.boot_seconds)
        self._in_force = PolicyInForce(policy, None if read_again is None else partial(self._read, read_again), self)
        self._certificates = CertificateWatch(lambda: self._in_force.policy, self._gate.expiries, self._in_force.reload)
        self._door = CallDoor(lambda: self._in_force.policy, self._in_force.lay_door, self._end_test_calls, ids)
        self._network = NetworkWatch(policy.interfaces, driver.handle, were_here=opened.lost)
        self._view: ProgramView | None = None
        self._hep = HepExport(self._engine.trace, self._drops, now=clock.boot_seconds, wall_at_zero=clock.wall_at_zero)
        self._hep.set_policy(policy.hep)
        self._resolver = Resolver(driver.handle, self._drops, servers=name_servers(os.environ))
        wall = clock.boot_seconds() + clock.wall_at_zero()
        identity = keep_identity(opened.store.path.parent, ids, wall)
        if identity is not None:
            self._engine.show_fingerprint(identity[1])
        self._media = MediaPool(
            keeper,
            media_rules.settings_of(policy),
            driver.handle,
            media_rules.marks_of(policy),
            node=node_label(policy.name, opened.store.path.parent),
            own=media_rules.own_hosts(policy),
            dtls=None if identity is None else identity[0],
            is_settled=False,
        )
        self._ports = PortOpening(self._media, policy.media, driver.handle, is_restart=keeper.is_restart)
        self._transports = Transports(
            opened.listeners, driver, self._engine, self._drops, clock.boot_seconds, keeper, self._gate
        )
        self._bans = BanMirror(policy, clock.boot_seconds)
        driver.performers = {
            SendMessage: self._transports.send,
            CloseFlow: self._transports.close,
            LookUp: self._resolver.look_up,
            AskMedia: lambda command: self._media.ask(command.request),
            OpenPorts: self._ports.perform,
            HoldPorts: self._ports.hold,
            ClosePorts: lambda command: self._media.close_ports(command.local, command.ports),
            WriteCdr: self._records.sink.write,
            NoteCdr: self._records.sink.note,
            StoreState: opened.state.store,
            BlockSource: self._bans.perform,
            BlockAll: self._bans.perform,
            Alert: self._alerts.perform,
            Log: writer.perform,
        }

    async def run(self, ready: Ready | None, stop: Stop | None) -> None:
        unsaved = unkept = 0
        try:
            async with trio.open_nursery() as nursery:
                if stop is None:
                    stop = Stop()
                    end = (stop.drain.set, stop.now.set, self._in_force.reload, stop.leave.set)
                    await nursery.start(watch_signals, *end)
                await nursery.start(self._keep, stop)
                await self._start(nursery, ready)
                await self._until_stopped(stop)
                with trio.move_on_after(_LAST_REPLY_SECONDS if self._is_leaving else _LAST_ALERTS_SECONDS):
                    await until(lambda: not self._alerts.waiting)
                nursery.cancel_scope.cancel()
        finally:
            self._media.close()
            self._transports.close_all()
            with trio.CancelScope(shield=True):
                unsaved = await self._records.finish(_FLUSH_SECONDS)
                await self._copy.finish(0 if self._is_leaving else _LAST_COPIES_SECONDS)
                unkept = await self._opened.state.finish(_FLUSH_SECONDS)
            if self._label and not self._engine.load().calls:
                retire_identity(self._opened.store.path.parent, clock.boot_seconds() + clock.wall_at_zero())
        problems: list[str] = []
        if unkept:  # who comes next may find them in memory, as after a death: so this is no end in order
            log.error("state.lost", values=unkept, path=self._opened.state.place)
            problems.append(f"{self._opened.state.place}: {unkept} values are not on the disk")
        if unsaved:
            problems.append(f"{self._opened.store.path}: {unsaved} call records could not be stored and are lost")
        if problems:
            raise OperatorError("\n".join(problems))

    # --- beginning ------------------------------------------------------------------------------------------------

    async def _start(self, nursery: trio.Nursery, ready: Ready | None) -> None:
        self._records.start(self._in_force.policy.cdr)
        self._copy.start(self._in_force.policy.cdr.postgres)
        kept = self._opened.state.load()
        self._opened.state.start()
        nursery.start_soon(self._opened.state.watch)
        nursery.start_soon(self._writer.watch)
        await nursery.start(self._alerts.run)
        await nursery.start(self._media.run)
        await nursery.start(self._resolver.run)
        await nursery.start(self._hep.run)
        await nursery.start(self._transports.run)
        nursery.start_soon(self._bans.run)
        settle_memory()
        with uncollected():
            self._driver.start(StateRestored(kept, self._opened.state.is_late))
        self._media.settled()
        self._records.sink.close_open(self._engine.unrecorded)
        portless = self._ports.started()
        if portless:
            raise OperatorError("\n".join(portless))
        nursery.start_soon(self._driver.run)
        await self._first_look_ups()
        self._transports.listen()
        nursery.start_soon(Fullness().run, lambda: (*self._engine.tables(), *self._tables()), _escaped)
        label = await self._start_admin(nursery)
        if ready is not None:
            ready(label)
        else:
            self._writer.plain(f"sbc: ready name={self._in_force.policy.name} admin={label}")
        self._label = label
        self._keeper.ready(label)
        self._keeper.has_pulse(self._pulse)
        nursery.start_soon(self._network.run)
        nursery.start_soon(self._certificates.run)

    async def _keep(self, stop: Stop, *, task_status: trio.TaskStatus[None]) -> None:
        await self._keeper.run(task_status=task_status)
        self._is_orphaned = True
        stop.leave.set()  # nobody holds our sockets any more; whoever starts the next SBC has our calls on the disk

    async def _first_look_ups(self) -> None:
        """Who may speak to us can depend on what a name resolves to; but a dead name server must not keep us down."""
        with trio.move_on_after(_FIRST_LOOK_UPS_SECONDS):
            await until(lambda: not self._resolver.under_way)

    async def _start_admin(self, nursery: trio.Nursery) -> str:
        listener = self._opened.admin
        if listener is None:
            return "off"
        # Slow to import, and not needed for calls.
        from sbc.runtime.http import serve_admin  # noqa: PLC0415

        self._view = view = ProgramView(
            self._engine,
            self._driver,
            self._in_force.policy,
            self._drops,
            now=clock.boot_seconds,
            tasks=lambda: self._resolver.under_way + self._transports.connecting,
            log_dropped=lambda: self._writer.dropped,
            workers=partial(worker_views, self._media),
            alarms=self._alerts.alarms,
            copy_pending=lambda: self._copy.pending,
            spool=self._records.view,
            state=self._opened.state.lag,
            tables=self._tables,
            supervisor=self._keeper.supervisor,
            certificates=self._certificates.expiries,
            revocation_lists=self._certificates.list_expiries,
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
            reload=self._in_force.reload,
            token=self._admin_token,
            performers={OpenDoor: self._door.open, CloseDoor: self._door.close, Restart: self._restart},
            drops=self._drops,
        )
        label: str = await nursery.start(serving)
        return label

    def _tables(self) -> tuple[Table, ...]:
        """Those of the runtime."""
        return (
            Table("log_lines", self._writer.waiting, limits.LOG_LINES),
            Table("alerts", self._alerts.waiting, limits.ALERTS, is_ring=True),
            Table("alarms", self._alerts.remembered, limits.ALARMS, is_ring=True),
            *self._opened.state.tables(),
            *self._media.tables(),
            *self._transports.tables(),
        )

    def _admin_token(self) -> str | None:
        token = self._in_force.policy.admin_token
        return None if token is None else token.text

    def _pulse(self) -> str | None:
        """What `systemctl status` says; None while the engine does not turn."""
        if clock.boot_seconds() - self._driver.beat_at > _ALIVE_SECONDS:
            return None
        active = sum(alarm.is_active for alarm in self._alerts.alarms())
        what = "draining" if self._is_stopping else "ready"
        return f"{what}, {self._engine.load().calls} calls, {active} alarms, admin {self._label}"

    # --- while it runs --------------------------------------------------------------------------------------------

    def _end_test_calls(self) -> None:
        for call in self._engine.snapshot(clock.boot_seconds()).calls:
            if NAME in (call.ingress, call.egress):
                self._driver.handle(HangUpOrdered(call.ref))

    def _read(self, read_again: ReadPolicy) -> Policy:
        """In a thread; and so is made what takes time to make of it. What is wrong with that, `open_for` says."""
        policy = read_again()
        with contextlib.suppress(OperatorError):
            self._tls.prepare(policy)
        return policy

    def open_for(self, policy: Policy) -> tuple[OpenSocket, ...]:
        need_psycopg(policy.cdr.postgres)
        need_dtls(policy)
        self._tls.check(policy)
        return self._transports.open(policy.interfaces.values(), media_rules.marks_of(self._in_force.policy))

    def put_in_force(self, policy: Policy, opened: Sequence[OpenSocket]) -> None:
        if self._view is not None:
            self._view.policy = policy
        self._writer.set_rules(policy.log)
        self._alerts.set_policy(policy)
        self._hep.set_policy(policy.hep)
        self._bans.set_policy(policy)
        self._copy.change(policy.cdr.postgres)
        self._records.change(policy.cdr)
        self._retention.change(policy.cdr)
        self._media.change(media_rules.settings_of(policy), media_rules.marks_of(policy), media_rules.own_hosts(policy))
        profiles = self._tls.policy.tls_profiles
        self._tls.set_policy(policy)
        self._transports.change(policy.interfaces.values(), opened)
        self._driver.handle(PolicyChanged(policy))
        self._transports.judge_again(profiles)
        self._certificates.policy_changed()
        self._network.change_interfaces(policy.interfaces)

    def drop(self, opened: Sequence[OpenSocket]) -> None:
        self._transports.drop(opened)

    # --- ending ---------------------------------------------------------------------------------------------------

    async def _until_stopped(self, stop: Stop) -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._leave_when_told, stop, nursery.cancel_scope)
            await stop.drain.wait()
            self._is_stopping = True
            self._keeper.stopping()
            stopping = Stopping(self._engine, self._driver.handle, lambda: self._records.sink.pending)
            await stopping.run(self._in_force.policy.stop_after, stop.now)
            nursery.cancel_scope.cancel()

    async def _leave_when_told(self, stop: Stop, until_stopped: trio.CancelScope) -> None:
        await stop.leave.wait()
        self._is_leaving = True
        if not self._is_orphaned:
            self._driver.handle(LeaveOrdered())
        until_stopped.cancel()

    async def _restart(self, _: Restart) -> Reply:
        return restarted(await self._keeper.restart())


async def _look_at_the_load(view: ProgramView) -> None:
    while True:
        try:
            view.sample()
        except Exception as error:  # noqa: BLE001 - a picture for charts is no reason to end calls
            _escaped(error, "load")
        await trio.sleep(_LOAD_SECONDS)


def _escaped(error: Exception, where: str) -> None:
    log.error("engine.failure", alarm=True, where=where, exc_info=error)
