"""By which context a TLS connection is opened or accepted, and which profiles of the policy judge it.

A connection of ours has the profile that the engine names. One that comes in may be of any peer that speaks TLS from
its source: these alone decide what it is shown, and whether it is asked for a certificate, so that a neighbour's rules
do not matter. Used by `tls_gate`; `app` gives it each policy.
"""

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final, Literal, Protocol

from msgspec import Struct

from sbc.core.address import Flow, Transport
from sbc.core.errors import OperatorError
from sbc.policy.model import Interface, Peer
from sbc.policy.protection import KeyPair, TlsProfile, TlsVersion, Trust
from sbc.runtime.tls_contexts import Context, Contexts, Rules, lists_of
from sbc.runtime.tls_lists import Lists
from sbc.runtime.tls_proof import can_judge

_ANYWHERE: Final = "192.0.2.1"  # RFC 5737: nobody's address


class PolicyOfTls(Protocol):
    """`policy.engine.Policy`, as far as TLS asks it."""

    @property
    def peers(self) -> Mapping[str, Peer]: ...
    @property
    def interfaces(self) -> Mapping[str, Interface]: ...
    @property
    def tls_profiles(self) -> Mapping[str, TlsProfile]: ...
    def tls_profile(self, peer: str) -> str: ...
    def tls_candidates(self, interface: str, host: str, port: int) -> tuple[TlsProfile, ...]: ...
    def accepted(self, peer: Peer) -> tuple[str, ...]: ...
    def tls_peers(self, interface: str, host: str) -> tuple[Peer, ...]: ...
    def speakers(self, interface: str, host: str, port: int, transport: Transport) -> tuple[Peer, ...]: ...


class Way(Struct, frozen=True, eq=False):
    """How a session is begun. `profiles`: that can be proved on it, of a connection of ours its own first. `lists`: in
    which revocation is looked up. `lax`: from the same source somebody may come who proves nothing. `ours`: what a
    server is shown that asks for it.
    """

    context: Context
    profiles: tuple[TlsProfile, ...]
    lists: frozenset[str] = frozenset()
    server_name: str | None = None
    lax: bool = True
    minimum: TlsVersion = "1.2"
    ours: KeyPair | None = None


