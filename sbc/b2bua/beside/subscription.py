"""One subscription across: towards its subscriber we are the notifier, towards its notifier the subscriber (RFC 6665).

Two dialogs, each with ids of its own; SUBSCRIBE crosses one way, NOTIFY the other. The notifier's first NOTIFY makes
the dialog with it, also before the 200 of the SUBSCRIBE (§4.4.1); of a SUBSCRIBE that was forked the first to notify is
taken, and the others hear 481, by which they end (§4.2.2, §5.4.9). State lasts as long as the notifier grants, and is
gone when nobody refreshes it, when either side does not know it any more, or with "terminated". It publishes nothing
and reads no body. Used by `beside`.
"""

import enum
from functools import partial
from typing import Final

from sbc.b2bua.beside.asked import Asked, prepared
from sbc.b2bua.beside.carried import allow_events, answer_of, content_of, crossing_event, own_fields
from sbc.b2bua.beside.errand import Answered, Errand, Out, Prepared, Unanswered, trying_after
from sbc.b2bua.beside.names import Names
from sbc.b2bua.beside.pending import Pending, Sent, Side
from sbc.b2bua.bodies import ACCEPTED, may_cross
from sbc.b2bua.context import Context
from sbc.b2bua.hunt import Attempt
from sbc.b2bua.identity import escaped
from sbc.core import limits
from sbc.core.address import Flow
from sbc.core.commands import Log
from sbc.core.timers import TimerTable
from sbc.policy.model import Peer
from sbc.sip.commands import Respond
from sbc.sip.dialog.dialog import dialog_of_uac, dialog_of_uas
from sbc.sip.headers.event import Event, SubscriptionState, parse_event, parse_subscription_state
from sbc.sip.message import Fields, Request, Response
from sbc.sip.transaction.key import ServerKey
from sbc.sip.transaction.outputs import RequestReceived, ResponseReceived, TransactionFailed

SUBSCRIBER: Final = 0
NOTIFIER: Final = 1

DEFAULT_SECONDS: Final = 3_600  # where nobody says how long it lasts; most packages have this default (RFC 3842 §3.3)
_PROBATION_SECONDS: Final = 60  # before somebody subscribes again to whom nothing was notified
# "the subscriber MUST consider the subscription terminated", §4.1.2.2; "the notifier MUST remove" it, §4.2.2
_FATAL: Final = frozenset({404, 405, 410, 416, *range(480, 486), 489, 501, 604})
_GONE: Final = 481
_ALLOW: Final = ("Allow", "SUBSCRIBE, NOTIFY")


class State(enum.StrEnum):
    ASKING = "asking"  # the first SUBSCRIBE has no answer yet
    UP = "up"
    ENDING = "ending"  # both sides were told that it is over, and have not answered that
    OVER = "over"


