"""Where the servers of each peer are: their addresses, and since when, and why, none of them has one.

What a name means, the DNS says (RFC 3263), behind `locate`. Whether an address answers is `health`'s. Used by
`relations`.
"""

from collections.abc import Callable, Iterable
from typing import Final

from sbc.core.address import Flow
from sbc.core.commands import Log
from sbc.peering.hop import Hop, server_uri
from sbc.policy.model import Peer, Server
from sbc.sip.locate import Unlocated

Locate = Callable[[str, str, float], tuple[Flow, ...] | Unlocated]
Hops = tuple[tuple[Server, Hop | None], ...]

_NO_ADDRESS: Final = "none of its servers has an address"


class Whereabouts:
    """`locate(next_hop, interface, now)`: the addresses of a server."""

    def __init__(self, locate: Locate) -> None:
        self.named: tuple[Peer, ...] = ()  # peers with servers that are found by name
        self._locate = locate
        self._nowhere: dict[str, tuple[float, str]] = {}  # peers of whose servers none has an address; since when, why
        self._said: set[str] = set()  # that this was said of

    def set_peers(self, peers: Iterable[Peer]) -> None:
        self.named = tuple(p for p in peers if any(not _is_literal(server) for server in p.servers))

    def hops(self, peer: Peer, now: float) -> Hops:
        """Every address of every server, in the order to be tried. None: the name has not been looked up yet."""
        found: list[tuple[Server, Hop | None]] = []
        for server in peer.servers:
            flows = self._locate(server_uri(server), peer.interface, now)
            if not isinstance(flows, Unlocated):
                # By a transport that it may not speak by, its answers would be a stranger's.
                by = peer.transports
                found += [(server, Hop(peer.name, server, flow)) for flow in flows if flow.transport in by]
            elif flows.wanted:
                found.append((server, None))
        return tuple(found)

    def found(self, peer: Peer, hops: Hops, now: float) -> list[Log]:
        """What `hops` says of it now. While the DNS is asked again, what was said stays."""
        name = peer.name
        if hops or not peer.servers:
            self._nowhere.pop(name, None)
        else:
            since, _ = self._nowhere.get(name, (now, ""))
            self._nowhere[name] = since, self._why(peer, now)
        if name in self._nowhere and name not in self._said:
            self._said.add(name)
            return [Log("error", "peer.down", (("alarm", True), ("peer", name), ("why", self._nowhere[name][1])))]
        if name in self._said and any(hop is not None for _, hop in hops):
            self._said.remove(name)
            return [Log("info", "peer.up", (("peer", name), ("why", "its servers have an address")))]
        return []

    def nowhere(self, name: str) -> tuple[float, str] | None:
        """Since when, and why, none of its servers has an address; None: one has, or may have."""
        return self._nowhere.get(name)

    def forget(self, name: str) -> None:
        """This peer is gone."""
        self._nowhere.pop(name, None)
        self._said.discard(name)

    def _why(self, peer: Peer, now: float) -> str:
        """Which name, and what the name servers said."""
        found = [self._locate(server_uri(server), peer.interface, now) for server in peer.servers]
        reasons = dict.fromkeys(one.reason for one in found if isinstance(one, Unlocated))
        return "; ".join(reasons) or _NO_ADDRESS


def _is_literal(server: Server) -> bool:
    return ":" in server.host or server.host.replace(".", "").isdigit()
