"""One leg's end of a call's media: what its peer has said, what it was told, under which o= line and on which ports.

The o= line is the leg's own: the session id stays, the version goes up by one exactly when the text differs from what
was sent last, be that agreed to or not (RFC 3264 §8). A side moves with its leg when two calls become one.
Used by `media`; it allocates nothing and talks to nobody.
"""

from collections.abc import Collection, Sequence
from typing import Final, Literal

from msgspec import Raw, Struct
from msgspec.structs import replace

from sbc.b2bua.numbers import Numbers
from sbc.b2bua.securing import Securing, protection
from sbc.media import wire
from sbc.policy.model import CodecRules, Latching
from sbc.sdp.allowed import allowed, ordered, without_fax
from sbc.sdp.anchor import anchor
from sbc.sdp.codecs import TELEPHONE_EVENT
from sbc.sdp.direction import Direction, directed, direction_of
from sbc.sdp.hostile import is_out_of_reach
from sbc.sdp.model import Media, Origin, SdpError, Session, same_except_origin
from sbc.sdp.mux import has_mux, muxed_streams
from sbc.sdp.remotes import MediaRemote
from sbc.sdp.secured import plain

SideName = Literal["ingress", "egress"]
Dtmf = Literal["pass", "rfc4733", "info"]
Hold = Literal["pass", "inactive"]
ALL_CODECS: Final = CodecRules()


class Agreed(Struct, frozen=True):
    """What one side's peer said and was told in one exchange, each as it stood in that peer's own descriptions."""

    said: Session | None = None
    told: Session | None = None
    remotes: tuple[MediaRemote, ...] = ()


NOTHING: Final = Agreed()
_BOTH: Final = Direction.SENDRECV
_SOME_PORT: Final = 9  # that no stream of ours has
_UNSAVED: Final = Raw()
_UNKNOWN_VERSIONS: Final = 100  # of descriptions that a power cut may have taken; as of CSeq


