"""What callees say before one of them answers: it rings, early media, and offers and answers in reliable provisionals.

RFC 3960, RFC 3262 §5, RFC 6337 §3.1 and §3.2. In an unreliable provisional a description is a preview, in a reliable
one it counts. Each leg is reliable for itself; one description after the other goes to a caller that acknowledges them.
It belongs to `setup`, which knows what the INVITE has offered and what a 2xx makes of all this.
"""

from typing import TYPE_CHECKING

from sbc.b2bua.commands import AskMedia
from sbc.b2bua.forks import EarlySessions, Forks
from sbc.b2bua.media import Offer, OutOfPortsError
from sbc.b2bua.notes import note_ringing
from sbc.b2bua.reports import LegProgressed
from sbc.b2bua.states import Hunting
from sbc.core.cause import Cause
from sbc.core.limits import EARLY_DIALOGS_PER_LEG
from sbc.sdp.model import SdpError

if TYPE_CHECKING:
    from sbc.b2bua.call import Call, Out


class Progress:
    """`crossed`: the offer of the INVITE as the callee has it, for the answers of all forks; None: it had none."""

    __slots__ = ("_call", "_offered", "_offerer", "_waiting", "crossed", "early", "forks")

    def __init__(self, call: "Call") -> None:
        self.crossed: Offer | None = None
        self.forks = Forks(call)
        self.early = EarlySessions(call.media)
        self._call = call
        self._offered: Offer | None = None  # by a fork, and not answered yet; its tag is `_offerer`
        self._offerer = ""
        self._waiting: list[LegProgressed] = []  # descriptions of other forks

    def begin(self, crossed: Offer | None) -> None:
        """A target is dialled; what the one before has said is over."""
        self.crossed = crossed
        self.forks.forget()
        self.early.forget()
        self._offered, self._waiting = None, []

    def told(self, state: Hunting, report: LegProgressed, now: float) -> "list[Out]":
        """A provisional response of 180 to 189."""
        call, status = self._call, report.status
        if report.body and self._must_wait(report):
            return self._wait(report, now)
        call.timers.stop("no_reply", "no_progress")
        if not call.timers.is_set("no_answer"):
            call.timers.set("no_answer", now + state.attempt.target.no_answer)
        call.account.rang(now)
        if not state.rang:
            note_ringing(call, state.attempt.target.peer.name, now)
        call.state = Hunting(state.attempt, state.rest, rang=True)
        outs: list[Out] = []
        passed = b""
        if report.body:
            try:
                passed = self._description(report, now)
            except (SdpError, OutOfPortsError) as error:
                call.context.trace.note(call.ref, now, f"early session description ignored: {error}")
            else:
                outs.append(AskMedia(call.media.relay()))
        if call.ingress.peer.early_media == "ringback" and not self._offers(report):
            status, passed = 180, b""
        if passed and not self.forks.turn_to(report.tag, passed):
            passed = b""
        fields = () if report.response is None else call.crossing_fields(report.leg, report.response)
        return [*outs, *call.rings(min(status, 183), passed, now, fields)]

    def acknowledged(self, state: Hunting, body: bytes, now: float) -> "list[Out]":
        """The caller's PRACK, which answers the offer of the callee's reliable provisional if that made one."""
        call, offered, tag = self._call, self._offered, self._offerer
        self._offered = None
        outs: list[Out] = []
        if offered is not None:
            try:
                passed = self.early.agree(tag, offered, call.media.read(body))
            except SdpError as error:
                call.explain(f"answer in PRACK cannot be used: {error.reason}", now)
                return call.refuse(Cause.FAILED, 488, now)
            outs += [*call.legs[-1].prack(tag, passed), AskMedia(call.media.relay())]
        while self._waiting and self._offered is None and not call.ingress.awaits_prack:
            outs += self.told(state, self._waiting.pop(0), now)
        return outs

    # --- one after the other ------------------------------------------------------------------------------------------

    def _must_wait(self, report: LegProgressed) -> bool:
        """The caller has yet to acknowledge what another fork has said."""
        if self._offers(report):
            return self._offered is not None
        return self.early.followed not in (None, report.tag) and self._call.ingress.awaits_prack

    def _wait(self, report: LegProgressed, now: float) -> "list[Out]":
        call = self._call
        if len(self._waiting) < EARLY_DIALOGS_PER_LEG:
            self._waiting.append(report)
        if report.reliable and self.crossed is not None:
            try:
                self.early.note(report.tag, self.crossed, call.media.read(report.body, "egress"))
            except SdpError as error:
                call.context.trace.note(call.ref, now, f"early session description ignored: {error}")
        return []

    # --- what a description is ----------------------------------------------------------------------------------------

    def _offers(self, report: LegProgressed) -> bool:
        """A reliable provisional that brings an offer: its PRACK waits for the caller's answer."""
        return report.reliable and bool(report.body) and self.crossed is None

    def _description(self, report: LegProgressed, now: float) -> bytes:
        """What it describes, as the caller is told; nothing where it concerns the callee alone."""
        media, early = self._call.media, self.early
        session = media.read(report.body, "egress")
        if self._offers(report):
            passed = media.pass_offer("egress", session, now)
            self._offered, self._offerer = media.offer, report.tag
            return passed
        if self.crossed is None:
            return b""
        if self._call.modification.is_under_way and report.tag != early.followed:
            if report.reliable:
                early.note(report.tag, self.crossed, session)
            return b""
        if report.reliable:
            return early.agree(report.tag, self.crossed, session)
        early.followed = report.tag
        return media.pass_answer(session, self.crossed)
