"""Which source may send to one of our ports: what the SDP says, and how exactly it is taken (RFC 7362 tells the risks).

`strict` asks for the SDP's address and port, `address` for its address alone: PBXs move a call between their parts and
send from another port. Neither moves where we send to: that is the SDP's address and port, always. So a packet from a
stranger can neither be injected nor draw media to itself. RTCP is judged by itself and never moves RTP.
"""

import socket
from typing import Final

from msgspec import Struct

from sbc.media.wire import End


class Latch(Struct, frozen=True):
    """The source that is let in: a host, and a port or 0 for any. No source has the empty host: nobody is let in."""

    host: str
    port: int


NOBODY: Final = Latch("", 0)
NOWHERE: Final = ("", 0)


def latch(end: End, *, is_rtcp: bool) -> Latch:
    remote = end.remote
    if remote is None:
        return NOBODY
    if end.latching == "address":
        return Latch(canonical(remote.host), 0)
    port = remote.rtcp_port if is_rtcp else remote.port
    return Latch(canonical(remote.host), port) if port else NOBODY


def target(end: End, *, is_rtcp: bool) -> tuple[str, int] | None:
    """Where the SDP says that packets for this end go; None where it does not say, or says that it wants none."""
    remote = end.remote
    if remote is None:
        return None
    port = remote.rtcp_port if is_rtcp else remote.port
    return (remote.host, port) if port else None


def canonical(host: str) -> str:
    """An IP literal in the form in which the kernel's sources are reported. Raises OSError or ValueError on others."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.inet_ntop(family, socket.inet_pton(family, host))
