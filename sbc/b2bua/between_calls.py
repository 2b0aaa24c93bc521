"""What concerns two calls: a child that a transfer places, calls that become one, an INVITE that replaces a leg.

The calls order it, the switch has it carried out here, each step within the crash barrier of the call that it changes.
Who may do what, `transfer` and `replaces` decide; `joining` does it.
"""

from collections.abc import Callable, Sequence, Sized

from sbc.b2bua.asking import identify
from sbc.b2bua.call import Call, Out
from sbc.b2bua.context import Context
from sbc.b2bua.joining import carry_out, take_over
from sbc.b2bua.living import LivingCalls, crash_log
from sbc.b2bua.orders import (
    CallOrder,
    ChildAnswered,
    ChildFailed,
    ChildProgressed,
    HangUpChild,
    JoinCalls,
    PlaceChild,
)
from sbc.b2bua.replaces import Found
from sbc.b2bua.states import Ended
from sbc.core import limits
from sbc.core.cause import Cause
from sbc.sdp.model import SdpError, Session
from sbc.sip.checks import Refusal
from sbc.sip.multipart import description_of
from sbc.sip.transaction.outputs import RequestReceived


class BetweenCalls:
    """`unstored`: calls whose records the disk does not take; the switch keeps it."""

    def __init__(self, living: LivingCalls, context: Context, unstored: Sized) -> None:
        self._living = living
        self._context = context
        self._unstored = unstored

    def perform(self, order: CallOrder, now: float) -> Sequence[Out]:
        guarded = self._living.guarded
        match order:
            case PlaceChild():
                return self._place(order, now)
            case HangUpChild(child):
                return guarded(child, lambda call: call.hang_up(Cause.CANCELLED, now, "caller"), now)
            case JoinCalls(survivor):
                return guarded(survivor, lambda call: self._join(call, order, now), now)
            case ChildProgressed(parent, child, status):
                return guarded(parent, lambda call: call.transfer.child_progressed(child, status, now), now)
            case ChildFailed(parent, child, status):
                return guarded(parent, lambda call: call.transfer.child_failed(child, status, now), now)
            case ChildAnswered(parent, child, leg):
                if parent not in self._living.calls:
                    return self.perform(HangUpChild(child), now)
                return guarded(parent, lambda call: call.transfer.child_answered(child, leg), now)

    def replace(self, found: Found, newcomer: Call, received: RequestReceived, now: float) -> Sequence[Out]:
        """The INVITE of `newcomer`, which is alive already, takes the place of the leg that was found."""

        def begin(call: Call) -> Sequence[Out]:
            outs = call.take_invite(received, now)
            not_he = identify(call)
            if not_he is None:
                return outs
            call.explain(not_he.why, now)
            return outs + call.refuse(Cause.REJECTED, not_he.status, now)

        outs = [*self._living.guarded(newcomer.ref, begin, now, received.key)]
        if isinstance(newcomer.state, Ended):
            return outs
        try:
            body = description_of(received.request)
            offer = newcomer.media.read(body) if body else None
        except SdpError as error:
            return [*outs, *self._refuse(newcomer, error.status, now)]
        result: list[Refusal] = []
        step = self._step(found, newcomer, offer, result, now)
        outs += self._living.guarded(found.ref, step, now, received.key)
        if result or (newcomer.ref in self._living.calls and not newcomer.is_over):
            return [*outs, *self._refuse(newcomer, result[0].status if result else 481, now)]
        self._living.settle(newcomer, now)
        return outs

    def _step(
        self, found: Found, newcomer: Call, offer: Session | None, refused: list[Refusal], now: float
    ) -> Callable[[Call], Sequence[Out]]:
        def step(call: Call) -> Sequence[Out]:
            outs, refusal = take_over(found, call, newcomer, offer, now)
            if refusal is not None:
                refused.append(refusal)
            return outs

        return step

    def _refuse(self, newcomer: Call, status: int, now: float) -> Sequence[Out]:
        return self._living.guarded(newcomer.ref, lambda call: call.refuse(Cause.REJECTED, status, now), now)

    def _join(self, survivor: Call, order: JoinCalls, now: float) -> Sequence[Out]:
        other = self._living.calls.get(order.other)
        outs = carry_out(order, survivor, other, now)
        if other is not None:
            self._living.settle(other, now)
        return outs

    def _place(self, order: PlaceChild, now: float) -> Sequence[Out]:
        failed = ChildFailed(order.parent, order.child, 503)
        if self._living.shares.is_full(order.peer.name, limits.CALLS) or len(self._unstored) >= limits.CDR_QUEUE:
            return [failed]
        try:
            child = Call(order.child, order.peer, order.parties, order.call_id, self._context, now, errand=order)
        except Exception as error:  # noqa: BLE001  see `LivingCalls.guarded`
            return [crash_log(order.child, error), failed]
        self._living.add(child)
        trace = self._context.trace
        trace.begins(order.child, 0, order.peer.name)
        trace.note(order.child, now, f"placed by a transfer of {order.peer.name} in the call {order.parent}")
        return self._living.guarded(order.child, lambda call: call.start_errand(now), now)
