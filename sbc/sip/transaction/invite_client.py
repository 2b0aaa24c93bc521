"""INVITE client transaction (RFC 3261 §17.1.1, with the Accepted state of RFC 6026 §7.2, and cancelling, §9.1).

CANCEL is a matter of this machine because it outlives the call: it waits for a provisional, and ends an INVITE whose
final response never comes. The ACK of a 2xx is repeated here for each repeated 2xx, so that a call that is gone leaves
no peer without one; a 2xx of another fork goes up.

The whole machine is in this file; `TABLE`, at the bottom, is the machine. It knows one request and one flow.
It does not know dialogs, sockets, or what time it is.
"""

import enum
from collections.abc import Hashable
from typing import Final

from sbc.core.address import Flow
from sbc.core.timers import TimerTable
from sbc.sip.build import ack_for_failure
from sbc.sip.commands import SendMessage
from sbc.sip.message import Request, Response
from sbc.sip.timing import Timing
from sbc.sip.transaction.key import ClientKey
from sbc.sip.transaction.outputs import CancelDue, Out, ResponseReceived, TransactionFailed
from sbc.sip.transaction.saved import SavedInvite, head_of
from sbc.sip.transaction.table import Table, drops


class State(enum.StrEnum):
    CALLING = "calling"
    CALLING_CANCELLED = "calling, CANCEL waiting"
    PROCEEDING = "proceeding"
    CANCELLING = "cancelling"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    ABANDONED = "calling, of an earlier life"
    TERMINATED = "terminated"


class Input(enum.StrEnum):
    TIMER_A = "timer A"
    TIMER_B = "timer B"
    TIMER_D = "timer D"
    TIMER_M = "timer M"
    TIMER_SETTLED = "T1 after INVITE"
    TIMER_CANCEL = "64*T1 after CANCEL"
    RECV_1XX = "1xx"
    RECV_2XX = "2xx"
    RECV_300_699 = "300-699"
    TRANSPORT_FAILED = "transport failed"
    CANCEL = "cancel"


