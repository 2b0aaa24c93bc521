"""A web server that looks like the SBC's to the page: the page's files under the same policy, canned answers, events.

For tests of the views, which need data that a real SBC has only after hours. What it is told is in `orders`.
"""

import contextlib
import json
import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from . import page_data

_TYPES = {".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_END = object()

Answer = tuple[int, Any]


class PageStub:
    """`answers`: by `METHOD path`; what is not there is 404. `state`, `calls`: what a reader of events gets first."""

    def __init__(self, *, token: str = "") -> None:
        self.token = token
        self.state = page_data.state()
        self.calls = {call["ref"]: call for call in page_data.calls()}
        self.answers: dict[str, Answer] = page_data.answers()
        self.orders: list[tuple[str, str, str]] = []  # method, path with query, body
        self.is_silent = False  # no events: the connection is refused
        self._readers: list[queue.Queue[Any]] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.05,), name="page stub", daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}/"

    def stop(self) -> None:
        self.drop_readers()
        self._server.shutdown()
        self._server.server_close()

    def drop_readers(self) -> None:
        with self._lock:
            readers, self._readers = self._readers, []
        for reader in readers:
            reader.put(_END)

    def push(self, event: str, data: Any) -> None:
        with self._lock:
            for reader in self._readers:
                reader.put((event, data))

    def change(self, **state: Any) -> None:
        self.state |= state
        self.push("state", state)

    def tell_calls(self, changed: list[dict[str, Any]], gone: tuple[str, ...] = ()) -> None:
        for call in changed:
            self.calls[call["ref"]] = call
        for ref in gone:
            self.calls.pop(ref, None)
        total = len(self.calls)
        self.push("calls", {"reset": False, "calls": changed, "gone": gone, "total": total, "shown": total})

    def asked(self, method: str, path: str) -> list[str]:
        """The bodies of these orders."""
        return [body for one, where, body in self.orders if one == method and where == path]

    # --- serving ------------------------------------------------------------------------------------------------------

    def events(self) -> Iterator[tuple[str, Any]]:
        reader: queue.Queue[Any] = queue.Queue()
        with self._lock:
            self._readers.append(reader)
            calls = list(self.calls.values())
        yield "state", self.state
        yield "calls", {"reset": True, "calls": calls, "gone": [], "total": len(calls), "shown": len(calls)}
        while (item := reader.get()) is not _END:
            yield item

    def answer(self, method: str, where: str, body: str) -> Answer:
        path, query = urlsplit(where).path.removeprefix("/api/v1/"), dict(parse_qsl(urlsplit(where).query))
        self.orders.append((method, where.removeprefix("/api/v1/"), body))
        if method == "GET" and path == "cdrs":
            return 200, page_data.page_of_cdrs(query)
        return self.answers.get(f"{method} {path}", (404, page_data.problem(404, f"there is nothing at {path}")))

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None:
                pass

            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                if path == "/" or path.startswith("/page/"):
                    self._file("index.html" if path == "/" else path.removeprefix("/page/"))
                elif not self._is_let_in():
                    self._send(401, page_data.problem(401, "this SBC wants a token"))
                elif path == "/api/v1/events":
                    self._events()
                else:
                    self._send(*stub.answer("GET", self.path, ""))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                if not self._is_let_in():
                    self._send(401, page_data.problem(401, "this SBC wants a token"))
                else:
                    self._send(*stub.answer(self.command, self.path, body))

            do_DELETE = do_POST  # noqa: N815 - the name is http.server's

            def _is_let_in(self) -> bool:
                return not stub.token or self.headers.get("Authorization") == f"Bearer {stub.token}"

            def _file(self, name: str) -> None:
                file = files("sbc.admin").joinpath("page", *name.split("/"))
                suffix = name[name.rfind(".") :]
                if ".." in name or suffix not in _TYPES or not file.is_file():
                    self._send(404, page_data.problem(404, name))
                else:
                    self._bytes(200, _TYPES[suffix], file.read_bytes())

            def _send(self, status: int, content: Any) -> None:
                if isinstance(content, str):
                    self._bytes(status, "text/plain; charset=utf-8", content.encode())
                elif isinstance(content, bytes):
                    self._bytes(status, "application/vnd.tcpdump.pcap", content)
                else:
                    kind = "application/json" if status < 400 else "application/problem+json"
                    self._bytes(status, kind, json.dumps(content).encode())

            def _bytes(self, status: int, kind: str, body: bytes) -> None:
                self.send_response(status)
                for name, value in (("Content-Type", kind), ("Content-Length", len(body)), *_PROTECTION):
                    self.send_header(name, str(value))
                self.end_headers()
                with contextlib.suppress(OSError):  # the page has gone elsewhere
                    self.wfile.write(body)

            def _events(self) -> None:
                if stub.is_silent:
                    self._send(503, page_data.problem(503, "too many readers"))
                    return
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
                with contextlib.suppress(OSError):
                    for event, data in stub.events():
                        self.wfile.write(f"event: {event}\ndata: {json.dumps(data)}\n\n".encode())

        return Handler


_PROTECTION = (
    ("Content-Security-Policy", _POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-cache"),
)
