"""The admin API's connections on real sockets: tokens, the event stream, the page, and clients that misbehave."""

import contextlib
import json
import socket
from collections import Counter
from contextlib import asynccontextmanager
from functools import partial

import httpx2
import pytest
import structlog
import trio
import trio.testing
from msgspec import structs

from sbc.admin.state import RuntimeView, Why
from sbc.b2bua.events import DrainOrdered
from sbc.b2bua.snapshot import CallView, EngineView
from sbc.cli.client import ask, find_token
from sbc.core import limits
from sbc.core.errors import OperatorError
from sbc.runtime.admin_socket import open_admin_socket
from sbc.runtime.http import serve_admin

pytestmark = pytest.mark.loopback

TOKEN = "correct-horse-battery"


class State:
    """A program that stands still until a test changes it."""

    def __init__(self, calls=()):
        self.calls = tuple(calls)

    def engine(self):
        return EngineView("hq", ready=True, calls=self.calls, states=(("answered", len(self.calls)),))

    def glance(self, newest):
        return structs.replace(self.engine(), calls=self.calls[-newest:] if newest else ())

    def call(self, ref):
        return next((call for call in self.calls if call.ref == ref), None)

    def now(self):
        return 0.0

    def runtime(self):
        return RuntimeView()

    def alarms(self):
        return ()

    def ladder(self, _ref):
        return None

    def why(self, *_):
        return Why(refused=False, text="")


def call(ref):
    return CallView(ref, "answered", "office", "carrier", "out", "+14155550100", "+12125550123", 0.0)


class Served:
    def __init__(self, address, state):
        self.address = address
        self.state = state
        self.orders = []
        self.drops = Counter()
        self.token = None

    @property
    def port(self):
        return int(self.address.rpartition(":")[2])

    async def get(self, path, method="GET", **headers):
        uds = self.address.removeprefix("unix:") if self.address.startswith("unix:") else None
        transport = httpx2.AsyncHTTPTransport(uds=uds)
        base = "http://localhost" if uds else f"http://127.0.0.1:{self.port}"
        async with httpx2.AsyncClient(base_url=base, transport=transport) as client:
            return await client.request(method, path, headers={k.replace("_", "-"): v for k, v in headers.items()})

    @asynccontextmanager
    async def listening(self, **headers):
        """The event stream: `await next()` is the next event."""
        stream = await trio.open_tcp_stream("127.0.0.1", self.port)
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        await stream.send_all(f"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n".encode())
        async with stream:
            yield Events(stream)


class Events:
    """Reads server-sent events from a chunked reply."""

    def __init__(self, stream):
        self._stream = stream
        self._data = b""
        self.head = None

    async def __call__(self):
        if self.head is None:
            self.head = (await self._until(b"\r\n\r\n")).decode()
        event = (await self._until(b"\n\n")).decode()
        name, _, data = event[event.index("event: ") :].partition("\n")
        return name.removeprefix("event: "), json.loads(data.removeprefix("data: "))

    async def end(self):
        while more := await self._stream.receive_some(65_536):
            self._data += more
        return self._data

    async def _until(self, mark):
        while mark not in self._data:
            more = await self._stream.receive_some(65_536)
            assert more, "closed"
            self._data += more
        found, _, self._data = self._data.partition(mark)
        return found


@asynccontextmanager
async def serving(folder, address="127.0.0.1:0", state=None, token=None):
    served = Served("", state or State())
    served.token = token
    listener = open_admin_socket(address, has_token=token is not None)
    start = partial(
        serve_admin,
        listener,
        served.state,
        served.orders.append,
        folder,
        token=lambda: served.token,
        drops=served.drops,
    )
    async with trio.open_nursery() as nursery:
        with trio.fail_after(15):
            served.address = await nursery.start(start)
            yield served
        nursery.cancel_scope.cancel()


# --- the token --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("address", ["127.0.0.1:0", "0.0.0.0:0"])
async def test_a_token_opens_everything_and_health_is_open(tmp_path, address):
    async with serving(tmp_path, address, token=TOKEN) as served:
        refused = await served.get("/api/v1/status")
        assert (refused.status_code, refused.headers["www-authenticate"]) == (401, 'Bearer realm="sbc"')
        assert (await served.get("/api/v1/status", authorization=f"Bearer {TOKEN}")).status_code == 200
        for path in ("/metrics", "/api/openapi.json", "/api/v1/events", "/nowhere"):
            assert (await served.get(path)).status_code == 401
        for path in ("/healthz", "/readyz", "/"):
            assert (await served.get(path)).status_code == 200


