"""The next life of signalling: calls are made again of what the journal has kept, and go on.

`restore` comes before anything else is done: calls hold their ports, paths and dialogs again, and nobody hears of it.
`start` says what is due: media sessions to the workers, a 2xx or BYE that was not acknowledged, final answers to who
was still being set up. What cannot be read ends its own call: its media session goes, its record is closed by the
spool. The switch uses it.
"""

from collections.abc import Sequence
from typing import Final

from sbc.b2bua.account import Account
from sbc.b2bua.call import Call
from sbc.b2bua.call import Out as CallOut
from sbc.b2bua.commands import AskMedia, Log, StoreState, WriteCdr
from sbc.b2bua.context import Context
from sbc.b2bua.ended_dialogs import REPEATED_SECONDS, EndedDialogs, SavedEnd, SavedEnded
from sbc.b2bua.journal import END, PREFIX, CallJournal, Saved, UnreadableError, decode
from sbc.b2bua.leftovers import Leftovers, SavedSetup
from sbc.b2bua.leg.state import State as LegState
from sbc.b2bua.living import LivingCalls
from sbc.b2bua.modify import RECOVERY
from sbc.b2bua.saved_call import SETTLE_SECONDS, SavedCall, joined_again, restore_call
from sbc.core.cause import Cause
from sbc.media import wire

Out = CallOut | StoreState
ASKED_WITHIN_SECONDS: Final = 6.0  # in which all calls are asked whether they are there, where news may be missing


