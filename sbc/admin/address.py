"""Where the admin API listens and where its clients connect: `127.0.0.1:8088`, `[::1]:8088`, `unix:PATH`.

Pure: text to value. Used by `runtime.http` and by the command line.
"""

import ipaddress
from typing import Final

from msgspec import Struct

from sbc.core.errors import OperatorError

DEFAULT: Final = "127.0.0.1:8088"
EXPECTED: Final = "expected 127.0.0.1:8088, [::1]:8088 or unix:PATH"
_UNIX_PATH_OCTETS: Final = 107  # sockaddr_un of Linux, less the final NUL


class TcpAddress(Struct, frozen=True):
    host: str  # no brackets
    port: int

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class UnixAddress(Struct, frozen=True):
    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


def parse_admin_address(text: str) -> TcpAddress | UnixAddress:
    """OperatorError where the text is no address; `off` is for the caller to know."""
    if text.startswith("unix:"):
        return _unix(text)
    text = text.removeprefix("http://").rstrip("/")
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        colon = ""
    if not colon or not host or not (port.isascii() and port.isdigit()) or len(port) > 5 or int(port) > 65_535:
        raise OperatorError(f"admin address {text[:200]!r}: {EXPECTED}")
    return TcpAddress(host.lower(), int(port))


def _unix(text: str) -> UnixAddress:
    path = text.removeprefix("unix:")
    if not path or "\0" in path:
        raise OperatorError(f"admin address {text[:200]!r}: {EXPECTED}")
    if len(path.encode("utf-8", "surrogateescape")) > _UNIX_PATH_OCTETS:
        raise OperatorError(
            f"admin address: the path of a Unix socket has at most {_UNIX_PATH_OCTETS} octets: {path[:200]}"
        )
    return UnixAddress(path)
