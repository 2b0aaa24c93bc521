"""The admin API on a socket: Starlette on hypercorn, behind `serve_admin`.

What is answered is decided by `sbc.admin.api`; this half translates, asks the CDR store in a thread, and waits for the
answers to a ping.
Slow to import, so `app` does that when the SIP listeners are up; the socket comes from `admin_socket` before.
"""

import contextlib
import ipaddress
import itertools
import logging
import os
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import structlog
import trio
from hypercorn.config import Config
from hypercorn.trio import serve
from starlette.applications import Starlette
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sbc.admin import api, control
from sbc.admin.address import TcpAddress, parse_admin_address
from sbc.admin.exchange import AskStore, ControlEvent, Order, Perform, Ping, Reload, Reply, Request, problem
from sbc.admin.state import AdminState
from sbc.b2bua.events import PingOrdered
from sbc.cdr.store import CdrReader, StoreError
from sbc.core.errors import OperatorError
from sbc.policy.changes import Changes
from sbc.runtime.admin_socket import label_of, open_admin_socket, remove_socket

STORE_SECONDS: Final = 8.0  # for one question to the store; clients wait for ten
CDR_READERS: Final = 2  # questions to the store at a time; more wait
BODY_OCTETS: Final = 4_096  # of a request; the longest that means anything is a deadline
_LOOK_SECONDS: Final = (0.02, 0.25)  # how often the answers to a ping are looked for: at first, and later
_ACCEPT_FAILURES_A_MINUTE: Final = 600
_accept_failures: Final = itertools.count()

log = structlog.get_logger("admin")

# Reads the policy again: what has changed; or every problem, and then nothing has.
ReloadPolicy = Callable[[], Awaitable[Sequence[str] | Changes]]
# What the program does by itself when the API asks for it, by the type of what is asked (`exchange.Perform`).
Performers = Mapping[type, Callable[[Any], Awaitable[Reply]]]


async def nothing_to_reload() -> Sequence[str]:
    """For a program that was not started from files, as the demo."""
    return ("this program did not read its policy from files",)


