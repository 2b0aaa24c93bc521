"""Everything that is not a call: what belongs to which exchange or subscription, and what is not begun at all.

It keeps the tables and their bounds, answers what may not pass, and hands each message to the machine that it is for.
Source, digest and method have been checked (`entrance`, `sip.checks`). Used by the switch.
"""

from collections.abc import Callable, Collection, Container, Mapping
from functools import partial
from typing import Final

from sbc.b2bua.beside.asked import Asked, Turned, asked_of, judged
from sbc.b2bua.beside.carried import NOTHING_ACCEPTED, accepted, allow_events, packages_of
from sbc.b2bua.beside.errand import Out, User
from sbc.b2bua.beside.exchange import Exchange
from sbc.b2bua.beside.names import Names
from sbc.b2bua.beside.pending import Side
from sbc.b2bua.beside.publications import Publication, Publications
from sbc.b2bua.beside.subscription import Subscription
from sbc.b2bua.bodies import ACCEPTED, may_cross
from sbc.b2bua.context import Context
from sbc.b2bua.living import crash_log
from sbc.core import limits
from sbc.core.address import Flow
from sbc.core.commands import Log
from sbc.core.shares import Shares
from sbc.core.timers import Schedule
from sbc.policy.model import TALK_METHODS, Peer
from sbc.sip.commands import Respond
from sbc.sip.headers.event import Event, parse_event
from sbc.sip.message import Request
from sbc.sip.transaction.key import ServerKey
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
        self._machines: dict[str, Exchange | Subscription] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._tags: dict[str, tuple[str, int]] = {}  # our tag of each dialog: subscription and leg
        self._deadlines: Schedule[str] = Schedule()
        self._exchange_shares = Shares()
        self._subscription_shares = Shares()

    # --- what can be seen of it ---------------------------------------------------------------------------------------

    @property
    def tags(self) -> Container[str]:
        """Our tags of all dialogs that there are, or are about to be."""
        return self._tags

    @property
    def subscriptions(self) -> int:
        return len(self._subscriptions)

    @property
    def exchanges(self) -> int:
        """Requests that wait for their answer."""
        return len(self._machines) - len(self._subscriptions)

    @property
    def publications(self) -> int:
        return len(self._publications)

    def asked(self, id_: str, n: int) -> Peer | None:
        """Whom the request of the user ("beside", id_, n) went to."""
        machine = self._machines.get(id_)
        return None if machine is None else machine.asked(n)

    def side(self, id_: str, n: int) -> Side | None:
        """In whose dialog that request went out; None: in none."""
        machine = self._machines.get(id_)
        return machine.side(n) if isinstance(machine, Subscription) else None

    # --- requests -----------------------------------------------------------------------------------------------------

    def relays_options(self, request: Request, peer: Peer) -> bool:
        """Whether an OPTIONS is about somebody behind us, and not about us: it names somebody whom a route reaches, and
        policy has said what this peer may use.

        Peers ask many a user of ours whether we are alive, their own registration's or a number of ours. By what is
        behind that number, which may be down, they would judge us.
        """
        if peer.methods == TALK_METHODS:
            return False
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
            if event is None or event.package not in packages_of(peer):
                return [Respond(key, 489, fields=(allow_events(peer),))]
        if request.method == "NOTIFY" and event is not None and event.package != _UNSOLICITED:
            return [Respond(key, 481)]
        if not may_cross(request):
            return [Respond(key, 415, fields=ACCEPTED)]
        if request.method == "SUBSCRIBE" and accepted(request) == NOTHING_ACCEPTED:
            return [Respond(key, 406)]  # "the proper error response is 406 (Not Acceptable)", RFC 6665 §4.1.2.1
        asked = asked_of(received, peer, event, self._context)
        if isinstance(asked, Turned):
            return [Respond(key, asked.status), _turned(request, peer, asked)]
        if request.method == "SUBSCRIBE":
            return self._subscribe(asked, now)
        if request.method == "PUBLISH":
            return self._publish(asked, now)
        return self._exchange(asked, now)

    def _exchange(self, asked: Asked, now: float, tag: str = "", refreshed: Publication | None = None) -> list[Out]:
        if self._exchange_shares.is_full(asked.peer.name, limits.EXCHANGES):
            self._context.dropped["exchanges_full"] += 1
            return [Respond(asked.received.key, 503, fields=(_RETRY_AFTER,))]
        names = Names(self._context.ids, self._tags)
        exchange = Exchange(asked, names, self._context, self._publications, now, tag=tag, refreshed=refreshed)
        self._machines[names.id] = exchange
        self._exchange_shares.take(asked.peer.name)
        return self._step(names.id, lambda: exchange.start(now), asked.received.key)

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
        is_full = self._subscription_shares.is_full(asked.peer.name, limits.SUBSCRIPTIONS)
        if is_full:
            self._context.dropped["subscriptions_full"] += 1
        if self.is_draining or is_full:
            return [Respond(asked.received.key, 503, fields=(_RETRY_AFTER,))]
        names = Names(self._context.ids, self._tags)
        subscription = Subscription(asked, names, self._context)
        self._machines[names.id] = self._subscriptions[names.id] = subscription
        self._subscription_shares.take(asked.peer.name)
        return self._step(names.id, lambda: subscription.start(now), asked.received.key)

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
        return self._step(id_, lambda: subscription.take_request(leg, received, now), received.key)

    # --- what becomes of requests of ours -----------------------------------------------------------------------------

    def take_response(self, user: User, out: ResponseReceived, now: float, *, genuine: bool) -> list[Out]:
        """`genuine`: it came from the peer that `asked` names."""
        _, id_, n = user
        machine = self._machines.get(id_)
        if machine is None:
            return []
        return self._step(id_, lambda: machine.take_response(n, out, now, genuine=genuine))

    def take_failure(self, user: User, failure: TransactionFailed, now: float) -> list[Out]:
        _, id_, n = user
        machine = self._machines.get(id_)
        return [] if machine is None else self._step(id_, lambda: machine.take_failure(n, failure, now))

    def peer_moved(self, pbx: str, was: Flow, flow: Flow) -> None:
        """A PBX that has registered with us is reached another way."""
        for subscription in self._subscriptions.values():
            subscription.peer_moved(pbx, was, flow)

    # --- time ---------------------------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        for id_ in self._deadlines.pop_due(now):
            outs += self._step(id_, partial(self._machines[id_].tick, now))
        return outs

    def next_deadline(self) -> float | None:
        return self._deadlines.next()

    # --- the end of it ------------------------------------------------------------------------------------------------

    def end(self, now: float) -> list[Out]:
        """A shutdown: subscribers are told to subscribe again, which another node may serve; notifiers to stop."""
        outs: list[Out] = []
        for id_, subscription in list(self._subscriptions.items()):
            outs += self._step(id_, partial(subscription.end, "deactivated", now))
        return outs

    def change_policy(self, now: float, cut: Collection[str] = ()) -> list[Out]:
        """A reload touches no subscription but those of peers that are gone, and of those behind an interface that has
        lost a listener (`cut`), which might wait there in vain; said when the context has the new one.
        """
        peers: Mapping[str, Peer] = self._context.policy.peers
        outs: list[Out] = []
        for id_, subscription in list(self._subscriptions.items()):
            is_cut = bool(cut) and not subscription.interfaces.isdisjoint(cut)
            if is_cut or not all(name in peers for name in subscription.peer_names):
                outs += self._step(id_, partial(subscription.end, "deactivated", now))
        return outs

    # --- inside -------------------------------------------------------------------------------------------------------

    def _step(self, id_: str, step: Callable[[], list[Out]], key: ServerKey | None = None) -> list[Out]:
        """The crash barrier: one machine's bug ends that one. `key`: the request that the step is to answer."""
        machine = self._machines[id_]
        try:
            outs = step()
        except Exception as error:  # noqa: BLE001  the engine must outlive any one of them
            self._forget(id_)
            return [crash_log(id_, error), *([] if key is None else [Respond(key, 500)])]
        if machine.is_over:
            self._forget(id_)
        else:
            self._deadlines.set(id_, machine.next_deadline())
        return outs

    def _forget(self, id_: str) -> None:
        self._deadlines.set(id_, None)
        machine = self._machines.pop(id_)
        machine.names.forget()
        shares = self._exchange_shares if self._subscriptions.pop(id_, None) is None else self._subscription_shares
        shares.give_back(machine.asked_by)


def _turned(request: Request, peer: Peer, turned: Turned) -> Log:
    fields = (("method", request.method), ("ingress", peer.name), ("status", turned.status), ("why", turned.why))
    return Log("info", "request.refused", fields)
