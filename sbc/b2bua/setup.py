"""Setting a call up: dial, wait, hunt on, take the first answer (RFC 3261 §13; the contract's timers).

It belongs to one call while that is `Hunting`, and orders its legs; `choosing` says who is tried next. A provisional's
answer is early media: the final one replaces it, whichever fork it comes from. What is offered and answered before that
by reliable provisionals (RFC 3262, RFC 6337 §2) is final in its early dialog; each leg is reliable for itself.
"""

from functools import partial
from typing import TYPE_CHECKING

from msgspec.structs import replace

from sbc.b2bua.account import Ending
from sbc.b2bua.choosing import Choosing
from sbc.b2bua.commands import AskMedia, Log
from sbc.b2bua.crossing import crossing_status
from sbc.b2bua.headers import crossing
from sbc.b2bua.hunt import Attempt, Lead, goes_on, refuses_srtp
from sbc.b2bua.identity import contact_user, egress_invite
from sbc.b2bua.leg import Leg
from sbc.b2bua.media import OutOfPortsError
from sbc.b2bua.notes import Refusing, note_dialling, note_encrypted
from sbc.b2bua.progress import Progress
from sbc.b2bua.redirect import Redirects
from sbc.b2bua.reports import (
    LegAnswered,
    LegCancelled,
    LegChallenged,
    LegDisconnected,
    LegFailed,
    LegPracked,
    LegProgressed,
    LegRefreshDue,
    LegRefused,
    LegTried,
    LegUnacknowledged,
    Report,
)
from sbc.b2bua.securing import Securing
from sbc.b2bua.sides import Agreed
from sbc.b2bua.states import Hunting
from sbc.core.cause import Cause, cause_of_status, q850_of_status
from sbc.policy.model import Decision, Facts, Peer
from sbc.sdp.model import SdpError, Session, same_except_origin
from sbc.sip.message import Request

if TYPE_CHECKING:
    from sbc.b2bua.call import Call, Out


