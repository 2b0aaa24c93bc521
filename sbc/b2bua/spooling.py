"""What the spool is told of a call before its record: that it came, that it was answered, that it still talks.

Functions of the call. What they make is a value and a command, cheap enough for every call; the runtime writes it.
With `cdr: strict` the caller hears of an answer only when it is on the disk: the call is `Recording` until then, for
`CDR_START_SECONDS` at most. Meanwhile he may give up and the callee may hang up; offers are to come again (491).
Emergencies never wait, and nor do calls that a transfer places, whose caller talks already.
"""

from typing import TYPE_CHECKING

from msgspec.structs import replace

from sbc.b2bua.account import Ending
from sbc.b2bua.commands import NoteCdr
from sbc.b2bua.reports import LegCancelled, LegExpired, LegHungUp, LegOffered, LegUnacknowledged, Report
from sbc.b2bua.states import Recording
from sbc.cdr.entry import Attempted, Interim, Started
from sbc.core import limits
from sbc.core.cause import Cause
from sbc.sip.message import Fields

if TYPE_CHECKING:
    from sbc.b2bua.call import Call, Out


def note_attempt(call: "Call") -> NoteCdr:
    """Its INVITE is here."""
    account = call.account
    return NoteCdr(
        Attempted(
            call.ref,
            account.ingress,
            account.caller,
            account.called,
            call.context.wall.of(account.started_at),
            account.ingress_call_id,
            call.policy.may_be_emergency(account.ingress, account.called),  # nobody has decided yet
        )
    )


def note_start(call: "Call", now: float, *, tells: bool = False) -> NoteCdr:
    """It is answered."""
    record = call.account.so_far(now, call.context.wall)
    return NoteCdr(Started(replace(record, answered_at=call.context.wall.of(now), billable_ms=0)), tells)


def note_talk(call: "Call", now: float) -> "list[Out]":
    """It still talks, and those that it has taken in go on with it; and when it is to be said again."""
    set_interim(call, now)
    heard_at, wall = call.media.listening.heard_at, call.context.wall
    accounts = [call.account, *(joined.account for joined in call.joined)]
    return [NoteCdr(Interim(one.talks_still(heard_at, wall))) for one in accounts]


def set_interim(call: "Call", now: float) -> None:
    """It talks from now on, or goes on with that after a death of signalling."""
    seconds = call.policy.cdr.interim
    if seconds is not None:
        call.timers.set("interim", now + seconds)


# --- `cdr: strict` ----------------------------------------------------------------------------------------------------


def must_wait(call: "Call") -> bool:
    """The caller is not to hear of the answer before it is on the disk."""
    return call.policy.cdr.strict and call.errand is None and not call.is_emergency


def wait(call: "Call", body: bytes, fields: Fields, now: float) -> "list[Out]":
    """Whom it called has answered so."""
    call.state = Recording(body, fields)
    call.timers.set("record", now + limits.CDR_START_SECONDS)
    return [note_start(call, now, tells=True)]


def stored(call: "Call", now: float) -> "list[Out]":
    """The answer is on the disk."""
    state = call.state
    if not isinstance(state, Recording):
        return []
    call.timers.stop("record")
    return call.talk(state.body, now, state.fields)


def not_stored(call: "Call", now: float) -> "list[Out]":
    """It is not, and that is too long."""
    call.explain("cdr: strict, and the disk has not taken the record of the answer", now)
    return call.refuse(Cause.OVERLOAD, 503, now)


def while_waiting(call: "Call", report: Report, now: float) -> "list[Out]":
    """What a leg reports meanwhile."""
    match report:
        case LegCancelled(0, _, cancel):
            return call.end(Ending(Cause.CANCELLED, 487, Cause.CANCELLED.q850, "caller"), now, 0, cancel)
        case LegHungUp(n, q850, request):
            return call.end(Ending(Cause.REJECTED, 480, q850 or Cause.NORMAL.q850, "callee"), now, n, request)
        case LegOffered(n):
            return list(call.legs[n].refuse_offer(491, now))
        case LegUnacknowledged() | LegExpired():
            return call.refuse(Cause.NO_ACK, 504, now)
        case _:
            return []  # of an attempt that was given up, or what the 2xx has overtaken
