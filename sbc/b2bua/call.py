"""A call: an ingress leg, the hunt for an egress leg, and everything between. The only turning point of the program.

Legs report to it and are ordered by it; they never meet. It has one exit, `end`. States carry their data:
`Hunting` until somebody answers, `Talking` until somebody leaves, `Ended` until its record is durable and its legs
are closed. Finding who answers is `setup`'s part, changing a session that is up (re-INVITE) is `modify`'s.
"""

from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Final, Literal

from sbc.b2bua.account import Account, Ending, Who
from sbc.b2bua.admission import admit, longest
from sbc.b2bua.asking import announce, ask
from sbc.b2bua.commands import AskMedia, Command, Log, WriteCdr
from sbc.b2bua.context import Context
from sbc.b2bua.holdings import Holdings
from sbc.b2bua.identity import Parties, escaped, parties_of, reason_fields
from sbc.b2bua.leg import Leg
from sbc.b2bua.leg import Out as LegOut
from sbc.b2bua.location import NOWHERE
from sbc.b2bua.media import CallMedia, Side
from sbc.b2bua.modify import Modification
from sbc.b2bua.reports import (
    LegAcknowledged,
    LegAnswered,
    LegCancelled,
    LegChallenged,
    LegDisconnected,
    LegFailed,
    LegHungUp,
    LegOffered,
    LegProgressed,
    LegReanswered,
    LegRefused,
    LegRerefused,
    LegTried,
    LegUnacknowledged,
    Report,
)
from sbc.b2bua.setup import Setup
from sbc.b2bua.states import Asking, Ended, Hunting, State, Talking
from sbc.core.address import Flow
from sbc.core.cause import Cause, q850_of_status
from sbc.core.timers import TimerTable
from sbc.media import wire
from sbc.peering.bindings import BindingMoved
from sbc.policy.model import Decision, Peer
from sbc.sdp.model import SdpError
from sbc.sip.commands import Order, Respond
from sbc.sip.message import Request, Response
from sbc.sip.multipart import description_of
from sbc.sip.transaction.outputs import RequestReceived, TransactionFailed

MEDIA_REPORT_SECONDS: Final = 1.0  # how long the record waits for the media worker's counts
_NORMAL_UNSPECIFIED: Final = 31  # Q.850

Out = Order | Command | BindingMoved
_REPORTS: Final = frozenset(Report.__args__)


