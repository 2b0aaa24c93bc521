"""Settings of a policy in words: caps, health, registration, caller ID, the hunt's lists. For `sbc why`.

Each function gives one phrase, or an empty text where nothing was set. Pure.
"""

from collections.abc import Iterator, Mapping
from typing import Final, Literal

from sbc.policy.model import CallerId, Health, Limits, PathRules, Peer, Register, Route

Direction = Literal["inbound", "outbound"]

_REFUSED: Final = "refused with 403"


def paths(rules: PathRules | None, direction: Direction, pools: Mapping[str, int]) -> str:
    """As a call in this direction sees them."""
    if rules is None:
        return ""
    total = rules.total if rules.total is not None or rules.pool is None else pools.get(rules.pool)
    most = rules.outbound if direction == "outbound" else rules.inbound
    if total is None and most is None:
        return ""
    parts = ["call paths unlimited" if total is None else f"call paths {total}"]
    if rules.pool is not None:
        parts[0] += f" of the pool {rules.pool}"
    parts += [] if most is None else [f"at most {most} {direction}"]
    parts += _reserves(rules, direction)
    return ", ".join(parts)


def _reserves(rules: PathRules, direction: Direction) -> Iterator[str]:
    """What is kept for others, and so is not for this call."""
    if rules.reserve_emergency:
        yield f"{rules.reserve_emergency} kept for emergencies"
    other: Direction = "inbound" if direction == "outbound" else "outbound"
    kept = rules.reserve_inbound if other == "inbound" else rules.reserve_outbound
    if kept:
        yield f"{kept} kept for {other} calls"


def limits(rules: Limits | None) -> str:
    if rules is None:
        return ""
    phrases = (
        (rules.call_paths, "{} calls at once"),
        (rules.cps, "{} new calls a second"),
        (rules.minutes_per_day, "{} minutes a day"),
    )
    parts = [phrase.format(value) for value, phrase in phrases if value is not None]
    parts += [] if rules.max_duration is None else [f"{duration(rules.max_duration)} a call"]
    return "at most " + ", ".join(parts) if parts else ""


def health(rules: Health | None) -> str:
    if rules is None:
        return ""
    counts = f"down after {_times(rules.fall, 'failure')}, up after {_times(rules.rise, 'reply', 'replies')}"
    if rules.passive:
        return f"health by live traffic alone: {counts}"
    probes = f"OPTIONS every {duration(rules.options)}, every {duration(rules.retry)} while down"
    return f"health by {probes}: {counts} in a row"


def registration(register: Register | None) -> str:
    if register is None:
        return ""
    bulk = ", in bulk (RFC 6140)" if register.gin else ""
    return f"registers as sip:{register.user}@{register.host} for {duration(register.expires)}{bulk}"


def caller_id(peer: Peer) -> str:
    """What becomes of the caller that this PBX names."""
    rules: CallerId = peer.caller_id
    if peer.kind != "pbx" or rules == CallerId():
        return ""
    if rules.mode == "fixed":
        return f"always {rules.default}"
    if rules.mode == "pass":
        return "passes as it is"
    foreign = "shown as anonymous" if rules.on_fail == "anonymous" else _REFUSED
    if rules.on_fail == "replace":
        foreign = f"replaced by {rules.default}" if rules.default else f"{_REFUSED}, there is no default for them"
    return f"screened: foreign numbers are {foreign}, unless {peer.name} diverted the call from one of its own"


def hunting(route: Route) -> str:
    """Where the route changes which refusals continue the hunt."""
    parts = []
    if route.continue_on:
        parts.append(f"also goes on after {_statuses(route.continue_on)}")
    if route.stop_on:
        parts.append(f"stops at {_statuses(route.stop_on)}")
    return "the hunt " + " and ".join(parts) if parts else ""


def duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds > size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _statuses(statuses: frozenset[int]) -> str:
    return ", ".join(map(str, sorted(statuses)))


def _times(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or one + 's'}"
