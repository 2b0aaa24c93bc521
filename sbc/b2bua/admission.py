"""What a new call must pass before anybody is dialled: the limits of its PBX and route, the call paths of the trunk
that it came on, the node's rate (contract, sections 2 and 7).

Emergencies pass everything, and hold the paths that they use. What is admitted here is given back at the call's one
exit. Paths and rates of the trunks that a call goes out on are the hunt's.
"""

from typing import TYPE_CHECKING, Final

from sbc.b2bua.account import Ending
from sbc.core.cause import Cause
from sbc.policy.model import Decision, Limits, Target

if TYPE_CHECKING:
    from sbc.b2bua.call import Call

_USER_BUSY: Final = 17  # Q.850; what a carrier is told when the paths it brings calls on are taken
_NO_CIRCUIT: Final = 34


def admit(call: "Call", decision: Decision, now: float) -> Ending | None:
    """Why the call is refused; None: it has all that it needs."""
    relations, peer = call.context.relations, call.ingress.peer
    if peer.kind == "trunk" and call.errand is None:  # a transfer's call comes in on no trunk
        if relations.is_busied_out(peer.name) and not decision.emergency:
            call.explain(f"{peer.name} is busied out", now)
            return Ending(Cause.OPERATOR, 503, Cause.OPERATOR.q850, "sbc")
        if not relations.paths.take(peer.name, call.ref, 0, "inbound", now, emergency=decision.emergency):
            call.explain(f"all inbound call paths of {peer.name} are taken", now)
            return Ending(Cause.PATHS_FULL, peer.when_full.inbound, _USER_BUSY, "sbc")
    if decision.emergency:
        return None
    # The node's rate comes last: what a PBX's own limits refuse must not use up the others' share of it.
    reached = _limits(call, decision, now)
    if reached is None and not relations.quotas.admits_any(now):
        call.explain("more new calls in this second than sbc.cps allows", now)
        return Ending(Cause.RATE_LIMITED, 503, Cause.RATE_LIMITED.q850, "sbc")
    return reached


def admit_redirected(call: "Call", target: Target, now: float) -> str:
    """Whoever redirects a call has dialled it as if by himself, within his limits and those of his route: why it cannot
    be; "" where it may. What it uses goes back with the call's end, also where this target is not the one that answers.
    """
    return next((found for key, _ in target.limits if (found := _begin(call, key, now))), "")


def longest(call: "Call", decision: Decision) -> float | None:
    """Seconds that the call may last, now that it is answered."""
    if decision.emergency:
        return None
    found = [limits.max_duration for limits in _limits_of(call, decision) if limits is not None]
    found += [limits.max_duration for _, limits in call.account.limits]
    return min((seconds for seconds in found if seconds is not None), default=None)


def _limits(call: "Call", decision: Decision, now: float) -> Ending | None:
    for key in (f"pbx {call.ingress.peer.name}", f"route {decision.route}"):
        reached = _begin(call, key, now)
        if reached:
            call.explain(f"{key}: limits.{reached} is reached", now)
            if reached == "call_paths":
                return Ending(Cause.PATHS_FULL, 503, _NO_CIRCUIT, "sbc")
            return Ending(Cause.RATE_LIMITED, 503, Cause.RATE_LIMITED.q850, "sbc")
    return None


def _begin(call: "Call", key: str, now: float) -> str:
    """Which of these limits is reached; "" where the call counts among them."""
    usage, usages = call.context.relations.quotas.usage(key), call.holdings.usages
    if usage is None or usage in usages:
        return ""
    reached = usage.begin(call.ref, now, call.context.wall.of(now))
    if not reached:
        usages.append(usage)
    return reached


def _limits_of(call: "Call", decision: Decision) -> tuple[Limits | None, ...]:
    rule = decision.rule
    return (call.ingress.peer.limits, None if rule is None else rule.limits)
