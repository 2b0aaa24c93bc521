"""Names from /etc/hosts: read when the file changes, asked before the DNS, as the system's own look-up does it.

Used by the resolver. It knows host names and addresses, nothing of DNS messages.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from sbc.core.address import canonical_ip

_LOCALHOST: Final = ("127.0.0.1", "::1")  # RFC 6761 §6.3: names of the loopback, whatever a file or server says
_OCTETS: Final = 1_048_576  # of the file; what is behind is not read


class HostsFile:
    def __init__(self, path: Path = Path("/etc/hosts")) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._names: Mapping[str, tuple[str, ...]] = {}

    def addresses(self, name: str) -> tuple[str, ...] | None:
        """Of both families; None: the file does not know the name. `name`: lower case, no final dot."""
        self._read_if_changed()
        known = self._names.get(name)
        if known is None and (name == "localhost" or name.endswith(".localhost")):
            return _LOCALHOST
        return known

    def _read_if_changed(self) -> None:
        try:
            stat = self._path.stat()
            stamp = (stat.st_mtime_ns, stat.st_ino, stat.st_size)
            if stamp != self._stamp:
                with self._path.open("rb") as file:
                    self._names = parse_hosts(file.read(_OCTETS).decode("utf-8", "replace"))
                self._stamp = stamp
        except OSError:
            self._stamp, self._names = None, {}


def parse_hosts(text: str) -> dict[str, tuple[str, ...]]:
    """hosts(5): an address, then names; `#` begins a comment. What is no address is passed over."""
    names: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        address, *aliases = line.partition("#")[0].split() or [""]
        literal = canonical_ip(address)
        if literal is None or "%" in literal:
            continue
        for alias in aliases:
            name = alias.lower().removesuffix(".")
            if literal not in names.get(name, ()):
                names[name] = (*names.get(name, ()), literal)
    return names