async def serve_admin(
    admin: str | socket.socket,
    state: AdminState,
    order: Callable[[ControlEvent], None],
    data_dir: Path,
    *,
    reload: ReloadPolicy = nothing_to_reload,
    performers: Performers = MappingProxyType({}),
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. `admin` is the policy's address, or a socket that `open_admin_socket` made of it.

    Started with the address that clients use. OperatorError when the address cannot be had.
    """
    listener = open_admin_socket(admin) if isinstance(admin, str) else admin
    label = label_of(listener)
    app = _application(
        _Endpoint(state, order, data_dir, reload, performers, check_host=listener.family != socket.AF_UNIX)
    )
    with listener, remove_socket(label):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drop_clients_at_the_end, listener.getsockname())
            # Who connects from now on waits until hypercorn accepts.
            task_status.started(label)
            await _serve(app, listener)


class _Endpoint:
    """The ASGI application behind every path."""

    def __init__(
        self,
        state: AdminState,
        order: Callable[[ControlEvent], None],
        data_dir: Path,
        reload: ReloadPolicy,
        performers: Performers,
        *,
        check_host: bool,
    ) -> None:
        self._state = state
        self._order = order
        self._data_dir = data_dir
        self._reload = reload
        self._performers = performers
        self._pings = itertools.count(1)
        self._check_host = check_host
        self._readers = trio.CapacityLimiter(CDR_READERS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        http = HttpRequest(scope, receive)
        try:
            reply = await self._reply(http)
        except Exception:
            log.exception("admin.failed", method=http.method, path=http.url.path)
            reply = problem(500, "this is a bug of the SBC; its log says more")
        response = Response(reply.body, reply.status, dict(reply.headers), reply.content_type)
        await response(scope, receive, send)

    async def _reply(self, http: HttpRequest) -> Reply:
        if self._check_host and not _is_own_host(http.headers.get("host", "")):
            return problem(421, "ask by a loopback address or as localhost")
        if http.method not in {"GET", "HEAD"} and _is_from_elsewhere(http):
            return problem(403, "a web page of another origin may not give orders")
        body = await _body(http)
        if body is None:
            return problem(413, f"expected a body of at most {BODY_OCTETS} octets")
        query = tuple(http.query_params.multi_items())
        request = Request(http.method, http.url.path, query, http.headers.get("accept", ""), body)
        answer = api.answer(request, self._state)
        match answer:
            case Order(event, reply):
                log.info("admin.order", order=f"{http.method} {http.url.path}")
                self._order(event)
                return reply(self._state)
            case Ping(peer):
                return await self._ping(peer)
            case Reload():
                return control.reloaded(await self._reload())
            case AskStore(question):
                return await trio.to_thread.run_sync(_ask_store, self._data_dir, question, limiter=self._readers)
            case Perform(what):
                return await self._performers[type(what)](what)
            case Reply():
                return answer

    async def _ping(self, peer: str) -> Reply:
        token = f"api-{next(self._pings)}"
        self._order(PingOrdered(peer, token))
        pause, longest = _LOOK_SECONDS
        with trio.move_on_after(control.PING_SECONDS):
            while not control.is_pinged(self._state.engine(), token):
                await trio.sleep(pause)
                pause = min(2 * pause, longest)
        return control.pinged(self._state.engine(), peer, token)


async def _body(http: HttpRequest) -> bytes | None:
    """None where it is longer than anything that this API takes."""
    body = b""
    async with contextlib.aclosing(http.stream()) as stream:
        async for chunk in stream:
            body += chunk
            if len(body) > BODY_OCTETS:
                return None
    return body


def _is_from_elsewhere(http: HttpRequest) -> bool:
    """A web page that the operator looks at may post to a loopback address without asking (RFC 6454 §7.3: Origin)."""
    origin = http.headers.get("origin")
    return origin is not None and origin != f"http://{http.headers.get('host', '')}"


def _breathe() -> None:
    """A thread that has much to compute gives way to the engine's, which would else wait 5 ms for its turn."""
    time.sleep(0.0005)


def _ask_store(data_dir: Path, question: Callable[[CdrReader], Reply]) -> Reply:
    """In a thread: SQLite blocks."""
    try:
        with CdrReader.open(data_dir) as reader:
            deadline = time.monotonic() + STORE_SECONDS
            reader.be_considerate(is_late=lambda: time.monotonic() > deadline, breathe=_breathe)
            return question(reader)
    except ValueError as error:
        return problem(400, str(error))
    except StoreError as error:
        return problem(503, str(error))


def _is_own_host(host: str) -> bool:
    """A web page that points its own name at 127.0.0.1 (DNS rebinding) must not reach the API from a browser."""
    if not host:
        return True
    try:
        name = parse_admin_address(host if host.rpartition("]")[2].count(":") else f"{host}:80")
    except OperatorError:
        return False
    return isinstance(name, TcpAddress) and (name.host == "localhost" or _is_literal(name.host))


def _is_literal(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _application(endpoint: _Endpoint) -> Starlette:
    """One route for everything: paths are `api`'s to know. Web page and event streams will be routes beside it."""
    return Starlette(routes=[Route("/{path:path}", endpoint)])


async def _serve(app: Starlette, listener: socket.socket) -> None:
    """A failure of the web server costs a second of the API, and no calls."""
    config = Config()
    config.logger_class = _HypercornLog  # type: ignore[assignment]  # no common base
    config.include_server_header = False
    config.graceful_timeout = 1.0
    logging.getLogger("trio.serve_listeners").addFilter(_says_little_of_accepts)
    while True:
        # hypercorn makes its own socket of the descriptor, and closes it.
        config.bind = [f"fd://{os.dup(listener.fileno())}"]
        try:
            await serve(app, config)  # type: ignore[arg-type]
        except Exception:
            log.exception("admin.server_failed")
        await trio.sleep(1.0)


def _says_little_of_accepts(record: logging.LogRecord) -> bool:
    """trio says with a traceback, ten times a second, that it has no descriptor for a client."""
    record.exc_info = record.exc_text = None
    return next(_accept_failures) % _ACCEPT_FAILURES_A_MINUTE == 0


async def _drop_clients_at_the_end(name: object) -> None:
    """hypercorn's sends cannot be cancelled: a client that has stopped reading would hold up the end of the program."""
    try:
        await trio.sleep_forever()
    finally:
        _drop_clients(name)


def _drop_clients(name: object) -> None:
    """The clients' sockets are hypercorn's secret, but they have the listener's address."""
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if not str(entry.readlink()).startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(entry.name))) as one:
                if one.type == socket.SOCK_STREAM and one.getsockname() == name:
                    one.shutdown(socket.SHUT_RDWR)


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
