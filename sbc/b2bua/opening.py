"""Opens a target of the hunt: from a peer to the addresses that can be dialled now, or the reason why there is none.

Health, operator's orders, registration and bindings decide; emergencies take whatever there is, the healthy first
(contract, section 7). It takes no call path and dials nothing.
"""

from collections.abc import Iterable

from msgspec import Struct

from sbc.b2bua.hunt import Attempt
from sbc.peering.hop import Hop
from sbc.peering.relations import Relations
from sbc.policy.model import Server, Target


class Opened(Struct, frozen=True):
    """`attempts` are usable now, `others` are out of service; `why` there is no usable one."""

    attempts: tuple[Attempt, ...] = ()
    others: tuple[Attempt, ...] = ()
    why: str = ""


def open_target(target: Target, relations: Relations, now: float) -> Opened:
    """Cheap: a few look-ups for each address of the peer."""
    peer = target.peer
    closed = relations.why_closed(peer)
    every = _bound(target, relations) if peer.registers else _configured(target, relations, now)
    if closed:
        return Opened((), every, closed)
    usable = tuple([one for one in every if one.hop is None or relations.health.is_usable(one.hop)])
    if usable:
        return Opened(usable, tuple([one for one in every if one not in usable]) if len(usable) < len(every) else ())
    why = relations.why_unusable(peer)
    return Opened((), every, f"down: {why}" if why else "down")


def why_closed_since(attempt: Attempt, relations: Relations) -> str:
    """Why this address may not be dialled any more: others were tried since it was found; empty: it may."""
    closed = relations.why_closed(attempt.target.peer)
    if closed or attempt.hop is None or relations.health.is_usable(attempt.hop):
        return closed
    return f"{attempt.hop} is out of service"


def emergency_order(targets: Iterable[Target], relations: Relations, now: float) -> tuple[Attempt, ...]:
    """Every address of every target: "healthy trunks first, then the rest"."""
    opened = [open_target(target, relations, now) for target in targets]
    healthy = [attempt for one in opened for attempt in one.attempts]
    return (*healthy, *(attempt for one in opened for attempt in one.others))


def _configured(target: Target, relations: Relations, now: float) -> tuple[Attempt, ...]:
    return tuple([Attempt(target, server, hop) for server, hop in relations.hops(target.peer, now)])


def _bound(target: Target, relations: Relations) -> tuple[Attempt, ...]:
    """The contacts that the peer has registered with us; calls take the way that the registration came (RFC 5626)."""
    attempts = []
    for binding in relations.registrar.bindings_for(target.peer.name, target.called_e164 or target.called):
        remote = binding.flow.remote
        server = Server(remote.host, remote.port, binding.flow.transport, binding.contact)
        hop = Hop(target.peer.name, server, binding.flow)
        # In brackets: outside of them, `lr` were a parameter of the header, and a comma the end of the URI.
        routes = tuple([f"<{uri}>" for uri in binding.path])
        attempts.append(Attempt(target, server, hop, binding.target(target.called, target.called_e164), routes))
    return tuple(attempts)
