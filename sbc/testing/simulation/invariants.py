"""What must hold whatever happens: looked at every minute, around each death, and at the end of each shift.

`Watch` raises `Violation`; its rules are named in docs/howto/simulation.md. What it knows of calls it has from the
phones (`attempts.Book`), not from the SBC.
"""

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from sbc.cdr.record import CallRecord
from sbc.testing.party import Party, Stage
from sbc.testing.shares import miscounted
from sbc.testing.simulation.attempts import Attempt
from sbc.testing.simulation.violation import Violation
from sbc.testing.simulation.wire import Wire

if TYPE_CHECKING:
    from sbc.testing.simulation.simulation import Simulation

_SETUP_SECONDS: Final = 300.0  # no phone of ours calls, or rings, for so long
_BYE_SECONDS: Final = 50.0  # Timer F, and what a death takes besides
_SESSION_SECONDS: Final = 400.0  # the session timer of 300 s, and the BYE
_EXACT_SECONDS: Final = 3.0
_LATE_SECONDS: Final = 45.0  # a BYE that met a death is said again, for 32 s at most
_TRUNKS: Final = {"carrier": ("carrier", "second"), "backup": ("backup",)}
_PEERS_FAULT: Final = ("peer.", "server.", "registration.", "interface.", "paths.", "cdr.")


