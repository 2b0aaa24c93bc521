"""A SIP user agent without sockets: places and takes calls as a real one would, and complains about what is wrong.

RFC 3261 §8, §12 to §15 on top of the transaction layer; its dialogs are its own, not the SBC's, so that an error there
is not made twice. What it does by itself stands in its `Script`; everything else somebody tells it to do.
Who uses it: `phone` in the network in memory, the demo on real sockets. It judges what it receives: see `complaints`.
"""

from collections.abc import Callable
from typing import Final

from sbc.core.address import Address, Flow, Transport
from sbc.core.ids import IdSource
from sbc.core.timers import Schedule
from sbc.sdp import Direction
from sbc.sip.commands import SendMessage
from sbc.sip.message import Fields, Request, Response
from sbc.sip.multipart import description_of
from sbc.sip.parse import ParseError, parse_message
from sbc.sip.timing import DEFAULT_TIMING, Timing
from sbc.sip.transaction.layer import TransactionLayer
from sbc.sip.transaction.outputs import (
    AckReceived,
    CancelReceived,
    ConnectionLost,
    Out,
    RequestReceived,
    ResponseReceived,
    TransactionFailed,
)
from sbc.testing.binding import Binding
from sbc.testing.challenger import Challenger, uncalled_for
from sbc.testing.digest import Keyring
from sbc.testing.inspect import complaints_about
from sbc.testing.line import ALLOW, Identity, Line
from sbc.testing.party import Party, Script, Stage
from sbc.testing.registrar import Registrar
from sbc.testing.voice import Voice, note_sdp

STANDING: Final = frozenset({"OPTIONS", "REGISTER"})  # methods that belong to no call


