"""A call: an ingress leg, the hunt for an egress leg, and everything between. The only turning point of the program.

Legs report to it and are ordered by it; they never meet. It has one exit, `end`. States carry their data:
`Hunting` until somebody answers, `Talking` until somebody leaves, `Ended` until its record is durable and its legs
are closed. Finding who answers is `setup`'s part, changing the session is `modify`'s, carrying other requests across is
`passing`'s, giving a leg another partner is `transfer`'s. `turning` gives each report to its part; `exit` ends it.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Literal

from sbc.b2bua.account import Account, Ending, Who
from sbc.b2bua.admission import admit, longest
from sbc.b2bua.asking import announce, ask
from sbc.b2bua.caller import CallerRefused
from sbc.b2bua.commands import Command, Log
from sbc.b2bua.context import Context
from sbc.b2bua.exit import Exit
from sbc.b2bua.holdings import Holdings
from sbc.b2bua.identity import Parties, escaped
from sbc.b2bua.joining import Joined, number_of_party
from sbc.b2bua.leg import Leg
from sbc.b2bua.leg import Out as LegOut
from sbc.b2bua.location import NOWHERE
from sbc.b2bua.media import CallMedia, Side, SideName
from sbc.b2bua.modify import Modification
from sbc.b2bua.notes import note_answered, note_encrypted
from sbc.b2bua.orders import CallOrder, ChildAnswered, ChildProgressed, PlaceChild
from sbc.b2bua.passing import Passing
from sbc.b2bua.referring import only_to
from sbc.b2bua.reports import Report
from sbc.b2bua.setup import Setup
from sbc.b2bua.spooling import must_wait, note_attempt, note_start, set_interim, stored, wait
from sbc.b2bua.states import Asking, Ended, State, Talking
from sbc.b2bua.transfer import Transfer
from sbc.b2bua.turning import take_report, take_timer
from sbc.core.address import Flow
from sbc.core.cause import Cause, q850_of_status
from sbc.core.timers import TimerTable, earlier
from sbc.media import wire
from sbc.peering.bindings import BindingMoved
from sbc.policy.model import Decision, Facts, Peer
from sbc.sdp.model import SdpError, Session
from sbc.sip.commands import Order
from sbc.sip.message import Fields, Request, Response
from sbc.sip.multipart import description_of
from sbc.sip.transaction.outputs import RequestReceived, TransactionFailed

Out = Order | Command | CallOrder | BindingMoved
_REPORTS: Final = frozenset(Report.__args__)


class Call:
    """`call_id`: of the dialog that asked for it. `flow`: where its INVITE came from; None for one that a transfer
    places, whose `errand` it is: that has no caller of its own, and tells its parent how it goes.
    """

    def __init__(
        self,
        ref: str,
        peer: Peer,
        parties: Parties,
        call_id: str,
        context: Context,
        now: float,
        *,
        flow: Flow | None = None,
        errand: PlaceChild | None = None,
    ) -> None:
        self.ref = ref
        self.errand = errand
        self.account = Account(ref, peer.name, call_id, now)
        self.state: State = Asking()
        self.policy = context.policy  # in force when it began, and for as long as it lasts
        self.parties: Parties = parties
        self.ingress = Leg(
            ref,
            0,
            peer,
            escaped(self.parties.called),
            context.timing,
            number=context.ids.number,
            credentials=context.relations.credentials(peer.name),
            flow=flow if peer.registers or peer.accepts_any else None,
        )
        if flow is not None:
            self.ingress.speaks_from(flow)
        self.legs: list[Leg] = [self.ingress]
        self.pair = (0, 1)  # the legs that talk, or are to talk, with each other
        self.context = context
        self.holdings = Holdings(ref, self.legs, context)
        self.timers: TimerTable[str] = TimerTable()
        self.decision = Decision()
        self.location = NOWHERE
        self._tags: list[str] = []
        self.why = ""
        self.held_by: tuple[str, ...] = ()  # as its ladder has said last
        self.encrypted: dict[int, str] = {}  # by leg, likewise
        address, *others = context.media_addresses(peer.interface, ipv6=flow is not None and flow.local.is_ipv6)
        side = Side(
            address.local,
            address.shown,
            peer.latching,
            context.ids.session_id(),
            codecs=peer.codecs,
            fax=peer.t38 == "pass",
            hold=peer.hold,
            dtmf=peer.dtmf,
            media_from=peer.media_from,
            recodes=peer.transcode == "auto",
            others=[(other.local, other.shown) for other in others],
            # An errand's offer is of another call's side, which takes its keys along when the two are joined.
            securing=context.securing(peer.srtp) if errand is None else None,
        )
        self.media = CallMedia(ref, side, context.media_rules, context.ports, context.ids, context.totals)
        self.media.waits = errand is not None
        self.setup = Setup(self)
        self.modification = Modification(self)
        self.passing = Passing(self)
        self.transfer = Transfer(self)
        self.exit = Exit(self)
        self.joined: list[Joined] = []  # calls that this one has taken in

    # --- what the switch tells it -------------------------------------------------------------------------------------

    def start(self, received: RequestReceived, now: float, *, is_loop: bool = False) -> list[Out]:
        """Take the INVITE, ask policy, dial."""
        invite = received.request
        outs = self.take_invite(received, now)
        facts, not_he = ask(self, now)
        outs += self._announce(invite)
        if self.parties.max_forwards <= 0:
            return outs + self._out_of_hops(now)
        if is_loop:
            self.explain("a loop: this INVITE has been here before", now)
            return outs + self.refuse(Cause.FAILED, 482, now)
        too_often = self.ingress.refused_for_its_timer(invite)
        if too_often:
            self.explain(f"{self.ingress.peer.name} asks for a session interval below session_timer.min", now)
            return outs + too_often + self.refuse(Cause.FAILED, 422, now)
        try:
            body = description_of(invite) if invite.body else b""
            if self.decision.emergency:
                self.media.sides["ingress"].securing = self.context.securing_help(self.ingress.peer.srtp, body)
            offer = self.media.read(body) if body else None
        except SdpError as error:
            self.explain(f"session description refused: {error.reason}", now)
            return outs + self.refuse(Cause.FAILED, error.status, now)
        return outs + self._go(offer, facts, not_he, now)

    def take_invite(self, received: RequestReceived, now: float) -> list[Out]:  # noqa: ARG002
        """The ingress leg has its dialog, and the caller his 100."""
        self.passing.take_invite(received.request)
        account = self.account
        account.caller, account.called = self.parties.caller, self.parties.called
        return [note_attempt(self), *self.ingress.take_invite(received.key, received.request, self.register(0))]

    def start_errand(self, now: float) -> list[Out]:
        """A transfer's call: as if the transferor had placed it."""
        self.account.caller, self.account.called = self.parties.caller, self.parties.called
        facts, not_he = ask(self, now)
        if self.errand is not None and self.errand.only_to:
            self.decision = only_to(self.errand.only_to, self.decision)
        outs = [note_attempt(self), *self._announce(None)]
        if self.parties.max_forwards <= 0:
            return outs + self._out_of_hops(now)
        offer = None if self.errand is None else self.errand.offer
        return outs + self._go(offer, facts, not_he, now)

    def _out_of_hops(self, now: float) -> list[Out]:
        self.explain("Max-Forwards is used up", now)
        return self.refuse(Cause.FAILED, 483, now)

    def _announce(self, invite: Request | None) -> list[Out]:
        account, decision = self.account, self.decision
        account.route = decision.route
        account.caller = decision.caller_e164 or account.caller
        account.called = decision.called_e164 or account.called
        return [*announce(self, invite)]

    def _go(self, offer: Session | None, facts: Facts, not_he: CallerRefused | None, now: float) -> list[Out]:
        """Policy has spoken: refuse it, or dial."""
        decision = self.decision
        if not_he is not None:
            self.explain(not_he.why, now)
            return self.refuse(Cause.REJECTED, not_he.status, now)
        if not decision.hunt:
            cause = _cause_of_refusal(decision)
            return self.refuse(cause, decision.reject or cause.status, now)
        refusal = admit(self, decision, now)
        if refusal is not None:
            return self.end(refusal, now)
        return self.setup.start(offer, facts, decision, now)

    def take_request(self, leg: int, received: RequestReceived, now: float) -> list[Out]:
        self.legs[leg].speaks_from(received.flow)
        self.passing.hear(leg, received.request)
        return self._absorb(self.legs[leg].take_request(received.key, received.request, now), now)

    def take_ack(self, leg: int, request: Request, flow: Flow, now: float) -> list[Out]:
        self.legs[leg].speaks_from(flow)
        self.passing.hear(leg, request)
        return self._absorb(self.legs[leg].take_ack(request), now)

    def take_cancel(self, leg: int, cancel: Request, now: float) -> list[Out]:
        return self._absorb(self.legs[leg].take_cancel(cancel), now)

    def take_response(
        self, leg: int, n: int, response: Response, flow: Flow, now: float, *, is_genuine: bool
    ) -> list[Out]:
        self.passing.hear(leg, response)
        outs = self._absorb(self.legs[leg].take_response(n, response, flow, now, is_genuine=is_genuine), now)
        self.holdings.return_paths()
        return outs

    def take_stray(self, leg: int, response: Response, flow: Flow) -> list[Out]:
        """A 2xx to an INVITE that no transaction of ours awaits."""
        self.legs[leg].speaks_from(flow)
        return [*self.legs[leg].take_stray(response)]

    def take_loss(self, leg: int, n: int, detail: str, now: float) -> list[Out]:
        return self._absorb(self.legs[leg].take_loss(detail, n), now)

    def take_failure(self, leg: int, n: int, failure: TransactionFailed, now: float) -> list[Out]:
        outs = self._absorb(self.legs[leg].take_failure(failure, n, now), now)
        self.holdings.return_paths()
        return outs

    def peer_moved(self, pbx: str, was: Flow, flow: Flow) -> list[Out]:
        """A PBX that has registered with us is reached another way: so are its legs that went by the old one."""
        outs: list[Out] = []
        for leg in self.legs:
            if leg.flow == was and leg.peer.name == pbx:
                outs += leg.moves_to(flow)
        return outs

    def digit_heard(self, heard: wire.DigitHeard) -> list[Out]:
        """The media worker has heard a digit that it was asked to report."""
        return self.passing.digit_heard(heard) if self.is_answered else []

    def take_counts(self, ref: str, counts: Sequence[wire.StreamCount], now: float) -> list[Out]:
        """The media worker's last word on this call, or on one that this has taken in."""
        for joined in self.joined:
            if joined.ref == ref:
                joined.take_counts(counts)
        return self.exit.take_counts(counts, now) if ref == self.ref else []

    def resume(self, now: float) -> list[Out]:
        """It lives again after a death of signalling: what its legs owe their peers."""
        outs: list[Out] = []
        for leg in self.legs:
            uas = self.ingress.uas
            is_answer_due = uas is not None and uas.first and uas.awaits_answer and self.media.offer is not None
            outs += self._absorb(leg.resume(now, is_answer_due=is_answer_due), now)
        return outs

    def start_stored(self, now: float) -> list[Out]:
        """That it was answered is on the disk."""
        return stored(self, now)

    def record_stored(self) -> list[Out]:
        self.exit.stored()
        return []

    def hang_up(self, cause: Cause, now: float, by: Who = "sbc") -> list[Out]:
        """End it by our own will: an operator, a shutdown, a limit; or for whoever placed it and has left."""
        return self.end(Ending(cause, self.final_status(cause.status), cause.q850, by), now)

    def abort(self, now: float) -> list[Out]:
        """The crash barrier's way in: a bug has ended this call. Whatever still works of the one exit is done."""
        return self.exit.abort(now)

    def tick(self, now: float) -> list[Out]:
        outs: list[Out] = []
        for leg in self.legs:
            outs += self._absorb(leg.tick(now), now)
        for timer in self.timers.pop_due(now):
            outs += take_timer(self, timer, now)
        if self.transfer.is_active:
            outs += self.transfer.tick(now)
        return outs + self.modification.go_on(now) if self.modification.has_wishes else outs

    def next_deadline(self) -> float | None:
        earliest = self.timers.next()
        if self.transfer.is_active:
            earliest = earlier(earliest, self.transfer.next_deadline())
        for leg in self.legs:
            earliest = earlier(earliest, leg.next_deadline())
        return earliest

    @property
    def is_emergency(self) -> bool:
        """It, or a call that it has taken in."""
        return self.account.emergency or any(joined.account.emergency for joined in self.joined)

    @property
    def is_over(self) -> bool:
        """Nothing is left to do or to wait for."""
        return isinstance(self.state, Ended) and self.state.durable and all(leg.is_closed for leg in self.legs)

    @property
    def egress(self) -> Leg | None:
        """Who is called, or talks with the ingress side."""
        return self.legs[self.pair[1]] if self.pair[1] < len(self.legs) else None

    @property
    def tags(self) -> list[str]:
        """Our dialog tags, to be taken out of the table when the call is forgotten."""
        return self._tags

    # --- what legs report ---------------------------------------------------------------------------------------------

    def _absorb(self, outs: Iterable[LegOut], now: float) -> list[Out]:
        """Orders go on down; reports turn around here."""
        done: list[Out] = []
        for out in outs:
            if type(out) in _REPORTS:
                done += take_report(self, out, now)  # type: ignore[arg-type]
            else:
                done.append(out)  # type: ignore[arg-type]
        return done + self.modification.go_on(now) if self.modification.has_wishes else done

    # --- what the parts of it share -----------------------------------------------------------------------------------

    @property
    def is_answered(self) -> bool:
        return isinstance(self.state, Talking)

    def rings(self, status: int, body: bytes, now: float, fields: Fields) -> list[Out]:
        """A provisional response has come from whom it called."""
        if self.errand is not None:
            return [ChildProgressed(self.errand.parent, self.ref, status)]
        return [*self.ingress.ring(status, body, now, fields)]

    def talks(self, body: bytes, now: float, fields: Fields) -> list[Out]:
        """Whom it called has answered."""
        if must_wait(self):
            return wait(self, body, fields, now)
        return [note_start(self, now), *self.talk(body, now, fields)]

    def talk(self, body: bytes, now: float, fields: Fields) -> list[Out]:
        """The caller is told."""
        self.account.answered_at = now
        self.context.totals.setup.add(now - self.account.started_at)
        note_answered(self, now)
        note_encrypted(self, now)
        self.passing.answered()
        self.state = Talking(now)
        self.limit_duration(now)
        set_interim(self, now)
        said = self.log("call.answered")
        if self.errand is not None:
            return [said, ChildAnswered(self.errand.parent, self.ref, self.pair[1])]
        return [*self.ingress.accept(body, now, fields), said]

    def writer(self, leg: int) -> Callable[[str], str]:
        """Writes a number of this leg's peer as its partner wants callers."""
        return partial(self.policy.write_caller, self.legs[leg].peer.name, self.legs[self.opposite(leg)].peer)

    def host_of(self, leg: int) -> str:
        """The host by which the peer of a leg knows us."""
        return self.context.hosts[self.legs[leg].peer.interface]

    def opposite(self, leg: int) -> int:
        """Whom this leg of the pair talks with."""
        return self.pair[1] if leg == self.pair[0] else self.pair[0]

    def side_of(self, leg: int) -> SideName:
        """The media side of a leg of the pair."""
        return "ingress" if leg == self.pair[0] else "egress"

    def invite_fields(self, leg: int) -> Fields:
        """What else of the caller's INVITE the callee's has."""
        return self.passing.invite_fields(leg)

    def crossing_fields(self, leg: int, message: Request | Response) -> Fields:
        """What of a message that came on `leg` crosses to the other side."""
        return self.passing.described(leg, message)

    def who(self, leg: int) -> Who:
        """What a record calls the party of this leg."""
        return "caller" if leg == self.pair[0] else "callee"

    def renegotiate(self, now: float) -> list[Out]:
        """After a join: the newer leg is told of the older one, and that of what came of it."""
        return self.modification.renegotiate(now, max(self.pair), min(self.pair))

    def take_requests(self, other: "Call", moved: Mapping[int, int]) -> None:
        """What is open on the legs of a call that this one takes in. `moved`: their new numbers."""
        self.passing.take_in(other.passing, moved)

    def partner_fields(self, leg: int) -> Fields:
        """Who is on the other side now, as this leg is told."""
        return self.passing.partner_fields(leg)

    def present(self, leg: int, fields: Fields) -> list[Out]:
        return self.passing.present(leg, fields)

    def explain(self, why: str, now: float) -> None:
        """For the ladder, and for the log line of the end that this leads to."""
        self.why = why
        self.context.trace.note(self.ref, now, why)

    def limit_duration(self, now: float) -> None:
        """It is answered: from now on it spends minutes, and it may not talk for ever."""
        self.holdings.answered(now)
        seconds = longest(self, self.decision)
        if seconds is not None:
            self.timers.set("max_duration", now + seconds)

    def register(self, leg: int) -> str:
        tag = self.context.ids.tag()
        self.context.dialogs[tag] = (self.ref, leg)
        self._tags.append(tag)
        return tag

    def log(self, event: str, *fields: tuple[str, object], level: Literal["info", "warning"] = "info") -> Log:
        account = self.account
        egress = self.egress
        return Log(
            level,
            event,
            (
                ("ref", self.ref),
                ("ingress", self.legs[self.pair[0]].peer.name),
                ("egress", None if egress is None else egress.peer.name),
                ("route", account.route),
                ("caller", number_of_party(self, self.pair[0])),
                ("called", number_of_party(self, self.pair[1])),
                *((("disaster", True),) if account.disaster else ()),
                *fields,
            ),
        )

    # --- the one exit -------------------------------------------------------------------------------------------------

    def refuse(self, cause: Cause, status: int, now: float) -> list[Out]:
        """End it before anybody answered."""
        return self.end(Ending(cause, status, q850_of_status(status), "sbc"), now)

    def fail(self, cause: Cause, now: float) -> list[Out]:
        """End it because the session cannot be kept."""
        return self.end(Ending(cause, 200, cause.q850, "sbc"), now)

    def end(self, ending: Ending, now: float, leg: int = 0, message: Request | Response | None = None) -> list[Out]:
        """The only way out of a call: legs released, media deleted, ports returned, record written.

        `message`: the one of `leg` that has ended it; what may cross of it, and its Reason, the others hear.
        """
        return self.exit.end(ending, now, leg, message)

    def final_status(self, status: int) -> int:
        """What it ends with: this, where nobody has answered."""
        return 200 if isinstance(self.state, Talking) else status


def _cause_of_refusal(decision: Decision) -> Cause:
    if decision.route is None:
        return Cause.NO_ROUTE
    return Cause.NOT_FOUND if decision.reject in (404, 484) else Cause.REJECTED
