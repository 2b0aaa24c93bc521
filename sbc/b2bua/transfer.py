"""Call transfer: the REFER of one party of a call, and what becomes of it (RFC 3515, RFC 3892, RFC 5589, RFC 4488).

`terminate`: we do what the transferor asks. The target is called by a child call, in the transferor's name and by the
routes and limits of his peer; when it answers, the child is joined into this call and talks with who was transferred.
Until then nothing changes, and a failure changes nothing at all. A Refer-To with a Replaces that names another call of
the transferor joins that one at once. `pass`: the REFER crosses, rewritten, and the other side does it.

It belongs to one call; one transfer at a time. `referring` reads and writes REFERs, `referral` keeps who asked
informed, `joining` makes one call of two.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.b2bua.account import Ending, Who
from sbc.b2bua.beside.errand import patience
from sbc.b2bua.commands import Log
from sbc.b2bua.crossing import ENDING, crossing_status
from sbc.b2bua.leg.state import State as LegState
from sbc.b2bua.orders import HangUpChild, JoinCalls, PlaceChild
from sbc.b2bua.referral import SUBSCRIPTION_SECONDS, status_of
from sbc.b2bua.referring import Wish, is_loop, parties_for, passed_fields, read_refer, referrer
from sbc.b2bua.replaces import Found, judged, rung_by
from sbc.b2bua.reports import LegAsked, LegReplied
from sbc.b2bua.states import Talking
from sbc.b2bua.telling import Notified, SavedTelling, Telling
from sbc.core.cause import Cause, q850_of_status
from sbc.core.limits import TRANSFERS_PER_CALL
from sbc.sip.checks import Refusal
from sbc.sip.headers.event import parse_event, parse_subscription_state
from sbc.sip.transaction.key import ServerKey

if TYPE_CHECKING:
    from sbc.b2bua.call import Call, Out
    from sbc.b2bua.leg import Leg

_PARTING_SECONDS: Final = 5.0  # for the final NOTIFY to be answered; then the transferor gets his BYE all the same
_LOOK_SECONDS: Final = 10.0  # a child that is gone without a word must not be waited for
_AGAIN_SECONDS: Final = 4.0  # T2: a REFER whose 202 was lost comes again before (RFC 3261 §17.1.2.2)
_DECLINE: Final = 603  # what no telephone hangs up at


class Referring(Struct, frozen=True):
    """Token of a REFER that has crossed."""

    serial: int


class _Crossed(Struct, frozen=True):
    """The REFER of leg `by` went to leg `far`. `key`: it is not answered yet."""

    by: int
    far: int
    until: float
    wish: Wish | None = None  # until it is answered
    key: ServerKey | None = None
    status: int = 0  # that a NOTIFY which came before the answer has told
    is_last: bool = False


class _Waiting(Struct, frozen=True):
    """Leg `kept` shall talk with whom `child` is calling. `gone`: what the transferor was, who has hung up since."""

    by: int
    kept: int
    child: str
    look_at: float
    leaving: int | None = None  # the transferor's own leg in the call that is the child
    gone: Who | None = None


class _Joining(Struct, frozen=True):
    """The switch has been told to join. `child`: where it is one. `leaving`: the transferor's leg in the other call."""

    by: int
    child: str = ""
    leaving: int | None = None
    gone: Who | None = None


class _Parting(Struct, frozen=True):
    """It is done. The transferor's legs go when he has been told, and at `at` whatever comes."""

    legs: tuple[int, ...]
    at: float


class _GivenUp(Struct, frozen=True):
    """In an earlier life. The transferor hears of it at `at`: his REFER may come once more before, and have its 202."""

    at: float


