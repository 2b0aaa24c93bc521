"""An operator's webhook: an HTTP server that keeps what is posted to it."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

PORT = 8099


class Webhook:
    def __init__(self, host: str) -> None:
        self.posts: list[dict[str, Any]] = []
        self.url = f"http://{host}:{PORT}/alerts"
        posts = self.posts

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                posts.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Not on the test's stderr."""

        self._server = ThreadingHTTPServer((host, PORT), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def of(self, event: str) -> list[dict[str, Any]]:
        return [post for post in self.posts if post["event"] == event]
