"""The admin API on a socket: an ASGI application on hypercorn, behind `serve_admin`.

What is answered is decided by `sbc.admin.api`, who may ask by `sbc.admin.authz`; this half translates, asks the CDR
store in a thread, and waits for the answers to a ping. Connections are `http_clients`', the web page's files
`http_page`'s, the event stream `http_events`'.
Slow to import, so `app` does that when the SIP listeners are up; the socket comes from `admin_socket` before.
"""

import contextlib
import itertools
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import structlog
import trio
from msgspec import Struct
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from sbc.admin import api, authz, control, stream
from sbc.admin.exchange import (
    AskStore,
    ControlEvent,
    Order,
    Perform,
    Ping,
    Reload,
    Reply,
    Request,
    Stream,
    problem,
)
from sbc.admin.state import AdminState
from sbc.b2bua.events import PingOrdered
from sbc.cdr.store import CdrReader, StoreError
from sbc.core import limits
from sbc.policy.changes import Changes
from sbc.runtime.admin_socket import door_of, label_of, open_admin_socket, remove_socket
from sbc.runtime.http_clients import Clients
from sbc.runtime.http_events import Pictures, send_events
from sbc.runtime.http_page import Page, is_of_page, page_reply, read_page
from sbc.runtime.in_force import NOT_FROM_FILES
from sbc.runtime.seldom import Seldom

_OF_CALLER: Final = ("host", "authorization", "origin", "sec-fetch-site", "sec-fetch-dest")
_VERSIONS: Final = ("1.0", "1.1")  # of HTTP
_LOOK_SECONDS: Final = (0.02, 0.25)  # how often the answers to a ping are looked for: at first, and later
_WRONG_TOKENS_SECONDS: Final = 60.0  # between two lines about them
_OF_ALL: Final = {  # what no reply has otherwise than the page, which says so itself
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
}

log = structlog.get_logger("admin")

# Reads the policy again: what has changed; or every problem, and then nothing has.
ReloadPolicy = Callable[[], Awaitable[Sequence[str] | Changes]]
# What the program does by itself when the API asks for it, by the type of what is asked (`exchange.Perform`).
Performers = Mapping[type, Callable[[Any], Awaitable[Reply]]]


async def _nothing_to_reload() -> Sequence[str]:
    return (NOT_FROM_FILES,)


