"""One request outside of calls that has to reach somebody: servers are tried one after another until one answers.

RFC 3261 §17.1.2 and §22, within the time that its sender waits (RFC 4320, RFC 4321). Targets are opened, and refusals
judged, as for a call; but no call path is taken, no rate is counted, and no disaster plan is asked: a message can wait.
It does not know what the request is about. Used by `exchange` and `subscription`.
"""

from collections.abc import Callable, Sequence
from typing import Final

from msgspec import Struct

from sbc.b2bua.context import Context
from sbc.b2bua.hunt import Attempt, Lead, drawn, goes_on
from sbc.b2bua.opening import open_target, why_closed_since
from sbc.core.address import Flow
from sbc.core.commands import Log, StoreState
from sbc.core.limits import ATTEMPTS_PER_CALL
from sbc.core.timers import TimerTable
from sbc.peering.bindings import BindingMoved
from sbc.policy.model import Decision, Peer
from sbc.sip.commands import CloseFlow, KeepAlive, Order, SendRequest
from sbc.sip.message import Request, Response
from sbc.sip.timing import Timing
from sbc.sip.transaction.outputs import ResponseReceived, TransactionFailed

Out = Order | KeepAlive | CloseFlow | Log | StoreState | BindingMoved
User = tuple[str, str, int]

# What its sender hears. A carrier may take us, and every number that we have, out of service by a 503 or 504.
_ABSENT: Final = 480
_UNREACHABLE: Final = 503
_SILENT: Final = 504


class Prepared(Struct, frozen=True, eq=False):
    """The request of an attempt, without Via and Contact, and the user part of our Contact; None: it has none."""

    request: Request
    contact: str | None


class Answered(Struct, frozen=True, eq=False):
    """A final response; `request` is what it answers, `flow` where that went."""

    attempt: Attempt
    request: Request
    response: Response
    flow: Flow


class Unanswered(Struct, frozen=True):
    """Nobody was reached, or nobody answered in time. `status` is for the one who asked, `why` for people."""

    status: int
    why: str


Outcome = Answered | Unanswered


