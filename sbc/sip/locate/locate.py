"""Where a next hop is: all flows that are to be tried for it, in the order of RFC 3263 and RFC 2782.

What the procedure found is kept until an answer changes it; weights are drawn anew for each asking. Servers of the
policy are watched: looked up at once, kept fresh, and what changes about those with names is told (`news`). It asks
nobody itself (`due` says what is to be asked) and starts no transaction. Used by the endpoint and by the hunt.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, TypeVar

from msgspec import Struct

from sbc.core import limits
from sbc.core.address import Flow
from sbc.core.commands import Log
from sbc.core.ids import IdSource
from sbc.sip.commands import LookUp
from sbc.sip.errors import ParseError
from sbc.sip.events import LookedUp
from sbc.sip.locate.names import Key, NameCache
from sbc.sip.locate.order import drawn
from sbc.sip.locate.procedure import Choice, Groups, Local, LocalKey, Search, Unlocated
from sbc.sip.uri import SipUri, parse_uri

_REMEMBERED: Final = 10_000

T = TypeVar("T")
Place = tuple[str, str]  # next hop, interface


class News(Struct, frozen=True):
    """What look-ups changed: watched servers (next hop and interface); and, by their host names, who may speak as them:
    all addresses that they mean now or meant within the last hour.
    """

    servers: tuple[Place, ...] = ()
    addresses: Mapping[str, tuple[str, ...]] = {}


class _Found(Struct, frozen=True):
    """Good until an answer changes (`generation`) or expires."""

    groups: Groups
    only: tuple[Flow, ...]  # where nothing is to be drawn
    generation: int
    expires_at: float
    is_whole: bool  # no answer is missing, not even about the servers that are tried last


class _Watched:
    """`speakers`: addresses, and until when; those of now until further notice."""

    __slots__ = ("flows", "keys", "speakers", "told")

    def __init__(self) -> None:
        self.keys: frozenset[Key] = frozenset()
        self.flows: tuple[Flow, ...] = ()
        self.speakers: dict[str, float] = {}
        self.told: str | None = None  # what the log was told last


class Locator:
    def __init__(self, locals_: Mapping[LocalKey, Local], ids: IdSource) -> None:
        self.locals = dict(locals_)
        self._ids = ids
        self._names = NameCache()
        self._literals: dict[Place, tuple[Flow, ...]] = {}
        self._found: dict[Place, _Found] = {}
        self._generation = 0
        self._watched: dict[Place, _Watched] = {}
        self._resting_on: dict[Key, set[Place]] = {}  # watched servers
        self._changed: dict[Place, None] = {}
        self._said: list[Log] = []

    @property
    def names(self) -> int:
        """Record sets that are remembered."""
        return len(self._names)

    @property
    def look_ups(self) -> int:
        return self._names.under_way

    def is_watched(self, next_hop: str, interface: str) -> bool:
        return (next_hop, interface) in self._watched

    # --- where to send ------------------------------------------------------------------------------------------------

    def candidates(self, next_hop: str, interface: str, now: float) -> tuple[Flow, ...] | Unlocated:
        """All flows to be tried, in order, drawn anew. Cheap, unless an answer has come since the last asking."""
        place = (next_hop, interface)
        literal = self._literals.get(place)
        if literal is not None:
            return literal
        found = self._found.get(place)
        if found is None or found.generation != self._generation or now >= found.expires_at:
            search = self._search(place, now)
            if not isinstance(search, _Found):
                return search
            found = search
        return found.only or self._drawn(found.groups)

    def locate(
        self, next_hop: str, interface: str, now: float, locals_: Mapping[LocalKey, Local] | None = None
    ) -> Flow | Unlocated:
        """The first of them. `locals_`: to leave by these listeners, and not by those of now."""
        if locals_ is None or locals_ == self.locals:
            found = self.candidates(next_hop, interface, now)
            return found if isinstance(found, Unlocated) else found[0]
        try:
            uri = parse_uri(next_hop)
        except ParseError:
            uri = None
        if not isinstance(uri, SipUri):
            return Unlocated(f"{next_hop} is no SIP URI")
        groups = Search(interface, locals_, lambda key: self._names.look(key, now)).run(uri)
        return groups if isinstance(groups, Unlocated) else self._drawn(groups)[0]

    def change_locals(self, locals_: Mapping[LocalKey, Local], now: float) -> None:
        """Other listeners from now on. What the DNS has said stays known; where servers are is worked out anew."""
        if self.locals == locals_:
            return
        self.locals = dict(locals_)
        self._literals.clear()
        self._found.clear()
        self._generation += 1
        for place in self._watched:
            self._look_again(place, now)

    def addresses_of(self, next_hop: str, interface: str) -> tuple[str, ...]:
        """Who may speak as this server: for a watched one the addresses of the last hour, too."""
        watched = self._watched.get((next_hop, interface))
        if watched is not None:
            return tuple(watched.speakers)
        found = self._literals.get((next_hop, interface)) or _flows(self._found.get((next_hop, interface)))
        return tuple(dict.fromkeys(flow.remote.host for flow in found))

    # --- what the DNS says --------------------------------------------------------------------------------------------

    def learn(self, event: LookedUp, now: float) -> None:
        if self._names.learn(event, now):
            self._generation += 1
        for place in tuple(self._resting_on.get((event.name, event.kind), ())):
            self._look_again(place, now)

    def give_up(self, now: float) -> list[LookedUp]:
        """Look-ups that were never answered have failed; they are learned as such already."""
        events = self._names.overdue(now)
        for event in events:
            self.learn(event, now)
        return events

    def due(self, now: float) -> list[LookUp | Log]:
        """What is to be asked now, and what the operator should know."""
        said, self._said = self._said, []
        return [*said, *self._names.due(now)]

    def next_deadline(self) -> float | None:
        return self._names.next_deadline()

    # --- servers that are watched -------------------------------------------------------------------------------------

    def watch(self, servers: Iterable[Place], now: float) -> None:
        """From now on these, and no others. What is known of them stays known."""
        wanted = dict.fromkeys(servers)
        for place in [place for place in self._watched if place not in wanted]:
            self._rest_on(place, frozenset(), now)
            del self._watched[place]
        for place in wanted:
            if place not in self._watched:
                self._watched[place] = _Watched()
                self._look_again(place, now)

    def watched(self) -> tuple[Place, ...]:
        return tuple(self._watched)

    def news(self) -> News:
        """What has changed since this was asked last."""
        if not self._changed:
            return _NO_NEWS
        servers = tuple(place for place in self._changed if place in self._watched)
        self._changed.clear()
        hosts = {_host_of(next_hop) for next_hop, _ in servers}
        addresses: dict[str, dict[str, None]] = {}
        for (next_hop, _), watched in self._watched.items():
            host = _host_of(next_hop)
            if host in hosts:
                addresses.setdefault(host, {}).update(dict.fromkeys(watched.speakers))
        return News(servers, {host: tuple(found) for host, found in addresses.items()})

    def speakers(self) -> dict[str, tuple[str, ...]]:
        """What is known of all watched servers that are found by name, as `News.addresses` has it."""
        addresses: dict[str, dict[str, None]] = {}
        for (next_hop, _), watched in self._watched.items():
            if watched.keys:
                addresses.setdefault(_host_of(next_hop), {}).update(dict.fromkeys(watched.speakers))
        return {host: tuple(found) for host, found in addresses.items()}

    def _look_again(self, place: Place, now: float) -> None:
        watched = self._watched[place]
        search = self._search(place, now)
        flows = _flows(search if isinstance(search, _Found) else None)
        if isinstance(search, Unlocated) and search.is_pending and watched.flows:
            return  # half an answer to what has changed: the old one is as good as ever
        has_moved = frozenset(flows) != frozenset(watched.flows)
        watched.flows = flows
        if (self._let_speak(watched, flows, now) or has_moved) and watched.keys:
            self._changed[place] = None
        if watched.keys:
            self._tell(place, watched, search)

    def _let_speak(self, watched: _Watched, flows: Iterable[Flow], now: float) -> bool:
        """Whether that changes who may speak. Calls that are up at an address outlive its record."""
        before = frozenset(watched.speakers)
        gone_at = now + limits.GONE_ADDRESS_SECONDS
        kept = {address: min(until, gone_at) for address, until in watched.speakers.items() if until > now}
        ours = dict.fromkeys((flow.remote.host for flow in flows), math.inf)
        speakers = {**ours, **{address: until for address, until in kept.items() if address not in ours}}
        watched.speakers = dict(list(speakers.items())[: limits.WATCHED_ADDRESSES])
        return frozenset(watched.speakers) != before

    def _tell(self, place: Place, watched: _Watched, search: _Found | Unlocated) -> None:
        """The log hears what is new, when it is known as a whole."""
        if isinstance(search, Unlocated):
            if not search.is_pending and watched.told != "":
                watched.told = ""
                self._changed[place] = None  # that it is nowhere is news, too, where it was not known yet
                self._said.append(Log("warning", "dns.not_found", (("server", place[0]), ("reason", search.reason))))
        elif search.is_whole:
            addresses = ", ".join(sorted(f"{flow.transport}:{flow.remote}" for flow in watched.flows))
            if addresses != watched.told:
                watched.told = addresses
                self._said.append(Log("info", "dns.found", (("server", place[0]), ("addresses", addresses))))

    def _rest_on(self, place: Place, keys: frozenset[Key], now: float) -> None:
        """This watched server's place depends on these record sets, and no longer on others."""
        watched = self._watched[place]
        for key in sorted(watched.keys - keys):
            places = self._resting_on[key]
            places.discard(place)
            if not places:
                del self._resting_on[key]
                self._names.release(key)
        for key in sorted(keys - watched.keys):  # what is asked first is the same in every run
            self._resting_on.setdefault(key, set()).add(place)
            self._names.keep(key, now)
        watched.keys = keys

    # --- inside -------------------------------------------------------------------------------------------------------

    def _search(self, place: Place, now: float) -> _Found | Unlocated:
        next_hop, interface = place
        try:
            uri = parse_uri(next_hop)
        except ParseError:
            uri = None
        if not isinstance(uri, SipUri):
            return Unlocated(f"{next_hop} is no SIP URI")
        search = Search(interface, self.locals, lambda key: self._names.look(key, now))
        groups = search.run(uri)
        if place in self._watched:
            self._rest_on(place, frozenset(search.looked), now)
        if isinstance(groups, Unlocated):
            return groups
        only = _in_order(groups) if all(len(group) == 1 for group in groups) else ()
        if not search.looked:
            _remember(self._literals, place, only)
        # A record set that is expired already has been asked for by this search; ask again when that has had its time.
        expiries = [max(known.expires_at, now + 1.0) for known in search.looked.values() if known is not None]
        is_whole = len(expiries) == len(search.looked)
        found = _Found(groups, only, self._generation, min(expiries, default=math.inf), is_whole)
        if search.looked:
            _remember(self._found, place, found)
        return found

    def _drawn(self, groups: Groups) -> tuple[Flow, ...]:
        ordered: list[Flow] = []
        for group in groups:
            order = drawn([choice.weight for choice in group], self._ids) if len(group) > 1 else (0,)
            for at in order:
                ordered += group[at].flows
        return tuple(dict.fromkeys(ordered))


_NO_NEWS: Final = News()


def _in_order(groups: Sequence[Sequence[Choice]]) -> tuple[Flow, ...]:
    return tuple(dict.fromkeys(flow for group in groups for choice in group for flow in choice.flows))


def _flows(found: _Found | None) -> tuple[Flow, ...]:
    return () if found is None else _in_order(found.groups)


def _host_of(next_hop: str) -> str:
    uri = parse_uri(next_hop)
    return uri.host if isinstance(uri, SipUri) else ""


def _remember(table: dict[Place, T], place: Place, value: T) -> None:
    if len(table) >= _REMEMBERED:
        table.clear()
    table[place] = value
