"""Revocation lists of peers that may come from the same place: all of those have one, or nobody's is looked up.

Whoever connects shows his certificate before it is known which of them he is, and OpenSSL asks for a list of every
authority, or for none. So where one of them has no `crl`, those who have one prove nothing when they connect
(`runtime.tls_contexts`, `runtime.tls_proof`); where we connect to them, all is well. That is met here, with its place,
and not at night. Used by `build`.
"""

from collections.abc import Mapping, Sequence

from sbc.core.address import Transport
from sbc.policy.model import Interface, Peer, Where
from sbc.policy.problems import Problems
from sbc.policy.profiles import domains_of
from sbc.policy.sourcecheck import sources_of

_NOWHERE = Where("policy", 1)
_ANYWHERE = "any source"


def check_lists(peers: Sequence[Peer], interfaces: Mapping[str, Interface], problems: Problems) -> None:
    asked = [peer for peer in peers if _is_asked(peer, interfaces.get(peer.interface))]
    said: set[str] = set()
    for source, sharing in _sharing(asked):
        lacking = [peer for peer in sharing if not _has_list(peer, interfaces)]
        for peer in sharing:
            if lacking and peer not in lacking and peer.name not in said:
                said.add(peer.name)
                _complain(peer, lacking[0], source, problems)


def _sharing(asked: Sequence[Peer]) -> list[tuple[str, list[Peer]]]:
    """By source, who may come from there; who may come from anywhere may come from there, too."""
    by_source: dict[tuple[str, str], list[Peer]] = {}
    anywhere: dict[str, list[Peer]] = {}
    for peer in asked:
        if peer.accepts_any:
            anywhere.setdefault(peer.interface, []).append(peer)
        for source in sources_of(peer) or ((_ANYWHERE,) if peer.accepts_any else ()):
            by_source.setdefault((peer.interface, source), []).append(peer)
    return [
        (source, [*[one for one in found if not one.accepts_any], *anywhere.get(interface, ())])
        for (interface, source), found in by_source.items()
    ]


def _is_asked(peer: Peer, interface: Interface | None) -> bool:
    """Whether a client that may be this peer is asked for a certificate; `runtime.tls_proof.can_judge` says the rest,
    which is about the authorities that pins stand among.
    """
    if interface is None or Transport.TLS not in peer.transports or peer.tls.identity == "address":
        return False
    accepts = any(listener.transport is Transport.TLS for listener in interface.listeners)
    if not accepts or not (interface.tls.pairs or peer.tls.pair):
        return False
    return peer.tls.identity == "certificate" or (not peer.tls.pins and bool(domains_of(peer)))


def _has_list(peer: Peer, interfaces: Mapping[str, Interface]) -> bool:
    trust = peer.tls.trust or interfaces[peer.interface].tls.trust
    return bool(trust.crl)


def _complain(peer: Peer, other: Peer, source: str, problems: Problems) -> None:
    """An error where it could never be heard; else its address is enough, and its certificate is not looked at."""
    is_refused = peer.tls.identity == "certificate"
    say = problems.wrong if is_refused else problems.warn
    say(
        peer.where or _NOWHERE,
        f"`{peer.name}` has a revocation list and `{other.name}`, which may come from {source} on "
        f"`{peer.interface}` as well, has none: {'it is refused' if is_refused else 'it proves nothing'} where it "
        "connects to us",
        f"expected `crl` at both or at neither, or other sources; other at {other.where}",
    )