class Side:
    """`local` is bound by the media worker, `shown` stands in our descriptions; `others` are such pairs of the same
    interface, in other families. `ports`: one for each m= line, 0: none.

    `now` is what the relay follows; `settled` is what a rejected offer comes back to. `wills`: what the peer itself
    wants of each stream, whatever the other side's holds have made it answer; empty: to send and receive. `recodes`:
    its peer may be offered a G.711 law that the other side has not. `epoch`: see `wire.End`. `securing`: its peer may,
    or must, have SRTP; None: it has none. `hold` inactive: its peer knows no stream that goes one way. `saved`: what
    was written down of it last, and by which state (`saved_side`).
    """

    __slots__ = (
        "_before", "_followed", "_others", "codecs", "dtmf", "epoch", "fax", "hold", "is_plain", "latching", "local",
        "media_from", "now", "numbers", "origin", "ports", "recodes", "saved", "securing", "sent", "settled", "shown",
        "wills",
    )  # fmt: skip

    def __init__(
        self,
        local: str,
        shown: str,
        latching: Latching,
        session_id: int,
        *,
        codecs: CodecRules = ALL_CODECS,
        fax: bool = True,
        hold: Hold = "pass",
        dtmf: Dtmf = "pass",
        media_from: tuple[str, ...] = (),
        recodes: bool = True,
        others: Sequence[tuple[str, str]] = (),
        securing: Securing | None = None,
    ) -> None:
        self.local = local
        self.shown = shown
        self.latching = latching
        self.media_from = media_from
        self.recodes = recodes
        self.securing = securing
        self.epoch = 0
        self._followed: Session | None = None
        self._others = others
        self.codecs = codecs
        self.fax = fax = fax and not (securing is not None and securing.is_required)  # nothing encrypts T.38
        self.hold = hold
        self.dtmf = dtmf
        self.is_plain = fax and dtmf == "pass" and not codecs.allow and not codecs.order
        self.origin = Origin(session_id, 0, shown)
        self.ports: list[int] = []
        self.sent: Session | None = None
        self._before: tuple[Origin, Session | None] = (self.origin, None)  # the text that was sent last was made
        self.now = NOTHING
        self.settled = NOTHING
        self.wills: tuple[Direction, ...] = ()
        self.numbers = Numbers()
        self.saved: tuple[object, Raw] = (None, _UNSAVED)

    # --- what it is told ----------------------------------------------------------------------------------------------

    def describe(self, session: Session, ports: Sequence[int], offer: Session | None = None) -> Session:
        """`session` of the other side as this side's peer shall see it; from now on it has been sent.

        `offer`: what it answers. RTCP has RTP's port where that asks for it (RFC 5761 §5.1.1); an offer of ours asks
        where it has that now.
        """
        origin = self._next_origin()
        muxed = self._muxing() if offer is None else muxed_streams(offer)
        text = self._held(anchor(session, origin, self.shown, ports, muxed), offer)
        return self._send(text if self.securing is None else self._secured(text, offer), origin)

    def describe_again(self, told: Session) -> Session:
        """What was said earlier, once more: the version says whether something else was said in between."""
        if told is self.sent:
            return told
        origin = self._next_origin()
        return self._send(replace(told, origin=str(origin)), origin)

    def lose_track(self) -> None:
        """Its peer may have been told more than is known here: what comes next has a version that was not used."""
        # Deviation: "the version in the origin field MUST increment by one", RFC 3264 §8. After a power cut nobody
        # knows which number was the last.
        self.origin = Origin(self.origin.session_id, self.origin.version + _UNKNOWN_VERSIONS, self.shown)
        self.sent = None
        self._before = (self.origin, None)

    def would_tell(self, session: Session) -> Session:
        """What `describe` would give; nothing is remembered. A stream that has no port yet shows some other one."""
        ports = [*self.ports, *([0] * len(session.media))]
        shown = [(port or _SOME_PORT) if media.port else 0 for port, media in zip(ports, session.media, strict=False)]
        text = self._held(anchor(session, self.origin, self.shown, shown, self._muxing()), None)
        return text if self.securing is None else self._secured(text, None)

    def _held(self, text: Session, offer: Session | None) -> Session:
        """Where its peer knows no other hold: what does not go both ways goes neither way. Before the first exchange is
        over nothing is a hold: early media, and who calls to listen, pass as they are. It is answered in its own words.
        """
        if self.hold == "pass" or self.settled is NOTHING:
            return text
        asked = () if offer is None else offer.media
        streams = []
        for i, media in enumerate(text.media):
            is_asked = offer is not None and i < len(asked) and direction_of(offer, asked[i]) is not _BOTH
            is_one_way = media.port and not is_asked and direction_of(text, media) is not _BOTH
            streams.append(directed(text, media, Direction.INACTIVE) if is_one_way else media)
        return replace(text, media=tuple(streams))

    def _secured(self, text: Session, offer: Session | None) -> Session:
        """The last step on the way out. Until the first exchange is complete, what was sent is what there is."""
        if self.securing is None:
            return text
        if offer is not None:
            return self.securing.answering(text, offer, self.now.told, self.now.said)
        return self.securing.offering(text, self.now.told or self.sent)

    def _next_origin(self) -> Origin:
        return Origin(self.origin.session_id, self.origin.version + 1, self.shown)

    def unsay(self) -> None:
        """What was described last did not go out: the version goes on from what did."""
        self.origin, self.sent = self._before

    def _send(self, text: Session, origin: Origin) -> Session:
        self._before = (self.origin, self.sent)
        if self.sent is not None and same_except_origin(text, self.sent):
            return self.sent
        self.origin, self.sent = origin, text
        self.numbers.told(text)
        return text

    # --- families of addresses ----------------------------------------------------------------------------------------

    def check_family(self, remotes: Sequence[MediaRemote]) -> None:
        """SdpError 488 where its peer wants media at an address that ours cannot reach: of another family, or of this
        machine's loopback.
        """
        is_ipv6 = ":" in self.local
        for remote in remotes:
            if remote.host is None or remote.refused:
                continue
            if (":" in remote.host) is not is_ipv6 or is_out_of_reach(remote.host, self.local):
                raise SdpError(f"media at {remote.host}, and ours is at {self.local}", 488)

    def meet_family(self, remotes: Sequence[MediaRemote]) -> None:
        """For an offer: before its peer was told anything, another address of the interface may take the place of the
        one that goes with its signalling. SdpError 488 where none can reach its peer.
        """
        try:
            self.check_family(remotes)
        except SdpError:
            if self.sent is not None or any(self.ports) or not self._others:
                raise
            self.local, self.shown = self._others[0]
            self.origin = Origin(self.origin.session_id, 0, self.shown)
            self._before = (self.origin, None)
            self.check_family(remotes)

    # --- what its peer may hear and choose ----------------------------------------------------------------------------

    def restrict(self, media: Media) -> Media:
        """Less the codecs and the fax that this side's peer may neither be offered nor choose."""
        media = allowed(media, self.codecs.allow)
        return media if self.fax else without_fax(media)

    def prefer(self, media: Media) -> Media:
        return ordered(media, self.codecs.order)

    @property
    def may_have_events(self) -> bool:
        names = self.codecs.allow
        return not names or TELEPHONE_EVENT in [name.partition("/")[0] for name in names]

    def wanted(self) -> Session | None:
        """What its peer said last, as it would say it to somebody who does not hold it."""
        said = self.now.said
        if said is not None and self.securing is not None:
            said = plain(said)  # keys never cross
        if said is None or not self.wills:
            return said
        streams = [
            directed(said, media, will) if media.port else media
            for media, will in zip(said.media, self.wills, strict=False)
        ]
        streams += said.media[len(streams) :]
        return Session(said.origin, said.name, said.connection, said.lines, tuple(streams))

    # --- the end of an exchange ---------------------------------------------------------------------------------------

    def settle(self, asked: Sequence[MediaRemote]) -> None:
        """`asked`: the streams of the offer that this side has answered; none: it has made the offer."""
        if self.securing is not None and self.settled is NOTHING:
            self.securing.established()
        self.settled = self.now
        remotes = self.now.remotes
        for remote in remotes:
            if remote.direction is not _BOTH:
                break
        else:
            if not self.wills:
                return  # it sends and receives, so that nothing was hidden by what it was asked
        self.wills = self._wills(remotes, asked)

    def _wills(self, remotes: Sequence[MediaRemote], asked: Sequence[MediaRemote]) -> tuple[Direction, ...]:
        if not asked:
            return tuple([remote.direction for remote in remotes])
        wills = []
        for i, remote in enumerate(remotes):
            before = self.wills[i] if i < len(self.wills) else Direction.SENDRECV
            offer = self._asked(i, asked[i].direction) if i < len(asked) else Direction.SENDRECV
            # What the offer did not let it say, it is still of the same mind about.
            sends = remote.direction.sends if offer.receives else before.sends
            receives = remote.direction.receives if offer.sends else before.receives
            wills.append(Direction.of(sends=sends, receives=receives))
        return tuple(wills)

    def _asked(self, i: int, direction: Direction) -> Direction:
        """What the other side has asked for, as this side's peer was told it."""
        told = None if self.hold == "pass" else self.told_stream(i)
        return direction if told is None or self.now.told is None else direction_of(self.now.told, told)

    def bury(self) -> list[tuple[str, int]]:
        """(local address, port) of each stream that this side's peer has no more, or was refused. Nothing before the
        first exchange is settled.
        """
        told, remotes = self.settled.told, self.settled.remotes
        if told is None:
            return []
        dead: list[tuple[str, int]] = []
        for i, port in enumerate(self.ports):
            lives = i < len(remotes) and not remotes[i].refused and i < len(told.media) and told.media[i].port
            if port and not lives:
                self.ports[i] = 0
                dead.append((self.local, port))
        return dead

    @property
    def streams(self) -> tuple[Media, ...]:
        """The m= lines of its session so far: their number never falls (RFC 3264 §8)."""
        said, told = self.settled.said, self.settled.told
        ours = () if told is None else told.media
        theirs = () if said is None else said.media
        return ours if len(ours) >= len(theirs) else theirs

    def has_port(self, i: int) -> bool:
        return i < len(self.ports) and self.ports[i] != 0

    def told_stream(self, i: int) -> Media | None:
        told = self.now.told
        return None if told is None or i >= len(told.media) else told.media[i]

    def said_stream(self, i: int) -> Media | None:
        said = self.now.said
        return None if said is None or i >= len(said.media) else said.media[i]

    def is_muxed(self, i: int) -> bool:
        """Both have said of stream `i` that RTCP has RTP's port."""
        told, said = self.told_stream(i), self.said_stream(i)
        return told is not None and said is not None and has_mux(told) and has_mux(said)

    def _muxing(self) -> Collection[int]:
        told = self.now.told
        return [i for i in muxed_streams(told) if self.is_muxed(i)] if told is not None else ()

    # --- what the relay is told of it ---------------------------------------------------------------------------------

    def follow(self, said: Session | None) -> None:
        """The relay goes by this description of its peer from now on. What says the same as before, in the same
        version (RFC 3264 §8), is no new one.
        """
        before = self._followed
        if said is before or said is None:
            return
        self._followed = said
        if before is not None and not (before.origin == said.origin and same_except_origin(before, said)):
            self.epoch += 1

    def end(self, i: int, remote: MediaRemote | None) -> wire.End:
        """This side's end of stream `i`; without a remote it only listens."""
        where = None
        if remote is not None and remote.host is not None:
            where = wire.Remote(remote.host, remote.port, remote.rtcp_port)
        is_muxed = self.is_muxed(i)
        end = wire.End(self.local, self.ports[i], where, self.latching, self.media_from, self.epoch, is_muxed)
        if self.securing is None or (remote is not None and not remote.rtp):
            return end
        secured = self.securing.end(i, (self.told_stream(i), self.said_stream(i)), where)
        return end if secured is None else replace(end, secured=secured)

    def protection(self, i: int) -> str:
        """By what stream `i` is secured, for people; empty: it is not."""
        return "" if self.securing is None else protection(self.told_stream(i), self.said_stream(i))
