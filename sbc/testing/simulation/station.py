"""A phone of a simulation: takes the calls that come as their plans say, makes moves in them, tells the book.

It moves its agent directly, so that nothing waits for the network; what is not possible now is not done.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sbc.sdp import Direction
from sbc.sip.commands import SendMessage
from sbc.sip.message import Request
from sbc.testing.party import Party, Stage
from sbc.testing.phone import Phone
from sbc.testing.referring import refer_to
from sbc.testing.simulation.attempts import Attempt

if TYPE_CHECKING:
    from sbc.testing.simulation.simulation import Simulation

_DIDS = "+141555501"


class Station:
    def __init__(self, sim: "Simulation", name: str, phone: Phone) -> None:
        self.name = name
        self.phone = phone
        self.is_up = True
        self._sim = sim
        self._attempts: dict[int, Attempt] = {}  # by number of the party
        bench = phone.agent.bench
        bench.taker = self._take
        bench.watchers.append(self._hear)
        bench.mourners.append(self._mourn)

    @property
    def side(self) -> str:
        return "inside" if self.name in ("office", "branch") else "outside"

    def does(self, commands: Sequence[SendMessage]) -> None:
        if self.is_up:
            self._sim.world.net.perform(self.phone.agent, commands)

    # --- calling ------------------------------------------------------------------------------------------------------

    def calls(self, attempt: Attempt, called: str, caller: str, *, sdp: bool) -> None:
        agent, target = self.phone.agent, self.phone.through
        if target is None or not self.is_up:
            return
        party = agent.calling.invite(called, target, self._sim.now, sdp=sdp, caller=caller)
        attempt.party = party
        self._attempts[party.n] = attempt
        self.does(agent.drain())

    def gives_up(self, attempt: Attempt) -> None:
        party = attempt.party
        if party is not None and party.stage in (Stage.CALLING, Stage.RINGING) and not party.cancelled:
            self.does(self.phone.agent.cancel(party, self._sim.now))

    def hangs_up(self, attempt: Attempt, party: Party, side: str) -> None:
        if party.stage is Stage.TALKING and self.is_up:
            attempt.hung_up = attempt.hung_up or side
            self.does(self.phone.agent.hang_up(party, self._sim.now))

    # --- being called -------------------------------------------------------------------------------------------------

    def _take(self, party: Party, _now: float) -> None:
        attempt = self._sim.book.find(number_of(party.invite))
        if attempt is None:
            self._sim.later(0.1, lambda: self._refuses(party, 404))
            return
        attempt.arrivals.append((self.name, party))
        self._attempts[party.n] = attempt
        plan, after = attempt.plan, self._sim.later
        if plan.fate == "unavailable":
            after(plan.rings_after, lambda: self._refuses(party, 503))
            return
        after(plan.rings_after, lambda: self._rings(party, early=plan.has_early_media))
        if plan.fate == "busy":
            after(plan.answers_after, lambda: self._refuses(party, 486))
        elif plan.fate == "answer":
            after(plan.answers_after, lambda: self._answers(party))
        else:
            after(120.0, lambda: self._refuses(party, 480))

    def _waits(self, party: Party) -> bool:
        return self.is_up and party.invite_key is not None and party.stage in (Stage.NEW, Stage.RINGING)

    def _rings(self, party: Party, *, early: bool) -> None:
        if self._waits(party) and party.unacked is None:
            invite, agent = party.invite, self.phone.agent
            known = invite is not None and "100rel" in (*invite.supported, *invite.require)
            reliable = known and "100rel" in self.phone.script.supports
            self.does(agent.ring(party, self._sim.now, 183 if early else 180, sdp=early, reliable=reliable))

    def _answers(self, party: Party) -> None:
        if not self._waits(party):
            return
        if party.unacked is not None:
            self._sim.later(0.5, lambda: self._answers(party))  # RFC 3262 §3: after its PRACK
            return
        self.does(self.phone.agent.accept(party, self._sim.now))

    def _refuses(self, party: Party, status: int) -> None:
        if self._waits(party):
            self.does(self.phone.agent.refuse(party, status, self._sim.now))

    # --- within calls -------------------------------------------------------------------------------------------------

    def moves(self, attempt: Attempt, party: Party, move: str) -> None:
        """hold, resume, delayed, update, options, info, transfer"""
        if party.stage is not Stage.TALKING or not self.is_up or attempt.hung_up:
            return
        agent, now = self.phone.agent, self._sim.now
        attempt.changed_at = now
        if move in ("hold", "resume", "delayed"):
            if party.may_invite:
                direction = {"hold": Direction.SENDONLY, "resume": Direction.SENDRECV}.get(move)
                self.does(agent.reinvite(party, now, direction, sdp=move != "delayed"))
        elif move == "update":
            if party.may_invite and "UPDATE" in party.allowed:
                self.does(agent.update(party, now, Direction.SENDRECV))
        elif move == "info":
            type_ = ("Content-Type", "application/dtmf-relay")
            self.does(agent.request(party, "INFO", now, fields=(type_,), body=b"Signal=5\r\nDuration=160\r\n"))
        elif move == "options":
            self.does(agent.request(party, "OPTIONS", now))
        elif move == "transfer" and party.may_invite and not party.referrals:
            self._transfers(attempt, party)

    def _transfers(self, attempt: Attempt, party: Party) -> None:
        onward = self._sim.traffic.transferred(attempt)
        agent = self.phone.agent
        agent.referring.refer(party, refer_to(onward.number, str(self.phone.through)), self._sim.now)
        self.does(agent.drain())

    # --- what it tells ------------------------------------------------------------------------------------------------

    def _hear(self, party: Party, status: int, now: float) -> None:
        attempt = self._attempts.get(party.n)
        if attempt is not None and attempt.party is party and 200 <= status < 300 and attempt.answered_at is None:
            attempt.answered_at = now
            self._sim.traffic.answered(attempt)

    def _mourn(self, party: Party) -> None:
        attempt = self._attempts.pop(party.n, None)
        if attempt is not None and self._sim.world.lives.all_died:
            attempt.excuses.append("power")  # what it said was refused, and it has not waited
        if attempt is not None and (party is attempt.party or attempt.answered_at is not None):
            attempt.had_timer = attempt.had_timer if attempt.ends else party.interval is not None
            attempt.ends["caller" if party is attempt.party else "callee"] = self._sim.now

    def turn_page(self) -> None:
        """All its calls are over, and forgotten."""
        bench = self.phone.agent.bench
        self._attempts.clear()
        for list_ in (bench.parties, bench.heard, bench.requests, self.phone.agent.asked):
            list_.clear()


def number_of(invite: Request | None) -> str:
    """What tells the call of this INVITE from all others: see `attempts.Attempt.number`."""
    if invite is None:
        return ""
    called = invite.uri_text.partition(":")[2].partition("@")[0]
    caller = str(invite.from_.uri).partition(":")[2].partition("@")[0]
    if called == "911":
        return f"911/{caller}"
    return caller if called.startswith(_DIDS) else called
