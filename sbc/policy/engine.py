"""The policy in force: who is this, and where does the call go. First match wins, and the answer can show its work.

Made once by `load` and never changed, apart from what DNS teaches it about accepted addresses. Pure otherwise: the same
facts give the same decision with the same reasons. Asked by the B2BUA once per call, by `sbc why`, and by tests.
"""

from collections.abc import Mapping, Sequence

from sbc.core.address import canonical_ip
from sbc.policy.dids import DidTable
from sbc.policy.model import (
    Decision,
    DidRange,
    Facts,
    Interface,
    MediaSettings,
    Peer,
    Route,
    Settings,
    Step,
    Target,
)
from sbc.policy.numbers import Number, NumberPlan
from sbc.policy.patterns import Matcher, parse_pattern
from sbc.policy.problems import Problem
from sbc.policy.sources import SourceTable


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
        warnings: Sequence[Problem] = (),
    ) -> None:
        self.name = settings.name
        self.data_dir = settings.data_dir
        self.admin = settings.admin
        self.country = settings.country
        self.stop_after = settings.stop_after
        self.interfaces: Mapping[str, Interface] = {i.name: i for i in interfaces}
        self.media = media or MediaSettings()
        self.peers: Mapping[str, Peer] = {p.name: p for p in peers}
        self.routes = tuple(routes)
        self.dids = tuple(dids)
        self.warnings = tuple(warnings)
        self.plan = NumberPlan(settings.country)
        self._owners = DidTable(dids)
        self._sources = SourceTable(peers)
        self._rules = tuple(_Rule(route, self) for route in routes)

    @property
    def host_names(self) -> tuple[str, ...]:
        """Servers named by host name: to be resolved, and taught by `learn_addresses`."""
        hosts = (server.host for peer in self.peers.values() for server in peer.servers)
        return tuple(dict.fromkeys(host for host in hosts if canonical_ip(host) is None))

    def identify(self, interface: str, host: str, port: int) -> Peer | None:
        """The peer that speaks from this address, in canonical text, on this interface; None is a stranger."""
        return self._sources.find(interface, host, port)

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

    def read_called(self, facts: Facts) -> Number:
        return self.plan.read(facts.called, bare=self._writes_bare(facts.peer, "called"))

    def read_caller(self, facts: Facts) -> Number:
        return self.plan.read(facts.caller, bare=self._writes_bare(facts.peer, "caller"))

    def decide(self, facts: Facts) -> Decision:
        called = self.read_called(facts)
        caller = self.read_caller(facts)
        because: list[Step] = []
        for rule in self._rules:
            step = rule.test(facts.peer, called, caller)
            because.append(step)
            if step.matched:
                return rule.decide(called, caller, tuple(because))
        return Decision(reject=404, called_e164=called.best, caller_e164=caller.best, because=tuple(because))

    def _writes_bare(self, name: str, which: str) -> bool:
        """A carrier that wants E.164 without its plus writes it so, too. People behind a PBX dial national numbers."""
        peer = self.peers.get(name)
        if peer is None or peer.kind != "trunk":
            return False
        return (peer.called_form if which == "called" else peer.caller_form) == "e164-bare"


class _Rule:
    """A route, compiled. The steps it can give as reasons are made once, not per call."""

    def __init__(self, route: Route, policy: Policy) -> None:
        self._route = route
        self._policy = policy
        self._plan = policy.plan
        self._from = frozenset(route.from_peers)
        self._to = _matcher(route.to, policy)
        self._caller = _matcher(route.caller, policy)
        self._rewrites = bool(route.strip or route.prepend)
        self._via = tuple(policy.peers[step.to] for step in route.via)
        self._matched = Step(route.where, route.name, matched=True)
        self._not_from = self._refusal(f"the call is not from {_either(route.from_peers)}")
        self._not_to = self._refusal(f"the called number is not {_either(route.to)}")
        self._not_caller = self._refusal(f"the caller is not {_either(route.caller)}")

    def _refusal(self, reason: str) -> Step:
        return Step(self._route.where, self._route.name, matched=False, reason=reason)

    def test(self, peer: str, called: Number, caller: Number) -> Step:
        if self._from and peer not in self._from:
            return self._not_from
        if self._to is not None and not self._to.matches(called):
            return self._not_to
        if self._caller is not None and not self._caller.matches(caller):
            return self._not_caller
        return self._matched

    def decide(self, called: Number, caller: Number, because: tuple[Step, ...]) -> Decision:
        route = self._route
        if route.reject:
            return Decision((), route.reject, route.name, called.best, caller.best, because)
        sent = self._rewritten(called) if self._rewrites else called
        if not sent.dialled:
            return Decision((), 484, route.name, called.best, caller.best, because)
        via = self._via or self._owner(called)
        hunt = tuple([self._target(peer, sent, caller) for peer in via])
        return Decision(hunt, 0 if hunt else 404, route.name, called.best, caller.best, because)

    def _owner(self, called: Number) -> tuple[Peer, ...]:
        owner = self._policy.owner(called)
        return (owner,) if owner else ()

    def _rewritten(self, called: Number) -> Number:
        """`strip` takes digits from the front, and a plus with them; names are left alone."""
        if not called.is_numeric:
            return called
        digits = called.dialled
        if self._route.strip:
            digits = digits.removeprefix("+")[self._route.strip :]
        if self._route.prepend:
            digits = self._route.prepend + digits.removeprefix("+")
        return self._plan.read(digits)

    def _target(self, peer: Peer, called: Number, caller: Number) -> Target:
        plan = self._plan
        no_answer = self._route.no_answer
        return Target(
            peer,
            plan.write(called, peer.called_form),
            plan.write(caller, peer.caller_form),
            peer.no_answer if no_answer is None else no_answer,
        )


def _matcher(texts: Sequence[str], policy: Policy) -> Matcher | None:
    return Matcher([parse_pattern(text) for text in texts], policy.plan.words, policy.owns) if texts else None


def _either(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"any of {', '.join(texts)}"