class Watch:
    def __init__(self, sim: "Simulation") -> None:
        self._sim = sim
        sides = {station.phone.name: station.side for station in sim.stations.values()}
        words = [(station.phone.address.host, station.side) for station in sim.stations.values()]
        ours = [
            (one.address.host, face.name) for face in sim.world.policy.interfaces.values() for one in face.listeners
        ]
        self.wire = Wire(sim.world.host.name, sides, [*sides.items(), *words, *ours])
        self._logs = 0
        self._allowed: dict[str, int] = {}
        self._heard_each_other: list[Attempt] = []

    # --- every minute -------------------------------------------------------------------------------------------------

    def inspect(self) -> None:
        world, now = self._sim.world, self._sim.now
        self.wire.read(world.net.log)
        self._errors()
        for attempt in self._sim.book.under_way(now):
            self._is_not_stuck(attempt, now)
            self._is_not_one_sided(attempt, now)
        if not world.lives.is_dead:
            self._caps()
            wrong = miscounted(world.switch)
            if wrong:
                raise Violation("leak", f"shares are miscounted: {wrong}")

    def _errors(self) -> None:
        logs = self._sim.world.logs
        for log in logs[self._logs :]:
            if log.level == "error" and not log.event.startswith(_PEERS_FAULT):
                raise Violation("errors", f"{log.event} {dict(log.fields)}")
        self._logs = len(logs)

    def _is_not_stuck(self, attempt: Attempt, now: float) -> None:
        parties = [("caller", attempt.party), *attempt.arrivals]
        for side, party in parties:
            is_waiting = party is not None and party.stage in (Stage.NEW, Stage.CALLING, Stage.RINGING)
            if party and is_waiting and now - attempt.begun_at > _SETUP_SECONDS:
                raise Violation("set-up", f"the {side} is {party.stage} for ever", attempt.call_id)

    def _is_not_one_sided(self, attempt: Attempt, now: float) -> None:
        """One side has ended, and the other still talks, longer than its timers allow."""
        caller, callee = attempt.party, attempt.callee
        if caller is None or callee is None or attempt.is_transferred:
            return
        up = [party for party in (caller, callee) if party.stage is Stage.TALKING]
        if len(up) != 1 or not attempt.ends:
            return
        since = now - max(attempt.ends.values())
        if since > _BYE_SECONDS and not attempt.excuses:
            raise Violation("one-sided", f"one side has ended {since:.0f} s ago, the other talks", attempt.call_id)
        if since > _SESSION_SECONDS and attempt.had_timer:
            raise Violation("one-sided", f"the session timer has not ended what is left since {since:.0f} s",
                            attempt.call_id)  # fmt: skip

    def _caps(self) -> None:
        """What the SBC holds, and what talks at the trunk's machines, is no more than the call paths, but emergencies.

        A reload may leave less than are in use: these go on.
        """
        for path in self._sim.world.switch.snapshot(self._sim.now).paths:
            if path.kind != "trunk" or path.limit is None:
                continue
            used = path.used - sum(holder.emergency for holder in path.holders)
            allowed = max(path.limit, min(self._allowed.get(path.trunk, 0), used))
            talking = self._talking_at(path.trunk)
            if used > allowed or talking > max(allowed, used):
                raise Violation("caps", f"{path.trunk}: {used} paths held, {talking} calls talk, {path.limit} bought")
            self._allowed[path.trunk] = allowed

    def _talking_at(self, trunk: str) -> int:
        """Calls of this trunk that are up since a while, of which nobody knows a reason why they should have ended."""
        found = 0
        for attempt in self._sim.book.under_way(self._sim.now):
            if attempt.kind == "emergency" or attempt.excuses or attempt.is_transferred or attempt.kind == "transfer":
                continue
            station = attempt.caller if attempt.kind == "inbound" else next(
                (name for name, party in attempt.arrivals if party.answered_at is not None), "")  # fmt: skip
            found += station in _TRUNKS[trunk] and attempt.is_established(self._sim.now)
        return found

    # --- around a death -----------------------------------------------------------------------------------------------

    def died(self) -> None:
        """Who hears whom now must hear whom after it."""
        now = self._sim.now
        self._heard_each_other = [
            attempt for attempt in self._sim.book.under_way(now)
            if attempt.is_established(now) and not attempt.is_transferred and self._hears(attempt)
        ]  # fmt: skip

    def outlived(self, *, with_media: bool) -> None:
        """It lives again since a second."""
        for attempt in self._heard_each_other:
            if attempt.hung_up or attempt.excuses or attempt.ends or attempt.changed_at > self._sim.died_at - 40.0:
                continue
            if with_media and not self._hears(attempt):
                raise Violation("media", "was relayed before a death of signalling, and is not after it",
                                attempt.call_id)  # fmt: skip
        self._heard_each_other = []

    def _hears(self, attempt: Attempt) -> bool:
        caller, callee = attempt.party, attempt.callee
        answered = next((name for name, party in attempt.arrivals if party is callee), None)
        if caller is None or callee is None or answered is None:
            return False
        stations = self._sim.stations
        one, other = stations[attempt.caller].phone, stations[answered].phone
        return self._sim.world.hears(one, other, hearing=caller, speaking=callee) and self._sim.world.hears(
            other, one, hearing=callee, speaking=caller
        )

    # --- the end of a shift -------------------------------------------------------------------------------------------

    def judge(self) -> None:
        """All is over and quiet: every record is there, once, and right; nothing is left."""
        self.inspect()
        by_call: dict[str, list[CallRecord]] = defaultdict(list)
        by_number: dict[str, list[CallRecord]] = defaultdict(list)
        onward = {attempt.number for attempt in self._sim.book.all if attempt.kind == "transfer"}
        for record in self._sim.world.cdr:
            if record.called in onward:  # of the transferor's dialog
                by_number[record.called].append(record)
            else:
                by_call[record.ingress_call_id].append(record)
        refs = [record.ref for record in self._sim.world.cdr]
        twice = sorted({ref for ref in refs if refs.count(ref) > 1})
        if twice:
            raise Violation("records", f"{twice[0]} has {refs.count(twice[0])} records")
        for attempt in self._sim.book.all:
            if attempt.kind == "transfer":
                self._judge_transfer(attempt, by_number[attempt.number])
            else:
                self._judge(attempt, by_call[attempt.call_id] if attempt.party else [])
        self._nothing_is_left()

    def _judge_transfer(self, attempt: Attempt, records: list[CallRecord]) -> None:
        self._rang_once(attempt)
        if len(records) > 1 or (attempt.arrivals and not records and "power" not in attempt.excuses):
            raise Violation("records", f"the call to {attempt.number} has {len(records)} records")

    def _judge(self, attempt: Attempt, records: list[CallRecord]) -> None:
        party = attempt.party
        if party is None:
            return
        self._rang_once(attempt)
        # Who was asked for credentials and came no more, because something was in the way, has made no call.
        asked = "401" if attempt.excuses else ""
        was_heard = bool(attempt.arrivals) or any(heard[:1].isdigit() and heard != asked for heard in party.heard)
        if len(records) > 1 or (was_heard and not records and "power" not in attempt.excuses):
            raise Violation("records", f"it has {len(records)} records", attempt.call_id)
        is_ordered = bool(records) and records[0].ref in self._sim.ordered
        if not attempt.excuses and not is_ordered:
            self._is_as_planned(attempt, party, records[0] if records else None)

    def _rang_once(self, attempt: Attempt) -> None:
        # Whose answer has crossed a CANCEL gets BYE (RFC 3261 §15).
        rung = [name for name, one in attempt.arrivals if one.answered_at is not None and "BYE" not in one.heard]
        stations = [name for name, _ in attempt.arrivals]
        doubled = [name for name in stations if stations.count(name) > 1]
        if doubled and not set(attempt.excuses) & {"death", "reset", "weather"}:
            raise Violation("rung twice", f"{doubled[0]} was called {stations.count(doubled[0])} times",
                            attempt.call_id)  # fmt: skip
        if len(rung) > 1 and not attempt.excuses:
            raise Violation("rung twice", f"answered by {rung}", attempt.call_id)

    def _is_as_planned(self, attempt: Attempt, party: Party, record: CallRecord | None) -> None:
        if attempt.kind == "emergency" and attempt.answered_at is None:
            raise Violation("emergency", f"it was refused: {party.heard}", attempt.call_id)
        if record is None or attempt.answered_at is None:
            return
        survived = f" after {attempt.touched}" if attempt.touched else ""
        unknown = [heard for one in (party, attempt.callee) if one for heard in one.heard if _is_unknown(heard)]
        if unknown and not attempt.is_transferred:
            raise Violation("lost", f"a request within it got {unknown}{survived}", attempt.call_id)
        if attempt.is_transferred:
            return
        if record.cause != "normal" or record.ended_by not in ("caller", "callee"):
            raise Violation("lost", f"it ended by {record.ended_by}: {record.cause}{survived}", attempt.call_id)
        if attempt.hung_up and record.ended_by != attempt.hung_up:
            raise Violation("records", f"{attempt.hung_up} hung up, and the record says {record.ended_by}{survived}",
                            attempt.call_id)  # fmt: skip
        talked = min(attempt.ends.values()) - attempt.answered_at
        off = abs(record.billable_ms / 1000 - talked)
        if off > (_LATE_SECONDS if attempt.touched else _EXACT_SECONDS):
            raise Violation("records", f"{record.billable_ms} ms billed, {talked:.3f} s talked{survived}",
                            attempt.call_id)  # fmt: skip

    def _nothing_is_left(self) -> None:
        world = self._sim.world
        found = world.leaks()
        if found:
            raise Violation("topology", found[0])
        try:
            world.idle(after=0.0, but=["leaks", "complaints", "errors"])
        except AssertionError as error:
            raise Violation("leak", str(error)) from error
        for name, station in self._sim.stations.items():
            if not self._sim.is_rough and station.phone.agent.complaints:
                raise Violation("complaints", f"{name}: {station.phone.agent.complaints[0]}")
            station.phone.agent.complaints.clear()

    def turn_page(self) -> None:
        self.wire.turn_page()
        self._logs = 0


def _is_unknown(heard: str) -> bool:
    """An answer within a dialog that says that there is none."""
    return heard.startswith("481") and not heard.endswith("BYE")
