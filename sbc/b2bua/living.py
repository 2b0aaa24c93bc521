"""The calls that are alive, and the crash barrier around each: one call's bug ends one call.

It steps calls, keeps their deadlines and their tapes, and forgets them when they are over. It does not know messages;
the switch finds out which call one is for.
"""

from collections.abc import Callable, Hashable, Sequence

from sbc.b2bua.call import Call, Out
from sbc.b2bua.commands import Log
from sbc.b2bua.context import Context
from sbc.b2bua.journal import CallJournal
from sbc.core.address import Flow
from sbc.core.commands import StoreState
from sbc.core.shares import Shares
from sbc.core.timers import Schedule
from sbc.sip.commands import Respond, SendMessage
from sbc.sip.transaction.key import ServerKey
from sbc.sip.transaction.outputs import ResponseReceived
from sbc.trace.masking import shown_error
from sbc.trace.recorder import leg_name

Step = Callable[[Call], Sequence[Out]]


class LivingCalls:
    """`forgotten` is told of every call that is over; `journal` of each step. Raises nothing that a call raises."""

    def __init__(self, context: Context, forgotten: Callable[[str], None], journal: CallJournal) -> None:
        self.calls: dict[str, Call] = {}
        self.shares = Shares()  # calls, by the peer that began them
        self._begun_by: dict[str, str] = {}
        self.deadlines: Schedule[str] = Schedule()
        self._context = context
        self._forgotten = forgotten
        self._journal = journal

    def add(self, call: Call) -> None:
        self.calls[call.ref] = call
        self._begun_by[call.ref] = call.legs[0].peer.name
        self.shares.take(call.legs[0].peer.name)

    # --- stepping -----------------------------------------------------------------------------------------------------

    def guarded(self, ref: str, step: Step, now: float, key: ServerKey | None = None) -> Sequence[Out]:
        """What the step orders; nothing where the call is gone. `key`: the request that the step is to answer."""
        call = self.calls.get(ref)
        if call is None:
            return []
        try:
            outs = step(call)
        except Exception as error:  # noqa: BLE001  the engine must outlive any one call
            crashed = self.crashed(call, error, now)
            return crashed if key is None else [*crashed, Respond(key, 500)]  # nowhere if the request has its answer
        self.settle(call, now, said=bool(outs))
        return outs

    def crashed(self, call: Call, error: Exception, now: float) -> list[Out]:
        """A bug has met this call: it ends, by its one exit if that still works."""
        self._context.trace.note(call.ref, now, f"internal error: {shown_error(error)}")
        outs: list[Out] = [crash_log(call.ref, error)]
        try:
            outs += call.abort(now)
        except Exception as worse:  # noqa: BLE001  a call that cannot even be aborted is forgotten
            self._context.relations.paths.give_back_all(call.ref)
            self._forget(call, now)
            return [*outs, crash_log(call.ref, worse)]
        self.settle(call, now)
        return outs

    def settle(self, call: Call, now: float, *, said: bool = True) -> None:
        """After a step. Where it has ordered nothing (not `said`), nobody has heard of it, and so it need not be known
        in another life: an ACK that comes is asked for once more.
        """
        if call.is_over:
            self._forget(call, now)
        else:
            if said:
                self._journal.touched(call)
            self.deadlines.set(call.ref, call.next_deadline())

    def _forget(self, call: Call, now: float) -> None:
        context = self._context
        self._journal.over(call)
        context.trace.end(call.ref, failed=True, at=now)  # nothing to be done, unless its tape was lost and begun anew
        self.deadlines.set(call.ref, None)
        for tag in call.tags:
            context.trace.dialog_over(tag, context.dialogs.pop(tag, None))
        context.moves.forget(call.ref, len(call.legs))
        context.session_ids.pop(call.ref, None)
        if self.calls.pop(call.ref, None) is not None:
            self.shares.give_back(self._begun_by.pop(call.ref))
        self._forgotten(call.ref)

    def left_answered(self, user: Hashable, out: ResponseReceived) -> list[StoreState]:
        """A response to something that no call here has said: calls of the life before may have."""
        return self._journal.answered(user, out)

    # --- tapes: of calls, and of peers --------------------------------------------------------------------------------

    def trace_received(self, user: Hashable, data: bytes, flow: Flow | None, now: float) -> None:
        user = _whose(user)
        if isinstance(user, tuple) and len(user) == 3 and self._is_traced(user[0]):
            self._context.trace.message(user[0], now, leg_name(user[1]), False, data, flow)
        elif user is not None:
            self._context.peer_tapes.message(user, now, False, data, flow)

    def trace_sent(self, out: SendMessage, now: float) -> None:
        user = _whose(out.user)
        if isinstance(user, tuple) and len(user) == 3 and self._is_traced(user[0]):
            self._context.trace.message(user[0], now, leg_name(user[1]), True, out.data, out.flow)
        elif user is not None:
            self._context.peer_tapes.message(user, now, True, out.data, out.flow)

    def _is_traced(self, ref: str) -> bool:
        """What comes for a call that nobody remembers must not begin a tape that nobody ends."""
        return ref in self.calls or ref in self._context.trace


def _whose(user: Hashable) -> Hashable:
    """The BYE that ends an unwanted 2xx is known by the INVITE's user and a tag: its ladder has that BYE too."""
    while isinstance(user, tuple) and isinstance(user[0], tuple):
        user = user[0]
    return user


def crash_log(ref: str, error: Exception) -> Log:
    """Names the innermost place, because the log line is all that a bug report may have."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    where = "" if place is None else f"{_within(place.tb_frame.f_code.co_filename)}:{place.tb_lineno}"
    return Log(
        "error", "call.crashed", (("alarm", True), ("ref", ref), ("error", shown_error(error)), ("where", where))
    )


def _within(file: str) -> str:
    """A module's path from this program's folder on: the same wherever it is installed."""
    at = file.rfind("/sbc/")
    return file if at < 0 else file[at + 1 :]