async def test_a_token_that_a_reload_changes_counts_at_once(tmp_path):
    async with serving(tmp_path, token=TOKEN) as served, served.listening(Authorization=f"Bearer {TOKEN}") as event:
        assert (await event())[0] == "state"
        served.token = "another-one-altogether"
        assert (await served.get("/api/v1/status", authorization=f"Bearer {TOKEN}")).status_code == 401
        await event.end()


async def test_an_address_beyond_loopback_is_closed_when_the_token_is_taken_away(tmp_path):
    async with serving(tmp_path, "0.0.0.0:0", token=TOKEN) as served:
        served.token = None
        assert (await served.get("/api/v1/drain", "POST", authorization=f"Bearer {TOKEN}")).status_code == 403
        assert (await served.get("/healthz")).status_code == 200

    assert not served.orders


async def test_a_unix_socket_needs_no_token(tmp_path):
    async with serving(tmp_path, f"unix:{tmp_path}/admin", token=TOKEN) as served:
        assert (await served.get("/api/v1/drain", "POST")).status_code == 202

    assert isinstance(served.orders[0], DrainOrdered)


async def test_wrong_tokens_are_counted_and_said_once(tmp_path):
    async with serving(tmp_path, token=TOKEN) as served:
        with structlog.testing.capture_logs() as lines:
            for _ in range(3):
                await served.get("/api/v1/status", authorization="Bearer guess-guess-guess")
            await served.get("/api/v1/status")

    assert served.drops == {"admin_wrong_token": 3}
    assert [(line["event"], line["times"], line["client"]) for line in lines] == [("admin.wrong_token", 1, "127.0.0.1")]


async def test_the_command_line_shows_the_token_and_says_what_is_wrong_without(tmp_path, monkeypatch):
    monkeypatch.delenv("SBC_ADMIN_TOKEN", raising=False)
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    async with serving(tmp_path, token=TOKEN) as served:
        asking = partial(ask, served.address, "/api/v1/status", key="name")
        given = find_token(file, None)
        assert (await trio.to_thread.run_sync(partial(asking, token=given)))["name"] == "hq"
        with pytest.raises(OperatorError, match="the SBC wants a token: --token-file FILE"):
            await trio.to_thread.run_sync(asking)
        with pytest.raises(OperatorError, match="this is not the token of the policy in force"):
            await trio.to_thread.run_sync(partial(asking, token="guess-guess-guess"))


# --- the event stream -------------------------------------------------------------------------------------------------


async def test_what_changes_is_told_to_all_who_listen(tmp_path):
    state = State([call("r1")])
    async with serving(tmp_path, state=state) as served, served.listening() as one, served.listening() as two:
        for event in (one, two):
            assert (await event())[0] == "state"
            assert [shown["ref"] for shown in (await event())[1]["calls"]] == ["r1"]
            assert "content-type: text/event-stream" in event.head.lower()
        state.calls = (call("r2"),)
        for event in (one, two):
            name, status = await event()
            if name == "state":  # how many calls there are
                name, status = await event()
            assert ([shown["ref"] for shown in status["calls"]], status["gone"]) == (["r2"], ["r1"])


# BOUND: STREAMED_CALLS
async def test_no_picture_is_taken_while_nobody_listens(tmp_path):
    class Watched(State):
        looks = 0

        def glance(self, newest):
            self.looks += newest == limits.STREAMED_CALLS
            return super().glance(newest)

    state = Watched()
    async with serving(tmp_path, state=state) as served:
        await served.get("/api/v1/status")
        assert state.looks == 0
        async with served.listening() as event:
            await event()
        await served.get("/healthz")
        assert 1 <= state.looks <= 2


# BOUND: EVENT_READERS
async def test_so_many_may_listen_and_one_more_is_told_so(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "EVENT_READERS", 1)
    async with serving(tmp_path) as served:
        async with served.listening() as event:
            await event()
            full = await served.get("/api/v1/events")
            assert (full.status_code, full.headers["retry-after"]) == (503, "10")
        with trio.fail_after(5):
            while True:
                async with served.listening() as event:
                    head = await event._until(b"\r\n\r\n")
                    if b" 200 " in head:
                        break


