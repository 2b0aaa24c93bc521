"""Peers that speak from the same addresses: allowed where each call shows which of them it is from, else an error.

Two trunks are told apart by the Contacts that we registered, then by the DIDs that their routes take; two PBXs by their
accounts; and any two by the ports of their servers, by transports of their own, or by certificates. `speakers` decides
so, call by call.
"""

import ipaddress
from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from sbc.core.address import canonical_ip
from sbc.policy.model import DidRange, Peer, Route, Where
from sbc.policy.numbers import NumberPlan
from sbc.policy.patterns import Matcher, parse_pattern
from sbc.policy.problems import Problems
from sbc.policy.profiles import proofs_of
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
        for source in sources_of(peer):
            by_source.setdefault((peer.interface, source), []).append(peer)
    takes = _Takers(routes, dids, plan)
    for (_, source), sharing in by_source.items():
        _check_sharing(source, sharing, takes.why_ambiguous, problems)
    _check_any([peer for peer in peers if peer.accepts_any], problems)


def _check_sharing(
    source: str, sharing: Sequence[Peer], why_ambiguous: Callable[[Peer, Peer], str], problems: Problems
) -> None:
    """Each peer against those before it; one complaint suffices, and an error before a warning."""
    for position, peer in enumerate(sharing):
        ports = source_ports(peer)
        alike = [(other, why) for other in sharing[:position] if (why := why_ambiguous(peer, other))]
        clash = next(((other, why) for other, why in alike if not ports.isdisjoint(source_ports(other))), None)
        where = peer.where or _NOWHERE
        if clash is not None:
            other, why = clash
            problems.wrong(
                where,
                f"`{peer.name}` and `{other.name}` both accept {source} on `{peer.interface}`, and {why}",
                f"expected {_REMEDIES.get((peer.kind, other.kind), _REMEDY)}; other at {other.where}",
            )
        elif alike:
            other, _ = alike[0]
            problems.warn(
                where,
                f"`{peer.name}` and `{other.name}` share {source} and are told apart by source port",
                _from_other_ports(peer, other),
            )


def _from_other_ports(peer: Peer, other: Peer) -> str:
    if peer.kind == other.kind == "trunk":
        return f"what comes from any other port there is taken for `{other.name}`"
    return "what comes from any other port there meets silence"


class _Taken(Struct, frozen=True):
    """What the routes that name a trunk take: their places, their patterns, and which ends of DID ranges match."""

    routes: frozenset[int] = frozenset()
    patterns: frozenset[str] = frozenset()
    numbers: frozenset[str] = frozenset()
    is_all: bool = False


class _Takers:
    """Which calls from a trunk some route takes. Seen once per trunk, compared for each two."""

    def __init__(self, routes: Sequence[Route], dids: Sequence[DidRange], plan: NumberPlan) -> None:
        self._routes = [route for route in routes if not route.emergency and not route.reject]
        self._for_all = next((route.name for route in self._routes if not route.from_peers), "")
        self._numbers = [plan.read(text) for did in dids for text in dict.fromkeys((did.first, did.last))]
        self._plan = plan
        self._seen: dict[str, _Taken] = {}

    def why_ambiguous(self, one: Peer, other: Peer) -> str:
        """Empty where a call shows which of the two it is from."""
        if one.transports.isdisjoint(other.transports) or _are_proved_apart(one, other):
            return ""
        if one.kind != other.kind:
            return "nothing in a call tells a pbx from a trunk"
        if one.kind == "pbx":
            return _why_pbxs_are_ambiguous(one, other)
        if self._registers_apart(one, other):
            return ""
        return self._why_dids_are_ambiguous(self._taken(one.name), self._taken(other.name))

    def _registers_apart(self, one: Peer, other: Peer) -> bool:
        """Calls come to the Contact that was registered (RFC 3261 §10); those of a bulk registration name the DID."""
        mine, theirs = one.register, other.register
        if mine is None or theirs is None or mine.gin or theirs.gin:
            return False
        return self._plan.read(mine.user).best != self._plan.read(theirs.user).best

    def _why_dids_are_ambiguous(self, mine: _Taken, theirs: _Taken) -> str:
        if self._for_all:
            return f"the route `{self._for_all}` takes calls from either"
        if both := mine.routes & theirs.routes:
            return f"the route `{self._routes[min(both)].name}` takes calls from either"
        if not mine.routes and not theirs.routes:
            return "no route tells them apart by DID"
        if mine.is_all or theirs.is_all:
            return "a route of one takes every number"
        if shared := mine.patterns & theirs.patterns:
            return f"routes of both take `{min(shared)}`"
        if shared := mine.numbers & theirs.numbers:
            return f"routes of both take {min(shared)}"
        return ""

    def _taken(self, trunk: str) -> _Taken:
        taken = self._seen.get(trunk)
        if taken is None:
            taken = self._seen[trunk] = self._take(trunk)
        return taken

    def _take(self, trunk: str) -> _Taken:
        places = frozenset(place for place, route in enumerate(self._routes) if trunk in route.from_peers)
        texts = frozenset(text for place in places for text in self._routes[place].to)
        matcher = Matcher([parse_pattern(text) for text in texts], self._plan.words, lambda _number: True)
        numbers = frozenset(number.best for number in self._numbers if matcher.matches(number))
        return _Taken(places, texts, numbers, any(not self._routes[place].to for place in places))


def _why_pbxs_are_ambiguous(one: Peer, other: Peer) -> str:
    if one.auth is None or other.auth is None:
        return "nothing in a call tells two pbxs apart without `auth`"
    if one.auth.username == other.auth.username:
        return f"both log in as `{one.auth.username}`"
    return ""


def _are_proved_apart(one: Peer, other: Peer) -> bool:
    """Where either has to show a certificate, and none proves to be both."""
    if "certificate" not in (one.tls.identity, other.tls.identity):
        return False
    return set(proofs_of(one)).isdisjoint(proofs_of(other))


def _check_any(anywhere: Sequence[Peer], problems: Problems) -> None:
    """Peers from anywhere are told apart by who they say they are, and prove to be."""
    seen: dict[tuple[str, str], list[Peer]] = {}
    for peer in anywhere:
        username = peer.auth.username if peer.auth else ""
        before = seen.setdefault((peer.interface, username), [])
        other = next((one for one in before if not _are_proved_apart(peer, one)), None)
        before.append(peer)
        if other is not None and not username:
            problems.wrong(
                peer.where or _NOWHERE,
                f"`{peer.name}` and `{other.name}` accept any source on `{peer.interface}` with the same certificate",
                f"expected domains that differ; other at {other.where}",
            )
        elif other is not None:
            problems.wrong(
                peer.auth.where if peer.auth and peer.auth.where else peer.where or _NOWHERE,
                f"`{peer.name}` and `{other.name}` accept any source on `{peer.interface}` as the user `{username}`",
                f"expected user names that differ; other at {other.where}",
            )


def sources_of(peer: Peer) -> tuple[str, ...]:
    """Networks and names, as text."""
    if peer.accept:
        return peer.accept
    hosts = (canonical_ip(server.host) or server.host for server in peer.servers)
    return tuple(dict.fromkeys(str(ipaddress.ip_network(h)) if canonical_ip(h) else h for h in hosts))
