"""What a policy would run, in words: the text of `sbc check` when nothing is wrong.

Pure: a policy in, lines out. Errors are not its business; they never become a policy. No password is in its lines, nor
the path of the webhook, which often is a secret itself.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from urllib.parse import urlsplit

from sbc.core.address import Transport
from sbc.policy import wording
from sbc.policy.engine import Policy
from sbc.policy.model import (
    CallerId,
    DidRange,
    DisasterStep,
    Forward,
    Health,
    Interface,
    Limits,
    MediaSettings,
    PathRules,
    Peer,
    RejectWith,
    Route,
    Via,
)
from sbc.policy.profiles import domains_of


def summary(policy: Policy) -> str:
    """Several lines, the last without a newline. Warnings come last, each with its place."""
    return "\n".join(_lines(policy))


def _lines(policy: Policy) -> Iterator[str]:
    media = policy.media
    pairs = (media.last_port + 1) // 2 - (media.first_port + 1) // 2
    yield f"{policy.name}: {_counts(policy)}"
    yield f"  admin {policy.admin} · data_dir {policy.data_dir}"
    yield f"  country {policy.country} · stop_after {policy.stop_after:g}s"
    yield f"  media ports {media.first_port}-{media.last_port} ({pairs} pairs per address)"
    yield f"  media engine {media.engine} · {media.workers} {_plural('worker', media.workers)} · {_silence(media)}"
    if policy.cps is not None:
        yield f"  at most {policy.cps} new {_plural('call', policy.cps)} per second"
    if policy.webhook is not None:
        yield f"  alerts to {urlsplit(policy.webhook).hostname}"
    if policy.hep is not None:
        yield f"  SIP of calls to {policy.hep.server} by HEP3"
    if policy.cdr.keep is not None:
        yield f"  records stay {_time(policy.cdr.keep)}"
    if policy.cdr.strict:
        yield "  an answer is on the disk before the caller hears of it"
    if policy.cdr.files is not None:
        yield f"  records also to {policy.cdr.files.style} files in {policy.cdr.files.folder}"
    if policy.cdr.postgres is not None:
        yield f"  records also to {policy.cdr.postgres.url}"
    yield from (line for interface in policy.interfaces.values() for line in _interface(interface))
    yield from (line for peer in policy.peers.values() for line in _peer(peer, policy))
    yield from (_pool(name, policy) for name in policy.path_pools)
    yield from (line for route in policy.routes for line in _route(route))
    yield from (f"warning: {warning}" for warning in policy.warnings)


def _silence(media: MediaSettings) -> str:
    ends = (
        f"calls end after {_time(media.silence_timeout)} of silence"
        if media.silence_timeout
        else "silence ends no call"
    )
    return f"{ends} · media outlives signalling by {_time(media.orphan_timeout)}"


def _counts(policy: Policy) -> str:
    pbxs = sum(peer.kind == "pbx" for peer in policy.peers.values())
    counts = (
        (len(policy.interfaces), "interface"),
        (pbxs, "pbx"),
        (len(policy.peers) - pbxs, "trunk"),
        (len(policy.routes), "route"),
        (_owned(policy.dids), "DID"),
    )
    return ", ".join(f"{count} {_plural(word, count)}" for count, word in counts)


def _owned(dids: Sequence[DidRange]) -> int:
    """Numbers in all, each counted once: ranges of one PBX may overlap."""
    total, end, kind = 0, -1, None
    for did in sorted(dids, key=lambda d: (len(d.first), d.first)):
        first, last = int(did.first), int(did.last)
        if kind != (kind := (len(did.first), did.first[:1] == "+")):
            end = -1
        total += max(0, last - max(first - 1, end))
        end = max(end, last)
    return total


def _interface(interface: Interface) -> Iterator[str]:
    listeners = " ".join(f"{one.transport}:{one.address}" for one in interface.listeners)
    yield f"interface {interface.name}: {listeners} · media {' '.join(interface.media)}"
    shown = [text for text in (interface.sip_advertise, interface.media_advertise) if text]
    if shown:
        yield f"  shown to peers as {' and '.join(shown)}"
    if any(one.transport is Transport.TLS for one in interface.listeners):
        yield f"  {wording.own_certificates(interface.tls)} · {wording.trust(interface.tls.trust)}"


def _peer(peer: Peer, policy: Policy) -> Iterator[str]:
    servers = "where it registers" if peer.registers else ", then ".join(server.text for server in peer.servers)
    yield f"{peer.kind} {peer.name} on {peer.interface}: {servers}"
    accepted = wording.anywhere(peer) if peer.accepts_any else " ".join(policy.accepted(peer))
    yield f"  speaks from {accepted or 'what its servers resolve to'} · numbers {_forms(peer)}"
    encrypted = wording.tls(peer, domains_of(peer))
    if encrypted:
        yield f"  {encrypted}"
    yield from _registration(peer)
    if peer.health is not None:
        yield f"  {_health(peer.health)}"
    yield from _capacity(peer)
    if peer.limits is not None:
        yield f"  {_limits(peer.limits)}"
    if peer.caller_id.where is not None:
        yield f"  {_caller_id(peer.caller_id)}"
    calls = wording.calls(peer)
    if calls:
        yield f"  {calls}"
    dids = [did for did in policy.dids if did.pbx == peer.name]
    if dids:
        yield f"  owns {', '.join(map(_range, dids))}"
    yield from (f"  while it is down, {_range(did)}: {_disaster(did.disaster)}" for did in dids if did.disaster)


def _registration(peer: Peer) -> Iterator[str]:
    """Accounts by their user name alone."""
    auth = peer.auth
    if auth is not None:
        missing = "" if auth.password else " · its password cannot be read"
        challenge = f" by {', then '.join(auth.algorithms)}" if peer.kind == "pbx" else ""
        yield f"  {'is challenged' if challenge else 'logs in'} as {auth.username}{challenge}{missing}"
    register = peer.register
    if register is not None:
        bulk = ", all numbers at once" if register.gin else ""
        kept = f" · keep-alive every {_time(register.keepalive)}" if register.keepalive else ""
        yield f"  registers {register.aor} for {_time(register.expires)}{bulk}{kept}"


def _health(health: Health) -> str:
    if health.passive:
        return "health by live traffic alone"
    probes = f"OPTIONS every {_time(health.options)}, every {_time(health.retry)} while not up"
    return f"health: {probes} · {_time(health.timeout)} to reply · down after {health.fall}, up after {health.rise}"


def _capacity(peer: Peer) -> Iterator[str]:
    if peer.paths is not None:
        full = f"when full, {peer.when_full.outbound} to the PBX and {peer.when_full.inbound} to the carrier"
        yield f"  {_paths(peer.paths)} · {full}"
    if peer.cps is not None:
        yield f"  at most {peer.cps} new {_plural('call', peer.cps)} per second"


def _paths(rules: PathRules) -> str:
    total = "any number of" if rules.total is None else str(rules.total)
    parts = [f"{total} {_plural('call path', rules.total or 0)}{f' of the pool {rules.pool}' if rules.pool else ''}"]
    maxima = (("inbound", rules.inbound), ("outbound", rules.outbound))
    parts += [f"at most {most} {direction}" for direction, most in maxima if most is not None]
    reserves = (
        ("emergencies", rules.reserve_emergency),
        ("inbound", rules.reserve_inbound),
        ("outbound", rules.reserve_outbound),
    )
    parts += [f"{reserved} kept for {kind}" for kind, reserved in reserves if reserved]
    return ", ".join(parts)


def _limits(limits: Limits) -> str:
    parts = (
        (limits.call_paths, f"{limits.call_paths} calls at once"),
        (limits.cps, f"{limits.cps} new per second"),
        (limits.minutes_per_day, f"{limits.minutes_per_day} minutes a day"),
        (limits.max_duration, f"{_time(limits.max_duration or 0)} each"),
    )
    limited = ", ".join(text for limit, text in parts if limit is not None)
    return f"calls limited to {limited}" if limited else "calls not limited"


def _caller_id(rule: CallerId) -> str:
    if rule.mode == "pass":
        return "callers pass as they are"
    if rule.mode == "fixed":
        return f"the caller is always {rule.default}"
    others = {"replace": f"become {rule.default}", "reject": "are refused", "anonymous": "become anonymous"}
    return f"callers are screened; others {others[rule.on_fail]}"


def _pool(name: str, policy: Policy) -> str:
    total = policy.path_pools[name]
    trunks = [peer.name for peer in policy.peers.values() if peer.paths is not None and peer.paths.pool == name]
    return f"pool {name}: {total} {_plural('call path', total)} for {', '.join(trunks) or 'no trunk'}"


def _route(route: Route) -> Iterator[str]:
    sources = ", ".join(route.from_peers) or "any peer"
    numbers = ", ".join(route.to) or "any number"
    callers = f" by {', '.join(route.caller)}" if route.caller else ""
    outcome = f"refused with {route.reject}" if route.reject else _hunt(route.via) or "the PBX that owns it"
    kind = "emergency route" if route.emergency else "route"
    yield f"{kind} {route.name}: {sources} → {numbers}{callers}: {outcome}"
    if route.continue_on or route.stop_on:
        rules = (("goes on after", route.continue_on), ("stops after", route.stop_on))
        texts = [f"{verb} {', '.join(map(str, sorted(statuses)))}" for verb, statuses in rules if statuses]
        yield f"  the hunt {' and '.join(texts)}"
    if route.limits is not None:
        yield f"  {_limits(route.limits)}"
    if route.disaster:
        yield f"  while the PBX is down: {_disaster(route.disaster)}"


def _hunt(via: Sequence[Via]) -> str:
    """Steps with weights that stand together are one draw."""
    texts = []
    for is_drawn, steps in groupby(via, key=lambda step: step.weight is not None):
        if is_drawn:
            texts.append(" or ".join(f"{step.to} (weight {step.weight})" for step in steps))
        else:
            texts += [step.to for step in steps]
    return ", then ".join(texts)


def _disaster(steps: Sequence[DisasterStep]) -> str:
    return ", then ".join(map(_step, steps))


def _step(step: DisasterStep) -> str:
    if isinstance(step, Forward):
        over = f" over {', then '.join(step.via)}" if step.via else ""
        return f"forward to {step.number}{over}"
    if isinstance(step, RejectWith):
        return f"refuse with {step.status}"
    return f"the PBX {step.pbx}"


def _forms(peer: Peer) -> str:
    if peer.called_form == peer.caller_form:
        return peer.called_form
    return f"{peer.called_form} (caller {peer.caller_form})"


def _range(did: DidRange) -> str:
    return did.first if did.first == did.last else f"{did.first}-{did.last}"


def _time(seconds: float) -> str:
    """As an operator would write it."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds / size:g}{unit}"
    return f"{seconds:g}s"


def _plural(word: str, count: int) -> str:
    if count == 1:
        return word
    return f"{word}s"
