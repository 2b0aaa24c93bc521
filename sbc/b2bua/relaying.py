"""The streams of the media relay, made of what the two sides of a call have said and were told (RFC 3264 §5.1, §6.1).

Packets that come from a peer have the numbers that it was told, and go in those that the other peer has said. Where
the two sides send digits in different ways, the worker is told which numbers digits have, and from which ends they are
to be reported. Used by `media`.
"""

from typing import Final

from msgspec.structs import replace

from sbc.b2bua.offers import Offer
from sbc.b2bua.sides import Side
from sbc.media import wire
from sbc.sdp.codecs import TELEPHONE_EVENT
from sbc.sdp.model import Media
from sbc.sdp.payload_types import payload_type, rewriting

_NO_EVENTS: Final = (wire.NO_EVENTS, 8000)


def early_streams(offer: Offer, by: Side, to: Side) -> tuple[wire.Stream, ...]:
    """While the answer is still to come: every port hears, and one end's remote is known."""
    streams: list[wire.Stream] = []
    for i, (remote, forwarded) in enumerate(zip(offer.remotes, offer.forwarded.media, strict=False)):
        if remote.refused or not forwarded.port:
            continue
        known, unknown = by.end(i, remote), to.end(i, None)
        ends = (known, unknown) if offer.by == "ingress" else (unknown, known)
        streams.append(wire.Stream(*ends, rtp=remote.rtp))
    return tuple(streams)


def streams_between(
    ingress: Side, egress: Side, *, is_renumbered: bool
) -> tuple[tuple[wire.Stream, ...], tuple[str, ...]]:
    """The streams that both sides have, and the codec of each. `is_renumbered`: their numbers may differ."""
    streams: list[wire.Stream] = []
    codecs: list[str] = []
    has_digits = ingress.dtmf != "pass" or egress.dtmf != "pass"
    for i, (one, other) in enumerate(zip(ingress.now.remotes, egress.now.remotes, strict=False)):
        if one.refused or other.refused or not (ingress.has_port(i) and egress.has_port(i)):
            continue
        stream = wire.Stream(ingress.end(i, one), egress.end(i, other), rtp=one.rtp and other.rtp)
        if is_renumbered and stream.rtp:
            stream = _rewritten(stream, ingress, egress, i)
        if has_digits and stream.rtp and one.kind.lower() == "audio":
            stream = _with_digits(stream, ingress, egress, i)
        streams.append(stream)
        codecs.append(other.codec or one.codec)
    return tuple(streams), tuple(codecs)


def _rewritten(stream: wire.Stream, ingress: Side, egress: Side, i: int) -> wire.Stream:
    there, back = _rewriting(ingress, egress, i), _rewriting(egress, ingress, i)
    return replace(stream, ingress_to_egress=there, egress_to_ingress=back) if there or back else stream


def _rewriting(from_: Side, to: Side, i: int) -> tuple[tuple[int, int], ...]:
    told, said = from_.told_stream(i), to.said_stream(i)
    return () if told is None or said is None else rewriting(told, said)


def _with_digits(stream: wire.Stream, ingress: Side, egress: Side, i: int) -> wire.Stream:
    """Digits of an end cross as they are where the other end has telephone-event too; else they are reported."""
    has_one, has_other = _events(ingress, i, ingress.said_stream(i)), _events(egress, i, egress.said_stream(i))
    reported: tuple[wire.SideName, ...] = ()
    if has_one != _NO_EVENTS and has_other == _NO_EVENTS:
        reported, has_one = ("ingress",), _events(ingress, i, ingress.told_stream(i))
    elif has_other != _NO_EVENTS and has_one == _NO_EVENTS:
        reported, has_other = ("egress",), _events(egress, i, egress.told_stream(i))
    (one, one_rate), (other, other_rate) = has_one, has_other
    return replace(stream, events=(one, other), event_rates=(one_rate, other_rate), report_digits=reported)


def _events(side: Side, i: int, stream: Media | None) -> tuple[int, int]:
    """Number and rate in one of the side's two descriptions; none where it has not agreed to events in both."""
    told, said = side.told_stream(i), side.said_stream(i)
    if stream is None or told is None or said is None:
        return _NO_EVENTS
    agreed = payload_type(told, TELEPHONE_EVENT) is not None and payload_type(said, TELEPHONE_EVENT) is not None
    return (payload_type(stream, TELEPHONE_EVENT) or _NO_EVENTS) if agreed else _NO_EVENTS
