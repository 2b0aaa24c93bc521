"""One route, compiled: does it take this call, and if so, what is tried.

First match wins; the engine asks them in order. `strip` and `prepend` change what was dialled before any peer's form is
made. An emergency number goes out exactly as it was dialled (contract, "Rules that decide cases"). Pure.
"""

from collections.abc import Mapping, Sequence

from sbc.policy.dids import DidTable, Owned
from sbc.policy.model import Decision, Peer, Route, Step, Target
from sbc.policy.numbers import Number, NumberPlan
from sbc.policy.patterns import Matcher, parse_pattern


class Rule:
    """The steps that it can give as reasons are made once, not per call."""

    def __init__(self, route: Route, plan: NumberPlan, peers: Mapping[str, Peer], dids: DidTable) -> None:
        self.route = route
        self._plan = plan
        self._peers = peers
        self._dids = dids
        self._from = frozenset(route.from_peers)
        self._to = _matcher(route.to, plan, dids)
        self._caller = _matcher(route.caller, plan, dids)
        self._rewrites = bool(route.strip or route.prepend) and not route.emergency
        self._via = tuple((peers[step.to], step.weight) for step in route.via)
        self._reaches_pbx = not self._via or any(peer.kind == "pbx" for peer, _ in self._via)
        self._matched = Step(route.where, route.name, matched=True)
        self._not_from = self._refusal(f"the call is not from {_either(route.from_peers)}")
        self._not_to = self._refusal(f"the called number is not {_either(route.to)}")
        self._not_caller = self._refusal(f"the caller is not {_either(route.caller)}")

    def test(self, peer: str, called: Number, caller: Number) -> Step:
        if self._from and peer not in self._from:
            return self._not_from
        if self._to is not None and not self._to.matches(called) and not self._bars_disguised(called):
            return self._not_to
        if self._caller is not None and not self._caller.matches(caller):
            return self._not_caller
        return self._matched

    def _bars_disguised(self, called: Number) -> bool:
        """A bar looks through letters and signs that an exchange may ignore; a route that lets calls out does not."""
        if called.is_numeric or not self.route.reject or self._to is None:
            return False
        return any(self._to.matches(number) for number in self._plan.disguised(called))

    def names(self, peer: str) -> bool:
        """Whether `from` says this very peer."""
        return peer in self._from

    def takes(self, called: Number) -> bool:
        """Whether calls for this number may go on here, whoever calls."""
        return not self.route.reject and (self._to is None or self._to.matches(called))

    def decide(self, dialled: str, called: Number, caller: Number, because: tuple[Step, ...]) -> Decision:
        """`dialled` is what `called` was read from, and what an emergency route sends."""
        route = self.route
        if route.reject:
            return self._refuse(route.reject, called, caller, because)
        sent = self._rewritten(called) if self._rewrites else called
        if not sent.dialled:
            return self._refuse(484, called, caller, because)
        owned = self._dids.find(called) if self._reaches_pbx else None
        via = self._via or ((self._peers[owned.pbx], None),) if owned else self._via
        hunt = tuple([self._target(peer, weight, sent, caller) for peer, weight in via])
        if route.emergency:
            hunt = tuple([_verbatim(target, dialled) for target in hunt])
        return Decision(
            hunt,
            0 if hunt else 404,
            route.name,
            called.best,
            caller.best,
            because,
            route.emergency,
            route,
            _owner(owned, hunt),
            self._has_plan(owned, hunt),
        )

    def _refuse(self, status: int, called: Number, caller: Number, because: tuple[Step, ...]) -> Decision:
        route = self.route
        return Decision((), status, route.name, called.best, caller.best, because, route.emergency, route)

    def _refusal(self, reason: str) -> Step:
        return Step(self.route.where, self.route.name, matched=False, reason=reason)

    def _has_plan(self, owned: Owned | None, hunt: tuple[Target, ...]) -> bool:
        """An emergency call has none: it hunts on after every failure as it is."""
        if not self._reaches_pbx or not hunt or self.route.emergency:
            return False
        return bool(self.route.disaster or (owned is not None and owned.plan))

    def _rewritten(self, called: Number) -> Number:
        """`strip` takes digits from the front, and a plus with them; names are left alone."""
        if not called.is_numeric:
            return called
        digits = called.dialled
        if self.route.strip:
            digits = digits.removeprefix("+")[self.route.strip :]
        if self.route.prepend:
            digits = self.route.prepend + digits.removeprefix("+")
        return self._plan.read(digits)

    def _target(self, peer: Peer, weight: int | None, called: Number, caller: Number) -> Target:
        plan = self._plan
        no_answer = self.route.no_answer
        return Target(
            peer,
            plan.write(called, peer.called_form),
            plan.write(caller, peer.caller_form),
            peer.no_answer if no_answer is None else no_answer,
            weight,
            called.best,
        )


def _verbatim(target: Target, dialled: str) -> Target:
    return Target(target.peer, dialled, target.caller, target.no_answer, target.weight, target.called_e164)


def _owner(owned: Owned | None, hunt: tuple[Target, ...]) -> str:
    """The PBX that owns the number, where the hunt goes to it."""
    if owned is None or not any(target.peer.name == owned.pbx for target in hunt):
        return ""
    return owned.pbx


def _matcher(texts: Sequence[str], plan: NumberPlan, dids: DidTable) -> Matcher | None:
    return Matcher([parse_pattern(text) for text in texts], plan.words, dids.owns) if texts else None


def _either(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else f"any of {', '.join(texts)}"
