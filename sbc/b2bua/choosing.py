"""Chooses whom a hunt tries next: opens targets, passes over what is down, full or too fast, turns to a disaster plan.

It takes the call path of the attempt that it chooses, and keeps the verdict that the call ends with when nobody is
left. It dials nothing; `setup` does.
"""

from typing import TYPE_CHECKING, Final

from sbc.b2bua.account import Ending
from sbc.b2bua.admission import admit_redirected
from sbc.b2bua.hunt import Attempt, Lead, drawn
from sbc.b2bua.opening import emergency_order, open_target, why_closed_since
from sbc.core.cause import Cause, q850_of_status
from sbc.core.limits import ATTEMPTS_PER_CALL
from sbc.policy.model import Decision, Facts
from sbc.sip.sips import NOT_ALLOWED, warning

if TYPE_CHECKING:
    from sbc.b2bua.call import Call

_NO_CIRCUIT: Final = 34  # Q.850: no circuit or channel available
_UNREACHABLE: Final = Ending(Cause.UNREACHABLE, 503, Cause.UNREACHABLE.q850, "sbc")
_BUSIED_OUT: Final = Ending(Cause.OPERATOR, 503, Cause.OPERATOR.q850, "sbc")
# What a carrier hears: by a 503 it may take us, and every number that we have, out of service (RFC 3261 §21.5.4).
_ABSENT: Final = Ending(Cause.UNREACHABLE, 480, 20, "sbc")  # Q.850: subscriber absent
# "MUST reject it with a 480 (Temporarily Unavailable)", with Warning 380: who was asked for by a SIPS URI is not called
# in the clear (RFC 5630 §5.3). Q.850: incompatible destination.
_NOT_SECURE: Final = Ending(Cause.UNREACHABLE, 480, 88, "sbc", warning(NOT_ALLOWED, "sbc"))
# "they will need to reject these requests with a "503 (Service Unavailable)" response", RFC 7339 §5.10
_OVERLOADED: Final = Ending(Cause.OVERLOAD, 503, Cause.OVERLOAD.q850, "sbc")
_RATE_LIMITED: Final = Ending(Cause.RATE_LIMITED, 503, Cause.RATE_LIMITED.q850, "sbc")


