"""One call's media: what each side has said, what it is told of the other, and the relay that follows.

Each leg has its own o= line, address and ports (RFC 3264 §8: the version goes up by one exactly when the text changes).
It allocates port pairs, anchors descriptions and composes `PutSession`; it sends nothing and knows no dialog.
"""

import json
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from sbc.b2bua.ports import PortPool
from sbc.core.ids import IdSource
from sbc.media import wire
from sbc.policy.model import Latching
from sbc.sdp.anchor import anchor
from sbc.sdp.hostile import check_hostile_remote
from sbc.sdp.model import Origin, SdpError, Session, same_except_origin
from sbc.sdp.negotiate import check_answer
from sbc.sdp.parse import parse_sdp
from sbc.sdp.remotes import MediaRemote, media_remotes
from sbc.sdp.serialize import serialize_sdp

SideName = Literal["ingress", "egress"]


class OutOfPortsError(Exception):
    """No media port pair is to be had on this local address."""


class MediaRules(Struct, frozen=True):
    """What every call is held to: addresses and ports of our own, which no peer may name as its own."""

    own: frozenset[str]
    ports: tuple[int, int]


class Side:
    """One leg's end: `local` is bound by the media worker, `shown` stands in our descriptions."""

    __slots__ = ("agreed", "latching", "local", "origin", "ports", "sent", "shown")

    def __init__(self, local: str, shown: str, latching: Latching, session_id: int) -> None:
        self.local = local
        self.shown = shown
        self.latching = latching
        self.origin = Origin(session_id, 0, shown)
        self.ports: list[int] = []
        self.sent: Session | None = None
        self.agreed: tuple[MediaRemote, ...] = ()

    def describe(self, session: Session, ports: Sequence[int]) -> Session:
        """`session` of the other side as this side's peer shall see it."""
        origin = Origin(self.origin.session_id, self.origin.version + 1, self.shown)
        anchored = anchor(session, origin, self.shown, ports)
        if self.sent is not None and same_except_origin(anchored, self.sent):
            return self.sent
        self.origin, self.sent = origin, anchored
        return anchored


class Offer(Struct, frozen=True):
    """An offer that has crossed and has no final answer yet: as its side sent it, and as we passed it."""

    by: SideName
    received: Session
    forwarded: Session


