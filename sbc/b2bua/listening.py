"""What is heard of one call's media: by the media worker's counts, while it talks and at its end.

It finds one-way audio, sides that fall silent and streams that somebody else sends to, scores what came from each side
(`media.quality`), adds it to the node's totals, and writes the CDR's `media`. It does not judge the silence of both,
which the worker tells, and it ends nothing. `media` says what is expected of each stream whenever the relay changes.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
from msgspec import Raw, Struct

from sbc.b2bua.sides import Side, SideName
from sbc.b2bua.totals import Totals
from sbc.core.limits import (
    COUNTS_KEPT_SECONDS,
    FELL_SILENT_SECONDS,
    FOREIGN_PACKETS_PER_SECOND,
    FORGED_PACKETS,
    ONE_WAY_PACKETS,
    ONE_WAY_SECONDS,
    PAST_STREAMS,
)
from sbc.media import wire
from sbc.media.counting import Counts, Key
from sbc.media.quality import mos, mouth_to_ear_ms
from sbc.sdp.g711 import laws

_SIDES: Final[tuple[SideName, SideName]] = ("ingress", "egress")
_NOTHING: Final = wire.EndCount()
_NO_STREAM: Final = wire.StreamCount(_NOTHING, _NOTHING)
_SAY_AGAIN_SECONDS: Final = 60.0
_COUNTED: Final = (
    "received", "lost", "reordered", "duplicates", "foreign", "excess", "digits_received", "forged", "replayed",
)  # fmt: skip


class Expected(Struct, frozen=True):
    """One end of a stream: where it reaches us, what it sends, and whether it should (a held one need not). `srtp`: by
    what it is secured, as was agreed; empty: it is not.
    """

    local: str
    port: int
    codec: str
    sends: bool
    srtp: str = ""

    @property
    def at(self) -> tuple[str, int]:
        return self.local, self.port


class Way(Struct, frozen=True):
    """One stream of the relay. `is_sound`: audio, of which both ends ought to be heard."""

    ingress: Expected
    egress: Expected
    is_rtp: bool = True
    is_sound: bool = True

    @property
    def is_two_way(self) -> bool:
        return self.ingress.sends and self.egress.sends

    @property
    def chapter(self) -> tuple[object, ...]:
        """What has to stay for its figures to be those of one stream."""
        return self.ingress.at, self.egress.at, self.is_rtp


class NotHeard(Struct, frozen=True):
    """One-way audio: nothing has come from `side` since the relay last changed, while the other side was heard.

    `foreign`: so many packets came to its port from a source that may not send there.
    """

    side: SideName
    foreign: int
    source: str = ""


class ForeignPackets(Struct, frozen=True):
    """Somebody who is not `side`'s peer sends to its port."""

    side: SideName
    per_second: int
    source: str = ""


class ForgedPackets(Struct, frozen=True):
    """Packets that are not by the keys of `side`'s peer come from where its media comes from."""

    side: SideName
    packets: int


class FellSilent(Struct, frozen=True):
    """`side` was heard, and for so many seconds nothing more has come from it, though the other side goes on."""

    side: SideName
    seconds: int


Finding = NotHeard | ForeignPackets | ForgedPackets | FellSilent