class Errand:
    """`prepare` makes the request of each attempt; `next_user` names each transaction anew. `outcome`: once it is over.

    `first`: tried before all others, as far as the decision has them. `is_sips`: over TLS alone (RFC 5630).
    """

    __slots__ = (
        "_attempt",
        "_attempts",
        "_context",
        "_decision",
        "_ingress",
        "_is_sips",
        "_leads",
        "_next_user",
        "_prepare",
        "_sent",
        "_timers",
        "_tries",
        "_verdict",
        "n",
        "outcome",
    )

    def __init__(
        self,
        ingress: Peer,
        decision: Decision,
        prepare: Callable[[Attempt], Prepared],
        next_user: Callable[[], User],
        context: Context,
        *,
        first: Sequence[Lead] = (),
        is_sips: bool = False,
    ) -> None:
        self.outcome: Outcome | None = None
        self.n = 0  # of the transaction that counts; what belongs to an earlier one comes too late
        self._ingress = ingress
        self._decision = decision
        self._prepare = prepare
        self._next_user = next_user
        self._context = context
        self._leads: tuple[Lead, ...] = (*first, *drawn(decision.hunt, context.ids.number))
        self._attempt: Attempt | None = None
        self._attempts = 0
        self._sent: Prepared | None = None
        self._tries = 0
        self._verdict: Outcome = self._absence(_UNREACHABLE, "nobody who takes it can be reached")
        self._is_sips = is_sips
        self._timers: TimerTable[str] = TimerTable()

    @property
    def peer(self) -> Peer | None:
        """Who is being asked."""
        return None if self._attempt is None else self._attempt.target.peer

    @property
    def request(self) -> Request | None:
        """As it went out last."""
        return None if self._sent is None else self._sent.request

    def start(self, now: float) -> list[Out]:
        self._timers.set("give up", now + patience(self._context.timing))
        return self._try_next(now)

    def take_response(self, n: int, out: ResponseReceived, now: float, *, genuine: bool) -> list[Out]:
        """`genuine`: it came from the peer that was asked."""
        response = out.response
        attempt, sent = self._attempt, self._sent
        if n != self.n or attempt is None or sent is None or self.outcome is not None:
            return []
        self._timers.stop("no reply")
        if response.status < 200:
            return []
        if response.status in (401, 407) and genuine:
            again = self._answer_challenge(attempt, sent, out)
            if again:
                return again
        answered = Answered(attempt, sent.request, response, out.flow)
        if goes_on(response.status, None, self._decision.rule):
            return self._try_next(now, answered)
        return self._end(answered)

    def take_failure(self, n: int, failure: TransactionFailed, now: float) -> list[Out]:
        attempt = self._attempt
        if n != self.n or attempt is None or self.outcome is not None:
            return []
        if failure.why != "transport":
            return self._try_next(now, self._absence(_SILENT, f"{attempt.target.peer.name} has not answered"))
        # Silence is not counted: some servers drop what they do not know, and are well.
        lost = self._context.relations.call_failed(attempt.hop, failure.detail, now)
        why = f"{attempt.target.peer.name} cannot be reached: {failure.detail}"
        return [*lost, *self._try_next(now, self._absence(_UNREACHABLE, why))]

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        for timer in self._timers.pop_due(now):
            if self.outcome is not None:
                break
            why = f"{self.peer.name} has said nothing" if self.peer is not None else "no answer"
            silence = self._absence(_SILENT, why)
            if timer == "give up":
                outs += self._end(silence)
            else:
                outs += self._try_next(now, silence, waits=True)
        return outs

    def settle(self) -> None:
        """The one that was asked has shown otherwise that it has taken it: nobody else is tried."""
        self._timers.clear()
        self._leads = ()

    def next_deadline(self) -> float | None:
        return self._timers.next()

    # --- inside -------------------------------------------------------------------------------------------------------

    def _try_next(self, now: float, verdict: Outcome | None = None, *, waits: bool = False) -> list[Out]:
        """The next server; where there is none the last verdict stands. `waits`: the one under way may still answer."""
        self._verdict = verdict or self._verdict
        attempt = self._next(now)
        if attempt is None:
            return [] if waits else self._end(self._verdict)
        self._attempt, self._tries = attempt, 0
        self._attempts += 1
        self._sent = self._prepare(attempt)
        self._timers.set("no reply", now + attempt.target.peer.no_reply)
        return self._send(self._sent, attempt.next_hop, None if attempt.hop is None else attempt.hop.flow)

    def _next(self, now: float) -> Attempt | None:
        relations = self._context.relations
        while self._leads and self._attempts < ATTEMPTS_PER_CALL:
            lead, self._leads = self._leads[0], self._leads[1:]
            if isinstance(lead, Attempt):
                if self._is_sips and not lead.can_be_secure:
                    self._verdict = self._absence(480, f"{lead.target.peer.name}: no TLS for what a SIPS URI asks for")
                elif not why_closed_since(lead, relations):
                    return lead
                continue
            opened = open_target(lead, relations, now)
            if opened.why and self._attempt is None:
                self._verdict = self._absence(_UNREACHABLE, f"{lead.peer.name}: {opened.why}")
            self._leads = (*opened.attempts, *self._leads)
        return None

    def _answer_challenge(self, attempt: Attempt, sent: Prepared, out: ResponseReceived) -> list[Out]:
        """Once more with credentials, to the very server that made the nonce (RFC 3261 §22.2)."""
        account = self._context.relations.credentials(attempt.target.peer.name)
        again = None if account is None else account.answer(out.response, sent.request, self._tries)
        if again is None:
            return []
        self._tries += 1
        self._sent = Prepared(again, sent.contact)
        return self._send(self._sent, "", out.flow)

    def _send(self, sent: Prepared, next_hop: str, flow: Flow | None) -> list[Out]:
        assert self._attempt is not None  # noqa: S101  whoever sends has one
        user = self._next_user()
        self.n = user[2]
        interface = self._attempt.target.peer.interface
        return [SendRequest(user, sent.request, interface, next_hop, sent.contact, flow)]

    def _end(self, outcome: Outcome) -> list[Out]:
        self.outcome = outcome
        self._timers.clear()
        return []

    def _absence(self, status: int, why: str) -> Unanswered:
        return Unanswered(_ABSENT if self._ingress.kind == "trunk" else status, why)


def patience(timing: Timing) -> float:
    """Seconds that an answer is waited for. "An element that cannot respond before the transaction expires will not
    send a final response at all", RFC 4320 §4.2; the sender's timer F began when its first, maybe lost, copy went out.
    """
    return timing.give_up - 2 * timing.t2


def trying_after(timing: Timing) -> float:
    """Seconds after which a request is answered 100: when timer E of its sender has reached T2 (RFC 4320 §4.1)."""
    return timing.t2 - timing.t1
