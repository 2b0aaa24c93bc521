"""The policy in force: who is this, and where does the call go. First match wins, and the answer can show its work.

Made once by `load` and never changed, apart from what DNS teaches it about accepted addresses. Pure otherwise: the same
facts give the same decision with the same reasons. Asked by the B2BUA once per call, by `sbc why`, and by tests.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from sbc.core.address import Transport
from sbc.policy.dids import DidTable
from sbc.policy.disaster import DisasterPlanner, Diverted
from sbc.policy.model import (
    Decision,
    DidRange,
    DisasterPlan,
    Facts,
    Interface,
    MediaSettings,
    PathRules,
    Peer,
    Route,
    Settings,
    Step,
    Target,
)
from sbc.policy.numbers import Number, NumberPlan
from sbc.policy.patterns import longest_taken
from sbc.policy.problems import Problem
from sbc.policy.profiles import tls_profiles
from sbc.policy.protection import TlsProfile
from sbc.policy.rules import Rule
from sbc.policy.sources import SourceTable
from sbc.policy.speakers import tell_apart


class Policy:
    """Everything that the operator said, ready to be asked."""

    def __init__(
        self,
        settings: Settings,
        *,
        interfaces: Sequence[Interface] = (),
        media: MediaSettings | None = None,
        peers: Sequence[Peer] = (),
        routes: Sequence[Route] = (),
        dids: Sequence[DidRange] = (),
        path_pools: Mapping[str, int] | None = None,
        warnings: Sequence[Problem] = (),
        unresolved: Sequence[Problem] = (),
    ) -> None:
        self.settings = settings
        self.name = settings.name
        self.data_dir = settings.data_dir
        self.admin = settings.admin
        self.country = settings.country
        self.stop_after = settings.stop_after
        self.cps = settings.cps
        self.webhook = settings.webhook
        self.admin_token = settings.admin_token
        self.log = settings.log
        self.hep = settings.hep
        self.cdr = settings.cdr
        self.bans = settings.bans
        self.interfaces: Mapping[str, Interface] = {i.name: i for i in interfaces}
        self.media = media or MediaSettings()
        self.peers: Mapping[str, Peer] = {p.name: p for p in peers}
        self.routes = tuple(routes)
        self.dids = tuple(dids)
        self.path_pools: Mapping[str, int] = dict(path_pools or {})
        self.warnings = tuple(warnings)
        self.unresolved = tuple(unresolved)  # secrets that could not be read: `check` warns of them, `run` refuses
        # What it was read from, with marks that tell a file that was changed since; `load` says.
        self.files: Mapping[str, tuple[int, ...] | None] = {}
        self.certificate_files: Mapping[str, tuple[int, ...] | None] = {}  # keys, authorities and revocation lists, too
        self.texts: Mapping[str, bytes] = {}  # of `files`, for recordings
        self.plan = NumberPlan(settings.country)
        self._owners = DidTable(dids)
        self._profiles, self.tls_profiles = tls_profiles(self.peers.values(), self.interfaces)
        self._sources = SourceTable(peers, self._profiles)
        rules = [Rule(route, self.plan, self.peers, self._owners) for route in routes]
        self._ordinary = tuple(rule for rule in rules if not rule.route.emergency)
        self._rules = (*(rule for rule in rules if rule.route.emergency), *self._ordinary)
        self._longest_emergency = max(
            (longest_taken(rule.route.to) for rule in rules if rule.route.emergency), default=0
        )
        self._disaster = DisasterPlanner(self.plan, self.peers, self._dial)

    def extended(self, interfaces: Sequence[Interface], peers: Sequence[Peer], routes: Sequence[Route]) -> "Policy":
        """One with more in it, whose routes are looked at first; what DNS taught this one it learns again."""
        extended = Policy(
            self.settings,
            interfaces=(*self.interfaces.values(), *interfaces),
            media=self.media,
            peers=(*self.peers.values(), *peers),
            routes=(*routes, *self.routes),
            dids=self.dids,
            path_pools=self.path_pools,
            warnings=self.warnings,
            unresolved=self.unresolved,
        )
        extended.files, extended.certificate_files = self.files, self.certificate_files
        extended.texts = self.texts
        return extended

    def tls_profile(self, peer: str) -> str:
        """Name of the profile that TLS connections to and from this peer are judged by; "": there is no such peer."""
        return self._profiles.get(peer, "")

    @property
    def path_rules(self) -> Mapping[str, PathRules]:
        """By trunk; trunks without a limit are missing."""
        return {name: peer.paths for name, peer in self.peers.items() if peer.paths is not None}

    def tls_candidates(self, interface: str, host: str, port: int) -> tuple[TlsProfile, ...]:  # noqa: ARG002
        """What a connection from this source to a tls listener may prove, each profile once; asked before the
        handshake. None: it may not speak TLS here, whatever it has to show.

        Those of its address first, then those of peers with `accept: any`. `port`, the source's, tells nobody apart
        who connects; it is taken so that whoever has an address need not take it apart.
        """
        peers = self._sources.before_proof(interface, host)
        return tuple([self.tls_profiles[name] for name in dict.fromkeys(self._profiles[p.name] for p in peers)])

    def tls_peers(self, interface: str, host: str) -> tuple[Peer, ...]:
        """Whose profiles `tls_candidates` are, in the same order."""
        return self._sources.before_proof(interface, host)

    def identify(
        self,
        interface: str,
        host: str,
        port: int,
        transport: Transport = Transport.UDP,
        proved: tuple[str, ...] = (),
    ) -> Peer | None:
        """The peer that speaks from this address, in canonical text, on this interface; None is a stranger. `proved`:
        `Flow.proved`, names of TLS profiles.

        Of several that share the source it is the first: `speakers` has them all, and `which` tells them apart.
        """
        return self._sources.find(interface, host, port, transport, proved)

    def speakers(
        self,
        interface: str,
        host: str,
        port: int,
        transport: Transport = Transport.UDP,
        proved: tuple[str, ...] = (),
    ) -> tuple[Peer, ...]:
        return self._sources.all(interface, host, port, transport, proved)

    def may_be(self, speaker: Peer, other: Peer) -> bool:
        """Whether what comes from `speaker` may as well come from `other`, because they share a source. A certificate
        that tells one of them apart ends that, and so does a transport that the other one does not speak.
        """
        if speaker.name == other.name:
            return True
        if speaker.interface != other.interface or speaker.transports.isdisjoint(other.transports):
            return False
        has_proof = "certificate" in (speaker.tls.identity, other.tls.identity)
        if has_proof and self._profiles.get(speaker.name) != self._profiles.get(other.name):
            return False
        if speaker.accepts_any and other.accepts_any:
            return True
        return not set(self.accepted(speaker)).isdisjoint(self.accepted(other))

    def which(self, candidates: Sequence[Peer], invite_user: str, called: str, username: str | None) -> Peer:
        """Who of `speakers` (at least one) sent this INVITE.

        `invite_user`: the user part of its R-URI; `called`: the number that it asks for; `username`: of its digest
        credentials, proved or not.
        """

        def takes(trunk: Peer) -> bool:
            number = self.plan.read(called, bare=trunk.called_form == "e164-bare")
            return any(rule.names(trunk.name) and rule.takes(number) for rule in self._rules)

        return tell_apart(candidates, invite_user, username, plan=self.plan, takes=takes)

    def learn_addresses(self, host_name: str, addresses: Sequence[str]) -> None:
        """A server's host name resolved to these: peers without an `accept` of their own may speak from them."""
        self._sources.learn(host_name, addresses)

    def accepted(self, peer: Peer) -> tuple[str, ...]:
        return self._sources.accepted(peer)

    def owner(self, number: Number) -> Peer | None:
        """The PBX that owns a DID."""
        name = self._owners.owner(number)
        return self.peers[name] if name else None

    def owns(self, number: Number) -> bool:
        return self._owners.owns(number)

    def owns_for(self, pbx: str, number: str) -> bool:
        """Whether this PBX owns a number, however it is written: for caller-ID screening and registrations."""
        return self._owners.owner(self.plan.read(number)) == pbx

    def has_emergency_route(self, peer: str) -> bool:
        """Whether an emergency route takes calls from this peer."""
        routes = (route for route in self.routes if route.emergency)
        return any(not route.from_peers or peer in route.from_peers for route in routes)

    def may_be_emergency(self, peer: str, called: str) -> bool:
        """Whether any emergency route might take a call of this peer to this number, whoever calls. Quick for what is
        longer than every emergency number, as the numbers of a flood are.
        """
        if len(called) > self._longest_emergency:
            return False
        number = self.read_called(Facts(peer, called, ""))
        return any(rule.route.emergency and rule.takes(number) for rule in self._rules)

    def read_called(self, facts: Facts) -> Number:
        return self.plan.read(facts.called, bare=self._writes_bare(facts.peer, "called"))

    def read_caller(self, facts: Facts) -> Number:
        return self.plan.read(facts.caller, bare=self._writes_bare(facts.peer, "caller"))

    def write_caller(self, speaker: str, peer: Peer, number: str) -> str:
        """A number that the peer `speaker` wrote, or one in E.164, in the form that `peer` wants callers in."""
        return self.plan.write(self.read_caller(Facts(speaker, "", number)), peer.caller_form)

    def decide(self, facts: Facts) -> Decision:
        """Emergency routes before all others, whatever stands first in the policy."""
        called = self.read_called(facts)
        caller = self.read_caller(facts)
        because: list[Step] = []
        for rule in self._rules:
            step = rule.test(facts.peer, called, caller)
            because.append(step)
            if step.matched:
                return rule.decide(facts.called, called, caller, tuple(because))
        return Decision(reject=404, called_e164=called.best, caller_e164=caller.best, because=tuple(because))

    def disaster_plan(self, facts: Facts, decision: Decision) -> DisasterPlan:
        """What to try when the PBX that `decision` goes to is out of service; `facts` are those of the decision.

        The DID's own plan, or else the rule's; an empty plan where neither has one.
        """
        if not decision.has_disaster_plan or decision.rule is None:
            return DisasterPlan()
        called = self.read_called(facts)
        owned = self._owners.find(called)
        down = [target.peer.name for target in decision.hunt if target.peer.kind == "pbx"]
        call = Diverted(called, self.read_caller(facts), decision.owner or down[0], frozenset(down))
        return self._disaster.plan((owned and owned.plan) or decision.rule.disaster, call)

    def divert(
        self, peer: str, number: str, by: str, facts: Facts, *, status: int = 302, why: str = "unconditional"
    ) -> tuple[Target, ...] | str:
        """Whom `peer` may send the call of `facts` on to; or why nobody. As if it had dialled `number` itself, `by`
        (the number that it was called by) being the caller that the rules look at. `status`, `why`: of its 3xx.
        """
        called = self.plan.read(number, bare=self._writes_bare(peer, "called"))
        diverter = self.plan.read(by)
        rule = self._rule_for(peer, called, diverter)
        targets = self._by_rule(rule, peer, called, self.read_caller(facts))
        if rule is None or isinstance(targets, str):
            return targets
        counted = ((f"pbx {peer}", self.peers[peer].limits), (f"route {rule.route.name}", rule.route.limits))
        is_its_own = self._owners.owner(diverter) == peer
        return tuple(
            [
                replace(
                    target,
                    diverted_from=diverter.best,
                    diverted_why=why,
                    redirected=status,
                    is_diverter_ours=is_its_own,
                    limits=tuple([(name, limits) for name, limits in counted if limits is not None]),
                )
                for target in targets
            ]
        )

    def _dial(self, pbx: str, called: Number, by: Number, caller: Number) -> tuple[Target, ...] | str:
        """As if `pbx` had dialled: `by` is the caller that the rules look at, `caller` the one that peers see."""
        return self._by_rule(self._rule_for(pbx, called, by), pbx, called, caller)

    def _rule_for(self, pbx: str, called: Number, by: Number) -> Rule | None:
        return next((rule for rule in self._ordinary if rule.test(pbx, called, by).matched), None)

    def _by_rule(self, rule: Rule | None, pbx: str, called: Number, caller: Number) -> tuple[Target, ...] | str:
        if rule is None:
            return f"no route takes it from {pbx}"
        decision = rule.decide(called.dialled, called, caller, ())
        return decision.hunt or f"refused with {decision.reject} by the route {rule.route.name}"

    def _writes_bare(self, name: str, which: str) -> bool:
        """A carrier that wants E.164 without its plus writes it so, too. People behind a PBX dial national numbers."""
        peer = self.peers.get(name)
        if peer is None or peer.kind != "trunk":
            return False
        return (peer.called_form if which == "called" else peer.caller_form) == "e164-bare"