class InviteClient:
    """One INVITE of ours. `data`: as sent; `via`: its Via value, which CANCEL and ACK repeat (§9.1, §17.1.1.3)."""

    __slots__ = (
        "_cancel",
        "_has_rung",
        "_interval",
        "_reliable",
        "_timers",
        "_timing",
        "acks",
        "data",
        "flow",
        "key",
        "request",
        "spare",
        "state",
        "user",
        "via",
    )

    def __init__(
        self, key: ClientKey, request: Request, via: str, data: bytes, flow: Flow, user: Hashable, timing: Timing
    ) -> None:
        self.key = key
        self.request = request
        self.via = via
        self.data = data
        self.flow = flow
        self.spare: Flow | None = None  # where it goes if that connection is lost
        self.user = user
        self.state = State.CALLING
        self.acks: dict[str | None, SendMessage] = {}  # by To tag; None: the ACK of a failure
        self._cancel: Request | None = None
        self._has_rung = False  # a provisional beyond 100 came
        self._timing = timing
        self._reliable = flow.transport.is_reliable
        self._interval = timing.t1
        self._timers: TimerTable[Input] = TimerTable()

    def saved(self) -> SavedInvite | None:
        """None: it has its final response."""
        if self.state in _ANSWERED:
            return None
        timing, give_up_at = self._timing, self._timers.at(Input.TIMER_B)  # runs until a provisional comes
        sent_at = None if give_up_at is None else give_up_at - timing.give_up
        if self.state is State.ABANDONED:
            sent_at = (self._timers.at(Input.TIMER_SETTLED) or timing.t1) - timing.t1
        return SavedInvite(head_of(self.data), self.via, self.flow, sent_at)

    def abandon(self, cancel: Request, sent_at: float | None, now: float) -> list[Out]:
        """It was sent in an earlier life of this program, and nobody wants it any more. It is never sent again.

        Deviation: "If no provisional response has been received, the CANCEL request MUST NOT be sent", §9.1, so that it
        does not overtake its INVITE. Whether one has come nobody knows; but what was sent T1 ago and is not sent again
        has arrived, or never will.
        """
        self.state, self._cancel = State.ABANDONED, cancel
        self._timers.set(Input.TIMER_SETTLED, now if sent_at is None else min(sent_at, now) + self._timing.t1)
        return self.tick(now)

    @property
    def is_terminated(self) -> bool:
        return self.state is State.TERMINATED

    @property
    def is_waiting(self) -> bool:
        """No response yet: a transport failure would concern it."""
        return self.state is State.CALLING or self.state is State.CALLING_CANCELLED

    @property
    def is_doubtful(self) -> bool:
        """Its connection is all that it has: nothing but 100 came. The server may still answer on another (§18.2.2)."""
        return self.state is State.PROCEEDING and self._reliable and not self._has_rung

    def start(self, now: float) -> list[Out]:
        if not self._reliable:
            self._timers.set(Input.TIMER_A, now + self._interval)
        self._timers.set(Input.TIMER_B, now + self._timing.give_up)
        return [SendMessage(self.flow, self.data, self.user)]

    def receive(self, response: Response, now: float) -> list[Out]:
        status = response.status
        kind = Input.RECV_1XX if status < 200 else Input.RECV_2XX if status < 300 else Input.RECV_300_699
        return self._step(kind, response, now)

    def fail(self, reason: str, now: float) -> list[Out]:
        return self._step(Input.TRANSPORT_FAILED, reason, now)

    def cancel(self, cancel: Request, now: float) -> list[Out]:
        """Send this CANCEL as soon as that is allowed; a 2xx that crosses it goes up like any other.

        "If no provisional response has been received, the CANCEL request MUST NOT be sent", §9.1.
        """
        return self._step(Input.CANCEL, cancel, now)

    def acknowledge(self, tag: str | None, ack: SendMessage) -> None:
        """Remember the ACK of the 2xx with this To tag."""
        self.acks[tag] = ack

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        for timer in self._timers.pop_due_but(Input.TIMER_A, Input.TIMER_B, now):
            outs += self._step(timer, None, now)
        return outs

    def next_deadline(self) -> float | None:
        return self._timers.next()

    def _step(self, input_: Input, event: Response | Request | str | None, now: float) -> list[Out]:
        action, target = TABLE[self.state, input_]
        if target is not self.state:
            self.state = target
            self._enter(now)
        return action(self, event, now) if action is not None else []

    def _enter(self, now: float) -> None:
        if self.state is State.CALLING_CANCELLED:
            return  # A and B keep running
        self._timers.clear()
        match self.state:
            case State.CANCELLING:
                # "If there is no final response to the original request in 64*T1 seconds, the client SHOULD then
                # consider the original transaction cancelled and SHOULD destroy the client transaction", §9.1
                self._timers.set(Input.TIMER_CANCEL, now + self._timing.give_up)
            case State.ACCEPTED:
                self._timers.set(Input.TIMER_M, now + self._timing.give_up)
            case State.COMPLETED:
                self._timers.set(Input.TIMER_D, now + self._timing.d(reliable=self._reliable))
            case _:
                pass

    def _resend(self, _: None, now: float) -> list[Out]:
        # "the client transaction MUST reset the timer with a value of 2*T1" and so on, doubling, no cap: §17.1.1.2
        self._interval *= 2
        self._timers.set(Input.TIMER_A, now + self._interval)
        return [SendMessage(self.flow, self.data, self.user)]

    def _pass_up(self, response: Response, _now: float) -> list[Out]:
        self._has_rung = self._has_rung or response.status > 100
        return [ResponseReceived(self.user, self.key, response, self.flow, self.request)]

    def _ack_and_pass_up(self, response: Response, _now: float) -> list[Out]:
        ack = SendMessage(self.flow, ack_for_failure(self.request, self.via, response), self.user)
        self.acks[None] = ack
        return [ack, ResponseReceived(self.user, self.key, response, self.flow, self.request)]

    def _ack_failure_again(self, _response: Response, _now: float) -> list[Out]:
        # "Any retransmissions of the final response that are received while in the 'Completed' state MUST cause the
        # ACK to be re-passed to the transport layer", and they are not passed up: §17.1.1.2
        return list(self.acks.values())

    def _ack_again_or_pass_up(self, response: Response, now: float) -> list[Out]:
        # RFC 6026 §7.2: every 2xx goes up, a retransmission or another fork's. One whose ACK we know needs nobody.
        ack = self.acks.get(response.to.tag)
        return [ack] if ack is not None else self._pass_up(response, now)

    def _keep_cancel(self, cancel: Request, _now: float) -> list[Out]:
        self._cancel = cancel
        return []

    def _send_cancel(self, cancel: Request, _now: float) -> list[Out]:
        return [CancelDue(self.key, cancel)]

    def _send_kept_cancel(self, _response: Response, _now: float) -> list[Out]:
        return [] if self._cancel is None else [CancelDue(self.key, self._cancel)]

    def _timed_out(self, _: None, _now: float) -> list[Out]:
        return [TransactionFailed(self.user, self.key, "timeout")]

    def _never_ended(self, _: None, _now: float) -> list[Out]:
        return [TransactionFailed(self.user, self.key, "timeout", "no final response after CANCEL", heard=True)]

    def _transport_failed(self, reason: str, _now: float) -> list[Out]:
        return [TransactionFailed(self.user, self.key, "transport", reason)]

    def _transport_failed_late(self, reason: str, _now: float) -> list[Out]:
        return [TransactionFailed(self.user, self.key, "transport", reason, heard=True)]


