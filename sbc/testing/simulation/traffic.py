"""The calls of a simulation: when they come, and what their plans are. All of it by the one generator of the run."""

import random
from typing import TYPE_CHECKING, Final

from sbc.testing.party import Party, Stage
from sbc.testing.simulation.attempts import Attempt, Fate, Kind, Plan, Side
from sbc.testing.simulation.scene import BRANCH_DIDS, OFFICE_DIDS

if TYPE_CHECKING:
    from sbc.testing.simulation.simulation import Simulation

_TALKS: Final = 120.0  # seconds, on average
_LONG: Final = 0.03  # of all calls are long
_LONG_TALKS: Final = (1800.0, 5400.0)
_MOVES: Final = ("hold", "hold", "delayed", "update", "options", "info", "transfer")
_FATES: Final[tuple[Fate, ...]] = ("answer",) * 7 + ("busy", "unavailable", "rings")
_EMERGENCIES: Final = 0.04  # of all calls


class Traffic:
    def __init__(self, sim: "Simulation", dice: random.Random, calls_per_hour: float) -> None:
        self._sim = sim
        self._dice = dice
        self._pause = 3600.0 / calls_per_hour
        self._until = 0.0

    # --- calls --------------------------------------------------------------------------------------------------------

    def begins(self, until: float) -> None:
        """Calls come until then."""
        self._until = until
        self._sim.later(self._dice.expovariate(1 / self._pause), self._next)
        self._sim.later(self._dice.uniform(30.0, 300.0), self._ask)

    def _next(self) -> None:
        if self._sim.now >= self._until:
            return
        self._call()
        burst = self._dice.random() < 0.05  # now and then the paths are filled
        for n in range(10 if burst else 0):
            self._sim.later(0.2 * n, self._call)
        self._sim.later(self._dice.expovariate(1 / self._pause), self._next)

    def _call(self) -> None:
        dice, n = self._dice, self._sim.book.numbered()
        pbx = dice.choice(("office", "office", "branch"))
        did = f"+{dice.choice(OFFICE_DIDS if pbx == 'office' else BRANCH_DIDS)}"
        kind: Kind = "emergency" if dice.random() < _EMERGENCIES else dice.choice(("outbound", "inbound"))
        if kind == "emergency":
            station, called, caller = pbx, "911", did
            number = f"911/{did}"
            if self._sim.book.find(number) is not None:
                return
        elif kind == "outbound":
            station, caller, called = pbx, did, f"+4420{70_000_000 + n}"
            number = called
        else:
            station = dice.choice(("carrier", "second", "backup"))
            caller, called = f"+4478{70_000_000 + n}", did
            number = caller
        attempt = Attempt(n, kind, number, self._plan(kind), station, self._sim.now)
        self._sim.begins(attempt)
        has_sdp = dice.random() > 0.08
        at = self._sim.stations[station]
        at.calls(attempt, called, caller, sdp=has_sdp)
        if attempt.plan.cancels_after is not None:
            self._sim.later(attempt.plan.cancels_after, lambda: at.gives_up(attempt))

    def transferred(self, attempt: Attempt) -> Attempt:
        """The call to which a REFER leads."""
        n = self._sim.book.numbered()
        attempt.is_transferred = True
        onward = Attempt(n, "transfer", f"+4420{70_000_000 + n}", self._plan("transfer"), "", self._sim.now)
        self._sim.begins(onward)
        return onward

    def _plan(self, kind: Kind) -> Plan:
        dice = self._dice
        fate: Fate = "answer" if kind == "emergency" else dice.choice(_FATES)
        rings = dice.uniform(0.05, 2.0)
        talks = dice.uniform(*_LONG_TALKS) if dice.random() < _LONG else 2.0 + dice.expovariate(1 / _TALKS)
        cancels = dice.uniform(0.01, 30.0) if dice.random() < 0.1 else dice.uniform(60.0, 200.0)
        side: Side = dice.choice(("caller", "callee"))
        moves: list[tuple[float, Side, str]] = []
        for _ in range(dice.choice((0, 0, 0, 1, 2, 4))):
            mover: Side = dice.choice(("caller", "callee"))
            at, move = dice.uniform(0.0, talks), dice.choice(_MOVES)
            moves.append((at, mover, move))
            if move == "hold":
                moves.append((at + dice.uniform(0.5, 60.0), mover, "resume"))
        return Plan(
            fate, rings, rings + dice.choice((0.0, dice.uniform(0.5, 15.0))), dice.random() < 0.2,
            None if kind == "emergency" else cancels, talks, side, tuple(moves),
        )  # fmt: skip

    # --- what follows from an answer ----------------------------------------------------------------------------------

    def answered(self, attempt: Attempt) -> None:
        for at, side, move in attempt.plan.moves:
            self._sim.later(at, lambda side=side, move=move: self.moves(attempt, side, move))  # type: ignore[misc]
        self._sim.later(attempt.plan.talks, lambda: self.ends(attempt, attempt.plan.hangs_up))

    def moves(self, attempt: Attempt, side: str, move: str) -> None:
        who = self._who(attempt, side)
        if who is None:
            return
        station, party = who
        if move == "transfer" and station not in ("office", "branch"):
            return
        self._sim.stations[station].moves(attempt, party, move)

    def ends(self, attempt: Attempt, side: str) -> None:
        who = self._who(attempt, side)
        if who is not None:
            self._sim.stations[who[0]].hangs_up(attempt, who[1], side)

    def ends_all(self) -> None:
        """Every party that is up says BYE, also those whose call is not theirs any more, as after a transfer."""
        for station in self._sim.stations.values():
            for party in list(station.phone.agent.parties):
                if party.stage is Stage.TALKING:
                    station.does(station.phone.agent.hang_up(party, self._sim.now))

    def _who(self, attempt: Attempt, side: str) -> tuple[str, Party] | None:
        if side == "caller":
            return None if attempt.party is None else (attempt.caller, attempt.party)
        return next((one for one in attempt.arrivals if one[1] is attempt.callee), None)

    # --- beside calls -------------------------------------------------------------------------------------------------

    def _ask(self) -> None:
        if self._sim.now >= self._until:
            return
        station = self._sim.stations[self._dice.choice(list(self._sim.stations))]
        through = station.phone.through
        if through is not None and station.is_up:
            station.does(station.phone.agent.ask("OPTIONS", f"sip:{through}", through, self._sim.now))
        self._sim.later(self._dice.uniform(30.0, 300.0), self._ask)
