"""The whole SBC in memory and in virtual time: policy, engine, media worker, CDR store, network, phones.

What the runtime does with the engine's commands, this does at once and without I/O; the engine is the real one.
Every story ends with `world.idle()`. Who uses it: tests/flows, and whoever wants to see a policy at work.
"""

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import yaml

from sbc.b2bua.commands import (
    Alert,
    Log,
)
from sbc.b2bua.events import (
    CdrFlows,
    CdrStarted,
    ClockSet,
    Event,
    MediaReplied,
    PolicyChanged,
    StateRestored,
)
from sbc.b2bua.journal import PREFIX
from sbc.b2bua.switch import Switch
from sbc.cdr.entry import Entry
from sbc.cdr.record import CallRecord
from sbc.core.address import Address, Flow, Transport
from sbc.media import wire
from sbc.policy.engine import Policy
from sbc.policy.load import Source, load_policy, parse_policy
from sbc.sdp import media_remotes
from sbc.sdp.codecs import TELEPHONE_EVENT
from sbc.sdp.payload_types import payload_type
from sbc.sip.timing import DEFAULT_TIMING, Timing
from sbc.testing.addresses import address_of
from sbc.testing.agent import STANDING
from sbc.testing.beside import beside
from sbc.testing.leaks import leaks
from sbc.testing.lives import Kept, Lives
from sbc.testing.media import FakeMedia, Packet
from sbc.testing.names import Names
from sbc.testing.net import Conditions, Network
from sbc.testing.party import Party
from sbc.testing.phone import Phone
from sbc.testing.proofs import Proofs
from sbc.testing.rtp import Tone, event_packets
from sbc.testing.sbc_host import SbcHost
from sbc.testing.seeds import seeded_ids
from sbc.testing.shares import miscounted
from sbc.trace.ladder import draw, moves

OFFICE: Final = "10.0.0.5:5060"
CARRIER: Final = "198.51.100.7:5060"
INSIDE: Final = "10.0.0.1:5060"
OUTSIDE: Final = "203.0.113.1:5060"
DID: Final = "+14155550100"
FAR: Final = "+442079460001"

POLICY: Final = """
sbc: {name: test, data_dir: /nowhere, country: US}
interfaces:
  inside: {sip: [udp:10.0.0.1:5060, tcp:10.0.0.1:5060], media: 10.0.0.1}
  outside: {sip: [udp:203.0.113.1:5060, tcp:203.0.113.1:5060], media: 203.0.113.1}
pbxs:
  office: {interface: inside, address: sip:10.0.0.5:5060, dids: ["+14155550100-+14155550199"]}
trunks:
  carrier: {interface: outside, servers: ["sip:198.51.100.7:5060"]}
routes:
  - {name: outbound, from: office, to: [national, "+44X."], via: [carrier]}
  - {name: inbound, from: carrier, to: dids}
"""
WALL_AT_ZERO: Final = 1_735_689_600.0  # 2025-01-01, so that CDRs in tests have honest dates
_PEERS_FAULT: Final = ("peer.", "server.", "registration.", "interface.", "paths.")  # alarms that are part of a story
_QUIET: Final = 80.0  # after so long every transaction, retransmission and lingering timer is over


class Cdrs(list[CallRecord]):
    """The records written, in order."""

    @property
    def only(self) -> CallRecord:
        if len(self) != 1:
            raise AssertionError(f"{len(self)} CDRs, not one: {[(r.ref, r.cause) for r in self]}")
        return self[0]


