"""Changing a session: an offer on one leg becomes an offer on the other, and the answer comes back (RFC 3264 §8,
RFC 3261 §14, RFC 3311, RFC 6337), while it is set up as well as when it is up.

One change at a time; what comes meanwhile waits its turn where it can, or gets 491. What says nothing new is answered
at once and never crosses. A failure crosses and the session stays as it was. An offer that is taken back has its
verdict from the asked side, whose 2xx may cross our CANCEL, so that both believe in the same session. We make offers of
our own to keep a session timer, and when a transfer has given a leg another partner. It belongs to one call and speaks
to its legs through it.
"""

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from sbc.b2bua.changes import Change, Wish
from sbc.b2bua.commands import AskMedia
from sbc.b2bua.crossing import crossing_status
from sbc.b2bua.media import OutOfPortsError
from sbc.b2bua.notes import note_encrypted, note_held
from sbc.b2bua.reports import (
    LegAcknowledged,
    LegCancelled,
    LegOffered,
    LegReanswered,
    LegRefreshDue,
    LegRerefused,
    Report,
)
from sbc.core.cause import Cause
from sbc.sdp.model import SdpError

if TYPE_CHECKING:
    from sbc.b2bua.call import Call, Out


RECOVERY: Final = "recovery"  # the timer of a call whose exchange was cut off by the death of signalling
ANSWER_SECONDS: Final = 60.0  # for a person to be asked, say whether video is wanted; then the offer is taken back
UPDATE_SECONDS: Final = 25.0  # for one that an UPDATE has brought: its sender waits for 32 seconds, then hangs up
CANCEL_SECONDS: Final = 5.0  # for the asked side to end an offer that was taken back, two lost messages included
TURN_SECONDS: Final = 5.0  # that an offer waits for the asked leg to be free, say for an ACK; then it gets 491
_RENEGOTIATIONS: Final = 6  # of our own in a row, until both sides of a transfer agree


