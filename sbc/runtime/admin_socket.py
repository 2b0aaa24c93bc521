"""The socket of the admin API: bound and listening before anything else is started.

A taken port or a bad path is an operator's error; a Unix socket never has wider permissions than it should, one left by
a crash is replaced, and a file of another kind is never touched. It serves nothing; `runtime.http` does.
"""

import contextlib
import errno
import ipaddress
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sbc.admin.address import TcpAddress, UnixAddress, parse_admin_address
from sbc.admin.authz import Door
from sbc.core.errors import OperatorError

UNIX_MODE: Final = 0o660  # the service's user and group; others have no business here
_DEAD_CLIENT_MS: Final = 10_000  # what was sent must have arrived by then, or the client is gone
_UNREAD_OCTETS: Final = 131_072  # that the kernel holds for a client that reads slowly


def open_admin_socket(address: str, *, has_token: bool = False) -> socket.socket:
    """A bound, listening socket. What stands in the way is an OperatorError that says what to do.

    Without a token an address beyond loopback is none of ours, whatever the policy's reader says of it.
    """
    parsed = parse_admin_address(address)
    if isinstance(parsed, TcpAddress) and not parsed.is_loopback and not has_token:
        raise OperatorError(f"admin {parsed}: beyond loopback the API needs a token (sbc.admin_token in the policy)")
    try:
        return _listen_unix(parsed) if isinstance(parsed, UnixAddress) else _listen_tcp(parsed)
    except OSError as error:
        raise OperatorError(f"admin {parsed}: {_SENTENCES.get(error.errno or 0) or error.strerror or error}") from error


def door_of(listener: socket.socket) -> Door:
    """Who can reach it."""
    if listener.family == socket.AF_UNIX:
        return "unix"
    return "loopback" if ipaddress.ip_address(listener.getsockname()[0]).is_loopback else "network"


def label_of(listener: socket.socket) -> str:
    """The address as clients write it, with the port that port 0 became."""
    name = listener.getsockname()
    return f"unix:{name}" if listener.family == socket.AF_UNIX else str(TcpAddress(name[0], name[1]))


@contextlib.contextmanager
def remove_socket(label: str) -> Iterator[None]:
    """Take the Unix socket away at the end, but not that of a successor that has the path by then."""
    path = Path(label.removeprefix("unix:"))
    if str(path) == label:
        yield
        return
    inode = path.stat().st_ino
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if path.stat().st_ino == inode:
                path.unlink()


def _listen_tcp(address: TcpAddress) -> socket.socket:
    host = "127.0.0.1" if address.host == "localhost" else address.host
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    with _closed_on_failure(listener):
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Accepted sockets inherit these.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _DEAD_CLIENT_MS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, address.port))
        _listen(listener)
    return listener


def _listen_unix(address: UnixAddress) -> socket.socket:
    _clear_stale_socket(address)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _closed_on_failure(listener):
        listener.bind(address.path)
        # Nobody can connect before listen(), so there is no moment with wider permissions.
        Path(address.path).chmod(UNIX_MODE)
        _listen(listener)
    return listener


def _listen(listener: socket.socket) -> None:
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _UNREAD_OCTETS)
    listener.listen(100)
    listener.setblocking(False)


def _clear_stale_socket(address: UnixAddress) -> None:
    """A socket that nobody listens on is left from a crash and goes; anything else stays and is an error."""
    try:
        if not stat.S_ISSOCK(Path(address.path).stat().st_mode):
            raise OperatorError(f"admin {address}: there is a file of another kind at this path; it is left as it is")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(address.path)
        except ConnectionRefusedError:
            Path(address.path).unlink()
            return
        except BlockingIOError:  # somebody listens, with a full backlog
            pass
    raise OperatorError(f"admin {address}: {_SENTENCES[errno.EADDRINUSE]}")


@contextlib.contextmanager
def _closed_on_failure(listener: socket.socket) -> Iterator[None]:
    try:
        yield
    except BaseException:
        listener.close()
        raise


_SENTENCES: Final = {
    errno.EADDRINUSE: "another program listens there already",
    errno.EADDRNOTAVAIL: "no network interface of this machine has that address",
    errno.EACCES: "no permission to listen there",
    errno.ENOENT: "the folder does not exist",
    errno.ENOTDIR: "the folder does not exist",
}
