"""The streams of the media relay, made of what the two sides of a call have said and were told (RFC 3264 §5.1, §6.1).

Packets that come from a peer have the numbers that it was told, and go in those that the other peer has said. Where one
side has only one law of G.711 and the other only the other one, they are recoded. Where the two send digits in
different ways, the worker is told from which ends they are to be reported; else it counts them. Used by `media`.
"""

from typing import Final

from sbc.b2bua.offers import Offer
from sbc.b2bua.sides import Side, SideName
from sbc.core.limits import AUDIO_PACKETS_PER_SECOND, OTHER_PACKETS_PER_SECOND, VIDEO_PACKETS_PER_SECOND
from sbc.media import wire
from sbc.sdp.clocks import USUAL, clocks_of, event_format
from sbc.sdp.g711 import OTHER, laws
from sbc.sdp.model import Media
from sbc.sdp.payload_types import rewriting

_NO_EVENTS: Final = (wire.NO_EVENTS, USUAL)
_Digits = tuple[tuple[int, int] | None, tuple[int, int], tuple[wire.SideName, ...]]
_NO_DIGITS: Final[_Digits] = (None, (USUAL, USUAL), ())


def early_streams(offer: Offer, by: Side, to: Side) -> tuple[wire.Stream, ...]:
    """While the answer is still to come: every port hears, and one end's remote is known."""
    by.follow(offer.received)
    streams: list[wire.Stream] = []
    for i, (remote, forwarded) in enumerate(zip(offer.remotes, offer.forwarded.media, strict=False)):
        if remote.refused or not forwarded.port:
            continue
        known, unknown = by.end(i, remote), to.end(i, None)
        ends = (known, unknown) if offer.by == "ingress" else (unknown, known)
        streams.append(wire.Stream(*ends, rtp=remote.rtp, packets_per_second=_packets(remote.kind)))
    return tuple(streams)


def streams_between(
    ingress: Side, egress: Side, *, is_renumbered: bool
) -> tuple[tuple[wire.Stream, ...], tuple[str, ...]]:
    """The streams that both sides have, and the codec of each. `is_renumbered`: their numbers may differ."""
    ingress.follow(ingress.now.said)
    egress.follow(egress.now.said)
    streams: list[wire.Stream] = []
    codecs: list[str] = []
    for i, (one, other) in enumerate(zip(ingress.now.remotes, egress.now.remotes, strict=False)):
        if one.refused or other.refused or not (ingress.has_port(i) and egress.has_port(i)):
            continue
        ends = ingress.end(i, one), egress.end(i, other)
        if one.rtp and other.rtp:
            stream = _rtp(ingress, egress, i, *ends, one.kind, is_renumbered=is_renumbered)
        else:
            stream = wire.Stream(*ends, rtp=False, packets_per_second=_packets(one.kind))
        streams.append(stream)
        codecs.append(other.codec or one.codec)
    return tuple(streams), tuple(codecs)


def _rtp(
    ingress: Side, egress: Side, i: int, one: wire.End, other: wire.End, kind: str, *, is_renumbered: bool
) -> wire.Stream:
    is_audio = kind.lower() == "audio"
    has_digits = is_audio and (ingress.dtmf != "pass" or egress.dtmf != "pass")
    converted = _converted_digits if has_digits else _counted_digits
    events, rates, reported = converted(ingress, egress, i) if is_audio else _NO_DIGITS
    return wire.Stream(
        one,
        other,
        True,
        _rewriting(ingress, egress, i) if is_renumbered else (),
        _rewriting(egress, ingress, i) if is_renumbered else (),
        events,
        rates,
        reported,
        has_digits,
        _clocks(ingress.told_stream(i)),
        _clocks(egress.told_stream(i)),
        _transcodings(ingress, egress, i) if is_renumbered and is_audio else (),
        _packets(kind),
    )


def _packets(kind: str) -> int:
    match kind.lower():
        case "audio":
            return AUDIO_PACKETS_PER_SECOND
        case "video":
            return VIDEO_PACKETS_PER_SECOND
        case _:
            return OTHER_PACKETS_PER_SECOND


def _clocks(told: Media | None) -> tuple[tuple[int, int], ...]:
    return () if told is None else clocks_of(told)


# --- payload types ----------------------------------------------------------------------------------------------------


def _rewriting(from_: Side, to: Side, i: int) -> tuple[tuple[int, int], ...]:
    told, said = from_.told_stream(i), to.said_stream(i)
    return () if told is None or said is None else rewriting(told, said)


def _transcodings(ingress: Side, egress: Side, i: int) -> tuple[wire.Transcoding, ...]:
    return (*_recoded("ingress", ingress, egress, i), *_recoded("egress", egress, ingress, i))


def _recoded(name: SideName, from_: Side, to: Side, i: int) -> tuple[wire.Transcoding, ...]:
    """The law of G.711 that one side may send, and the other cannot hear."""
    told, said, there = from_.told_stream(i), from_.said_stream(i), to.said_stream(i)
    if told is None or said is None or there is None:
        return ()
    heard = laws(to.restrict(there))
    if len(heard) != 1:
        return ()
    [(law, number)] = heard.items()
    foreign = laws(told).get(OTHER[law])
    if foreign is None or OTHER[law] not in laws(said):
        return ()
    return (wire.Transcoding(name, int(foreign), OTHER[law].upper(), int(number), law.upper()),)


# --- digits -----------------------------------------------------------------------------------------------------------


def _counted_digits(ingress: Side, egress: Side, i: int) -> _Digits:
    """They cross as they are, and are counted: in the numbers that each end was told."""
    has_one, has_other = _events(ingress, i), _events(egress, i)
    if has_one is None and has_other is None:
        return _NO_DIGITS
    (_, one), (_, other) = has_one or (_NO_EVENTS, _NO_EVENTS), has_other or (_NO_EVENTS, _NO_EVENTS)
    return (one[0], other[0]), (one[1], other[1]), ()


def _converted_digits(ingress: Side, egress: Side, i: int) -> _Digits:
    """Digits of an end cross as they are where the other end has telephone-event too; else they are reported."""
    has_one, has_other = _events(ingress, i), _events(egress, i)
    if has_one is not None and has_other is not None:
        return _told(has_one[0], has_other[0], ())
    if has_one is not None:
        return _told(has_one[1], _NO_EVENTS, ("ingress",))
    if has_other is not None:
        return _told(_NO_EVENTS, has_other[1], ("egress",))
    return _told(_NO_EVENTS, _NO_EVENTS, ())


def _told(one: tuple[int, int], other: tuple[int, int], reported: tuple[wire.SideName, ...]) -> _Digits:
    return (one[0], other[0]), (one[1], other[1]), reported


def _events(side: Side, i: int) -> tuple[tuple[int, int], tuple[int, int]] | None:
    """Number and rate of telephone-event in what its peer has said, and was told; None where it is not in both."""
    said, told = side.said_stream(i), side.told_stream(i)
    if said is None or told is None:
        return None
    in_said = event_format(said)
    in_told = None if in_said is None else event_format(told)
    return None if in_said is None or in_told is None else (in_said, in_told)
