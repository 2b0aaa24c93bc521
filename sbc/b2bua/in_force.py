"""The policy in force: what a reload, and a name server's news, change in the engine, and what of former policies and
listeners is needed as long as calls are up that began by them.

It opens no socket; whoever reloads has done so. The switch uses it, and asks it about sources that the policy does not
know.
"""

from collections.abc import Hashable, Iterator, Sequence
from functools import cache, partial

from sbc.b2bua.beside.beside import Beside
from sbc.b2bua.call import Out as CallOut
from sbc.b2bua.context import Context
from sbc.b2bua.entrance import stay_inside
from sbc.b2bua.former import FormerPolicies
from sbc.b2bua.listeners import FormerListeners
from sbc.b2bua.media import MediaRules
from sbc.b2bua.reachable import locals_of, own_places
from sbc.b2bua.states import Talking
from sbc.b2bua.ways import has_tls, is_by_tls, proof_of, way_of
from sbc.b2bua.whose import ref_of
from sbc.core.address import Address, Transport
from sbc.peering.hop import server_uri
from sbc.peering.relations import Out as PeerOut
from sbc.policy.engine import Policy
from sbc.sip.checks import Refusal
from sbc.sip.endpoint import Endpoint, Listeners
from sbc.sip.endpoint import Out as SipOut
from sbc.sip.message import Request

Out = CallOut | PeerOut | SipOut


