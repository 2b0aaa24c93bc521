"""Setting a call up: dial, wait, hunt on, take the first answer (RFC 3261 §13; the timers of the contract).

It belongs to one call while that is `Hunting`, and orders its legs; policy has already said who is to be tried.
A provisional's answer is early media: the final one replaces it, whichever fork it comes from.
"""

from typing import TYPE_CHECKING

from sbc.b2bua.account import Ending
from sbc.b2bua.commands import AskMedia, Log
from sbc.b2bua.crossing import crossing_status
from sbc.b2bua.hunt import Attempt, goes_on
from sbc.b2bua.identity import egress_invite, escaped
from sbc.b2bua.leg import Leg
from sbc.b2bua.media import OutOfPortsError
from sbc.b2bua.reports import LegAnswered, LegCancelled, LegFailed, LegProgressed, LegRefused, LegTried, Report
from sbc.b2bua.states import Hunting, Talking
from sbc.core.cause import Cause, cause_of_status, q850_of_status
from sbc.sdp.model import SdpError, Session

if TYPE_CHECKING:
    from sbc.b2bua.call import Call, Out


class Setup:
    """`offer` is the caller's; None where the INVITE had none and the callee is asked for one (RFC 3261 §13.2.1)."""

    def __init__(self, call: "Call") -> None:
        self._call = call
        self._offer: Session | None = None

    def start(self, offer: Session | None, attempts: tuple[Attempt, ...], now: float) -> "list[Out]":
        self._offer = offer
        return self._dial(attempts[0], attempts[1:], now)

    def handle(self, state: Hunting, report: Report, now: float) -> "list[Out]":
        call = self._call
        match report:
            case LegCancelled():
                call.account.attempt_ended(487, Cause.CANCELLED, now)
                return call.end(Ending(Cause.CANCELLED, 487, Cause.CANCELLED.q850, "caller"), now)
            case LegTried(n) | LegProgressed(n) | LegRefused(n) | LegFailed(n) if n != len(call.legs) - 1:
                return []  # an attempt that was given up
            case LegTried():
                return self._tried(state, now)
            case LegProgressed(_, status, body):
                return self._progressed(state, status, body, now)
            case LegAnswered(_, body):
                return self._answered(body, now)
            case LegRefused(_, status, q850):
                return self._refused(state, status, q850, now)
            case LegFailed(_, cause, detail):
                call.explain(f"attempt failed: {cause} {detail}".rstrip(), now)
                return self._next(state, Ending(cause, cause.status, cause.q850, "sbc"), now)
            case _:
                raise AssertionError(f"{report} in {state}")

    def timer(self, state: Hunting, timer: str, now: float) -> "list[Out]":
        call = self._call
        if timer == "no_answer":
            return call.end(Ending(Cause.NO_ANSWER, 480, Cause.NO_ANSWER.q850, "sbc"), now)
        leg = call.legs[-1]
        call.explain(f"{timer}: {leg.peer.name} said too little", now)
        ending = Ending(Cause.NO_REPLY, 408, Cause.NO_REPLY.q850, "sbc")
        return [*leg.release(0, ()), *self._next(state, ending, now)]

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

    # --- dialling -----------------------------------------------------------------------------------------------------

    def _dial(self, attempt: Attempt, rest: tuple[Attempt, ...], now: float) -> "list[Out]":
        call = self._call
        peer, context = attempt.target.peer, call.context
        address = context.media_address(peer.interface, ipv6=":" in attempt.server.host)
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
        call_id, n = context.ids.call_id(), len(call.legs)
        leg = Leg(call.ref, n, peer, escaped(attempt.target.caller), context.timing)
        call.legs.append(leg)
        invite = egress_invite(
            attempt,
            call.parties,
            our_host=context.hosts[peer.interface],
            call_id=call_id,
            tag=call.register(n),
            body=body,
        )
        call.account.dialled(attempt, call_id, now)
        call.state = Hunting(attempt, rest)
        call.why = ""  # what ended the attempt before explains this one's end no more
        call.timers.clear()
        # The last target gets Timer B; as long for a look-up of its name that never ends.
        call.timers.set("no_reply", now + (peer.no_reply if rest else context.timing.give_up))
        early = call.media.prepare()
        return [*([] if early is None else [AskMedia(early)]), *leg.dial(invite, attempt.next_hop)]

    def _next(self, state: Hunting, ending: Ending, now: float) -> "list[Out]":
        """The attempt under way has failed in a way that lets the hunt go on."""
        self._call.account.attempt_ended(ending.status, ending.cause, now)
        if state.rest and not state.rang:
            return self._dial(state.rest[0], state.rest[1:], now)
        return self._call.end(ending, now)

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
        return [*call.ingress.answer(body, now), call.log("call.answered")]

    def _refused(self, state: Hunting, status: int, q850: int | None, now: float) -> "list[Out]":
        cause = cause_of_status(status)
        ending = Ending(cause, crossing_status(status), q850 or q850_of_status(status), "callee")
        self._call.account.attempt_ended(status, cause, now)
        if goes_on(status, q850):
            return self._next(state, ending, now)
        return self._call.end(ending, now)
