"""Non-INVITE client transaction (RFC 3261 §17.1.2).

The whole machine is in this file; `TABLE`, at the bottom, is the machine. It knows one request and one flow.
"""

import enum
from collections.abc import Hashable
from typing import Final

from sbc.core.address import Flow
from sbc.core.timers import TimerTable
from sbc.sip.commands import SendMessage
from sbc.sip.message import Request, Response
from sbc.sip.timing import Timing
from sbc.sip.transaction.key import ClientKey
from sbc.sip.transaction.outputs import Out, ResponseReceived, TransactionFailed
from sbc.sip.transaction.table import Table, drops


class State(enum.StrEnum):
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    TERMINATED = "terminated"


class Input(enum.StrEnum):
    TIMER_E = "timer E"
    TIMER_F = "timer F"
    TIMER_K = "timer K"
    RECV_1XX = "1xx"
    RECV_FINAL = "200-699"
    TRANSPORT_FAILED = "transport failed"


class Client:
    """One request of ours that is neither INVITE nor ACK."""

    __slots__ = (
        "_interval",
        "_reliable",
        "_timers",
        "_timing",
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
        self.state = State.TRYING
        self._timing = timing
        self._reliable = flow.transport.is_reliable
        self._interval = timing.t1
        self._timers: TimerTable[Input] = TimerTable()

    @property
    def is_terminated(self) -> bool:
        return self.state is State.TERMINATED

    @property
    def is_waiting(self) -> bool:
        return self.state is State.TRYING

    def start(self, now: float) -> list[Out]:
        if not self._reliable:
            self._timers.set(Input.TIMER_E, now + self._interval)
        self._timers.set(Input.TIMER_F, now + self._timing.give_up)
        return [SendMessage(self.flow, self.data, self.user)]

    def receive(self, response: Response, now: float) -> list[Out]:
        return self._step(Input.RECV_1XX if response.status < 200 else Input.RECV_FINAL, response, now)

    def fail(self, reason: str, now: float) -> list[Out]:
        return self._step(Input.TRANSPORT_FAILED, reason, now)

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        for timer in self._timers.pop_due_but(Input.TIMER_E, Input.TIMER_F, now):
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
        if self.state is State.PROCEEDING:
            return  # E and F keep running, §17.1.2.2
        self._timers.clear()
        if self.state is State.COMPLETED:
            self._timers.set(Input.TIMER_K, now + self._timing.linger(reliable=self._reliable))

    def _resend(self, _: None, now: float) -> list[Out]:
        self._interval = min(2 * self._interval, self._timing.t2)
        self._timers.set(Input.TIMER_E, now + self._interval)
        return [SendMessage(self.flow, self.data, self.user)]

    def _resend_slowly(self, _: None, now: float) -> list[Out]:
        # "Timer E MUST be reset with a value of T2 seconds" in the Proceeding state, §17.1.2.2
        self._interval = self._timing.t2
        self._timers.set(Input.TIMER_E, now + self._interval)
        return [SendMessage(self.flow, self.data, self.user)]

    def _pass_up(self, response: Response, _now: float) -> list[Out]:
        return [ResponseReceived(self.user, self.key, response, self.flow, self.request)]

    def _timed_out(self, _: None, _now: float) -> list[Out]:
        return [TransactionFailed(self.user, self.key, "timeout")]

    def _timed_out_late(self, _: None, _now: float) -> list[Out]:
        return [TransactionFailed(self.user, self.key, "timeout", heard=True)]

    def _transport_failed_late(self, reason: str, _now: float) -> list[Out]:
        return [TransactionFailed(self.user, self.key, "transport", reason, heard=True)]

    def _transport_failed(self, reason: str, _now: float) -> list[Out]:
        return [TransactionFailed(self.user, self.key, "transport", reason)]


_Y, _P, _F, _T = State.TRYING, State.PROCEEDING, State.COMPLETED, State.TERMINATED

TABLE: Final[Table[State, Input]] = {
    (_Y, Input.TIMER_E): (Client._resend, _Y),
    (_Y, Input.TIMER_F): (Client._timed_out, _T),
    (_Y, Input.RECV_1XX): (Client._pass_up, _P),
    (_Y, Input.RECV_FINAL): (Client._pass_up, _F),
    (_Y, Input.TRANSPORT_FAILED): (Client._transport_failed, _T),
    **drops(_Y, Input.TIMER_K),
    (_P, Input.TIMER_E): (Client._resend_slowly, _P),
    (_P, Input.TIMER_F): (Client._timed_out_late, _T),
    (_P, Input.RECV_1XX): (Client._pass_up, _P),
    (_P, Input.RECV_FINAL): (Client._pass_up, _F),
    (_P, Input.TRANSPORT_FAILED): (Client._transport_failed_late, _T),
    **drops(_P, Input.TIMER_K),
    (_F, Input.TIMER_K): (None, _T),
    **drops(_F, Input.TIMER_E, Input.TIMER_F, Input.RECV_1XX, Input.RECV_FINAL, Input.TRANSPORT_FAILED),
    **drops(_T, *Input),
}