class Modification:
    def __init__(self, call: "Call") -> None:
        self._call = call
        self._change: Change | None = None
        self._wishes: list[Wish] = []
        self._rounds = 0

    @property
    def is_under_way(self) -> bool:
        return self._change is not None

    @property
    def has_wishes(self) -> bool:
        """Something waits for its turn."""
        return bool(self._wishes)

    def handle(self, report: Report, now: float) -> "list[Out]":
        change = self._change
        match report:
            case LegOffered():
                return self._offered(report, now)
            case LegRefreshDue(leg):
                self._wish(Wish(leg, refresh=True))
                return self.go_on(now)
            case LegReanswered(leg) if change is not None and leg == change.to:
                return self._reanswered(change, report, now)
            case LegReanswered(leg):
                return self._too_late(report, leg, now)
            case LegRerefused(leg) if leg not in self._call.pair:
                return []  # who is leaving has had an offer: the others have their own
            case LegRerefused(leg, _, True) if self._call.transfer.outlives(leg):
                return self._call.transfer.hung_up(leg, now) or []
            case LegRerefused(leg, _, True) if change is not None and change.refresh and leg == change.to:
                self._call.explain(f"refresh failed: {self._call.legs[leg].peer.name} has lost the call", now)
                return self._call.fail(Cause.SESSION_EXPIRED, now)
            case LegRerefused(_, _, True):
                return self._call.fail(Cause.FAILED, now)
            case LegRerefused(leg, status) if change is not None and leg == change.to:
                return self._refused(change, change.taken_back or status, now)
            case LegCancelled(leg) if change is not None and leg == change.by:
                return self._take_back(change, 487, now)
            case LegAcknowledged(leg, body) if change is not None and change.late and leg == change.by:
                return self._late_answer(change, body, now)
            case LegAcknowledged(leg, body):
                return self._hear_answer(leg, body, now)
            case _:
                return self._cancelled(report)

    def _too_late(self, report: LegReanswered, leg: int, now: float) -> "list[Out]":
        """The asking side was refused long ago, and this one believes in what it was offered: it is told what holds."""
        asked = self._call.legs[leg]
        if asked.owes_answer and leg in self._call.pair:
            return self._answer_late(report.body, leg, now)
        acked = [] if report.by_update else asked.acknowledge()
        if leg not in self._call.pair:
            return list(acked)
        try:
            side = self._call.side_of(leg)
            self._call.media.hear_answer(side, self._call.media.read(report.body, side))
        except SdpError as error:
            return [*acked, *self._unusable(leg, error, now)]
        self._rounds = 0
        self._wish(Wish(leg))
        return [*acked, *self.go_on(now)]

    def _answer_late(self, body: bytes, leg: int, now: float) -> "list[Out]":
        """It was asked for an offer that nobody waits for any more.

        "The ACK MUST carry an answer in its body" (RFC 3261 §13.2.2.4): out of what the other side described last,
        which then hears of it.
        """
        call, media = self._call, self._call.media
        try:
            side = call.side_of(leg)
            answer = media.answer_locally(side, media.read(body, side), now)
        except (SdpError, OutOfPortsError) as error:
            return self._unusable(leg, error, now)
        self._rounds = 0
        self._wish(Wish(call.opposite(leg)))
        return [*call.legs[leg].acknowledge(answer), AskMedia(media.relay()), *self.go_on(now)]

    def _hear_answer(self, leg: int, body: bytes, now: float) -> "list[Out]":
        """In an ACK, to an offer of somebody who has another partner by now: that is told what this side has said."""
        call = self._call
        uas = call.legs[leg].uas
        if not body or uas is None or uas.has_offer or leg not in call.pair:
            return []
        try:
            side = call.side_of(leg)
            call.media.hear_answer(side, call.media.read(body, side))
        except SdpError as error:
            return self._unusable(leg, error, now)
        return self.renegotiate(now, call.opposite(leg), leg)

    def go_on(self, now: float) -> "list[Out]":
        """Whose turn it is now: asked after everything that may have made a leg free."""
        outs: list[Out] = []
        while self._wishes and self._change is None:
            wish = next((one for one in self._wishes if self._call.legs[one.to].is_modifiable), None)
            if wish is None:
                break
            self._wishes.remove(wish)
            outs += self._begin(wish, now)
        return outs

    def renegotiate(self, now: float, *legs: int) -> "list[Out]":
        """A leg of the call has another partner: tell these what that has described, one after the other."""
        self._rounds = 0
        for leg in legs:
            self._wish(Wish(leg, fields=self._call.partner_fields(leg)))
        return self.go_on(now)

    def abandon(self, now: float) -> "list[Out]":
        """A leg is about to have another partner: offers under way and those that wait are refused, or cancelled."""
        call = self._call
        outs: list[Out] = []
        wishes, self._wishes = self._wishes, []
        asking = [one.offered.leg for one in wishes if one.offered is not None]
        change, self._change = self._change, None
        call.timers.stop("change", "turn")
        if change is not None:
            call.media.restore(now)
            outs += [] if self._drop_offer(change.to) else call.legs[change.to].cancel_offer()
            asking += [] if change.by is None else [change.by]
        for leg in asking:
            outs += call.legs[leg].refuse_offer(491, now)
        return outs

    def make_anew(self, now: float) -> "list[Out]":
        """Signalling has died in an exchange: both are offered what was agreed before, unless one of them has been
        quicker, so that nobody goes on with half of it.
        """
        if self.is_under_way or self.has_wishes:
            return []
        for leg in self._call.pair:
            self._wish(Wish(leg, refresh=True))
        return self.go_on(now)

    def timer(self, timer: str, now: float) -> "list[Out]":
        if timer == RECOVERY:
            return self.make_anew(now)
        if timer == "turn":
            return self._turned_away(now)
        change = self._change
        if change is None:
            return []
        # The asked peer has said 100 and no more, or does not even end what was taken back.
        self._call.context.trace.note(self._call.ref, now, "the offer got no final answer")
        if change.taken_back is None:
            return self._take_back(change, 504, now)
        return self._refused(change, change.taken_back, now)

    # --- whose turn it is ---------------------------------------------------------------------------------------------

    def _wish(self, wish: Wish) -> None:
        if wish not in self._wishes:
            self._wishes.append(wish)

    def _offered(self, report: LegOffered, now: float) -> "list[Out]":
        call, leg = self._call, report.leg
        if report.leg not in call.pair:
            return list(call.legs[leg].refuse_offer(491, now))  # its partner is about to change
        asking, asked = call.legs[leg], call.legs[call.opposite(leg)]
        if self._change is not None and self._change.by is None and self._change.to == leg and asking.drop_offer():
            self._give_way(self._change, now)
        if report.body and not (self._change and leg in (self._change.by, self._change.to)):
            try:
                side = call.side_of(leg)
                session = call.media.read(report.body, side)
                if call.media.is_same(side, session):
                    relay = [AskMedia(call.media.relay())] if call.media.is_said_anew(side, session) else []
                    return [*relay, *asking.answer(call.media.last_sent(side), now)]
            except SdpError as error:
                return list(asking.refuse_offer(error.status, now))
        wish = Wish(asked.n, report, until=now + TURN_SECONDS)
        if self._change is None and asked.is_modifiable:
            return self._begin(wish, now)
        if self._change is not None and self._change.to == leg:
            return self._meanwhile(self._change, report, now)
        if not call.is_answered:  # nothing waits so early
            # "If the UAS cannot change the session … without prompting the user", RFC 3311 §5.2
            return list(asking.refuse_offer(504, now))
        self._wish(wish)
        if not call.timers.is_set("turn"):
            call.timers.set("turn", now + TURN_SECONDS)
        return []

    def _give_way(self, change: Change, now: float) -> None:
        """An offer of our own has met the peer's and waits: let the peer's go first. It refreshes the session as well
        (RFC 5407 §3.3.1), and what else ours was for is seen when that is done.
        """
        self._call.media.restore(now)
        self._finish(now)
        if change.refresh:
            self._call.legs[change.to].refresh_failed(now)
        else:
            self._wish(Wish(change.to, fields=change.fields))

    def _meanwhile(self, change: Change, report: LegOffered, now: float) -> "list[Out]":
        """The asked peer makes an offer, because what it was offered has met that one before and waits (§14.1).

        The asking side cannot be asked now. For a refresh, a hold or a resume that need not be: we answer, and its own
        offer is made anew, so that the answer to that tells it the news. Anything else has to come again.
        """
        call, media, asked = self._call, self._call.media, self._call.legs[change.to]
        side, offer = call.side_of(change.to), media.offer
        try:
            session = media.read(report.body, side) if report.body and asked.offer_waits else None
            if session is None or not media.only_turns(side, session):
                return list(asked.refuse_offer(491, now))
            if asked.is_offer_unsaid:
                media.sides[side].unsay()
            media.restore(now)
            answer = media.answer_locally(side, session, now)
            relay = media.relay()
            if offer is not None:
                asked.reword_offer(media.pass_offer(offer.by, offer.received, now))
        except (SdpError, OutOfPortsError) as error:
            return self._unusable(change.to, error, now)
        self._change = replace(change, has_news=True)
        return [AskMedia(relay), *asked.answer(answer, now)]

    def _turned_away(self, now: float) -> "list[Out]":
        """The asked leg was not free in time."""
        outs: list[Out] = []
        for wish in [one for one in self._wishes if one.until is not None and one.until <= now]:
            self._wishes.remove(wish)
            if wish.offered is not None:
                outs += self._call.legs[wish.offered.leg].refuse_offer(491, now)
        later = [one.until for one in self._wishes if one.until is not None]
        if later:
            self._call.timers.set("turn", min(later))
        return outs

    def _cancelled(self, report: Report) -> "list[Out]":
        """An offer that still waits is taken back; everything else has crossed a change that is over."""
        if not isinstance(report, LegCancelled):
            return []
        waiting = [one for one in self._wishes if one.offered is not None and one.offered.leg == report.leg]
        for wish in waiting:
            self._wishes.remove(wish)
        return list(self._call.legs[report.leg].refuse(487)) if waiting else []

    def _begin(self, wish: Wish, now: float) -> "list[Out]":
        if wish.offered is not None:
            return self._cross(wish.offered, now)
        return self._repeat(wish.to, now) if wish.refresh else self._offer_again(wish, now)

    # --- offers of a peer ---------------------------------------------------------------------------------------------

    def _cross(self, offered: LegOffered, now: float) -> "list[Out]":
        call, leg = self._call, offered.leg
        asking, asked = call.legs[leg], call.legs[call.opposite(leg)]
        if not offered.body and asked.peer.delayed_offer == "convert":
            return self._offer_in_its_place(leg, now)
        passed = b""
        if offered.body:
            try:
                side = call.side_of(leg)
                passed = call.media.pass_offer(side, call.media.read(offered.body, side), now)
            except SdpError as error:
                call.context.trace.note(call.ref, now, f"offer of {asking.peer.name} refused: {error.reason}")
                return list(asking.refuse_offer(error.status, now))
            except OutOfPortsError:
                return list(asking.refuse_offer(503, now))
        self._start(Change(leg, asked.n, late=not offered.body), now, by_update=offered.by_update)
        fields = () if offered.message is None else call.crossing_fields(leg, offered.message)
        return list(asked.offer(passed, by_update=offered.by_update, fields=fields))

    def _offer_in_its_place(self, leg: int, now: float) -> "list[Out]":
        """The other side's policy keeps requests for an offer from it: who asks gets what it has described last."""
        call, asking = self._call, self._call.legs[leg]
        try:
            body = call.media.own_offer(call.side_of(leg), now)
        except SdpError as error:
            return list(asking.refuse_offer(error.status, now))
        except OutOfPortsError:
            return list(asking.refuse_offer(503, now))
        self._change = Change(leg, call.opposite(leg), late=True, converted=True)  # the leg watches for the ACK
        return list(asking.answer(body, now))

    def _reanswered(self, change: Change, report: LegReanswered, now: float) -> "list[Out]":
        if change.by is None:
            return self._own_answer(change, report, now)
        call, media, leg = self._call, self._call.media, report.leg
        asking, asked = call.legs[change.by], call.legs[leg]
        try:
            session = media.read(report.body, call.side_of(leg))
            if change.late:
                call.timers.stop("change")  # from now on the ACK is awaited, and the leg watches that
                return list(asking.answer(media.pass_offer(call.side_of(leg), session, now), now))
            passed = media.pass_answer(session)
        except (SdpError, OutOfPortsError) as error:
            # The asked side believes in a session that cannot be told to the asking one: neither can be kept.
            return self._unusable(leg, error, now)
        self._finish(now)
        acked = [] if report.by_update else asked.acknowledge()
        fields = () if report.response is None else call.crossing_fields(leg, report.response)
        return [*acked, AskMedia(media.relay()), *asking.answer(passed, now, fields), *self.go_on(now)]

    def _late_answer(self, change: Change, body: bytes, now: float) -> "list[Out]":
        media = self._call.media
        try:
            passed = media.pass_answer(media.read(body, media.offered_to))
        except SdpError as error:
            return self._unusable(change.to if change.by is None else change.by, error, now)
        self._finish(now)
        acked = [] if change.converted else self._call.legs[change.to].acknowledge(passed)
        if change.converted:
            self._rounds = 0
            self._wish(Wish(change.to))
        return [*acked, AskMedia(media.relay()), *self.go_on(now)]

    def _refused(self, change: Change, status: int, now: float) -> "list[Out]":
        """The session stays as it was."""
        self._call.media.restore(now)
        self._finish(now)
        if change.refresh:
            self._call.legs[change.to].refresh_failed(now)
        if change.has_news and change.by is not None:
            self._rounds = 0
            self._wish(Wish(change.by))
        if change.by is None:
            self._call.context.trace.note(self._call.ref, now, f"an offer of ours was refused: {status}")
            if change.to in self._call.pair and self._call.media.is_spent(self._call.side_of(change.to)):
                peer = self._call.legs[change.to].peer.name
                self._call.explain(f"media with {peer} needs another key, and it takes none: {status}", now)
                return self._call.fail(Cause.FAILED, now)
            return self.go_on(now)
        # Interop: many phones say 415 to a fax that they do not know. It is the offer that is not acceptable.
        told = 488 if status == 415 else crossing_status(status)
        return [*self._call.legs[change.by].refuse_offer(told, now), *self.go_on(now)]

    def _take_back(self, change: Change, status: int, now: float) -> "list[Out]":
        if change.taken_back is not None:
            return []
        asked = self._call.legs[change.to]
        if self._drop_offer(change.to):
            return self._refused(change, status, now)
        self._change = replace(change, taken_back=status)
        self._call.timers.set("change", now + CANCEL_SECONDS)
        return list(asked.cancel_offer())

    def _drop_offer(self, leg: int) -> bool:
        """False where it is on its way, and has to be cancelled."""
        asked = self._call.legs[leg]
        is_unsaid = asked.is_offer_unsaid
        if not asked.drop_offer():
            return False
        if is_unsaid:
            self._call.media.sides[self._call.side_of(leg)].unsay()
        return True

    # --- offers of our own --------------------------------------------------------------------------------------------

    def _repeat(self, to: int, now: float) -> "list[Out]":
        """A refresh of the session timer by re-INVITE, with what was agreed (RFC 4028 §7.4)."""
        call = self._call
        body = call.media.repeat_offer(call.side_of(to)) if to in call.pair else b""
        if not body:
            return []
        self._start(Change(None, to, refresh=True), now)
        return list(call.legs[to].offer(body))

    def _offer_again(self, wish: Wish, now: float) -> "list[Out]":
        call, to = self._call, wish.to
        if to not in call.pair or self._rounds >= _RENEGOTIATIONS:
            return []
        try:
            body = call.media.reoffer(call.side_of(to), now)
        except (SdpError, OutOfPortsError) as error:
            call.explain(f"{call.legs[to].peer.name} cannot be told of its new partner: {error}", now)
            return call.fail(Cause.FAILED, now)
        if body is None:
            return call.present(to, wish.fields)
        self._rounds += 1
        self._start(Change(None, to, fields=wish.fields), now)
        return list(call.legs[to].offer(body, by_update=True, fields=wish.fields, insists=True))

    def _own_answer(self, change: Change, report: LegReanswered, now: float) -> "list[Out]":
        call, media, asked = self._call, self._call.media, self._call.legs[change.to]
        acked = [] if report.by_update else asked.acknowledge()
        try:
            media.pass_answer(media.read(report.body, media.offered_to))
        except SdpError as error:
            return [*acked, *self._unusable(change.to, error, now)]
        self._finish(now)
        if not change.refresh:
            self._wish(Wish(call.opposite(change.to)))  # it is told what came of it, unless it knows
        return [*acked, AskMedia(media.relay()), *self.go_on(now)]

    # --- inside -------------------------------------------------------------------------------------------------------

    def _unusable(self, leg: int, error: Exception, now: float) -> "list[Out]":
        """What `leg` has answered; it believes in that, so that the call cannot go on as it was."""
        peer = self._call.legs[leg].peer.name
        self._call.explain(f"what {peer} says to a change of the call cannot be used: {error}", now)
        return self._call.fail(Cause.FAILED, now)

    def _start(self, change: Change, now: float, *, by_update: bool = False) -> None:
        self._change = change
        self._call.timers.set("change", now + (UPDATE_SECONDS if by_update else ANSWER_SECONDS))

    def _finish(self, now: float) -> None:
        self._change = None
        self._call.timers.stop("change", RECOVERY)
        self._call.media.settle(now)
        note_held(self._call, now)
        note_encrypted(self._call, now)
