"""How an offer and its answer cross from one side of a call to the other: shape of streams, never address or version.

Codecs and fax by the rules of both peers, digits by their ways (`dtmf`), numbers as the side knows them that is told,
as many m= lines as it has had (RFC 3264 §5 to §8), directions that an answer may have. Where an offer has one law of
G.711, the other one is put behind it, to be recoded; whoever made the offer hears nothing of that. An ordinary call
passes through untouched: then the very same value comes back. Used by `media`.
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.b2bua.sides import Side, SideName
from sbc.sdp.allowed import check_something_left
from sbc.sdp.direction import Direction, directed, direction_of
from sbc.sdp.events import event_formats, with_events, without_events
from sbc.sdp.g711 import added_law, behind, in_law_of, lacks_a_law, laws, with_other_law
from sbc.sdp.model import Media, SdpError, Session, same_except_origin
from sbc.sdp.mux import has_mux
from sbc.sdp.negotiate import answer_stream
from sbc.sdp.own_offer import own_stream
from sbc.sdp.payload_types import speaks_alike, translation
from sbc.sdp.remotes import MediaRemote

_BOTH: Final = Direction.SENDRECV
_SHORT_RTCP: Final = "a=rtcp-rsize"


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


def shaped(from_: Side, to: Side, session: Session) -> Session:
    """An offer as `to`'s peer may see it. SdpError 488 where streams are wanted and none is left."""
    is_plain = from_.is_plain and to.is_plain and not (to.recodes and any(map(lacks_a_law, session.media)))
    if is_plain and to.numbers.is_fresh:
        return session
    streams = session.media
    if not is_plain:
        streams = tuple([_offered(from_, to, media) for media in streams])
    if not to.numbers.is_fresh:
        streams = tuple([to.numbers.fit(i, media) for i, media in enumerate(streams)])
        missing = to.streams[len(streams) :]
        if missing:
            # "The new SDP MUST have at least N m= lines" (RFC 3264 §8): those of somebody who has left the call.
            streams += tuple([replace(media, port=0) for media in missing])
    if _is_unchanged(streams, session):
        return session
    crossing = replace(session, media=streams)
    check_something_left(session, crossing)
    return crossing


def answered(offer: Offer, offerer: Side, answerer: Side, reply: Session, remotes: Sequence[MediaRemote]) -> Session:
    """The answer as the offerer's peer may see it. `remotes` are the streams of `reply`."""
    received = offer.received.media
    streams: Sequence[Media] = reply.media[: len(received)]
    is_plain = offerer.is_plain and answerer.is_plain
    if not (is_plain and _is_within(streams, received)):
        restricted = tuple([_allowed_answer(offerer, answerer, m, r) for m, r in zip(streams, received, strict=False)])
        check_something_left(reply, replace(reply, media=restricted))
        streams = restricted
    told = [
        _answered(offerer, answerer, i, media, reply, offer) if remotes[i].rtp else media
        for i, media in enumerate(streams)
    ]
    return reply if _is_unchanged(told, reply) else replace(reply, media=tuple(told))


def reply_for(session: Session, by: Side, other: Side) -> Session:
    """The answer to `by`'s offer that the peer of `other` would give, by what it described last. SdpError 488."""
    theirs = other.wanted()
    if theirs is None:
        raise SdpError("nobody to answer for", 488)
    streams = [_replied(i, offered, session, theirs, by, other) for i, offered in enumerate(session.media)]
    # "The t= line in the answer MUST equal that of the offer" (RFC 3264 §6).
    times = tuple([line for line in session.lines if line.startswith("t=")])
    reply = Session(theirs.origin, theirs.name, theirs.connection, times, tuple(streams))
    check_something_left(session, reply)
    return reply


def answers(told: Session, offer: Session) -> bool:
    """Whether what a peer was told last is an answer to its new offer as it stands."""
    if len(told.media) != len(offer.media):
        return False
    for one, offered in zip(told.media, offer.media, strict=True):
        if one.kind != offered.kind or bool(one.port) != bool(offered.port):
            return False
        if one.port and has_mux(one) is not has_mux(offered):
            return False
        direction = direction_of(told, one)
        allowed = direction.intersect(direction_of(offer, offered).reversed())
        if one.port and not (speaks_alike(one, offered) and direction is allowed):
            return False
    return True


def own_session(to: Side, other: Side) -> Session:
    """To offer to this side where the other one's peer has described nothing yet: sound, in what both may use.

    Raises SdpError 488 where that is nothing.
    """
    stream = other.restrict(to.restrict(own_stream(to.codecs.allow or other.codecs.allow)))
    if not stream.port and to.recodes and other.codecs.allow:
        stream = own_stream(other.codecs.allow)  # its law of G.711; `shaped` puts the other one behind it
    if not stream.port:
        raise SdpError("no codec that both may use", 488)
    return Session("", "-", None, ("t=0 0",), (stream,))