class Transfer:
    """`count`: of transfers and replacements in this call, and in those that it has taken in."""

    __slots__ = ("_call", "_serial", "_state", "_telling", "count")

    def __init__(self, call: "Call") -> None:
        self.count = 0
        self._call = call
        self._state: _Crossed | _Waiting | _Joining | _Parting | _GivenUp | None = None
        self._telling: Telling | None = None  # made when the first REFER comes: most calls see none
        self._serial = 0

    @property
    def is_active(self) -> bool:
        """A transfer is under way, or the last word about one is."""
        return self._state is not None or not (self._telling is None or self._telling.is_over)

    # --- across the death of the process ------------------------------------------------------------------------------

    def saved(self) -> SavedTelling | None:
        """Who is told what. What we do ourselves for a transfer is given up with us."""
        state, telling = self._state, self._telling
        if telling is None:
            return None
        is_crossed = isinstance(state, _Crossed) and state.key is None
        return telling.saved((state.far, state.until) if is_crossed else None)  # type: ignore[union-attr]

    def restore(self, saved: SavedTelling, now: float) -> None:
        self._telling = Telling(self._call)
        self._telling.restore(saved, now)
        if saved.crossed is not None:
            far, until = saved.crossed
            self._state = _Crossed(saved.leg, far, until)

    def resume(self, now: float) -> "list[Out]":
        """Of a transfer that was nearly over, who was about to go goes. One that has crossed goes on. Any other is
        given up, and who has asked for it is told so.
        """
        call, telling = self._call, self._telling
        going = [leg.n for leg in call.legs if leg.n not in call.pair and leg.state is LegState.TALKING]
        if going:
            self._state = _Parting(tuple(going), now + _PARTING_SECONDS)
        elif isinstance(self._state, _Crossed):
            return [] if telling is None else telling.remind(now)
        elif telling is not None and not telling.is_over and telling.leg in call.pair:
            self._state = _GivenUp(now + _AGAIN_SECONDS)
            return []
        return self._finish(200, now)

    # --- what legs report ---------------------------------------------------------------------------------------------

    def asked(self, report: LegAsked, now: float) -> "list[Out] | None":
        """REFER, and NOTIFY and SUBSCRIBE of the event refer; None: it is none of these."""
        method = report.request.method
        if method == "REFER":
            return self._refer(report, now)
        event = parse_event(report.request.header("Event") or "") if method in ("NOTIFY", "SUBSCRIBE") else None
        if event is None or event.package != "refer":
            return None
        leg = self._call.legs[report.leg]
        if method == "NOTIFY":
            return self._notified(report, leg, now)
        if self._telling is None:
            return [*leg.reply(report.key, 403)]
        return self._and_part(self._telling.subscribed(report, event, now))

    def replied(self, report: LegReplied, now: float) -> "list[Out] | None":
        """The final response to a NOTIFY or REFER of ours; None: the request was not from here."""
        token = report.token
        if isinstance(token, Referring):
            return self._crossed(report, now) if token.serial == self._serial else []
        if not isinstance(token, Notified):
            return None
        return [] if self._telling is None else self._and_part(self._telling.replied(token, report, now))

    def outlives(self, n: int) -> bool:
        """Whether others go on talking, or waiting, when leg `n` is over; if not, so is the call."""
        state = self._state
        return n not in self._call.pair or (isinstance(state, _Waiting) and n == state.by and state.gone is None)

    def hung_up(self, n: int, now: float) -> "list[Out] | None":
        """Leg `n` is over, by BYE or in another way; None: so is the call."""
        call, state = self._call, self._state
        if not self.outlives(n):
            return None
        outs: list[Out] = [*call.modification.abandon(now)] if n in call.pair else []
        if self._telling is not None:
            self._telling.close(n)
        if isinstance(state, _Waiting) and n == state.by:
            self._state = replace(state, gone=self._role(n))
            call.explain("the transferor has hung up: the target is waited for", now)
        elif isinstance(state, _Parting):
            left = tuple(leg for leg in state.legs if leg != n)
            self._state = replace(state, legs=left) if left else None
        return outs + self._release([n])

    # --- what the child reports, and the switch -----------------------------------------------------------------------

    def child_progressed(self, child: str, status: int, now: float) -> "list[Out]":
        state = self._state
        return self._report(status, now) if isinstance(state, _Waiting) and state.child == child else []

    def child_answered(self, child: str, leg: int) -> "list[Out]":
        """Leg `leg` of the child is the target."""
        state = self._state
        if not isinstance(state, _Waiting) or state.child != child:
            return [HangUpChild(child)]  # it has crossed the end of what it was for
        self._state = _Joining(state.by, child, state.leaving, state.gone)
        return [JoinCalls(self._call.ref, state.kept, child, leg)]

    def child_failed(self, child: str, status: int, now: float) -> "list[Out]":
        """The call goes on as it was; where the transferor has gone, there is none any more."""
        state = self._state
        if not isinstance(state, _Waiting) or state.child != child:
            return []
        return self._failed(state.gone, crossing_status(status), now)

    def joined(self, moved: dict[int, int], now: float, *, other: str = "") -> "list[Out]":
        """It is done. `moved`: the new numbers of the legs of the call `other`, which is no more."""
        state = self._state
        if not isinstance(state, _Joining):
            return []
        legs = [state.by] if state.leaving is None else [state.by, moved[state.leaving]]
        self._state = _Parting(tuple(legs), now + _PARTING_SECONDS)
        self._call.context.totals.transfers["transferred"] += 1
        said = self._call.log("call.transferred", *((("with", other),) if other else ()))
        return [said, *self._finish(200, now)]

    def join_failed(self, now: float) -> "list[Out]":
        """One of those who were to be joined is gone."""
        state = self._state
        if not isinstance(state, _Joining):
            return []
        outs: list[Out] = [HangUpChild(state.child)] if state.child else []
        return [*outs, *self._failed(state.gone, 481, now)]

    def replaced(self, n: int, now: float) -> "list[Out]":
        """An INVITE with Replaces has taken the place of leg `n`."""
        self.count += 1
        peer = self._call.legs[n].peer.name
        self._call.explain(f"{peer} has taken the call over elsewhere", now)
        return [self._call.log("call.taken_over", ("by", peer)), *self._release([n])]

    def ended(self, now: float) -> "list[Out]":
        """The call ends: to be said before its legs are released."""
        state, self._state = self._state, None
        outs: list[Out] = []
        if isinstance(state, _Waiting | _Joining) and state.child:
            outs.append(HangUpChild(state.child))
        if isinstance(state, _Crossed) and state.key is not None:
            outs += self._call.legs[state.by].reply(state.key, 487)
        return [*outs, *self._finish(487, now), *self._hurry(now)]

    def tick(self, now: float) -> "list[Out]":
        state = self._state
        outs: list[Out] = []
        if isinstance(state, _Parting) and now >= state.at:
            outs += self._hurry(now)
            outs += self._part(state)
        elif isinstance(state, _GivenUp) and now >= state.at:
            self._state = None
            return self._finish(503, now)
        elif isinstance(state, _Crossed) and now >= state.until:
            outs += self._cross_over(state, 504, now)
        elif isinstance(state, _Waiting) and now >= state.look_at:
            if state.child not in self._call.context.calls:
                return self.child_failed(state.child, 500, now)
            self._state = replace(state, look_at=now + _LOOK_SECONDS)
        return outs if self._telling is None else outs + self._and_part(self._telling.tick(now))

    def next_deadline(self) -> float | None:
        state, telling = self._state, self._telling
        if telling is None:
            return state.until if isinstance(state, _Crossed) else None
        own = telling.next_deadline()
        at: float | None = None
        if isinstance(state, _Parting | _GivenUp):
            at = state.at
        elif isinstance(state, _Crossed):
            at = state.until
        elif isinstance(state, _Waiting):
            at = state.look_at
        return min((deadline for deadline in (own, at) if deadline is not None), default=None)

    # --- a REFER ------------------------------------------------------------------------------------------------------

    def _refer(self, report: LegAsked, now: float) -> "list[Out]":
        call = self._call
        leg = call.legs[report.leg]
        refused = self._unwelcome(leg)
        wish = read_refer(report.request) if refused == 0 else Refusal(refused)
        if isinstance(wish, Refusal):
            return self._refuse(report.key, leg, wish, now)
        self.count += 1
        if wish.named is not None and wish.named.to_tag in call.context.dialogs:
            found = judged(wish.named, leg.peer, call.context)
            if isinstance(found, Found):
                return self._attended(report, leg, wish, found, now)
            rung = rung_by(wish.named, leg.peer, call.context)
            if rung is None:
                return self._refuse(report.key, leg, Refusal(found.status), now)
            return self._half_attended(report, leg, wish, rung, now)
        if leg.peer.transfer == "pass" and wish.named is None:
            return self._cross(report, leg, wish, None, now)
        return self._place(report, leg, wish, now)

    def _unwelcome(self, leg: "Leg") -> int:
        """Why this leg's REFERs are refused, whatever they ask for; 0: they are not."""
        if leg.n not in self._call.pair:
            return 481
        if leg.peer.transfer == "refuse" or self.count >= TRANSFERS_PER_CALL:
            return 603
        # "received by a UAS that had a pending request within the same dialog", RFC 3261 §21.4.27. RFC 3515 §2.4.6 lets
        # several go on at once, but a call can be transferred only once. Who stays must have said what he can hear.
        if self.is_active or not isinstance(self._call.state, Talking):
            return 491
        return 0 if _has_described(self._call, self._call.opposite(leg.n)) else 491

    def _place(self, report: LegAsked, leg: "Leg", wish: Wish, now: float) -> "list[Out]":
        """Blind: call the target. A Replaces that names no dialog of ours can only be the transferor's peer's own."""
        call = self._call
        kept = call.legs[call.opposite(leg.n)]
        if is_loop(call, leg, kept, wish):
            return self._refuse(report.key, leg, Refusal(482), now)
        child = call.context.ids.ref()
        self._state = _Waiting(leg.n, kept.n, child, now + _LOOK_SECONDS)
        call.context.trace.note(call.ref, now, f"{leg.peer.name} transfers to {wish.number}: call {child}")
        outs = [self._log_begin(leg, child), *self._accept(report.key, leg, wish, now), *self._report(100, now)]
        return [*outs, self._errand(child, report, leg, wish)]

    def _errand(self, child: str, report: LegAsked, leg: "Leg", wish: Wish) -> PlaceChild:
        call = self._call
        return PlaceChild(
            child,
            call.ref,
            leg.peer,
            parties_for(call, leg, wish),
            report.request.call_id,
            call.media.described(call.side_of(call.opposite(leg.n))),
            referrer(call, leg, wish),
            "" if wish.named is None else str(wish.named),
            "" if wish.named is None else leg.peer.name,
        )

    def _half_attended(self, report: LegAsked, leg: "Leg", wish: Wish, found: Found, now: float) -> "list[Out]":
        """The transferor names a call of his that still rings: from now on it rings for whom he transfers.

        Deviation: RFC 3891 §3 has 481 for whom such an early dialog is replaced in. Many telephones ask for it all the
        same (RFC 5589 §7.6), and nobody else is to be told.
        """
        call = self._call
        other = call.context.calls[found.ref]
        call.context.trace.note(call.ref, now, f"{leg.peer.name} transfers to its call {other.ref}, which rings")
        call.context.trace.note(other.ref, now, f"rings for the call {call.ref} now: transferred by {leg.peer.name}")
        self._state = _Waiting(leg.n, call.opposite(leg.n), other.ref, now + _LOOK_SECONDS, found.leg)
        other.errand = self._errand(other.ref, report, leg, replace(wish, named=None))
        rings = other.account.ringing_at is not None
        outs = [self._log_begin(leg, other.ref), *self._accept(report.key, leg, wish, now)]
        return [*outs, *self._report(180 if rings else 100, now)]

    def _attended(self, report: LegAsked, leg: "Leg", wish: Wish, found: Found, now: float) -> "list[Out]":
        """The transferor names his other call: who is on its other side shall talk with who is on this one's."""
        call = self._call
        other = call.context.calls[found.ref]
        if other is call:
            return self._refuse(report.key, leg, Refusal(482), now)
        if other.transfer.is_active or not _has_described(other, other.opposite(found.leg)):
            return self._refuse(report.key, leg, Refusal(491), now)
        kept, target = call.legs[call.opposite(leg.n)], other.legs[other.opposite(found.leg)]
        if leg.peer.transfer == "pass" and kept.peer.name == target.peer.name:
            return self._cross(report, leg, wish, target, now)
        call.context.trace.note(call.ref, now, f"{leg.peer.name} transfers to its call {other.ref}")
        self._state = _Joining(leg.n, leaving=found.leg)
        outs = [self._log_begin(leg, other.ref), *self._accept(report.key, leg, wish, now)]
        return [*outs, JoinCalls(call.ref, kept.n, other.ref, target.n)]

    def _accept(self, key: ServerKey, leg: "Leg", wish: Wish, now: float) -> "list[Out]":
        if self._telling is None:
            self._telling = Telling(self._call)
        return self._telling.accept(key, leg, wish, now)

    # --- passed across ------------------------------------------------------------------------------------------------

    def _cross(self, report: LegAsked, leg: "Leg", wish: Wish, named: "Leg | None", now: float) -> "list[Out]":
        call = self._call
        far = call.legs[call.opposite(leg.n)]
        fields = passed_fields(call, leg, far, wish, named)
        if isinstance(fields, Refusal):
            return self._refuse(report.key, leg, fields, now)
        self._serial += 1
        orders = far.ask("REFER", Referring(self._serial), fields)
        if not orders:
            return self._refuse(report.key, leg, Refusal(480), now)
        # Its sender must hear something while he listens: silence may end his call (RFC 3261 §12.2.1.2, RFC 4320 §4.2).
        self._state = _Crossed(leg.n, far.n, now + patience(call.context.timing), wish, report.key)
        return [*orders]

    def _crossed(self, report: LegReplied, now: float) -> "list[Out]":
        """The other side has taken or refused the REFER."""
        state, response = self._state, report.response
        if not isinstance(state, _Crossed) or state.key is None or state.wish is None:
            return []
        leg = self._call.legs[state.by]
        if response is None or response.status >= 300:
            self._state = None
            status = 504 if response is None else crossing_status(response.status)
            return self._refuse(state.key, leg, Refusal(status), now)
        is_quiet = state.wish.is_quiet and (response.header("Refer-Sub") or "").strip().lower() == "false"
        wish = replace(state.wish, is_quiet=is_quiet)
        outs = self._accept(state.key, leg, wish, now)
        if is_quiet:
            self._state = None
            return outs
        self._state = replace(state, key=None, until=now + SUBSCRIPTION_SECONDS)
        return outs + self._relay(state, now)

    def _notified(self, report: LegAsked, leg: "Leg", now: float) -> "list[Out]":
        """The other side says how it goes. Of its body only the status line crosses."""
        state = self._state
        if not isinstance(state, _Crossed) or report.leg != state.far:
            return [*leg.reply(report.key, 481)]
        said = parse_subscription_state(report.request.header("Subscription-State") or "")
        status = status_of(report.request.body) or state.status or 100
        news = replace(state, status=status, is_last=said is not None and said.state == "terminated")
        self._state = news
        outs: list[Out] = [*leg.reply(report.key, 200)]
        # "MUST be prepared to receive a NOTIFY before the REFER transaction completes", §2.4.4; ours waits for our 202.
        return outs if state.key is not None else outs + self._relay(news, now)

    def _relay(self, state: _Crossed, now: float) -> "list[Out]":
        if state.is_last:
            return self._cross_over(state, state.status, now)
        return self._report(state.status or 100, now)

    def _cross_over(self, state: _Crossed, status: int, now: float) -> "list[Out]":
        """The other side's last word, or none for too long. Who hangs up is their business."""
        self._state = None
        if state.key is not None:
            return [*self._call.legs[state.by].reply(state.key, 504)]
        shown = status if status < 300 else crossing_status(status)
        return self._finish(shown, now)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _report(self, status: int, now: float) -> "list[Out]":
        return [] if self._telling is None else self._telling.report(status, now)

    def _finish(self, status: int, now: float) -> "list[Out]":
        return self._and_part([] if self._telling is None else self._telling.finish(status, now))

    def _hurry(self, now: float) -> "list[Out]":
        return [] if self._telling is None else self._telling.hurry(now)

    def _and_part(self, outs: "list[Out]") -> "list[Out]":
        """Where the transferor has been told, he goes."""
        if isinstance(self._state, _Parting) and (self._telling is None or self._telling.is_over):
            outs = outs + self._part(self._state)
        return outs

    def _part(self, state: _Parting) -> "list[Out]":
        self._state = None
        return self._release(state.legs)

    def _release(self, legs: Iterable[int]) -> "list[Out]":
        """BYE to legs that are no part of the conversation, or 487; one that has gone itself is not told."""
        call = self._call
        outs: list[Out] = []
        for n in legs:
            outs += call.legs[n].release(487, ())
            call.holdings.give_back_path(n)
        return outs

    def _failed(self, gone: Who | None, status: int, now: float) -> "list[Out]":
        self._state = None
        call = self._call
        call.explain(f"the transfer has failed: {status}", now)
        call.context.totals.transfers["failed"] += 1
        said = call.log("call.transfer_failed", ("status", status))
        if gone is not None:
            return [said, *call.end(Ending(Cause.NORMAL, 200, q850_of_status(status), gone), now)]
        return [said, *self._finish(status, now)]

    def _refuse(self, key: ServerKey, leg: "Leg", why: Refusal, now: float) -> "list[Out]":
        """The log and the ladder say why; the transferor is told so where he goes on talking at that."""
        call = self._call
        call.context.trace.note(call.ref, now, f"REFER of {leg.peer.name} is refused: {why.status}")
        call.context.totals.transfers["refused"] += 1
        said = call.log("call.transfer_refused", ("by", leg.peer.name), ("status", why.status))
        return [said, *leg.reply(key, _DECLINE if why.status in ENDING else why.status, why.fields)]

    def _log_begin(self, leg: "Leg", other: str) -> Log:
        """`other`: the call that this one is to be joined with."""
        return self._call.log("call.transferring", ("by", leg.peer.name), ("with", other))

    def _role(self, n: int) -> Who:
        return "caller" if self._call.side_of(n) == "ingress" else "callee"


def _has_described(call: "Call", leg: int) -> bool:
    """Not so where the answer of a call that began without an offer is still to come, in an ACK."""
    return call.media.described(call.side_of(leg)) is not None
