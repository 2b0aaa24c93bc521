"""One call's media: what each side has said, what it is told of the other, and the relay that follows.

Descriptions cross with our addresses and ports, in the numbers and with the codecs of the side that they go to
(RFC 3264 §5 to §8; RFC 6337). It allocates port pairs and composes `PutSession`; it sends nothing and knows no dialog.
What is said to a peer without the other one's asking is `MediaOfOurs` in `own_media`.
"""

import json
from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.b2bua.ports import PortPool
from sbc.b2bua.sides import ALL_CODECS, Agreed, Side, SideName, within
from sbc.core.ids import IdSource
from sbc.media import wire
from sbc.policy.model import CodecRules, Latching
from sbc.sdp.allowed import check_something_left
from sbc.sdp.direction import Direction
from sbc.sdp.hostile import check_hostile_remote
from sbc.sdp.model import Media, SdpError, Session, same_except_origin
from sbc.sdp.negotiate import answer_stream, check_answer
from sbc.sdp.own_offer import own_stream
from sbc.sdp.parse import parse_sdp
from sbc.sdp.payload_types import rewriting, speaks_alike, translation
from sbc.sdp.remotes import MediaRemote, media_remotes
from sbc.sdp.serialize import serialize_sdp

__all__ = ["CallMedia", "MediaRules", "Offer", "OutOfPortsError", "Side", "SideName"]

_BOTH: Final = Direction.SENDRECV


class OutOfPortsError(Exception):
    """No media port pair is to be had on this local address."""


class MediaRules(Struct, frozen=True):
    """What every call is held to: addresses and ports of our own, which no peer may name as its own."""

    own: frozenset[str]
    ports: tuple[int, int]