async def serve_admin(
    admin: str | socket.socket,
    state: AdminState,
    order: Callable[[ControlEvent], None],
    data_dir: Path,
    *,
    reload: ReloadPolicy = _nothing_to_reload,
    performers: Performers = MappingProxyType({}),
    token: Callable[[], str | None] = lambda: None,
    drops: Counter[str] | None = None,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled. `admin` is the policy's address, or a socket that `open_admin_socket` made of it.

    `token`: the one of the policy in force, asked with every request. `drops` counts clients that were dropped or had a
    wrong token. Started with the address that clients use. OperatorError when the address cannot be had.
    """
    listener = open_admin_socket(admin, has_token=token() is not None) if isinstance(admin, str) else admin
    label = label_of(listener)
    drops = Counter() if drops is None else drops
    program = _Program(state, order, data_dir, reload, performers, door_of(listener), token, drops)
    with listener, remove_socket(label):
        page = await trio.to_thread.run_sync(read_page)
        pictures = Pictures(state)
        app = _Endpoint(program, page, pictures)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(pictures.run)
            # Who connects from now on waits until its turn comes.
            task_status.started(label)
            await Clients(app, listener, drops).run()


class _Program(Struct, frozen=True, eq=False):
    """What is served, and to whom."""

    state: AdminState
    order: Callable[[ControlEvent], None]
    data_dir: Path
    reload: ReloadPolicy
    performers: Performers
    door: authz.Door
    token: Callable[[], str | None]
    drops: Counter[str]


class _Endpoint:
    """The ASGI application behind every path."""

    def __init__(self, program: _Program, page: Page, pictures: Pictures) -> None:
        self._program = program
        self._page = page
        self._pictures = pictures
        self._pings = itertools.count(1)
        self._readers = trio.CapacityLimiter(limits.CDR_READERS)
        self._wrong_tokens = Seldom(_WRONG_TOKENS_SECONDS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await send({"type": "websocket.close"})
            return
        http = HttpRequest(scope, receive)
        try:
            reply = await self._reply(http)
        except Exception:
            log.exception("admin.failed", method=http.method, path=scope["path"])
            reply = problem(500, "this is a bug of the SBC; its log says more")
        if isinstance(reply, Stream):
            await self._send_events(http, receive, send)
        else:
            await _response(reply)(scope, receive, send)

    async def _reply(self, http: HttpRequest) -> Reply | Stream:
        if http.scope["http_version"] not in _VERSIONS:
            return problem(505, "only HTTP/1.1 is spoken here")
        if "content-length" in http.headers and "transfer-encoding" in http.headers:
            # A proxy in front may see the end of this request elsewhere than we do (RFC 9112 §6.1).
            return problem(400, "a body has Content-Length or Transfer-Encoding", (("Connection", "close"),))
        refusal = self._refusal(http)
        if refusal is not None:
            return refusal
        path = http.scope["path"]  # and not that of `http.url`, which a Host field can change
        if is_of_page(path):
            return page_reply(self._page, http.method, path, http.headers.get("if-none-match", ""))
        with trio.move_on_after(limits.ADMIN_BODY_SECONDS) as patience:
            body = await _body(http)
        if patience.cancelled_caught:
            return problem(408, f"the body was not there within {limits.ADMIN_BODY_SECONDS:.0f} s")
        if body is None:
            return problem(413, f"expected a body of at most {limits.ADMIN_BODY_OCTETS} octets")
        query = tuple(http.query_params.multi_items())
        return await self._answer(Request(http.method, path, query, http.headers.get("accept", ""), body))

    def _refusal(self, http: HttpRequest) -> Reply | None:
        path = http.scope["path"]
        caller = authz.Caller(*(http.headers.get(name, "") for name in _OF_CALLER))
        reply = authz.refusal(
            self._program.door,
            self._program.token(),
            caller,
            is_open=is_of_page(path) or api.is_open(path),
            is_order=http.method not in {"GET", "HEAD"} or api.is_lasting(path),
        )
        if reply is not None and reply.status == 401 and caller.authorization:
            self._program.drops["admin_wrong_token"] += 1
            times = self._wrong_tokens.due(trio.current_time())
            if times:
                log.warning("admin.wrong_token", times=times, client=http.client and http.client.host)
        return reply

    async def _answer(self, request: Request) -> Reply | Stream:
        program = self._program
        answer = api.answer(request, program.state)
        match answer:
            case Order(event, reply):
                log.info("admin.order", order=f"{request.method} {request.path}")
                program.order(event)
                return reply(program.state)
            case Ping(peer):
                return await self._ping(peer)
            case Reload():
                return control.reloaded(await program.reload())
            case AskStore(question):
                return await trio.to_thread.run_sync(_ask_store, program.data_dir, question, limiter=self._readers)
            case Perform(what):
                return await program.performers[type(what)](what)
            case Stream():
                return problem(503, "too many listen already", (("Retry-After", "10"),)) if self._is_full() else answer
            case Reply():
                return answer

    def _is_full(self) -> bool:
        return self._pictures.is_full

    async def _ping(self, peer: str) -> Reply:
        token = f"api-{next(self._pings)}"
        self._program.order(PingOrdered(peer, token))
        pause, longest = _LOOK_SECONDS
        state = self._program.state
        with trio.move_on_after(control.PING_SECONDS):
            while not control.is_pinged(state.glance(0), token):
                await trio.sleep(pause)
                pause = min(2 * pause, longest)
        return control.pinged(state.glance(0), peer, token)

    async def _send_events(self, http: HttpRequest, receive: Receive, send: Send) -> None:
        response = _response(Reply(200, stream.CONTENT_TYPE, b"", (("Connection", "close"),)))
        del response.headers["content-length"]
        start = {"type": "http.response.start", "status": 200, "headers": response.raw_headers}
        if http.method == "HEAD":
            await send(start)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return
        # The place is taken before anybody else can look for one.
        with self._pictures.reader(), contextlib.suppress(trio.BrokenResourceError):
            await send(start)
            await send_events(self._pictures, receive, send, partial(self._is_welcome, self._program.token()))

    def _is_welcome(self, token: str | None) -> bool:
        """A token that was right when the stream began counts no more when another is in force."""
        return self._program.token() == token


def _response(reply: Reply) -> Response:
    return Response(reply.body, reply.status, _OF_ALL | dict(reply.headers), reply.content_type or None)


async def _body(http: HttpRequest) -> bytes | None:
    """None where it is longer than anything that this API takes."""
    body = b""
    async with contextlib.aclosing(http.stream()) as chunks:
        async for chunk in chunks:
            body += chunk
            if len(body) > limits.ADMIN_BODY_OCTETS:
                return None
    return body


def _breathe() -> None:
    """A thread that has much to compute gives way to the engine's, which would else wait 5 ms for its turn."""
    time.sleep(0.0005)


def _ask_store(data_dir: Path, question: Callable[[CdrReader], Reply]) -> Reply:
    """In a thread: SQLite blocks."""
    try:
        with CdrReader.open(data_dir) as reader:
            deadline = time.monotonic() + limits.CDR_QUESTION_SECONDS
            reader.be_considerate(is_late=lambda: time.monotonic() > deadline, breathe=_breathe)
            return question(reader)
    except ValueError as error:
        return problem(400, str(error))
    except StoreError as error:
        return problem(503, str(error))
