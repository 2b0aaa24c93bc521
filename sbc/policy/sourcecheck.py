"""Peers that speak from the same addresses: allowed where each call shows which of them it is from, else an error.

Two trunks are told apart by the Contacts that we registered, then by the DIDs that their routes take; two PBXs by their
accounts; and any two by the ports of their servers. `speakers` decides so, call by call.
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
_REMEDY: Final = "other sources or ports"
_REMEDIES: Final = {
    ("trunk", "trunk"): "other sources or ports, AORs that differ, or routes with DIDs of their own",
    ("pbx", "pbx"): "other sources or ports, or `auth` with user names that differ",
}


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
            why = why_ambiguous(peer, other)
            if not why:
                continue
            if source_ports(peer).isdisjoint(source_ports(other)):
                problems.warn(
                    peer.where or _NOWHERE,
                    f"`{peer.name}` and `{other.name}` share {source} and are told apart by source port",
                    _from_other_ports(peer, other),
                )
            else:
                problems.wrong(
                    peer.where or _NOWHERE,
                    f"`{peer.name}` and `{other.name}` both accept {source} on `{peer.interface}`, and {why}",
                    f"expected {_REMEDIES.get((peer.kind, other.kind), _REMEDY)}; other at {other.where}",
                )
            break


def _from_other_ports(peer: Peer, other: Peer) -> str:
    if peer.kind == other.kind == "trunk":
        return f"what comes from any other port there is taken for `{other.name}`"
    return "what comes from any other port there meets silence"


class _Takers:
    """Which calls from a trunk some route takes."""

    def __init__(self, routes: Sequence[Route], dids: Sequence[DidRange], plan: NumberPlan) -> None:
        self._routes = [route for route in routes if not route.emergency and not route.reject]
        self._numbers = [number for did in dids for number in dict.fromkeys((did.first, did.last))]
        self._plan = plan

    def why_ambiguous(self, one: Peer, other: Peer) -> str:
        """Empty where a call shows which of the two it is from."""
        if one.kind != other.kind:
            return "nothing in a call tells a pbx from a trunk"
        if one.kind == "pbx":
            return _why_pbxs_are_ambiguous(one, other)
        if self._registers_apart(one, other):
            return ""
        names = {one.name, other.name}
        both = [route for route in self._routes if not route.from_peers or names <= set(route.from_peers)]
        if both:
            return f"the route `{both[0].name}` takes calls from either"
        return self._why_dids_are_ambiguous(self._of(one), self._of(other))

    def _registers_apart(self, one: Peer, other: Peer) -> bool:
        """Calls come to the Contact that was registered (RFC 3261 §10); those of a bulk registration name the DID."""
        mine, theirs = one.register, other.register
        if mine is None or theirs is None or mine.gin or theirs.gin:
            return False
        return self._plan.read(mine.user).best != self._plan.read(theirs.user).best

    def _of(self, peer: Peer) -> list[Route]:
        return [route for route in self._routes if peer.name in route.from_peers]

    def _why_dids_are_ambiguous(self, mine: Sequence[Route], theirs: Sequence[Route]) -> str:
        if not mine and not theirs:
            return "no route tells them apart by DID"
        if any(not route.to for route in (*mine, *theirs)):
            return "a route of one takes every number"
        shared = {text for route in mine for text in route.to} & {text for route in theirs for text in route.to}
        if shared:
            return f"routes of both take `{min(shared)}`"
        ours, others = self._matcher(mine), self._matcher(theirs)
        for text in self._numbers:  # the ends of each range of DIDs, tried on both
            number = self._plan.read(text)
            if ours.matches(number) and others.matches(number):
                return f"routes of both take {text}"
        return ""

    def _matcher(self, routes: Sequence[Route]) -> Matcher:
        patterns = [parse_pattern(text) for route in routes for text in route.to]
        return Matcher(patterns, self._plan.words, lambda _number: True)


def _why_pbxs_are_ambiguous(one: Peer, other: Peer) -> str:
    if one.auth is None or other.auth is None:
        return "nothing in a call tells two pbxs apart without `auth`"
    if one.auth.username == other.auth.username:
        return f"both log in as `{one.auth.username}`"
    return ""


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
