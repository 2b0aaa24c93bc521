"""What the ends of a session have counted over the lives of several workers (sans-IO).

A worker whose counters are in memory that outlives it goes on where the former one was; then its figures are the
totals. Where it begins at zero, the last figures of the worker that died become a base, to which what the fresh one
counts is added: lost are the packets since the last report. Totals never go backwards. Used by `media.client`.
"""

from typing import Final

from sbc.media import wire

Key = tuple[str, int]  # an end, by our address and RTP port

_GENERATIONS_REMEMBERED: Final = 8  # whose report may still be on its way
_NOTHING: Final = wire.EndCount()
_ADDED: Final = (
    "received",
    "received_octets",
    "sent",
    "sent_octets",
    "rtcp_received",
    "rtcp_sent",
    "dropped",
    "digits_received",
    "digits_sent",
    "in_kernel",
    "foreign",
    "excess",
    "forged",
    "replayed",
    "lost",
    "reordered",
    "duplicates",
)
_LATEST: Final = ("jitter_ms", "round_trip_ms", "far_lost", "far_jitter_ms", "source", "foreign_source", "suite")


class Counts:
    """Of one session: `base` from workers that are gone, `last` from the one that runs or ran last."""

    __slots__ = ("_base", "_ends", "_last")

    def __init__(self) -> None:
        self._ends: dict[int, tuple[tuple[Key, Key], ...]] = {}
        self._base: dict[Key, wire.EndCount] = {}
        self._last: dict[Key, wire.EndCount] = {}

    def expect(self, generation: int, ends: tuple[tuple[Key, Key], ...]) -> None:
        """Reports of this generation speak of these ends."""
        self._ends[generation] = ends
        while len(self._ends) > _GENERATIONS_REMEMBERED:
            del self._ends[next(iter(self._ends))]

    def begin_again(self) -> None:
        """The worker that was told of the session is gone, and the next one counts from zero."""
        for key in list(self._last):
            self._keep(key)

    def totals(self, generation: int, streams: tuple[wire.StreamCount, ...]) -> tuple[wire.StreamCount, ...]:
        """What the worker counted, with what its predecessors counted added."""
        ends = self._ends.get(generation)
        if ends is None:
            return streams
        for (ingress, egress), count in zip(ends, streams, strict=False):
            self._learn(ingress, count.ingress)
            self._learn(egress, count.egress)
        return tuple(wire.StreamCount(self._total(ingress), self._total(egress)) for ingress, egress in ends)

    def _learn(self, key: Key, count: wire.EndCount) -> None:
        """A figure that falls began at zero, whatever the worker said: its memory, or our end of it, is another."""
        if count.received < self._last.get(key, _NOTHING).received:
            self._keep(key)
        self._last[key] = count

    def _keep(self, key: Key) -> None:
        self._base[key] = _sum(self._base.get(key, _NOTHING), self._last.pop(key))

    def _total(self, key: Key) -> wire.EndCount:
        return _sum(self._base.get(key, _NOTHING), self._last.get(key, _NOTHING))


def ends_of(put: wire.PutSession) -> tuple[tuple[Key, Key], ...]:
    return tuple(
        ((stream.ingress.local, stream.ingress.port), (stream.egress.local, stream.egress.port))
        for stream in put.streams
    )


def _sum(one: wire.EndCount, later: wire.EndCount) -> wire.EndCount:
    """Counters of both; of what is measured, the latest that is known. Who relays now, only the later can tell."""
    if one is _NOTHING or later is _NOTHING:
        return one if later is _NOTHING else later
    return wire.EndCount(
        **{name: getattr(one, name) + getattr(later, name) for name in _ADDED},
        **{name: getattr(later, name) or getattr(one, name) for name in _LATEST},
        jitter_max_ms=max(one.jitter_max_ms, later.jitter_max_ms),
        engine=later.engine,
        why=later.why,
    )
