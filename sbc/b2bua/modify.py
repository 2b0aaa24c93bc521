"""Changing a session that is up: a re-INVITE on one leg becomes a re-INVITE on the other (RFC 3261 §14, RFC 3264 §8).

One change at a time: while one is under way the peer that comes second gets 491. A failure crosses and the session
stays as it was. An offer that is taken back has its verdict from the asked side, whose 2xx may cross our CANCEL, so
that both believe in the same session. It belongs to one call and speaks to its legs through it.
"""

from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.b2bua.commands import AskMedia
from sbc.b2bua.crossing import crossing_status
from sbc.b2bua.media import OutOfPortsError, SideName
from sbc.b2bua.reports import LegAcknowledged, LegCancelled, LegOffered, LegReanswered, LegRerefused, Report
from sbc.core.cause import Cause
from sbc.sdp.model import SdpError

if TYPE_CHECKING:
    from sbc.b2bua.call import Call, Out
    from sbc.b2bua.leg import Leg


ANSWER_SECONDS: Final = 60.0  # for a person to be asked, say whether video is wanted; then the offer is taken back
CANCEL_SECONDS: Final = 5.0  # for the asked side to end an offer that was taken back, two lost messages included


class Change(Struct, frozen=True):
    """`by` is the leg that asked. `late`: its re-INVITE had no offer, so that its ACK will have the answer.

    `taken_back`: the asked side has been sent CANCEL, and the asking side gets this status if that was in time.
    """

    by: int
    late: bool
    taken_back: int | None = None


class Modification:
    def __init__(self, call: "Call") -> None:
        self._call = call
        self._change: Change | None = None

    def handle(self, report: Report, now: float) -> "list[Out]":
        change = self._change
        match report:
            case LegOffered(leg, body):
                return self._offered(leg, body, now)
            case LegReanswered(leg, body) if change is not None and leg != change.by:
                return self._reanswered(change, leg, body, now)
            case LegReanswered(leg):
                return list(self._call.legs[leg].acknowledge())  # much too late: the asking side was refused long ago
            case LegRerefused(_, _, True):
                return self._call.fail(Cause.FAILED, now)
            case LegRerefused(_, status) if change is not None:
                return self._refuse(change, change.taken_back or status)
            case LegCancelled(leg) if change is not None and leg == change.by:
                return self._take_back(change, 487, now)
            case LegAcknowledged(leg, body) if change is not None and change.late and leg == change.by:
                return self._late_answer(change, body, now)
            case _:
                return []  # an ACK that brings nothing, or what crossed a change that is over

    def timer(self, now: float) -> "list[Out]":
        """The asked peer has said 100 and no more, or does not even end what was taken back."""
        change = self._change
        if change is None:
            return []
        self._call.context.trace.note(self._call.ref, now, "the offer got no final answer")
        if change.taken_back is None:
            return self._take_back(change, 504, now)
        return self._refuse(change, change.taken_back)

    def _take_back(self, change: Change, status: int, now: float) -> "list[Out]":
        if change.taken_back is not None:
            return []
        self._change = replace(change, taken_back=status)
        self._call.timers.set("change", now + CANCEL_SECONDS)
        return list(self._opposite(change.by).cancel_offer())

    def _refuse(self, change: Change, status: int) -> "list[Out]":
        """The session stays as it was."""
        self._finish()
        return list(self._call.legs[change.by].refuse(crossing_status(status)))

    def _offered(self, leg: int, body: bytes, now: float) -> "list[Out]":
        asking, asked = self._call.legs[leg], self._opposite(leg)
        if self._change is not None or not asked.is_modifiable:
            return list(asking.refuse(491))
        passed = b""
        if body:
            media = self._call.media
            try:
                passed = media.pass_offer(_side(leg), media.read(body), now)
            except SdpError as error:
                return list(asking.refuse(error.status))
            except OutOfPortsError:
                return list(asking.refuse(503))
        self._change = Change(leg, late=not body)
        self._call.timers.set("change", now + ANSWER_SECONDS)
        return list(asked.offer(passed))

    def _reanswered(self, change: Change, leg: int, body: bytes, now: float) -> "list[Out]":
        media = self._call.media
        asking, asked = self._call.legs[change.by], self._call.legs[leg]
        try:
            session = media.read(body)
            if change.late:
                self._call.timers.stop("change")  # from now on the ACK is awaited, and the leg watches that
                return list(asking.answer(media.pass_offer(_side(leg), session, now), now))
            passed = media.pass_answer(session)
        except (SdpError, OutOfPortsError):
            # The asked side believes in a session that cannot be told to the asking one: neither can be kept.
            return self._call.fail(Cause.FAILED, now)
        self._finish()
        return [*asked.acknowledge(), AskMedia(media.relay()), *asking.answer(passed, now)]

    def _late_answer(self, change: Change, body: bytes, now: float) -> "list[Out]":
        media = self._call.media
        try:
            passed = media.pass_answer(media.read(body))
        except SdpError:
            return self._call.fail(Cause.FAILED, now)
        self._finish()
        return [*self._opposite(change.by).acknowledge(passed), AskMedia(media.relay())]

    def _finish(self) -> None:
        self._change = None
        self._call.timers.stop("change")
        self._call.media.settle()

    def _opposite(self, leg: int) -> "Leg":
        return self._call.legs[-1] if leg == 0 else self._call.legs[0]


def _side(leg: int) -> SideName:
    return "ingress" if leg == 0 else "egress"
