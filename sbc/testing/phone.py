"""A scripted phone in the network in memory. Its moves read like a story: invites, rings, answers, holds, hangs up.

A move first waits (in virtual time) until it is possible, then happens, then lets the network settle. What is not
possible within `patience` seconds fails with what the phone has heard. The phone's knowledge of SIP is in `agent`.
"""

from collections.abc import Callable, Sequence
from typing import Literal

from sbc.core.address import Address, Transport
from sbc.core.ids import IdSource
from sbc.sdp import Direction, direction_of
from sbc.sip.commands import SendMessage
from sbc.sip.message import Fields
from sbc.sip.timing import DEFAULT_TIMING, Timing
from sbc.testing.agent import UserAgent
from sbc.testing.binding import Binding
from sbc.testing.challenger import Challenger
from sbc.testing.digest import Keyring
from sbc.testing.net import Network
from sbc.testing.party import Party, Stage
from sbc.testing.registrar import Registrar
from sbc.testing.script import Script


class Phone:
    """`through` is where it sends its calls: the SBC, a proxy, or another phone. Moves concern the last call."""

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
        codecs: Sequence[str] = ("PCMU", "PCMA", "telephone-event"),
        domain: str | None = None,
    ) -> None:
        self.name = name
        self.net = net
        self.address = address_of(address)
        self.through = None if through is None else address_of(through)
        self.patience = 64 * timing.t1 + 8
        self._ids = ids
        self.agent = UserAgent(
            name, self.address, ids, user=user, transport=transport, timing=timing,
            video_port=video_port, codecs=tuple(codecs), domain=domain,
        )  # fmt: skip
        for listening in {Transport.UDP, transport}:
            net.attach(self.agent, (listening, self.address))

    # --- moves --------------------------------------------------------------------------------------------------------

    def invites(
        self,
        number: str,
        *,
        sdp: bool = True,
        to: Address | str | None = None,
        fields: Fields = (),
        domain: str | None = None,
        caller: str | None = None,
    ) -> Party:
        target = self.through if to is None else address_of(to)
        if target is None:
            raise ValueError(f"{self.name} does not know where to send its calls")
        now = self.net.now
        self._do(self.agent.invite(number, target, now, sdp=sdp, fields=fields, domain=domain, caller=caller))
        return self.agent.parties[-1]

    def rings(self, *, sdp: bool = False) -> None:
        """180, with early media if `sdp`."""
        self._when(lambda p: p.invite_key is not None, "an INVITE to answer")
        self._do(self.agent.ring(self.call, self.net.now, 180, sdp=sdp))

    def progresses(self) -> None:
        """183 with SDP: early media."""
        self._when(lambda p: p.invite_key is not None, "an INVITE to answer")
        self._do(self.agent.ring(self.call, self.net.now, 183, sdp=True))

    def answers(self) -> None:
        self._when(lambda p: p.invite_key is not None, "an INVITE to answer")
        self._do(self.agent.accept(self.call, self.net.now))

    def refuses(self, status: int, *, fields: Fields = ()) -> None:
        self._when(lambda p: p.invite_key is not None, "an INVITE to answer")
        self._do(self.agent.refuse(self.call, status, self.net.now, fields))

    def cancels(self) -> None:
        """CANCEL goes out once a provisional response allows it (§9.1)."""
        self._when(lambda p: p.is_caller and p.stage in (Stage.CALLING, Stage.RINGING), "a call to cancel")
        self._do(self.agent.cancel(self.call, self.net.now))

    def hangs_up(self, *, fields: Fields = ()) -> None:
        self._when(lambda p: p.stage is Stage.TALKING, "an answered call")
        self._do(self.agent.hang_up(self.call, self.net.now, fields))

    def holds(self, direction: Direction = Direction.SENDONLY) -> None:
        self._when(lambda p: p.stage is Stage.TALKING, "an answered call")
        self._do(self.agent.reinvite(self.call, self.net.now, direction))

    def resumes(self) -> None:
        self.holds(Direction.SENDRECV)

    def reinvites(self, *, sdp: bool = True) -> None:
        """A re-INVITE that changes nothing, or one without offer."""
        self._when(lambda p: p.stage is Stage.TALKING, "an answered call")
        self._do(self.agent.reinvite(self.call, self.net.now, sdp=sdp))

    def asks(self, method: str, uri: str | None = None) -> None:
        """A request outside of any dialog; `got` then finds "200 OPTIONS" and the like."""
        if self.through is None:
            raise ValueError(f"{self.name} does not know whom to ask")
        self._do(self.agent.ask(method, uri or f"sip:{self.through}", self.through, self.net.now))

    def requests(self, method: str, *, fields: Fields = (), body: bytes = b"") -> None:
        """Any request within the dialog."""
        self._when(lambda p: p.stage is Stage.TALKING, "an answered call")
        self._do(self.agent.request(self.call, method, self.net.now, fields=fields, body=body))

    # --- manners ------------------------------------------------------------------------------------------------------

    @property
    def script(self) -> Script:
        return self.agent.script

    def never_acks(self) -> None:
        self.script.acks = False

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
        target = self.through if to is None else address_of(to)
        if target is None:
            raise ValueError(f"{self.name} does not know where to register")
        me = self.agent.line.identity
        contact = f"sip:{self.address};bnc" if gin else me.contact[1].strip("<>")
        call_id = f"{self._ids.call_id()[:12]}@{me.name}"
        self._do_register(Binding(aor, target, contact, call_id, self._ids.tag(), expires, gin))
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

    def got(self, *wanted: str | int) -> bool:
        """Whether the last call heard these, in this order, others between them allowed: `got(180, "ACK", "BYE")`."""
        heard = iter(self.call.heard if self.agent.parties else self.agent.heard)
        return all(any(matches(want, item) for item in heard) for want in wanted)

    def waits_for(self, *wanted: str | int, at_most: float | None = None) -> None:
        """Let time pass until it has heard these."""
        patience = self.patience if at_most is None else at_most
        if not self.net.run_while(lambda: not self.got(*wanted), at_most=patience):
            raise AssertionError(f"{self.name} waited {patience} s for {wanted}; {self._story()}")
        self.net.settle()

    def _when(self, possible: Callable[[Party], bool], what: str) -> None:
        def waiting() -> bool:
            return not (self.agent.parties and possible(self.call))

        if waiting() and not self.net.run_while(waiting, at_most=self.patience):
            raise AssertionError(f"{self.name} waited {self.patience} s for {what}; {self._story()}")

    def _story(self) -> str:
        stages = [f"{party.stage} {party.status}: {' '.join(party.heard)}" for party in self.agent.parties]
        return f"its calls: {stages or 'none'}; all it heard: {self.agent.heard}"

    def _do_register(self, binding: Binding) -> None:
        self._do(self.agent.register(binding, self.net.now))

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
