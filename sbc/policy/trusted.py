"""Which addresses are never banned: those that a peer speaks from, our own, and loopback.

Peers with `accept: any` speak from anywhere, so that no address is trusted for them. Of a server's name it is what the
DNS says now; who has this must make it anew when that changes. Used by `b2bua.keeping_out`.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final

from sbc.core.address import canonical_ip
from sbc.policy.engine import Policy

_LOOPBACK: Final = ("127.0.0.0/8", "::1/128")


class TrustedSources:
    """`networks`: all of them as CIDR text."""

    def __init__(self, policy: Policy) -> None:
        accepted = [network for peer in policy.peers.values() for network in policy.accepted(peer)]
        own = [str(ipaddress.ip_network(host)) for host in own_hosts(policy) if "%" not in host]
        self.networks = tuple(dict.fromkeys((*_LOOPBACK, *own, *accepted)))
        self._prefixes: dict[tuple[int, int], set[int]] = {}
        for text in self.networks:
            network = ipaddress.ip_network(text)
            number = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
            self._prefixes.setdefault((network.version, network.prefixlen), set()).add(number)

    def holds(self, network: str) -> bool:
        """Whether all of this address or network (canonical text) is trusted."""
        if "%" in network:
            return True  # of one link: our own, or nobody's
        asked = ipaddress.ip_network(network)
        first, width = int(asked.network_address), asked.max_prefixlen
        return any(
            version == asked.version and length <= asked.prefixlen and first >> (width - length) in known
            for (version, length), known in self._prefixes.items()
        )

    def touches(self, network: str) -> bool:
        """Whether anything in it is."""
        if self.holds(network):
            return True
        asked = ipaddress.ip_network(network)
        number = int(asked.network_address) >> (asked.max_prefixlen - asked.prefixlen)
        longer = [
            (length - asked.prefixlen, known)
            for (version, length), known in self._prefixes.items()
            if version == asked.version and length > asked.prefixlen
        ]
        return any(number == inner >> bits for bits, known in longer for inner in known)


def own_hosts(policy: Policy) -> Iterable[str]:
    """Every address of ours that the policy names: of listeners, of media, advertised ones, of the admin API."""
    for interface in policy.interfaces.values():
        yield from (listener.address.host for listener in interface.listeners)
        yield from interface.media
        shown = (interface.sip_advertise or "", (interface.sip_advertise or "").rpartition(":")[0])
        yield from (ip for ip in map(canonical_ip, (*shown, interface.media_advertise or "")) if ip is not None)
    admin = canonical_ip(policy.admin.rpartition(":")[0])
    if admin is not None:
        yield admin
