"""INVITE server transaction (RFC 3261 §17.2.1, with the Accepted state of RFC 6026 §7.1).

The whole machine is in this file; `TABLE`, at the bottom, is the machine. Retransmitting a 2xx is not its business but
the dialog's (§13.3.1.4); it only passes what it is given.
"""

import enum
from collections.abc import Hashable
from typing import Final

from sbc.core.address import Flow
from sbc.core.timers import TimerTable
from sbc.sip.commands import SendMessage
from sbc.sip.message import Fields, Request
from sbc.sip.timing import Timing
from sbc.sip.transaction.key import MergeKey, ServerKey
from sbc.sip.transaction.outputs import AckReceived, Out, RequestReceived
from sbc.sip.transaction.saved import SavedServer
from sbc.sip.transaction.table import Table, drops


class State(enum.StrEnum):
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    ACCEPTED = "accepted"
    TERMINATED = "terminated"


class Input(enum.StrEnum):
    RECV_INVITE = "INVITE"
    RECV_ACK = "ACK"
    SEND_1XX = "send 1xx"
    SEND_2XX = "send 2xx"
    SEND_300_699 = "send 300-699"
    TIMER_G = "timer G"
    TIMER_H = "timer H"
    TIMER_I = "timer I"
    TIMER_L = "timer L"
    TRANSPORT_FAILED = "transport failed"


class InviteServer:
    """One INVITE of a peer. `flow`: where responses go; `echo`: what each repeats of the request (§8.2.6.2)."""

    __slots__ = (
        "_interval",
        "_reliable",
        "_timers",
        "_timing",
        "came",
        "data",
        "echo",
        "flow",
        "key",
        "merge",
        "request",
        "state",
        "to_tag",
        "user",
        "wants_report",
        "weight",
    )

    def __init__(
        self, key: ServerKey, merge: MergeKey | None, request: Request, echo: Fields, flow: Flow, timing: Timing
    ) -> None:
        self.key = key
        self.merge = merge
        self.request = request
        self.echo = echo
        self.flow = flow
        self.came = flow  # by which its sender was heard last
        self.user: Hashable = None
        self.wants_report = False  # of overload, in every response (RFC 7339)
        self.weight = ("", 0)  # whose share of the table it takes, and octets
        self.state = State.PROCEEDING
        self.data: bytes | None = None
        self.to_tag = ""  # of our responses, once one has gone out
        self._timing = timing
        self._reliable = flow.transport.is_reliable
        self._interval = timing.t1
        self._timers: TimerTable[Input] = TimerTable()

    def saved(self) -> SavedServer:
        return SavedServer(
            self.key, self.state, self.request.uri_text, self.echo, self.flow, self.merge, self.data, self.to_tag,
            self._timers.at(Input.TIMER_L) if self.state is State.ACCEPTED else self._timers.at(Input.TIMER_H),
            *self.weight,
        )  # fmt: skip

    def revive(self, saved: SavedServer, now: float) -> None:
        """To be as it was. Repetitions of a failure begin anew: nobody knows which was the last."""
        self.state = State(saved.state)
        self.data, self.to_tag = saved.data, saved.to_tag
        self._enter(now)
        if saved.until is not None and self.state is not State.PROCEEDING:
            self._timers.set(Input.TIMER_L if self.state is State.ACCEPTED else Input.TIMER_H, saved.until)

    @property
    def is_terminated(self) -> bool:
        return self.state is State.TERMINATED

    @property
    def is_pending(self) -> bool:
        """No final response yet: a CANCEL would have an effect (§9.2)."""
        return self.state is State.PROCEEDING

    def start(self, _now: float) -> list[Out]:
        return [RequestReceived(self.key, self.request, self.flow)]

    def receive(self, request: Request, now: float) -> list[Out]:
        return self._step(Input.RECV_ACK if request.method == "ACK" else Input.RECV_INVITE, request, now)

    def send(self, status: int, data: bytes, now: float) -> list[Out]:
        kind = Input.SEND_1XX if status < 200 else Input.SEND_2XX if status < 300 else Input.SEND_300_699
        return self._step(kind, data, now)

    def fail(self, reason: str, now: float) -> list[Out]:
        return self._step(Input.TRANSPORT_FAILED, reason, now)

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        for timer in self._timers.pop_due_but(Input.TIMER_G, Input.TIMER_H, now):
            outs += self._step(timer, None, now)
        return outs

    def next_deadline(self) -> float | None:
        return self._timers.next()

    def _step(self, input_: Input, event: Request | bytes | str | None, now: float) -> list[Out]:
        action, target = TABLE[self.state, input_]
        if target is not self.state:
            self.state = target
            self._enter(now)
        return action(self, event, now) if action is not None else []

    def _enter(self, now: float) -> None:
        self._timers.clear()
        timing = self._timing
        match self.state:
            case State.COMPLETED:
                if not self._reliable:
                    self._timers.set(Input.TIMER_G, now + timing.t1)
                self._timers.set(Input.TIMER_H, now + timing.give_up)
            case State.CONFIRMED:
                self._timers.set(Input.TIMER_I, now + timing.linger(reliable=self._reliable))
            case State.ACCEPTED:
                self._timers.set(Input.TIMER_L, now + timing.give_up)
            case _:
                pass

    def _transmit(self, data: bytes, _now: float) -> list[Out]:
        self.data = data
        return [SendMessage(self.flow, data, self.user)]

    def _repeat(self, _: Request, _now: float) -> list[Out]:
        return [] if self.data is None else [SendMessage(self.flow, self.data, self.user)]

    def _resend(self, _: None, now: float) -> list[Out]:
        self._interval = min(2 * self._interval, self._timing.t2)
        self._timers.set(Input.TIMER_G, now + self._interval)
        return [] if self.data is None else [SendMessage(self.flow, self.data, self.user)]

    def _pass_ack(self, request: Request, _now: float) -> list[Out]:
        return [AckReceived(request, self.flow)]


