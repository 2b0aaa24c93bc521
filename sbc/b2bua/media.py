"""One call's media: what each side has said, what it is told of the other, and the relay that follows.

Descriptions cross with our addresses and ports, in the numbers and with the codecs of the side that they go to
(RFC 3264 §5 to §8; RFC 6337). It composes `PutSession`; it sends nothing and knows no dialog. Its ports are in
`call_ports`, how the text of an offer and an answer crosses is in `offers`, what becomes of it in the relay in
`relaying`.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from sbc.b2bua.call_ports import CallPorts, OutOfPortsError, ports_for
from sbc.b2bua.listening import Listening, Way, ways_of
from sbc.b2bua.offers import Offer, answered, answers, own_session, reply_for, says_enough, shaped
from sbc.b2bua.ports import PortPool
from sbc.b2bua.refreshed import is_repeated, only_turns, said_anew
from sbc.b2bua.relaying import early_streams, streams_between
from sbc.b2bua.securing import Securing
from sbc.b2bua.sides import ALL_CODECS, Agreed, Dtmf, Hold, Side, SideName
from sbc.b2bua.totals import Totals
from sbc.core.ids import IdSource
from sbc.media import wire
from sbc.policy.model import CodecRules, Latching
from sbc.sdp.hostile import check_hostile_remote
from sbc.sdp.model import SdpError, Session, same_except_origin
from sbc.sdp.negotiate import check_answer
from sbc.sdp.parse import parse_sdp
from sbc.sdp.remotes import MediaRemote, media_remotes
from sbc.sdp.secured import unsecured
from sbc.sdp.serialize import serialize_sdp

__all__ = ["CallMedia", "MediaRules", "Offer", "OutOfPortsError", "Side", "SideName"]


class MediaRules(Struct, frozen=True):
    """What every call is held to: addresses and ports of our own, which no peer may name as its own. `silence`: seconds
    without a packet from either side that are told; 0: none are.
    """

    own: frozenset[str]
    ports: tuple[int, int]
    silence: float = 0.0


class CallMedia:
    def __init__(
        self,
        ref: str,
        ingress: Side,
        rules: MediaRules,
        pool: PortPool,
        ids: IdSource,
        totals: Totals | None = None,
    ) -> None:
        self.ref = ref
        self.listening = Listening(totals or Totals())
        self.sides: dict[SideName, Side] = {"ingress": ingress}
        self.offer: Offer | None = None
        self.is_answered = False
        self._rules = rules
        self.ports = CallPorts(pool)
        self._ids = ids
        self._generation = 0
        self._streams: tuple[wire.Stream, ...] = ()
        self._last_read: tuple[Session | None, tuple[MediaRemote, ...]] = (None, ())
        self._is_renumbered = False  # the two sides may have different numbers for one codec
        self._answered: Offer | None = None  # the offer that `now` of both sides comes from, until that is settled
        self.waits = False  # whoever is on the ingress side is not to hear anything yet
        self.was_changing = False  # an exchange was on its way when signalling died, and none is settled since

    @property
    def is_up(self) -> bool:
        """The media worker has been told of this call."""
        return self._generation > 0

    @property
    def generation(self) -> int:
        """Of the session as put last."""
        return self._generation

    @property
    def offered_to(self) -> SideName:
        """Whose peer has an offer, and owes its answer."""
        return "egress" if self.offer is None else _other(self.offer.by)

    # --- descriptions -------------------------------------------------------------------------------------------------

    def read(self, body: bytes, by: SideName = "ingress") -> Session:
        """The description of that side's peer. Raises SdpError with the status that it deserves."""
        session = parse_sdp(body)
        if self.sides[by].securing is not None:
            session = unsecured(session)
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
        hold: Hold = "pass",
        dtmf: Dtmf = "pass",
        media_from: tuple[str, ...] = (),
        recodes: bool = True,
        others: Sequence[tuple[str, str]] = (),
        securing: Securing | None = None,
    ) -> None:
        """A new egress leg: a description of its own; the ports are kept where the address is the same."""
        old = self.sides.get("egress")
        side = Side(
            local,
            shown,
            latching,
            self._ids.session_id(),
            codecs=codecs,
            fax=fax,
            hold=hold,
            dtmf=dtmf,
            media_from=media_from,
            recodes=recodes,
            others=others,
            securing=securing,
        )
        if old is not None and old.local == local:
            side.ports, side.epoch = old.ports, old.epoch + 1  # to the media worker it is one end with a new peer
        elif old is not None:
            self.ports.give_back(old, now)
        self.sides["egress"] = side
        self.offer = None
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
        answerer.check_family(remotes)
        if answerer.securing is not None:
            answerer.securing.check_answer(offer.forwarded, session)
        passed = None if offer.is_ours else self._answer(offer, session, remotes)
        answerer.numbers.said(session)
        answerer.now = Agreed(session, offer.forwarded, remotes)
        self.is_answered = True
        self._answered = offer
        for remote in remotes:
            if remote.refused:
                self.ports.may_bury = True
        if passed is None:
            return b""
        offerer.now = Agreed(offer.received, passed, offer.remotes)
        return serialize_sdp(passed)

    def settle(self, now: float | None = None) -> None:
        """The exchange is complete: what each side said and was told in it is what a rejected offer comes back to."""
        offer, self.offer, self._answered = self._answered, None, None
        self.was_changing = False
        for name, side in self.sides.items():
            if side.now is not side.settled:
                side.settle(() if offer is None or offer.by == name else offer.remotes)
        if self.ports.may_bury:
            self.ports.bury(self.sides.values())
        if now is not None:
            self.ports.give_back_dead(now)

    def restore(self, now: float | None = None) -> None:
        """The offer was rejected: "the session MUST remain unchanged" (RFC 3264 §8). Early answers to it are void."""
        self.offer = self._answered = None
        for side in self.sides.values():
            side.now = side.settled
        self.ports.bury(self.sides.values())
        if now is not None:
            self.ports.give_back_dead(now)

    def last_sent(self, to: SideName) -> bytes:
        """What that side was told last and has not rejected; repeated in a 2xx whose provisional carried the answer."""
        side = self.sides[to]
        told = side.now.told or side.sent
        return b"" if told is None else serialize_sdp(side.describe_again(told))

    def is_same(self, by: SideName, session: Session) -> bool:
        """That side's peer says what it said last, o= apart, and nothing is under way: a refresh, which crosses not."""
        return self.offer is None and is_repeated(self.sides[by], session)

    def is_said_anew(self, by: SideName, session: Session) -> bool:
        """For a description that `is_same`: it has another version all the same, so that packets may come from
        elsewhere from now on. The relay goes by it then.
        """
        side = self.sides[by]
        anew = said_anew(side, session)
        if anew is None:
            return False
        if side.settled is side.now:
            side.settled = anew
        side.now = anew
        return True

    def only_turns(self, by: SideName, session: Session) -> bool:
        """That side's peer says what it said last, but for o= and directions: a hold, a resume, or nothing new."""
        return only_turns(self.sides[by], session)

    # --- descriptions that no peer has asked us to pass ---------------------------------------------------------------

    def described(self, name: SideName) -> Session | None:
        """What that side's peer described last, as it would to somebody who does not hold it. None: nothing yet."""
        return self.sides[name].wanted()

    def reoffer(self, to: SideName, now: float) -> bytes | None:
        """An offer to `to` of what the other side's peer described last. None: `to` knows just that.

        The answer goes by `pass_answer`, which has nothing to send then. Raises SdpError, OutOfPortsError.
        """
        by, side = _other(to), self.sides[to]
        session = self.described(by)
        if session is None:
            return None
        told, text = side.now.told, self._text_for(to, session)
        if (
            told is not None
            and not self.is_spent(to)
            and text is not None
            and says_enough(told, side.now.said, text, session)
        ):
            return None
        return self._make_offer(by, session, now, is_ours=True)

    def own_offer(self, to: SideName, now: float) -> bytes:
        """An offer to `to` where the other side's peer has none: of what that described last, else of sound.

        Then it has the codecs that both may use, or the usual ones. Raises SdpError 488 without any, OutOfPortsError.
        """
        other = self.sides[_other(to)]
        session = other.wanted() or own_session(self.sides[to], other)
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
        told = self.sides[to].now.told
        if self.offer is not None or told is None:
            return False
        text = self._text_for(to, session)
        return text is not None and same_except_origin(text, told)

    def answer_locally(self, by: SideName, session: Session, now: float) -> bytes:
        """The answer to `by`'s offer out of what the other side's peer described last; settled at once.

        Raises SdpError 488 where the two have nothing in common, OutOfPortsError.
        """
        side, to = self.sides[by], _other(by)
        if side.securing is not None:
            session = side.securing.admitted(session, side.now.told)
        side.numbers.said(session)  # also where it comes to nothing: its peer may hold on to them
        side.meet_family(self._remotes(session))
        self.ports.ensure(side, session, now)
        known = side.now.told
        if known is not None and side.securing is None and self.fits(to, session) and answers(known, session):
            told = side.describe_again(known)
        else:
            reply = reply_for(session, side, self.sides[to])
            told = side.describe(reply, ports_for(side, reply), session)
        refused = [not media.port for media in told.media]
        remotes = [
            replace(remote, refused=True) if dead else remote
            for remote, dead in zip(self._remotes(session), refused, strict=True)
        ]
        side.now = Agreed(session, told, tuple(remotes))
        side.settle(())
        self.is_answered = self._is_renumbered = True
        self.ports.bury(self.sides.values())
        self.ports.give_back_dead(now)
        return serialize_sdp(told)

    def hear_answer(self, by: SideName, session: Session) -> None:
        """The answer of `by`'s peer to what it was told last, which came from somebody who has another partner now.

        Raises SdpError where it is none.
        """
        side = self.sides[by]
        if side.sent is None or side.settled.told is side.sent:
            return
        check_answer(side.sent, session)
        if side.securing is not None:
            side.securing.check_answer(side.sent, session)
        side.check_family(self._remotes(session))
        side.numbers.said(session)
        side.now = Agreed(session, side.sent, self._remotes(session))
        side.settle(())

    def give_side(self, name: SideName) -> Side:
        """The leg goes over to another call, and takes its o= line, ports and descriptions along."""
        self.offer = None
        return self.sides.pop(name)

    def take_side(self, name: SideName, side: Side, now: float) -> None:
        """A leg of another call comes in the place of ours, whose ports are given back."""
        old = self.sides.get(name)
        if old is not None and old is not side:
            self.ports.give_back(old, now)
        self.offer = None
        self.sides[name] = side
        self._is_renumbered = True

    # --- relay --------------------------------------------------------------------------------------------------------

    def prepare(self) -> wire.PutSession | None:
        """Let the ports hear before the answer is there, so that a first word that overtakes it is not lost."""
        offer = self.offer
        if offer is None:
            return None
        self._generation += 1
        streams = early_streams(offer, self.sides[offer.by], self.sides[_other(offer.by)])
        return wire.PutSession(self.ref, self._generation, streams, early=True)

    def relay(self) -> wire.PutSession:
        """The whole relay as it shall be now; where it `waits`, ports hear and nothing is sent on yet."""
        self._generation += 1
        self.listening.rewired(self._wire(), self._generation)
        return self._as_put()

    def resume(self, now: float) -> wire.PutSession | None:
        """The same once more, for a worker that may have it still; None: it was never put.

        Where an exchange was on its way, and the worker may have been told of what is not kept of it, it is a new one.
        """
        self.ports.give_back_dead(now)
        if not self.is_up:
            return None
        if self.was_changing:
            return replace(self.prepare() or self.relay(), adopted=True)
        self._wire()
        return replace(self._as_put(), adopted=True)

    def _wire(self) -> tuple[Way, ...]:
        """The streams, and what is to be heard of them."""
        self._streams = ()
        if len(self.sides) < 2:
            return ()
        ingress, egress = self.sides["ingress"], self.sides["egress"]
        self._streams, codecs = streams_between(ingress, egress, is_renumbered=self._is_renumbered)
        return ways_of(self._streams, codecs, ingress, egress)

    def _as_put(self) -> wire.PutSession:
        silence = self._rules.silence if self.listening.is_two_way else 0.0
        return wire.PutSession(self.ref, self._generation, self._streams, early=self.waits, silence_seconds=silence)

    def renew(self, name: SideName, stream: int, now: float) -> bool:
        """The key by which we encrypt a stream of the relay, as last put, for this side is spent: its next offer, or
        answer, has another one. False: nothing can be done, or nothing is to be. Raises OutOfPortsError.

        The ports of what a handshake has keyed are others from now on, so that its peer sees that it begins anew; what
        comes to those before, nobody could open.
        """
        side = self.sides.get(name)
        if side is None or side.securing is None or stream >= len(self._streams):
            return False
        end = self._streams[stream].ingress if name == "ingress" else self._streams[stream].egress
        if end.port not in side.ports:
            return False
        i = side.ports.index(end.port)
        if not side.securing.spend(i, side.told_stream(i)):
            return self.is_spent(name)
        self.ports.exchange(side, i, now)
        return True

    def is_spent(self, name: SideName) -> bool:
        """A stream of this side has a key under which nothing can be sent, and its peer knows of no other one."""
        side = self.sides[name]
        if side.securing is None:
            return False
        streams = () if side.now.told is None else side.now.told.media
        return any(side.securing.is_spent(i, media) for i, media in enumerate(streams))

    def digits_to(self, to: SideName) -> int | None:
        """The stream of the relay, as last put, in which digits can be played to that side; None: in none."""
        place = 0 if to == "ingress" else 1
        for i, stream in enumerate(self._streams):
            if stream.plays_digits and stream.events is not None and stream.events[place] != wire.NO_EVENTS:
                return i
        return None

    def release(self, now: float) -> None:
        self.ports.give_back_dead(now)
        for side in self.sides.values():
            self.ports.give_back(side, now)

    def report(self, counts: Sequence[wire.StreamCount]) -> str:
        """The CDR's `media`: what came from each side, by the worker's last word."""
        return self.listening.finish(counts)

    # --- how an offer crosses -----------------------------------------------------------------------------------------

    def _make_offer(self, by: SideName, session: Session, now: float, *, is_ours: bool = False) -> bytes:
        from_, to = self.sides[by], self.sides[_other(by)]
        if from_.securing is not None and not is_ours:
            session = from_.securing.admitted(session, from_.now.told)
        remotes = self._remotes(session)
        if not is_ours:
            from_.numbers.said(session)  # also where it comes to nothing: its peer may hold on to them
            from_.meet_family(remotes)
        crossing = shaped(from_, to, session)
        if crossing is not session:
            self._is_renumbered = True
        for side in (to, from_):
            self.ports.ensure(side, crossing, now)
        forwarded = to.describe(crossing, ports_for(to, crossing))
        self.offer = Offer(by, session, forwarded, remotes, is_ours)
        if self.ports.dead:
            self.ports.give_back_dead(now)
        return serialize_sdp(forwarded)

    def _answer(self, offer: Offer, reply: Session, remotes: Sequence[MediaRemote]) -> Session:
        """The answer as the offerer's peer is told it."""
        offerer, answerer = self.sides[offer.by], self.sides[_other(offer.by)]
        crossing = answered(offer, offerer, answerer, reply, remotes)
        if crossing is not reply:
            self._is_renumbered = True
        return offerer.describe(crossing, ports_for(offerer, offer.received), offer.received)

    def _text_for(self, to: SideName, session: Session) -> Session | None:
        """What an offer would tell that side; None where it cannot cross."""
        side = self.sides[to]
        try:
            return side.would_tell(shaped(self.sides[_other(to)], side, session))
        except SdpError:
            return None

    def _remotes(self, session: Session) -> tuple[MediaRemote, ...]:
        known, remotes = self._last_read
        return remotes if known is session else media_remotes(session)


def _other(side: SideName) -> SideName:
    return "egress" if side == "ingress" else "ingress"
