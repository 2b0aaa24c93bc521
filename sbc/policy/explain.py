"""A dry run: which rule took a call, which did not and why, what each hop would see, and what holds it up.

The text of `sbc why`. Pure: it asks the same `decide` that a real call asks, so it cannot tell another story. A running
SBC adds what policy does not know, one text for each peer: health, and call paths in use.
"""

from collections.abc import Iterator, Mapping, Sequence

from msgspec import Struct, structs

from sbc.core.errors import OperatorError
from sbc.policy import wording
from sbc.policy.engine import Policy
from sbc.policy.model import DisasterPlan, Facts, Peer, Step, Target
from sbc.policy.numbers import Number
from sbc.policy.schema import nearest


class DryRun(Struct, frozen=True):
    """`text`: several lines, the last without a newline."""

    text: str
    is_refused: bool


def dry_run(policy: Policy, facts: Facts, live: Mapping[str, str] | None = None) -> DryRun:
    """A call as `facts` describes it, its caller as From has it; "" where nobody said.

    `live`: by peer, how it is now, such as `down since 09:00:00: no reply to OPTIONS`; a line each, and by "" how the
    node is. Raises `OperatorError` for a peer that the policy does not have.
    """
    if facts.peer not in policy.peers:
        raise OperatorError(f"`{facts.peer}` is no peer of this policy; {nearest(facts.peer, tuple(policy.peers))}")
    story = _Story(policy, facts, live or {})
    return DryRun("\n".join(story.lines()), story.is_refused)


def explain(policy: Policy, facts: Facts, live: Mapping[str, str] | None = None) -> str:
    """The text of `dry_run`."""
    return dry_run(policy, facts, live).text


