"""One call of the crowd: what is to become of it, and what each of its two ends has seen."""

import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from .crowd_exchange import Side
from .crowd_line import Line
from .phones import body_of

if TYPE_CHECKING:
    from .crowd import Crowd

DID = "+14155550100"
OTHER: dict[Side, Side] = {"pbx": "carrier", "carrier": "pbx"}
_CALLED, _CALLER = 14152000000, 12122000000  # and the number of the call


@dataclass(frozen=True)
class Plan:
    """What is to become of a call. `answers` 0: it rings until the caller has had enough; `talks` None: for long."""

    caller: Side
    rings: float = 0.05
    answers: int = 200
    gives_up: float = 0.0
    talks: float | None = None
    ends: Side = "pbx"
    every: float = 0.0  # seconds from packet to packet, each way; 0: no sound


class Call:
    """`status`: the final response that the caller got; `rang`: how many INVITEs came for it on the other side."""

    def __init__(self, n: int, plan: Plan, crowd: "Crowd") -> None:
        self.n, self.plan, self._crowd = n, plan, crowd
        self.lines: dict[Side, Line] = {}
        self.status = 0
        self.rang = 0
        self.placed_at = time.time()
        self.final_at = 0.0
        self.extra: list[Line] = []  # of further INVITEs for the same call

    @property
    def is_unheard(self) -> bool:
        """Nothing has ever come back: its INVITE may have met a connection that was ending, and nobody."""
        return self.status == 408 and not any("<- SIP/2.0" in what for _, what in self.caller.heard)

    @property
    def is_shed(self) -> bool:
        """Refused before it was read: by an overloaded SBC, which writes no record of it."""
        heard = [what for _, what in self.caller.heard if what.startswith("<- ")]
        return self.status == 503 and not self.rang and all("SIP/2.0 503" in what for what in heard)

    @property
    def number(self) -> str:
        """Whose digits are this call's: the called number of an outbound call, the caller's of an inbound one."""
        return f"+{(_CALLED if self.plan.caller == 'pbx' else _CALLER) + self.n}"

    @property
    def caller(self) -> Line:
        return self.lines[self.plan.caller]

    @property
    def callee(self) -> Line | None:
        return self.lines.get(OTHER[self.plan.caller])

    @property
    def is_talking(self) -> bool:
        return len(self.lines) == 2 and all(line.state == "talking" for line in self.lines.values())

    @property
    def is_over(self) -> bool:
        return self.final_at > 0 and all(line.state == "ended" and line.over_at for line in self._all())

    def _all(self) -> list[Line]:
        return [*self.lines.values(), *self.extra]

    # --- as it goes ---------------------------------------------------------------------------------------------------

    def is_placed(self) -> None:
        exchange = self._crowd.exchanges[self.plan.caller]
        called = self.number if self.plan.caller == "pbx" else DID
        caller = DID if self.plan.caller == "pbx" else self.number
        line = self.lines[self.plan.caller] = Line(
            exchange, self, f"crowd-{self.n}@{exchange.host}", f"<sip:{caller}@{exchange.host}>;tag=a{self.n}",
            f"<sip:{called}@{exchange.to}>", "",
        )  # fmt: skip
        if self.plan.every:
            line.ear = exchange.ear(self._crowd.sound, self.plan.every)
        exchange.calls(line, called, self._has_final, self._has_provisional)
        if self.plan.gives_up:
            exchange.after(self.plan.gives_up, self._gives_up)

    def _has_provisional(self, status: int) -> None:
        self.caller.state = "ringing" if self.caller.state == "calling" else self.caller.state

    def _gives_up(self) -> None:
        """A CANCEL may not go before the first provisional response (RFC 3261 §9.1)."""
        if self.caller.state == "ringing" and not self.status:
            self.caller.exchange.cancels(self.caller)
        elif self.caller.state == "calling" and not self.status:
            self.caller.exchange.after(0.5, self._gives_up)

    def _has_final(self, status: int, text: str) -> None:
        self.status, self.final_at = status, time.time()
        line = self.caller
        if status != 200:
            line.state, line.over_at = "ended", self.final_at
            return
        line.described(text)
        line.state, line.answered_at = "talking", self.final_at
        callee = self.callee
        if line.ear and callee and callee.ear:
            self._crowd.sound.joins(line.ear, callee.ear)
        if self.plan.talks is not None:
            line.exchange.after(self.plan.talks, self._ends)
        elif self.plan.gives_up:
            line.hangs_up()

    def _ends(self) -> None:
        line = self.lines.get(self.plan.ends, self.caller)
        if self.caller.state == "talking":
            line.hangs_up()

    def is_offered_to(self, line: Line) -> None:
        self.rang += 1
        if self.rang > 1:
            self.extra.append(line)
            line.complains("rang a second time")
        else:
            self.lines[line.exchange.side] = line
        if self.plan.every:
            line.ear = line.exchange.ear(self._crowd.sound, self.plan.every)
        line.described(line.invite)
        line.exchange.replies(line.invite, 180, line.us)
        if self.plan.answers:
            line.exchange.after(self.plan.rings, partial(self._answers, line))

    def _answers(self, line: Line) -> None:
        if line.state != "ringing":
            return
        if self.plan.answers == 200:
            line.state, line.answered_at = "talking", time.time()
            line.exchange.replies(line.invite, 200, line.us, line.sdp() if body_of(line.invite) else "")
        else:
            line.state, line.over_at = "ended", time.time()
            line.exchange.replies(line.invite, self.plan.answers, line.us)

    def was_hung_up(self, line: Line) -> None:
        """The other end has nothing to do: the SBC tells it."""

    # --- what became of it --------------------------------------------------------------------------------------------

    def wrong(self) -> list[str]:
        return [f"{self.number}: {line.exchange.side}: {what}" for line in self._all() for what in line.complaints]

    def story(self) -> str:
        lines = "\n".join(line.story() for line in self._all())
        return f"call {self.number}, {self.plan}, {self.status}\n{lines}"
