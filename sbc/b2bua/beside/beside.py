"""Everything that is not a call: what belongs to which exchange or subscription, and what is not begun at all.

It keeps the tables and their bounds, answers what may not pass, and hands each message to the machine that it is for.
Source, digest and method have been checked (`entrance`, `sip.checks`). Used by the switch.
"""

from collections.abc import Collection, Mapping
from typing import Final

from sbc.b2bua.beside.asked import Asked, Turned, asked_of, judged
from sbc.b2bua.beside.carried import allow_events
from sbc.b2bua.beside.errand import Out, User
from sbc.b2bua.beside.exchange import Exchange
from sbc.b2bua.beside.names import Names
from sbc.b2bua.beside.publications import Publication, Publications
from sbc.b2bua.beside.subscription import Subscription
from sbc.b2bua.context import Context
from sbc.core import limits
from sbc.core.address import Flow
from sbc.core.commands import Log
from sbc.core.timers import Schedule
from sbc.policy.model import Peer
from sbc.sip.commands import Respond
from sbc.sip.headers.event import Event, parse_event
from sbc.sip.message import Request
from sbc.sip.transaction.outputs import RequestReceived, ResponseReceived, TransactionFailed
from sbc.sip.uri import SipUri

RELAYED: Final = frozenset({"MESSAGE", "PUBLISH", "SUBSCRIBE", "NOTIFY", "OPTIONS"})
"""What `take` knows what to do with. An INFO belongs into a dialog (RFC 6086 §4.2.2), and a REFER outside of one would
have us place calls for nobody's call."""

_WITH_EVENT: Final = frozenset({"PUBLISH", "SUBSCRIBE", "NOTIFY"})
_UNSOLICITED: Final = "message-summary"  # the one package whose notifications may come without a subscription
_RETRY_AFTER: Final = ("Retry-After", "30")


