"""A SIP user agent without sockets: places and takes calls as a real one would, and complains about what is wrong.

RFC 3261 §8, §12 to §15 on top of the transaction layer; its dialogs are its own, not the SBC's, so that an error there
is not made twice. What it does by itself stands in its `Script`; everything else somebody tells it to do. This file is
its door: what it may be told, and which part gets what the transactions report. The parts are `incoming`, `calling`,
`called`, `reliably`, `updating`, `refreshing`, `referring` and `subscribing`; what they share is `bench`.
Who uses it: `phone` in the network in memory, the demo on real sockets. It judges what it receives: see `complaints`.
"""

from collections.abc import Callable, Mapping
from typing import Final

from msgspec.structs import replace

from sbc.core.address import Address, Flow, Transport
from sbc.core.ids import IdSource
from sbc.sdp import Direction
from sbc.sip.commands import SendMessage
from sbc.sip.message import Fields, Request, Response
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
from sbc.testing.asked import Asked
from sbc.testing.bench import Bench
from sbc.testing.binding import Binding
from sbc.testing.called import Called
from sbc.testing.calling import Calling
from sbc.testing.challenger import Challenger
from sbc.testing.digest import Keyring
from sbc.testing.incoming import Incoming
from sbc.testing.inspect import complaints_about
from sbc.testing.line import Identity
from sbc.testing.party import Party, Stage, Wish
from sbc.testing.referring import Referring
from sbc.testing.refreshing import Refreshing
from sbc.testing.registrar import Registrar
from sbc.testing.reliably import Reliably
from sbc.testing.secure_sdp import PhoneSrtp
from sbc.testing.subscribing import Subscribing
from sbc.testing.updating import Updating
from sbc.testing.voice import Voice

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
        fax_port: int | None = None,
        numbers: Mapping[str, int] | None = None,
        domain: str | None = None,
        srtp: PhoneSrtp | None = None,
    ) -> None:
        self.name = name
        self.address = address
        self.timing = timing
        me = Identity(name, user, domain or str(address), address, transport, interface)
        voice = Voice(media or Address(address.host, 4000), codecs, video_port, fax_port, numbers or {}, srtp)
        self.bench = bench = Bench(me, ids, timing, voice)
        self.script = bench.script
        self.parties = bench.parties
        self.heard = bench.heard
        self.complaints = bench.complaints
        self.line = bench.line
        self.is_calm: Callable[[], bool] = lambda: True  # whether the network keeps the order, and loses nothing
        self.keepalives = 0
        self.challengers: list[Challenger] = []
        self.keyring: Keyring | None = None
        self.bindings: list[Binding] = []
        self.registrar: Registrar | None = None
        self.asked: list[Asked] = []
        self.refreshing = Refreshing(bench)
        self.reliably = Reliably(bench)
        self.calling = Calling(bench, self.reliably, self.refreshing)
        self.called = Called(bench, self.reliably, self.refreshing)
        self.updating = Updating(bench, self.calling, self.refreshing)
        self.referring = Referring(bench, self.calling)
        self.subscribing = Subscribing(bench)
        self.incoming = Incoming(self)
        self._ids = ids
        self._end = bench.end

    # --- what a host must have ----------------------------------------------------------------------------------------

    def receive(self, data: bytes, flow: Flow, now: float) -> list[SendMessage]:
        if self.script.in_order and not self.is_calm():
            self._is_warned()
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
        return self.drain()

    def bad_frame(self, data: bytes, flow: Flow, reason: str, now: float) -> list[SendMessage]:  # noqa: ARG002
        self.complaints.append(f"bad frame: {reason}: {data[:80]!r}")
        return []

    def flow_failed(self, flow: Flow, reason: str, now: float) -> list[SendMessage]:
        self._take(self.layer.fail_flow(flow, reason, now), now)
        return self.drain()

    def tick(self, now: float) -> list[SendMessage]:
        self._take(self.layer.tick(now), now)
        for what, n in self.bench.due.pop_due(now):
            self.bench.timers[what](n, now)
        return self.drain()

    def next_deadline(self) -> float | None:
        times = [at for at in (self.layer.next_deadline(), self.bench.due.next()) if at is not None]
        return min(times) if times else None

    def drain(self) -> list[SendMessage]:
        """What its parts want to send."""
        out, self.bench.out = self.bench.out, []
        return out

    # --- what it can be told: the moves of the demo and of random stories; `phone` has more of them -------------------

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
        self.calling.invite(number, to, now, sdp=sdp, fields=fields, domain=domain, caller=caller)
        return self.drain()

    def ring(
        self, party: Party, now: float, status: int = 180, *, sdp: bool = False, reliable: bool = False
    ) -> list[SendMessage]:
        self.called.ring(party, now, status, sdp=sdp, reliable=reliable)
        return self.drain()

    def accept(self, party: Party, now: float) -> list[SendMessage]:
        """200 to the INVITE that waits: with an answer, or with an offer where the INVITE had none."""
        self.called.accept(party, now)
        return self.drain()

    def refuse(self, party: Party, status: int, now: float, fields: Fields = ()) -> list[SendMessage]:
        self.called.refuse(party, status, now, fields)
        return self.drain()

    def cancel(self, party: Party, now: float) -> list[SendMessage]:
        party.cancelled = True
        self.bench.send(self.layer.cancel(party.user(), now))
        return self.drain()

    def hang_up(self, party: Party, now: float, fields: Fields = ()) -> list[SendMessage]:
        """BYE on the dialog, which may be an early one of ours (§15.1.1)."""
        self.bench.hang_up(party, now, fields)
        return self.drain()

    def reinvite(
        self, party: Party, now: float, direction: Direction | None = None, *, sdp: bool = True
    ) -> list[SendMessage]:
        """Another offer: with a direction to hold (sendonly, inactive) or resume (sendrecv), or without SDP."""
        self.calling.reinvite(party, now, _turned(party, direction), sdp=sdp)
        return self.drain()

    def update(
        self, party: Party, now: float, direction: Direction | None = None, *, sdp: bool = True
    ) -> list[SendMessage]:
        """The same by UPDATE (RFC 3311)."""
        self.updating.update(party, now, _turned(party, direction), sdp=sdp)
        return self.drain()

    def request(
        self, party: Party, method: str, now: float, *, fields: Fields = (), body: bytes = b""
    ) -> list[SendMessage]:
        """Any other request within the dialog."""
        self.bench.ask(party, method, now, fields, body)
        return self.drain()

    def ask(
        self, method: str, uri: str, to: Address, now: float, *, fields: Fields = (), body: bytes = b""
    ) -> list[SendMessage]:
        """A request outside of any dialog, such as OPTIONS; its response is found in `heard` and `asked`."""
        self.asked.append(Asked(len(self.asked), method))
        self.bench.send(self.line.ask(method, uri, to, now, fields, body, len(self.asked) - 1))
        return self.drain()

    def register(self, binding: Binding, now: float, *, fields: Fields = ()) -> list[SendMessage]:
        """REGISTER: the first one, a refresh, or with `expires` 0 the removal."""
        if binding not in self.bindings:
            self.bindings.append(binding)
        self.bench.send(self.line.register(self.bindings.index(binding), binding, now, fields))
        return self.drain()

    def crash(self) -> None:
        """Every call, transaction and timer is gone, as after a power cut; scripts, challenges and accounts stay."""
        self.bench.crash()
        self.subscribing.crash()

    def knows(self, host: str, address: str) -> None:
        """What a host name in the far side's URIs resolves to."""
        self.line.names[host.lower()] = address

    @property
    def layer(self) -> TransactionLayer:
        return self.bench.layer

    @property
    def voice(self) -> Voice:
        return self.bench.voice

    @property
    def media(self) -> Address:
        """Where its audio is to be sent."""
        return self.voice.media

    @media.setter
    def media(self, address: Address) -> None:
        self.bench.voice = replace(self.voice, media=address)

    @property
    def is_idle(self) -> bool:
        """Every party has ended, and nothing is due but what answers probes and registrations, which never end.

        An INVITE within a dialog that is over may wait for a final response that nobody owes it any more.
        """
        ended = all(party.stage is Stage.ENDED for party in self.parties)
        ended = ended and all(one.is_over for one in self.subscribing.all)
        return ended and self.bench.due.next() is None and not self.layer.count_timed(but=STANDING)

    def _is_warned(self) -> None:
        """From now on messages may come late, or not at all, and that is nobody's fault."""
        self.script.in_order = False
        for party in self.parties:
            party.talk.lossy = party.talk.may_skip = True

    # --- what the transactions report ---------------------------------------------------------------------------------

    def _take(self, outs: list[Out], now: float) -> None:
        for out in outs:
            match out:
                case SendMessage():
                    self.bench.out.append(out)
                case RequestReceived(key=key, request=request):
                    self.heard.append(request.method)
                    self.incoming.received(key, request, now)
                case AckReceived(request=request):
                    self.incoming.received_ack(request, now)
                case CancelReceived(user=user):
                    self.called.received_cancel(user, now)
                case ResponseReceived(user=user, response=response, request=request, flow=flow):
                    self.heard.append(f"{response.status} {request.method}")
                    if not self._answer_challenge(user, response, request, flow, now):
                        self._received_response(user, response, request, now)
                case TransactionFailed(user=user, why=why):
                    self._failed(user, why, now)
                case ConnectionLost():
                    pass  # it waits
                case _:
                    raise AssertionError(f"a phone does not know what to do with {out}")

    def _is_registrar_silent(self, request: Request) -> bool:
        return request.method == "REGISTER" and self.registrar is not None and self.registrar.silent

    def _party(self, user: tuple[str, int, int]) -> Party | None:
        """Whose request it was."""
        if user[0] == "subscription":
            return self.subscribing.all[user[1]].party
        return None if user[0] in ("ask", "register") else self.parties[user[1]]

    def _answer_challenge(self, user: object, response: Response, request: Request, flow: Flow, now: float) -> bool:
        """The request once more with credentials, where we have some (§22.2)."""
        if response.status not in (401, 407) or self.keyring is None or not isinstance(user, tuple):
            return False
        party = self._party(user)
        if party is not None and party.cancelled:
            return False
        credentials = self.keyring.answer(response, request, self._ids)
        if credentials is None:
            return False
        if party is not None:
            party.heard.append(str(response.status) + ("" if request.method == "INVITE" else f" {request.method}"))
        binding = self.bindings[user[1]] if user[0] == "register" else None
        self.bench.send(self.line.again(request, flow, credentials, party or binding, user, now))
        return True

    def _received_response(self, user: object, response: Response, request: Request, now: float) -> None:
        if not isinstance(user, tuple):
            return
        kind, n = user[0], user[1]
        if kind == "ask":
            if response.status >= 200:
                self.asked[n].status, self.asked[n].response = response.status, response
        elif kind == "register":
            self.bindings[n].take(response)
        elif kind == "subscription":
            self.subscribing.received_response(n, response, request, now)
        else:
            self._received_call_response(self.parties[n], response, request, now)

    def _received_call_response(self, party: Party, response: Response, request: Request, now: float) -> None:
        method = request.method
        party.heard.append(str(response.status) + ("" if method == "INVITE" else f" {method}"))
        self.complaints += complaints_about(response, party, self.script, request)
        if response.allow and response.status < 300:
            party.allowed = response.allow
        if method == "INVITE":
            self.calling.received(party, response, request, now)
        elif method == "UPDATE":
            self.updating.received_response(party, response, request, now)
        elif method == "PRACK":
            self.reliably.take_response(party, response, request)
        elif method == "REFER":
            self.referring.received_response(party, response, request, now)
        elif method == "BYE" and response.status >= 200:
            self.bench.end(party, party.status)

    def _failed(self, user: object, why: str, now: float) -> None:
        self.heard.append(why)
        if not isinstance(user, tuple) or user[0] == "register":
            return
        if user[0] == "ask":
            self.asked[user[1]].status = 408 if why == "timeout" else 503
            return
        if user[0] == "subscription":
            self.subscribing.failed(user[1], now)
            return
        party = self.parties[user[1]]
        party.heard.append(why)
        if user[0] == "invite":
            self.calling.failed(party, why, now)
        elif user[0] == "UPDATE":
            self.updating.failed(party)


def _turned(party: Party, direction: Direction | None) -> Wish | None:
    return None if direction is None else replace(party.talk.wish, direction=direction, old_hold=False)
