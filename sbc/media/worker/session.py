"""One session: the streams of one call, each of two ways (`way`), and the counters of their ends (`far_end`).

An end keeps its counters, and the source that was learned, for as long as the session uses its port pair. A way on
which digits are known has a `Voice`, which stays for as long as the session has both ends: digits that wait or are
played survive a re-INVITE. Ends whose pair another session has taken are cut off. Before anything is wired anew the
engine gives its ways back. It decides nothing and reads no packet.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import msgspec

from sbc.media import wire
from sbc.media.worker.connection import Connection
from sbc.media.worker.far_end import FarEnd, Key, Latches, Tally, merged
from sbc.media.worker.hearing import Digit
from sbc.media.worker.inlet import CLOCK_RATE
from sbc.media.worker.keyed_end import known_keys, secure
from sbc.media.worker.latch import Target
from sbc.media.worker.ports import Pair
from sbc.media.worker.slots import SLOT_OCTETS, owner_of
from sbc.media.worker.statistics import Statistics
from sbc.media.worker.surroundings import Surroundings
from sbc.media.worker.voice import Voice
from sbc.media.worker.way import Plan, Way

_SIDES: Final[tuple[wire.SideName, ...]] = ("ingress", "egress")


class Link:
    """That one end sends to another, and what it had sent before: packets, octets, RTCP packets."""

    __slots__ = ("frm", "since", "to")

    def __init__(self, frm: FarEnd, to: FarEnd, *, is_fresh: bool) -> None:
        self.frm = frm
        self.to = to
        self.since = (0, 0, 0) if is_fresh else frm.passed_on()

    def sent(self) -> dict[str, int]:
        """By the names of `wire.EndCount`, at the end that it is sent to."""
        now, since = self.frm.passed_on(), self.since
        return {"sent": now[0] - since[0], "sent_octets": now[1] - since[1], "rtcp_sent": now[2] - since[2]}


class Session:
    __slots__ = (
        "_around",
        "_connections",
        "_ends",
        "_former",
        "_is_early",
        "_links",
        "_tallies",
        "_voices",
        "_ways",
        "put",
    )

    def __init__(self, put: wire.PutSession) -> None:
        self.put = put
        self._around: Surroundings | None = None
        self._tallies: dict[Key, Tally] = {}
        self._ends: dict[Key, FarEnd] = {}
        self._links: dict[tuple[Key, Key], Link] = {}
        self._ways: list[Way] = []
        self._connections: dict[Key, Connection] = {}
        self._voices: dict[tuple[Pair, Pair], Voice] = {}
        self._former: dict[Key, tuple[Target, ...]] = {}
        self._is_early = False

    def rewire(self, around: Surroundings, moved: Sequence[Pair] = ()) -> None:
        """Relay as `put` says from now on, through those of its pairs that are ours. `moved`: they came just now."""
        self._around = around
        now = around.clock()
        self._withdraw()
        fresh = self._settle_ends(around, moved, now)
        voices, self._voices = self._voices, {}
        self._ways = [] if self.put.early else list(self._wire(around, voices))
        if self.put.early:
            self._wait(around)
        for voice in voices.values():
            voice.close()
        for way in self._ways:
            if way.frm in fresh and self.put.resumed:
                way.adopt(now)
        was_early, self._is_early = self._is_early, self.put.early
        for way in self._ways:
            way.watch(self.put.ref)
        for way in self._ways:
            if was_early or way.frm.pair in moved:
                way.catch_up()
        self._connect(around)
        if not self.put.early:
            self._begin_handshakes()

    def _begin_handshakes(self) -> None:
        for far in self._ends.values():
            for association in () if far.shield is None else far.shield.associations.values():
                association.start()

    def play(self, play: wire.PlayDigit, code: int) -> None:
        """Towards an end without a way to it, or without a payload type for digits: nothing."""
        stream = self.put.streams[play.stream]
        receiver = stream.ingress if play.to == "ingress" else stream.egress
        for way in self._ways:
            to = way.opposite
            if way.voice is not None and way.plan.converts_digits and (to.local, to.port) == _key(receiver):
                way.voice.play(code, play.milliseconds)

    def close(self) -> None:
        """The call is over; what was counted can still be asked for, and who relayed it."""
        last = {key: self._described(far) for key, far in self._ends.items()}
        self._withdraw()
        for voice in self._voices.values():
            voice.close()
        self._give_up(set(self._ends), set())
        self._ways = []
        for keyring in () if self._around is None else self._around.secrets:
            keyring.release(self.put.ref)
        for key, described in last.items():
            self._tallies[key].last = described

    def counts(self) -> tuple[wire.StreamCount, ...]:
        return tuple(
            wire.StreamCount(self._count(_key(stream.ingress)), self._count(_key(stream.egress)))
            for stream in self.put.streams
        )

    def verify(self, now: float) -> None:
        """To be asked once a second: whether the engine relays the ways that it has."""
        for way in self._ways:
            way.verify(now)

    def heard_at(self) -> float:
        """When RTP or RTCP came last from any end, by the worker's clock; 0: never."""
        return max((far.heard_ns() for far in self._ends.values()), default=0) / 1e9

    def former(self, local: str, port: int) -> tuple[Target, ...]:
        """Where the far end of a pair, which the session has or had, sends from: RTP and RTCP."""
        far = self._ends.get((local, port))
        return far.former() if far is not None else self._former.get((local, port), ())

    # --- ends ---------------------------------------------------------------------------------------------------------

    def _settle_ends(self, around: Surroundings, moved: Sequence[Pair], now: float) -> set[FarEnd]:
        """Give up ends that are no longer ours, make those that are new, and return these."""
        mine: dict[Key, tuple[wire.End, bool]] = {}
        pairs: list[tuple[Key, Key]] = []
        for stream in self.put.streams:
            for end in (stream.ingress, stream.egress):
                if around.find(end).owner == self.put.ref:
                    mine[_key(end)] = (end, stream.rtp)
            one, other = _key(stream.ingress), _key(stream.egress)
            pairs += [(one, other), (other, one)]
        self._give_up({key for key in self._ends if key not in mine}, set(pairs))
        fresh: set[FarEnd] = set()
        for key, (end, is_rtp) in mine.items():
            if key not in self._ends:
                self._ends[key] = self._made(key, end, around, moved)
                fresh.add(self._ends[key])
            self._ends[key].put(end, around.own, now, is_rtp=is_rtp)
            secure(self._ends[key], lambda: self.put, around)
        for one, other in pairs:
            if one in self._ends and other in self._ends and (one, other) not in self._links:
                frm = self._ends[one]
                self._links[one, other] = Link(frm, self._ends[other], is_fresh=frm in fresh)
        self._take_over(fresh, around)
        for keyring in around.secrets:
            keyring.tidy(self.put.ref, self._secrets())
        return fresh

    def key_states(self, key: Key, around: Surroundings) -> tuple[wire.KeyState, ...]:
        """How far the keys of one end have come; empty where it is not secured, or not ours."""
        far = self._ends.get(key)
        return () if far is None or far.shield is None else tuple(far.key_states(around.keyring()))

    def known_keys(self) -> Iterator[wire.Keyed]:
        """What its handshakes have come to."""
        for far in self._ends.values():
            if isinstance(far.end.secured, wire.Dtls):
                yield from known_keys(far, self.put)

    def secure(self, key: Key) -> None:
        """What was awaited of one end's keys is there, or will not be."""
        far = self._ends.get(key)
        if far is not None and self._around is not None:
            secure(far, lambda: self.put, self._around)

    def _secrets(self) -> list[wire.Crypto]:
        """Those that this session uses now."""
        cryptos = (far.end.secured for far in self._ends.values())
        return [crypto for crypto in cryptos if isinstance(crypto, wire.Crypto)]

    def _made(self, key: Key, end: wire.End, around: Surroundings, moved: Sequence[Pair]) -> FarEnd:
        pair = around.find(end)
        latches = around.latches.get(key) if pair in moved else None
        latches = around.latches[key] = latches or Latches()
        owner = owner_of(self.put.ref, *key)
        offset = None if around.slots is None else around.slots.take(owner)
        if around.slots is None or offset is None:
            statistics = Statistics(bytearray(SLOT_OCTETS), 0)
        else:
            statistics = Statistics(around.slots.memory, offset)
        return FarEnd(pair, end, latches, self._tallies.setdefault(key, Tally()), owner, statistics)

    def _take_over(self, fresh: set[FarEnd], around: Surroundings) -> None:
        """What the worker before knew goes on: sources, by the engine's flows and by the numbers that were counted."""
        is_resumed = self.put.resumed and not self.put.early
        for far in fresh:
            flow = around.engine.held(far.pair.local, far.pair.port)
            if is_resumed and far.statistics.is_started:
                far.latches.rtp.resume(far.statistics.continues)
            if flow is None:
                continue
            if not is_resumed or not far.statistics.is_started or far.statistics.ssrc != flow.ssrc:
                around.engine.remove(far.pair.local, far.pair.port)
                continue
            far.latches.rtp.relock(flow.source)
            for link in self._links.values():
                if link.frm is far and link.to.end.latching == "nat" and flow.target != link.to.described_at:
                    link.to.latches.rtp.relock(flow.target)

    def _give_up(self, keys: set[Key], pairs: set[tuple[Key, Key]]) -> None:
        """These ends are no longer ours; of the links, those of `pairs` go on where both ends do."""
        for pair, link in list(self._links.items()):
            if pair not in pairs or not keys.isdisjoint(pair):
                link.to.tally.add(link.sent())
                del self._links[pair]
        for key in keys:
            far = self._ends[key]
            far.tally.last = self._described(far)
            far.fold()
            self._former[key] = far.former()
            if self._around is not None and self._around.slots is not None:
                self._around.slots.give_back(far.owner)
            if self._around is not None and far.security is not None:
                self._around.keyring().forget_counter(far.owner)
            del self._ends[key]

    # --- ways ---------------------------------------------------------------------------------------------------------

    def _wire(self, around: Surroundings, voices: dict[tuple[Pair, Pair], Voice]) -> Iterator[Way]:
        """The ways of all streams, with the voices that they had before; none from an end that is not ours."""
        for n, stream in enumerate(self.put.streams):
            for side in _SIDES:
                plan = Plan(stream, side)
                end = stream.ingress if side == "ingress" else stream.egress
                frm, to = self._ends.get(_key(end)), self._ends.get(_key(plan.other))
                if frm is None:
                    continue
                opposite = around.find(plan.other)
                voice = self._voice(frm.pair, opposite, voices, around) if plan.knows_digits else None
                way = Way(frm, to, opposite, plan, voice, around)
                way.rewire_voice(self._reporter(n, side, around))
                self._hook(way)
                yield way

    def _wait(self, around: Surroundings) -> None:
        """What comes stays in the sockets."""
        for far in self._ends.values():
            around.watch.unset(far.pair.rtp)
            around.watch.unset(far.pair.rtcp)

    def _voice(self, pair: Pair, opposite: Pair, voices: dict[tuple[Pair, Pair], Voice], around: Surroundings) -> Voice:
        name = f"{self.put.ref} {pair.local} {pair.port} {opposite.local} {opposite.port}"
        voice = voices.pop((pair, opposite), None) or Voice(name.encode(), around.agenda, around.clock)
        self._voices[pair, opposite] = voice
        return voice

    def _reporter(self, n: int, side: wire.SideName, around: Surroundings) -> Callable[[Digit], None]:
        ref = self.put.ref

        def report(digit: Digit) -> None:
            around.say(wire.DigitHeard(ref, n, side, digit.digit, digit.milliseconds))

        return report

    def _hook(self, way: Way) -> None:
        """Be told when the source of a way is another: with nat, what goes to that end goes elsewhere then."""

        def locked() -> None:
            way.rtp.source = way.frm.latches.rtp.source
            connection = self._connections.get(way.frm.pair.key)
            if connection is not None:
                connection.moved()
            way.frm.latches.rtcp.moved()
            retarget()

        def retarget() -> None:
            for one in self._ways:
                if one.to is way.frm:
                    one.retarget()

        way.rtp.on_lock = locked
        way.rtcp.on_lock = retarget

    def _withdraw(self) -> None:
        """Ways are in userland, and sockets connected to nobody, from now on."""
        for way in self._ways:
            way.withdraw()
        for connection in self._connections.values():
            connection.end()
        self._connections = {}

    def _connect(self, around: Surroundings) -> None:
        if around.connector is None:
            return
        for way in self._ways:
            if way.rtp.rules is not None:
                going = [one.rtp for one in self._ways if one.to is way.frm]
                connection = Connection(way.frm, way.rtp, going, way.stays, around, around.connector)
                self._connections[way.frm.pair.key] = connection

    # --- counters -----------------------------------------------------------------------------------------------------

    def _count(self, key: Key) -> wire.EndCount:
        tally, far = self._tallies.get(key), self._ends.get(key)
        if tally is None:
            return wire.EndCount()
        if far is None:
            return msgspec.structs.replace(tally.last, **tally.counts)
        sent = (link.sent() for link in self._links.values() if link.to is far)
        counts = merged(tally.counts, far.counts(), *sent)
        return msgspec.structs.replace(self._described(far), **counts)

    def _described(self, far: FarEnd) -> wire.EndCount:
        """All of an end that is no sum."""
        coming = next((way for way in self._ways if way.frm is far), None)
        going = next((way for way in self._ways if way.to is far), None)
        told = far.round_trip
        rate = going.frm.statistics.rate if going is not None else CLOCK_RATE
        is_relayed = coming is not None and far.statistics.packets > 0
        return wire.EndCount(
            jitter_ms=far.jitter_ms,
            jitter_max_ms=far.jitter_max_ms,
            round_trip_ms=told.round_trip_ms,
            far_lost=told.far_lost,
            far_jitter_ms=told.far_jitter / rate * 1000,
            suite=far.suite,
            source=far.source,
            foreign_source=far.stranger,
            engine=coming.engine if coming is not None and is_relayed else "",
            why=coming.reason if coming is not None else "",
        )


def _key(end: wire.End) -> Key:
    return (end.local, end.port)