class World:
    """`policy`: YAML text, a path to files or folders, or a policy. `names`: host names and addresses; see `Names`.

    `peers`: what a policy of text says of its peers besides, by name:
    `World(peers={"office": {"transfer": "refuse"}, "carrier": {"codecs": ["PCMA"], "session_timer": "off"}})`.
    """

    def __init__(
        self,
        policy: str | Path | Policy = POLICY,
        *,
        peers: Mapping[str, Mapping[str, object]] | None = None,
        seed: int = 0,
        conditions: Conditions | None = None,
        timing: Timing = DEFAULT_TIMING,
        names: Mapping[str, Sequence[str]] | None = None,
        media_ports: tuple[int, int] = (20000, 29999),
        kept: Mapping[str, bytes] | None = None,
    ) -> None:
        self.policy = read_policy(policy, peers)
        self.timing = timing
        self.ids = seeded_ids(seed)
        self.net = Network(seed=seed, conditions=conditions)
        self.switch = Switch(self.policy, seeded_ids(seed + 1), timing=timing)
        self.media = FakeMedia(*media_ports, clock=lambda: self.net.now)
        self.cdr = Cdrs()
        self.noted: deque[Entry] = deque(maxlen=1_000)  # what the spool was told of calls before their records, lately
        self.cdr_again: list[
            CallRecord
        ] = []  # ordered by a later life of signalling, though an earlier had stored them
        self.cdr_seconds = 0.0  # until a record is durable
        self.wall_at_zero = WALL_AT_ZERO
        self.logs: list[Log] = []
        self.alerts: list[Alert] = []
        self.kept = Kept(dict(kept or {}))  # what survives a restart
        self.blocked: dict[str, float] = {}  # sources that the kernel is told to drop, and until when
        self.names = names if isinstance(names, Names) else Names(names)
        self.disk_is_full = False
        self.unwritten: list[CallRecord] = []
        self.untold: list[str] = []  # calls that wait for the disk to have their start
        self.phones: list[Phone] = []
        self._sides: dict[str, str] = {}
        self.lives = Lives(self, seed + 1)
        self.host = SbcHost(self)
        self.proofs = Proofs(lambda: self.switch.policy, partial(self._knows, Transport.TLS))
        self.net.proofs[self.host.name] = self.proofs
        self._tones = 0
        self._listens: dict[tuple[Transport, Address], str] = {}  # by interface; those that are gone too
        self._listen()
        now = self.net.now
        self.tell(ClockSet(WALL_AT_ZERO))
        self.tell(StateRestored(tuple(self.kept.items())))
        self.net.perform(self.host, self.host.perform(self.switch.start(now), now))

    # --- who takes part -----------------------------------------------------------------------------------------------

    def phone(
        self,
        name: str,
        address: str,
        *,
        through: str,
        user: str = "1000",
        transport: Transport = Transport.UDP,
        side: str | None = None,
        certificate: str | Sequence[str] = (),
        **options: Any,
    ) -> Phone:
        """`side`: the interface that it is behind; needed where `through` is not the SBC itself. `certificate`: the
        domains that its certificate names, for TLS.

        `options`: what else a `Phone` has: domain, codecs, numbers, video_port, fax_port.
        """
        phone = Phone(
            self.net, name, address, self.ids, through=through, user=user, transport=transport,
            timing=self.timing, **options,
        )  # fmt: skip
        self.phones.append(phone)
        self.proofs.certificates[phone.name] = (certificate,) if isinstance(certificate, str) else tuple(certificate)
        self._sides[phone.name] = side or self._interface_of(address_of(through))
        return phone

    def office(self, **options: Any) -> Phone:
        """The PBX of `POLICY`."""
        return self.phone("pbx-77.office.internal", OFFICE, through=INSIDE, user=DID, **options)

    def carrier(self, **options: Any) -> Phone:
        """The carrier of `POLICY`."""
        return self.phone("softswitch-3.carrier.net", CARRIER, through=OUTSIDE, user=FAR, **options)

    # --- time and events ----------------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        return self.net.now

    def run(self, seconds: float) -> None:
        self.net.run(seconds)

    def settle(self) -> None:
        self.net.settle()

    def tell(self, event: Event) -> None:
        """Something happens to the engine that is no message: an operator's order, a step of the clock."""
        if isinstance(event, ClockSet):
            self.wall_at_zero = event.wall_at_zero
        self.net.perform(self.host, self.host.handle(event, self.now))
        self.net.settle()

    def reload(self, policy: str | Policy) -> None:
        """As the runtime does it: new listeners are there first, and those that are gone stay as long as they may."""
        self.policy = read_policy(policy)
        self._listen()
        self.tell(PolicyChanged(self.policy))

    def listen_anew(self, policy: Policy) -> None:
        """As a new process does it: on what the policy names, and nowhere else."""
        self.policy = policy
        named = {(one.transport, one.address) for face in policy.interfaces.values() for one in face.listeners}
        for place in [place for place in self._listens if place not in named]:
            self.net.close(*place)
            del self._listens[place]
        self._listen()

    def _listen(self) -> None:
        for interface in self.policy.interfaces.values():
            places = [(listener.transport, listener.address) for listener in interface.listeners]
            new = [place for place in places if place not in self._listens]
            self.net.attach(self.host, *new, interface=interface.name)
            for place in [place for place in places if self._listens.get(place, interface.name) != interface.name]:
                self.net.rename(*place, interface.name)
                self._rename_side(self._listens[place], interface.name)
            self._listens.update(dict.fromkeys(places, interface.name))

    def _rename_side(self, was: str, is_now: str) -> None:
        if was not in self.policy.interfaces:
            self._sides = {name: is_now if side == was else side for name, side in self._sides.items()}

    def time_passes(self, seconds: int) -> None:
        """In which the runtime closes each removed listener that the engine lets go of: nothing passes there then."""
        for _ in range(seconds):
            self.run(1.0)
            for place in () if self.lives.is_dead else self.switch.removed_listeners:
                if self.switch.lets_go(*place):
                    self.net.close(*place)
                    del self._listens[place]

    # --- dying and living again: `lives` ------------------------------------------------------------------------------

    def signalling_dies(self, *, after: int = 0, records_lost: bool = True) -> None:
        """As by kill -9: at once, or when `after` more commands have been performed, in the middle of a step or not.

        `records_lost`: so are call records that are not durable yet (`cdr_seconds`); else only the news that they are.
        """
        if after:
            self.lives.dies_after = after
        else:
            self.lives.end(records_lost=records_lost)

    def signalling_freezes(self, seconds: float) -> None:
        """It is stopped for so long, and goes on (SIGSTOP, SIGCONT); or the machine sleeps. What comes waits."""
        self.lives.freeze(seconds)

    def signalling_lives(self, policy: str | Policy | None = None, *, after: float = 0.0) -> None:
        """The next process, after seconds in which nobody answered; with a policy that was changed meanwhile."""
        self.lives.end()
        self.run(after)
        self.lives.begin(self.policy if policy is None else read_policy(policy))
        self.settle()

    def everything_dies(self, *, late: float = 0.2) -> None:
        """Media worker and supervisor too, as by a power cut. The disk has what was kept `late` seconds ago."""
        self.lives.end_all(late)

    # --- media --------------------------------------------------------------------------------------------------------

    def hears(
        self, listener: Phone, speaker: Phone, *, hearing: Party | None = None, speaking: Party | None = None
    ) -> bool:
        """Whether a packet of RTP from one phone comes out at the other, from the address that its SDP names.

        In their last calls, or in `hearing` and `speaking`.
        """
        hearing, speaking = hearing or listener.call, speaking or speaker.call
        session, expected = speaking.remote_sdp, hearing.remote_sdp
        if session is None or expected is None:
            return False
        target, source = media_remotes(session)[0], media_remotes(expected)[0]
        if target.host is None or not target.port:
            return False
        self._tones += 1
        data = Tone(self._tones, 400).packet()
        packet = Packet(Address(target.host, target.port), speaker.agent.media, data)
        out = self.media.relay(packet)
        return any(
            p.remote == listener.agent.media and p.data == data and p.local == Address(source.host or "", source.port)
            for p in out
        )

    def dials(self, speaker: Phone, digit: str, *, milliseconds: int = 160, speaking: Party | None = None) -> bool:
        """A phone plays a digit as telephone-event (RFC 4733), in the number that it was told; whether that crosses.

        What the media worker says of it is told to the engine. For a digit by INFO see `Phone.presses`.
        """
        speaking = speaking or speaker.call
        session = speaking.remote_sdp
        known = None if session is None else payload_type(session.media[0], TELEPHONE_EVENT)
        if session is None or known is None:
            raise AssertionError(f"{speaker.name} was told of no telephone-event")
        target = media_remotes(session)[0]
        self._tones += 1
        out = [
            self.media.relay(Packet(Address(target.host or "", target.port), speaker.agent.media, data))
            for data in event_packets(self._tones, known[0], digit, milliseconds)
        ]
        for news in self.media.news():
            self._replied(news)
        return any(out)

    def falls_silent(self, seconds: float) -> None:
        """So long nobody sends RTP; what the worker says of that is told to the engine.

        Elsewhere time goes by without the worker's silence: phones of most stories send no packets at all.
        """
        self.run(seconds)
        for news in self.media.tick(self.now):
            self._replied(news)

    def worker_dies(self) -> None:
        self.media.kill()

    def worker_starts(self) -> None:
        for reply in self.media.start():
            self._replied(reply)

    # --- what is left -------------------------------------------------------------------------------------------------

    def idle(self, *, after: float = _QUIET, but: Collection[str] = ()) -> bool:
        """Let the last timers expire; then nothing may be alive, anywhere, and nobody may have complained.

        `but`: what a story may leave behind after all, such as "errors" where it plants one.
        """
        self.run(after)
        view = self.switch.snapshot(self.now)
        left = {
            "calls": [(call.ref, call.state) for call in view.calls],
            "transactions": self.switch.endpoint.layer.count(but=STANDING),
            "dialogs": view.dialogs,
            "ports": view.ports,
            "call paths": [path.holders for path in view.paths if path.used],
            "leaked call paths": view.paths_leaked,
            "media sessions": self.media.sessions,
            "deadline": self.switch.next_deadline() if not self._may_wait() else None,
            "phones": [phone.name for phone in self.phones if not phone.agent.is_idle],
            "complaints": [f"{phone.name}: {text}" for phone in self.phones for text in phone.agent.complaints],
            "journal": [key for key in self.kept if key.startswith(PREFIX)] if after >= _QUIET else [],
            "leaks": self.leaks(),
            "shares": miscounted(self.switch),
            "errors": [log for log in self.logs if log.level == "error" and not log.event.startswith(_PEERS_FAULT)],
        }
        alive = {name: what for name, what in left.items() if what and name not in but}
        if alive:
            raise AssertionError("not idle: " + "; ".join(f"{name}: {what}" for name, what in alive.items()))
        return True

    def expects(self, *expected: str, ref: str | None = None) -> None:
        """Compare the messages of a call, as `moves` names them, with a story; show both on a difference."""
        actual = moves(self.switch.trace.entries(ref or self.cdr.only.ref))
        if list(expected) != actual:
            raise AssertionError("the call went another way:\n" + beside(expected, actual))

    def story(self) -> str:
        """Everything that helps to see what happened: ladders, what phones heard, log lines."""
        traces = [*self.lives.former, *([] if self.lives.is_dead else [self.switch.trace])]
        parts = [
            f"call {ref}\n{draw(trace.entries(ref), peers=trace.peers(ref))}"
            for trace in traces
            for ref in trace.refs()
        ]
        for phone in self.phones:
            calls = "; ".join(f"{party.stage}: {' '.join(party.heard)}" for party in phone.agent.parties)
            parts.append(f"{phone.name}: {calls or phone.heard}")
            parts += [f"  complains: {text}" for text in phone.agent.complaints]
        parts += [f"log {log.level}: {log.event} {dict(log.fields)}" for log in self.logs]
        lost = [f"{sent.at:.3f} {sent.fate} {sent.data[:40]!r}" for sent in self.net.log if sent.fate != "delivered"]
        parts += lost[:40]
        return "\n".join(parts)

    def leaks(self) -> list[str]:
        """What any octet that we ever sent to one side tells about the other: addresses, names, Call-IDs, tags."""
        ours = [
            (listener.address.host, interface.name)
            for interface in self.policy.interfaces.values()
            for listener in interface.listeners
        ]
        theirs = [(phone.address.host, self._sides[phone.name]) for phone in self.phones]
        return leaks(self.net.log, self.host.name, self._sides, [*ours, *theirs])

    def inject(self, data: bytes, sender: Phone) -> None:
        """Octets that arrive as if this phone had sent them; what comes back is in `net.sent_to(sender)`."""
        local = next(address for address in self._listening() if address == sender.through)
        flow = Flow(Transport.UDP, self._interface_of(local), local, sender.address)
        self.net.perform(self.host, self.host.receive(data, flow, self.now))
        self.net.settle()

    def disk_has_room(self) -> None:
        """What could not be written is written now, as the runtime's store does it."""
        self.disk_is_full = False
        records, self.unwritten = self.unwritten, []
        for record in records:
            stored = self.lives.store(record)
            if stored is not None:
                self.tell(stored)
        refs, self.untold = self.untold, []
        for ref in refs:
            self.tell(CdrStarted(ref))
        self.tell(CdrFlows())

    def _knows(self, transport: Transport, interface: str, host: str, port: int) -> bool:
        return self.switch.knows(interface, host, port, transport)

    def _listening(self) -> list[Address]:
        return [address for _, address in self._listens]

    def _interface_of(self, address: Address) -> str:
        for (_, listening), interface in self._listens.items():
            if listening == address:
                return interface
        raise ValueError(f"{address} is no listener of the SBC; say which side the phone is on")

    def _replied(self, reply: wire.News) -> None:
        if not isinstance(reply, wire.Running):
            self.tell(MediaReplied(reply))

    def _may_wait(self) -> bool:
        """A deadline far away is a port's rest or a health check; one that is due at once and again is a leak."""
        deadline = self.switch.next_deadline()
        return deadline is None or deadline > self.now


def read_policy(policy: str | Path | Policy, peers: Mapping[str, Mapping[str, object]] | None = None) -> Policy:
    """`peers`: what else a policy of text says of its peers, by name."""
    if isinstance(policy, str):
        return parse_policy([Source("test.yaml", with_peers(policy, peers or {}).encode())])
    if peers:
        raise ValueError("only a policy of text can be told more about its peers")
    return policy if isinstance(policy, Policy) else load_policy([policy])


def with_peers(policy: str, peers: Mapping[str, Mapping[str, object]]) -> str:
    """The text of a policy in which these pbxs and trunks have these keys besides, or instead."""
    if not peers:
        return policy
    read = yaml.safe_load(policy)
    for name, keys in peers.items():
        found = next((read[kind] for kind in ("pbxs", "trunks") if name in read.get(kind, ())), None)
        if found is None:
            raise ValueError(f"the policy has no peer {name}")
        found[name].update(keys)
    return yaml.safe_dump(read, sort_keys=False, allow_unicode=True)


__all__ = [
    "CARRIER",
    "DID",
    "FAR",
    "INSIDE",
    "OFFICE",
    "OUTSIDE",
    "POLICY",
    "Cdrs",
    "World",
    "address_of",
    "read_policy",
    "with_peers",
]
