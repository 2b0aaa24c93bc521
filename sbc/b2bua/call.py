"""A call: an ingress leg, the hunt for an egress leg, and everything between. The only turning point of the program.

Legs report to it and are ordered by it; they never meet. It has one exit, `_end`. States carry their data:
`Hunting` until somebody answers, `Talking` until somebody leaves, `Ended` until its record is durable and its legs
are closed. Changing a session that is up (re-INVITE) is `modify`'s part.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from sbc.b2bua.account import Account, Ending, Who
from sbc.b2bua.commands import AskMedia, Command, Log, WriteCdr
from sbc.b2bua.context import Context
from sbc.b2bua.hunt import Attempt, goes_on, plan
from sbc.b2bua.identity import Parties, egress_invite, parties_of, reason_fields
from sbc.b2bua.leg import Leg
from sbc.b2bua.leg import Out as LegOut
from sbc.b2bua.media import CallMedia, OutOfPortsError, Side
from sbc.b2bua.modify import Modification
from sbc.b2bua.reports import (
    LegAcknowledged,
    LegAnswered,
    LegCancelled,
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
from sbc.core.cause import Cause, cause_of_status, q850_of_status
from sbc.core.timers import TimerTable
from sbc.media import wire
from sbc.policy.model import Decision, Facts, Peer
from sbc.sdp.model import SdpError, Session
from sbc.sip.commands import Order
from sbc.sip.message import Request, Response
from sbc.sip.transaction.key import ServerKey
from sbc.sip.transaction.outputs import TransactionFailed

MEDIA_REPORT_SECONDS: Final = 1.0  # how long the record waits for the media worker's counts

Out = Order | Command
_REPORTS: Final = frozenset(Report.__args__)


class Hunting(Struct, frozen=True):
    """`rang`: a 18x has crossed, so that nobody else is tried any more."""

    attempt: Attempt | None
    rest: tuple[Attempt, ...]
    rang: bool = False


class Talking(Struct, frozen=True):
    answered_at: float


class Ended(Struct, frozen=True):
    ending: Ending
    ended_at: float
    written: bool = False
    durable: bool = False


class Call:
    def __init__(self, ref: str, peer: Peer, key: ServerKey, invite: Request, context: Context, now: float) -> None:
        self.ref = ref
        self.account = Account(ref, peer.name, invite.call_id, now)
        self.state: Hunting | Talking | Ended = Hunting(None, ())
        self.parties: Parties = parties_of(invite, peer)
        self.ingress = Leg(ref, 0, peer, self.parties.called, context.timing)
        self.legs: list[Leg] = [self.ingress]
        self._key = key
        self._invite = invite
        self._context = context
        self._timers: TimerTable[str] = TimerTable()
        self._tags: list[str] = []
        address = context.media_address(peer.interface, ipv6=":" in invite.via.host)
        side = Side(address.local, address.shown, peer.latching, context.ids.session_id())
        self.media = CallMedia(ref, side, context.media_rules, context.ports, context.ids)
        self._modification = Modification(self)
        self._offer: Session | None = None

    # --- what the switch tells it -------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Out]:
        """Take the INVITE, ask policy, dial."""
        tag = self._register(0)
        outs: list[Out] = list(self.ingress.take_invite(self._key, self._invite, tag))
        account = self.account
        account.caller, account.called = self.parties.caller, self.parties.called
        if self.parties.max_forwards <= 0:
            return outs + self._refuse(Cause.FAILED, 483, now)
        try:
            self._offer = self.media.read(self._invite.body) if self._invite.body else None
        except SdpError as error:
            self._context.trace.note(self.ref, now, f"session description refused: {error.reason}")
            return outs + self._refuse(Cause.FAILED, error.status, now)
        decision = self._context.decide(Facts(self.ingress.peer.name, self.parties.called, self.parties.caller))
        self._context.trace.note(self.ref, now, decision.because)
        account.route = decision.route
        account.caller = decision.caller_e164 or account.caller
        account.called = decision.called_e164 or account.called
        outs.append(self._log("call.started"))
        attempts = plan(decision.hunt)
        if not attempts:
            cause = _cause_of_refusal(decision)
            return outs + self._refuse(cause, decision.reject or cause.status, now)
        return outs + self._dial(attempts[0], attempts[1:], now)

    def take_request(self, leg: int, key: ServerKey, request: Request, now: float) -> list[Out]:
        retry_after = self._context.ids.number(11)
        return self._absorb(self.legs[leg].take_request(key, request, retry_after), now)

    def take_ack(self, leg: int, request: Request, now: float) -> list[Out]:
        return self._absorb(self.legs[leg].take_ack(request), now)

    def take_cancel(self, leg: int, now: float) -> list[Out]:
        return self._absorb(self.legs[leg].take_cancel(), now)

    def take_response(self, leg: int, n: int, response: Response, now: float) -> list[Out]:
        return self._absorb(self.legs[leg].take_response(n, response), now)

    def take_failure(self, leg: int, n: int, failure: TransactionFailed, now: float) -> list[Out]:
        return self._absorb(self.legs[leg].take_failure(failure, n), now)

    def take_counts(self, counts: Sequence[wire.StreamCount]) -> list[Out]:
        """The media worker's last word on this call."""
        self.account.media = self.media.report(counts)
        return self._write_record()

    def record_stored(self) -> list[Out]:
        if isinstance(self.state, Ended):
            self.state = Ended(self.state.ending, self.state.ended_at, written=True, durable=True)
        return []

    def hang_up(self, cause: Cause, now: float) -> list[Out]:
        """End it by our own will: an operator, a shutdown, a limit."""
        return self._end(Ending(cause, self._final_status(cause.status), cause.q850, "sbc"), now)

    def abort(self, now: float) -> list[Out]:
        """The crash barrier's way in: a bug has ended this call. Whatever still works of the one exit is done."""
        ending = Ending(Cause.INTERNAL, self._final_status(500), Cause.INTERNAL.q850, "sbc")
        try:
            outs = self._end(ending, now)
        except Exception:  # noqa: BLE001  the barrier behind the barrier: the record and the ports at least
            self.media.release(now)
            outs = []
            if not isinstance(self.state, Ended):
                self.state = Ended(ending, now)
            outs += self._write_record()
            for leg in self.legs:
                leg.close()
        return outs

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        for leg in self.legs:
            outs += self._absorb(leg.tick(now), now)
        for timer in self._timers.pop_due(now):
            outs += self._timer(timer, now)
        return outs

    def next_deadline(self) -> float | None:
        deadlines = [at for leg in self.legs if (at := leg.next_deadline()) is not None]
        own = self._timers.next()
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

    # --- hunting ------------------------------------------------------------------------------------------------------

    def _dial(self, attempt: Attempt, rest: tuple[Attempt, ...], now: float) -> list[Out]:
        peer, context = attempt.target.peer, self._context
        n = len(self.legs)
        address = context.media_address(peer.interface, ipv6=":" in attempt.server.host)
        self.media.open_egress(address.local, address.shown, peer.latching, now)
        try:
            body = b"" if self._offer is None else self.media.pass_offer("ingress", self._offer, now)
        except SdpError as error:
            return self._refuse(Cause.FAILED, error.status, now)
        except OutOfPortsError:
            return [
                Log("warning", "media.ports_exhausted", (("ref", self.ref),)),
                *self._refuse(Cause.OVERLOAD, 503, now),
            ]
        call_id = context.ids.call_id()
        leg = Leg(self.ref, n, peer, attempt.target.caller, context.timing)
        self.legs.append(leg)
        invite = egress_invite(
            attempt,
            self.parties,
            our_host=context.hosts[peer.interface],
            call_id=call_id,
            tag=self._register(n),
            body=body,
        )
        self.account.dialled(attempt, call_id, now)
        self.state = Hunting(attempt, rest)
        self._timers.clear()
        if rest:
            self._timers.set("no_reply", now + peer.no_reply)  # the last target gets Timer B instead
        return list(leg.dial(invite, attempt.next_hop))

    def _next_attempt(self, state: Hunting, ending: Ending, now: float) -> list[Out]:
        """The attempt under way has failed in a way that lets the hunt go on."""
        self.account.attempt_ended(ending.status or None, ending.cause, now)
        if state.rest and not state.rang:
            return self._dial(state.rest[0], state.rest[1:], now)
        return self._end(ending, now)

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
            case Hunting() as state, LegTried(n) | LegProgressed(n) | LegRefused(n) | LegFailed(n) if (
                n != len(self.legs) - 1
            ):
                return []  # an attempt that was given up
            case Hunting(attempt, rest, rang), LegTried():
                self._timers.stop("no_reply")
                if attempt is not None and not rang and not self._timers.is_set("no_progress"):
                    self._timers.set("no_progress", now + attempt.target.peer.no_progress)
                return []
            case Hunting(attempt, rest), LegProgressed(_, status, body):
                return self._progressed(attempt, rest, status, body, now)
            case Hunting(), LegAnswered(_, body):
                return self._answered(body, now)
            case Hunting() as state, LegRefused(_, status, q850):
                return self._refused(state, status, q850, now)
            case Hunting() as state, LegFailed(_, cause, detail):
                self._context.trace.note(self.ref, now, f"attempt failed: {cause} {detail}".rstrip())
                return self._next_attempt(state, Ending(cause, cause.status, cause.q850, "sbc"), now)
            case Hunting(), LegCancelled():
                self.account.attempt_ended(487, Cause.CANCELLED, now)
                return self._end(Ending(Cause.CANCELLED, 487, Cause.CANCELLED.q850, "caller"), now)
            case Talking(), LegHungUp(n, q850):
                cause = Cause.NORMAL
                return self._end(Ending(cause, 200, q850 or cause.q850, _who(n)), now)
            case Talking(), LegUnacknowledged():
                return self._end(Ending(Cause.NO_ACK, 200, Cause.NO_ACK.q850, "sbc"), now)
            case Talking(), LegAcknowledged(0, body, True):
                return self._first_acknowledged(body, now)
            case Talking(), LegAcknowledged() | LegOffered() | LegReanswered() | LegRerefused() | LegCancelled():
                return self._modification.handle(report, now)
            case Ended(), _:
                return []  # crossed on the wire; harmless once we have moved on
            case Talking(), LegTried() | LegProgressed() | LegAnswered() | LegRefused() | LegFailed():
                return []  # of an attempt that was given up
            case _:
                raise AssertionError(f"{report} in {self.state}")

    def _progressed(
        self, attempt: Attempt | None, rest: tuple[Attempt, ...], status: int, body: bytes, now: float
    ) -> list[Out]:
        self._timers.stop("no_reply", "no_progress")
        if attempt is not None and not self._timers.is_set("no_answer"):
            self._timers.set("no_answer", now + attempt.target.no_answer)
        self.account.rang(now)
        self.state = Hunting(attempt, rest, rang=True)
        outs: list[Out] = []
        passed = b""
        if body and self.media.offer is not None:
            try:
                passed = self.media.pass_answer(self.media.read(body))
            except SdpError as error:
                self._context.trace.note(self.ref, now, f"early session description ignored: {error.reason}")
            else:
                outs.append(AskMedia(self.media.relay()))
        return [*outs, *self.ingress.ring(status if 180 <= status <= 183 else 183, passed, now)]

    def _answered(self, body: bytes, now: float) -> list[Out]:
        egress = self.legs[-1]
        self._timers.clear()
        self.account.attempt_ended(200, Cause.NORMAL, now)
        try:
            if self._offer is None:
                return self._answered_late_offer(body, now)
            if body:
                passed = self.media.pass_answer(self.media.read(body))
            elif self.media.is_up:
                passed = self.media.last_sent("ingress")  # its provisional carried the answer
            else:
                raise SdpError("2xx without an answer", 488)  # noqa: TRY301  one handler for all that does not fit
        except (SdpError, OutOfPortsError) as error:
            self._context.trace.note(self.ref, now, f"answer cannot be used: {error}")
            return self._refuse(Cause.FAILED, 488, now)
        self.media.settle()
        outs: list[Out] = [*egress.acknowledge(), AskMedia(self.media.relay())]
        return outs + self._talk(passed, now)

    def _answered_late_offer(self, body: bytes, now: float) -> list[Out]:
        """The INVITE had no offer: the 2xx has it, and the caller's ACK will have the answer (RFC 3261 §13.2.1)."""
        if not body:
            return [*self.legs[-1].acknowledge(), *self._talk(b"", now)]
        return self._talk(self.media.pass_offer("egress", self.media.read(body), now), now)

    def _talk(self, body: bytes, now: float) -> list[Out]:
        self.account.answered_at = now
        self.state = Talking(now)
        return [*self.ingress.answer(body, now), self._log("call.answered")]

    def _first_acknowledged(self, body: bytes, now: float) -> list[Out]:
        if self._offer is not None or self.media.offer is None:
            return []
        try:
            passed = self.media.pass_answer(self.media.read(body))
        except SdpError as error:
            self._context.trace.note(self.ref, now, f"answer in ACK cannot be used: {error.reason}")
            return self._end(Ending(Cause.FAILED, 200, Cause.FAILED.q850, "sbc"), now)
        self.media.settle()
        return [*self.legs[-1].acknowledge(passed), AskMedia(self.media.relay())]

    def _refused(self, state: Hunting, status: int, q850: int | None, now: float) -> list[Out]:
        cause = cause_of_status(status)
        ending = Ending(cause, _crossing_status(status), q850 or q850_of_status(status), "callee")
        self.account.attempt_ended(status, cause, now)  # what was heard, which need not be what crosses
        return self._next_attempt(state, ending, now) if goes_on(status, q850) else self._end(ending, now)

    def _timer(self, timer: str, now: float) -> list[Out]:
        match self.state, timer:
            case Hunting() as state, "no_reply" | "no_progress":
                outs: list[Out] = list(self.legs[-1].release(0, ()))
                ending = Ending(Cause.NO_REPLY, 408, Cause.NO_REPLY.q850, "sbc")
                self._context.trace.note(self.ref, now, f"{timer} after {self.legs[-1].peer.name} said too little")
                return outs + self._next_attempt(state, ending, now)
            case Hunting(), "no_answer":
                self.account.attempt_ended(None, Cause.NO_ANSWER, now)
                return self._end(Ending(Cause.NO_ANSWER, 480, Cause.NO_ANSWER.q850, "sbc"), now)
            case Ended(), "media report":
                return self._write_record()
            case _:
                raise AssertionError(f"{timer} in {self.state}")

    # --- the one exit -------------------------------------------------------------------------------------------------

    def _refuse(self, cause: Cause, status: int, now: float) -> list[Out]:
        return self._end(Ending(cause, status, q850_of_status(status), "sbc"), now)

    def fail(self, cause: Cause, now: float) -> list[Out]:
        """For `modify`: the session cannot be kept."""
        return self._end(Ending(cause, 200, cause.q850, "sbc"), now)

    def _end(self, ending: Ending, now: float) -> list[Out]:
        """The only way out of a call: legs released, media deleted, ports returned, record written."""
        if isinstance(self.state, Ended):
            return []
        self.account.attempt_ended(None, ending.cause, now)
        self.state = Ended(ending, now)
        self._timers.clear()
        outs: list[Out] = []
        fields = () if ending.cause in (Cause.NORMAL, Cause.CANCELLED) else reason_fields(ending.q850)
        for leg in self.legs:
            outs += leg.release(ending.status, fields)
        self.media.release(now)
        self._context.trace.note(self.ref, now, f"ended: {ending.cause} ({ending.status}) by {ending.by}")
        self._context.trace.end(self.ref, failed=ending.cause is not Cause.NORMAL, at=now)
        self._context.outcomes[
            self.ingress.peer.name, self.legs[-1].peer.name if self.egress else "", ending.cause
        ] += 1
        outs.append(self._log("call.ended", ("cause", str(ending.cause)), ("status", ending.status), ("by", ending.by)))
        if not self.media.is_up:
            return outs + self._write_record()
        self._timers.set("media report", now + MEDIA_REPORT_SECONDS)
        outs.append(AskMedia(wire.DeleteSession(self.ref)))
        return outs

    def _write_record(self) -> list[Out]:
        """Once: when the media worker has spoken, or has not for too long."""
        state = self.state
        if not isinstance(state, Ended) or state.written:
            return []
        self.state = Ended(state.ending, state.ended_at, written=True)
        self._timers.clear()
        return [WriteCdr(self.account.record(state.ending, state.ended_at, self._context.wall))]

    def _final_status(self, status: int) -> int:
        return 200 if isinstance(self.state, Talking) else status

    def _register(self, leg: int) -> str:
        tag = self._context.ids.tag()
        self._context.dialogs[tag] = (self.ref, leg)
        self._tags.append(tag)
        return tag

    def _log(self, event: str, *fields: tuple[str, object]) -> Log:
        account = self.account
        egress = self.egress
        return Log(
            "info",
            event,
            (
                ("ref", self.ref),
                ("ingress", account.ingress),
                ("egress", None if egress is None else egress.peer.name),
                ("route", account.route),
                ("caller", account.caller),
                ("called", account.called),
                *fields,
            ),
        )


def _cause_of_refusal(decision: Decision) -> Cause:
    if decision.route is None:
        return Cause.NO_ROUTE
    return Cause.NOT_FOUND if decision.reject in (404, 484) else Cause.REJECTED


def _who(leg: int) -> Who:
    return "caller" if leg == 0 else "callee"


def _crossing_status(status: int) -> int:
    """What the caller gets for what the callee's side said. Redirections and challenges are for us and never cross."""
    if status < 400:
        return 502
    return 403 if status in (401, 407) else status