class UserAgent:
    """`user` and `name` stand in From, Contact and User-Agent: what topology hiding must keep from the far side."""

    def __init__(
        self,
        name: str,
        address: Address,
        ids: IdSource,
        *,
        user: str = "1000",
        transport: Transport = Transport.UDP,
        interface: str = "",
        timing: Timing = DEFAULT_TIMING,
        media: Address | None = None,
        codecs: tuple[str, ...] = ("PCMU", "PCMA", "telephone-event"),
        video_port: int | None = None,
        domain: str | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self.timing = timing
        self.voice = Voice(media or Address(address.host, 4000), codecs, video_port)
        self.script = Script()
        self.parties: list[Party] = []
        self.heard: list[str] = []
        self.complaints: list[str] = []
        self.keepalives = 0
        self.challengers: list[Challenger] = []
        self.keyring: Keyring | None = None
        self.bindings: list[Binding] = []
        self.registrar: Registrar | None = None
        self.layer = TransactionLayer(ids, timing)
        me = Identity(name, user, domain or str(address), address, transport, interface)
        self.line = Line(me, self.layer, ids)
        self._ids = ids
        self._due: Schedule[tuple[int, str]] = Schedule()
        self._out: list[SendMessage] = []

    # --- what a host must have ----------------------------------------------------------------------------------------

    def receive(self, data: bytes, flow: Flow, now: float) -> list[SendMessage]:
        if self.script.deaf:
            return []
        if not data.strip(b"\r\n"):
            self.keepalives += 1  # RFC 5626 §3.5.1, sent for the sake of a NAT: nothing to answer on UDP
            return []
        try:
            message = parse_message(data, stream=flow.transport is not Transport.UDP)
        except ParseError as error:
            self.complaints.append(f"unreadable: {error.reason}: {data[:80]!r}")
            return []
        if isinstance(message, Request):
            if message.method in self.script.ignored or self._is_registrar_silent(message):
                return []
            self._take(self.layer.receive_request(message, flow, now), now)
        else:
            self._take(self.layer.receive_response(message, now), now)
        return self._drain()

    def bad_frame(self, data: bytes, flow: Flow, reason: str, now: float) -> list[SendMessage]:  # noqa: ARG002
        self.complaints.append(f"bad frame: {reason}: {data[:80]!r}")
        return []

    def flow_failed(self, flow: Flow, reason: str, now: float) -> list[SendMessage]:
        self._take(self.layer.fail_flow(flow, reason, now), now)
        return self._drain()

    def tick(self, now: float) -> list[SendMessage]:
        self._take(self.layer.tick(now), now)
        for n, what in self._due.pop_due(now):
            _TIMERS[what](self, self.parties[n], now)
        return self._drain()

    def next_deadline(self) -> float | None:
        times = [at for at in (self.layer.next_deadline(), self._due.next()) if at is not None]
        return min(times) if times else None

    # --- what it can be told ------------------------------------------------------------------------------------------

    def invite(
        self,
        number: str,
        to: Address,
        now: float,
        *,
        sdp: bool = True,
        fields: Fields = (),
        domain: str | None = None,
        caller: str | None = None,
    ) -> list[SendMessage]:
        """Call `number` through `to`. Without `sdp` the offer is left to the other side."""
        party = self._new_party(is_caller=True)
        self.line.begin(party, number, to, domain=domain, caller=caller)
        offer = self.voice.describe(party) if sdp else None
        self._take(self.line.invite(party, now, sdp=offer, fields=fields), now)
        return self._drain()

    def ring(self, party: Party, now: float, status: int = 180, *, sdp: bool = False) -> list[SendMessage]:
        self._ring(party, now, status, sdp=sdp)
        return self._drain()

    def accept(self, party: Party, now: float) -> list[SendMessage]:
        """200 to the INVITE that waits: with an answer, or with an offer where the INVITE had none."""
        self._accept(party, now)
        return self._drain()

    def refuse(self, party: Party, status: int, now: float, fields: Fields = ()) -> list[SendMessage]:
        self._refuse(party, status, now, fields)
        return self._drain()

    def cancel(self, party: Party, now: float) -> list[SendMessage]:
        party.cancelled = True
        self._take(self.layer.cancel(party.user(), now), now)
        return self._drain()

    def hang_up(self, party: Party, now: float, fields: Fields = ()) -> list[SendMessage]:
        """BYE on the confirmed dialog (§15.1.1)."""
        self._hang_up(party, now, fields)
        return self._drain()

    def reinvite(
        self, party: Party, now: float, direction: Direction | None = None, *, sdp: bool = True
    ) -> list[SendMessage]:
        """Another offer: with a direction to hold (sendonly, inactive) or resume (sendrecv), or without SDP."""
        if direction is not None:
            party.direction = direction
        offer = self.voice.describe(party) if sdp else None
        self._take(self.line.invite(party, now, sdp=offer), now)
        return self._drain()

    def request(
        self, party: Party, method: str, now: float, *, fields: Fields = (), body: bytes = b""
    ) -> list[SendMessage]:
        """Any other request within the dialog."""
        self._take(self.line.request(party, method, now, fields=fields, body=body), now)
        return self._drain()

    def ask(self, method: str, uri: str, to: Address, now: float, *, fields: Fields = ()) -> list[SendMessage]:
        """A request outside of any dialog, such as OPTIONS; its response is found in `heard`."""
        self._take(self.line.ask(method, uri, to, now, fields), now)
        return self._drain()

    def register(self, binding: Binding, now: float, *, fields: Fields = ()) -> list[SendMessage]:
        """REGISTER: the first one, a refresh, or with `expires` 0 the removal."""
        if binding not in self.bindings:
            self.bindings.append(binding)
        self._take(self.line.register(self.bindings.index(binding), binding, now, fields), now)
        return self._drain()

    def crash(self) -> None:
        """Every call, transaction and timer is gone, as after a power cut; scripts, challenges and accounts stay."""
        self.layer = self.line.layer = TransactionLayer(self._ids, self.timing)
        self._out.clear()
        for party in self.parties:
            party.local_tag = ""  # what comes for it is for nobody now
            if party.stage is not Stage.ENDED:
                self._end(party, party.status)

    def knows(self, host: str, address: str) -> None:
        """What a host name in the far side's URIs resolves to."""
        self.line.names[host.lower()] = address

    @property
    def media(self) -> Address:
        """Where its audio is to be sent."""
        return self.voice.media

    @media.setter
    def media(self, address: Address) -> None:
        self.voice = Voice(address, self.voice.codecs, self.voice.video_port)

    @property
    def is_idle(self) -> bool:
        """Every party has ended, and nothing is due but what answers probes and registrations, which never end.

        An INVITE within a dialog that is over may wait for a final response that nobody owes it any more.
        """
        ended = all(party.stage is Stage.ENDED for party in self.parties)
        return ended and self._due.next() is None and not self.layer.count_timed(but=STANDING)

    # --- what the transactions report ---------------------------------------------------------------------------------

    def _take(self, outs: list[Out], now: float) -> None:
        for out in outs:
            match out:
                case SendMessage():
                    self._out.append(out)
                case RequestReceived(key=key, request=request):
                    self._hear(request, None)
                    self._received(key, request, now)
                case AckReceived(request=request):
                    self._received_ack(request, now)
                case CancelReceived(user=user):
                    self._received_cancel(user, now)
                case ResponseReceived(user=user, response=response, request=request, flow=flow):
                    self._hear(response, request)
                    if not self._answer_challenge(user, response, request, flow, now):
                        self._received_response(user, response, request, now)
                case TransactionFailed(user=user, why=why):
                    self._failed(user, why, now)
                case ConnectionLost():
                    pass  # it waits
                case _:
                    raise AssertionError(f"a phone does not know what to do with {out}")

    def _received(self, key: tuple[str, ...], request: Request, now: float) -> None:
        party = self._party_of(request)
        if party is not None:
            self.complaints += complaints_about(request, party)
            party.remote_seq = max(party.remote_seq, request.cseq.number)
            party.heard.append(request.method)
        self.complaints += uncalled_for(self.challengers, request)
        if self._challenge(key, request, now):
            return
        if request.method == "INVITE":
            self._received_invite(key, request, party, now)
        elif request.method == "BYE":
            self._received_bye(key, party, now)
        elif request.method == "REGISTER" and self.registrar is not None:
            status, fields = self.registrar.take(request, now)
            self._take(self.layer.respond(key, status, now, fields=fields), now)
        elif request.method == "OPTIONS":
            status = self.script.options if party or not request.to.tag else 481
            self._take(self.layer.respond(key, status, now, fields=(ALLOW, *self.script.options_fields)), now)
        elif request.method in ("INFO", "UPDATE", "NOTIFY", "MESSAGE"):
            self._take(self.layer.respond(key, 200 if party or not request.to.tag else 481, now, fields=(ALLOW,)), now)
        else:
            self._take(self.layer.respond(key, 501, now), now)

    def _challenge(self, key: tuple[str, ...], request: Request, now: float) -> bool:
        for challenger in self.challengers:
            fields = challenger.judge(request)
            if fields is not None:
                self._take(self.layer.respond(key, challenger.status, now, fields=fields), now)
                return True
        return False

    def _is_registrar_silent(self, request: Request) -> bool:
        return request.method == "REGISTER" and self.registrar is not None and self.registrar.silent

    def _received_invite(self, key: tuple[str, ...], request: Request, party: Party | None, now: float) -> None:
        if party is None and request.to.tag is not None:
            self._take(self.layer.respond(key, 481, now), now)
            return
        is_new = party is None
        if party is None:
            party = self._new_party(is_caller=False)
            party.take_invite(request, self._ids.tag())
            party.heard.append("INVITE")
            self.complaints += complaints_about(request, party)
        elif party.stage is Stage.ENDED:
            self._take(self.layer.respond(key, 481, now), now)
            return
        party.invite_key = key
        party.invite = request
        self.layer.adopt(key, ("invite", party.n, "taken"))
        party.refresh_target(request.contacts)
        if not self._note_sdp(party, description_of(request)):
            self._refuse(party, 400, now)
            return
        party.offered = bool(description_of(request))
        if is_new:
            self._due.set((party.n, "tired"), now + self.script.patience)
            self._play_script(party, now)
        elif self.script.reinvites is not None:
            self._answer_reinvite(party, self.script.reinvites, now)
        elif self.script.trying:
            self._respond(party, 100, now, b"")

    def _play_script(self, party: Party, now: float) -> None:
        script = self.script
        if script.trying:
            self._respond(party, 100, now, b"")
        if script.rings is not None:
            self._ring(party, now, script.rings, sdp=script.rings == 183)
        if script.refuses is not None:
            self._refuse(party, script.refuses, now)
        elif script.answers_after is not None:
            self._due.set((party.n, "answer"), now + script.answers_after)

    def _answer_reinvite(self, party: Party, status: int, now: float) -> None:
        if status == 200:
            self._accept(party, now)
        else:
            self._refuse(party, status, now)

    def _received_bye(self, key: tuple[str, ...], party: Party | None, now: float) -> None:
        self._take(self.layer.respond(key, 200 if party is not None else 481, now), now)
        if party is None:
            return
        if party.invite_key is not None and party.answered_at is None:
            self._respond(party, 487, now, b"")
        self._end(party, party.status)

    def _received_ack(self, request: Request, now: float) -> None:
        party = self._party_of(request)
        if party is None:
            self.complaints.append(f"ACK for no dialog of ours: {request.call_id}")
            return
        self.heard.append("ACK")
        if party.heard[-1:] != ["ACK"]:
            party.heard.append("ACK")
        self.complaints += complaints_about(request, party)
        for challenger in self.challengers:
            challenger.judge_ack(request)
        if not self.script.hears_acks:
            return
        self._due.set((party.n, "resend"), None)
        self._due.set((party.n, "no ack"), None)
        if party.invite_key is not None:
            party.invite_key = None
            if not party.offered and not self._note_sdp(party, request.body):
                self._hang_up(party, now)

    def _received_cancel(self, user: object, now: float) -> None:
        self.heard.append("CANCEL")
        if not isinstance(user, tuple):
            return
        party = self.parties[user[1]]
        party.heard.append("CANCEL")
        self._respond(party, 487, now, b"")
        party.invite_key = None
        if party.answered_at is None:
            self._end(party, 487)

    def _answer_challenge(self, user: object, response: Response, request: Request, flow: Flow, now: float) -> bool:
        """The request once more with credentials, where we have some (§22.2)."""
        if response.status not in (401, 407) or self.keyring is None or not isinstance(user, tuple):
            return False
        party = self.parties[user[1]] if user[0] not in ("ask", "register") else None
        if party is not None and party.cancelled:
            return False
        credentials = self.keyring.answer(response, request, self._ids)
        if credentials is None:
            return False
        if party is not None:
            party.heard.append(str(response.status) + ("" if request.method == "INVITE" else f" {request.method}"))
        binding = self.bindings[user[1]] if user[0] == "register" else None
        self._take(self.line.again(request, flow, credentials, party or binding, user, now), now)
        return True

    def _received_response(self, user: object, response: Response, request: Request, now: float) -> None:
        if not isinstance(user, tuple) or user[0] == "ask":
            return
        if user[0] == "register":
            self.bindings[user[1]].take(response)
            return
        party = self.parties[user[1]]
        party.heard.append(str(response.status) + ("" if request.method == "INVITE" else f" {request.method}"))
        if request.method == "INVITE":
            self.complaints += complaints_about(response, party)
            self._received_invite_response(party, response, request, now)
        elif request.method == "BYE" and response.status >= 200:
            self._end(party, party.status)

    def _received_invite_response(self, party: Party, response: Response, request: Request, now: float) -> None:
        if response.status < 200:
            if party.stage is Stage.CALLING and response.status > 100:
                party.stage = Stage.RINGING
            party.remote_tag = party.remote_tag or response.to.tag
            self._note_sdp(party, response.body)
            return
        if response.status >= 300:
            party.last_status = response.status
            if party.answered_at is None:
                self._end(party, response.status)
            return
        self._received_2xx(party, response, request, now)

    def _received_2xx(self, party: Party, response: Response, request: Request, now: float) -> None:
        if party.answered_at is not None and response.to.tag != party.remote_tag:
            self.complaints.append("a second 2xx with another To tag: a fork, which the SBC must hide")
        is_first = party.answered_at is None
        party.last_status = 200
        party.remote_tag = response.to.tag
        party.refresh_target(response.contacts)
        if is_first:
            party.answered_at = now
            party.status = response.status
            party.route_set = tuple(str(route) for route in reversed(response.record_routes))
            party.stage = Stage.TALKING
        self._note_sdp(party, response.body)
        if self.script.acks:
            body = self._answer(party) if response.body and not description_of(request) else b""
            self._take(self.line.ack(party, request, body), now)
        if is_first and party.cancelled:
            self._hang_up(party, now)
        elif is_first and self.script.hangs_up_after is not None:
            self._due.set((party.n, "hang up"), now + self.script.hangs_up_after)

    def _failed(self, user: object, why: str, now: float) -> None:  # noqa: ARG002
        self.heard.append(why)
        if not isinstance(user, tuple) or user[0] in ("ask", "register"):
            return
        party = self.parties[user[1]]
        party.heard.append(why)
        party.last_status = 408 if why == "timeout" else 503
        if party.answered_at is None:
            self._end(party, party.last_status)

    # --- what it does -------------------------------------------------------------------------------------------------

    def _ring(self, party: Party, now: float, status: int, *, sdp: bool) -> None:
        self._respond(party, status, now, self._answer(party) if sdp else b"")
        party.stage = Stage.RINGING

    def _accept(self, party: Party, now: float) -> None:
        self._respond(party, 200, now, self._answer(party))
        if party.answered_at is None:
            party.answered_at = now
        party.stage = Stage.TALKING
        self._due.set((party.n, "tired"), None)
        party.resend_after = self.timing.t1
        self._due.set((party.n, "resend"), now + party.resend_after)
        self._due.set((party.n, "no ack"), now + self.timing.give_up)
        if self.script.hangs_up_after is not None:
            self._due.set((party.n, "hang up"), now + self.script.hangs_up_after)

    def _refuse(self, party: Party, status: int, now: float, fields: Fields = ()) -> None:
        self._respond(party, status, now, b"", fields)
        if party.stage is not Stage.TALKING:
            self._end(party, status)
        party.invite_key = None

    def _hang_up(self, party: Party, now: float, fields: Fields = ()) -> None:
        self._take(self.line.request(party, "BYE", now, fields=fields), now)
        self._end(party, party.status)

    def _respond(self, party: Party, status: int, now: float, body: bytes, fields: Fields = ()) -> None:
        if status >= 200 and party.invite_key is not None and party.answered_at is None:
            party.status = status
        self._take(self.line.respond(party, status, now, body, fields), now)

    # --- what it does after a while -----------------------------------------------------------------------------------

    def _resend(self, party: Party, now: float) -> None:
        """ "If the server retransmits the 2xx …, starts at T1 and doubles until it reaches T2", §13.3.1.4."""
        if party.invite_key is None:
            return
        self._take(self.layer.resend(party.invite_key), now)
        party.resend_after = min(2 * party.resend_after, self.timing.t2)
        self._due.set((party.n, "resend"), now + party.resend_after)

    def _give_up_on_ack(self, party: Party, now: float) -> None:
        """ "If the server retransmits the 2xx response for 64*T1 seconds without receiving an ACK …", §13.3.1.4."""
        self._due.set((party.n, "resend"), None)
        party.heard.append("no ack")
        if party.stage is Stage.TALKING:
            self._hang_up(party, now)

    def _refuse_if_waiting(self, party: Party, now: float) -> None:
        if party.stage in (Stage.NEW, Stage.RINGING):
            self._refuse(party, 480, now)

    def _answer_if_waiting(self, party: Party, now: float) -> None:
        if party.stage in (Stage.NEW, Stage.RINGING):
            self._accept(party, now)

    def _hang_up_if_talking(self, party: Party, now: float) -> None:
        if party.stage is Stage.TALKING:
            self._hang_up(party, now)

    # --- session descriptions -----------------------------------------------------------------------------------------

    def _answer(self, party: Party) -> bytes:
        body, complaint = self.voice.answer(party)
        self.complaints += complaint
        return body

    def _note_sdp(self, party: Party, body: bytes) -> bool:
        """Keep what the other side says of itself; False if it cannot be read."""
        if not body:
            return True
        found = note_sdp(party, body)
        self.complaints += found
        return party.offer_waits

    # --- small things -------------------------------------------------------------------------------------------------

    def _new_party(self, *, is_caller: bool) -> Party:
        party = Party(len(self.parties), is_caller)
        self.parties.append(party)
        return party

    def _party_of(self, request: Request) -> Party | None:
        for party in self.parties:
            if party.call_id == request.call_id and party.local_tag == request.to.tag:
                return party
        return None

    def _hear(self, message: Request | Response, request: Request | None) -> None:
        if isinstance(message, Request):
            self.heard.append(message.method)
        else:
            method = request.method if request is not None else message.cseq.method
            self.heard.append(f"{message.status} {method}")

    def _end(self, party: Party, status: int) -> None:
        party.stage = Stage.ENDED
        party.status = status
        for what in _TIMERS:
            self._due.set((party.n, what), None)

    def _drain(self) -> list[SendMessage]:
        out, self._out = self._out, []
        return out


_TIMERS: Final[dict[str, Callable[[UserAgent, Party, float], object]]] = {
    "resend": UserAgent._resend,
    "no ack": UserAgent._give_up_on_ack,
    "tired": UserAgent._refuse_if_waiting,
    "answer": UserAgent._answer_if_waiting,
    "hang up": UserAgent._hang_up_if_talking,
}