def says_enough(told: Session, said: Session | None, text: Session, theirs: Session) -> bool:
    """Whether a peer that was told one thing, and said another, can go on without being told `text`.

    That is so where streams, addresses and directions stay, and no codec goes that the two have in common: of what was
    told, only that is in use. A law of G.711 that is not of `theirs`, what the other side has described, goes: it would
    be recoded for ever, while the two may have another codec in common.
    """
    if same_except_origin(told, text):
        return True
    if said is None or len(told.media) != len(text.media) or told.lines != text.lines:
        return False
    for i, (before, after) in enumerate(zip(told.media, text.media, strict=True)):
        if before == after:
            continue
        if before.kind != "audio" or (before.kind, before.port, before.proto) != (after.kind, after.port, after.proto):
            return False
        if direction_of(told, before) is not direction_of(text, after) or i >= len(said.media):
            return False
        used = set(translation(before, said.media[i])) if said.media[i].port else set()
        if not used.issubset(after.formats) or any(translation(before, after).get(n) != n for n in used):
            return False
        if i < len(theirs.media) and used.intersection(_added_laws(after, theirs.media[i])):
            return False
    return True


def _answered(offerer: Side, answerer: Side, i: int, media: Media, reply: Session, offer: Offer) -> Media:
    if media.port == 0:
        return media
    received = offer.received.media[i]
    if not speaks_alike(media, received):
        media = offerer.numbers.fit(i, media, translation(media, received))
    if not (offerer.is_plain and answerer.is_plain):
        media = _answered_digits(offerer, answerer, media, received)
    offered = offer.remotes[i].direction
    if offered is _BOTH:
        return media
    # A stream that is offered as sendonly "MUST be marked as recvonly or inactive in the answer" (§6.1), and so on:
    # who holds is sent nothing, whatever the held one says.
    return directed(reply, media, direction_of(reply, media).intersect(offered.reversed()))


def _offered(from_: Side, to: Side, media: Media) -> Media:
    own = from_.restrict(media)
    wider = with_other_law(own) if to.recodes else own
    crossing = _offered_digits(from_, to, to.restrict(wider))
    preferred = to.prefer(crossing)
    # A codec that both have always wins over recoding, whatever this side prefers.
    return preferred if wider is own else behind(preferred, added_law(own, wider))


def _added_laws(media: Media, theirs: Media) -> list[str]:
    known = laws(theirs)
    return [number for law, number in laws(media).items() if law not in known]


def _allowed_answer(offerer: Side, answerer: Side, media: Media, received: Media) -> Media:
    """By the rules of both; where the offer had one law of G.711, in that."""
    allowed, known = answerer.restrict(media), offerer.restrict(received)
    return offerer.restrict(allowed if _is_within((allowed,), (known,)) else in_law_of(allowed, known))


def _is_within(answers: Sequence[Media], offers: Sequence[Media]) -> bool:
    """Whether no answer has a number that its offer has not."""
    for one, offered in zip(answers, offers, strict=False):
        for number in one.formats:
            if number not in offered.formats:
                return False
    return True


def _offered_digits(from_: Side, to: Side, media: Media) -> Media:
    if to.dtmf == "info":
        return without_events(media)
    if (to.dtmf == "rfc4733" or from_.dtmf == "info") and to.may_have_events:
        return with_events(media)
    return media


def _answered_digits(offerer: Side, answerer: Side, media: Media, received: Media) -> Media:
    if offerer.dtmf == "info" or not event_formats(received):
        return without_events(media)
    if (offerer.dtmf == "rfc4733" or answerer.dtmf == "info") and offerer.may_have_events:
        return with_events(media, received)
    return media


def _replied(i: int, offered: Media, session: Session, theirs: Session, by: Side, other: Side) -> Media:
    mine = theirs.media[i] if i < len(theirs.media) else None
    stream = None
    if mine is not None and mine.port and offered.port and mine.kind.lower() == offered.kind.lower():
        wanted = other.restrict(mine)
        wanted = by.restrict(in_law_of(wanted, by.restrict(offered)) if other.recodes else wanted)
        if wanted.port and wanted.is_rtp == offered.is_rtp:
            stream = answer_stream(session, offered, theirs, wanted)
    if stream is None:
        return Media(offered.kind, 0, offered.proto, offered.formats)
    if _SHORT_RTCP in stream.lines and _SHORT_RTCP not in offered.lines:
        # It may stand in an answer only where the offer has it (RFC 5506 §5), which was another one here.
        stream = replace(stream, lines=tuple([line for line in stream.lines if line != _SHORT_RTCP]))
    return stream if by.is_plain and other.is_plain else _answered_digits(by, other, stream, offered)


def _is_unchanged(streams: Sequence[Media], session: Session) -> bool:
    """Whether these are the session's own m= lines, and all of them."""
    if len(streams) != len(session.media):
        return False
    for one, other in zip(streams, session.media, strict=True):  # noqa: SIM110  on the path of every answer
        if one is not other:
            return False
    return True
