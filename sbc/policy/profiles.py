"""By what TLS connections are opened and judged: each peer's rules, its interface's filled in, equal ones shared.

RFC 5922 §7.2: what a certificate must hold is the domain that the policy names, never what DNS, a Contact or an address
says. Used by `engine`; the runtime makes its contexts of these.
"""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from sbc.core.address import canonical_ip
from sbc.policy.model import Interface, Peer
from sbc.policy.protection import TlsProfile


def tls_profiles(
    peers: Iterable[Peer], interfaces: Mapping[str, Interface]
) -> tuple[dict[str, str], dict[str, TlsProfile]]:
    """The name of each peer's profile, by peer, and the profiles by name."""
    names: dict[str, str] = {}
    known: dict[TlsProfile, str] = {}
    for peer in peers:
        interface = interfaces.get(peer.interface)
        if interface is not None:
            names[peer.name] = known.setdefault(_profile(peer, interface), peer.name)
    return names, {name: replace(profile, name=name) for profile, name in known.items()}


def _profile(peer: Peer, interface: Interface) -> TlsProfile:
    rules = peer.tls
    return TlsProfile(
        "",
        interface.name,
        domains_of(peer),
        rules.pins,
        rules.identity,
        interface.tls.pairs if rules.pair is None else (rules.pair,),
        interface.tls.trust if rules.trust is None else rules.trust,
    )


def domains_of(peer: Peer) -> tuple[str, ...]:
    """What its certificate must name, where it has no pins: what `tls` says, else a trunk's domain, else the names of
    its servers. An address is no identity: of addresses alone there is none.
    """
    if peer.tls.domains:
        return peer.tls.domains
    if peer.domain is not None and canonical_ip(peer.domain) is None:
        return (peer.domain.lower(),)
    hosts = [server.host.lower() for server in peer.servers if canonical_ip(server.host) is None]
    return tuple(dict.fromkeys(hosts))


def proofs_of(peer: Peer) -> tuple[str, ...]:
    """What tells its certificate from others': pins, or else names."""
    return peer.tls.pins or domains_of(peer)
