"""How the crowd's telephones of one side reach the SBC: one UDP socket, or connections that come again when broken.

A wire carries whole messages and knows nothing of SIP but where one ends. It never blocks for longer than a connect.
"""

import contextlib
import re
import selectors
import socket
import ssl
from collections.abc import Callable
from contextlib import AbstractContextManager

Heard = Callable[[str, "Way"], None]
_LENGTH = re.compile(rb"\r\n(?:Content-Length|l) *: *(\d+)", re.IGNORECASE)
_CONNECT_SECONDS = 3.0
_BUFFER = 4 << 20


class Way:
    """What a message came by; a response goes back by it."""

    def send(self, text: str) -> None:
        raise NotImplementedError


class Datagrams(Way):
    """UDP, port 5060 on both sides."""

    transport = "UDP"
    is_reliable = False

    def __init__(self, host: str, to: str, selector: selectors.BaseSelector, heard: Heard, **_: object) -> None:
        self._to, self._heard = (to, 5060), heard
        self._sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
        self._sock.setblocking(False)
        self._sock.bind((host, 5060))
        selector.register(self._sock, selectors.EVENT_READ, self._reads)

    @property
    def way(self) -> Way:
        return self

    def send(self, text: str) -> None:
        self._sock.sendto(text.encode(), self._to)

    def close(self) -> None:
        self._sock.close()

    def _reads(self) -> None:
        for _ in range(256):
            try:
                data = self._sock.recv(65535)
            except BlockingIOError:
                return
            if data.strip():
                self._heard(data.decode(), self)


class Connections:
    """TCP or TLS: listens at port 5060, and connects to the SBC when there is something to say and no connection."""

    is_reliable = True

    def __init__(
        self,
        host: str,
        to: str,
        selector: selectors.BaseSelector,
        heard: Heard,
        *,
        inside: Callable[[], AbstractContextManager[None]],
        lost: Callable[[], None] = lambda: None,
        to_port: int = 5060,
        client: ssl.SSLContext | None = None,
        server: ssl.SSLContext | None = None,
    ) -> None:
        """`inside`: where sockets are made. `lost`: a connection has ended. `client`, `server`: with both it is TLS."""
        self.transport = "TLS" if server else "TCP"
        self.broken = 0  # connections that the other side ended
        self._host, self._to, self._selector, self._heard = host, (to, to_port), selector, heard
        self._inside, self._lost, self._client, self._server = inside, lost, client, server
        self._open: list[_Connection] = []
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, 5060))
        self._listener.listen(64)
        self._listener.setblocking(False)
        selector.register(self._listener, selectors.EVENT_READ, self._accepts)

    @property
    def way(self) -> Way:
        """The newest connection; a new one where none is left. OSError: nobody takes it."""
        return self._open[-1] if self._open else self._connects()

    def close(self) -> None:
        self._listener.close()
        for connection in tuple(self._open):
            connection.close()

    def _accepts(self) -> None:
        with contextlib.suppress(OSError):
            sock, _ = self._listener.accept()
            self._takes(sock, self._server, is_server=True)

    def _connects(self) -> "Way":
        with self._inside():
            sock = socket.socket()
        try:
            sock.settimeout(_CONNECT_SECONDS)
            sock.bind((self._host, 0))
            sock.connect(self._to)
            return self._takes(sock, self._client, is_server=False)
        except OSError:
            sock.close()
            raise

    def _takes(self, sock: socket.socket, context: ssl.SSLContext | None, *, is_server: bool) -> "_Connection":
        if context is not None:
            sock.settimeout(_CONNECT_SECONDS)
            sock = context.wrap_socket(sock, server_side=is_server)
        connection = _Connection(sock, self)
        self._open.append(connection)
        self._selector.register(sock, selectors.EVENT_READ, connection.reads)
        return connection

    def ended(self, connection: "_Connection") -> None:
        if connection not in self._open:
            return
        self.broken += 1
        self._open.remove(connection)
        self._selector.unregister(connection.sock)
        connection.sock.close()
        self._lost()

    def heard(self, text: str, way: Way) -> None:
        self._heard(text, way)


class _Connection(Way):
    """Blocking to send, for messages are small and the SBC reads them."""

    def __init__(self, sock: socket.socket, owner: Connections) -> None:
        sock.settimeout(_CONNECT_SECONDS)
        self.sock, self._owner = sock, owner
        self._stream = b""

    def send(self, text: str) -> None:
        """On another connection where this one has ended: RFC 3261 §18.2.2. Raises OSError: there is none, too."""
        try:
            self.sock.sendall(text.encode())
        except OSError:
            self._owner.ended(self)
            self._owner.way.send(text)

    def close(self) -> None:
        self._owner.ended(self)

    def reads(self) -> None:
        try:
            data = self.sock.recv(65535)
            while isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
                data += self.sock.recv(65535)
        except (ssl.SSLWantReadError, TimeoutError):
            return
        except OSError:
            data = b""
        if not data:
            self._owner.ended(self)
            return
        self._stream = (self._stream + data).lstrip(b"\r\n")
        while (end := self._stream.find(b"\r\n\r\n") + 4) > 3:
            found = _LENGTH.search(self._stream, 0, end)
            end += int(found[1]) if found else 0
            if len(self._stream) < end:
                return
            message, self._stream = self._stream[:end], self._stream[end:].lstrip(b"\r\n")
            self._owner.heard(message.decode(), self)
