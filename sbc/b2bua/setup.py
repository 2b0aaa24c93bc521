"""Setting a call up: open targets, dial, wait, hunt on, take the first answer (RFC 3261 §13; the contract's timers).

It belongs to one call while that is `Hunting`, and orders its legs; policy has already said who is to be tried. When
the PBX that owns the number is down, its disaster plan is the rest of the hunt. A provisional's answer is early media:
the final one replaces it, whichever fork it comes from.
"""

from functools import partial
from typing import TYPE_CHECKING, Final

from sbc.b2bua.account import Ending
from sbc.b2bua.commands import AskMedia, Log
from sbc.b2bua.crossing import crossing_status
from sbc.b2bua.hunt import Attempt, Lead, drawn, goes_on
from sbc.b2bua.identity import contact_user, egress_invite
from sbc.b2bua.leg import Leg
from sbc.b2bua.media import OutOfPortsError
from sbc.b2bua.opening import emergency_order, open_target
from sbc.b2bua.reports import (
    LegAnswered,
    LegCancelled,
    LegDisconnected,
    LegFailed,
    LegProgressed,
    LegRefused,
    LegTried,
    Report,
)
from sbc.b2bua.states import Hunting, Talking
from sbc.core.cause import Cause, cause_of_status, q850_of_status
from sbc.core.limits import ATTEMPTS_PER_CALL
from sbc.policy.model import Decision, Facts
from sbc.sdp.model import SdpError, Session

if TYPE_CHECKING:
    from sbc.b2bua.call import Call, Out

_NO_CIRCUIT: Final = 34  # Q.850: no circuit or channel available
_UNREACHABLE: Final = Ending(Cause.UNREACHABLE, 503, Cause.UNREACHABLE.q850, "sbc")
_RATE_LIMITED: Final = Ending(Cause.RATE_LIMITED, 503, Cause.RATE_LIMITED.q850, "sbc")


