"""A dry run: which rule took a call, which did not and why, and what each hop would see. The text of `sbc why`.

Pure: it asks the same `decide` that a real call asks, so it cannot tell another story.
"""

from collections.abc import Iterator

from sbc.core.errors import OperatorError
from sbc.policy.engine import Policy
from sbc.policy.model import Decision, Facts, Target
from sbc.policy.numbers import Number
from sbc.policy.schema import nearest


def explain(policy: Policy, facts: Facts) -> str:
    """Several lines, the last without a newline. Whether the call is refused says `policy.decide(facts).reject`."""
    peer = policy.peers.get(facts.peer)
    if peer is None:
        raise OperatorError(f"`{facts.peer}` is no peer of this policy; {nearest(facts.peer, tuple(policy.peers))}")
    return "\n".join(_lines(policy, facts, policy.decide(facts)))


def _lines(policy: Policy, facts: Facts, decision: Decision) -> Iterator[str]:
    yield f"{policy.peers[facts.peer].kind} {facts.peer} calls {facts.called}"
    yield f"  called  {_number(policy, policy.read_called(facts))}"
    if facts.caller:
        yield f"  caller  {_number(policy, policy.read_caller(facts))}"
    yield "routes tried:"
    for step in decision.because:
        yield f"  {step}"
    yield from _outcome(decision)


def _number(policy: Policy, number: Number) -> str:
    owner = policy.owner(number)
    facts = [number.dialled, f"E.164 {number.e164}" if number.e164 else "no E.164 form"]
    facts += sorted(policy.plan.words(number))
    facts += [f"a DID of {owner.name}"] if owner else []
    return " · ".join(facts)


def _outcome(decision: Decision) -> Iterator[str]:
    if decision.route is None:
        yield f"refused: {decision.reject}, no route takes this number"
    elif decision.reject:
        yield f"refused: {decision.reject}, by route {decision.route}"
    else:
        yield f"hunt of route {decision.route}:"
        for position, target in enumerate(decision.hunt, 1):
            yield from _target(position, target)
        yield "caps: none"


def _target(position: int, target: Target) -> Iterator[str]:
    peer = target.peer
    servers = ", then ".join(server.text for server in peer.servers)
    yield f"  {position}. {peer.kind} {peer.name} ({peer.where}): {servers}"
    caller = target.caller or "nobody"
    yield f"     called as {target.called} ({peer.called_form}) · caller as {caller} ({peer.caller_form})"
    next_at = f"next after {peer.no_reply:g}s without a reply or {peer.no_progress:g}s without ringing"
    yield f"     {next_at} · rings {target.no_answer:g}s · from interface {peer.interface}"