class Listening:
    def __init__(self, totals: Totals) -> None:
        self._totals = totals
        self._ways: tuple[Way, ...] = ()
        self._generation = -1
        self._is_fresh = True  # the relay has changed, or the call was not answered, when counts came last
        self._before: tuple[wire.StreamCount, ...] = ()
        self._began: tuple[wire.StreamCount, ...] = ()  # counts when the relay changed last, or soon after
        self._began_at = self._at = 0.0
        self._not_heard: dict[SideName, None] = {}
        self._said_at: dict[SideName, float] = {}
        self._heard_at: dict[tuple[int, SideName], float] = {}  # by stream, when its count was found to have grown
        self._fell_silent: dict[SideName, None] = {}
        self._forged: dict[SideName, None] = {}
        self._past: dict[SideName, list[dict[str, object]]] = {side: [] for side in _SIDES}  # of streams that are over
        self._told: dict[tuple[str, int], wire.EndCount] = {}  # what of an end's counters is in there already
        self._carried: Counts | None = None  # of an earlier life of signalling
        self._kept_at: float | None = None
        self.saved: tuple[object, Raw] = (None, Raw())  # what was written down last, and by which state

    @property
    def is_two_way(self) -> bool:
        """Some stream is to be heard from both ends: silence means something."""
        return any(way.is_two_way for way in self._ways)

    @property
    def heard_at(self) -> float:
        """When something was found to have come last, from either side; 0: nothing was yet."""
        return max(self._heard_at.values(), default=0.0)

    def rewired(self, ways: tuple[Way, ...], generation: int) -> None:
        """The relay is put anew. What a stream had counted that is no more, or fax by now, stays for the record."""
        if self._before and len(self._before) == len(self._ways):
            goes_on = {way.chapter for way in ways}
            for way, count in zip(self._ways, self._before, strict=True):
                if way.chapter not in goes_on:
                    self._close(way, count)
        self._ways, self._generation, self._is_fresh = ways, generation, True
        if self._carried is not None:
            self._carried.expect(generation, _ends_of(ways))

    def is_due(self, now: float) -> bool:
        """Once in a while: what was counted is to be written down again, for the death of everything."""
        if self._kept_at is None or now - self._kept_at >= COUNTS_KEPT_SECONDS:
            is_first, self._kept_at = self._kept_at is None, now
            return not is_first
        return False

    def goes_on(self) -> None:
        """After a recovery, with what was heard before: where a worker begins at zero, that is added to its counts."""
        ends = _ends_of(self._ways)
        self._carried = Counts()
        self._carried.expect(self._generation, ends)
        if len(ends) == len(self._before):
            self._carried.totals(self._generation, self._before)

    def take(
        self, generation: int, counts: Sequence[wire.StreamCount], now: float, *, is_answered: bool
    ) -> list[Finding]:
        """What the worker has counted by now; old news of a relay that has changed since are passed over.

        Before the answer it is no fault that one side alone is heard: it is early media.
        """
        if generation != self._generation or len(counts) != len(self._ways):
            return []
        counts = self._in_all(counts)
        if self._is_fresh or len(self._before) != len(counts):
            self._began, self._began_at = counts, now
            self._is_fresh = not is_answered
            self._heard_at.clear()
        self._note_heard(counts, now)
        findings: list[Finding] = [*self._foreign(counts, now), *self._find_forged(counts)]
        if not self._is_fresh and now - self._began_at >= ONE_WAY_SECONDS:
            findings += self._find_not_heard(counts)
            findings += self._find_fell_silent(now)
        self._add_up(counts)
        self._at = now
        return findings

    def finish(self, counts: Sequence[wire.StreamCount]) -> str:
        """The last counts: the CDR's `media`."""
        counts = self._in_all(counts)
        if not self._is_fresh and len(self._before) == len(counts):
            self._find_not_heard(counts)
        self._add_up(counts)
        rows: dict[str, object] = {}
        for side in _SIDES:
            rows[side] = streams = [*self._past[side], *self._rows(side, counts)]
            for row in streams:
                self._totals.add_stream(row)
        if self._not_heard:
            rows["one_way"] = " and ".join(self._not_heard)
        if self._fell_silent:
            rows["fell_silent"] = " and ".join(self._fell_silent)
        return msgspec.json.encode(rows).decode()

    def live(self) -> dict[str, object]:
        """As `finish` has it, by the latest counts, with what an operator asks while the call is up."""
        shown: dict[str, object] = {
            side: [
                {
                    **row,
                    "source": _end(count, side).source,
                    "foreign_source": _end(count, side).foreign_source,
                    "engine": _end(count, side).engine,
                    "why": _end(count, side).why,
                    "silent_seconds": self._silent_seconds(i, side),
                }
                for i, (row, count) in enumerate(zip(self._rows(side, self._before), self._before, strict=False))
            ]
            for side in _SIDES
        }
        if self._not_heard:
            shown["one_way"] = " and ".join(self._not_heard)
        return shown

    @property
    def engines(self) -> Iterator[str]:
        """Who relays each end of each stream now."""
        for count in self._before:
            for side in _SIDES:
                if _end(count, side).engine:
                    yield _end(count, side).engine

    # --- findings -----------------------------------------------------------------------------------------------------

    def _foreign(self, counts: tuple[wire.StreamCount, ...], now: float) -> Iterator[ForeignPackets]:
        passed = now - self._at
        if passed <= 0 or len(self._before) != len(counts):
            return
        for side in _SIDES:
            more = sum(
                _end(count, side).foreign - _end(before, side).foreign
                for count, before in zip(counts, self._before, strict=True)
            )
            said_at = self._said_at.get(side)
            is_new = said_at is None or now - said_at >= _SAY_AGAIN_SECONDS
            if is_new and more / passed >= FOREIGN_PACKETS_PER_SECOND:
                self._said_at[side] = now
                sources = [_end(count, side).foreign_source for count in counts]
                yield ForeignPackets(side, round(more / passed), next(filter(None, sources), ""))

    def _find_forged(self, counts: tuple[wire.StreamCount, ...]) -> Iterator[ForgedPackets]:
        """Each side once in a call: a few come late, by keys that are gone, when a peer has changed them."""
        for side in _SIDES:
            forged = sum(_end(count, side).forged for count in counts)
            if forged >= FORGED_PACKETS and side not in self._forged:
                self._forged[side] = None
                yield ForgedPackets(side, forged)

    def _find_not_heard(self, counts: tuple[wire.StreamCount, ...]) -> list[NotHeard]:
        """Each side once in a call."""
        found: list[NotHeard] = []
        for way, count, began in zip(self._ways, counts, self._began, strict=False):
            if not (way.is_sound and way.is_two_way):
                continue
            for side, other in (_SIDES, _SIDES[::-1]):
                heard = _end(count, side).received - _end(began, side).received
                of_other = _end(count, other).received - _end(began, other).received
                if heard <= 0 and of_other >= ONE_WAY_PACKETS and side not in self._not_heard:
                    self._not_heard[side] = None
                    foreign = _end(count, side).foreign - _end(began, side).foreign
                    found.append(NotHeard(side, foreign, _end(count, side).foreign_source if foreign else ""))
        return found

    def _note_heard(self, counts: tuple[wire.StreamCount, ...], now: float) -> None:
        for i, count in enumerate(counts):
            before = self._before[i] if i < len(self._before) else _NO_STREAM
            for side in _SIDES:
                if (i, side) not in self._heard_at or _end(count, side).received != _end(before, side).received:
                    self._heard_at[i, side] = now

    def _find_fell_silent(self, now: float) -> "Iterator[FellSilent]":
        """Each side once in a call: whether a muted telephone sends nothing is its own affair (RFC 3551 §4.1)."""
        for i, way in enumerate(self._ways):
            if not (way.is_sound and way.is_two_way):
                continue
            for side, other in (_SIDES, _SIDES[::-1]):
                seconds = now - self._heard_at[i, side]
                is_known = side in self._not_heard or side in self._fell_silent
                if seconds >= FELL_SILENT_SECONDS and self._heard_at[i, other] == now and not is_known:
                    self._fell_silent[side] = None
                    yield FellSilent(side, round(seconds))

    def _silent_seconds(self, i: int, side: SideName) -> int:
        """By the latest counts; 0 where it need not be heard."""
        is_due = i < len(self._ways) and self._ways[i].is_two_way and not self._is_fresh
        return round(self._at - self._heard_at.get((i, side), self._at)) if is_due else 0

    def _in_all(self, counts: Sequence[wire.StreamCount]) -> tuple[wire.StreamCount, ...]:
        counts = tuple(counts)
        return counts if self._carried is None else self._carried.totals(self._generation, counts)

    # --- figures ------------------------------------------------------------------------------------------------------

    def _add_up(self, counts: tuple[wire.StreamCount, ...]) -> None:
        """Add to the node's totals what has come since the last time. A stream that is new, or a pair that has moved to
        another call, begins at zero.
        """
        totals = self._totals
        before = self._before if len(self._before) == len(counts) else (_NO_STREAM,) * len(counts)
        for way, count, was in zip(self._ways, counts, before, strict=False):
            for side in _SIDES:
                now_, then = _end(count, side), _end(was, side)
                if now_.received < then.received:
                    then = _NOTHING
                totals.packets[_expected(way, side).local] += now_.received - then.received
                totals.add_lost(now_.lost - then.lost)
                totals.foreign += now_.foreign - then.foreign
        self._before = counts

    def _close(self, way: Way, count: wire.StreamCount) -> None:
        for side in _SIDES:
            row = self._row(way, side, count)
            if row["packets"] and len(self._past[side]) < PAST_STREAMS:
                self._past[side].append(row)
                self._told[_expected(way, side).at] = _end(count, side)

    def _untold(self, way: Way, side: SideName, count: wire.StreamCount) -> wire.EndCount:
        """Less what stands in a row of its own. A port that another call has had in between begins at zero."""
        end, told = _end(count, side), self._told.get(_expected(way, side).at)
        if told is None or end.received < told.received:
            return end
        return msgspec.structs.replace(end, **{name: getattr(end, name) - getattr(told, name) for name in _COUNTED})

    def _rows(self, side: SideName, counts: Sequence[wire.StreamCount]) -> list[dict[str, object]]:
        return [self._row(way, side, count) for way, count in zip(self._ways, counts, strict=False)]

    def _row(self, way: Way, side: SideName, count: wire.StreamCount) -> dict[str, object]:
        """What came from that side. Loss, jitter and the score are null where nothing came, or for what is no RTP."""
        end = self._untold(way, side, count)
        codec = _expected(way, side).codec
        row: dict[str, object] = {"codec": codec, "packets": end.received, "lost": None, "jitter_ms": None, "mos": None}
        if end.received and way.is_rtp:
            row |= {"lost": max(end.lost, 0), "jitter_ms": round(end.jitter_ms, 1), "mos": _score(codec, count, end)}
            row |= {"jitter_max_ms": round(end.jitter_max_ms, 1)}
        secured = _expected(way, side).srtp
        if secured:
            row["srtp"] = secured if " by " in secured or not end.suite else f"{end.suite} by {secured}"
        if end.forged or end.replayed:
            row |= {name: n for name, n in (("forged", end.forged), ("replayed", end.replayed)) if n}
        if end.round_trip_ms:
            row["round_trip_ms"] = round(end.round_trip_ms, 1)
        for name, events in (
            ("reordered", end.reordered),
            ("duplicates", end.duplicates),
            ("foreign", end.foreign),
            ("excess", end.excess),
            ("digits", end.digits_received),
        ):
            if events:
                row[name] = events
        return row