class _Story:
    def __init__(self, policy: Policy, facts: Facts, live: Mapping[str, str]) -> None:
        self._policy = policy
        self._peer = policy.peers[facts.peer]
        self._given = facts.caller
        self._shown = _screened(policy, self._peer, facts.caller)
        self._facts = structs.replace(facts, caller=facts.caller if self._shown is None else self._shown)
        self._live = live
        self._decision = policy.decide(self._facts)
        self.is_refused = not self._decision.hunt or (self._shown is None and not self._decision.emergency)

    def lines(self) -> Iterator[str]:
        decision = self._decision
        yield from self._question()
        has_emergency = any(route.emergency for route in self._policy.routes)
        yield f"routes tried{', emergency routes first' if has_emergency else ''}:"
        yield from (f"  {step}" for step in decision.because)
        yield from self._warning()
        if self.is_refused:
            yield self._refusal()
            return
        yield from self._hunt()
        if decision.has_disaster_plan:
            yield from self._disaster(self._policy.disaster_plan(self._facts, decision))
        yield from self._caps()

    def _question(self) -> Iterator[str]:
        policy, facts, peer = self._policy, self._facts, self._peer
        yield f"{peer.kind} {peer.name} calls {facts.called}"
        yield f"  called  {self._number(policy.read_called(facts))}"
        yield from self._caller()
        codecs = wording.codecs(peer.codecs)
        if codecs:
            yield f"  {codecs}"
        yield from self._now("", "  ")
        yield from self._now(peer.name, "  ")

    def _caller(self) -> Iterator[str]:
        policy, given = self._policy, self._given
        if given:
            shown = f" · shown as {self._shown}" if self._shown not in (given, None) else ""
            yield f"  caller  {self._number(policy.read_caller(Facts(self._peer.name, '', given)))}{shown}"
        elif not self._facts.caller and self._routes_ask_for_a_caller():
            yield "  caller  not given, so no route that asks for a caller matches"
        caller_id = wording.caller_id(self._peer)
        if caller_id:
            yield f"  caller ID {caller_id}"

    def _routes_ask_for_a_caller(self) -> bool:
        name = self._peer.name
        return any(r.caller and (not r.from_peers or name in r.from_peers) for r in self._policy.routes)

    def _number(self, number: Number) -> str:
        owner = self._policy.owner(number)
        facts = [number.dialled, f"E.164 {number.e164}" if number.e164 else "no E.164 form"]
        facts += sorted(self._policy.plan.words(number))
        facts += [f"a DID of {owner.name}"] if owner else []
        return " · ".join(facts)

    def _warning(self) -> Iterator[str]:
        words = self._policy.plan.words(self._policy.read_called(self._facts))
        if "emergency" in words and not self._decision.emergency:
            country = self._policy.country
            yield f"beware: an emergency number of {country}, and no emergency route takes it from {self._peer.name}"

    def _refusal(self) -> str:
        decision = self._decision
        if self._shown is None:
            return f"refused: 403, {self._given} is no number of {self._peer.name} and caller_id.on_fail is reject"
        if decision.route is None:
            return f"refused: {decision.reject}, no route takes this number"
        return f"refused: {decision.reject}, by route {decision.route}"

    def _hunt(self) -> Iterator[str]:
        decision = self._decision
        if decision.emergency:
            yield "emergency call: the number goes out as dialled, and every failure goes on to the next target"
        yield f"hunt of route {decision.route}:"
        yield from self._targets(decision.hunt)
        changed = wording.hunting(decision.rule) if decision.rule else ""
        if changed:
            yield f"  {changed}"

    def _targets(self, targets: Sequence[Target]) -> Iterator[str]:
        for position, target in enumerate(targets, 1):
            yield from self._target(position, target)
        if any(target.weight is not None for target in targets):
            yield "  neighbours with a weight are tried in an order that is drawn for each call"

    def _target(self, position: int, target: Target) -> Iterator[str]:
        peer = target.peer
        weight = "" if target.weight is None else f", weight {target.weight}"
        yield f"  {position}. {peer.kind} {peer.name} ({peer.where or '-'}){weight}: {_servers(peer)}"
        form = "as dialled" if self._decision.emergency else peer.called_form
        yield f"     called as {target.called} ({form}) · {_caller(target, has_caller=bool(self._facts.caller))}"
        next_at = f"next after {peer.no_reply:g}s without a reply or {peer.no_progress:g}s without ringing"
        yield f"     {next_at} · rings {target.no_answer:g}s · from interface {peer.interface}"
        yield from (f"     {line}" for line in self._relation(target) if line)
        yield from self._now(peer.name, "     ")

    def _relation(self, target: Target) -> Iterator[str]:
        """What the peer's settings mean to this call."""
        peer = target.peer
        if target.diverted_from not in ("", target.called_e164):
            yield f"diverted from {target.diverted_from}"
        yield f"in the domain {peer.domain}" if peer.domain and peer.kind == "trunk" else ""
        yield wording.srtp(peer.srtp)
        yield wording.codecs(peer.codecs)
        yield wording.registration(peer.register)
        yield wording.health(peer.health)
        cps = "" if peer.cps is None else f"at most {peer.cps} new calls a second"
        caps = (wording.paths(peer.paths, "outbound", self._policy.path_pools), cps)
        if any(caps):
            passed = ", which an emergency may exceed" if self._decision.emergency else ""
            yield " · ".join(filter(None, caps)) + passed

    def _now(self, name: str, margin: str) -> Iterator[str]:
        """Of a peer, or of the node where the name is empty."""
        yield from (f"{margin}now: {line}" for line in self._live.get(name, "").splitlines())

    def _disaster(self, plan: DisasterPlan) -> Iterator[str]:
        down = self._decision.owner or next(t.peer.name for t in self._decision.hunt if t.peer.kind == "pbx")
        yield f"disaster plan, tried when {down} is out of service, gives no reply, cannot be reached or answers 503:"
        yield from (f"  {_step(step)}" for step in plan.because)
        yield from self._targets(plan.hunt)
        yield f"  then refused: {plan.reject}" if plan.reject else "  then refused as the last of them was"

    def _caps(self) -> Iterator[str]:
        if self._decision.emergency:
            yield "caps: none for an emergency call"
            return
        caps = [f"  {name}: {cap}" for name, cap in self._caps_by_name() if cap]
        yield "caps:" if caps else "caps: none"
        yield from caps

    def _caps_by_name(self) -> Iterator[tuple[str, str]]:
        """What holds up this call besides the caps of the targets."""
        policy, peer, decision = self._policy, self._peer, self._decision
        yield "all calls", "" if policy.cps is None else f"at most {policy.cps} new calls a second"
        yield f"{peer.kind} {peer.name}", wording.limits(peer.limits)
        paths = wording.paths(peer.paths, "inbound", policy.path_pools)
        yield f"{peer.kind} {peer.name}", paths and f"{paths}; when full, {peer.when_full.inbound}"
        yield f"route {decision.route}", wording.limits(decision.rule.limits) if decision.rule else ""
        trunks = (target.peer for target in decision.hunt if target.peer.paths is not None)
        for trunk in dict.fromkeys(trunks):
            full = trunk.when_full.outbound
            yield f"trunk {trunk.name}", f"when its call paths are taken, the next target; if there is none, {full}"


def _servers(peer: Peer) -> str:
    named = ", then ".join(server.text for server in peer.servers)
    if peer.registers:
        return f"where it has registered, else {named}" if named else "where it has registered"
    return named


def _caller(target: Target, *, has_caller: bool) -> str:
    return f"caller as {target.caller} ({target.peer.caller_form})" if has_caller else "no caller given"


def _step(step: Step) -> str:
    return f"{step.where or '-'}: {step.rule}{'' if step.matched else f': skipped, {step.reason}'}"


def _screened(policy: Policy, peer: Peer, caller: str) -> str | None:
    """What policy is asked about, where an INVITE says nothing of its caller but From; None: the call is refused."""
    rules = peer.caller_id
    if peer.kind != "pbx" or rules.mode == "pass":
        return caller
    if rules.mode == "fixed":
        return rules.default or caller
    if not caller or policy.owns_for(peer.name, caller):
        return caller or rules.default
    if rules.on_fail == "anonymous":
        return rules.default or "anonymous"
    return rules.default or None if rules.on_fail == "replace" else None
