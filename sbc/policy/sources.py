"""Who sent this: interface, longest accepted prefix, then source port, give the peer. Strangers are nobody.

RFC 3261 has no such notion; a carrier relation is a trust in addresses. Several trunks may share a source: the request
itself tells them apart (`speakers`). A peer with `accept: any` may be whoever is nobody else on its interface, and its
credentials prove it. Asked once per datagram, so known addresses are one look-up. What is remembered is bounded: a
flood from invented addresses costs time, not memory.
"""

import ipaddress
from collections.abc import Iterable
from typing import Final

from sbc.core.address import canonical_ip
from sbc.policy.model import Peer

_REMEMBERED: Final = 16_384  # addresses per interface and verdict
_Candidates = tuple[Peer, ...]


class SourceTable:
    def __init__(self, peers: Iterable[Peer]) -> None:
        self._peers = tuple(peers)
        self._learned: dict[str, tuple[str, ...]] = {}
        self._prefixes: dict[str, dict[tuple[int, int], dict[int, _Candidates]]] = {}
        self._known: dict[str, dict[str, _Candidates]] = {}
        self._strangers: dict[str, set[str]] = {}
        self._any: dict[str, _Candidates] = {}
        self._build()

    def find(self, interface: str, host: str, port: int) -> Peer | None:
        """The peer, or the first of those that only the request can tell apart."""
        candidates = self.all(interface, host, port)
        return candidates[0] if candidates else None

    def all(self, interface: str, host: str, port: int) -> _Candidates:
        """Every peer that may speak from this source. More than one: trunks, or PBXs with credentials."""
        try:
            found = self._known[interface][host]
        except KeyError:
            found = self._search(interface, host)
            if not found:
                return self._any.get(interface, ())
        return found if len(found) == 1 else _by_port(found, port)

    def learn(self, name: str, addresses: Iterable[str]) -> None:
        """What a host name resolves to now. It replaces what it resolved to before."""
        literals = tuple(ip for ip in map(canonical_ip, addresses) if ip is not None)
        if not literals or self._learned.get(name.lower()) == literals:
            return
        self._learned[name.lower()] = literals
        self._build()

    def accepted(self, peer: Peer) -> tuple[str, ...]:
        """The networks from which a peer may speak, as CIDR text; those of unresolved names are missing."""
        if peer.accept:
            return peer.accept
        hosts: list[str] = []
        for server in peer.servers:
            literal = canonical_ip(server.host)
            hosts += (literal,) if literal else self._learned.get(server.host.lower(), ())
        return tuple(dict.fromkeys(str(ipaddress.ip_network(host)) for host in hosts))

    def _build(self) -> None:
        prefixes: dict[str, dict[tuple[int, int], dict[int, _Candidates]]] = {}
        for peer in self._peers:
            of_interface = prefixes.setdefault(peer.interface, {})
            for text in self.accepted(peer):
                network = ipaddress.ip_network(text)
                of_length = of_interface.setdefault((network.version, network.prefixlen), {})
                key = int(network.network_address) >> (network.max_prefixlen - network.prefixlen)
                if peer not in of_length.get(key, ()):
                    of_length[key] = (*of_length.get(key, ()), peer)
        self._prefixes = {name: dict(sorted(found.items(), reverse=True)) for name, found in prefixes.items()}
        self._known = {name: {} for name in prefixes}
        self._strangers = {name: set() for name in prefixes}
        self._any = {name: tuple(p for p in self._peers if p.accepts_any and p.interface == name) for name in prefixes}

    def _search(self, interface: str, host: str) -> _Candidates:
        strangers = self._strangers.get(interface)
        if strangers is None or host in strangers:
            return ()
        found = self._longest_prefix(interface, host)
        if not found:
            if len(strangers) >= _REMEMBERED:
                strangers.clear()
            strangers.add(host)
            return ()
        known = self._known[interface]
        if len(known) >= _REMEMBERED:
            known.clear()
        known[host] = found
        return found

    def _longest_prefix(self, interface: str, host: str) -> _Candidates:
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return ()
        number = int(address)
        for (version, length), networks in self._prefixes[interface].items():
            if version != address.version:
                continue
            peers = networks.get(number >> (address.max_prefixlen - length))
            if peers is not None:
                return peers
        return ()


def source_ports(peer: Peer) -> frozenset[int]:
    """The ports that tell a peer apart from others at the same address."""
    return frozenset(server.port or server.transport.default_port for server in peer.servers)


def _by_port(candidates: _Candidates, port: int) -> _Candidates:
    """From any other port, only those that the request can tell apart: who has to log in, and trunks by themselves."""
    fitting = tuple([peer for peer in candidates if port in source_ports(peer)])
    if fitting:
        return fitting
    is_told_apart = all(peer.kind == "trunk" for peer in candidates) or all(_logs_in(peer) for peer in candidates)
    return candidates if is_told_apart else ()


def _logs_in(peer: Peer) -> bool:
    return peer.kind == "pbx" and peer.auth is not None