class PolicyInForce:
    def __init__(self, context: Context, endpoint: Endpoint, beside: Beside) -> None:
        self.former = FormerPolicies()
        self.listeners = FormerListeners()
        self._context = context
        self._endpoint = endpoint
        self._beside = beside
        endpoint.is_renamed = _renames(context.policy)
        endpoint.own = own_places(context.policy)
        endpoint.layer.proof = lambda peer: proof_of(peer, context.policy)
        self.find_ways()

    # --- names --------------------------------------------------------------------------------------------------------

    def watch_names(self, now: float) -> Sequence[SipOut]:
        """The servers of all peers are looked up at once, and kept fresh: no call waits for the DNS."""
        peers = self._context.policy.peers.values()
        return self._endpoint.watch([(server_uri(s), peer.interface) for peer in peers for s in peer.servers], now)

    def learn_names(self, now: float) -> Sequence[PeerOut]:
        """What look-ups have said since, or have not."""
        return self._context.relations.hops_changed(now) if self._learn() else []

    def _learn(self) -> bool:
        """What a server's name means says who may speak as its peer. True where it has changed for any of them."""
        news = self._endpoint.news()
        for host, addresses in news.addresses.items():
            self._context.policy.learn_addresses(host, addresses)
        if news.addresses:
            self._context.keeping_out.names_changed()
        return bool(news.servers)

    # --- another policy -----------------------------------------------------------------------------------------------

    def change(self, policy: Policy, now: float) -> list[Out]:
        """For what comes from now on; calls that are up go on as they began."""
        context, old = self._context, self._context.policy
        self.former.replaced(old, self._calls_of_changed(old, policy))
        context.policy, had = policy, self._endpoint.locator.locals
        moved = self._change_interfaces(old, policy, now)
        context.media_rules = media_rules(policy)
        self._endpoint.is_renamed = _renames(policy)
        self._endpoint.own = own_places(policy)
        self.find_ways()
        outs = [
            *moved,
            *self.watch_names(now),
            *context.relations.change_policy(policy, now),
            *self._beside.change_policy(now, self.listeners.cut(had, self._endpoint.locator.locals)),
        ]
        self._learn()
        for host, addresses in self._endpoint.locator.speakers().items():
            policy.learn_addresses(host, addresses)  # it has never heard of them, and the DNS need not say it again
        return outs

    def find_ways(self) -> None:
        """Nobody is asked how a request goes over TLS where nothing ever has spoken it; a call of an earlier life may
        have, by a policy that is no more.
        """
        if has_tls(self._context.policy) or any(is_by_tls(call.legs) for call in self._context.calls.values()):
            self._endpoint.way = partial(way_of, context=self._context, beside=self._beside)

    def _calls_of_changed(self, old: Policy, new: Policy) -> Iterator[str]:
        """Refs of those with a peer that the new policy does not have as the old one had it; and of those that are not
        set up, and may call such a one yet.
        """

        @cache
        def is_same(name: str) -> bool:
            return old.peers.get(name) == new.peers.get(name)

        for ref, call in self._context.calls.items():
            if not isinstance(call.state, Talking) or not all(is_same(leg.peer.name) for leg in call.legs):
                yield ref

    def _change_interfaces(self, old: Policy, new: Policy, now: float) -> list[Out]:
        """Calls that are up keep the listeners and the ports that they have."""
        before, after = old.interfaces, new.interfaces
        if before == after:
            return []
        context, endpoint = self._context, self._endpoint
        had, locals_ = endpoint.locator.locals, locals_of(after.values())
        origins = context.moves.origins()
        self.listeners.replaced(had, locals_, before.values(), after.values(), context.calls, origins)
        context.set_interfaces({**context.interfaces, **after} if context.calls else after)
        endpoint.former = self._former_locals
        self._settle()
        return [
            *endpoint.change_locals(locals_, now),
            *context.ports.change(media_addresses(new), now),
        ]

    # --- what is former, and goes with the last call that needs it ----------------------------------------------------

    def _former_locals(self, user: Hashable) -> Listeners:
        while isinstance(user, tuple) and isinstance(user[0], tuple):
            user = user[0]
        if isinstance(user, tuple) and len(user) == 3 and self._context.moves:
            return self.listeners.of(self._context.moves.origin(user[0], user[1]))
        return self.listeners.of(ref_of(user))

    def turn_back(self, request: Request) -> Refusal | None:
        """What a request of a former peer meets; None: it may come in."""
        return stay_inside(request, self._context, self._endpoint.layer, beside=self._beside.tags)

    def forget(self, ref: str) -> None:
        """This call is gone; or another one has taken in its legs."""
        into = self._context.moves.call_of(ref)
        if into is not None and (self.former or self.listeners):
            self.former.taken_in(ref, into)
            self.listeners.taken_in(ref, into)
        self.former.forget(ref)
        if into is None:
            self.listeners.forget(ref)
        self._settle()

    def lets_go(self, transport: Transport, local: Address) -> bool:
        """Whether nothing needs a removed listener any more; then it counts as closed."""
        if self._endpoint.layer.uses(transport, local) or self._is_used(transport, local):
            return False
        self.listeners.closed(transport, local)
        self._settle()
        return True

    def _settle(self) -> None:
        """Requests are sent without a look at what is former, where nothing is."""
        if not self.listeners:
            self._endpoint.former = None

    def _is_used(self, transport: Transport, local: Address) -> bool:
        """By a call that goes by it, or that is not set up yet and might."""
        calls = self._context.calls
        for ref, interface in self.listeners.users(transport, local):
            call = calls.get(self._context.moves.call_of(ref) or ref)
            if call is None:
                continue
            if not isinstance(call.state, Talking) or any(leg.peer.interface == interface for leg in call.legs):
                return True
        # With a peer that has registered by it, and is reached by no other.
        flows = (leg.flow for call in calls.values() for leg in call.legs)
        return any(flow is not None and flow.local == local and flow.transport is transport for flow in flows)


def media_rules(policy: Policy) -> MediaRules:
    media, interfaces = policy.media, policy.interfaces.values()
    shown = [interface.media_advertise for interface in interfaces if interface.media_advertise]
    own = frozenset((*shown, *(address for interface in interfaces for address in interface.media)))
    return MediaRules(own, (media.first_port, media.last_port), media.silence_timeout)


def media_addresses(policy: Policy) -> tuple[str, ...]:
    return tuple([address for interface in policy.interfaces.values() for address in interface.media])


def _renames(policy: Policy) -> bool:
    """Whether any peer gets a User-Agent or Server of its own."""
    added = [name for peer in policy.peers.values() for name, _ in peer.headers.added]
    return not {"User-Agent", "Server"}.isdisjoint(added)
