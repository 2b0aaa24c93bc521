"""One address of one server of a peer: what is probed, registered with, and dialled.

RFC 3263 turns a server's name into several of them; every one has a health of its own. Used by all of peering and by
the hunt.
"""

from msgspec import Struct

from sbc.core.address import Flow, Transport, bracketed
from sbc.policy.model import Server


class Hop(Struct, frozen=True):
    """`flow` has connection 0, but for the binding of a peer that has registered over a stream."""

    peer: str
    server: Server
    flow: Flow

    @property
    def uri(self) -> str:
        """The next hop with its address as a literal, so that it is found again without asking the DNS."""
        remote = self.flow.remote
        return f"sip:{bracketed(remote.host)}:{remote.port};transport={self.flow.transport}"

    def __str__(self) -> str:
        return f"{self.flow.transport}:{self.flow.remote}"


def server_uri(server: Server) -> str:
    """The next hop as the policy names it. Without a transport of its own, NAPTR and SRV may choose one (RFC 3263)."""
    port = "" if server.port is None else f":{server.port}"
    if server.is_sips:
        return f"sips:{bracketed(server.host)}{port}"
    is_plain = server.transport is Transport.UDP and not server.names_transport
    return f"sip:{bracketed(server.host)}{port}{'' if is_plain else f';transport={server.transport}'}"
