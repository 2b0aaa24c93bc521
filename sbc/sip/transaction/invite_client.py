"""INVITE client transaction (RFC 3261 §17.1.1, with the Accepted state of RFC 6026 §7.2).

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
from sbc.sip.transaction.outputs import Out, ResponseReceived, TransactionFailed
from sbc.sip.transaction.table import Table, drops


class State(enum.StrEnum):
    CALLING = "calling"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    TERMINATED = "terminated"


class Input(enum.StrEnum):
    TIMER_A = "timer A"
    TIMER_B = "timer B"
    TIMER_D = "timer D"
    TIMER_M = "timer M"
    RECV_1XX = "1xx"
    RECV_2XX = "2xx"
    RECV_300_699 = "300-699"
    TRANSPORT_FAILED = "transport failed"
    ABANDONED = "abandoned"


class InviteClient:
    """One INVITE of ours. `data` is the INVITE as sent, `via` its Via value, which CANCEL and ACK repeat (§9.1, §17.1.1.3)."""

    __slots__ = ("_interval", "_reliable", "_timers", "_timing", "ack", "data", "flow", "key", "request", "state", "user", "via")

    def __init__(
        self, key: ClientKey, request: Request, via: str, data: bytes, flow: Flow, user: Hashable, timing: Timing
    ) -> None:
        self.key = key
        self.request = request
        self.via = via
        self.data = data
        self.flow = flow
        self.user = user
        self.state = State.CALLING
        self.ack: bytes | None = None
        self._timing = timing
        self._reliable = flow.transport.is_reliable
        self._interval = timing.t1
        self._timers: TimerTable[Input] = TimerTable()

    @property
    def is_terminated(self) -> bool:
        return self.state is State.TERMINATED

    @property
    def is_waiting(self) -> bool:
        """No response yet: a transport failure would concern it."""
        return self.state is State.CALLING

    def start(self, now: float) -> list[Out]:
        if not self._reliable:
            self._timers.set(Input.TIMER_A, now + self._interval)
        self._timers.set(Input.TIMER_B, now + self._timing.give_up)
        return [SendMessage(self.flow, self.data)]

    def receive(self, response: Response, now: float) -> list[Out]:
        status = response.status
        kind = Input.RECV_1XX if status < 200 else Input.RECV_2XX if status < 300 else Input.RECV_300_699
        return self._step(kind, response, now)

    def fail(self, reason: str, now: float) -> list[Out]:
        return self._step(Input.TRANSPORT_FAILED, reason, now)

    def abandon(self, now: float) -> list[Out]:
        """The user gives up on a final response, 64*T1 after its CANCEL (§9.1)."""
        return self._step(Input.ABANDONED, None, now)

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        for timer in self._timers.pop_due(now):
            outs += self._step(timer, None, now)
        return outs

    def next_deadline(self) -> float | None:
        return self._timers.next()

    def _step(self, input_: Input, event: Response | str | None, now: float) -> list[Out]:
        action, target = TABLE[self.state, input_]
        if target is not self.state:
            self.state = target
            self._enter(now)
        return action(self, event, now) if action is not None else []

    def _enter(self, now: float) -> None:
        self._timers.clear()
        match self.state:
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
        return [SendMessage(self.flow, self.data)]

    def _pass_up(self, response: Response, _now: float) -> list[Out]:
        return [ResponseReceived(self.user, self.key, response, self.flow)]

    def _ack_and_pass_up(self, response: Response, _now: float) -> list[Out]:
        self.ack = ack_for_failure(self.request, self.via, response)
        return [SendMessage(self.flow, self.ack), ResponseReceived(self.user, self.key, response, self.flow)]

    def _ack_again(self, _response: Response, _now: float) -> list[Out]:
        # "Any retransmissions of the final response that are received while in the 'Completed' state MUST cause the
        # ACK to be re-passed to the transport layer", and they are not passed up: §17.1.1.2
        return [] if self.ack is None else [SendMessage(self.flow, self.ack)]

    def _timed_out(self, _: None, _now: float) -> list[Out]:
        return [TransactionFailed(self.user, self.key, "timeout")]

    def _transport_failed(self, reason: str, _now: float) -> list[Out]:
        return [TransactionFailed(self.user, self.key, "transport", reason)]

    def _transport_failed_late(self, reason: str, _now: float) -> list[Out]:
        return [TransactionFailed(self.user, self.key, "transport", reason, heard=True)]

    def _abandoned(self, _: None, _now: float) -> list[Out]:
        return [TransactionFailed(self.user, self.key, "timeout", "no final response after CANCEL", heard=True)]


_C, _P, _A, _F, _T = State.CALLING, State.PROCEEDING, State.ACCEPTED, State.COMPLETED, State.TERMINATED

TABLE: Final[Table[State, Input]] = {
    (_C, Input.TIMER_A): (InviteClient._resend, _C),
    (_C, Input.TIMER_B): (InviteClient._timed_out, _T),
    (_C, Input.RECV_1XX): (InviteClient._pass_up, _P),
    (_C, Input.RECV_2XX): (InviteClient._pass_up, _A),
    (_C, Input.RECV_300_699): (InviteClient._ack_and_pass_up, _F),
    (_C, Input.TRANSPORT_FAILED): (InviteClient._transport_failed, _T),
    (_C, Input.ABANDONED): (InviteClient._abandoned, _T),
    **drops(_C, Input.TIMER_D, Input.TIMER_M),
    (_P, Input.RECV_1XX): (InviteClient._pass_up, _P),
    (_P, Input.RECV_2XX): (InviteClient._pass_up, _A),
    (_P, Input.RECV_300_699): (InviteClient._ack_and_pass_up, _F),
    (_P, Input.TRANSPORT_FAILED): (InviteClient._transport_failed_late, _T),
    (_P, Input.ABANDONED): (InviteClient._abandoned, _T),
    **drops(_P, Input.TIMER_A, Input.TIMER_B, Input.TIMER_D, Input.TIMER_M),
    # RFC 6026 §7.2: every 2xx goes up, whether a retransmission or from another fork; other responses do not.
    (_A, Input.RECV_2XX): (InviteClient._pass_up, _A),
    (_A, Input.TIMER_M): (None, _T),
    **drops(_A, Input.TIMER_A, Input.TIMER_B, Input.TIMER_D, Input.RECV_1XX, Input.RECV_300_699),
    **drops(_A, Input.TRANSPORT_FAILED, Input.ABANDONED),
    (_F, Input.RECV_300_699): (InviteClient._ack_again, _F),
    (_F, Input.TIMER_D): (None, _T),
    (_F, Input.TRANSPORT_FAILED): (None, _T),
    **drops(_F, Input.TIMER_A, Input.TIMER_B, Input.TIMER_M, Input.RECV_1XX, Input.RECV_2XX, Input.ABANDONED),
    **drops(_T, *Input),
}