class TlsRules:
    """Of the policy in force. What it makes of a policy is remembered until the next."""

    def __init__(self, policy: PolicyOfTls) -> None:
        self.contexts = Contexts()
        self.lists = Lists()
        self.policy = policy

    # --- a new policy ---------------------------------------------------------------------------------------------

    def prepare(self, policy: PolicyOfTls) -> None:
        """Make its contexts, also those of sources that peers share. It takes some time, and belongs into a thread.
        Raises OperatorError with all problems.
        """
        if any(not trust.authorities for _, rules in self._all_rules(policy) for trust in rules.trusts):
            self.contexts.read_system()
        self.check(policy)
        for rules in self._shared_rules(policy):
            self.contexts.get(rules)

    def check(self, policy: PolicyOfTls) -> None:
        """As `prepare`, at once where that was called before."""
        problems: dict[str, None] = {}
        for place, rules in self._all_rules(policy):
            for trust in rules.trusts:
                self.contexts.authorities(trust)
                self.lists.read(trust.crl)
            try:
                self.contexts.get(rules)
            except OperatorError as error:
                problems[f"{place}: {error}"] = None
        if problems:
            raise OperatorError("\n".join(problems))

    def set_policy(self, policy: PolicyOfTls) -> None:
        """From now on."""
        self.policy = policy
        trusts = {_plain(profile.trust) for profile in policy.tls_profiles.values()}
        pairs = {pair for profile in policy.tls_profiles.values() for pair in profile.pairs}
        pairs |= {pair for interface in policy.interfaces.values() for pair in interface.tls.pairs}
        self.contexts.keep(pairs, trusts)
        self.lists.keep(trust.crl for trust in trusts)

    # --- one connection -------------------------------------------------------------------------------------------

    def to_server(self, flow: Flow) -> Way:
        """By the profile that the flow names. Raises OperatorError where there is no way."""
        profile = self.policy.tls_profiles.get(flow.proved[0]) if flow.proved else None
        if profile is None:
            raise OperatorError("no peer's rules say who must be there")
        if not (profile.pins or profile.domains):
            raise OperatorError("the policy says neither a domain that its certificate must hold, nor its fingerprint")
        rules = _client_rules(profile)
        others = [one for one in self._candidates(flow) if one.name != profile.name]
        name = profile.domains[0] if profile.domains else None
        return Way(
            self.contexts.get(rules),
            (profile, *others),
            _lists(rules),
            name,
            lax=False,
            minimum=profile.trust.minimum,
            ours=next(iter(rules.pairs), None),
        )

    def from_client(self, flow: Flow) -> Way:
        """Raises OperatorError where there is no certificate to show."""
        profiles = self._candidates(flow)
        of_interface = self.policy.interfaces.get(flow.interface)
        if not profiles and of_interface is None:
            raise OperatorError("there is no such interface")
        rules = self._server_rules(profiles, of_interface)
        if not rules.pairs:
            raise OperatorError("there is no certificate that could be shown")
        lax = any(one.identity != "certificate" and not can_judge(one, self.contexts.authorities) for one in profiles)
        return Way(self.contexts.get(rules), profiles, _lists(rules), lax=lax, minimum=rules.minimum)

    def whose(self, flow: Flow) -> tuple[str, bool]:
        """By which connections are counted: a peer's name, or the source of a stranger; and whether it is one."""
        interface, host, port = flow.interface, flow.remote.host, flow.remote.port
        if flow.transport is Transport.TLS:
            peers = self.policy.tls_peers(interface, host)
        else:
            peers = self.policy.speakers(interface, host, port, flow.transport)
        if not peers:
            return network_of(host), False  # of a policy that was replaced while its calls are up
        is_stranger = all(peer.accepts_any for peer in peers)
        return (network_of(host) if is_stranger else peers[0].name), is_stranger

    def _candidates(self, flow: Flow) -> tuple[TlsProfile, ...]:
        return self.policy.tls_candidates(flow.interface, flow.remote.host, flow.remote.port)

    def is_trunk(self, profile: str) -> bool:
        peer = self.policy.peers.get(profile)
        return peer is not None and peer.kind == "trunk"

    def _server_rules(self, profiles: tuple[TlsProfile, ...], interface: Interface | None) -> Rules:
        """What suits all who may come from there."""
        if not profiles:
            own = interface.tls if interface is not None else None
            return Rules(True, own.pairs if own else (), (), "none", own.trust.minimum if own else "1.2")
        pairs: dict[KeyPair, None] = dict.fromkeys(pair for profile in profiles for pair in profile.pairs)
        judging = [profile for profile in profiles if can_judge(profile, self.contexts.authorities)]
        trusts = tuple(dict.fromkeys(_plain(profile.trust) for profile in judging))
        verify: Literal["none", "optional", "required"] = "optional" if judging else "none"
        if all(profile.identity == "certificate" for profile in profiles):
            verify = "required"
        minimum = min(profile.trust.minimum for profile in profiles)
        return Rules(True, tuple(pairs), trusts, verify, minimum)

    def _all_rules(self, policy: PolicyOfTls) -> Iterable[tuple[str, Rules]]:
        """Those of every interface and peer for itself, each with its place for people."""
        for interface in policy.interfaces.values():
            if not _has_tls(interface):
                continue
            if interface.tls.pairs:
                yield f"interfaces.{interface.name}.tls", self._server_rules((), interface)
            for peer in policy.peers.values():
                profile = policy.tls_profiles.get(policy.tls_profile(peer.name))
                if profile is None or profile.interface != interface.name or Transport.TLS not in peer.transports:
                    continue
                yield f"the tls rules of {peer.name}", _client_rules(profile)
                if profile.pairs:
                    yield f"the tls rules of {peer.name}", self._server_rules((profile,), interface)

    def _shared_rules(self, policy: PolicyOfTls) -> Iterable[Rules]:
        """Of sources that are known; where names stand for them, contexts are made when somebody comes."""
        seen: set[tuple[TlsProfile, ...]] = set()
        for peer in policy.peers.values():
            interface = policy.interfaces.get(peer.interface)
            if interface is None or not _has_tls(interface) or Transport.TLS not in peer.transports:
                continue
            hosts = [str(ipaddress.ip_network(network).network_address) for network in policy.accepted(peer)]
            for host in hosts or [_ANYWHERE]:
                profiles = policy.tls_candidates(peer.interface, host, 0)
                if profiles in seen:
                    continue
                seen.add(profiles)
                rules = self._server_rules(profiles, interface)
                if rules.pairs:
                    yield rules


def _has_tls(interface: Interface) -> bool:
    return any(listener.transport is Transport.TLS for listener in interface.listeners)


def network_of(host: str) -> str:
    """A host of IPv6 has 2^64 addresses of its own."""
    if ":" not in host or "%" in host:
        return host
    return str(ipaddress.ip_network(f"{host}/64", strict=False))


def _client_rules(profile: TlsProfile) -> Rules:
    verify: Literal["none", "required"] = "none" if profile.pins else "required"
    trusts = () if profile.pins else (_plain(profile.trust),)
    return Rules(False, profile.pairs[:1], trusts, verify, profile.trust.minimum)


def _plain(trust: Trust) -> Trust:
    """As far as it matters to a context."""
    return Trust(trust.authorities, trust.crl)


def _lists(rules: Rules) -> frozenset[str]:
    return lists_of(rules) if rules.verify != "none" else frozenset()
