"""Non-INVITE server transaction (RFC 3261 §17.2.2; RFC 4320: no 408 and no early provisional, which its user sees to).

The whole machine is in this file; `TABLE`, at the bottom, is the machine.
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
from sbc.sip.transaction.outputs import Out, RequestReceived
from sbc.sip.transaction.saved import SavedServer
from sbc.sip.transaction.table import Table, drops


class State(enum.StrEnum):
    TRYING = "trying"
    PROCEEDING = "proceeding"
    COMPLETED = "completed"
    TERMINATED = "terminated"


class Input(enum.StrEnum):
    RECV_REQUEST = "request"
    SEND_1XX = "send 1xx"
    SEND_FINAL = "send 200-699"
    TIMER_J = "timer J"
    UNANSWERED = "64*T1 without final"
    TRANSPORT_FAILED = "transport failed"


class Server:
    """One request of a peer that is neither INVITE nor ACK."""

    __slots__ = (
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
        self.state = State.TRYING
        self.data: bytes | None = None
        self.to_tag = ""  # of our responses, once one has gone out
        self._timing = timing
        self._reliable = flow.transport.is_reliable
        self._timers: TimerTable[Input] = TimerTable()

    def saved(self) -> SavedServer:
        return SavedServer(
            self.key, self.state, self.request.uri_text, self.echo, self.flow, self.merge, self.data, self.to_tag,
            self._timers.at(Input.TIMER_J if self.state is State.COMPLETED else Input.UNANSWERED), *self.weight,
        )  # fmt: skip

    def revive(self, saved: SavedServer, now: float) -> None:
        """To be as it was."""
        self.state = State(saved.state)
        self.data, self.to_tag = saved.data, saved.to_tag
        until = now if saved.until is None else saved.until
        self._timers.set(Input.TIMER_J if self.state is State.COMPLETED else Input.UNANSWERED, until)

    @property
    def is_terminated(self) -> bool:
        return self.state is State.TERMINATED

    @property
    def is_pending(self) -> bool:
        return self.state in (State.TRYING, State.PROCEEDING)

    def start(self, now: float) -> list[Out]:
        # By then the client has given up, and a response would be of no use (timer F; RFC 4320 §4.2 forbids a 408).
        self._timers.set(Input.UNANSWERED, now + self._timing.give_up)
        return [RequestReceived(self.key, self.request, self.flow)]

    def receive(self, request: Request, now: float) -> list[Out]:
        return self._step(Input.RECV_REQUEST, request, now)

    def send(self, status: int, data: bytes, now: float) -> list[Out]:
        return self._step(Input.SEND_1XX if status < 200 else Input.SEND_FINAL, data, now)

    def fail(self, reason: str, now: float) -> list[Out]:
        return self._step(Input.TRANSPORT_FAILED, reason, now)

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        for timer in self._timers.pop_due(now):
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
        if self.state is State.PROCEEDING:
            return
        self._timers.clear()
        if self.state is State.COMPLETED:
            # Timer J: 64*T1, zero for reliable transports, §17.2.2
            self._timers.set(Input.TIMER_J, now + (0.0 if self._reliable else self._timing.give_up))

    def _transmit(self, data: bytes, _now: float) -> list[Out]:
        self.data = data
        return [SendMessage(self.flow, data, self.user)]

    def _repeat(self, _: Request, _now: float) -> list[Out]:
        return [] if self.data is None else [SendMessage(self.flow, self.data, self.user)]


_Y, _P, _F, _T = State.TRYING, State.PROCEEDING, State.COMPLETED, State.TERMINATED

TABLE: Final[Table[State, Input]] = {
    (_Y, Input.SEND_1XX): (Server._transmit, _P),
    (_Y, Input.SEND_FINAL): (Server._transmit, _F),
    (_Y, Input.UNANSWERED): (None, _T),
    **drops(_Y, Input.RECV_REQUEST, Input.TIMER_J, Input.TRANSPORT_FAILED),
    (_P, Input.RECV_REQUEST): (Server._repeat, _P),
    (_P, Input.SEND_1XX): (Server._transmit, _P),
    (_P, Input.SEND_FINAL): (Server._transmit, _F),
    (_P, Input.UNANSWERED): (None, _T),
    (_P, Input.TRANSPORT_FAILED): (None, _T),
    **drops(_P, Input.TIMER_J),
    (_F, Input.RECV_REQUEST): (Server._repeat, _F),
    (_F, Input.TIMER_J): (None, _T),
    (_F, Input.TRANSPORT_FAILED): (None, _T),
    **drops(_F, Input.SEND_1XX, Input.SEND_FINAL, Input.UNANSWERED),
    **drops(_T, *Input),
}