def _score(codec: str, count: wire.StreamCount, end: wire.EndCount) -> float | None:
    lost = max(end.lost, 0)
    arrived = max(end.received - end.duplicates, 1)
    round_trips = count.ingress.round_trip_ms + count.egress.round_trip_ms
    score = mos(codec, lost / (arrived + lost), mouth_to_ear_ms(round_trips, end.jitter_ms))
    return None if score is None else round(score, 2)


def _ends_of(ways: Sequence[Way]) -> tuple[tuple[Key, Key], ...]:
    return tuple([(way.ingress.at, way.egress.at) for way in ways])


def _expected(way: Way, side: SideName) -> Expected:
    return way.ingress if side == "ingress" else way.egress


def _end(count: wire.StreamCount, side: SideName) -> wire.EndCount:
    return count.ingress if side == "ingress" else count.egress


def ways_of(streams: Sequence[wire.Stream], codecs: Sequence[str], ingress: Side, egress: Side) -> tuple[Way, ...]:
    """What is expected of the streams of a relay, by the directions that both sides have agreed to (RFC 3264 §6.1)."""
    ways = []
    for stream, codec in zip(streams, codecs, strict=True):
        i = ingress.ports.index(stream.ingress.port)
        one, other = ingress.now.remotes[i], egress.now.remotes[i]
        recoded = {}
        if stream.transcodings and not _share_a_law(ingress, egress, i):
            recoded = {coding.side: coding.source for coding in stream.transcodings}
        ways.append(
            Way(
                Expected(
                    ingress.local,
                    stream.ingress.port,
                    recoded.get("ingress", codec),
                    one.direction.sends and other.direction.receives,
                    ingress.protection(i),
                ),
                Expected(
                    egress.local,
                    stream.egress.port,
                    recoded.get("egress", codec),
                    other.direction.sends and one.direction.receives,
                    egress.protection(i),
                ),
                stream.rtp,
                stream.rtp and one.kind.lower() == "audio",
            )
        )
    return tuple(ways)


def _share_a_law(ingress: Side, egress: Side, i: int) -> bool:
    """Then that is what is mostly sent, though another law may come and would be recoded."""
    one, other = ingress.said_stream(i), egress.said_stream(i)
    return one is not None and other is not None and not laws(one).keys().isdisjoint(laws(other))
