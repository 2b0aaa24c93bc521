"""SIP over TCP: connections accepted and opened, reused, bounded, closed in order (RFC 3261 §18, RFC 5626 §4.4.1).

One reader task per connection feeds the framer; what is sent goes out at once or waits in a bounded outbox for the one
writer. A stranger is closed without a byte. It does not know SIP beyond `sip.framing`; the driver gets whole messages.
Connections that we open are known to the engine by the listener's address, never by their own port.
"""

import contextlib
import errno
import itertools
import math
import os
import resource
import socket
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

import structlog
import trio
from msgspec.structs import replace

from sbc.core import limits
from sbc.core.address import Address, Flow, Transport, canonical_ip
from sbc.runtime.connection import Connection, Receiver
from sbc.runtime.sip_sockets import set_dscp, socket_address
from sbc.runtime.sockets import OpenSocket
from sbc.sip.events import FlowFailed

_ACCEPT_PAUSE_SECONDS: Final = 0.2
_KEPT_FREE: Final = 32  # descriptors that no peer's connection takes: the admin API and the next media worker need some
_SAID_AGAIN_SECONDS: Final = 60.0
_KNOWN_REMOTES: Final = 1_024  # that refused us; forgotten together
_NO_ROOM: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

log = structlog.get_logger("tcp")


class TcpTransport:
    """Every TCP listener and connection. `is_known(interface, host, port)` tells peers from strangers."""

    def __init__(
        self,
        opened: Sequence[OpenSocket],
        driver: Receiver,
        is_known: Callable[[str, str, int], bool],
        drops: Counter[str],
        now: Callable[[], float],
    ) -> None:
        self.connecting = 0  # attempts under way
        self._listeners = {entry.listener.address: _Listener(entry) for entry in opened}
        self._driver = driver
        self._is_known = is_known
        self._drops = drops
        self._now = now
        self._ceiling = resource.getrlimit(resource.RLIMIT_NOFILE)[0] - _KEPT_FREE
        self._no_socket_said_at = -math.inf
        self._failed_said_at: dict[Address, float] = {}
        self._connections: dict[int, Connection] = {}
        self._reusable: dict[tuple[str, Address, Address], Connection] = {}  # by interface, local and remote address
        self._numbers = itertools.count(1)
        self._nursery: trio.Nursery | None = None

    @property
    def connections(self) -> int:
        return len(self._connections)

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
        is_reusable = self._reusable.get(_place(connection.flow)) is connection
        self._forget_for_reuse(connection)
        connection.flow = replace(connection.flow, interface=interface)
        if is_reusable:
            self._reusable.setdefault(_place(connection.flow), connection)

    def remove(self, local: Address) -> None:
        """Close a listener, and its connections after what is already queued has been sent."""
        listener = self._listeners.pop(local)
        listener.ended.cancel()
        trio.lowlevel.notify_closing(listener.entry.socket)
        listener.entry.socket.close()
        for connection in self._of(local):
            self._forget_for_reuse(connection)
            connection.finish()

    def close_strangers(self) -> int:
        """The connections of those that are no peers any more; those of calls that are up are. How many there were."""
        strangers = [c for c in self._connections.values() if not self._is_known(*_source(c.flow))]
        for connection in strangers:
            self._forget_for_reuse(connection)
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
            self._driver.handle(FlowFailed(flow, "the connection is closed"))
            return
        connection.send(data, flow)

    def close(self, flow: Flow) -> None:
        """After what is already queued has been sent."""
        connection = self._find(flow)
        if connection is not None:
            self._forget_for_reuse(connection)
            connection.finish()

    def _find(self, flow: Flow) -> Connection | None:
        if flow.connection:
            return self._connections.get(flow.connection)
        return self._reusable.get((flow.interface, flow.local, flow.remote))

    def _spawn(self, task: Callable[..., object], *args: object) -> None:
        if self._nursery is None:
            raise RuntimeError("TcpTransport.run has not been started")
        self._nursery.start_soon(task, *args)  # type: ignore[arg-type]

    # --- connections that we open ---------------------------------------------------------------------------------

    def _open(self, flow: Flow) -> Connection | None:
        """At once there is a connection to queue on; it may turn out that nobody answers."""
        listener = self._listeners.get(flow.local)
        if listener is None:
            return None
        remote = flow.remote
        try:
            sock = socket.socket(socket.AF_INET6 if remote.is_ipv6 else socket.AF_INET, socket.SOCK_STREAM)
        except OSError as error:
            self._no_socket(_words(error))
            return None
        connection = self._add(sock, flow)
        self._reusable[_place(flow)] = connection
        self._spawn(self._connect_and_serve, connection, listener.entry)
        return connection

    async def _connect_and_serve(self, connection: Connection, entry: OpenSocket) -> None:
        self.connecting += 1
        try:
            reason = await _connect(connection.socket, entry, connection.flow.remote)
        finally:
            self.connecting -= 1
        if reason:
            self._say_failed(connection.flow.remote, reason)
            self._drop(connection)
            connection.abort(reason)
            return
        connection.connected()
        await self._serve(connection)

    def _say_failed(self, remote: Address, reason: str) -> None:
        """The engine hears of each attempt, the operator of a remote's first one in a while."""
        now = self._now()
        if now - self._failed_said_at.get(remote, -math.inf) < _SAID_AGAIN_SECONDS:
            return
        if len(self._failed_said_at) >= _KNOWN_REMOTES:
            self._failed_said_at.clear()
        self._failed_said_at[remote] = now
        log.info("tcp.connect_failed", remote=str(remote), reason=reason)

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
                        self._no_socket(_words(error))
                        await trio.sleep(_ACCEPT_PAUSE_SECONDS)
                    continue
                self._accept(sock, source, listener)

    def _accept(self, sock: socket.socket, source: tuple[str, int], listener: "_Listener") -> None:
        entry = listener.entry
        remote = Address(canonical_ip(source[0]) or source[0], source[1])
        if not self._is_known(entry.interface, remote.host, remote.port):
            self._drops["tcp_unknown_source"] += 1
            sock.close()
            return
        if listener.accepted >= limits.CONNECTIONS_PER_LISTENER:
            self._drops["tcp_connections_full"] += 1
            sock.close()
            return
        if sock.fileno() >= self._ceiling:
            sock.close()
            self._no_socket("too many open files")
            return
        try:
            _tune(sock, entry.dscp)
        except OSError:
            sock.close()
            return
        flow = Flow(Transport.TCP, entry.interface, entry.listener.address, remote)
        connection = self._add(sock, flow)
        connection.connected()
        # A peer that connects from its own listening port can be reached on this connection.
        self._reusable.setdefault(_place(flow), connection)
        listener.accepted += 1
        self._spawn(self._serve_accepted, connection, listener)

    async def _serve_accepted(self, connection: Connection, listener: "_Listener") -> None:
        try:
            await self._serve(connection)
        finally:
            listener.accepted -= 1

    # --- all connections ------------------------------------------------------------------------------------------

    def _add(self, sock: socket.socket, flow: Flow) -> Connection:
        number = next(self._numbers)
        connection = Connection(sock, replace(flow, connection=number), self._driver, self._drops, self._now)
        self._connections[number] = connection
        return connection

    async def _serve(self, connection: Connection) -> None:
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(connection.write)
                await connection.read(lambda: self._forget_for_reuse(connection))
                nursery.cancel_scope.cancel()
        finally:
            self._drop(connection)
            connection.abort("")

    def _no_socket(self, reason: str) -> None:
        self._drops["tcp_no_socket"] += 1
        now = self._now()
        if now - self._no_socket_said_at >= _SAID_AGAIN_SECONDS:
            self._no_socket_said_at = now
            log.error("tcp.no_socket", alarm=True, reason=reason)

    def _drop(self, connection: Connection) -> None:
        self._connections.pop(connection.flow.connection, None)
        self._forget_for_reuse(connection)

    def _forget_for_reuse(self, connection: Connection) -> None:
        key = _place(connection.flow)
        if self._reusable.get(key) is connection:
            del self._reusable[key]