class Offer(Struct, frozen=True):
    """An offer that has crossed and has no final answer yet: as its side sent it, and as we passed it.

    `remotes` are the streams of `received`. `is_ours`: the side `by` has not made it, we have, in its name: the answer
    goes no further.
    """

    by: SideName
    received: Session
    forwarded: Session
    remotes: tuple[MediaRemote, ...] = ()
    is_ours: bool = False


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
        self._last_read: tuple[Session | None, tuple[MediaRemote, ...]] = (None, ())
        self._is_renumbered = False  # the two sides may have different numbers for one codec
        self._dead: list[tuple[str, int]] = []  # ports of streams that have ended, to be given back

    @property
    def is_up(self) -> bool:
        """The media worker has been told of this call."""
        return self._generation > 0

    # --- descriptions -------------------------------------------------------------------------------------------------

    def read(self, body: bytes) -> Session:
        """A peer's description. Raises SdpError with the status that it deserves."""
        session = parse_sdp(body)
        remotes = media_remotes(session)
        for remote in remotes:
            check_hostile_remote(remote, self._rules.own, self._rules.ports)
        self._last_read = (session, remotes)
        return session

    def open_egress(
        self,
        local: str,
        shown: str,
        latching: Latching,
        now: float,
        *,
        codecs: CodecRules = ALL_CODECS,
        fax: bool = True,
    ) -> None:
        """A new egress leg: a description of its own; the ports are kept where the address is the same."""
        old = self.sides.get("egress")
        side = Side(local, shown, latching, self._ids.session_id(), codecs=codecs, fax=fax)
        if old is not None and old.local == local:
            side.ports = old.ports
        elif old is not None:
            self._pool.give_back(old.local, old.ports, now)
        self.sides["egress"] = side
        self.is_answered = False  # what another target's provisional has answered is nobody's answer now

    def pass_offer(self, by: SideName, session: Session, now: float) -> bytes:
        """The offer for the other side's peer. Raises SdpError where nothing can cross, OutOfPortsError."""
        return self._make_offer(by, session, now)

    def pass_answer(self, session: Session, offer: Offer | None = None) -> bytes:
        """The answer for the offerer's peer, in the numbers of its offer; the relay now follows the two.

        Raises SdpError where it does not fit. Nothing is to be sent where the offer was ours: then it is empty.
        `offer`: one that other exchanges have overtaken since, so that a fork may answer it.
        """
        offer = offer or self.offer
        if offer is None:
            raise SdpError("answer without an offer", 488)
        check_answer(offer.forwarded, session)
        remotes = self._remotes(session)
        offerer, answerer = self.sides[offer.by], self.sides[_other(offer.by)]
        passed = None if offer.is_ours else self._answer(offer, session, remotes)
        answerer.numbers.said(session)
        answerer.now = Agreed(session, offer.forwarded, remotes)
        self.is_answered = True
        if passed is None:
            return b""
        offerer.now = Agreed(offer.received, passed, offer.remotes)
        return serialize_sdp(passed)

    def settle(self, now: float | None = None) -> None:
        """The exchange is complete: what each side said and was told in it is what a rejected offer comes back to."""
        offer, self.offer = self.offer, None
        for name, side in self.sides.items():
            if side.now is not side.settled:
                side.settle(() if offer is None or offer.by == name else offer.remotes)
        self._bury()
        if now is not None:
            self._give_back_dead(now)

    def restore(self, now: float | None = None) -> None:
        """The offer was rejected: "the session MUST remain unchanged" (RFC 3264 §8). Early answers to it are void."""
        self.offer = None
        for side in self.sides.values():
            side.now = side.settled
        self._bury()
        if now is not None:
            self._give_back_dead(now)

    def last_sent(self, to: SideName) -> bytes:
        """What that side was told last and has not rejected; repeated in a 2xx whose provisional carried the answer."""
        side = self.sides[to]
        told = side.now.told or side.sent
        return b"" if told is None else serialize_sdp(side.describe_again(told))

    def is_same(self, by: SideName, session: Session) -> bool:
        """That side's peer says what it said last, o= apart, and nothing is under way: a refresh, which crosses not."""
        said = self.sides[by].now.said
        return self.offer is None and said is not None and same_except_origin(session, said)

    # --- descriptions that no peer has asked us to pass ---------------------------------------------------------------

    def described(self, name: SideName) -> Session | None:
        """What that side's peer described last, as it would to somebody who does not hold it. None: nothing yet."""
        return self.sides[name].wanted()

    def reoffer(self, to: SideName, now: float) -> bytes | None:
        """An offer to `to` of what the other side's peer described last. None: `to` knows just that.

        The answer goes by `pass_answer`, which has nothing to send then. Raises SdpError, OutOfPortsError.
        """
        by = _other(to)
        session = self.described(by)
        if session is None or self._knows(to, session):
            return None
        return self._make_offer(by, session, now, is_ours=True)

    def own_offer(self, to: SideName, now: float) -> bytes:
        """An offer to `to` where the other side's peer has none: of what that described last, else of sound.

        Then it has the codecs that both may use, or the usual ones. Raises SdpError 488 without any, OutOfPortsError.
        """
        side, other = self.sides[to], self.sides[_other(to)]
        session = other.wanted()
        if session is None:
            stream = other.restrict(side.restrict(own_stream(side.codecs.allow or other.codecs.allow)))
            if not stream.port:
                raise SdpError("no codec that both may use", 488)
            session = Session("", "-", None, ("t=0 0",), (stream,))
        return self._make_offer(_other(to), session, now, is_ours=True)

    def repeat_offer(self, to: SideName) -> bytes:
        """What `to` was told last, as an offer that changes nothing: a refresh. Empty: it was told nothing yet."""
        side, other = self.sides[to], self.sides[_other(to)]
        told = side.now.told
        if told is None or other.now.said is None:
            return b""
        forwarded = side.describe_again(told)
        self.offer = Offer(_other(to), other.now.said, forwarded, other.now.remotes, is_ours=True)
        return serialize_sdp(forwarded)

    def fits(self, to: SideName, session: Session) -> bool:
        """An offer of the other side's peer that would tell `to` nothing new: it can be answered locally."""
        return self.offer is None and self._knows(to, session)

    def answer_locally(self, by: SideName, session: Session, now: float) -> bytes:
        """The answer to `by`'s offer out of what the other side's peer described last; settled at once.

        Raises SdpError 488 where the two have nothing in common, OutOfPortsError.
        """
        side, to = self.sides[by], _other(by)
        self._ensure_ports(side, session, now)
        if self.fits(to, session) and side.now.told is not None:
            told = side.describe_again(side.now.told)
        else:
            reply = self._reply(session, side, self.sides[to])
            told = side.describe(reply, self._ports(side, reply))
        side.numbers.said(session)
        refused = [not media.port for media in told.media]
        remotes = [
            replace(remote, refused=True) if dead else remote
            for remote, dead in zip(self._remotes(session), refused, strict=True)
        ]
        side.now = Agreed(session, told, tuple(remotes))
        side.settle(())
        self.is_answered = self._is_renumbered = True
        self._bury()
        self._give_back_dead(now)
        return serialize_sdp(told)

    def give_side(self, name: SideName) -> Side:
        """The leg goes over to another call, and takes its o= line, ports and descriptions along."""
        self.offer = None
        return self.sides.pop(name)

    def take_side(self, name: SideName, side: Side, now: float) -> None:
        """A leg of another call comes in the place of ours, whose ports are given back."""
        old = self.sides.get(name)
        if old is not None and old is not side:
            self._pool.give_back(old.local, old.ports, now)
            old.ports = []
        self.offer = None
        self.sides[name] = side
        self._is_renumbered = True

    # --- relay --------------------------------------------------------------------------------------------------------

    def prepare(self) -> wire.PutSession | None:
        """Let the ports hear before the answer is there, so that a first word that overtakes it is not lost."""
        offer = self.offer
        if offer is None:
            return None
        by, to = self.sides[offer.by], self.sides[_other(offer.by)]
        streams: list[wire.Stream] = []
        for i, (remote, forwarded) in enumerate(zip(offer.remotes, offer.forwarded.media, strict=False)):
            if remote.refused or not forwarded.port:
                continue
            known, unknown = by.end(i, remote), to.end(i, None)
            ends = (known, unknown) if offer.by == "ingress" else (unknown, known)
            streams.append(wire.Stream(*ends, rtp=remote.rtp))
        self._generation += 1
        return wire.PutSession(self.ref, self._generation, tuple(streams), early=True)

    def relay(self) -> wire.PutSession:
        """The whole relay as it shall be now."""
        self._generation += 1
        self._codecs = []
        if len(self.sides) < 2:
            return wire.PutSession(self.ref, self._generation, ())
        ingress, egress = self.sides["ingress"], self.sides["egress"]
        streams: list[wire.Stream] = []
        for i, (one, other) in enumerate(zip(ingress.now.remotes, egress.now.remotes, strict=False)):
            if one.refused or other.refused:
                continue
            stream = wire.Stream(ingress.end(i, one), egress.end(i, other), rtp=one.rtp and other.rtp)
            if self._is_renumbered and stream.rtp:
                there, back = _rewriting(ingress, egress, i), _rewriting(egress, ingress, i)
                stream = replace(stream, ingress_to_egress=there, egress_to_ingress=back)
            streams.append(stream)
            self._codecs.append(other.codec or one.codec)
        return wire.PutSession(self.ref, self._generation, tuple(streams))

    def describe_live(self) -> tuple[tuple[str, str], ...]:
        """For the operator: (side, "codec local > remote") of each stream."""
        return tuple(
            (name, f"{remote.codec} {side.local}:{port} > {remote.host or '-'}:{remote.port}")
            for name, side in self.sides.items()
            for port, remote in zip(side.ports, side.now.remotes, strict=False)
            if not remote.refused
        )

    def release(self, now: float) -> None:
        self._give_back_dead(now)
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

    # --- how an offer crosses -----------------------------------------------------------------------------------------

    def _make_offer(self, by: SideName, session: Session, now: float, *, is_ours: bool = False) -> bytes:
        from_, to = self.sides[by], self.sides[_other(by)]
        crossing = self._shaped(from_, to, session)
        if crossing is not session:
            self._is_renumbered = True
        for side in (to, from_):
            self._ensure_ports(side, crossing, now)
        forwarded = to.describe(crossing, self._ports(to, crossing))
        if not is_ours:
            from_.numbers.said(session)
            self.offer = Offer(by, session, forwarded, self._remotes(session))
        else:
            remotes = from_.now.remotes or tuple([replace(r, host=None) for r in media_remotes(session)])
            self.offer = Offer(by, session, forwarded, remotes, is_ours=True)
        if self._dead:
            self._give_back_dead(now)
        return serialize_sdp(forwarded)

    def _shaped(self, from_: Side, to: Side, session: Session) -> Session:
        """An offer as it crosses: itself, in an ordinary call."""
        streams = session.media
        is_plain = from_.is_plain and to.is_plain
        if is_plain and to.numbers.is_fresh:
            return session
        if not is_plain:
            streams = tuple([to.prefer(to.restrict(from_.restrict(media))) for media in streams])
        if not to.numbers.is_fresh:
            streams = tuple([to.numbers.fit(i, media) for i, media in enumerate(streams)])
            missing = to.streams[len(streams) :]
            if missing:
                # "The new SDP MUST have at least N m= lines" (RFC 3264 §8): those of somebody who has left the call.
                streams += tuple([replace(media, port=0) for media in missing])
        if _is_unchanged(streams, session):
            return session
        shaped = replace(session, media=streams)
        check_something_left(session, shaped)
        return shaped

    def _answer(self, offer: Offer, reply: Session, remotes: Sequence[MediaRemote]) -> Session:
        """The answer as the offerer's peer is told it."""
        offerer, answerer = self.sides[offer.by], self.sides[_other(offer.by)]
        streams = reply.media[: len(offer.received.media)]
        if not (offerer.is_plain and answerer.is_plain):
            restricted = tuple([offerer.restrict(answerer.restrict(media)) for media in streams])
            check_something_left(reply, replace(reply, media=restricted))
            streams = restricted
        told = [self._answer_stream(offerer, i, media, reply, offer, remotes[i]) for i, media in enumerate(streams)]
        if not _is_unchanged(told, reply):
            reply = replace(reply, media=tuple(told))
        received = offer.received.media
        ports = [port if media.port else 0 for port, media in zip(offerer.ports, received, strict=False)]
        return offerer.describe(reply, ports)

    def _answer_stream(
        self, offerer: Side, i: int, media: Media, reply: Session, offer: Offer, remote: MediaRemote
    ) -> Media:
        if media.port == 0:
            return media
        received = offer.received.media[i]
        if remote.rtp and not speaks_alike(media, received):
            self._is_renumbered = True
            media = offerer.numbers.fit(i, media, translation(media, received))
        offered = offer.remotes[i].direction
        return media if offered is _BOTH else within(media, reply, offered)

    def _reply(self, session: Session, side: Side, other: Side) -> Session:
        """The answer to `session` that `other`'s peer would give."""
        theirs = other.wanted()
        if theirs is None:
            raise SdpError("nobody to answer for", 488)
        streams: list[Media] = []
        for i, offered in enumerate(session.media):
            mine = theirs.media[i] if i < len(theirs.media) else None
            stream = None
            if mine is not None and mine.port and offered.port and mine.kind.lower() == offered.kind.lower():
                wanted = side.restrict(other.restrict(mine))
                stream = answer_stream(session, offered, theirs, wanted) if wanted.is_rtp == offered.is_rtp else None
            streams.append(stream or Media(offered.kind, 0, offered.proto, offered.formats))
        reply = Session("", theirs.name, theirs.connection, ("t=0 0",), tuple(streams))
        check_something_left(session, reply)
        return reply

    def _knows(self, to: SideName, session: Session) -> bool:
        side = self.sides[to]
        told = side.now.told
        if told is None:
            return False
        try:
            text = side.would_tell(self._shaped(self.sides[_other(to)], side, session))
        except SdpError:
            return False
        return same_except_origin(text, told)

    def _remotes(self, session: Session) -> tuple[MediaRemote, ...]:
        known, remotes = self._last_read
        return remotes if known is session else media_remotes(session)

    # --- ports --------------------------------------------------------------------------------------------------------

    def _ensure_ports(self, side: Side, session: Session, now: float) -> None:
        """A pair for every stream that is wanted; an m= line keeps its pair for as long as it lives."""
        ports = side.ports
        count = len(session.media)
        if len(ports) >= count and 0 not in ports:
            return
        if len(ports) < count:
            ports += [0] * (count - len(ports))
        missing = [i for i, media in enumerate(session.media) if media.port and not ports[i]]
        if not missing:
            return
        taken = self._pool.take(side.local, len(missing), now)
        if taken is None:
            raise OutOfPortsError(side.local)
        for i, port in zip(missing, taken, strict=True):
            ports[i] = port

    def _ports(self, side: Side, session: Session) -> list[int]:
        return [port if media.port else 0 for port, media in zip(side.ports, session.media, strict=False)]

    def _bury(self) -> None:
        """Streams that nobody has any more leave their m= lines behind, and give up their ports."""
        ingress, egress = self.sides.get("ingress"), self.sides.get("egress")
        if ingress is None or egress is None:
            return
        one, other = ingress.settled.remotes, egress.settled.remotes
        if not one or not other:
            return  # nothing was agreed yet
        for i in range(max(len(ingress.ports), len(egress.ports))):
            if i >= len(one) or i >= len(other) or one[i].refused or other[i].refused:
                self._dead += ingress.close(i)
                self._dead += egress.close(i)

    def _give_back_dead(self, now: float) -> None:
        for local, port in self._dead:
            self._pool.give_back(local, [port], now)
        self._dead.clear()


def _other(side: SideName) -> SideName:
    return "egress" if side == "ingress" else "ingress"


def _is_unchanged(streams: Sequence[Media], session: Session) -> bool:
    """Whether these are the session's own m= lines, and all of them."""
    if len(streams) != len(session.media):
        return False
    for one, other in zip(streams, session.media, strict=True):  # noqa: SIM110  on the path of every answer
        if one is not other:
            return False
    return True


def _rewriting(from_: Side, to: Side, i: int) -> tuple[tuple[int, int], ...]:
    """What comes from one side has the numbers that it was told, and must have those that the other side has said."""
    told, said = from_.now.told, to.now.said
    if told is None or said is None or i >= len(told.media) or i >= len(said.media):
        return ()
    return rewriting(told.media[i], said.media[i])