class Call:
    def __init__(self, ref: str, peer: Peer, received: RequestReceived, context: Context, now: float) -> None:
        invite = received.request
        self.ref = ref
        self.account = Account(ref, peer.name, invite.call_id, now)
        self.state: State = Asking()
        self.parties: Parties = parties_of(invite, peer)
        self.ingress = Leg(
            ref,
            0,
            peer,
            escaped(self.parties.called),
            context.timing,
            credentials=context.relations.credentials(peer.name),
            flow=received.flow if peer.registers or peer.accepts_any else None,
        )
        self.legs: list[Leg] = [self.ingress]
        self.context = context
        self.holdings = Holdings(ref, self.legs, context)
        self.timers: TimerTable[str] = TimerTable()
        self.decision = Decision()
        self.location = NOWHERE
        self._tags: list[str] = []
        self._is_aborted = False
        self.why = ""
        address = context.media_address(peer.interface, ipv6=received.flow.local.is_ipv6)
        side = Side(address.local, address.shown, peer.latching, context.ids.session_id())
        self.media = CallMedia(ref, side, context.media_rules, context.ports, context.ids)
        self._setup = Setup(self)
        self._modification = Modification(self)

    # --- what the switch tells it -------------------------------------------------------------------------------------

    def start(self, received: RequestReceived, now: float, *, is_loop: bool = False) -> list[Out]:
        """Take the INVITE, ask policy, dial."""
        invite = received.request
        outs: list[Out] = list(self.ingress.take_invite(received.key, invite, self.register(0)))
        account = self.account
        account.caller, account.called = self.parties.caller, self.parties.called
        facts, not_he = ask(self, now)
        decision = self.decision
        account.route = decision.route
        account.caller = decision.caller_e164 or account.caller
        account.called = decision.called_e164 or account.called
        outs += announce(self, invite)
        if self.parties.max_forwards <= 0:
            return outs + self.refuse(Cause.FAILED, 483, now)
        if is_loop:
            return outs + self.refuse(Cause.FAILED, 482, now)
        try:
            body = description_of(invite) if invite.body else b""
            offer = self.media.read(body) if body else None
        except SdpError as error:
            self.explain(f"session description refused: {error.reason}", now)
            return outs + self.refuse(Cause.FAILED, error.status, now)
        if not_he is not None:
            self.explain(not_he.why, now)
            return outs + self.refuse(Cause.REJECTED, not_he.status, now)
        if not decision.hunt:
            cause = _cause_of_refusal(decision)
            return outs + self.refuse(cause, decision.reject or cause.status, now)
        refusal = admit(self, decision, now)
        if refusal is not None:
            return outs + self.end(refusal, now)
        return outs + self._setup.start(offer, facts, decision, now)

    def take_request(self, leg: int, received: RequestReceived, now: float) -> list[Out]:
        self.legs[leg].speaks_from(received.flow)
        retry_after = self.context.ids.number(11)
        return self._absorb(self.legs[leg].take_request(received.key, received.request, retry_after), now)

    def take_ack(self, leg: int, request: Request, flow: Flow, now: float) -> list[Out]:
        self.legs[leg].speaks_from(flow)
        return self._absorb(self.legs[leg].take_ack(request), now)

    def take_cancel(self, leg: int, now: float) -> list[Out]:
        return self._absorb(self.legs[leg].take_cancel(), now)

    def take_response(
        self, leg: int, n: int, response: Response, flow: Flow, now: float, *, is_genuine: bool
    ) -> list[Out]:
        outs = self._absorb(self.legs[leg].take_response(n, response, flow, is_genuine=is_genuine), now)
        self.holdings.return_paths()
        return outs

    def take_loss(self, leg: int, n: int, detail: str, now: float) -> list[Out]:
        return self._absorb(self.legs[leg].take_loss(detail, n), now)

    def take_failure(self, leg: int, n: int, failure: TransactionFailed, now: float) -> list[Out]:
        outs = self._absorb(self.legs[leg].take_failure(failure, n), now)
        self.holdings.return_paths()
        return outs

    def peer_moved(self, pbx: str, was: Flow, flow: Flow) -> None:
        """A PBX that has registered with us is reached another way: so are its legs that went by the old one."""
        for leg in self.legs:
            if leg.flow == was and leg.peer.name == pbx:
                leg.flow = flow

    def take_counts(self, counts: Sequence[wire.StreamCount]) -> list[Out]:
        """The media worker's last word on this call."""
        if self.media.is_answered:
            self.account.media = self.media.report(counts)
        return self._write_record()

    def record_stored(self) -> list[Out]:
        if isinstance(self.state, Ended):
            self.state = Ended(self.state.ending, self.state.ended_at, written=True, durable=True)
        return []

    def hang_up(self, cause: Cause, now: float) -> list[Out]:
        """End it by our own will: an operator, a shutdown, a limit."""
        return self.end(Ending(cause, self._final_status(cause.status), cause.q850, "sbc"), now)

    def abort(self, now: float) -> list[Out]:
        """The crash barrier's way in: a bug has ended this call. Whatever still works of the one exit is done."""
        outs = self._end_anyhow(now)
        if not self._is_aborted:  # once: it may be the answer itself that cannot be made
            self._is_aborted = True
            # What the step that failed had to say was lost with it. This goes nowhere where an answer is out.
            outs += [Respond(leg.uas.key, 500) for leg in self.legs if leg.uas is not None]
        return outs

    def _end_anyhow(self, now: float) -> list[Out]:
        try:
            if isinstance(self.state, Ended):
                return self._end_by_force(self.state.ending, now)
            return self.end(Ending(Cause.INTERNAL, self._final_status(500), Cause.INTERNAL.q850, "sbc"), now)
        except Exception:  # noqa: BLE001  the barrier behind the barrier
            return self._end_by_force(Ending(Cause.INTERNAL, 500, Cause.INTERNAL.q850, "sbc"), now)

    def _end_by_force(self, ending: Ending, now: float) -> list[Out]:
        """The exit itself has a bug. Peers are told if possible, and none is waited for; the record and the ports."""
        outs: list[Out] = []
        if not isinstance(self.state, Ended):
            self.state = Ended(ending, now)
        for leg in self.legs:
            with suppress(Exception):
                outs += leg.release(ending.status, ())
            with suppress(Exception):
                outs += leg.close()
        self.timers.clear()
        with suppress(Exception):
            self.holdings.give_back(now)
        self.media.release(now)
        if self.media.is_up:
            outs.append(AskMedia(wire.DeleteSession(self.ref)))
        self.context.trace.end(self.ref, failed=True, at=now)
        try:
            outs += self._write_record()
        except Exception:  # noqa: BLE001  then there is nothing to be stored, and nothing to wait for
            self.state = Ended(ending, now, written=True, durable=True)
        return outs

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        for leg in self.legs:
            outs += self._absorb(leg.tick(now), now)
        for timer in self.timers.pop_due(now):
            outs += self._timer(timer, now)
        return outs

    def next_deadline(self) -> float | None:
        deadlines = [at for leg in self.legs if (at := leg.next_deadline()) is not None]
        own = self.timers.next()
        if own is not None:
            deadlines.append(own)
        return min(deadlines) if deadlines else None

    @property
    def is_over(self) -> bool:
        """Nothing is left to do or to wait for."""
        return isinstance(self.state, Ended) and self.state.durable and all(leg.is_closed for leg in self.legs)

    @property
    def egress(self) -> Leg | None:
        return self.legs[-1] if len(self.legs) > 1 else None

    @property
    def tags(self) -> list[str]:
        """Our dialog tags, to be taken out of the table when the call is forgotten."""
        return self._tags

    # --- what legs report ---------------------------------------------------------------------------------------------

    def _absorb(self, outs: Iterable[LegOut], now: float) -> list[Out]:
        """Orders go on down; reports turn around here."""
        done: list[Out] = []
        for out in outs:
            if type(out) in _REPORTS:
                done += self._report(out, now)  # type: ignore[arg-type]
            else:
                done.append(out)  # type: ignore[arg-type]
        return done

    def _report(self, report: Report, now: float) -> list[Out]:
        match self.state, report:
            case Hunting() as state, _:
                return self._setup.handle(state, report, now)
            case Talking(), LegHungUp(n, q850):
                return self.end(Ending(Cause.NORMAL, 200, q850 or Cause.NORMAL.q850, _who(n)), now)
            case Talking(), LegUnacknowledged(n):
                who = self.legs[n].peer.name
                self.explain(f"no ACK: {who} should send it to the Contact of our 200", now)
                return self.end(Ending(Cause.NO_ACK, 200, Cause.NO_ACK.q850, "sbc"), now)
            case Talking(), LegAcknowledged(0, body, True):
                return self._setup.acknowledged(body, now)
            case Talking(), LegAcknowledged() | LegOffered() | LegReanswered() | LegRerefused() | LegCancelled():
                return self._modification.handle(report, now)
            case (
                Talking(),
                LegTried()
                | LegChallenged()
                | LegProgressed()
                | LegAnswered()
                | LegRefused()
                | LegFailed()
                | LegDisconnected(),
            ):
                return []  # of an attempt that was given up
            case Ended(), _:
                return []  # crossed on the wire; harmless once we have moved on
            case _:
                raise AssertionError(f"{report} in {self.state}")

    def _timer(self, timer: str, now: float) -> list[Out]:
        match self.state, timer:
            case Hunting() as state, _:
                return self._setup.timer(state, timer, now)
            case Talking(), "change":
                return self._modification.timer(now)
            case Talking(), "max_duration":
                self.explain("limits.max_duration is reached", now)
                return self.end(Ending(Cause.RATE_LIMITED, 200, _NORMAL_UNSPECIFIED, "sbc"), now)
            case Ended(), "media report":
                return self._write_record()
            case Ended(), _:
                return []  # it was due together with the one that has ended the call
            case _:
                raise AssertionError(f"{timer} in {self.state}")

    # --- the one exit -------------------------------------------------------------------------------------------------

    def explain(self, why: str, now: float) -> None:
        """For the ladder, and for the log line of the end that this leads to."""
        self.why = why
        self.context.trace.note(self.ref, now, why)

    def refuse(self, cause: Cause, status: int, now: float) -> list[Out]:
        """End it before anybody answered."""
        return self.end(Ending(cause, status, q850_of_status(status), "sbc"), now)

    def fail(self, cause: Cause, now: float) -> list[Out]:
        """End it because the session cannot be kept."""
        return self.end(Ending(cause, 200, cause.q850, "sbc"), now)

    def end(self, ending: Ending, now: float) -> list[Out]:
        """The only way out of a call: legs released, media deleted, ports returned, record written."""
        if isinstance(self.state, Ended):
            return []
        self.account.attempt_ended(None, ending.cause, now)
        self.state = Ended(ending, now)
        self.timers.clear()
        outs: list[Out] = []
        fields = () if ending.q850 == Cause.NORMAL.q850 else reason_fields(ending.q850)
        for leg in self.legs:
            outs += leg.release(ending.status, fields)
        self.media.release(now)
        self.holdings.give_back(now)
        self.context.trace.note(self.ref, now, f"ended: {ending.cause} ({ending.status}) by {ending.by}")
        self.context.trace.end(self.ref, failed=ending.cause is not Cause.NORMAL, at=now)
        self.context.outcomes[self.ingress.peer.name, self.legs[-1].peer.name if self.egress else "", ending.cause] += 1
        outs.append(self._log_end(ending, now))
        if not self.media.is_up:
            return outs + self._write_record()
        self.timers.set("media report", now + MEDIA_REPORT_SECONDS)
        outs.append(AskMedia(wire.DeleteSession(self.ref)))
        return outs

    def limit_duration(self, now: float) -> None:
        """It is answered: from now on it spends minutes, and it may not talk for ever."""
        self.holdings.answered(now)
        seconds = longest(self, self.decision)
        if seconds is not None:
            self.timers.set("max_duration", now + seconds)

    def _write_record(self) -> list[Out]:
        """Once: when the media worker has spoken, or has not for too long."""
        state = self.state
        if not isinstance(state, Ended) or state.written:
            return []
        record = self.account.record(state.ending, state.ended_at, self.context.wall)
        self.state = Ended(state.ending, state.ended_at, written=True)
        self.timers.clear()
        return [WriteCdr(record)]

    def _final_status(self, status: int) -> int:
        return 200 if isinstance(self.state, Talking) else status

    def register(self, leg: int) -> str:
        tag = self.context.ids.tag()
        self.context.dialogs[tag] = (self.ref, leg)
        self._tags.append(tag)
        return tag

    def _log_end(self, ending: Ending, now: float) -> Log:
        answered_at = self.account.answered_at
        return self.log(
            "call.ended",
            ("cause", str(ending.cause)),
            ("status", ending.status),
            ("by", ending.by),
            ("talked_seconds", None if answered_at is None else round(now - answered_at, 1)),
            ("why", None if ending.cause is Cause.NORMAL else self.why or None),
        )

    def log(self, event: str, *fields: tuple[str, object], level: Literal["info", "warning"] = "info") -> Log:
        account = self.account
        egress = self.egress
        return Log(
            level,
            event,
            (
                ("ref", self.ref),
                ("ingress", account.ingress),
                ("egress", None if egress is None else egress.peer.name),
                ("route", account.route),
                ("caller", account.caller),
                ("called", account.called),
                *((("disaster", True),) if account.disaster else ()),
                *fields,
            ),
        )


def _cause_of_refusal(decision: Decision) -> Cause:
    if decision.route is None:
        return Cause.NO_ROUTE
    return Cause.NOT_FOUND if decision.reject in (404, 484) else Cause.REJECTED


def _who(leg: int) -> Who:
    return "caller" if leg == 0 else "callee"