class Recovery:
    def __init__(
        self,
        context: Context,
        living: LivingCalls,
        journal: CallJournal,
    ) -> None:
        self._leftovers = Leftovers(context)
        self._ended = context.ended = EndedDialogs(self._leftovers)
        self._context = context
        self._living = living
        self._journal = journal
        self._lost: list[Out] = []
        self._records: list[Out] = []
        self._left_over: list[Out] = []  # of calls that others have taken in, where we died in the middle of that
        self._restored: list[str] = []
        self._set_up = 0

    def restore(self, items: Sequence[tuple[str, bytes]], now: float, *, is_late: bool = False) -> None:
        """`is_late`: what was said last may be missing. Some of these calls have ended since, and others have changed:
        each is offered what it had, and who has left says so.
        """
        values = {key.removeprefix(PREFIX): value for key, value in items if key.startswith(PREFIX)}
        ends = {ref.removesuffix(END): values.pop(ref) for ref in list(values) if ref.endswith(END)}
        read = {ref: self._read(ref, value, ends.pop(ref, None), now) for ref, value in values.items()}
        found = {ref: pair for ref, pair in read.items() if pair is not None}
        taken_in = {one.ref for saved, _ in found.values() if isinstance(saved, SavedCall) for one in saved.joined}
        self._left_over += [AskMedia(wire.DeleteSession(ref)) for ref in sorted(taken_in)]
        for ref, (saved, ended) in found.items():
            if ref in taken_in:
                self._lost += [*self._journal.forget(ref), StoreState(PREFIX + ref + END, None)]
            else:
                self._restore(ref, saved, ended, now)
        if is_late:
            for ref in self._restored:
                self._ask(self._living.calls[ref], now)
        for ref in ends:  # of calls that were about to be forgotten
            self._lost.append(StoreState(PREFIX + ref + END, None))

    def start(self, now: float) -> list[Out]:
        """Once; what is to be said now."""
        outs, self._lost = self._lost, []
        outs += self._leftovers.start(self._journal.unanswered.said, now)
        outs += self._records
        self._records = []
        restored, self._restored = self._restored, []
        if restored or self._set_up:
            outs.append(Log("warning", "calls.recovered", (("talking", len(restored)), ("set_up", self._set_up))))
        for ref in restored:
            outs += self._living.guarded(ref, lambda call: _resume(call, now), now)
        outs += self._left_over  # the calls that go on have taken of these what they need
        self._left_over = []
        return outs

    def _ask(self, call: Call, now: float) -> None:
        """A little after the start, and not all at once."""
        for side in call.media.sides.values():
            side.lose_track()
        spread = self._context.ids.number(round(ASKED_WITHIN_SECONDS * 1000)) / 1000
        call.timers.set(RECOVERY, now + SETTLE_SECONDS + spread)
        self._living.deadlines.set(call.ref, call.next_deadline())

    def _read(self, ref: str, value: bytes, end: bytes | None, now: float) -> tuple[Saved, Saved | None] | None:
        try:
            return decode(value), None if end is None else decode(end)
        except UnreadableError as error:
            self._lose(ref, error, now)
            return None

    def _restore(self, ref: str, saved: Saved, ended: Saved | None, now: float) -> None:
        try:
            if isinstance(saved, SavedCall) and isinstance(ended, SavedEnd):
                self._take_ended(ref, saved, ended, now)
            else:
                self._take(ref, saved, now)
        except Exception as error:  # noqa: BLE001  one call's value must not keep all others down
            joined = saved.joined if isinstance(saved, SavedCall) else ()
            self._lose(ref, error, now, *[one.ref for one in joined])

    def _take(self, ref: str, saved: Saved, now: float) -> None:
        match saved:
            case SavedCall():
                call = restore_call(ref, saved, self._context, now)
                self._context.trace.note(ref, now, "signalling was started again: what was said before is not known")
                self._living.add(call)
                self._living.settle(call, now, said=False)
                self._restored.append(ref)
                self._journal.restored(ref)
            case SavedSetup():
                self._leftovers.restore(ref, saved, now)
                self._journal.is_over(ref, now + REPEATED_SECONDS, is_stored=False)
                self._journal.unanswered.keep(ref, saved)
                self._set_up += 1
            case SavedEnded(_, at, until, account, ending):
                self._ended.restore(ref, saved, now)
                record = Account.restored(ref, account).record(ending, at, self._context.wall)
                self._records += [AskMedia(wire.DeleteSession(ref)), WriteCdr(record)]
                self._journal.is_over(ref, min(until, now + REPEATED_SECONDS), is_stored=False)
                self._journal.unanswered.keep(ref, saved)
            case SavedEnd():
                raise UnreadableError("the end of a call that is not there")

    def _take_ended(self, ref: str, saved: SavedCall, end: SavedEnd, now: float) -> None:
        """Its records are written once more, as long as they are not on the disk for certain: the first one counts."""
        context = self._context
        self._ended.restore_end(ref, saved.legs, end, now)
        if not end.is_over:
            account = Account.restored(ref, saved.account)
            account.media = end.media
            joined = [joined_again(one) for one in saved.joined]
            self._records.append(AskMedia(wire.DeleteSession(ref)))
            self._records += [one.record(end.ending, end.at, context) for one in joined]
            self._records.append(WriteCdr(account.record(end.ending, end.at, context.wall)))
        until = min(end.at, now) + REPEATED_SECONDS
        self._journal.is_over(ref, until, is_stored=end.is_over, has_end=True)
        if not end.is_over:
            self._journal.unanswered.keep(ref, end)

    def _lose(self, ref: str, error: Exception, now: float, *joined: str) -> None:
        """Of a version that is not read, damaged, or of a policy that does not fit. Whatever it held is let go of.
        `joined`: calls that it has taken in.
        """
        context = self._context
        context.relations.paths.give_back_all(ref)
        for one in (ref, *joined):
            context.relations.quotas.end_all(one, now, context.wall.of(now))
        context.trace.end(ref, failed=True, at=now)
        for tag in [tag for tag, place in context.dialogs.items() if place[0] == ref]:
            del context.dialogs[tag]
        context.session_ids.pop(ref, None)
        fields = (("alarm", True), ("ref", ref), ("reason", str(error) or type(error).__name__))
        self._lost += [
            Log("error", "call.not_recovered", fields),
            AskMedia(wire.DeleteSession(ref)),
            *self._journal.forget(ref),
            StoreState(PREFIX + ref + END, None),
        ]


def _resume(call: Call, now: float) -> Sequence[CallOut]:
    """What it has to say now that it lives again."""
    put = call.media.resume(now)
    outs: list[CallOut] = [*([] if put is None else [AskMedia(put)]), *call.resume(now)]
    if not call.is_answered:
        return outs
    gone = [
        leg for leg in map(call.legs.__getitem__, call.pair) if not (leg.state is LegState.TALKING or leg.owes_answer)
    ]
    strangers = [leg for leg in call.legs if not leg.is_closed and leg.peer.name not in call.policy.peers]
    if gone or strangers:
        why = "who talked here has gone while it was transferred" if gone else "the policy has its peer no more"
        call.explain(f"signalling was started again: {why}", now)
        return [*outs, *call.fail(Cause.FAILED, now)]
    return [*outs, *call.transfer.resume(now)]
