"""A scripted phone in the network in memory. Its moves read like a story: invites, rings, answers, holds, hangs up.

A move first waits (in virtual time) until it is possible, then happens, then lets the network settle. What is not
possible within `patience` seconds fails with what the phone has heard. Moves concern the last call, or `call=party`.
The phone's knowledge of SIP is in `agent`; what it does unasked is its `script` (see there for all of it).

    calls       invites(number, sdp=, replaces=, codecs=, fields=) -> Party     cancels()  hangs_up()
                rings(sdp=, reliably=)  progresses(sdp=, reliably=)  answers(at_once=)  refuses(status)
                redirects("sip:…", status=302)  forks() -> Party
                acks()  repeats_200()  pracks(offer=)           for what its manners hold back, and once more
    session     holds(direction, old=)  resumes()  reinvites(sdp=)  updates(sdp=)  adds_video()  removes_video()
                offers_fax(beside=)  returns_to_voice()  offers_codecs("PCMA", …)  changes(direction=, kinds=, …)
                rekeys()  each with by="INVITE" or by="UPDATE"  changes_contact("10.0.0.5:5070", by=)
    transfer    transfers(number)  transfers(attended=party)  refers("<sip:…>")  then call.progress == [100, 180, 200]
    in dialogs  requests(method, fields=, body=)  presses("5")
    beside      subscribes(event, number, expires=) -> Subscription  resubscribes(expires=)  unsubscribes()
                notifies(body, state=)  messages(number, text)  publishes(event, number, body)  asks(method) -> Asked
    manners     uses_100rel(required=)  holds_back_pracks()  offers_in_pracks()  never_acks()  acks_again()
                uses_session_timer(expires, min_se=, refresher=, refreshes=)  supports("timer")  retries_glare(wanted=)
                allows("UPDATE")  disallows("UPDATE")  answers_reinvites(status)  answers_updates(status)
                answers_refers(status, notifies=)  answers_requests("MESSAGE", 415)  answers_options(status)
                answers_by_itself(after)  ignores(…)  wakes()  dies()  revives()  reboots()
    registering registers(aor) -> Binding  refreshes()  unregisters()  becomes_registrar()
                challenges(user, password)  has_credentials(user, password)
    sees        call  calls  heard  got(180, "ACK")  waits_for("BYE")  is_talking  direction  last("REFER") -> Request
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

from msgspec import structs

from sbc.core.address import Address, Transport
from sbc.core.ids import IdSource
from sbc.sdp import Direction, direction_of
from sbc.sip.commands import SendMessage
from sbc.sip.message import Fields, Request
from sbc.sip.timing import DEFAULT_TIMING, Timing
from sbc.testing import beside_moves, manners, media_moves
from sbc.testing.addresses import address_of
from sbc.testing.agent import UserAgent
from sbc.testing.binding import Binding
from sbc.testing.net import Network
from sbc.testing.party import Party, Stage
from sbc.testing.referring import refer_to, refer_to_replacing
from sbc.testing.script import Script
from sbc.testing.secure_sdp import PhoneSrtp

By = Literal["INVITE", "UPDATE"]


class Phone:
    """`through` is where it sends its calls: the SBC, a proxy, or another phone.

    `video_port`, `fax_port`: it knows such streams. `numbers`: payload types of its own choice, by codec name. `srtp`:
    its media is encrypted, as far as its descriptions go.
    """

    def __init__(
        self,
        net: Network,
        name: str,
        address: Address | str,
        ids: IdSource,
        *,
        through: Address | str | None = None,
        user: str = "1000",
        transport: Transport = Transport.UDP,
        timing: Timing = DEFAULT_TIMING,
        video_port: int | None = None,
        fax_port: int | None = None,
        codecs: Sequence[str] = ("PCMU", "PCMA", "telephone-event"),
        numbers: Mapping[str, int] | None = None,
        domain: str | None = None,
        srtp: PhoneSrtp | None = None,
    ) -> None:
        self.name = name
        self.net = net
        self.address = address_of(address)
        self.through = None if through is None else address_of(through)
        self.patience = 64 * timing.t1 + 8
        self._ids = ids
        self.agent = UserAgent(
            name, self.address, ids, user=user, transport=transport, timing=timing, video_port=video_port,
            fax_port=fax_port, codecs=tuple(codecs), numbers=numbers, domain=domain, srtp=srtp,
        )  # fmt: skip
        self.agent.line.outbound = self.through
        self.agent.is_calm = lambda: net.conditions.is_in_order
        self.agent.script.in_order = net.conditions.is_in_order
        for listening in {Transport.UDP, transport}:
            net.attach(self.agent, (listening, self.address))

    # --- calls --------------------------------------------------------------------------------------------------------

    def invites(
        self,
        number: str,
        *,
        sdp: bool = True,
        to: Address | str | None = None,
        fields: Fields = (),
        domain: str | None = None,
        caller: str | None = None,
        replaces: Party | str | None = None,
        codecs: Sequence[str] = (),
    ) -> Party:
        """`replaces`: the text of the header, or a dialog, of this phone, that the callee shall find at its end."""
        if replaces is not None:
            text = replaces.replaces if isinstance(replaces, Party) else replaces
            fields = (*fields, ("Replaces", text), ("Require", "replaces"))
        wish = structs.replace(self.agent.voice.wish(), codecs=tuple(codecs))
        target, calling, now = self._target(to), self.agent.calling, self.net.now
        made = calling.invite(
            number, target, now, sdp=sdp, fields=fields, domain=domain, caller=caller, wish=wish
        )  # fmt: skip
        self._settle()
        return made

    def rings(self, *, sdp: bool = False, reliably: bool = False, status: int = 180, call: Party | None = None) -> None:
        """180, with early media if `sdp`. `reliably`: by 100rel, as soon as the one before has its PRACK."""
        party = self._when(lambda p: p.invite_key is not None, "an INVITE to answer", call)
        if reliably:
            self._when(lambda p: p.unacked is None, "the PRACK of the provisional before", party)
        self.agent.called.ring(party, self.net.now, status, sdp=sdp, reliable=reliably)
        self._settle()

    def progresses(self, *, reliably: bool = False, sdp: bool = True, call: Party | None = None) -> None:
        """183 with SDP: early media."""
        self.rings(sdp=sdp, reliably=reliably, status=183, call=call)

    def answers(self, *, at_once: bool = False, fields: Fields = (), call: Party | None = None) -> None:
        """200; after the PRACK of a reliable description, as RFC 3262 §3 demands, if not `at_once`."""
        party = self._when(lambda p: p.invite_key is not None, "an INVITE to answer", call)
        if not at_once:
            self._when(lambda p: p.unacked is None or not p.unacked.has_sdp, "the PRACK of a description", party)
        self.agent.called.accept(party, self.net.now, fields)
        self._settle()

    def refuses(self, status: int, *, fields: Fields = (), call: Party | None = None) -> None:
        party = self._when(lambda p: p.invite_key is not None, "an INVITE to answer", call)
        self._do(self.agent.refuse(party, status, self.net.now, fields))

    def redirects(self, *uris: str, status: int = 302, call: Party | None = None) -> None:
        """3xx; a Contact for each, in this order."""
        self.refuses(status, fields=tuple([("Contact", f"<{uri}>") for uri in uris]), call=call)

    def forks(self, *, call: Party | None = None) -> Party:
        """The same INVITE has reached one more callee: a dialog of its own, with the moves of any other."""
        party = self._when(lambda p: p.invite_key is not None, "an INVITE to answer", call)
        return self.agent.called.fork(party)

    def cancels(self, *, call: Party | None = None) -> None:
        """CANCEL goes out once a provisional response allows it (§9.1)."""
        possible = (Stage.CALLING, Stage.RINGING)
        party = self._when(lambda p: p.is_caller and p.stage in possible, "a call to cancel", call)
        self._do(self.agent.cancel(party, self.net.now))

    def hangs_up(self, *, fields: Fields = (), call: Party | None = None) -> None:
        self._do(self.agent.hang_up(self._talking(call), self.net.now, fields))

    def acks(self, *, call: Party | None = None) -> None:
        """ACK of the last 2xx, late where it was held back; or once more."""
        party = self._when(lambda p: p.invite_seq in p.acks, "a 2xx to acknowledge", call)
        self.agent.calling.acknowledge(party)
        self._settle()

    def repeats_200(self, *, call: Party | None = None) -> None:
        """The last 200 to an INVITE once more, acknowledged or not."""
        party = self._when(lambda p: p.last_key is not None, "a 200 to repeat", call)
        if party.last_key is not None:
            self.agent.bench.send(self.agent.layer.resend(party.last_key))
        self._settle()

    def pracks(self, *, offer: bool = False, call: Party | None = None) -> None:
        """PRACK that was held back; with an `offer` of its own, where none is open."""
        party = self._when(lambda p: p.prack_due is not None, "a provisional to acknowledge", call)
        self.agent.reliably.acknowledge(party, self.net.now, offer=offer)
        self._settle()

    # --- what is said of media, in a call or while it rings: `media_moves` --------------------------------------------

    changes = media_moves.changes
    holds = media_moves.holds
    resumes = media_moves.resumes
    adds_video = media_moves.adds_video
    removes_video = media_moves.removes_video
    offers_fax = media_moves.offers_fax
    returns_to_voice = media_moves.returns_to_voice
    offers_codecs = media_moves.offers_codecs
    rekeys = media_moves.rekeys
    reinvites = media_moves.reinvites
    updates = media_moves.updates
    changes_contact = media_moves.changes_contact

    # --- transfer -----------------------------------------------------------------------------------------------------

    def transfers(
        self, to: str = "", *, attended: Party | None = None, fields: Fields = (), call: Party | None = None
    ) -> None:
        """REFER. `to`: blind, to that number. `attended`: to the far end of that other call, which is to be replaced;
        `call` is then the call before it, if not named. How it goes on is in `call.progress`.
        """
        if attended is None:
            self.refers(refer_to(to, str(self.through)), fields=fields, call=call)
            return
        others = [p for p in self.agent.parties if p is not attended and p.stage is Stage.TALKING]
        self.refers(refer_to_replacing(attended), fields=fields, call=call or others[-1])

    def refers(self, refer_to: str, *, fields: Fields = (), call: Party | None = None) -> None:
        """REFER with any Refer-To."""
        self.agent.referring.refer(self._talking(call), refer_to, self.net.now, fields)
        self._settle()

    # --- other requests: `beside_moves` -------------------------------------------------------------------------------

    requests = beside_moves.requests
    presses = beside_moves.presses
    asks = beside_moves.asks
    messages = beside_moves.messages
    publishes = beside_moves.publishes
    subscribes = beside_moves.subscribes
    resubscribes = beside_moves.resubscribes
    unsubscribes = beside_moves.unsubscribes
    notifies = beside_moves.notifies
    subscription = beside_moves.subscription

    # --- manners: `manners` -------------------------------------------------------------------------------------------

    @property
    def script(self) -> Script:
        return self.agent.script

    supports = manners.supports
    allows = manners.allows
    disallows = manners.disallows
    uses_100rel = manners.uses_100rel
    holds_back_pracks = manners.holds_back_pracks
    offers_in_pracks = manners.offers_in_pracks
    uses_session_timer = manners.uses_session_timer
    never_acks = manners.never_acks
    acks_again = manners.acks_again
    retries_glare = manners.retries_glare
    answers_reinvites = manners.answers_reinvites
    answers_updates = manners.answers_updates
    answers_refers = manners.answers_refers
    answers_requests = manners.answers_requests
    ignores = manners.ignores
    wakes = manners.wakes
    answers_options = manners.answers_options
    challenges = manners.challenges
    has_credentials = manners.has_credentials
    becomes_registrar = manners.becomes_registrar
    registers = manners.registers
    refreshes = manners.refreshes
    unregisters = manners.unregisters
    dies = manners.dies
    revives = manners.revives
    reboots = manners.reboots
    answers_by_itself = manners.answers_by_itself

    # --- what it sees -------------------------------------------------------------------------------------------------

    @property
    def call(self) -> Party:
        if not self.agent.parties:
            raise AssertionError(f"{self.name} has had no call; it has heard {self.agent.heard}")
        return self.agent.parties[-1]

    @property
    def calls(self) -> list[Party]:
        """All, in the order in which they began."""
        return self.agent.parties

    @property
    def dialogs(self) -> list[Party]:
        """Of its calls and its subscriptions."""
        return [*self.agent.parties, *(one.party for one in self.agent.subscribing.all)]

    @property
    def heard(self) -> list[str]:
        return self.agent.heard

    @property
    def is_talking(self) -> bool:
        return bool(self.agent.parties) and self.call.stage is Stage.TALKING

    @property
    def direction(self) -> Direction | None:
        """What the far side last said it does with the first stream; None before it said anything."""
        session = self.call.remote_sdp
        return None if session is None else direction_of(session, session.media[0])

    def last(self, method: str) -> Request:
        """The last request of this method that came."""
        found = [request for request in self.agent.bench.requests if request.method == method]
        if not found:
            raise AssertionError(f"{self.name} has heard no {method}; {self._story()}")
        return found[-1]

    def got(self, *wanted: str | int, call: Party | None = None) -> bool:
        """Whether a call heard these, in this order, others between them allowed: `got(180, "ACK", "BYE")`."""
        party = call or (self.call if self.agent.parties else None)
        heard = iter(self.agent.heard if party is None else party.heard)
        return all(any(matches(want, item) for item in heard) for want in wanted)

    def waits_for(self, *wanted: str | int, at_most: float | None = None, call: Party | None = None) -> None:
        """Let time pass until it has heard these."""
        patience = self.patience if at_most is None else at_most
        if not self.net.run_while(lambda: not self.got(*wanted, call=call), at_most=patience):
            raise AssertionError(f"{self.name} waited {patience} s for {wanted}; {self._story()}")
        self.net.settle()

    # --- how ----------------------------------------------------------------------------------------------------------

    def _talking(self, call: Party | None) -> Party:
        return self._when(lambda p: p.stage is Stage.TALKING, "an answered call", call)

    def _in_dialog(self, call: Party | None) -> Party:
        def is_possible(p: Party) -> bool:
            return p.remote_tag is not None and p.stage in (Stage.RINGING, Stage.TALKING)

        return self._when(is_possible, "a dialog, early or not", call)

    def _when(self, possible: Callable[[Party], bool], what: str, call: Party | None = None) -> Party:
        """The call that a move concerns, as soon as it is like that."""

        def waiting() -> bool:
            return not ((call is not None or self.agent.parties) and possible(call or self.call))

        if waiting() and not self.net.run_while(waiting, at_most=self.patience):
            raise AssertionError(f"{self.name} waited {self.patience} s for {what}; {self._story()}")
        return call or self.call

    def _target(self, to: Address | str | None) -> Address:
        target = self.through if to is None else address_of(to)
        if target is None:
            raise ValueError(f"{self.name} does not know where to send that")
        return target

    def _story(self) -> str:
        stages = [f"{party.stage} {party.status}: {' '.join(party.heard)}" for party in self.agent.parties]
        return f"its calls: {stages or 'none'}; all it heard: {self.agent.heard}"

    def _do_register(self, binding: Binding) -> None:
        self._do(self.agent.register(binding, self.net.now))

    def _settle(self) -> None:
        self._do(self.agent.drain())

    def _do(self, commands: Sequence[SendMessage]) -> None:
        self.net.perform(self.agent, commands)
        self.net.settle()


def matches(wanted: str | int, heard: str) -> bool:
    """`487` is the response to an INVITE, "BYE" a request, "200 BYE" the response to one."""
    return heard == str(wanted) or (isinstance(wanted, int) and heard == f"{wanted} INVITE")
