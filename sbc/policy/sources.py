"""Who sent this: interface, longest accepted prefix, transport and certificate, then source port, give the peer.

RFC 3261 has no such notion; a carrier relation is a trust in addresses. A source speaks by the transports of its peer
and by no others; a peer whose `tls.identity` is certificate is only who has proved it, and who has proved to be a peer
is that one and none of those that share its source. Several trunks may share a source: the request itself tells them
apart (`speakers`). A peer with `accept: any` may be whoever is nobody else on its interface, and its credentials or its
certificate prove it. Asked once per message, so known addresses are one look-up. What is remembered is bounded: a flood
from invented addresses costs time, not memory.
"""

import ipaddress
from collections.abc import Hashable, Iterable, Mapping
from typing import Final

from sbc.core.address import Transport, canonical_ip
from sbc.core.limits import REMEMBERED_SOURCES
from sbc.policy.model import Peer

_TLS: Final = Transport.TLS
_Candidates = tuple[Peer, ...]
_NOBODY: Final[dict[Hashable, _Candidates]] = {}
_Place = tuple[Transport, str]  # transport, interface


class SourceTable:
    def __init__(self, peers: Iterable[Peer], profiles: Mapping[str, str] | None = None) -> None:
        """`profiles`: the names of the peers' TLS profiles, by peer."""
        self._peers = tuple(peers)
        self._profiles = profiles or {}
        self._learned: dict[str, tuple[str, ...]] = {}
        self._prefixes: dict[str, dict[tuple[int, int], dict[int, _Candidates]]] = {}
        # By transport and interface; what is known of addresses, over TLS of addresses and what they have proved.
        self._known: dict[Transport, dict[str, dict[Hashable, _Candidates]]] = {}
        self._strangers: dict[_Place, set[Hashable]] = {}
        self._any: dict[_Place, _Candidates] = {}
        self._build()

    def find(
        self,
        interface: str,
        host: str,
        port: int,
        transport: Transport = Transport.UDP,
        proved: tuple[str, ...] = (),
    ) -> Peer | None:
        """The peer, or the first of those that only the request can tell apart."""
        if transport is not _TLS:
            known = self._known[transport].get(interface, _NOBODY).get(host)
            if known is not None and len(known) == 1:
                return known[0]
        candidates = self.all(interface, host, port, transport, proved)
        return candidates[0] if candidates else None

    def all(
        self,
        interface: str,
        host: str,
        port: int,
        transport: Transport = Transport.UDP,
        proved: tuple[str, ...] = (),
    ) -> _Candidates:
        """Every peer that may speak from this source. More than one: trunks, or PBXs with credentials."""
        key = (host, proved) if transport is _TLS else host
        try:
            found = self._known[transport][interface][key]
        except KeyError:
            found = self._search(interface, key, transport)
            if not found:
                return self._any.get((transport, interface), ())
        return found if len(found) == 1 else _by_port(found, port)

    def before_proof(self, interface: str, host: str) -> _Candidates:
        """Whoever may prove over TLS to be who speaks from there: those of the address, then those from anywhere."""
        near = self._longest_prefix(interface, host) if interface in self._prefixes else ()
        anywhere = [peer for peer in self._peers if peer.accepts_any and peer.interface == interface]
        return tuple(dict.fromkeys(peer for peer in (*near, *anywhere) if Transport.TLS in peer.transports))

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
        self._known = {transport: {name: {} for name in prefixes} for transport in Transport}
        self._strangers = {(transport, name): set() for transport in Transport for name in prefixes}
        self._any = {
            (transport, name): tuple(p for p in self._peers if self._may_be_anybody(p, name, transport))
            for transport, name in self._strangers
        }

    def _may_be_anybody(self, peer: Peer, interface: str, transport: Transport) -> bool:
        """Whoever has proved nothing, from wherever he is."""
        is_here = peer.accepts_any and peer.interface == interface and transport in peer.transports
        return is_here and peer.tls.identity != "certificate"

    def _search(self, interface: str, key: str | tuple[str, tuple[str, ...]], transport: Transport) -> _Candidates:
        strangers = self._strangers.get((transport, interface))
        if strangers is None or key in strangers:
            return ()
        found = self._proved(interface, *key) if isinstance(key, tuple) else self._unproved(interface, key, transport)
        if not found:
            if len(strangers) >= REMEMBERED_SOURCES:
                strangers.clear()
            strangers.add(key)
            return ()
        known = self._known[transport][interface]
        if len(known) >= REMEMBERED_SOURCES:
            known.clear()
        known[key] = found
        return found

    def _unproved(self, interface: str, host: str, transport: Transport) -> _Candidates:
        near = self._longest_prefix(interface, host)
        return tuple([peer for peer in near if transport in peer.transports and peer.tls.identity != "certificate"])

    def _proved(self, interface: str, host: str, proved: tuple[str, ...]) -> _Candidates:
        """Over TLS. Who has proved to be somebody is nobody else."""
        mine = [peer for peer in self.before_proof(interface, host) if self._profiles.get(peer.name) in proved]
        return tuple(mine) if mine else self._unproved(interface, host, Transport.TLS)

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
