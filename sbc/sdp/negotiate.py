"""Offer and answer as pure functions (RFC 3264 §6 and §7; RFC 6337 §2): make an answer, and check one that came.

`check_answer` guards what the call relays; `answer` serves our own end points (the demo's phones, the tests).
An SBC that anchors does not negotiate codecs itself, so nothing here is on a call's hot path but `check_answer`.
"""

from sbc.sdp.codecs import codecs_of
from sbc.sdp.direction import LINES, Direction, direction_of
from sbc.sdp.model import Media, SdpError, Session


def check_answer(offer: Session, reply: Session) -> None:
    """Whether `reply` can be the answer to `offer`; SdpError 488 if the two cannot be matched up stream by stream."""
    if len(offer.media) != len(reply.media):
        # "The answer MUST contain exactly the same number of m= lines as the offer" (RFC 3264 §6).
        raise SdpError("answer with another number of m= lines than the offer", 488)
    for offered, answered in zip(offer.media, reply.media, strict=True):
        if offered.kind.lower() != answered.kind.lower():
            # "The media type of the stream in the answer MUST match that of the offer" (§6.1).
            raise SdpError("answer with another media type than the offer", 488)
        if answered.port == 0:
            continue
        if offered.port == 0:
            # "A stream that is offered with a port of zero MUST be marked with port zero in the answer" (§8.2).
            raise SdpError("answer takes a stream that was not offered", 488)
        if not answered.is_relayable or offered.is_rtp != answered.is_rtp:
            raise SdpError("answer with another protocol than the offer", 488)


def check_next_offer(previous: Session, offer: Session) -> None:
    """SdpError 488 if a stream has vanished: "the new SDP MUST have at least N m= lines" (RFC 3264 §8)."""
    if len(offer.media) < len(previous.media):
        raise SdpError("offer with fewer m= lines than before", 488)


def answer(offer: Session, ours: Session) -> Session:
    """The answer to `offer` of an end point that describes itself as `ours`: codecs, address, ports and directions.

    Each offered stream takes the first of our streams of its kind that is still free; one without is refused in its
    place. SdpError 488 if all are: "the entire offered session is rejected" (§6.1).
    """
    free = [media for media in ours.media if media.port]
    streams = []
    for offered in offer.media:
        mine = next((m for m in free if m.kind == offered.kind and m.is_rtp == offered.is_rtp), None)
        stream = None if mine is None or offered.port == 0 else answer_stream(offer, offered, ours, mine)
        if stream is not None and mine is not None:
            free.remove(mine)
        streams.append(stream or Media(offered.kind, 0, offered.proto, offered.formats))
    if any(media.port for media in offer.media) and not any(media.port for media in streams):
        raise SdpError("no stream in common", 488)
    # "The t= line in the answer MUST equal that of the offer" (§6).
    times = [line for line in offer.lines if line.startswith("t=")]
    kept = [line for line in ours.lines if not line.startswith("t=") and line not in LINES]
    return Session(ours.origin, ours.name, ours.connection, (*times, *kept), tuple(streams))


def answer_stream(offer: Session, offered: Media, ours: Session, mine: Media) -> Media | None:
    """The answer to one stream of `offer` by one of `ours`, with its address and port; None if nothing is in common."""
    if not offered.is_relayable:
        return None
    formats = _common_formats(offered, mine)
    if not formats:
        return None
    direction = direction_of(offer, offered).reversed().intersect(direction_of(ours, mine))
    lines = [
        *_format_lines(offered, formats),
        *[line for line in mine.lines if not _is_format_line(line) and line not in LINES],
    ]
    if direction is not Direction.SENDRECV:
        lines.append(f"a={direction}")
    return Media(offered.kind, mine.port, offered.proto, formats, mine.connection, tuple(lines))


def _common_formats(offered: Media, mine: Media) -> tuple[str, ...]:
    """What both know, in the offer's order and with its payload types (§6.1); nothing if no sound is left."""
    if not offered.is_rtp:
        return tuple([format_ for format_ in offered.formats if format_ in mine.formats])
    known = set(codecs_of(mine).values())
    common = {number: codec for number, codec in codecs_of(offered).items() if codec in known}
    return tuple(common) if any(codec.is_sound for codec in common.values()) else ()


def _format_lines(offered: Media, formats: tuple[str, ...]) -> list[str]:
    """The offer's rtpmap and fmtp of the formats taken: "the same fmtp parameters … MUST be present in the answer"."""
    return [line for line in offered.lines if _is_format_line(line) and _format_of(line) in formats]


def _is_format_line(line: str) -> bool:
    return line.startswith(("a=rtpmap:", "a=fmtp:"))


def _format_of(line: str) -> str:
    return line.partition(":")[2].partition(" ")[0]
