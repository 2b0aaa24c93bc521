"""SIP over TCP and TLS: connections accepted and opened, reused, bounded, closed in order (RFC 3261 §18, RFC 5626
§4.4.1). Over TLS they are heard, and used, when their handshake is done (`tls_gate`).

One reader task per connection feeds the framer; what is sent goes out at once or waits in a bounded outbox for the one
writer. A stranger is closed without a byte. It does not know SIP beyond `sip.framing`; the driver gets whole messages.
Connections that we open are known to the engine by the listener's address, never by their own port.
"""

import contextlib
import errno
import itertools
import math
import resource
import socket
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

import structlog
import trio
from msgspec.structs import replace

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport, canonical_ip
from sbc.core.tables import Table
from sbc.policy.protection import TlsProfile
from sbc.runtime.connecting import SAID_AGAIN_SECONDS, Connecting, tune, words
from sbc.runtime.connection import Connection, Receiver
from sbc.runtime.reuse import Pool
from sbc.runtime.sip_sockets import set_dscp
from sbc.runtime.sockets import OpenSocket
from sbc.runtime.stream_bounds import StreamBounds, Whose
from sbc.runtime.tls_gate import TlsGate
from sbc.sip.events import FlowFailed

_ACCEPT_PAUSE_SECONDS: Final = 0.2
_KEPT_FREE: Final = 32  # descriptors that no peer's connection takes: the admin API and the next media worker need some
_TOO_MANY: Final = "too many open files"
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = structlog.get_logger("tcp")


