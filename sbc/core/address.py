"""Addresses, transports and flows: where a message came from and may go back to.

A flow is meant as in RFC 5626: transport, local and remote address and, for streams, the connection.
Hosts are IP literals in one canonical text form, never names; names are resolved before they get here.
"""

import enum
import ipaddress
from functools import lru_cache
from typing import Final

from msgspec import Struct

from sbc.core import limits

_LONGEST_LITERAL: Final = 64  # 45 of an IPv6 address, a scope, two brackets


class Transport(enum.StrEnum):
    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"

    @property
    def is_reliable(self) -> bool:
        """True where the transport retransmits, so that transactions need not (RFC 3261 §17)."""
        return self is not Transport.UDP

    @property
    def default_port(self) -> int:
        """RFC 3261 §19.1.2."""
        return 5061 if self is Transport.TLS else 5060


class Address(Struct, frozen=True, order=True):
    """An IP literal (no brackets, canonical form) and a port."""

    host: str
    port: int

    @property
    def is_ipv6(self) -> bool:
        return ":" in self.host

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class Flow(Struct, frozen=True):
    """A way to one remote address. `connection` 0 is UDP, or a stream connection still to be found or opened.

    `proved`: TLS only. The names of the profiles (`Policy.tls_profiles`) that the far end's certificate has proved; of
    a connection still to be opened, the one that it must prove.
    """

    transport: Transport
    interface: str
    local: Address
    remote: Address
    connection: int = 0
    proved: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.transport}:{self.local}-{self.remote}"


def canonical_ip(host: str) -> str | None:
    """The one text form of an IP literal (brackets allowed), or None where `host` is a name.

    IPv4-mapped IPv6 becomes IPv4, so that an address compares equal however a socket reports it.
    """
    return _canonical(host) if len(host) <= _LONGEST_LITERAL else None


@lru_cache(maxsize=limits.REMEMBERED_TEXTS)
def _canonical(host: str) -> str | None:
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    try:
        parsed = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        if parsed.scope_id is not None:
            return host.lower()
    return str(parsed)


def bracketed(host: str) -> str:
    """An IPv6 literal as it stands in a URI or Via (RFC 3261 §25.1 IPv6reference); other hosts unchanged."""
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
