"""Two calls become one: a leg of one talks with a leg of the other from now on (RFC 5589, RFC 3891).

The survivor takes in all legs of the other call, with their dialogs, call paths and, of the leg that stays, the media
side with its ports and its o= line. What each call was to be billed goes on under its own ref until the survivor ends.
Nobody is told anything here but the media worker; `transfer` says who goes, and the call offers each side the other.
"""

from typing import TYPE_CHECKING

from sbc.b2bua.account import Account, Ending, Who
from sbc.b2bua.commands import AskMedia, WriteCdr
from sbc.b2bua.media import CallMedia, OutOfPortsError, SideName
from sbc.b2bua.orders import JoinCalls
from sbc.b2bua.replaces import Found
from sbc.b2bua.session_ids import SessionIds
from sbc.b2bua.spooling import note_start
from sbc.b2bua.states import Ended, Talking
from sbc.core.cause import Cause
from sbc.core.limits import TRANSFERS_PER_CALL
from sbc.media import wire
from sbc.peering.rates import Usage
from sbc.sdp.model import SdpError, Session
from sbc.sip.checks import Refusal

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sbc.b2bua.call import Call, Out
    from sbc.b2bua.context import Context

_TAKEN_IN = Ending(Cause.NORMAL, 200, Cause.NORMAL.q850, "sbc")


class Joined:
    """What goes on of a call that another one has taken in: its record, and what it uses of limits.

    `leg`: of the survivor, whose party this call was set up with, and `number`, that party's. `is_turned`: who is the
    caller of the survivor is the callee of this one. `into`: the survivor's ref.
    """

    __slots__ = ("account", "into", "is_private", "is_turned", "leg", "media", "number", "ref", "usages")

    def __init__(
        self,
        account: Account,
        usages: "Iterable[Usage]",
        media: CallMedia | None,
        leg: int,
        number: str,
        *,
        is_turned: bool,
    ) -> None:
        self.ref = account.ref
        self.account = account
        self.usages = tuple(usages)
        self.media = media
        self.leg = leg
        self.number = number
        self.is_turned = is_turned
        self.into = ""
        self.is_private = False  # his number is not shown to anybody

    def take_counts(self, counts: "Sequence[wire.StreamCount]") -> None:
        """The media worker's last word on the session that this call had before; nobody waits for it in a later life of
        signalling.
        """
        if self.media is not None and self.media.is_answered:
            self.account.media = self.media.report(counts)

    def give_back(self, context: "Context", now: float) -> None:
        for usage in self.usages:
            usage.end(self.ref, now, context.wall.of(now))
        self.usages = ()

    def record(self, ending: Ending, ended_at: float, context: "Context") -> WriteCdr:
        """The survivor has ended so."""
        turned: dict[Who, Who] = {"caller": "callee", "callee": "caller", "sbc": "sbc"}
        by = turned[ending.by] if self.is_turned else ending.by
        mine = Ending(ending.cause, ending.status, ending.q850, by)
        record = self.account.record(mine, ended_at, context.wall, joined_to=self.into)
        context.outcomes[record.ingress, record.egress or "", ending.cause] += 1
        return WriteCdr(record)


def carry_out(order: JoinCalls, survivor: "Call", other: "Call | None", now: float) -> "list[Out]":
    """What the switch does for `JoinCalls`; the other call is over afterwards, and to be forgotten."""
    if other is None or not _fit(survivor, order.kept) or not _fit(other, order.other_kept):
        return survivor.transfer.join_failed(now)
    outs = [*survivor.modification.abandon(now), *other.modification.abandon(now)]
    moved = join(survivor, order.kept, other, order.other_kept, now)
    # The other session goes last: its ports are the survivor's already, and hear all the time.
    outs.append(AskMedia(survivor.media.relay()))
    outs += [AskMedia(wire.DeleteSession(order.other))] if other.media.is_up else []
    outs += survivor.transfer.joined(moved, now, other=order.other)
    return outs + survivor.renegotiate(now)


def take_over(
    found: Found, survivor: "Call", newcomer: "Call", offer: Session | None, now: float
) -> "tuple[list[Out], Refusal | None]":
    """An INVITE with Replaces: leg 0 of `newcomer`, which has come in and is not answered, takes the place of a leg.

    It is answered at once with what the other side has described. "If the UA cannot accept the new INVITE … MUST leave
    the matched dialog unchanged" (RFC 3891 §3): so it is, but that an offer under way has got its 491.
    """
    if offer is None:
        # Deviation: an INVITE without an offer is legal. Its answer would come with the ACK, when the replaced dialog
        # is gone and nothing can stay unchanged.
        return [], Refusal(488)
    if survivor.transfer.is_active:
        return [], Refusal(491)
    if survivor.transfer.count >= TRANSFERS_PER_CALL:
        return [], Refusal(603)
    kept = survivor.opposite(found.leg)
    name, theirs = survivor.side_of(found.leg), newcomer.side_of(0)
    outs = [*survivor.modification.abandon(now)]
    _exchange(survivor.media, name, newcomer.media, theirs, now)
    try:
        body = survivor.media.answer_locally(name, offer, now)
    except (SdpError, OutOfPortsError) as error:
        _exchange(survivor.media, name, newcomer.media, theirs, now)
        return outs, Refusal(error.status if isinstance(error, SdpError) else 503)
    outs.append(note_start(newcomer, now))
    newcomer.account.answered_at = now
    newcomer.holdings.answered(now)
    moved = _take_in(survivor, kept, newcomer, 0, now)
    survivor.context.relations.paths.move(survivor.ref, found.leg, survivor.ref, moved[0])  # one conversation
    outs += survivor.legs[moved[0]].accept(body, now)
    outs += survivor.transfer.replaced(found.leg, now)
    outs.append(AskMedia(survivor.media.relay()))
    return outs + survivor.renegotiate(now), None


