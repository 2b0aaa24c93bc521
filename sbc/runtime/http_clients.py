"""The connections of the admin API: accepts them, bounds them, and gives up on a client that does not read.

What is said over them is HTTP/1.1 by hypercorn and the ASGI application's business. hypercorn's own server bounds
neither connections nor the time that a send may take, and shields its sends from being cancelled; so its connections
get streams of ours. Used by `http`.
"""

import contextlib
import ipaddress
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any, Final, cast

import structlog
import trio
from hypercorn.app_wrappers import ASGIWrapper
from hypercorn.config import Config
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import ConnectionState

from sbc.core import limits
from sbc.runtime.seldom import Seldom
from sbc.runtime.sockets import explain

_PIECE_OCTETS: Final = 65_536
_SAY_SECONDS: Final = 60.0
_REST_SECONDS: Final = 0.1  # when no client can be accepted, as without descriptors

log = structlog.get_logger("admin")


class Clients:
    """`app`: an ASGI application. `drops` counts clients that were dropped."""

    def __init__(self, app: Any, listener: socket.socket, drops: Counter[str]) -> None:
        self._app = ASGIWrapper(app)
        self._listener = listener
        self._drops = drops
        self._config = _config()
        self._context = WorkerContext(None)
        self._clients: dict[_Client, str] = {}  # and the host that it is on
        self._seldom = {what: Seldom(_SAY_SECONDS) for what in ("slow", "many", "accept")}

    async def run(self) -> None:
        """Until it is cancelled; then no client holds up the end of the program."""
        accepting = trio.socket.from_stdlib_socket(self._listener)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._drop_all_at_the_end)
            while True:
                try:
                    accepted, address = await accepting.accept()
                except OSError as error:
                    if times := self._due("accept"):
                        log.warning("admin.no_socket", times=times, reason=explain(error))
                    await trio.sleep(_REST_SECONDS)
                    continue
                host = str(address[0]) if isinstance(address, tuple) else ""
                if self._is_too_many(host):
                    accepted.close()
                    self._drops["admin_clients"] += 1
                    if times := self._due("many"):
                        log.warning(
                            "admin.too_many_clients", times=times, clients=len(self._clients), host=host or None
                        )
                else:
                    nursery.start_soon(self._serve, _Client(trio.SocketStream(accepted), self._drop_slow), host)

    async def _serve(self, client: "_Client", host: str) -> None:
        """A failure of the web server costs one connection, and no calls."""
        self._clients[client] = host
        try:
            stream = cast("trio.SSLStream[trio.SocketStream]", client)
            await _Connection(self._app, self._config, self._context, ConnectionState({}), stream)
        except Exception:
            log.exception("admin.server_failed")
        finally:
            del self._clients[client]
            client.close()

    def _is_too_many(self, host: str) -> bool:
        """One host cannot keep the others out; on loopback there is but one."""
        hosts = self._clients.values()
        network = network_of(host)
        mine = sum(network_of(one) == network for one in hosts)
        return len(hosts) >= limits.ADMIN_CLIENTS or (mine >= limits.ADMIN_CLIENTS_PER_HOST and network != "")

    def _drop_slow(self, client: "_Client") -> None:
        self._drops["admin_slow_client"] += 1
        host = self._clients.get(client) or "the Unix socket"
        if times := self._due("slow"):
            reason = f"read nothing for {limits.ADMIN_STUCK_SECONDS:.0f} s"
            log.warning("admin.slow_client", alarm=True, times=times, client=host, reason=reason)

    async def _drop_all_at_the_end(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            for client in list(self._clients):
                client.shut_down()

    def _due(self, what: str) -> int:
        """How often it has happened, where it is to be said now."""
        return self._seldom[what].due(trio.current_time())


@lru_cache(maxsize=1024)
def network_of(host: str) -> str:
    """What one host may speak from: its IPv4 address, all of its IPv6 network; empty for this machine itself."""
    if not host:
        return ""
    address = ipaddress.ip_address(host.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        address = address.ipv4_mapped or address
    if address.is_loopback:
        return ""
    return str(address if address.version == 4 else ipaddress.ip_network((address, 64), strict=False))


class _Connection(TCPServer):
    """hypercorn's, which keeps the place of a client that has gone until it would have been idle for too long.

    It also goes over to HTTP/2 for whoever begins with that, where it never calls a client idle: anybody could hold
    all places for ever, without a token. So that is left out, and the request is answered as what it is.
    """

    async def _read_data(self) -> None:
        self.protocol.protocol._check_protocol = _stay_with_http_1  # type: ignore[union-attr, method-assign]
        await super()._read_data()
        await self.idle_task.stop()


async def _stay_with_http_1(_request: object) -> None:
    pass


class _Client:
    """A stream as hypercorn's connections use it. A send that takes too long is the end of it."""

    def __init__(self, stream: trio.SocketStream, too_slow: Callable[["_Client"], None]) -> None:
        self.socket = stream.socket
        self._stream = stream
        self._too_slow = too_slow
        self._is_given_up = False

    async def send_all(self, data: bytes) -> None:
        """In pieces: who takes one in time may have the next."""
        end = trio.current_time() + limits.ADMIN_ANSWER_SECONDS
        view = memoryview(data)
        for start in range(0, len(view), _PIECE_OCTETS):
            if self._is_given_up:
                raise trio.BrokenResourceError
            with trio.move_on_at(min(end, trio.current_time() + limits.ADMIN_STUCK_SECONDS)) as scope:
                await self._send(view[start : start + _PIECE_OCTETS])
            if scope.cancelled_caught:
                self._is_given_up = True
                self._too_slow(self)
                self.shut_down()
                raise trio.BrokenResourceError

    async def _send(self, piece: memoryview) -> None:
        try:
            await self._stream.send_all(piece)
        except trio.BusyResourceError as error:  # hypercorn is about to close it, since the client has gone
            raise trio.BrokenResourceError from error

    async def receive_some(self, most: int) -> bytes:
        return bytes(await self._stream.receive_some(most))

    async def send_eof(self) -> None:
        await self._stream.send_eof()

    async def aclose(self) -> None:
        await self._stream.aclose()

    def shut_down(self) -> None:
        """Whoever waits for it waits no more."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.socket.close()


def _config() -> Config:
    config = Config()
    config.logger_class = _HypercornLog  # type: ignore[assignment]  # no common base
    config.include_server_header = False
    return config


class _HypercornLog:
    """hypercorn's own words go where all others go; what it says about itself is detail."""

    def __init__(self, _config: Config) -> None:
        pass

    async def access(self, *_: Any) -> None:
        pass

    async def _detail(self, message: str, *args: Any, **_: Any) -> None:
        log.debug("admin.server", text=message % args if args else message)

    async def _trouble(self, message: str, *args: Any, **_: Any) -> None:
        log.error("admin.server", text=message % args if args else message, exc_info=sys.exc_info()[1] is not None)

    debug: Callable[..., Awaitable[None]] = _detail
    info: Callable[..., Awaitable[None]] = _detail
    warning: Callable[..., Awaitable[None]] = _detail
    error: Callable[..., Awaitable[None]] = _trouble
    critical: Callable[..., Awaitable[None]] = _trouble
    exception: Callable[..., Awaitable[None]] = _trouble