# BOUND: EVENT_READERS
async def test_no_more_may_listen_when_all_ask_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "EVENT_READERS", 2)
    async with serving(tmp_path) as served, contextlib.AsyncExitStack() as stack:
        streams = [await trio.open_tcp_stream("127.0.0.1", served.port) for _ in range(20)]
        for stream in streams:
            await stack.enter_async_context(stream)
        await trio.testing.wait_all_tasks_blocked()
        for stream in streams:  # nobody else gets a turn meanwhile
            stream.socket._sock.send(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        with trio.fail_after(5):
            heads = [await stream.receive_some(4096) for stream in streams]

    assert sum(b" 200 " in head for head in heads) == 2


async def test_a_page_of_another_site_may_not_listen(tmp_path):
    async with serving(tmp_path) as served:
        assert (await served.get("/api/v1/events", sec_fetch_site="cross-site")).status_code == 403


async def test_a_head_for_the_stream_ends(tmp_path):
    async with serving(tmp_path) as served:
        reply = await served.get("/api/v1/events", "HEAD")

    assert reply.headers["content-type"].startswith("text/event-stream")


# --- clients that misbehave -------------------------------------------------------------------------------------------


# BOUND: ADMIN_STUCK_SECONDS
@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("path", ["/api/v1/events", "/api/v1/calls?limit=10000"])
async def test_a_client_that_does_not_read_is_dropped_and_is_an_alarm(tmp_path, monkeypatch, kind, path):
    monkeypatch.setattr("sbc.core.limits.ADMIN_STUCK_SECONDS", 0.3)
    monkeypatch.setattr("sbc.runtime.http_events.PICTURE_SECONDS", 0.01)
    monkeypatch.setattr("sbc.runtime.http_events._SHARE", 0)

    class Busy(State):
        """Other calls at each look."""

        def glance(self, newest):
            self.calls = tuple(structs.replace(one, started_at=one.started_at + 1) for one in self.calls)
            return super().glance(newest)

    state = Busy(call(f"r{n}") for n in range(500 if path.endswith("events") else 10_000))
    address = "127.0.0.1:0" if kind == "tcp" else f"unix:{tmp_path}/admin"
    with (
        structlog.testing.capture_logs() as lines,
        socket.socket(socket.AF_INET if kind == "tcp" else socket.AF_UNIX) as stuck,
    ):
        stuck.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with serving(tmp_path, address, state) as served:
            stuck.connect(("127.0.0.1", served.port) if kind == "tcp" else f"{tmp_path}/admin")
            stuck.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            with trio.fail_after(10):
                while not served.drops:  # noqa: ASYNC110 - it is a count
                    await trio.sleep(0.02)
            assert (await served.get("/healthz")).status_code == 200

    assert served.drops == {"admin_slow_client": 1}
    assert [(line["event"], line["alarm"]) for line in lines] == [("admin.slow_client", True)]


# BOUND: ADMIN_CLIENTS
async def test_there_are_only_so_many_connections(tmp_path, monkeypatch):
    monkeypatch.setattr(limits, "ADMIN_CLIENTS", 3)
    async with serving(tmp_path) as served, trio.open_nursery() as nursery:
        held = [await trio.open_tcp_stream("127.0.0.1", served.port) for _ in range(3)]
        for stream in held:
            await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
            await stream.receive_some(1000)
        more = await trio.open_tcp_stream("127.0.0.1", served.port)
        assert await more.receive_some(1) == b""
        await held[0].aclose()
        with trio.fail_after(5):
            while True:
                try:
                    assert (await served.get("/healthz")).status_code == 200
                    break
                except httpx2.TransportError:
                    await trio.sleep(0.02)
        for stream in (more, *held):
            await stream.aclose()
        nursery.cancel_scope.cancel()

    assert served.drops["admin_clients"] >= 1


# BOUND: ADMIN_BODY_SECONDS
async def test_a_body_that_does_not_come_is_not_waited_for(tmp_path, monkeypatch):
    monkeypatch.setattr("sbc.core.limits.ADMIN_BODY_SECONDS", 0.1)
    async with serving(tmp_path) as served:
        stream = await trio.open_tcp_stream("127.0.0.1", served.port)
        await stream.send_all(b"POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n")
        reply = await stream.receive_some(4096)
        await stream.aclose()

    assert b" 408 " in reply.splitlines()[0]
    assert not served.orders


async def test_nothing_follows_a_request_that_a_proxy_may_have_cut_elsewhere(tmp_path):
    twice = b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    async with serving(tmp_path) as served:
        stream = await trio.open_tcp_stream("127.0.0.1", served.port)
        await stream.send_all(b"POST /api/v1/drain HTTP/1.1\r\nHost: localhost\r\n" + twice)
        received = b""
        with trio.fail_after(2):
            while data := await stream.receive_some(4096):
                received += data
        await stream.aclose()

    assert received.startswith(b"HTTP/1.1 400 ")
    assert not served.orders


async def test_header_fields_that_never_end_are_refused(tmp_path):
    async with serving(tmp_path) as served:
        stream = await trio.open_tcp_stream("127.0.0.1", served.port)
        await stream.send_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n" + b"X-A: " + b"a" * 70_000)
        reply = await stream.receive_some(4096)
        await stream.aclose()

    assert b" 431 " in reply.splitlines()[0]


async def test_an_upgrade_to_another_version_of_http_is_not_taken(tmp_path):
    upgrade = {"connection": "Upgrade, HTTP2-Settings", "upgrade": "h2c", "http2_settings": "AAMAAABkAAQAAP__"}
    async with serving(tmp_path) as served:
        reply = await served.get("/api/v1/calls", **upgrade)

    assert (reply.status_code, reply.http_version) == (200, "HTTP/1.1")


async def test_who_begins_with_another_version_of_http_keeps_no_place(tmp_path):
    async with serving(tmp_path, token=TOKEN) as served:
        stream = await trio.open_tcp_stream("127.0.0.1", served.port)
        await stream.send_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0\x04\0\0\0\0\0")
        received = b""
        with trio.fail_after(2.0), contextlib.suppress(trio.BrokenResourceError):
            while data := await stream.receive_some(4096):
                received += data
        await stream.aclose()

    assert b"only HTTP/1.1 is spoken" in received


@pytest.mark.parametrize("path", ["/api/v1/trunks/%0A", "/api/v1/calls/%00%C3%BA/ladder", "/%0A", "/api/v1/pbxs/a%3Fb"])
async def test_odd_octets_in_a_path_are_a_name_that_nobody_has(tmp_path, path):
    async with serving(tmp_path) as served:
        reply = await served.get(path)

    assert (reply.status_code, reply.headers["content-type"]) == (404, "application/problem+json")


async def test_a_host_field_cannot_change_what_is_asked(tmp_path):
    async with serving(tmp_path, token=TOKEN) as served:
        for host in ("localhost/healthz?", "localhost/page/", "localhost#"):
            assert (await served.get("/api/v1/calls", host=host)).status_code == 401


async def test_a_web_socket_is_not_spoken(tmp_path):
    upgrade = {"connection": "Upgrade", "upgrade": "websocket", "sec_websocket_version": "13"}
    async with serving(tmp_path) as served:
        reply = await served.get("/api/v1/calls", sec_websocket_key="AAAAAAAAAAAAAAAAAAAAAA==", **upgrade)

    assert reply.status_code == 403


# --- the page ---------------------------------------------------------------------------------------------------------


async def test_the_page_is_served_and_not_sent_twice(tmp_path):
    async with serving(tmp_path) as served:
        first = await served.get("/")
        again = await served.get("/page/index.html", if_none_match=first.headers["etag"])
        outside = await served.get("/page/..%2f..%2fadmin/api.py")

    assert first.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in first.headers["content-security-policy"]
    assert (again.status_code, again.content) == (304, b"")
    assert outside.status_code == 404


async def test_every_reply_may_only_be_what_it_says_it_is(tmp_path):
    async with serving(tmp_path) as served:
        for path in ("/", "/api/v1/status", "/nowhere", "/metrics"):
            headers = (await served.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "no-referrer"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "default-src 'none'" in headers["content-security-policy"]


# BOUND: ADMIN_ANSWER_SECONDS
async def test_a_client_that_takes_one_piece_after_the_other_is_dropped_in_the_end(tmp_path, monkeypatch):
    """Each piece in time, and the whole not: a client cannot hold its place by reading a little now and then."""
    monkeypatch.setattr("sbc.core.limits.ADMIN_ANSWER_SECONDS", 0.5)
    monkeypatch.setattr("sbc.runtime.http_clients._PIECE_OCTETS", 1_024)
    state = State(call(f"r{n}") for n in range(10_000))
    with structlog.testing.capture_logs() as lines, socket.socket() as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        async with serving(tmp_path, "127.0.0.1:0", state) as served:
            slow.connect(("127.0.0.1", served.port))
            slow.sendall(b"GET /api/v1/calls?limit=10000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
            slow.setblocking(False)
            with trio.fail_after(10):
                while not served.drops:
                    await trio.sleep(0.02)
                    with contextlib.suppress(BlockingIOError):
                        slow.recv(1_000)
            assert (await served.get("/healthz")).status_code == 200

    assert served.drops == {"admin_slow_client": 1}
    assert [line["event"] for line in lines] == ["admin.slow_client"]