class Choosing:
    """`_reject` is the status that a disaster plan puts in the verdict's place; `_is_down` says that the last failure
    was one that a disaster plan is for. The plan is read in the policy that the decision is from: a reload may have
    taken away what that names.
    """

    def __init__(self, call: "Call", facts: Facts, decision: Decision) -> None:
        self._call = call
        self._facts = facts
        self._decision = decision
        self._policy = call.context.policy
        self._verdict = _UNREACHABLE
        self._reject = 0
        self._is_down = False
        self._has_met = False  # an attempt has met with something
        self._plan_is_open = decision.has_disaster_plan
        self._passed_over: list[str] = []  # since the last attempt, and why

    def first(self, now: float) -> tuple[Lead, ...]:
        """The hunt as policy has it: weights drawn, and for an emergency opened at once, the healthy first."""
        context, hunt = self._call.context, self._decision.hunt
        if self._decision.emergency:
            return emergency_order(hunt, context.relations, now)
        return drawn(hunt, context.ids.number)

    def is_last(self, leads: tuple[Lead, ...]) -> bool:
        """Nobody may be left to be tried."""
        return not leads and not self._plan_is_open

    def failed(self, ending: Ending, *, is_down: bool) -> None:
        """The attempt that was made last ended so."""
        self._verdict, self._is_down, self._has_met = ending, is_down, True
        self._passed_over.clear()

    def redirected(self) -> None:
        """The attempt that was made last said only who else is to be tried: those are what the verdict is about."""
        self._verdict, self._is_down, self._has_met = _UNREACHABLE, False, False

    @property
    def is_settled(self) -> bool:
        """A disaster plan has said what the caller gets, whatever may still come from those who were tried."""
        return self._reject != 0

    @property
    def verdict(self) -> Ending:
        """How the call ends, now that nobody is left."""
        if self._reject:
            return Ending(Cause.UNREACHABLE, self._reject, q850_of_status(self._reject), "sbc")
        if self._call.ingress.peer.kind == "trunk" and self._verdict in (_UNREACHABLE, _BUSIED_OUT):
            return _ABSENT
        return self._verdict

    def next(self, leads: tuple[Lead, ...], now: float) -> tuple[Attempt, tuple[Lead, ...]] | None:
        """The next attempt with all that it needs taken, and what is left behind it."""
        if len(self._call.legs) > ATTEMPTS_PER_CALL:
            return None
        while True:
            if not leads:
                leads = self._disaster_leads(now)
                if not leads:
                    return None
            lead, leads = leads[0], leads[1:]
            if isinstance(lead, Attempt):
                why = "" if self._decision.emergency else why_closed_since(lead, self._call.context.relations)
                if why:
                    self._pass_over(lead.target.peer.name, why, _UNREACHABLE, now)
                    continue
                # Deviation: an emergency goes on in the clear where it cannot go otherwise, whatever RFC 5630 says.
                if self._call.parties.is_sips and not lead.can_be_secure and not self._decision.emergency:
                    why = "the call was asked for by a SIPS URI, and there is no TLS to it"
                    self._pass_over(lead.target.peer.name, why, _NOT_SECURE, now)
                    continue
                if not why and self._is_too_much(lead, now):
                    continue
                if self._admits(lead, now):
                    self._call.account.disaster |= lead.target.diverted_from != "" and not lead.target.redirected
                    return lead, leads
                while leads and isinstance(leads[0], Attempt) and leads[0].target is lead.target:
                    leads = leads[1:]  # the next address of the same trunk has no more paths and no higher rate
                continue
            relations = self._call.context.relations
            opened = open_target(lead, relations, now)
            if opened.why:
                verdict = _BUSIED_OUT if relations.is_busied_out(lead.peer.name) else _UNREACHABLE
                self._pass_over(lead.peer.name, opened.why, verdict, now)
            leads = (*opened.attempts, *leads)

    def _is_too_much(self, attempt: Attempt, now: float) -> bool:
        """This server asks for fewer calls (RFC 7339 §5.5), and this is one of those that it does not get."""
        context, hop = self._call.context, attempt.hop
        throttle = context.relations.throttle
        if hop is None or self._decision.emergency or not throttle.is_used:
            return False
        if not throttle.turns_away(hop.flow.remote, now, context.ids.number):
            return False
        why = f"{hop.flow.remote} is overloaded and asks for {throttle.loss(hop.flow.remote, now)} % fewer requests"
        self._pass_over(attempt.target.peer.name, why, _OVERLOADED, now)
        return True

    def _pass_over(self, peer: str, why: str, verdict: Ending, now: float) -> None:
        """What an attempt really met says more than why another was not made, and a full trunk more than a dead one."""
        call = self._call
        call.explain(f"{peer} is passed over: {why}", now)
        self._passed_over.append(call.why)
        call.why = "; ".join(self._passed_over)
        if self._has_met:
            return
        if verdict is _UNREACHABLE:
            self._is_down = True
        if call.account.aimed_at is None or (self._verdict is _UNREACHABLE and verdict is not _UNREACHABLE):
            self._verdict, call.account.aimed_at = verdict, peer

    def _disaster_leads(self, now: float) -> tuple[Lead, ...]:
        """The plan for a PBX that is down: once, and only where its failure was of that kind."""
        if not (self._plan_is_open and self._is_down):
            return ()
        self._plan_is_open = False
        call = self._call
        plan = self._policy.disaster_plan(self._facts, self._decision)
        call.context.trace.note(call.ref, now, plan)
        self._reject = plan.reject
        call.account.disaster = self.is_settled
        return drawn(plan.hunt, call.context.ids.number)

    def _admits(self, attempt: Attempt, now: float) -> bool:
        """A call path and a place in the rate of the trunk, and room in the limits of who has sent the call to it;
        emergencies have all of that for the asking (contract, 7)."""
        call, peer = self._call, attempt.target.peer
        relations, is_emergency = call.context.relations, self._decision.emergency
        reached = "" if is_emergency else admit_redirected(call, attempt.target, now)
        if reached:
            # Not 503: who calls from outside has nothing to do with the limits of who has sent him on.
            limited = Ending(Cause.RATE_LIMITED, 480, Cause.RATE_LIMITED.q850, "sbc")
            self._pass_over(peer.name, f"limits.{reached} of who has sent the call on, or of his route", limited, now)
            return False
        if peer.kind != "trunk":
            return True
        fits = is_emergency or relations.paths.would_fit(peer.name, "outbound")
        if not fits and call.holdings.hand_over_path(peer.name):
            fits = relations.paths.would_fit(peer.name, "outbound")
        if not fits:
            full = Ending(Cause.PATHS_FULL, peer.when_full.outbound, _NO_CIRCUIT, "sbc")
            self._pass_over(peer.name, "all its call paths are taken", full, now)
            return False
        if not relations.quotas.admits_to(peer.name, now) and not is_emergency:
            self._pass_over(peer.name, f"{peer.cps} new calls in this second already", _RATE_LIMITED, now)
            return False
        return relations.paths.take(peer.name, call.ref, len(call.legs), "outbound", now, emergency=is_emergency)
