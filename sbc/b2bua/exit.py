"""The one exit of a call: its legs are released, its ports returned, its record is written, once (RFC 3261 §15).

It waits for what the media worker has counted, a moment at most. Where a bug has come in the way, what still works is
done (`abort`). Why and when a call ends is not its business. It belongs to one call; that and `turning` use it.
"""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from sbc.b2bua.account import Ending
from sbc.b2bua.commands import AskMedia, Log, WriteCdr
from sbc.b2bua.notes import note_media
from sbc.b2bua.orders import ChildFailed
from sbc.b2bua.states import Ended
from sbc.core.cause import Cause
from sbc.media import wire
from sbc.sip.commands import Respond
from sbc.sip.message import Request, Response

if TYPE_CHECKING:
    from sbc.b2bua.call import Call, Out

FULL_SECONDS: Final = 60.0  # between two lines that say of one peer that calls find no path
MEDIA_REPORT_SECONDS: Final = 1.0  # how long the record waits for the media worker's counts


class Exit:
    def __init__(self, call: "Call") -> None:
        self._call = call
        self._is_aborted = False

    def end(self, ending: Ending, now: float, leg: int, message: Request | Response | None) -> "list[Out]":
        """`message`: the one of `leg` that has ended it."""
        call = self._call
        if isinstance(call.state, Ended):
            return []
        call.account.attempt_ended(None, ending.cause, now)
        call.state = Ended(ending, now)
        call.timers.clear()
        outs: list[Out] = [*call.transfer.ended(now)] if call.transfer.is_active else []
        if call.errand is not None and call.account.answered_at is None:
            outs.append(ChildFailed(call.errand.parent, call.ref, ending.status))
        for one in call.legs:
            fields = () if one.is_closed else call.passing.last_words(one, ending.q850, leg, message)
            outs += one.release(ending.status, (*fields, *ending.fields) if one is call.ingress else fields)
        call.media.release(now)
        call.holdings.give_back(now)
        for joined in call.joined:
            joined.give_back(call.context, now)
        call.context.trace.note(call.ref, now, f"ended: {ending.cause} ({ending.status}) by {ending.by}")
        call.context.trace.end(call.ref, failed=ending.cause is not Cause.NORMAL, at=now)
        call.context.outcomes[call.ingress.peer.name, call.account.called_peer, ending.cause] += 1
        outs.append(self._log_end(ending, now))
        if ending.cause is Cause.PATHS_FULL:
            outs += self._say_full(now)
        if not call.media.is_up:
            return outs + self.write_record()
        call.timers.set("media report", now + MEDIA_REPORT_SECONDS)
        outs.append(AskMedia(wire.DeleteSession(call.ref)))
        return outs

    # --- its record ---------------------------------------------------------------------------------------------------

    def take_counts(self, counts: Sequence[wire.StreamCount], now: float) -> "list[Out]":
        """The media worker's last word."""
        call = self._call
        if call.media.is_answered:
            call.account.media = call.media.report(counts)
            note_media(call, counts, now)
        return self.write_record()

    def write_record(self) -> "list[Out]":
        """Once: when the media worker has spoken, or has not for too long."""
        call = self._call
        state = call.state
        if not isinstance(state, Ended) or state.written:
            return []
        record = call.account.record(state.ending, state.ended_at, call.context.wall)
        call.state = Ended(state.ending, state.ended_at, written=True)
        call.timers.clear()
        joined = [one.record(state.ending, state.ended_at, call.context) for one in call.joined]
        return [*joined, WriteCdr(record)]

    def stored(self) -> None:
        """It is on the disk."""
        call = self._call
        if isinstance(call.state, Ended):
            call.state = Ended(call.state.ending, call.state.ended_at, written=True, durable=True)

    def _log_end(self, ending: Ending, now: float) -> Log:
        call = self._call
        answered_at = call.account.answered_at
        return call.log(
            "call.ended",
            ("cause", str(ending.cause)),
            ("status", ending.status),
            ("by", ending.by),
            ("talked_seconds", None if answered_at is None else round(now - answered_at, 1)),
            ("why", None if ending.cause is Cause.NORMAL else call.why or None),
        )

    def _say_full(self, now: float) -> list[Log]:
        """A full trunk refuses many calls: once a minute of each peer."""
        call, said = self._call, self._call.context.full_said
        peer = call.account.aimed_at or call.ingress.peer.name
        if now - said.get(peer, -FULL_SECONDS) < FULL_SECONDS:
            return []
        for name in [name for name, at in said.items() if now - at >= FULL_SECONDS]:
            del said[name]  # it may have left the policy
        said[peer] = now
        why = "all its call paths are taken" if call.account.aimed_at else call.why
        return [Log("error", "paths.full", (("alarm", True), ("peer", peer), ("ref", call.ref), ("why", why)))]

    # --- where a bug is in the way ------------------------------------------------------------------------------------

    def abort(self, now: float) -> "list[Out]":
        call = self._call
        outs = self._end_anyhow(now)
        if not self._is_aborted:  # once: it may be the answer itself that cannot be made
            self._is_aborted = True
            # What the step that failed had to say was lost with it. This goes nowhere where an answer is out.
            outs += [Respond(leg.uas.key, 500) for leg in call.legs if leg.uas is not None]
        return outs

    def _end_anyhow(self, now: float) -> "list[Out]":
        call = self._call
        try:
            if isinstance(call.state, Ended):
                return self._end_by_force(call.state.ending, now)
            return call.end(Ending(Cause.INTERNAL, call.final_status(500), Cause.INTERNAL.q850, "sbc"), now)
        except Exception:  # noqa: BLE001  the barrier behind the barrier
            return self._end_by_force(Ending(Cause.INTERNAL, 500, Cause.INTERNAL.q850, "sbc"), now)

    def _end_by_force(self, ending: Ending, now: float) -> "list[Out]":
        """The exit itself has a bug. Peers are told if possible, and none is waited for; the record and the ports."""
        call = self._call
        outs: list[Out] = []
        if not isinstance(call.state, Ended):
            call.state = Ended(ending, now)
        for leg in call.legs:
            with suppress(Exception):
                outs += leg.release(ending.status, ())
            with suppress(Exception):
                outs += leg.close()
        call.timers.clear()
        with suppress(Exception):
            call.holdings.give_back(now)
        call.media.release(now)
        if call.media.is_up:
            outs.append(AskMedia(wire.DeleteSession(call.ref)))
        call.context.trace.end(call.ref, failed=True, at=now)
        try:
            outs += self.write_record()
        except Exception:  # noqa: BLE001  then there is nothing to be stored, and nothing to wait for
            call.state = Ended(ending, now, written=True, durable=True)
        return outs