class CallMedia:
    def __init__(self, ref: str, ingress: Side, rules: MediaRules, pool: PortPool, ids: IdSource) -> None:
        self.ref = ref
        self.sides: dict[SideName, Side] = {"ingress": ingress}
        self.offer: Offer | None = None
        self.is_answered = False
        self._rules = rules
        self._pool = pool
        self._ids = ids
        self._generation = 0
        self._codecs: list[str] = []

    @property
    def is_up(self) -> bool:
        """The media worker has been told of this call."""
        return self._generation > 0

    # --- descriptions -------------------------------------------------------------------------------------------------

    def read(self, body: bytes) -> Session:
        """A peer's description. Raises SdpError with the status that it deserves."""
        session = parse_sdp(body)
        for remote in media_remotes(session):
            check_hostile_remote(remote, self._rules.own, self._rules.ports)
        return session

    def open_egress(self, local: str, shown: str, latching: Latching, now: float) -> None:
        """A new egress leg: a description of its own; the ports are kept where the address is the same."""
        old = self.sides.get("egress")
        side = Side(local, shown, latching, self._ids.session_id())
        if old is not None and old.local == local:
            side.ports = old.ports
        elif old is not None:
            self._pool.give_back(old.local, old.ports, now)
        self.sides["egress"] = side

    def pass_offer(self, by: SideName, session: Session, now: float) -> bytes:
        """The offer for the other side's peer. Raises SdpError where nothing can cross, OutOfPortsError."""
        to = self.sides[_other(by)]
        for side in (to, self.sides[by]):
            self._ensure_ports(side, len(session.media), now)
        forwarded = to.describe(session, [to.ports[i] for i in range(len(session.media))])
        self.offer = Offer(by, session, forwarded)
        return serialize_sdp(forwarded)

    def pass_answer(self, session: Session) -> bytes:
        """The answer for the offerer's peer; the relay now follows the two. Raises SdpError where it does not fit."""
        offer = self.offer
        if offer is None:
            raise SdpError("answer without an offer", 488)
        check_answer(offer.forwarded, session)
        to = self.sides[offer.by]
        ports = [port if media.port else 0 for port, media in zip(to.ports, offer.received.media, strict=False)]
        passed = to.describe(session, ports)
        self.is_answered = True
        to.agreed = media_remotes(offer.received)
        self.sides[_other(offer.by)].agreed = media_remotes(session)
        return serialize_sdp(passed)

    def settle(self) -> None:
        """The answer was final: the next description is an offer again."""
        self.offer = None

    def last_sent(self, to: SideName) -> bytes:
        """What that side was last told: repeated in a 2xx whose provisional carried the answer."""
        sent = self.sides[to].sent
        return b"" if sent is None else serialize_sdp(sent)

    # --- relay --------------------------------------------------------------------------------------------------------

    def prepare(self) -> wire.PutSession | None:
        """Let the ports hear before the answer is there, so that a first word that overtakes it is not lost."""
        offer = self.offer
        if offer is None:
            return None
        by, to = self.sides[offer.by], self.sides[_other(offer.by)]
        streams: list[wire.Stream] = []
        for i, remote in enumerate(media_remotes(offer.received)):
            if remote.refused:
                continue
            known, unknown = _end(by, i, remote), wire.End(to.local, to.ports[i], None, to.latching)
            ends = (known, unknown) if offer.by == "ingress" else (unknown, known)
            streams.append(wire.Stream(*ends, rtp=remote.rtp))
        self._generation += 1
        return wire.PutSession(self.ref, self._generation, tuple(streams), early=True)

    def relay(self) -> wire.PutSession:
        """The whole relay as it shall be now."""
        ingress, egress = self.sides["ingress"], self.sides["egress"]
        streams: list[wire.Stream] = []
        self._codecs = []
        for i, (one, other) in enumerate(zip(ingress.agreed, egress.agreed, strict=False)):
            if one.refused or other.refused:
                continue
            ends = (_end(ingress, i, one), _end(egress, i, other))
            streams.append(wire.Stream(*ends, rtp=one.rtp and other.rtp))
            self._codecs.append(other.codec or one.codec)
        self._generation += 1
        return wire.PutSession(self.ref, self._generation, tuple(streams))

    def describe_live(self) -> tuple[tuple[str, str], ...]:
        """For the operator: (side, "codec local > remote") of each stream."""
        return tuple(
            (name, f"{remote.codec} {side.local}:{port} > {remote.host or '-'}:{remote.port}")
            for name, side in self.sides.items()
            for port, remote in zip(side.ports, side.agreed, strict=False)
            if not remote.refused
        )

    def release(self, now: float) -> None:
        for side in self.sides.values():
            self._pool.give_back(side.local, side.ports, now)
            side.ports = []

    def report(self, counts: Sequence[wire.StreamCount]) -> str:
        """The CDR's `media`: what came from each side. Loss, jitter and MOS are not measured yet: null."""
        rows = {
            name: [
                {
                    "codec": codec,
                    "packets": getattr(count, name).received,
                    "lost": None,
                    "jitter_ms": None,
                    "mos": None,
                }
                for codec, count in zip(self._codecs, counts, strict=False)
            ]
            for name in ("ingress", "egress")
        }
        return json.dumps(rows)

    def _ensure_ports(self, side: Side, count: int, now: float) -> None:
        missing = count - len(side.ports)
        if missing <= 0:
            return
        taken = self._pool.take(side.local, missing, now)
        if taken is None:
            raise OutOfPortsError(side.local)
        side.ports = side.ports + taken


def _other(side: SideName) -> SideName:
    return "egress" if side == "ingress" else "ingress"


def _end(side: Side, i: int, remote: MediaRemote) -> wire.End:
    where = None if remote.host is None else wire.Remote(remote.host, remote.port, remote.rtcp_port)
    return wire.End(side.local, side.ports[i], where, side.latching)
