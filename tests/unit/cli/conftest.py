"""A running SBC as the commands see it: a real socket with canned answers."""

import http.server
import json
import socketserver
import threading

import pytest


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(f"{self.command} {self.path}")
        self.server.bodies.append(self.rfile.read(int(self.headers.get("Content-Length", 0))))
        status, kind, body = self.server.replies.get(
            f"{self.command} {self.path.partition('?')[0]}", (404, "text/html", "?")
        )
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.end_headers()
        self.wfile.write(body.encode())

    def do_DELETE(self):
        self.do_GET()

    def do_POST(self):
        self.do_GET()

    def address_string(self):
        return "client"

    def log_message(self, *_):
        pass


class Canned:
    """Answers what it was told to; anything else is 404."""

    def knows(self, what, body, status=200, kind="application/json"):
        self.replies[what] = (status, kind, json.dumps(body))

    def refuses(self, what, status, detail, **members):
        document = {"type": "about:blank", "title": "No", "status": status, "detail": detail} | members
        self.knows(what, document, status, "application/problem+json")


class TcpServer(Canned, socketserver.TCPServer):
    allow_reuse_address = True


class UnixServer(Canned, socketserver.UnixStreamServer):
    pass


@pytest.fixture(params=["tcp", "unix"])
def sbc(request, tmp_path):
    """A server with canned answers; `address` is what --admin takes, `bodies` what was sent to it."""
    if request.param == "tcp":
        server = TcpServer(("127.0.0.1", 0), Handler)
        server.address = f"127.0.0.1:{server.server_address[1]}"
    else:
        server = UnixServer(str(tmp_path / "admin"), Handler)
        server.address = f"unix:{tmp_path}/admin"
    server.asked = []
    server.bodies = []
    server.replies = {}
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()
