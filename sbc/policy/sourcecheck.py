"""Peers that speak from the same addresses: allowed where each call shows which of them it is from, else an error.

What tells two trunks apart, in this order: the ports of their servers, the Contacts that they registered, and the DIDs
that their routes take. `engine.which` decides so, call by call.
"""

import ipaddress
from collections.abc import Callable, Sequence
from typing import Final

from sbc.core.address import canonical_ip
from sbc.policy.model import DidRange, Peer, Route, Where
from sbc.policy.numbers import NumberPlan
from sbc.policy.patterns import Matcher, parse_pattern
from sbc.policy.problems import Problems
from sbc.policy.sources import source_ports

_NOWHERE: Final = Where("policy", 1)


def check_sources(
    peers: Sequence[Peer],
    routes: Sequence[Route],
    dids: Sequence[DidRange],
    plan: NumberPlan,
    problems: Problems,
) -> None:
    by_source: dict[tuple[str, str], list[Peer]] = {}
    for peer in peers:
        for source in _sources(peer):
            by_source.setdefault((peer.interface, source), []).append(peer)
    takes = _Takers(routes, dids, plan)
    for (_, source), sharing in by_source.items():
        _check_sharing(source, sharing, takes.why_ambiguous, problems)
    _check_any([peer for peer in peers if peer.accepts_any], problems)


def _check_sharing(
    source: str, sharing: Sequence[Peer], why_ambiguous: Callable[[Peer, Peer], str], problems: Problems
) -> None:
    """Each peer against those before it; one complaint suffices."""
    for position, peer in enumerate(sharing):
        for other in sharing[:position]:
            if source_ports(peer).isdisjoint(source_ports(other)):
                problems.warn(
                    peer.where or _NOWHERE,
                    f"`{peer.name}` and `{other.name}` share {source} and are told apart by source port",
                    "what comes from any other port there meets silence",
                )
                break
            why = why_ambiguous(peer, other)
            if why:
                problems.wrong(
                    peer.where or _NOWHERE,
                    f"`{peer.name}` and `{other.name}` both accept {source} on `{peer.interface}`, and {why}",
                    f"expected other sources or ports, registrations of different users, or routes of their own DIDs; "
                    f"other at {other.where}",
                )
                break


class _Takers:
    """Which calls from a trunk some route takes."""

    def __init__(self, routes: Sequence[Route], dids: Sequence[DidRange], plan: NumberPlan) -> None:
        self._routes = [route for route in routes if not route.emergency and not route.reject]
        self._numbers = [number for did in dids for number in dict.fromkeys((did.first, did.last))]
        self._plan = plan

    def why_ambiguous(self, one: Peer, other: Peer) -> str:
        """Empty where a call shows which of the two it is from."""
        if one.kind == "pbx" or other.kind == "pbx":
            return "nothing in a call tells a pbx from another peer"
        if _registers_apart(one, other):
            return ""
        both = [r for r in self._routes if not r.from_peers or {one.name, other.name} <= set(r.from_peers)]
        if both:
            return f"the route `{both[0].name}` takes calls from either"
        mine, theirs = self._of(one), self._of(other)
        if not mine and not theirs:
            return "no route tells them apart by DID"
        if any(not route.to for route in (*mine, *theirs)):
            return "a route of one takes every number"
        shared = {text for route in mine for text in route.to} & {text for route in theirs for text in route.to}
        if shared:
            return f"routes of both take `{min(shared)}`"
        return self._shared_number(mine, theirs)

    def _of(self, peer: Peer) -> list[Route]:
        return [route for route in self._routes if peer.name in route.from_peers]

    def _shared_number(self, mine: Sequence[Route], theirs: Sequence[Route]) -> str:
        """The ends of each range of DIDs, tried on both."""
        ours, others = self._matcher(mine), self._matcher(theirs)
        for text in self._numbers:
            number = self._plan.read(text)
            if ours.matches(number) and others.matches(number):
                return f"routes of both take {text}"
        return ""

    def _matcher(self, routes: Sequence[Route]) -> Matcher:
        patterns = [parse_pattern(text) for route in routes for text in route.to]
        return Matcher(patterns, self._plan.words, lambda _number: True)


def _registers_apart(one: Peer, other: Peer) -> bool:
    """Calls come to the Contact that was registered (RFC 3261 §10); those of a bulk registration name the DID there."""
    mine, theirs = one.register, other.register
    if mine is None or theirs is None or mine.gin or theirs.gin:
        return False
    return mine.user.lower() != theirs.user.lower()


def _check_any(anywhere: Sequence[Peer], problems: Problems) -> None:
    """Peers from anywhere are told apart by who they say they are, and prove to be."""
    seen: dict[tuple[str, str], Peer] = {}
    for peer in anywhere:
        username = peer.auth.username if peer.auth else ""
        other = seen.setdefault((peer.interface, username), peer)
        if other is not peer:
            problems.wrong(
                peer.auth.where if peer.auth and peer.auth.where else peer.where or _NOWHERE,
                f"`{peer.name}` and `{other.name}` accept any source on `{peer.interface}` as the user `{username}`",
                f"expected user names that differ; other at {other.where}",
            )


def _sources(peer: Peer) -> tuple[str, ...]:
    if peer.accept:
        return peer.accept
    hosts = (canonical_ip(server.host) or server.host for server in peer.servers)
    return tuple(dict.fromkeys(str(ipaddress.ip_network(h)) if canonical_ip(h) else h for h in hosts))
