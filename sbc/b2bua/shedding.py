"""What an overloaded node does with what arrives: lets in what it can serve, and refuses the rest as cheaply as it can.

Whatever belongs to something that was let in (ACK, BYE, CANCEL, PRACK, every request in a dialog, every response) is
served always, and so are emergencies. What begins something is judged by `overload` before it is parsed: a new call
that is not let in gets its 503 from its raw octets (`glance`), leaves no transaction, no ladder and no record, and is
counted. The ACK of such a 503 is known by its tag. What cannot be read at a glance is parsed, and judged after that.
Used by the switch, which asks only while there is a queue.
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Final

from sbc.b2bua.commands import Command, Log
from sbc.b2bua.context import Context
from sbc.b2bua.entrance import is_emergency
from sbc.b2bua.overload import Kind, Overload, OverloadView, Verdict
from sbc.core import limits
from sbc.core.address import Flow, Transport
from sbc.core.tables import Table
from sbc.policy.model import Peer
from sbc.sip.checks import ACCEPT, SUPPORTED, UNRELIABLE, allow_field
from sbc.sip.commands import Respond
from sbc.sip.endpoint import Endpoint
from sbc.sip.glance import Glance, answer, glance
from sbc.sip.overload_params import Asked, report
from sbc.sip.transaction.layer import TransactionLayer
from sbc.sip.transaction.outputs import RequestReceived

VALIDITY: Final = 0.5  # seconds that what a client is told holds (RFC 7339 §4.3); each response says it anew
_RETRY_AFTER: Final = 4  # seconds at most, drawn for each: all at once would be the next overload
_TAKES_THE_TRUNK_AWAY: Final = 0.5  # admitted fraction below which a peer had better go elsewhere with everything
_SAID_SECONDS: Final = 1.0  # refusing for so long is told to the operator
_REMEMBERED_SECONDS: Final = 4.0
_SPEAKERS_SECONDS: Final = 10.0  # since a client asked to be told; then it counts as one that does as it likes

_KINDS: Final = {
    b"INVITE": Kind.CALL,
    b"REGISTER": Kind.REGISTER,
    b"MESSAGE": Kind.BESIDE,
    b"SUBSCRIBE": Kind.BESIDE,
    b"PUBLISH": Kind.BESIDE,
    b"NOTIFY": Kind.BESIDE,
    b"REFER": Kind.BESIDE,
}
_METHODS: Final = {name.decode("ascii"): kind for name, kind in _KINDS.items()}
_UNAVAILABLE: Final = b"503 Service Unavailable"


class Shedding:
    """While `overload.is_on`, `take` must see every message first. `has_drained`: whether no new calls are taken
    anyway.
    """

    def __init__(self, context: Context, endpoint: Endpoint, has_drained: Callable[[], bool]) -> None:
        self.overload = Overload()
        self.shed: Counter[tuple[str, str, str]] = Counter()
        self._context = context
        self._endpoint = endpoint
        self._has_drained = has_drained
        self._key = context.ids.call_id().encode("ascii")
        self._prefix = b"oc" + context.ids.tag().encode("ascii")
        self._mark = b";tag=" + self._prefix  # by which an ACK of our 503 is known
        self._is_judged = False  # the message that is being parsed has been looked at already
        self._sender: Peer | None = None  # of that message
        self._refused: set[bytes] = set()
        self._refused_before: set[bytes] = set()
        self._rotate_at = 0.0
        self._speakers: dict[str, float] = {}  # clients that RFC 7339 is spoken with, and until when
        self._refusing_since: float | None = None
        self._is_said = False

    # --- how it stands ------------------------------------------------------------------------------------------------

    def queued(self, age: float, queue: str, flow: Flow | None, now: float) -> list[Command]:
        """`flow`: the stream whose queue it is; None: all wait in it. What a stranger's stream brings is dropped, so
        that how long it is concerns nobody.
        """
        if flow is None:
            self.overload.queued(age, queue, now)
            return self.tick(now)
        remote = flow.remote
        peer = self._context.policy.identify(flow.interface, remote.host, remote.port, flow.transport, flow.proved)
        if peer is not None:
            self.overload.queued(age, queue, now, whose=self._asker(peer, flow, now))
        return self.tick(now)

    def tick(self, now: float) -> list[Command]:
        """Judge anew, where it is time; and what the operator is told of it."""
        overload = self.overload
        if not overload.is_on or now < (overload.next_deadline() or 0.0):
            return []
        self._forget(now)
        overload.tick(now, speakers=self._speakers)
        if overload.is_shedding:
            self._refusing_since = now if self._refusing_since is None else self._refusing_since
            return [] if self._is_said or now - self._refusing_since < _SAID_SECONDS else self._say()
        self._refusing_since = None
        if overload.is_on or not self._is_said:
            return []
        self._is_said = False
        return [Log("info", "overload.ended", (("refused", self.shed.total()),))]

    def _say(self) -> list[Command]:
        self._is_said = True
        overload = self.overload
        fields = (
            ("alarm", True),
            ("percent", round(100 * overload.level)),
            ("waited_ms", round(1000 * overload.age)),
            ("most", overload.busiest() or None),
        )
        return [Log("warning", "overload.began", fields)]

    def _forget(self, now: float) -> None:
        if now >= self._rotate_at or len(self._refused) >= limits.REFUSED_REMEMBERED // 2:
            self._rotate_at = now + _REMEMBERED_SECONDS
            self._refused_before, self._refused = self._refused, set()
        self._speakers = {name: until for name, until in self._speakers.items() if now < until}

    def next_deadline(self) -> float | None:
        return self.overload.next_deadline()

    def table(self) -> Table:
        """Requests that were refused, and are remembered."""
        used = len(self._refused) + len(self._refused_before)
        return Table("refused_remembered", used, limits.REFUSED_REMEMBERED, is_ring=True)

    def view(self) -> OverloadView:
        overload = self.overload
        shed = tuple((*key, count) for key, count in self.shed.items())
        return OverloadView(overload.is_on, overload.level, overload.age, overload.rate, shed)

    # --- before it is parsed ------------------------------------------------------------------------------------------

    def take(self, peer: Peer, data: bytes, flow: Flow, now: float) -> list[Command] | None:
        """What follows at once; None: it is let in, and parsed. Asked only while `overload.is_on`."""
        self._is_judged, self._sender = False, peer
        name = data[: data.find(b" ", 0, 12)]
        kind = _KINDS.get(name)
        if kind is not None:
            return self._judge(peer, name.decode("ascii"), kind, data, flow, now)
        if name == b"ACK":
            return [] if self._mark in data else None
        if name == b"OPTIONS":
            return self._alive(peer, data, flow)
        return None

    def _judge(self, peer: Peer, method: str, kind: Kind, data: bytes, flow: Flow, now: float) -> list[Command] | None:
        seen = glance(data, method)
        if seen is None:
            return None
        if not seen.is_new or self._endpoint.layer.has(seen.key):
            self._is_judged = True
            return None
        wants_oc = seen.wants_oc and not peer.is_anybody and peer.overload != "off"
        if wants_oc:
            self._speakers[peer.name] = now + _SPEAKERS_SECONDS
        digest = self._digest(seen.call_id)
        known = digest + seen.key[0].encode("ascii")
        if known in self._refused or known in self._refused_before:
            verdict = Verdict.REFUSE  # it has been answered: letting it in would ring somebody whom nobody calls
        else:
            verdict = self.overload.admits(self._asker(peer, flow, now), kind, _mark_of(digest))
            if verdict is Verdict.ADMIT or (kind is Kind.CALL and self._may_be_emergency(peer, seen)):
                self._is_judged = True
                return None
            if len(self._refused) < limits.REFUSED_REMEMBERED // 2:
                self._refused.add(known)
        self._endpoint.counts["received", method, ""] += 1
        if verdict is not Verdict.DROP:
            seconds = 0 if wants_oc else self._retry_after(self._asker(peer, flow, now), digest)
            fields = b"Retry-After: %d\r\n" % seconds if seconds else b""
            told = self._report(peer.name) if wants_oc else ""
            said = answer(seen, flow, _UNAVAILABLE, self._prefix + digest.hex().encode("ascii"), fields, told)
            may_be_forged = flow.transport is Transport.UDP and self._is_stranger(peer, flow, now)
            if not may_be_forged or len(said.data) <= len(data):  # nothing is amplified, see `sip.small`
                self._endpoint.counts["sent", method, "503"] += 1
                self.shed[peer.name, method, "refused"] += 1
                return [said]
        self.shed[peer.name, method, "dropped"] += 1
        return []

    def _asker(self, peer: Peer, flow: Flow, now: float) -> str:
        """Whose share it is. Strangers have one of their own: nothing of who may come from anywhere is theirs."""
        return f"{peer.name}, not logged in" if self._is_stranger(peer, flow, now) else peer.name

    def _is_stranger(self, peer: Peer, flow: Flow, now: float) -> bool:
        return peer.is_anybody and not self._context.keeping_out.has_shown(flow, now)

    def _alive(self, peer: Peer, data: bytes, flow: Flow) -> list[Command] | None:
        """Whoever asks whether we are alive must hear so, or he takes every call elsewhere for minutes."""
        # Deviation: RFC 3261 §11.2 has the answer that an INVITE would get; an OPTIONS about somebody behind us is
        # answered by ourselves while there is no time to ask him.
        seen = None if peer.is_anybody or self._has_drained() else glance(data, "OPTIONS")
        if seen is None or not seen.is_new or "OPTIONS" not in peer.methods:
            return None
        counts = self._endpoint.counts
        counts["received", "OPTIONS", ""] += 1
        counts["sent", "OPTIONS", "200"] += 1
        fields = (allow_field(peer.methods), ACCEPT, SUPPORTED if peer.reliable == "offer" else UNRELIABLE)
        lines = "".join([f"{name}: {value}\r\n" for name, value in fields]).encode("ascii")
        tag = self._prefix + self._digest(seen.call_id).hex().encode("ascii")
        return [answer(seen, flow, b"200 OK", tag, lines)]

    def _may_be_emergency(self, peer: Peer, seen: Glance) -> bool:
        """In doubt it is one: the parser will know better."""
        if seen.uri[:4].lower() == b"urn:":
            return True
        policy = self._context.policy
        return any(b"%" in user or policy.may_be_emergency(peer.name, user.decode("ascii")) for user in seen.users())

    def _digest(self, call_id: bytes) -> bytes:
        return hashlib.blake2b(call_id, digest_size=8, key=self._key).digest()

    def _retry_after(self, asker: str, digest: bytes) -> int:
        """Seconds; 0: none. It takes the whole trunk away, which is right only where most of it is refused.

        "MUST reject some requests … with a 503 (Service Unavailable) response without the Retry-After header",
        RFC 7339 §5.10.2: so it is while most is let in.
        """
        if self.overload.fraction(asker) >= _TAKES_THE_TRUNK_AWAY:
            return 0
        return 1 + digest[0] % _RETRY_AFTER

    # --- after it was parsed ------------------------------------------------------------------------------------------

    def refuse(self, out: RequestReceived, peer: Peer, now: float) -> list[Respond] | None:
        """Of what could not be read at a glance; None: it may come in. Asked only while `overload.is_on`. `peer`: who
        speaks; where several share a source, the share is that of `take`.
        """
        kind = _METHODS.get(out.request.method)
        if kind is None or self._is_judged:
            return None
        request = out.request
        digest = self._digest(request.call_id.encode("utf-8", "surrogateescape"))
        asker = self._asker(self._sender or peer, out.flow, now)
        if self.overload.admits(asker, kind, _mark_of(digest)) is Verdict.ADMIT:
            return None
        if kind is Kind.CALL and is_emergency(request, peer, self._context):
            return None
        self.shed[peer.name, request.method, "refused"] += 1
        seconds = self._retry_after(asker, digest)
        return [Respond(out.key, 503, fields=(("Retry-After", str(seconds)),) if seconds else ())]

    # --- RFC 7339, as a server ----------------------------------------------------------------------------------------

    def speak_by(self, layer: TransactionLayer) -> None:
        """From now on its messages carry what neighbours tell each other."""
        layer.report, layer.offers, layer.was_asked = self.report, self.offers, self.was_asked

    def report(self, peer: str) -> str:
        """What goes into the Via of a response to a client that wants to hear it; nothing to anybody who may be anyone.

        Of every request, as §5.3 has it; the client knows how many of them are new, and reduces those (§5.10.1).
        """
        known = self._context.policy.peers.get(peer)
        if known is None or known.is_anybody or known.overload == "off":
            return ""
        self._context.relations.throttle.has_shown(peer)
        return self._report(peer)

    def _report(self, peer: str) -> str:
        if not self.overload.is_on:
            return report(0, 0.0, self._context.wall.of(self.overload.changed_at))
        return report(self.overload.loss(peer), VALIDITY, self._context.wall.of(self.overload.changed_at))

    # --- RFC 7339, as a client ----------------------------------------------------------------------------------------

    def offers(self, flow: Flow, method: str) -> bool:
        """Whether a request of ours asks who is there how much of it he wants."""
        throttle = self._context.relations.throttle
        if not throttle.is_used:
            return False
        remote = flow.remote
        peer = self._context.policy.identify(flow.interface, remote.host, remote.port, flow.transport, flow.proved)
        if peer is None or not throttle.speaks(peer):
            return False
        if method != "INVITE":
            throttle.sent(remote)
        return True

    def was_asked(self, flow: Flow, asked: Asked, now: float) -> None:
        self._context.relations.throttle.was_asked(flow.remote, asked, now)


def _mark_of(digest: bytes) -> float:
    return int.from_bytes(digest[:4], "big") / 2**32