_C, _W, _P, _X = State.CALLING, State.CALLING_CANCELLED, State.PROCEEDING, State.CANCELLING
_A, _F, _T = State.ACCEPTED, State.COMPLETED, State.TERMINATED
_L = State.ABANDONED
_ANSWERED = frozenset((_A, _F, _T))
_LATE = (Input.TIMER_D, Input.TIMER_M, Input.TIMER_SETTLED)
_EARLY = (Input.TIMER_A, Input.TIMER_B)

TABLE: Final[Table[State, Input]] = {
    (_C, Input.TIMER_A): (InviteClient._resend, _C),
    (_C, Input.TIMER_B): (InviteClient._timed_out, _T),
    (_C, Input.RECV_1XX): (InviteClient._pass_up, _P),
    (_C, Input.RECV_2XX): (InviteClient._pass_up, _A),
    (_C, Input.RECV_300_699): (InviteClient._ack_and_pass_up, _F),
    (_C, Input.TRANSPORT_FAILED): (InviteClient._transport_failed, _T),
    (_C, Input.CANCEL): (InviteClient._keep_cancel, _W),
    **drops(_C, *_LATE, Input.TIMER_CANCEL),
    (_W, Input.TIMER_A): (InviteClient._resend, _W),
    (_W, Input.TIMER_B): (InviteClient._timed_out, _T),
    (_W, Input.RECV_1XX): (InviteClient._send_kept_cancel, _X),
    (_W, Input.RECV_2XX): (InviteClient._pass_up, _A),
    (_W, Input.RECV_300_699): (InviteClient._ack_and_pass_up, _F),
    (_W, Input.TRANSPORT_FAILED): (InviteClient._transport_failed, _T),
    **drops(_W, *_LATE, Input.TIMER_CANCEL, Input.CANCEL),
    (_P, Input.RECV_1XX): (InviteClient._pass_up, _P),
    (_P, Input.RECV_2XX): (InviteClient._pass_up, _A),
    (_P, Input.RECV_300_699): (InviteClient._ack_and_pass_up, _F),
    (_P, Input.TRANSPORT_FAILED): (InviteClient._transport_failed_late, _T),
    (_P, Input.CANCEL): (InviteClient._send_cancel, _X),
    **drops(_P, *_EARLY, *_LATE, Input.TIMER_CANCEL),
    (_X, Input.RECV_2XX): (InviteClient._pass_up, _A),
    (_X, Input.RECV_300_699): (InviteClient._ack_and_pass_up, _F),
    (_X, Input.TIMER_CANCEL): (InviteClient._never_ended, _T),
    (_X, Input.TRANSPORT_FAILED): (InviteClient._transport_failed_late, _T),
    **drops(_X, *_EARLY, *_LATE, Input.RECV_1XX, Input.CANCEL),
    (_L, Input.TIMER_SETTLED): (InviteClient._send_kept_cancel, _X),
    (_L, Input.RECV_1XX): (InviteClient._send_kept_cancel, _X),
    (_L, Input.RECV_2XX): (InviteClient._pass_up, _A),
    (_L, Input.RECV_300_699): (InviteClient._ack_and_pass_up, _F),
    **drops(_L, *_EARLY, Input.TIMER_D, Input.TIMER_M, Input.TIMER_CANCEL, Input.CANCEL, Input.TRANSPORT_FAILED),
    (_A, Input.RECV_2XX): (InviteClient._ack_again_or_pass_up, _A),
    (_A, Input.TIMER_M): (None, _T),
    **drops(_A, *_EARLY, Input.TIMER_D, Input.TIMER_SETTLED, Input.TIMER_CANCEL, Input.RECV_1XX, Input.RECV_300_699),
    **drops(_A, Input.TRANSPORT_FAILED, Input.CANCEL),
    (_F, Input.RECV_300_699): (InviteClient._ack_failure_again, _F),
    (_F, Input.TIMER_D): (None, _T),
    (_F, Input.TRANSPORT_FAILED): (None, _T),
    **drops(_F, *_EARLY, Input.TIMER_M, Input.TIMER_SETTLED, Input.TIMER_CANCEL, Input.RECV_1XX, Input.RECV_2XX),
    **drops(_F, Input.CANCEL),
    **drops(_T, *Input),
}