class Subscription:
    def __init__(self, asked: Asked, names: Names, context: Context) -> None:
        self.state = State.ASKING
        self.names = names
        self.asked_by = asked.peer.name
        self._event = asked.event or Event("")  # no SUBSCRIBE comes so far without
        self._key = asked.received.key
        self._wanted = asked.request.expires
        self._routes: Fields = tuple([field for field in asked.request.fields if field[0] == "Record-Route"])
        self._who = (("caller", asked.parties.caller), ("called", asked.parties.called))  # for the log
        self._context = context
        peer, received = asked.peer, asked.received
        dialog = dialog_of_uas(asked.request, names.tag(SUBSCRIBER), peer.interface)
        flow = received.flow if peer.registers or peer.accepts_any else None
        self._subscriber = Side(peer, escaped(asked.parties.called), flow, dialog)
        self._notifier: Side | None = None
        self._has_answer = False  # of the first SUBSCRIBE, or nobody gives one
        self._is_confirmed = False  # a NOTIFY has made the dialog with the notifier
        prepare = partial(self._prepare, asked)
        self._subscriber.begins(asked.request, received.flow)
        self._errand: Errand | None = Errand(
            peer, asked.decision, prepare, names.next_user, context, is_sips=asked.parties.is_sips
        )
        self._pending = Pending(names, context)
        self._timers: TimerTable[str] = TimerTable()

    # --- what can be seen of it ---------------------------------------------------------------------------------------

    @property
    def is_over(self) -> bool:
        return self.state is State.OVER

    @property
    def peer_names(self) -> tuple[str, ...]:
        sides = (self._subscriber, self._notifier)
        return tuple([side.peer.name for side in sides if side is not None])

    @property
    def interfaces(self) -> frozenset[str]:
        sides = (self._subscriber, self._notifier)
        return frozenset([side.peer.interface for side in sides if side is not None])

    def peer_of(self, leg: int) -> Peer | None:
        side = self._subscriber if leg == SUBSCRIBER else self._notifier
        return None if side is None else side.peer

    def asked(self, n: int) -> Peer | None:
        """Whom this request of ours went to."""
        errand = self._errand
        return errand.peer if errand is not None and n == errand.n else self._pending.peer(n)

    def side(self, n: int) -> Side | None:
        """In whose dialog it went out; None: in none yet."""
        return self._pending.side(n)

    def is_of(self, leg: int, request: Request) -> bool:
        """Whether it belongs to the dialog of this leg. The notifier's has no other end until it has notified."""
        remote = request.from_.tag or ""
        if leg == NOTIFIER and not self._is_confirmed:
            sent = None if self._errand is None else self._errand.request
            return sent is not None and sent.call_id == request.call_id
        side = self._subscriber if leg == SUBSCRIBER else self._notifier
        dialog = None if side is None else side.dialog
        return dialog is not None and (dialog.call_id, dialog.remote_tag) == (request.call_id, remote)

    # --- the first SUBSCRIBE ------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Out]:
        self._timers.set("trying", now + trying_after(self._context.timing))
        errand = self._errand
        return [] if errand is None else self._settle_errand(errand, errand.start(now), now)

    def _prepare(self, asked: Asked, attempt: Attempt) -> Prepared:
        """Each attempt has a dialog of its own to be: what an earlier one still brings is unknown by then."""
        target = attempt.target.peer
        self.names.forget(NOTIFIER)
        fields, body = self._subscribe_fields(asked.request, target)
        tag = self.names.tag(NOTIFIER)
        made = prepared(asked, attempt, self._context, tag=tag, fields=fields, body=body)
        flow = attempt.hop.flow if attempt.hop is not None and target.registers else None
        self._notifier = Side(target, made.contact or "", flow)
        return made

    def _subscribe_fields(self, request: Request, to: Peer) -> tuple[Fields, bytes]:
        more, body = content_of(request, self._subscriber.peer, to, self._context)
        return (("Event", str(crossing_event(self._event))), *own_fields(request), *more), body

    def _settle_errand(self, errand: Errand, outs: list[Out], now: float) -> list[Out]:
        outcome = errand.outcome
        if outcome is None or self._has_answer or self.is_over:
            return outs
        self._has_answer = True
        outs += self._answered(outcome, now) if isinstance(outcome, Answered) else self._unanswered(outcome, now)
        self._release()
        return outs

    def _release(self) -> None:
        """What has set it up is needed no more, and may be large: subscriptions are many, and last."""
        if self._has_answer and self._is_confirmed:
            self._errand = None

    def _answered(self, outcome: Answered, now: float) -> list[Out]:
        response = outcome.response
        if response.status >= 300:
            status, fields = answer_of(response, "SUBSCRIBE", self._subscriber.peer)
            return self._refused(status, fields, "", now)
        side = self._notifier
        if side is None or self.state is not State.ASKING:
            return []  # a NOTIFY has said so before
        side.dialog = dialog_of_uac(outcome.request, response, side.peer.interface)
        # "starts a Timer N, set to 64*T1", §4.1.2.4
        self._timers.set("first notify", now + self._context.timing.give_up)
        return self._accept(response.expires, now)

    def _unanswered(self, outcome: Unanswered, now: float) -> list[Out]:
        if self.state is not State.ASKING:
            return []  # only the response was lost: a NOTIFY has come
        return self._refused(outcome.status, (), outcome.why, now)

    def _refused(self, status: int, fields: Fields, why: str, now: float) -> list[Out]:
        if self.state is not State.ASKING:
            return self.end("noresource", now)  # it has notified first, and then refused
        self._over()
        return [
            Respond(self._key, status, fields=fields),
            Log("info", "subscription.refused", self._facts(why, status)),
        ]

    def _accept(self, given: int | None, now: float) -> list[Out]:
        """200 to the first SUBSCRIBE (§8.3.1: never 202), with the route that its dialog goes by (RFC 3261 §12.1.1)."""
        self.state = State.UP
        self._timers.stop("trying")
        granted = self._grant(given, self._wanted, now)
        side = self._subscriber
        tag = side.dialog.local_tag if side.dialog is not None else ""
        fields = (*self._routes, ("Expires", str(granted)))
        return [
            Respond(self._key, 200, tag, fields, contact=side.contact),
            Log("info", "subscription.began", self._facts()),
        ]

    def _grant(self, given: int | None, wanted: int | None, now: float) -> int:
        """Seconds from now on; "cannot be larger" than what was wanted (§4.1.2.1)."""
        bounds = [seconds for seconds in (given, wanted) if seconds is not None] or [DEFAULT_SECONDS]
        granted = min(*bounds, limits.SUBSCRIPTION_SECONDS)
        self._timers.set("expiry", now + granted + self._context.timing.give_up)
        return granted

    # --- requests of either side --------------------------------------------------------------------------------------

    def take_request(self, leg: int, received: RequestReceived, now: float) -> list[Out]:
        """It `is_of` this leg's dialog."""
        request, key = received.request, received.key
        side = self._subscriber if leg == SUBSCRIBER else self._notifier
        if side is None or self.is_over:
            return [Respond(key, _GONE)]
        if request.method != ("SUBSCRIBE" if leg == SUBSCRIBER else "NOTIFY"):
            return [Respond(key, 405, fields=(_ALLOW,))]
        event = parse_event(request.header("Event") or "")
        if event is None or event.package != self._event.package or (leg == SUBSCRIBER and event.id != self._event.id):
            return [Respond(key, 489, fields=(allow_events(side.peer),))]
        if leg == SUBSCRIBER:
            return self._take_subscribe(side, received, now)
        return self._take_notify(side, received, now)

    def _take_subscribe(self, side: Side, received: RequestReceived, now: float) -> list[Out]:
        """A refresh, or the wish to end it (Expires: 0)."""
        request, key, notifier = received.request, received.key, self._notifier
        if self.state is not State.UP or notifier is None or side.dialog is None:
            return [Respond(key, _GONE)]
        if not side.dialog.is_in_order(request) or self._is_crowded:
            return [self._later(key)]
        side.speaks(request, received.flow)
        if not may_cross(request):
            return [Respond(key, 415, fields=ACCEPTED)]
        fields, body = self._subscribe_fields(request, notifier.peer)
        return self._pending.ask(notifier, "SUBSCRIBE", fields, body, now, key=key, wanted=request.expires)

    def _take_notify(self, side: Side, received: RequestReceived, now: float) -> list[Out]:
        request, key = received.request, received.key
        said = parse_subscription_state(request.header("Subscription-State") or "") or SubscriptionState("active")
        if self.state is State.ENDING:
            return [Respond(key, 200)]
        outs: list[Out] = []
        is_read = may_cross(request) or said.state == "terminated"
        if not self._is_confirmed:
            if not is_read:
                return [Respond(key, 415, fields=ACCEPTED)]  # it establishes nothing: the SUBSCRIBE waits on
            self._confirm(side, request)
            side.begins(request, received.flow)
        elif side.dialog is None or not side.dialog.is_in_order(request) or self._is_crowded:
            return [self._later(key)]
        side.speaks(request, received.flow)
        if not is_read:
            return [Respond(key, 415, fields=ACCEPTED)]
        if self.state is State.ASKING:
            # It "establishes" the subscription (§4.4.1), and must not overtake the 200 on the other side.
            outs += self._accept(said.expires, now)
        return [*outs, *self._pass_notify(key, request, said, side, now)]

    def _pass_notify(
        self, key: ServerKey, request: Request, said: SubscriptionState, side: Side, now: float
    ) -> list[Out]:
        is_last = said.state == "terminated"
        if not is_last:
            # "the subscriber SHOULD take it as the authoritative subscription duration", §4.1.3; the notifier "MUST
            # also include" it, §4.2.2, but many do not.
            lasts = self._remaining(now) if said.expires is None else self._grant(said.expires, None, now)
            said = SubscriptionState(said.state, expires=lasts)
        more, body = content_of(request, side.peer, self._subscriber.peer, self._context)
        fields = (("Event", str(self._event)), ("Subscription-State", str(said)), *more)
        return self._pending.ask(self._subscriber, "NOTIFY", fields, body, now, key=key, is_last=is_last)

    def _confirm(self, side: Side, notify: Request) -> None:
        """ "The route set at the subscriber is taken from the NOTIFY request itself, as opposed to the route set
        present in the 200-class response", §4.4.1."""
        errand = self._errand
        sent = None if errand is None else errand.request
        assert errand is not None and sent is not None  # noqa: S101, PT018  it was found by the tag of that request
        was = side.dialog
        dialog = dialog_of_uas(notify, notify.to.tag or "", side.peer.interface)
        dialog.local = sent.header("From") or dialog.local
        dialog.local_cseq = sent.cseq.number if was is None else was.local_cseq
        side.dialog = dialog
        self._is_confirmed = True
        self._timers.stop("first notify")
        errand.settle()
        self._release()

    @property
    def _is_crowded(self) -> bool:
        return len(self._pending) >= limits.REQUESTS_PER_SUBSCRIPTION

    def _later(self, key: ServerKey) -> Respond:
        return Respond(key, 500, fields=(("Retry-After", str(self._context.ids.number(11))),))

    def _remaining(self, now: float) -> int:
        at = self._timers.at("expiry")
        return 0 if at is None else max(0, int(at - self._context.timing.give_up - now))

    # --- what becomes of requests of ours -----------------------------------------------------------------------------

    def take_response(self, n: int, out: ResponseReceived, now: float, *, genuine: bool) -> list[Out]:
        errand = self._errand
        if errand is not None and n == errand.n:
            return self._settle_errand(errand, errand.take_response(n, out, now, genuine=genuine), now)
        response = out.response
        if response.status < 200:
            return []
        if response.status in (401, 407) and genuine:
            again = self._pending.challenged(n, out)
            if again:
                return again
        sent = self._pending.answered(n, response)
        if sent is None:
            return []
        if sent.key is None:
            return self._said_goodbye()
        if sent.request.method == "NOTIFY":
            return self._notified(sent, sent.key, response)
        return self._refreshed(sent, sent.key, response, now)

    def _notified(self, sent: Sent, key: ServerKey, response: Response) -> list[Out]:
        if response.status < 300:
            answer = Respond(key, 200)
        elif response.status in _FATAL:
            answer = Respond(key, _GONE)
        else:
            status, fields = answer_of(response, "NOTIFY", self._subscriber.peer)
            answer = Respond(key, status, fields=fields)
        if not (sent.is_last or response.status in _FATAL):
            return [answer]
        return [answer, *self._vanish("terminated" if sent.is_last else f"{response.status} to NOTIFY")]

    def _refreshed(self, sent: Sent, key: ServerKey, response: Response, now: float) -> list[Out]:
        side, status = self._subscriber, response.status
        if status < 300:
            granted = self._grant(response.expires, sent.wanted, now)
            return [Respond(key, 200, fields=(("Expires", str(granted)),), contact=side.contact)]
        passed, fields = answer_of(response, "SUBSCRIBE", side.peer)
        answer = Respond(key, passed, fields=fields)
        # Otherwise it "is still considered valid for the duration of the most recently known "Expires" value", §4.1.2.2
        return [answer, *self._vanish(f"{status} to SUBSCRIBE")] if status in _FATAL else [answer]

    def take_failure(self, n: int, failure: TransactionFailed, now: float) -> list[Out]:
        errand = self._errand
        if errand is not None and n == errand.n:
            return self._settle_errand(errand, errand.take_failure(n, failure, now), now)
        return self._failed(n, failure.detail or "no answer")

    def _failed(self, n: int, why: str) -> list[Out]:
        """Silence, or no way there: the subscription is over for whoever asked, who may subscribe to another server."""
        sent = self._pending.pop(n)
        if sent is None:
            return []
        if sent.key is None:
            return self._said_goodbye()
        who = sent.side.peer.name
        return [Respond(sent.key, _GONE), *self._vanish(f"{who} is not there: {why}")]

    # --- the end of it ------------------------------------------------------------------------------------------------

    def end(self, reason: str, now: float, *, tells_notifier: bool = True) -> list[Out]:
        """By our own will: the subscriber gets its last NOTIFY, the notifier a SUBSCRIBE that expires at once.

        It is over when both have answered, or have had their time.
        """
        if self.state is State.ASKING:
            status = 480 if self._subscriber.peer.kind == "trunk" else 503
            return self._refused(status, (), "it was ended before it began", now)
        if self.state is not State.UP:
            return []
        outs = self._drop_waiting()
        self.state = State.ENDING
        self._timers.clear()
        seconds = _PROBATION_SECONDS if reason == "probation" else None
        said = SubscriptionState("terminated", reason=reason, retry_after=seconds)
        fields = (("Event", str(self._event)), ("Subscription-State", str(said)))
        outs += self._pending.ask(self._subscriber, "NOTIFY", fields, b"", now)
        if tells_notifier and self._notifier is not None and self._notifier.dialog is not None:
            fields = (("Event", str(crossing_event(self._event))), ("Expires", "0"))
            outs += self._pending.ask(self._notifier, "SUBSCRIBE", fields, b"", now)
        return [*outs, Log("info", "subscription.ended", self._facts(reason))]

    def _said_goodbye(self) -> list[Out]:
        if self.state is State.ENDING and not self._pending:
            self._over()
        return []

    def _vanish(self, why: str) -> list[Out]:
        """It is over on both sides already."""
        if self.state is not State.UP:
            return []
        outs = self._drop_waiting()
        self._over()
        return [*outs, Log("info", "subscription.ended", self._facts(why))]

    def _drop_waiting(self) -> list[Out]:
        """Whatever is still asked of the other side has lost its object."""
        return [Respond(key, _GONE) for key in self._pending.drop()]

    def _over(self) -> None:
        self.state = State.OVER
        self._timers.clear()

    # --- time, and what moves -----------------------------------------------------------------------------------------

    def tick(self, now: float) -> list[Out]:
        errand = self._errand
        outs = [] if errand is None else self._settle_errand(errand, errand.tick(now), now)
        tried, late = self._pending.tick(now)
        outs += tried
        for n in late:
            outs += self._failed(n, "no answer")
        for timer in self._timers.pop_due(now):
            if not self.is_over:
                outs += self._timer(timer, now)
        return outs

    def _timer(self, timer: str, now: float) -> list[Out]:
        match timer:
            case "trying":
                return [Respond(self._key, 100)]
            case "first notify":
                return self.end("probation", now)
            case _:
                # Nobody has refreshed it, or wants it any more, and the notifier has not said so: it has vanished.
                return self.end("timeout", now, tells_notifier=False)

    def next_deadline(self) -> float | None:
        if self.is_over:
            return None
        errand = None if self._errand is None else self._errand.next_deadline()
        deadlines = (self._timers.next(), errand, self._pending.next_deadline())
        return min((at for at in deadlines if at is not None), default=None)

    def peer_moved(self, pbx: str, was: Flow, flow: Flow) -> None:
        for side in (self._subscriber, self._notifier):
            if side is not None and side.flow == was and side.peer.name == pbx:
                side.moves_to(flow)

    def _facts(self, why: str = "", status: int = 0) -> tuple[tuple[str, object], ...]:
        """For the log."""
        notifier = "" if self._notifier is None else self._notifier.peer.name
        fields: list[tuple[str, object]] = [
            ("package", self._event.package),
            ("ingress", self._subscriber.peer.name),
            ("egress", notifier),
            *self._who,
            ("status", status),
            ("why", why),
        ]
        return tuple([item for item in fields if item[1]])