class TcpTransport:
    """Every TCP and TLS listener and connection. `is_known(interface, host, port, transport)` tells peers from
    strangers. `gate` None: there are no TLS listeners, and connections are counted by their source.
    """

    def __init__(
        self,
        opened: Sequence[OpenSocket],
        driver: Receiver,
        is_known: Callable[[str, str, int, Transport], bool],
        drops: Counter[str],
        now: Callable[[], float],
        gate: TlsGate | None = None,
    ) -> None:
        self._listeners = {entry.listener.address: _Listener(entry) for entry in opened}
        self._driver = driver
        self.connecting = 0  # attempts under way, handshakes included
        self._gate = gate
        self._is_known = is_known
        self._drops = drops
        self._now = now
        self._ceiling = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _KEPT_FREE
        self._no_socket_said_at = -math.inf
        self._connecting = Connecting(now)
        self._connections: dict[int, Connection] = {}
        self._pool = Pool()
        self._numbers = itertools.count(1)
        self._nursery: trio.Nursery | None = None

    @property
    def connections(self) -> int:
        return len(self._connections)

    def tables(self) -> tuple[Table, ...]:
        """Of the listener that has the most, and of the connection whose peer reads slowest."""
        bounds = [listener.bounds for listener in self._listeners.values()]
        accepted = max((one.connections.total for one in bounds), default=0)
        handshakes = max((one.handshakes.total for one in bounds), default=0)
        unsent = max((connection.queued for connection in self._connections.values()), default=0)
        return (
            Table("connections", accepted, limits.CONNECTIONS_PER_LISTENER),
            Table("handshakes", handshakes, limits.HANDSHAKES_PER_LISTENER),
            Table("outbox_octets", unsent, limits.OUTBOX_OCTETS),
        )

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Started when connections can be opened; accepting begins with `listen`."""
        async with trio.open_nursery() as nursery:
            self._nursery = nursery
            task_status.started()
            await trio.sleep_forever()

    def listen(self) -> None:
        """Begin to accept."""
        for listener in self._listeners.values():
            self._spawn(self._accept_all, listener)

    # --- what a reload changes ------------------------------------------------------------------------------------

    def add(self, entry: OpenSocket) -> None:
        """One listener more, at once."""
        listener = self._listeners[entry.listener.address] = _Listener(entry)
        self._spawn(self._accept_all, listener)

    def change(self, entry: OpenSocket) -> None:
        """The same socket with another mark, or another interface's: so are its connections."""
        listener = self._listeners[entry.listener.address]
        if listener.entry.interface != entry.interface:
            for connection in self._of(entry.listener.address):
                self._rename(connection, entry.interface)
        if listener.entry.dscp != entry.dscp:
            for connection in self._of(entry.listener.address):
                with contextlib.suppress(OSError):  # it is about to end
                    set_dscp(connection.socket, entry.dscp)
        listener.entry = entry

    def _rename(self, connection: Connection, interface: str) -> None:
        """Who has connected before the reload need not connect anew to be heard."""
        is_reusable = self._pool.has(connection)
        self._pool.forget(connection)
        connection.flow = replace(connection.flow, interface=interface)
        if is_reusable:
            self._pool.put(connection, connection.flow)

    def judge_again(self, before: Mapping[str, TlsProfile]) -> None:
        """The policy has changed. TLS connections stay, but those that are revoked; what begins goes out by those alone
        that the policy would still open. `before`: its profiles until now.
        """
        if self._gate is None:
            return
        self._gate.forget_gone()
        for connection in [c for c in self._connections.values() if c.shown is not None]:
            judged = self._gate.judge_again(connection, before)
            if judged.proved != connection.flow.proved:
                connection.flow = replace(connection.flow, proved=judged.proved)
            for name in judged.stale:
                self._pool.forget_profile(connection, name)
            if judged.is_revoked:
                self._pool.forget(connection)
                connection.finish()

    def remove(self, local: Address) -> None:
        """Close a listener, and its connections after what is already queued has been sent."""
        listener = self._listeners.pop(local)
        listener.ended.cancel()
        trio.lowlevel.notify_closing(listener.entry.socket)
        listener.entry.socket.close()
        for connection in self._of(local):
            self._pool.forget(connection)
            connection.finish()

    def close_strangers(self) -> int:
        """The connections of those that are no peers any more; those of calls that are up are. How many there were."""
        strangers = [c for c in self._connections.values() if not self._hears(c.flow)]
        for connection in strangers:
            self._pool.forget(connection)
            connection.finish()
        return len(strangers)

    def _of(self, local: Address) -> list[Connection]:
        return [connection for connection in self._connections.values() if connection.flow.local == local]

    # --- what the engine orders -----------------------------------------------------------------------------------

    def send(self, data: bytes, flow: Flow) -> None:
        connection = self._find(flow)
        if connection is None and not flow.connection:
            connection = self._open(flow)
        if connection is None:
            self._driver.handle(FlowFailed(flow, self._why_not(flow)))
            return
        connection.send(data, flow)

    def _why_not(self, flow: Flow) -> str:
        if flow.transport is Transport.TLS and not flow.connection and not flow.proved:
            return "TLS: no peer's rules say who must be there"
        listener = self._listeners.get(flow.local)
        if not flow.connection and (listener is None or listener.entry.listener.transport is not flow.transport):
            return f"no {flow.transport} listener on {flow.local}"
        return "the connection is closed" if flow.connection else "no descriptor for a connection"

    def close(self, flow: Flow) -> None:
        """After what is already queued has been sent."""
        connection = self._find(flow)
        if connection is not None:
            self._pool.forget(connection)
            connection.finish()

    def _find(self, flow: Flow) -> Connection | None:
        if flow.connection:
            return self._connections.get(flow.connection)
        return self._pool.find(flow)

    def _spawn(self, task: Callable[..., object], *args: object) -> None:
        if self._nursery is None:
            raise RuntimeError("TcpTransport.run has not been started")
        self._nursery.start_soon(task, *args)  # type: ignore[arg-type]

    async def _guarded(self, task: Callable[..., Awaitable[None]], connection: Connection, *args: object) -> None:
        """The outermost barrier: what goes wrong on one connection ends that one alone."""
        try:
            await task(connection, *args)
        except Exception:
            log.exception("engine.failure", alarm=True, where=str(connection.flow.transport))
            self._drop(connection)
            connection.abort("a failure of ours")

    # --- connections that we open ---------------------------------------------------------------------------------

    def _open(self, flow: Flow) -> Connection | None:
        """At once there is a connection to queue on; it may turn out that nobody answers."""
        listener = self._listeners.get(flow.local)
        is_tls = flow.transport is Transport.TLS
        if listener is None or listener.entry.listener.transport is not flow.transport:
            return None
        if is_tls and (self._gate is None or not flow.proved):
            return None
        remote = flow.remote
        try:
            sock = socket.socket(socket.AF_INET6 if remote.is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            self._no_socket(words(error))
            return None
        if sock.fileno() >= self._ceiling:  # a peer whose Contacts lead everywhere takes nobody the last descriptors
            sock.close()
            self._no_socket(_TOO_MANY)
            return None
        connection = self._add(sock, replace(flow, proved=()))
        self._pool.put(connection, flow)
        self._spawn(self._guarded, self._connect_and_serve, connection, listener.entry, flow)
        return connection

    async def _connect_and_serve(self, connection: Connection, entry: OpenSocket, flow: Flow) -> None:
        self.connecting += 1
        try:
            reason = await self._connecting.connect(connection.socket, entry, flow.remote)
            if not reason and flow.transport is Transport.TLS and self._gate is not None:
                reason = await self._gate.meet_server(connection, flow)
        finally:
            self.connecting -= 1
        if reason:
            self._drop(connection)
            connection.abort(reason)
            return
        if flow.transport is Transport.TLS:
            self._reuse(connection)
        else:
            connection.connected()
        await self._serve(connection)

    # --- connections that we accept -------------------------------------------------------------------------------

    async def _accept_all(self, listener: "_Listener") -> None:
        with listener.ended:
            while not listener.ended.cancel_called:
                await trio.lowlevel.wait_readable(listener.entry.socket)
                try:
                    sock, source = listener.entry.socket.accept()
                except BlockingIOError:
                    continue
                except OSError as error:
                    # The connection was gone before we took it, or there is no room for it: it waits in the kernel.
                    if error.errno in _NO_ROOM:
                        self._no_socket(words(error))
                        await trio.sleep(_ACCEPT_PAUSE_SECONDS)
                    continue
                self._accept(sock, source, listener)

    def _accept(self, sock: socket.socket, source: tuple[str, int], listener: "_Listener") -> None:
        entry = listener.entry
        remote = Address(canonical_ip(source[0]) or source[0], source[1])
        flow = Flow(entry.listener.transport, entry.interface, entry.listener.address, remote)
        whose = Whose(remote.host) if self._gate is None else self._gate.whose(flow)
        if self._is_one_too_many(sock, flow, listener, whose):
            sock.close()
            return
        connection = self._add(sock, flow, whose)
        if flow.transport is Transport.TLS:
            self._spawn(self._guarded, self._shake_and_serve, connection, listener, whose)
            return
        connection.connected()
        self._reuse(connection)
        self._spawn(self._guarded, self._serve_accepted, connection, listener, whose)

    def _is_one_too_many(self, sock: socket.socket, flow: Flow, listener: "_Listener", whose: Whose) -> bool:
        """Whether it is to be closed without a byte; else it is counted as one that lives."""
        bounds = listener.bounds
        if not self._hears(flow):
            self._drops["tcp_unknown_source"] += 1
            return True
        if sock.fileno() >= self._ceiling:
            self._no_socket(_TOO_MANY)
            return True
        try:
            tune(sock, listener.entry.dscp)
        except OSError:
            return True  # gone already
        if not bounds.connections.take(whose):
            self._drops["tcp_connections_full"] += 1
            return True
        if flow.transport is Transport.TLS and not bounds.begin_handshake(whose, self._now()):
            self._drops["tls_handshakes_full"] += 1
            bounds.connections.give_back(whose)
            return True
        return False

    async def _shake_and_serve(self, connection: Connection, listener: "_Listener", whose: Whose) -> None:
        is_well = False
        try:
            is_well = self._gate is not None and await self._gate.meet_client(connection, is_stranger=whose.is_stranger)
        finally:
            listener.bounds.handshakes.give_back(whose)
            if not is_well:
                listener.bounds.connections.give_back(whose)
                self._drop(connection)
                connection.abort("")
        if is_well:
            self._reuse(connection)
            await self._serve_accepted(connection, listener, whose)

    async def _serve_accepted(self, connection: Connection, listener: "_Listener", whose: Whose) -> None:
        try:
            await self._serve(connection)
        finally:
            listener.bounds.connections.give_back(whose)

    def _reuse(self, connection: Connection) -> None:
        """A peer that connects from its own listening port can be reached on this connection."""
        if self._connections.get(connection.flow.connection) is connection and not connection.is_finishing:
            self._pool.put(connection, connection.flow)

    # --- all connections ------------------------------------------------------------------------------------------

    def _hears(self, flow: Flow) -> bool:
        return self._is_known(flow.interface, flow.remote.host, flow.remote.port, flow.transport)

    def _add(self, sock: socket.socket, flow: Flow, whose: Whose | None = None) -> Connection:
        number = next(self._numbers)
        is_stranger = whose is not None and whose.is_stranger
        numbered = replace(flow, connection=number)
        connection = Connection(sock, numbered, self._driver, self._drops, self._now, is_stranger=is_stranger)
        self._connections[number] = connection
        return connection

    async def _serve(self, connection: Connection) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.write)
                await connection.read(lambda: self._pool.forget(connection))
                nursery.cancel_scope.cancel()
        finally:
            self._drop(connection)
            connection.abort("")
            if self._gate is not None:
                self._gate.broke(connection)

    def _no_socket(self, reason: str) -> None:
        self._drops["tcp_no_socket"] += 1
        now = self._now()
        if now - self._no_socket_said_at >= SAID_AGAIN_SECONDS:
            self._no_socket_said_at = now
            log.error("tcp.no_socket", alarm=True, reason=reason)

    def _drop(self, connection: Connection) -> None:
        self._connections.pop(connection.flow.connection, None)
        self._pool.forget(connection)


class _Listener:
    __slots__ = ("bounds", "ended", "entry")

    def __init__(self, entry: OpenSocket) -> None:
        self.entry = entry
        self.bounds = StreamBounds()
        self.ended = trio.CancelScope()