class Beside:
    """Users of its client transactions are ("beside", id, n), `id` an exchange or a subscription."""

    def __init__(self, context: Context) -> None:
        self.is_draining = False  # no subscription is begun any more
        self._context = context
        self._publications = Publications(context.ids)
        self._exchanges: dict[str, Exchange] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._tags: dict[str, tuple[str, int]] = {}  # our tag of each dialog: subscription and leg
        self._deadlines: Schedule[str] = Schedule()

    # --- what can be seen of it ---------------------------------------------------------------------------------------

    @property
    def tags(self) -> Collection[str]:
        """Our tags of all dialogs that there are, or are about to be."""
        return self._tags.keys()

    @property
    def subscriptions(self) -> int:
        return len(self._subscriptions)

    @property
    def exchanges(self) -> int:
        """Requests that wait for their answer."""
        return len(self._exchanges)

    @property
    def publications(self) -> int:
        return len(self._publications)

    def asked(self, id_: str, n: int) -> Peer | None:
        """Whom the request of the user ("beside", id_, n) went to."""
        exchange = self._exchanges.get(id_)
        if exchange is not None:
            return exchange.errand.peer if n == exchange.errand.n else None
        subscription = self._subscriptions.get(id_)
        return None if subscription is None else subscription.asked(n)

    # --- requests -----------------------------------------------------------------------------------------------------

    def relays_options(self, request: Request, peer: Peer) -> bool:
        """Whether an OPTIONS is about somebody behind us, and not about us: it names somebody, whom a route reaches.

        What names the user of our registration is our registrar's, looking whether we are there.
        """
        uri = request.uri
        user = uri.user if isinstance(uri, SipUri) else ""
        if not user or (peer.register is not None and user == peer.register.user):
            return False
        return not isinstance(judged(request, peer, self._context), Turned)

    def take(self, received: RequestReceived, peer: Peer, now: float) -> list[Out]:
        """A request outside of any dialog."""
        request, key = received.request, received.key
        if request.method not in RELAYED:
            return [Respond(key, 403 if request.method == "REFER" else 481)]
        event: Event | None = None
        if request.method in _WITH_EVENT:
            event = parse_event(request.header("Event") or "")
            if event is None or event.package not in peer.events:
                return [Respond(key, 489, fields=(allow_events(peer),))]
        if request.method == "NOTIFY" and event is not None and event.package != _UNSOLICITED:
            return [Respond(key, 481)]
        asked = asked_of(received, peer, event, self._context)
        if isinstance(asked, Turned):
            return [Respond(key, asked.status), _turned(request, peer, asked)]
        if request.method == "SUBSCRIBE":
            return self._subscribe(asked, now)
        if request.method == "PUBLISH":
            return self._publish(asked, now)
        return self._exchange(asked, now)

    def _exchange(self, asked: Asked, now: float, tag: str = "", refreshed: Publication | None = None) -> list[Out]:
        if len(self._exchanges) >= limits.EXCHANGES:
            return [Respond(asked.received.key, 503, fields=(_RETRY_AFTER,))]
        names = Names(self._context.ids, self._tags)
        exchange = Exchange(asked, names, self._context, self._publications, now, tag=tag, refreshed=refreshed)
        self._exchanges[names.id] = exchange
        return self._settle_exchange(names.id, exchange, exchange.start(now))

    def _publish(self, asked: Asked, now: float) -> list[Out]:
        """RFC 3903 §6 step 3: a single entity-tag, or none; one that nobody has given is 412."""
        self._publications.forget_expired(now)
        tags = asked.request.values("SIP-If-Match")
        key = asked.received.key
        if len(tags) > 1:
            return [Respond(key, 400)]
        if not tags:
            return self._exchange(asked, now)
        tag, package = tags[0].strip(), "" if asked.event is None else asked.event.package
        refreshed = self._publications.find(tag, asked.peer.name, package, now)
        if refreshed is None:
            return [Respond(key, 412)]
        return self._exchange(asked, now, tag, refreshed)

    def _subscribe(self, asked: Asked, now: float) -> list[Out]:
        if self.is_draining or len(self._subscriptions) >= limits.SUBSCRIPTIONS:
            return [Respond(asked.received.key, 503, fields=(_RETRY_AFTER,))]
        names = Names(self._context.ids, self._tags)
        subscription = self._subscriptions[names.id] = Subscription(asked, names, self._context)
        return self._settle(names.id, subscription, subscription.start(now))

    def take_in_dialog(self, received: RequestReceived, peer: Peer, now: float) -> list[Out] | None:
        """None: no dialog of ours. By dialog id, never by source; but a peer can only speak in its own dialogs."""
        request = received.request
        found = self._tags.get(request.to.tag or "")
        subscription = None if found is None else self._subscriptions.get(found[0])
        if found is None or subscription is None:
            return None
        id_, leg = found
        if not subscription.is_of(leg, request):
            return None
        other = subscription.peer_of(leg)
        if other is None or not self._context.policy.may_be(peer, other):
            return None
        return self._settle(id_, subscription, subscription.take_request(leg, received, now))

    # --- what becomes of requests of ours -----------------------------------------------------------------------------

    def take_response(self, user: User, out: ResponseReceived, now: float, *, genuine: bool) -> list[Out]:
        """`genuine`: it came from the peer that `asked` names."""
        _, id_, n = user
        exchange = self._exchanges.get(id_)
        if exchange is not None:
            return self._settle_exchange(id_, exchange, exchange.take_response(n, out, now, genuine=genuine))
        subscription = self._subscriptions.get(id_)
        if subscription is None:
            return []
        return self._settle(id_, subscription, subscription.take_response(n, out, now, genuine=genuine))

    def take_failure(self, user: User, failure: TransactionFailed, now: float) -> list[Out]:
        _, id_, n = user
        exchange = self._exchanges.get(id_)
        if exchange is not None:
            return self._settle_exchange(id_, exchange, exchange.take_failure(n, failure, now))
        subscription = self._subscriptions.get(id_)
        if subscription is None:
            return []
        return self._settle(id_, subscription, subscription.take_failure(n, failure, now))

    def peer_moved(self, pbx: str, was: Flow, flow: Flow) -> None:
        """A PBX that has registered with us is reached another way."""
        for subscription in self._subscriptions.values():
            subscription.peer_moved(pbx, was, flow)

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        for id_ in self._deadlines.pop_due(now):
            exchange, subscription = self._exchanges.get(id_), self._subscriptions.get(id_)
            if exchange is not None:
                outs += self._settle_exchange(id_, exchange, exchange.tick(now))
            elif subscription is not None:
                outs += self._settle(id_, subscription, subscription.tick(now))
        return outs

    def next_deadline(self) -> float | None:
        return self._deadlines.next()

    # --- the end of it ------------------------------------------------------------------------------------------------

    def end(self, now: float) -> list[Out]:
        """A shutdown: subscribers are told to subscribe again, which another node may serve; notifiers to stop."""
        outs: list[Out] = []
        for id_, subscription in list(self._subscriptions.items()):
            outs += self._settle(id_, subscription, subscription.end("deactivated", now))
        return outs

    def change_policy(self, now: float) -> list[Out]:
        """A reload touches no subscription but those of peers that are gone; said when the context has the new one."""
        peers: Mapping[str, Peer] = self._context.policy.peers
        outs: list[Out] = []
        for id_, subscription in list(self._subscriptions.items()):
            if not all(name in peers for name in subscription.peer_names):
                outs += self._settle(id_, subscription, subscription.end("deactivated", now))
        return outs

    def crashed(self, id_: str) -> None:
        """The crash barrier's way in: a bug has met this one, and it is forgotten."""
        self._exchanges.pop(id_, None)
        self._deadlines.set(id_, None)
        subscription = self._subscriptions.pop(id_, None)
        if subscription is not None:
            subscription.names.forget()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _settle_exchange(self, id_: str, exchange: Exchange, outs: list[Out]) -> list[Out]:
        if exchange.is_over:
            self._exchanges.pop(id_, None)
            self._deadlines.set(id_, None)
        else:
            self._deadlines.set(id_, exchange.next_deadline())
        return outs

    def _settle(self, id_: str, subscription: Subscription, outs: list[Out]) -> list[Out]:
        if subscription.is_over:
            self._subscriptions.pop(id_, None)
            self._deadlines.set(id_, None)
            subscription.names.forget()
        else:
            self._deadlines.set(id_, subscription.next_deadline())
        return outs


def _turned(request: Request, peer: Peer, turned: Turned) -> Log:
    fields = (("method", request.method), ("ingress", peer.name), ("status", turned.status), ("why", turned.why))
    return Log("info", "request.refused", fields)
