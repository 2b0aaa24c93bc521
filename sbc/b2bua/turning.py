"""Where what rises turns around: which part of a call acts on a report of a leg, or on a timer that is due.

Functions of the call, which calls them with each. What ends a call that talks is decided here; all else by its part.
"""

from typing import TYPE_CHECKING, Final

from sbc.b2bua.account import Ending
from sbc.b2bua.reports import (
    LegAcknowledged,
    LegAsked,
    LegCancelled,
    LegExpired,
    LegHungUp,
    LegOffered,
    LegReanswered,
    LegRefreshDue,
    LegReplied,
    LegRerefused,
    LegUnacknowledged,
    Report,
)
from sbc.b2bua.spooling import not_stored, note_talk, while_waiting
from sbc.b2bua.states import Ended, Hunting, Recording, Talking
from sbc.core.cause import Cause

if TYPE_CHECKING:
    from sbc.b2bua.call import Call, Out

_NORMAL_UNSPECIFIED: Final = 31  # Q.850


def take_report(call: "Call", report: Report, now: float) -> "list[Out]":
    match call.state, report:
        case Ended(), _:
            return []  # crossed on the wire; harmless once we have moved on
        case Recording(), LegOffered() | LegCancelled() | LegHungUp():
            return while_waiting(call, report, now)
        case _, LegOffered(n, b"", True):
            return call.passing.identified(n, report, now)
        case _, LegOffered() | LegReanswered() | LegRerefused() | LegRefreshDue():
            return call.modification.handle(report, now)
        case _, LegAsked():
            taken = call.transfer.asked(report, now)
            return call.passing.asked(report, now) if taken is None else taken
        case _, LegReplied():
            taken = call.transfer.replied(report, now)
            return call.passing.replied(report) if taken is None else taken
        case Hunting() as state, _:
            return call.setup.handle(state, report, now)
        case Recording(), _:
            return while_waiting(call, report, now)
        case Talking(), _:
            return _report_in_talk(call, report, now)
        case _:
            raise AssertionError(f"{report} in {call.state}")


def _report_in_talk(call: "Call", report: Report, now: float) -> "list[Out]":
    match report:
        case LegHungUp(n) | LegExpired(n) | LegUnacknowledged(n) | LegCancelled(n, True) if call.transfer.outlives(n):
            return call.transfer.hung_up(n, now) or []
        case LegHungUp(n, q850, request):
            ending = Ending(Cause.NORMAL, 200, q850 or Cause.NORMAL.q850, call.who(n))
            return call.end(ending, now, n, request)
        case LegUnacknowledged(n):
            who = call.legs[n].peer.name
            call.explain(f"no ACK: {who} should send it to the Contact of our 200", now)
            return call.end(Ending(Cause.NO_ACK, 200, Cause.NO_ACK.q850, "sbc"), now)
        case LegExpired(n):
            call.explain(f"the session timer has run out: {call.legs[n].peer.name} is not heard of any more", now)
            return call.end(Ending(Cause.SESSION_EXPIRED, 200, Cause.SESSION_EXPIRED.q850, "sbc"), now)
        case LegCancelled(n, True, cancel):
            return call.end(Ending(Cause.CANCELLED, 487, Cause.CANCELLED.q850, call.who(n)), now, n, cancel)
        case LegAcknowledged(n, body, True) if n == 0:
            return call.setup.acknowledged(body, now)
        case LegAcknowledged() | LegCancelled():
            return call.modification.handle(report, now)
        case _:
            return []  # of an attempt that was given up, or of a provisional that the 2xx has overtaken


def take_timer(call: "Call", timer: str, now: float) -> "list[Out]":
    match call.state, timer:
        case Ended(), "media report":
            return call.exit.write_record()
        case Ended(), _:
            return []  # it was due together with the one that has ended the call
        case _, "answers":
            return call.passing.unanswered(now)
        case _, "change" | "turn" | "recovery":
            return call.modification.timer(timer, now)
        case Hunting() as state, _:
            return call.setup.timer(state, timer, now)
        case Recording(), "record":
            return not_stored(call, now)
        case Recording(), _:
            return []
        case Talking(), "interim":
            return note_talk(call, now)
        case Talking(), "max_duration":
            call.explain("limits.max_duration is reached", now)
            return call.end(Ending(Cause.RATE_LIMITED, 200, _NORMAL_UNSPECIFIED, "sbc"), now)
        case _:
            raise AssertionError(f"{timer} in {call.state}")