class Setup:
    """`_offer` is the caller's; None where the INVITE had none and the callee is asked for one (RFC 3261 §13.2.1).

    `_is_converted`: there was none, and the callee has got one of ours. `_is_settled`: offer and answer were both
    exchanged before the 2xx, in the early dialog with the fork that has answered.
    """

    def __init__(self, call: "Call") -> None:
        self._call = call
        self._offer: Session | None = None
        self._is_converted = False
        self._is_settled = False
        self._decision = Decision()
        self._facts = Facts("", "", "")
        self._choosing = Choosing(call, self._facts, self._decision)
        self._redirects = Redirects()
        self._progress = Progress(call)
        self._dialled_at = 0.0

    def start(self, offer: Session | None, facts: Facts, decision: Decision, now: float) -> "list[Out]":
        self._offer, self._facts, self._decision = offer, facts, decision
        self._choosing = Choosing(self._call, facts, decision)
        return self._go_on(self._choosing.first(now), now)

    def handle(self, state: Hunting, report: Report, now: float) -> "list[Out]":
        call = self._call
        match report:
            case LegCancelled(0) if call.errand is not None:
                return []  # it rings for who waits in another call now
            case LegCancelled(0, _, cancel):
                call.account.attempt_ended(487, Cause.CANCELLED, now)
                return call.end(Ending(Cause.CANCELLED, 487, Cause.CANCELLED.q850, "caller"), now, 0, cancel)
            case (
                LegTried(n) | LegChallenged(n) | LegProgressed(n) | LegRefused(n) | LegFailed(n) | LegDisconnected(n)
            ) if n != _last(call):
                return []  # an attempt that was given up
            case LegTried():
                return self._tried(state, now)
            case LegChallenged():
                return self._challenged(state, now)
            case LegProgressed():
                return self._progressed(state, report, now)
            case LegPracked(_, body):
                return self._progress.acknowledged(state, body, now)
            case LegAnswered():
                return self._answered(report, now)
            case LegRefused():
                return self._refused(state, report, now)
            case LegUnacknowledged():
                call.explain(f"no PRACK: {call.ingress.peer.name} has not acknowledged a provisional response", now)
                return call.refuse(Cause.NO_ACK, 504, now)
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
        is_settled = self._is_settled and not self._is_converted
        if self._offer is not None or is_settled or call.media.offer is None:
            return []
        try:
            if self._is_converted:
                return self._converted_answer(body, now)
            passed = call.media.pass_answer(call.media.read(body))
        except SdpError as error:
            call.explain(f"answer in ACK cannot be used: {error.reason}", now)
            return call.fail(Cause.FAILED, now)
        call.media.settle()
        note_encrypted(call, now)
        callee = call.legs[-1]
        acked = callee.acknowledge(passed)
        # An earlier life of ours has acknowledged its 2xx without an answer: it is told in an offer then.
        told = [] if acked else call.modification.handle(LegRefreshDue(callee.n), now)
        return [*acked, AskMedia(call.media.relay()), *told]

    def _converted_answer(self, body: bytes, now: float) -> "list[Out]":
        """The callee has answered an offer of ours long ago; it hears only of what does not fit that."""
        call = self._call
        call.media.pass_answer(call.media.read(body))
        call.media.settle()
        return [AskMedia(call.media.relay()), *call.modification.renegotiate(now, call.pair[1])]

    # --- whom to try --------------------------------------------------------------------------------------------------

    def _go_on(self, leads: tuple[Lead, ...], now: float) -> "list[Out]":
        """Dial the next one that can be dialled, or end the call with the last verdict."""
        found = self._choosing.next(leads, now)
        return self._call.end(self._choosing.verdict, now) if found is None else self._dial(*found, now)

    # --- dialling -----------------------------------------------------------------------------------------------------

    def _dial(self, attempt: Attempt, rest: tuple[Lead, ...], now: float) -> "list[Out]":
        call = self._call
        target, hop = attempt.target, attempt.hop
        peer, context = target.peer, call.context
        is_ipv6 = hop.flow.remote.is_ipv6 if hop is not None else ":" in attempt.server.host
        address, *others = context.media_addresses(peer.interface, ipv6=is_ipv6)
        call.media.open_egress(
            address.local,
            address.shown,
            peer.latching,
            now,
            codecs=peer.codecs,
            fax=peer.t38 == "pass",
            hold=peer.hold,
            dtmf=peer.dtmf,
            media_from=peer.media_from,
            recodes=peer.transcode == "auto",
            others=[(other.local, other.shown) for other in others],
            securing=self._securing(attempt),
        )
        try:
            body = self._describe(peer, now)
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
            number=context.ids.number,
            credentials=context.relations.credentials(peer.name),
            flow=hop.flow if hop is not None and peer.registers else None,
        )
        call.legs.append(leg)
        context.trace.begins(call.ref, n, peer.name)
        call.pair = (0, n)
        # An offer in a reliable provisional wants its answer in the PRACK: the caller must be able to give it so early.
        reliable = bool(body) or call.ingress.takes_reliable
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
            more=(*leg.invite_fields(reliable=reliable), *call.location.fields, *call.invite_fields(n)),
        )
        if peer.headers.removed:
            kept = crossing(call.ingress.peer, peer).without_removed(invite.fields)
            invite = Request(invite.method, invite.uri_text, kept, invite.body)
        call.account.dialled(attempt, call_id, now)
        note_dialling(call, attempt, now)
        call.state = Hunting(attempt, rest)
        call.why = ""  # what ended the attempt before explains this one's end no more
        call.timers.stop("no_reply", "no_progress", "no_answer")
        self._await_reply(peer, rest, now)
        early = call.media.prepare()
        flow = None if hop is None else hop.flow
        return [*([] if early is None else [AskMedia(early)]), *leg.dial(invite, attempt.next_hop, flow)]

    def _securing(self, attempt: Attempt) -> Securing | None:
        context, rules = self._call.context, attempt.target.peer.srtp
        if self._decision.emergency:
            return context.securing_who_helps(rules, has_refused=attempt.is_plain)
        return context.securing(rules)

    def _describe(self, peer: Peer, now: float) -> bytes:
        """The offer that this callee gets; nothing where it shall make one."""
        media = self._call.media
        self._is_converted = self._offer is None and peer.delayed_offer == "convert"
        if self._offer is not None:
            body = media.pass_offer("ingress", self._offer, now)
        else:
            body = media.own_offer("egress", now) if self._is_converted else b""
        self._progress.begin(media.offer)
        return body

    def _await_reply(self, peer: Peer, rest: tuple[Lead, ...], now: float) -> None:
        """The last target gets Timer B; as long for a look-up of its name that never ends."""
        self._dialled_at = now
        give_up = self._call.context.timing.give_up
        self._call.timers.set("no_reply", now + (give_up if self._choosing.is_last(rest) else peer.no_reply))

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
        return [*counted, *leg.release(0, ()), *call.end(self._choosing.verdict, now)]

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
        paths = call.context.relations.paths
        self._choosing.failed(ending, is_down=True)
        held = paths.give_back(call.ref, leg.n)
        found = self._choosing.next(state.rest, now)
        if found is None and self._choosing.is_settled:
            call.account.attempt_ended(ending.status, ending.cause, now)
            return call.end(self._choosing.verdict, now)
        if found is None:
            paths.take_again(held)
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
        call.holdings.give_back_path(len(call.legs) - 1)
        self._choosing.failed(ending, is_down=is_down)
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

    def _challenged(self, state: Hunting, now: float) -> "list[Out]":
        """What was said was said to another INVITE: silence begins anew."""
        if not state.rang:
            self._call.timers.stop("no_progress")
            self._await_reply(state.attempt.target.peer, state.rest, now)
        return []

    def _progressed(self, state: Hunting, report: LegProgressed, now: float) -> "list[Out]":
        status = report.status
        if not 180 <= status <= 189:
            return self._tried(state, now)  # 199 ends an early dialog (RFC 6228), and who knows what 150 says
        return self._progress.told(state, report, now)

    def _answered(self, report: LegAnswered, now: float) -> "list[Out]":
        call = self._call
        call.timers.stop("no_reply", "no_progress", "no_answer")
        call.account.attempt_ended(200, Cause.NORMAL, now)
        self._is_settled = report.tag in self._progress.early
        told = call.media.sides["ingress"].now
        dropped: list[Out] = []
        if call.modification.is_under_way and report.tag != self._progress.early.followed:
            dropped = call.modification.abandon(now)  # it was in the early dialog of another fork
        try:
            if self._offer is None and not self._is_converted:
                return [*dropped, *self._answered_with_offer(report, now)]
            passed = self._final_answer(report)
        except (SdpError, OutOfPortsError) as error:
            call.explain(f"answer cannot be used: {error}", now)
            return call.refuse(Cause.FAILED, 488, now)
        if not self._is_converted and not self._progress.forks.turn_to(report.tag, passed, final=True):
            passed = b""
        is_told_otherwise = self._is_told_otherwise(told)
        if is_told_otherwise:
            call.media.sides["ingress"].unsay()
            call.media.sides["ingress"].now = told
        if not call.modification.is_under_way:
            call.media.settle()
        if self._is_converted:
            passed = call.media.reoffer("ingress", now) or b""
        outs = [*dropped, *call.legs[-1].acknowledge(), AskMedia(call.media.relay())]
        outs += self._talk(passed, report, now)
        return outs + call.modification.renegotiate(now, 0) if is_told_otherwise else outs

    def _is_told_otherwise(self, told: Agreed) -> bool:
        """The callee's last word differs from what it said before, which the caller has as the answer for good: it is
        to be told the difference by an offer, when it talks.
        """
        now = self._call.media.sides["ingress"].now
        if told.told is None or now.told is None or not self._call.ingress.has_answered_early:
            return False
        return not same_except_origin(told.told, now.told)

    def _final_answer(self, report: LegAnswered) -> bytes:
        media = self._call.media
        if self._is_settled:
            self._progress.early.turn_back(report.tag)
            return media.last_sent("ingress")  # "any SDP in subsequent responses" is ignored, RFC 6337 §3.1.1
        if report.body:
            return media.pass_answer(media.read(report.body, "egress"), self._progress.crossed)
        if media.is_answered:
            return media.last_sent("ingress")  # its provisional carried the answer
        raise SdpError("2xx without an answer", 488)

    def _answered_with_offer(self, report: LegAnswered, now: float) -> "list[Out]":
        """The INVITE had no offer: the 2xx has it, and the caller's ACK will have the answer (RFC 3261 §13.2.1)."""
        media, early = self._call.media, self._progress.early
        if self._is_settled:
            early.turn_back(report.tag)
            self._progress.forks.turn_to(report.tag, b"", final=True)
            return [*self._call.legs[-1].acknowledge(), AskMedia(media.relay()), *self._talk(b"", report, now)]
        if not report.body:
            return [*self._call.legs[-1].acknowledge(), *self._talk(b"", report, now)]
        passed = media.pass_offer("egress", media.read(report.body, "egress"), now)
        self._progress.forks.turn_to(report.tag, passed, final=True)
        return self._talk(passed, report, now)

    def _talk(self, body: bytes, report: LegAnswered, now: float) -> "list[Out]":
        call = self._call
        fields = () if report.response is None else call.crossing_fields(report.leg, report.response)
        return call.talks(body, now, fields)

    def _refused(self, state: Hunting, report: LegRefused, now: float) -> "list[Out]":
        status, q850, call = report.status, report.q850, self._call
        cause = cause_of_status(status)
        ending = Ending(cause, crossing_status(status), q850 or q850_of_status(status), "callee")
        call.account.attempt_ended(status, cause, now)
        if status < 400 and report.response is not None:
            target = state.attempt.target
            targets = self._redirects.follow(call, target, self._facts, report.response, now, rang=state.rang)
            if targets:
                call.holdings.give_back_path(len(call.legs) - 1)
                self._choosing.redirected()
                return self._go_on((*targets, *state.rest), now)
        hunts_on = self._decision.emergency or goes_on(status, q850, self._decision.rule)
        has_rung = state.rang and not self._decision.emergency
        peer = state.attempt.target.peer.name
        call.context.trace.note(call.ref, now, Refusing(peer, status, q850, hunts_on, has_rung))
        if self._decision.emergency and refuses_srtp(state.attempt, status, q850):
            # Nobody is left without help for want of encryption; but whoever has it is asked before.
            call.context.trace.note(call.ref, now, f"an emergency: {peer} is asked without SRTP if nobody else helps")
            again = replace(state.attempt, is_plain=True)
            state = Hunting(state.attempt, (*state.rest, again), state.rang)
        if hunts_on:
            return self._failed(state, ending, now, is_down=status == 503)
        return call.end(ending, now, report.leg, report.response)


def _last(call: "Call") -> int:
    return len(call.legs) - 1