_P, _F, _K, _A, _T = State.PROCEEDING, State.COMPLETED, State.CONFIRMED, State.ACCEPTED, State.TERMINATED
_TIMERS = (Input.TIMER_G, Input.TIMER_H, Input.TIMER_I, Input.TIMER_L)
_SENDS = (Input.SEND_1XX, Input.SEND_2XX, Input.SEND_300_699)

TABLE: Final[Table[State, Input]] = {
    (_P, Input.RECV_INVITE): (InviteServer._repeat, _P),
    (_P, Input.SEND_1XX): (InviteServer._transmit, _P),
    (_P, Input.SEND_2XX): (InviteServer._transmit, _A),
    (_P, Input.SEND_300_699): (InviteServer._transmit, _F),
    **drops(_P, Input.RECV_ACK, Input.TRANSPORT_FAILED, *_TIMERS),
    (_F, Input.RECV_INVITE): (InviteServer._repeat, _F),
    (_F, Input.RECV_ACK): (None, _K),
    (_F, Input.TIMER_G): (InviteServer._resend, _F),
    (_F, Input.TIMER_H): (None, _T),
    (_F, Input.TRANSPORT_FAILED): (None, _T),
    **drops(_F, Input.TIMER_I, Input.TIMER_L, *_SENDS),
    (_K, Input.TIMER_I): (None, _T),
    **drops(_K, Input.RECV_INVITE, Input.RECV_ACK, Input.TRANSPORT_FAILED, *_SENDS),
    **drops(_K, Input.TIMER_G, Input.TIMER_H, Input.TIMER_L),
    # RFC 6026 §7.1: a retransmitted INVITE is absorbed, a 2xx from the user goes out, every ACK goes up.
    (_A, Input.SEND_2XX): (InviteServer._transmit, _A),
    (_A, Input.RECV_ACK): (InviteServer._pass_ack, _A),
    (_A, Input.TIMER_L): (None, _T),
    **drops(_A, Input.RECV_INVITE, Input.SEND_1XX, Input.SEND_300_699, Input.TRANSPORT_FAILED),
    **drops(_A, Input.TIMER_G, Input.TIMER_H, Input.TIMER_I),
    **drops(_T, *Input),
}
