"""Settings of a policy in words: caps, health, registration, caller ID, the hunt's lists, what a peer may do in a call.

For `sbc why` and the summary of `sbc check`.

Each function gives one phrase, or an empty text where nothing was set. Pure.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal

from sbc.core.address import Transport
from sbc.policy.certificates import described
from sbc.policy.methods import IMPLIED_EVENTS, IMPLIED_METHODS
from sbc.policy.model import (
    EVENTS,
    TALK_METHODS,
    CallerId,
    CodecRules,
    HeaderRules,
    Health,
    Limits,
    PathRules,
    Peer,
    Register,
    Route,
    SessionTimerRules,
)
from sbc.policy.protection import SUITES, InterfaceTls, PeerTls, SrtpRules, Trust

Direction = Literal["inbound", "outbound"]

_REFUSED: Final = "refused with 403"

_TRANSFERS: Final = {"pass": "are passed on", "terminate": "are carried out here", "refuse": "are refused"}
_REDIRECTIONS: Final = {"follow": "followed", "refuse": "refused"}
_DIGITS: Final = {"rfc4733": "digits by RFC 4733", "info": "digits by INFO"}


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
    return f"registers as {register.aor} for {duration(register.expires)}{bulk}"


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


def calls(peer: Peer) -> str:
    """What this peer may do in and beside a call, where that is not what its kind does anyway."""
    is_pbx = peer.kind == "pbx"
    phrases = (
        f"transfers {_TRANSFERS[peer.transfer]}" if peer.transfer != ("terminate" if is_pbx else "refuse") else "",
        f"redirections are {_REDIRECTIONS[peer.redirect]}"
        if peer.redirect != ("follow" if is_pbx else "refuse")
        else "",
        _media_source(peer),
        srtp(peer.srtp),
        codecs(peer.codecs),
        "G.711 is not recoded" if peer.transcode == "off" else "",
        "no fax streams" if peer.t38 == "refuse" else "",
        "holds are told as inactive" if peer.hold == "inactive" else "",
        _DIGITS.get(peer.dtmf, ""),
        "hears 180 instead of early media" if peer.early_media == "ringback" else "",
        "always gets an offer" if peer.delayed_offer == "convert" else "",
        "no 100rel" if peer.reliable == "off" else "",
        _session_timer(peer.session_timer),
        _listed("methods", peer.methods - IMPLIED_METHODS) if peer.methods != TALK_METHODS else "",
        _listed("events", peer.events - IMPLIED_EVENTS) if peer.events != EVENTS else "",
        *_headers(peer.headers),
    )
    return " · ".join(filter(None, phrases))


def srtp(rules: SrtpRules) -> str:
    if rules.mode == "off":
        return ""
    suites = "" if rules.suites == SUITES else f", {' and '.join(rules.suites)} alone"
    return f"SRTP {rules.mode} by {', then '.join(name.upper() for name in rules.keying)}{suites}"


def _media_source(peer: Peer) -> str:
    if peer.latching == "nat":
        return f"media learned within {', '.join(peer.media_from)}"
    return "media from its SDP's address and port only" if peer.latching == "strict" else ""


def codecs(rules: CodecRules) -> str:
    if not rules.allow:
        return f"codecs {', '.join(rules.order)} first" if rules.order else ""
    first = [] if rules.order in ((), rules.allow) else [f"{', '.join(rules.order)} first"]
    return ", ".join([f"codecs {', '.join(rules.allow)} only", *first])


def _session_timer(rules: SessionTimerRules | None) -> str:
    if rules is None:
        return "no session timer"
    if rules == SessionTimerRules():
        return ""
    return f"session timer {duration(rules.expires)}, at least {duration(rules.minimum)}"


def _headers(rules: HeaderRules) -> Iterator[str]:
    """Names alone: a value may be a secret between two machines."""
    yield _listed("also passes", rules.passed)
    yield _listed("never gets", rules.removed)
    yield _listed("gets", [name for name, _ in rules.added])
    if rules.forwarded != "as-received":
        told = {"diversion": "Diversion", "history-info": "History-Info", "both": "Diversion and History-Info"}
        yield f"forwarded calls are told by {told[rules.forwarded]}"


def _listed(what: str, names: Iterable[str]) -> str:
    text = ", ".join(sorted(names))
    return f"{what} {text}" if text else ""


def own_certificates(tls: InterfaceTls) -> str:
    if not tls.pairs:
        return "makes TLS connections and accepts none: there is no certificate"
    return f"shows {', '.join(f'{pair.name} ({described(pair.chain)})' for pair in tls.pairs)}"


def trust(rules: Trust) -> str:
    whose = "authorities of its own" if rules.authorities else "the system's authorities"
    lists = ", revocation lists" if rules.crl else ""
    revoked = f", {_times(len(rules.revoked), 'fingerprint')} revoked" if rules.revoked else ""
    return f"TLS {rules.minimum} and later, {whose}{lists}{revoked}"


def anywhere(peer: Peer) -> str:
    proofs = ("credentials" if peer.auth else "", "a certificate" if peer.tls.identity == "certificate" else "")
    return f"anywhere, with {' and '.join(filter(None, proofs))}"


def tls(peer: Peer, domains: Sequence[str]) -> str:
    """By which transports it is heard, and how it proves who it is. "" where any will do and it never need."""
    by = " and ".join(sorted(peer.transports))
    heard = "" if peer.transports == frozenset(Transport) else f"heard by {by} only"
    calls_by_tls = any(server.transport is Transport.TLS for server in peer.servers)
    if Transport.TLS not in peer.transports or not (calls_by_tls or peer.tls != PeerTls()):
        return heard
    if peer.tls.pins:
        proof = f"known by {_times(len(peer.tls.pins), 'pinned fingerprint')}"
    else:
        proof = f"its certificate must name {' or '.join(domains)}" if domains else ""
    always = "which it must always show" if peer.tls.identity == "certificate" else ""
    own = f"gets {peer.tls.pair.name}" if peer.tls.pair is not None else ""
    apart = "" if peer.tls.reuse else "our requests go by connections of our own"
    return " · ".join(filter(None, (heard, ", ".join(filter(None, (proof, always))), own, apart)))


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
