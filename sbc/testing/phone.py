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
                each with by="INVITE" or by="UPDATE"            changes_contact("10.0.0.5:5070", by=)
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
from sbc.testing.agent import UserAgent
from sbc.testing.asked import Asked
from sbc.testing.binding import Binding
from sbc.testing.challenger import Challenger
from sbc.testing.digest import Keyring
from sbc.testing.net import Network
from sbc.testing.party import Party, Stage
from sbc.testing.referring import refer_to, refer_to_replacing
from sbc.testing.registrar import Registrar
from sbc.testing.script import Script
from sbc.testing.subscribing import Subscription

By = Literal["INVITE", "UPDATE"]


class Phone:
    """`through` is where it sends its calls: the SBC, a proxy, or another phone.

    `video_port`, `fax_port`: it knows such streams. `numbers`: payload types of its own choice, by codec name.
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
    ) -> None:
        self.name = name
        self.net = net
        self.address = address_of(address)
        self.through = None if through is None else address_of(through)
        self.patience = 64 * timing.t1 + 8
        self._ids = ids
        self.agent = UserAgent(
            name, self.address, ids, user=user, transport=transport, timing=timing, video_port=video_port,
            fax_port=fax_port, codecs=tuple(codecs), numbers=numbers, domain=domain,
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

    # --- what is said of media, in a call or while it rings -----------------------------------------------------------

    def changes(
        self,
        *,
        direction: Direction | None = None,
        kinds: Sequence[str] | None = None,
        codecs: Sequence[str] | None = None,
        old_hold: bool | None = None,
        beside: bool | None = None,
        by: By = "INVITE",
        fields: Fields = (),
        call: Party | None = None,
    ) -> None:
        """An offer that differs in what is named here. By UPDATE it may also be made in an early dialog."""
        party = self._talking(call) if by == "INVITE" else self._in_dialog(call)
        wish = party.talk.wish
        wish = structs.replace(
            wish,
            direction=wish.direction if direction is None else direction,
            kinds=wish.kinds if kinds is None else tuple(kinds),
            codecs=wish.codecs if codecs is None else tuple(codecs),
            old_hold=wish.old_hold if old_hold is None else old_hold,
            beside=wish.beside if beside is None else beside,
        )
        if by == "INVITE":
            self.agent.calling.reinvite(party, self.net.now, wish, fields=fields)
        else:
            self.agent.updating.update(party, self.net.now, wish, fields=fields)
        self._settle()

    def holds(
        self,
        direction: Direction = Direction.SENDONLY,
        *,
        old: bool = False,
        by: By = "INVITE",
        call: Party | None = None,
    ) -> None:
        """`old`: by c=0.0.0.0, as RFC 2543 did."""
        self.changes(direction=direction, old_hold=old, by=by, call=call)

    def resumes(self, *, by: By = "INVITE", call: Party | None = None) -> None:
        self.holds(Direction.SENDRECV, by=by, call=call)

    def adds_video(self, *, by: By = "INVITE", call: Party | None = None) -> None:
        self.changes(kinds=("audio", "video"), by=by, call=call)

    def removes_video(self, *, by: By = "INVITE", call: Party | None = None) -> None:
        """Port 0 in its place (RFC 3264 §8.2)."""
        self.changes(kinds=("audio",), by=by, call=call)

    def offers_fax(self, *, beside: bool = False, by: By = "INVITE", call: Party | None = None) -> None:
        """T.38 in the m= line of the voice; `beside`: in one of its own, while the voice's gets port 0."""
        self.changes(kinds=("image",), beside=beside, by=by, call=call)

    def returns_to_voice(self, *, by: By = "INVITE", call: Party | None = None) -> None:
        self.changes(kinds=("audio",), by=by, call=call)

    def offers_codecs(self, *codecs: str, by: By = "INVITE", call: Party | None = None) -> None:
        self.changes(codecs=codecs, by=by, call=call)

    def reinvites(self, *, sdp: bool = True, fields: Fields = (), call: Party | None = None) -> None:
        """A re-INVITE that changes nothing, or one without offer."""
        self.agent.calling.reinvite(self._talking(call), self.net.now, sdp=sdp, fields=fields)
        self._settle()

    def updates(self, *, sdp: bool = True, fields: Fields = (), call: Party | None = None) -> None:
        """An UPDATE that changes nothing, or one without offer; in an early dialog too."""
        self.agent.updating.update(self._in_dialog(call), self.net.now, sdp=sdp, fields=fields)
        self._settle()

    def changes_contact(self, address: Address | str, *, by: By | None = "INVITE", call: Party | None = None) -> None:
        """It wants to be reached there from now on, and says so with a target refresh (`by` None: with the next one).

        It sends from where it was. Where messages for it went says `net.log`.
        """
        there = address_of(address)
        self.net.attach(self.agent, (Transport.UDP, there))
        self.agent.line.contact_at = there
        if by == "INVITE":
            self.reinvites(call=call)
        elif by == "UPDATE":
            self.updates(sdp=False, call=call)

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

    # --- other requests -----------------------------------------------------------------------------------------------

    def requests(self, method: str, *, fields: Fields = (), body: bytes = b"", call: Party | None = None) -> None:
        """Any request within the dialog."""
        self._do(self.agent.request(self._talking(call), method, self.net.now, fields=fields, body=body))

    def presses(self, digit: str, *, milliseconds: int = 160, call: Party | None = None) -> None:
        """A digit by INFO, as application/dtmf-relay."""
        body = f"Signal={digit}\r\nDuration={milliseconds}\r\n".encode()
        self.requests("INFO", fields=(("Content-Type", "application/dtmf-relay"),), body=body, call=call)

    def asks(
        self, method: str, uri: str | None = None, *, fields: Fields = (), body: bytes = b"", to: str | None = None
    ) -> Asked:
        """A request outside of any dialog; `got` then finds "200 OPTIONS" and the like."""
        target = self._target(to)
        uri = uri or f"sip:{target}"
        self._do(self.agent.ask(method, uri, target, self.net.now, fields=fields, body=body))
        return self.agent.asked[-1]

    def messages(self, number: str, text: str, *, content_type: str = "text/plain") -> Asked:
        """MESSAGE outside of any dialog (RFC 3428); within one: `requests`."""
        fields = (("Content-Type", content_type),)
        return self.asks("MESSAGE", f"sip:{number}@{self.through}", fields=fields, body=text.encode())

    def publishes(
        self, event: str, number: str, body: bytes = b"", *, expires: int = 3600, etag: str = "", content_type: str = ""
    ) -> Asked:
        """PUBLISH (RFC 3903); with the `etag` of the one before a refresh, a change, or by `expires` 0 the removal."""
        match: Fields = (("SIP-If-Match", etag),) if etag else ()
        typed: Fields = (("Content-Type", content_type or "application/pidf+xml"),) if body else ()
        fields = (("Event", event), ("Expires", str(expires)), *match, *typed)
        return self.asks("PUBLISH", f"sip:{number}@{self.through}", fields=fields, body=body)

    def subscribes(
        self,
        event: str,
        number: str,
        *,
        expires: int = 3600,
        accept: str = "",
        fields: Fields = (),
        to: str | None = None,
    ) -> Subscription:
        """SUBSCRIBE (RFC 6665): `heard` has the states and bodies of its NOTIFYs."""
        made = self.agent.subscribing.subscribe(
            event, number, self._target(to), self.net.now, expires=expires, accept=accept, fields=fields
        )
        self._settle()
        return made

    def resubscribes(self, one: Subscription | None = None, *, expires: int = 3600) -> None:
        """The last subscription, or another, once more."""
        self.agent.subscribing.refresh(one or self.subscription("subscriber"), self.net.now, expires=expires)
        self._settle()

    def unsubscribes(self, one: Subscription | None = None) -> None:
        self.resubscribes(one, expires=0)

    def notifies(
        self,
        body: bytes = b"",
        *,
        content_type: str = "application/pidf+xml",
        state: str = "active",
        one: Subscription | None = None,
    ) -> None:
        """To whoever has subscribed last, or to `one`; a `state` such as "terminated;reason=noresource" ends it."""
        self.agent.subscribing.notify(
            one or self.subscription("notifier"), self.net.now, body=body, content_type=content_type, state=state
        )
        self._settle()

    def subscription(self, role: str) -> Subscription:
        """The last one in which it is subscriber, or notifier."""
        found = [one for one in self.agent.subscribing.all if one.role == role]
        if not found:
            raise AssertionError(f"{self.name} is {role} of nothing; {self._story()}")
        return found[-1]

    # --- manners ------------------------------------------------------------------------------------------------------

    @property
    def script(self) -> Script:
        return self.agent.script

    def supports(self, *tags: str) -> None:
        """These extensions from now on, besides those before."""
        self.script.supports = tuple(dict.fromkeys((*self.script.supports, *tags)))

    def allows(self, *methods: str) -> None:
        self.script.allow = tuple(dict.fromkeys((*self.script.allow, *methods)))

    def disallows(self, *methods: str) -> None:
        """Its Allow does not name them, and it complains where they come all the same."""
        self.script.allow = tuple([method for method in self.script.allow if method not in methods])

    def uses_100rel(self, *, required: bool = False) -> None:
        """`required`: its INVITEs say so, and it refuses those that know nothing of it."""
        self.supports("100rel")
        self.script.requires = ("100rel",) if required else ()

    def holds_back_pracks(self) -> None:
        """Until `pracks` is said."""
        self.script.pracks = False

    def offers_in_pracks(self) -> None:
        self.script.offers_in_prack = True

    def uses_session_timer(
        self,
        expires: int | None = 1800,
        *,
        min_se: int = 90,
        refresher: Literal["uac", "uas"] | None = None,
        refreshes: By | None = "UPDATE",
    ) -> None:
        """RFC 4028, in seconds. `expires` None: it asks for none. `refreshes` None: it never does, though it should."""
        self.supports("timer")
        self.script.session_expires, self.script.min_se = expires, min_se
        self.script.refresher, self.script.refreshes = refresher, refreshes

    def never_acks(self) -> None:
        """Or only when `acks` is said."""
        self.script.acks = False

    def acks_again(self) -> None:
        """By itself, from now on."""
        self.script.acks = True

    def retries_glare(self, *, wanted: bool = True) -> None:
        """Whether what got 491 is said again after the time of RFC 3261 §14.1."""
        self.script.retries_glare = wanted

    def answers_reinvites(self, status: int | None) -> None:
        """None: when told by `answers` or `refuses`."""
        self.script.reinvites = status

    def answers_updates(self, status: int | None) -> None:
        """None: never."""
        self.script.updates = status

    def answers_refers(self, status: int | None, *, notifies: Literal["all", "final", "first", "none"] = "all") -> None:
        """With 202 it places the call that is asked for, and tells how that goes as `notifies` says."""
        self.script.refers, self.script.notifies_refer = status, notifies

    def answers_requests(self, method: str, status: int) -> None:
        """INFO, MESSAGE, PUBLISH, unsolicited NOTIFY and such; SUBSCRIBE too."""
        if method == "SUBSCRIBE":
            self.script.subscribes = status
        else:
            self.script.statuses[method] = status

    def ignores(self, *methods: str) -> None:
        """Acts as if these had never come; without names, as if nothing ever came."""
        self.script.deaf = not methods
        self.script.ignored = frozenset(methods)

    def wakes(self) -> None:
        """Hears everything again."""
        self.script.deaf = False
        self.script.ignored = frozenset()
        for party in self.agent.parties:
            party.talk.may_skip = True

    def answers_options(self, status: int = 200, *, retry_after: int | None = None) -> None:
        """For silence see `ignores("OPTIONS")`."""
        self.script.options = status
        self.script.options_fields = () if retry_after is None else (("Retry-After", str(retry_after)),)

    def challenges(
        self,
        username: str,
        password: str,
        *,
        realm: str = "carrier.example",
        algorithm: str | tuple[str, ...] = "MD5",
        status: Literal[401, 407] = 401,
        fresh: bool = False,
        stale: bool = False,
        qop: str = "auth",
        methods: Sequence[str] = (),
    ) -> Challenger:
        """From now on any request but ACK and CANCEL needs these credentials, besides those demanded before."""
        algorithms = (algorithm,) if isinstance(algorithm, str) else algorithm
        challenger = Challenger(
            username, password, self._ids, realm=realm, algorithms=algorithms, status=status,
            fresh=fresh, stale=stale, qop=qop, methods=methods,
        )  # fmt: skip
        challenger.complaints = self.agent.complaints
        self.agent.challengers.append(challenger)
        return challenger

    def has_credentials(self, username: str, password: str) -> Keyring:
        """Answers challenges from now on."""
        self.agent.keyring = Keyring(username, password)
        return self.agent.keyring

    def becomes_registrar(self) -> Registrar:
        """Takes REGISTERs from now on; whose, its challenges say."""
        registrar = Registrar()
        registrar.complaints = self.agent.complaints
        self.agent.registrar = registrar
        return registrar

    def registers(self, aor: str, *, expires: int = 600, gin: bool = False, to: Address | str | None = None) -> Binding:
        """A new registration, with the phone's own Contact; refreshed and removed when told."""
        me = self.agent.line.identity
        contact = f"sip:{self.address};bnc" if gin else me.contact[1].strip("<>")
        call_id = f"{self._ids.call_id()[:12]}@{me.name}"
        self._do_register(Binding(aor, self._target(to), contact, call_id, self._ids.tag(), expires, gin))
        return self.agent.bindings[-1]

    def refreshes(self, binding: Binding | None = None, *, expires: int | None = None) -> None:
        """The last registration, or another, once more."""
        binding = binding or self.agent.bindings[-1]
        binding.expires = binding.expires if expires is None else expires
        self._do_register(binding)

    def unregisters(self, binding: Binding | None = None) -> None:
        self.refreshes(binding, expires=0)

    def dies(self, *, silently: bool = False) -> None:
        """Its ports refuse (ICMP, RST), or the whole machine is gone and nobody says so. Its calls are lost."""
        self.agent.crash()
        self.net.kill(self.agent, silently=silently)

    def revives(self) -> None:
        """Back at its addresses, with no memory of calls."""
        self.net.revive(self.agent)

    def reboots(self) -> None:
        """At once: it hears and answers, and knows none of its calls any more."""
        self.agent.crash()

    def answers_by_itself(
        self, after: float = 0.1, *, rings: int | None = 180, hangs_up_after: float | None = None
    ) -> None:
        self.script.rings, self.script.answers_after, self.script.hangs_up_after = rings, after, hangs_up_after

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


def address_of(text: Address | str) -> Address:
    """`192.0.2.1:5060` or `[2001:db8::1]:5060`; the port may be left out."""
    if isinstance(text, Address):
        return text
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or (":" in host and not host.startswith("[")):
        return Address(text.strip("[]"), 5060)
    return Address(host.strip("[]"), int(port))