class _Listener:
    """`accepted`: connections that live."""

    __slots__ = ("accepted", "ended", "entry")

    def __init__(self, entry: OpenSocket) -> None:
        self.entry = entry
        self.accepted = 0
        self.ended = trio.CancelScope()


def _place(flow: Flow) -> tuple[str, Address, Address]:
    return flow.interface, flow.local, flow.remote


def _source(flow: Flow) -> tuple[str, str, int]:
    return flow.interface, flow.remote.host, flow.remote.port


async def _connect(sock: socket.socket, entry: OpenSocket, remote: Address) -> str:
    """Empty when connected, else why not. The source address is the listener's, so that the peer knows us by it."""
    try:
        _tune(sock, entry.dscp)
        if remote.is_ipv6 == entry.listener.address.is_ipv6:
            sock.bind(socket_address(Address(entry.listener.address.host, 0)))
        with trio.move_on_after(limits.CONNECT_SECONDS) as patience:
            try:
                sock.connect(socket_address(remote))
            except BlockingIOError:
                await trio.lowlevel.wait_writable(sock)
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if number:
                return os.strerror(number).lower()
    except trio.ClosedResourceError:
        return "closed before it was connected"
    except (OSError, ValueError, OverflowError) as error:
        return _words(error)
    return "no answer to the connection attempt" if patience.cancelled_caught else ""


def _tune(sock: socket.socket, dscp: int) -> None:
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    set_dscp(sock, dscp)


def _words(error: Exception) -> str:
    number = getattr(error, "errno", None)
    return os.strerror(number).lower() if number else str(error)