def join(survivor: "Call", kept: int, other: "Call", other_kept: int, now: float) -> dict[int, int]:
    """The new numbers of the other call's legs. Both calls talk, and the legs that are kept are up."""
    name = survivor.side_of(survivor.opposite(kept))
    _exchange(survivor.media, name, other.media, other.side_of(other_kept), now)
    return _take_in(survivor, kept, other, other_kept, now)


def shown_number(call: "Call", leg: int) -> str:
    """The number of who is on that leg, for the others to see; "" where he withholds it."""
    for joined in call.joined:
        if joined.leg == leg:
            return "" if joined.is_private else joined.number
    if leg == 0:
        return "" if call.parties.is_anonymous else call.account.caller
    return call.account.called


def number_of_party(call: "Call", leg: int) -> str:
    """The number of who is on that leg, in E.164 where it has such a form."""
    for joined in call.joined:
        if joined.leg == leg:
            return joined.number
    return call.account.caller if leg == 0 else call.account.called


def _fit(call: "Call", leg: int) -> bool:
    return isinstance(call.state, Talking) and leg in call.pair and not call.legs[leg].is_closed


def _exchange(one: CallMedia, name: SideName, other: CallMedia, others_name: SideName, now: float) -> None:
    """A side goes with its leg. What the place of its partner had goes to the other call, to be given back with it."""
    side, others = one.give_side(name), other.give_side(others_name)
    one.take_side(name, others, now)
    other.take_side(others_name, side, now)


def _take_in(survivor: "Call", kept: int, other: "Call", other_kept: int, now: float) -> dict[int, int]:
    context = survivor.context
    is_turned = survivor.side_of(kept) == other.side_of(other_kept)
    number = number_of_party(other, other_kept)
    is_private = not shown_number(other, other_kept)
    moved = _move_legs(survivor, other)
    theirs = context.session_ids.pop(other.ref, None)
    if theirs is not None:
        ours = context.session_ids.setdefault(survivor.ref, SessionIds(context.ids))
        for was, leg in moved.items():
            ours.move(leg, theirs, was)
    for tag in other.tags:
        context.dialogs[tag] = (survivor.ref, moved[context.dialogs[tag][1]])
    survivor.take_requests(other, moved)
    survivor.tags.extend(other.tags)
    other.tags.clear()
    new = moved[other_kept]
    survivor.pair = (kept, new) if survivor.pair[0] == kept else (new, kept)
    for joined in other.joined:
        joined.leg = moved[joined.leg]
        joined.is_turned ^= is_turned
    taken = Joined(other.account, other.holdings.usages, other.media, new, number, is_turned=is_turned)
    taken.is_private = is_private
    for joined in (*other.joined, taken):
        joined.into = survivor.ref  # also of what the other call has taken in: they are one call now
        survivor.joined.append(joined)
    other.joined.clear()
    other.holdings.usages.clear()
    survivor.transfer.count += other.transfer.count
    _end(survivor, other, now)
    return moved


def _move_legs(survivor: "Call", other: "Call") -> dict[int, int]:
    context = survivor.context
    moved = {leg.n: len(survivor.legs) + i for i, leg in enumerate(other.legs)}
    for leg in other.legs:
        old = leg.n
        leg.ref, leg.n = survivor.ref, moved[old]
        context.relations.paths.move(other.ref, old, survivor.ref, leg.n)
        context.moves.note((other.ref, old), (survivor.ref, leg.n))
        survivor.legs.append(leg)
        context.trace.begins(survivor.ref, leg.n, leg.peer.name)
    survivor.holdings.take_in(other.holdings, moved)
    other.legs.clear()
    return moved


def _end(survivor: "Call", other: "Call", now: float) -> None:
    """Not by its exit: it writes no record of its own, and no leg of it is left to be released."""
    if other.account.emergency:
        survivor.timers.stop("max_duration")  # nothing ends an emergency call (contract, section 7)
    limit = None if survivor.account.emergency else other.timers.at("max_duration")
    if limit is not None and limit < (survivor.timers.at("max_duration") or limit + 1):
        survivor.timers.set("max_duration", limit)
    other.timers.clear()
    other.media.release(now)
    other.state = Ended(_TAKEN_IN, now, written=True, durable=True)
    trace = survivor.context.trace
    trace.note(survivor.ref, now, f"takes in the call {other.ref}")
    trace.note(other.ref, now, f"goes on in the call {survivor.ref}")
    trace.end(other.ref, failed=False, at=now)