class Setup:
    """`offer` is the caller's; None where the INVITE had none and the callee is asked for one (RFC 3261 §13.2.1).

    `_verdict` is how the call ends if nobody else can be tried; `_reject` is the status that a disaster plan puts in
    its place; `_is_down` says that the last failure was one that a disaster plan is for.
    """

    def __init__(self, call: "Call") -> None:
        self._call = call
        self._offer: Session | None = None
        self._facts = Facts("", "", "")
        self._decision = Decision()
        self._verdict = _UNREACHABLE
        self._reject = 0
        self._is_down = False
        self._plan_is_open = False
        self._dialled_at = 0.0

    def start(self, offer: Session | None, facts: Facts, decision: Decision, now: float) -> "list[Out]":
        self._offer, self._facts, self._decision = offer, facts, decision
        self._plan_is_open = decision.has_disaster_plan
        context = self._call.context
        leads: tuple[Lead, ...] = drawn(decision.hunt, context.ids.number)
        if decision.emergency:
            leads = emergency_order(decision.hunt, context.relations, now)
        return self._go_on(leads, now)

    def handle(self, state: Hunting, report: Report, now: float) -> "list[Out]":
        call = self._call
        match report:
            case LegCancelled():
                call.account.attempt_ended(487, Cause.CANCELLED, now)
                return call.end(Ending(Cause.CANCELLED, 487, Cause.CANCELLED.q850, "caller"), now)
            case LegTried(n) | LegProgressed(n) | LegRefused(n) | LegFailed(n) | LegDisconnected(n) if n != _last(call):
                return []  # an attempt that was given up
            case LegTried():
                return self._tried(state, now)
            case LegProgressed(_, status, body):
                return self._progressed(state, status, body, now)
            case LegAnswered(_, body):
                return self._answered(body, now)
            case LegRefused(_, status, q850):
                return self._refused(state, status, q850, now)
            case LegDisconnected(_, detail):
                return self._disconnected(state, detail, now)
            case LegFailed(_, cause, detail):
                call.explain(f"attempt failed: {cause} {detail}".rstrip(), now)
                return self._lost(state, cause, f"call {cause}: {detail}" if detail else f"call {cause}", now)
            case _:
                raise AssertionError(f"{report} in {state}")

    def timer(self, state: Hunting, timer: str, now: float) -> "list[Out]":
        call = self._call
        leg = call.legs[-1]
        if timer == "no_answer":
            if not self._decision.emergency:
                return call.end(Ending(Cause.NO_ANSWER, 480, Cause.NO_ANSWER.q850, "sbc"), now)
            ending = Ending(Cause.NO_ANSWER, 480, Cause.NO_ANSWER.q850, "sbc")
            return [*leg.release(0, ()), *self._failed(state, ending, now)]
        if timer == "no_reply":
            return self._no_reply(state, leg, now)
        call.explain(f"no_progress: {leg.peer.name} said 100 and no more", now)
        ending = Ending(Cause.NO_REPLY, 408, Cause.NO_REPLY.q850, "sbc")
        return [*leg.release(0, ()), *self._failed(state, ending, now)]

    def acknowledged(self, body: bytes, now: float) -> "list[Out]":
        """The caller's ACK: it brings the answer where the 2xx had to make the offer."""
        call = self._call
        if self._offer is not None or call.media.offer is None:
            return []
        try:
            passed = call.media.pass_answer(call.media.read(body))
        except SdpError as error:
            call.explain(f"answer in ACK cannot be used: {error.reason}", now)
            return call.fail(Cause.FAILED, now)
        call.media.settle()
        return [*call.legs[-1].acknowledge(passed), AskMedia(call.media.relay())]

    # --- whom to try --------------------------------------------------------------------------------------------------

    def _go_on(self, leads: tuple[Lead, ...], now: float) -> "list[Out]":
        """Dial the next one that can be dialled, or end the call with the last verdict."""
        found = self._next(leads, now)
        return self._give_up(now) if found is None else self._dial(*found, now)

    def _give_up(self, now: float) -> "list[Out]":
        if self._reject:
            self._verdict = Ending(Cause.UNREACHABLE, self._reject, q850_of_status(self._reject), "sbc")
        return self._call.end(self._verdict, now)

    def _next(self, leads: tuple[Lead, ...], now: float) -> tuple[Attempt, tuple[Lead, ...]] | None:
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
                if self._admits(lead, now):
                    return lead, leads
                while leads and isinstance(leads[0], Attempt) and leads[0].target is lead.target:
                    leads = leads[1:]  # the next address of the same trunk has no more paths and no higher rate
                continue
            opened = open_target(lead, self._call.context.relations, now)
            if opened.why:
                self._pass_over(lead.peer.name, opened.why, _UNREACHABLE, now)
            leads = (*opened.attempts, *leads)

    def _pass_over(self, peer: str, why: str, verdict: Ending, now: float) -> None:
        """What an attempt really met says more than why another was not made, and a full trunk more than a dead one."""
        call = self._call
        call.explain(f"{peer} is passed over: {why}", now)
        if len(call.legs) > 1:
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
        plan = call.context.policy.disaster_plan(self._facts, self._decision)
        call.context.trace.note(call.ref, now, plan)
        call.account.disaster = True
        self._reject = plan.reject
        return drawn(plan.hunt, call.context.ids.number)

    def _admits(self, attempt: Attempt, now: float) -> bool:
        """A call path and a place in the rate of the trunk; emergencies have both for the asking (contract, 7)."""
        call, peer = self._call, attempt.target.peer
        relations, is_emergency = call.context.relations, self._decision.emergency
        if peer.kind != "trunk":
            return True
        if not is_emergency and not relations.paths.would_fit(peer.name, "outbound"):
            full = Ending(Cause.PATHS_FULL, peer.when_full.outbound, _NO_CIRCUIT, "sbc")
            self._pass_over(peer.name, "all its call paths are taken", full, now)
            return False
        if not relations.admits_to(peer, now) and not is_emergency:
            self._pass_over(peer.name, f"{peer.cps} new calls in this second already", _RATE_LIMITED, now)
            return False
        return relations.paths.take(peer.name, call.ref, len(call.legs), "outbound", now, emergency=is_emergency)

    # --- dialling -----------------------------------------------------------------------------------------------------

    def _dial(self, attempt: Attempt, rest: tuple[Lead, ...], now: float) -> "list[Out]":
        call = self._call
        target, hop = attempt.target, attempt.hop
        peer, context = target.peer, call.context
        is_ipv6 = hop.flow.remote.is_ipv6 if hop is not None else ":" in attempt.server.host
        address = context.media_address(peer.interface, ipv6=is_ipv6)
        call.media.open_egress(address.local, address.shown, peer.latching, now)
        try:
            body = b"" if self._offer is None else call.media.pass_offer("ingress", self._offer, now)
        except SdpError as error:
            call.explain(f"session description refused: {error.reason}", now)
            return call.refuse(Cause.FAILED, error.status, now)
        except OutOfPortsError as error:
            exhausted = Log(
                "error", "media.ports_exhausted", (("alarm", True), ("ref", call.ref), ("local", str(error)))
            )
            return [exhausted, *call.refuse(Cause.OVERLOAD, 503, now)]
        content_type, body = call.location.beside(body, context.ids.tag() if call.location.parts else "")
        call_id, n = context.ids.call_id(), len(call.legs)
        leg = Leg(
            call.ref,
            n,
            peer,
            contact_user(target, call.parties, emergency=self._decision.emergency),
            context.timing,
            credentials=context.relations.credentials(peer.name),
            flow=hop.flow if hop is not None and peer.registers else None,
        )
        call.legs.append(leg)
        invite = egress_invite(
            attempt,
            call.parties,
            our_host=context.hosts[peer.interface],
            call_id=call_id,
            tag=call.register(n),
            body=body,
            write=partial(context.policy.write_caller, call.ingress.peer.name, peer),
            emergency=self._decision.emergency,
            content_type=content_type,
            more=call.location.fields,
        )
        call.account.dialled(attempt, call_id, now)
        call.state = Hunting(attempt, rest)
        call.why = ""  # what ended the attempt before explains this one's end no more
        call.timers.clear()
        self._dialled_at = now
        others = bool(rest) or self._plan_is_open
        # The last target gets Timer B; as long for a look-up of its name that never ends.
        call.timers.set("no_reply", now + (peer.no_reply if others else context.timing.give_up))
        early = call.media.prepare()
        flow = None if hop is None else hop.flow
        return [*([] if early is None else [AskMedia(early)]), *leg.dial(invite, attempt.next_hop, flow)]

    def _no_reply(self, state: Hunting, leg: Leg, now: float) -> "list[Out]":
        """Nothing came at all. Where nobody else can be tried after all, the last target has Timer B."""
        call = self._call
        call.explain(f"no_reply: {leg.peer.name} said nothing", now)
        counted = call.context.relations.call_failed(state.attempt.hop, "no reply to a call", now)
        ending = Ending(Cause.NO_REPLY, 408, Cause.NO_REPLY.q850, "sbc")
        others = self._try_others(state, ending, now)
        if others is not None:
            return [*counted, *others]
        give_up_at = self._dialled_at + call.context.timing.give_up
        if now < give_up_at:
            call.timers.set("no_reply", give_up_at)
            return [*counted]
        call.account.attempt_ended(ending.status, ending.cause, now)
        return [*counted, *leg.release(0, ()), *self._give_up(now)]

    def _disconnected(self, state: Hunting, detail: str, now: float) -> "list[Out]":
        """The server may still come back and answer; that is waited for only where nobody else can be tried."""
        call = self._call
        call.explain(f"the connection to {call.legs[-1].peer.name} is gone: {detail}", now)
        counted = call.context.relations.call_failed(state.attempt.hop, detail, now)
        ending = Ending(Cause.UNREACHABLE, 503, Cause.UNREACHABLE.q850, "sbc")
        return [*counted, *(self._try_others(state, ending, now) or ())]

    def _try_others(self, state: Hunting, ending: Ending, now: float) -> "list[Out] | None":
        """Give the attempt up if somebody else can be tried in its place; else it goes on, and keeps its call path."""
        call, leg = self._call, self._call.legs[-1]
        paths, is_emergency = call.context.relations.paths, self._decision.emergency
        self._verdict, self._is_down = ending, True
        paths.give_back(call.ref, leg.n)
        found = self._next(state.rest, now)
        if found is None:
            if leg.peer.kind == "trunk":
                paths.take(leg.peer.name, call.ref, leg.n, "outbound", now, emergency=is_emergency)
            call.state = Hunting(state.attempt, (), state.rang)
            return None
        call.account.attempt_ended(ending.status, ending.cause, now)
        return [*leg.release(0, ()), *self._dial(*found, now)]

    def _lost(self, state: Hunting, cause: Cause, why: str, now: float) -> "list[Out]":
        """The transaction ended without a final response: Timer B, or the transport failed."""
        counted = self._call.context.relations.call_failed(state.attempt.hop, why, now)
        return [*counted, *self._failed(state, Ending(cause, cause.status, cause.q850, "sbc"), now, is_down=True)]

    def _failed(self, state: Hunting, ending: Ending, now: float, *, is_down: bool = False) -> "list[Out]":
        """The attempt under way has failed in a way that lets the hunt go on."""
        call = self._call
        call.account.attempt_ended(ending.status, ending.cause, now)
        call.give_back_path(len(call.legs) - 1)
        self._verdict, self._is_down = ending, is_down
        if state.rang and not self._decision.emergency:
            return call.end(ending, now)
        return self._go_on(state.rest, now)

    # --- what the egress leg reports ----------------------------------------------------------------------------------

    def _tried(self, state: Hunting, now: float) -> "list[Out]":
        timers = self._call.timers
        timers.stop("no_reply")
        if not state.rang and not timers.is_set("no_progress"):
            timers.set("no_progress", now + state.attempt.target.peer.no_progress)
        return []

    def _progressed(self, state: Hunting, status: int, body: bytes, now: float) -> "list[Out]":
        if not 180 <= status <= 189:
            return self._tried(state, now)  # 199 ends an early dialog (RFC 6228), and who knows what 150 says
        call = self._call
        call.timers.stop("no_reply", "no_progress")
        if not call.timers.is_set("no_answer"):
            call.timers.set("no_answer", now + state.attempt.target.no_answer)
        call.account.rang(now)
        call.state = Hunting(state.attempt, state.rest, rang=True)
        outs: list[Out] = []
        passed = b""
        if body and call.media.offer is not None:
            try:
                passed = call.media.pass_answer(call.media.read(body))
            except SdpError as error:
                call.context.trace.note(call.ref, now, f"early session description ignored: {error.reason}")
            else:
                outs.append(AskMedia(call.media.relay()))
        return [*outs, *call.ingress.ring(min(status, 183), passed, now)]

    def _answered(self, body: bytes, now: float) -> "list[Out]":
        call = self._call
        call.timers.clear()
        call.account.attempt_ended(200, Cause.NORMAL, now)
        try:
            if self._offer is None:
                return self._answered_with_offer(body, now)
            passed = self._final_answer(body)
        except (SdpError, OutOfPortsError) as error:
            call.explain(f"answer cannot be used: {error}", now)
            return call.refuse(Cause.FAILED, 488, now)
        call.media.settle()
        acked = [*call.legs[-1].acknowledge(), AskMedia(call.media.relay())]
        return acked + self._talk(passed, now)

    def _final_answer(self, body: bytes) -> bytes:
        media = self._call.media
        if body:
            return media.pass_answer(media.read(body))
        if media.is_answered:
            return media.last_sent("ingress")  # its provisional carried the answer
        raise SdpError("2xx without an answer", 488)

    def _answered_with_offer(self, body: bytes, now: float) -> "list[Out]":
        """The INVITE had no offer: the 2xx has it, and the caller's ACK will have the answer (RFC 3261 §13.2.1)."""
        media = self._call.media
        if not body:
            return [*self._call.legs[-1].acknowledge(), *self._talk(b"", now)]
        return self._talk(media.pass_offer("egress", media.read(body), now), now)

    def _talk(self, body: bytes, now: float) -> "list[Out]":
        call = self._call
        call.account.answered_at = now
        call.state = Talking(now)
        call.limit_duration(now)
        return [*call.ingress.answer(body, now), call.log("call.answered")]

    def _refused(self, state: Hunting, status: int, q850: int | None, now: float) -> "list[Out]":
        cause = cause_of_status(status)
        ending = Ending(cause, crossing_status(status), q850 or q850_of_status(status), "callee")
        self._call.account.attempt_ended(status, cause, now)
        if self._decision.emergency or goes_on(status, q850, self._decision.rule):
            return self._failed(state, ending, now, is_down=status == 503)
        return self._call.end(ending, now)


def _last(call: "Call") -> int:
    return len(call.legs) - 1
