"""One session: the streams of one call, wired as four inlets each (RTP and RTCP, both ways), and their counters.

An end keeps its counters for as long as the session uses its port pair: they are folded out of the inlets whenever the
streams are wired anew. A way on which digits are known has a `Voice`, which stays for as long as the session has both
ends: digits that wait or are played survive a re-INVITE. Ends whose pair another session has taken are cut off. It
decides nothing and reads no packet.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol

from msgspec import Struct

from sbc.media import wire
from sbc.media.worker.agenda import Agenda
from sbc.media.worker.engine import Engine, NoEngine
from sbc.media.worker.hearing import Digit
from sbc.media.worker.latch import NOBODY, NOWHERE, latch, target
from sbc.media.worker.names import hide_names
from sbc.media.worker.payload import payload_table, rewriting
from sbc.media.worker.ports import Pair, Udp
from sbc.media.worker.relay import RTCP_OCTETS, RTP_OCTETS, Edit, Inlet, catch_up
from sbc.media.worker.slots import Slots
from sbc.media.worker.voice import Clock, Voice, VoiceRules


class Watch(Protocol):
    """The poller's side: which inlet a socket belongs to. Setting one that is watched already replaces its inlet."""

    def set(self, socket: Udp, inlet: Inlet) -> None: ...
    def unset(self, socket: Udp) -> None: ...


def _unmarked(_socket: Udp) -> int:
    return 0


class Surroundings(Struct):
    """What every session of a worker uses. `say`: a reply that nobody asked for.

    `clock`: seconds of CLOCK_MONOTONIC, as the slots have it. `slots`: None: counters that die with us. `engine` and
    `own` (`wire.Configure.own`, canonical) may be set anew; every session is to be rewired then. `dscp`: of what leaves
    by a socket.
    """

    find: Callable[[wire.End], Pair]
    watch: Watch
    agenda: Agenda
    clock: Clock
    say: Callable[[wire.Reply], None]
    slots: Slots | None = None
    engine: Engine = NoEngine()
    own: frozenset[str] = frozenset()
    dscp: Callable[[Udp], int] = _unmarked


class Tally:
    """Counters of one end, apart from what its inlets have counted since they were wired."""

    __slots__ = (
        "digits_received",
        "digits_sent",
        "dropped",
        "received",
        "received_octets",
        "rtcp_received",
        "rtcp_sent",
        "sent",
        "sent_octets",
    )

    def __init__(self) -> None:
        self.received = 0
        self.received_octets = 0
        self.sent = 0
        self.sent_octets = 0
        self.rtcp_received = 0
        self.rtcp_sent = 0
        self.dropped = 0
        self.digits_received = 0
        self.digits_sent = 0

    def value(self) -> wire.EndCount:
        return wire.EndCount(
            self.received,
            self.received_octets,
            self.sent,
            self.sent_octets,
            self.rtcp_received,
            self.rtcp_sent,
            self.dropped,
            self.digits_received,
            self.digits_sent,
        )


class Direction:
    """RTP and RTCP from one end towards the other."""

    __slots__ = ("_from", "_rtcp", "_rtp", "_to", "opposite", "pair", "voice")

    def __init__(self, way: "_Way", tallies: tuple[Tally, Tally], inlets: tuple[Inlet, Inlet]) -> None:
        self.pair = way.pair
        self.opposite = way.opposite
        self.voice = way.voice
        self._from, self._to = tallies
        self._rtp, self._rtcp = inlets

    def fold(self) -> None:
        """Move what the inlets counted into the tallies of both ends."""
        rtp, rtcp, from_, to = self._rtp, self._rtcp, self._from, self._to
        from_.received += rtp.packets
        from_.received_octets += rtp.octets
        to.sent += rtp.packets
        to.sent_octets += rtp.octets
        from_.rtcp_received += rtcp.packets
        to.rtcp_sent += rtcp.packets
        from_.dropped += rtp.dropped + rtcp.dropped
        rtp.packets = rtp.octets = rtp.dropped = rtcp.packets = rtcp.octets = rtcp.dropped = 0
        if self.voice is not None:
            self._fold_digits(self.voice)

    def _fold_digits(self, voice: Voice) -> None:
        self._from.digits_received += voice.take_begun()
        self._to.digits_sent += voice.crossed + voice.played
        self._to.sent += voice.played_packets
        self._to.sent_octets += voice.played_octets
        voice.crossed = voice.played = voice.played_packets = voice.played_octets = 0

    def catch_up(self) -> None:
        catch_up(self._rtp)
        catch_up(self._rtcp)


class _Way:
    """From one end's sockets to the other's. `is_cut`: the other end's pair is no longer ours."""

    __slots__ = ("end", "is_cut", "opposite", "other", "pair", "voice")

    def __init__(
        self, end: wire.End, other: wire.End, pair: Pair, opposite: Pair, voice: Voice | None, *, is_cut: bool
    ) -> None:
        self.voice = voice
        self.end = end
        self.other = other
        self.pair = pair
        self.opposite = opposite
        self.is_cut = is_cut

    def inlet(self, least: int, edit: Edit | None = None, *, is_rtcp: bool) -> Inlet:
        """Where there is nowhere to send to, nobody is let in: packets are dropped and counted."""
        socket = self.pair.rtcp if is_rtcp else self.pair.rtp
        outlet = self.opposite.rtcp if is_rtcp else self.opposite.rtp
        to = None if self.is_cut else target(self.other, is_rtcp=is_rtcp)
        if to is None:
            return Inlet(socket, outlet, NOBODY, NOWHERE, least)
        return Inlet(socket, outlet, latch(self.end, is_rtcp=is_rtcp), to, least, edit)


class Session:
    __slots__ = ("_directions", "_is_early", "_tallies", "_voices", "put")

    def __init__(self, put: wire.PutSession) -> None:
        self.put = put
        self._tallies: dict[tuple[str, int], Tally] = {}
        self._directions: list[Direction] = []
        self._voices: dict[tuple[Pair, Pair], Voice] = {}
        self._is_early = False

    def rewire(self, around: Surroundings, moved: Sequence[Pair] = ()) -> None:
        """Relay as `put` says from now on, through those of its pairs that are ours. `moved`: they came just now."""
        self.fold()
        self._directions = []
        voices, self._voices = self._voices, {}
        was_early, self._is_early = self._is_early, self.put.early
        for n, stream in enumerate(self.put.streams):
            for way in self._ways(stream, voices, around):
                self._directions.append(self._direction(way, n, stream, around))
        for voice in voices.values():
            voice.close()
        for direction in self._directions:
            if was_early or direction.pair in moved:
                direction.catch_up()

    def play(self, play: wire.PlayDigit, code: int) -> None:
        """Towards an end without a way to it, or without a payload type for digits: nothing."""
        stream = self.put.streams[play.stream]
        receiver = stream.ingress if play.to == "ingress" else stream.egress
        for direction in self._directions:
            to = direction.opposite
            if direction.voice is not None and (to.local, to.port) == (receiver.local, receiver.port):
                direction.voice.play(code, play.milliseconds)

    def close(self) -> None:
        for voice in self._voices.values():
            voice.close()

    def fold(self) -> None:
        for direction in self._directions:
            direction.fold()

    def counts(self) -> tuple[wire.StreamCount, ...]:
        self.fold()
        return tuple(
            wire.StreamCount(self._tally(stream.ingress).value(), self._tally(stream.egress).value())
            for stream in self.put.streams
        )

    def _ways(
        self, stream: wire.Stream, voices: dict[tuple[Pair, Pair], Voice], around: Surroundings
    ) -> Iterator[_Way]:
        """The ways of a stream, with the voices that they had before; none from an end that is not ours, or early."""
        for end, other in ((stream.ingress, stream.egress), (stream.egress, stream.ingress)):
            pair, opposite = around.find(end), around.find(other)
            if pair.owner != self.put.ref:
                continue
            if self.put.early:
                around.watch.unset(pair.rtp)
                around.watch.unset(pair.rtcp)
                continue
            voice = None
            if _knows_digits(stream):
                name = f"{self.put.ref} {pair.local} {pair.port} {opposite.local} {opposite.port}"
                voice = voices.pop((pair, opposite), None) or Voice(name.encode(), around.agenda, around.clock)
                self._voices[pair, opposite] = voice
            yield _Way(end, other, pair, opposite, voice, is_cut=opposite.owner != self.put.ref)

    def _direction(self, way: _Way, n: int, stream: wire.Stream, around: Surroundings) -> Direction:
        least, rtcp_least, edit, hiding = 0, 0, None, None
        if stream.rtp:
            least, rtcp_least = RTP_OCTETS, RTCP_OCTETS
            hiding = partial(hide_names, ref=self.put.ref.encode())
            edit = rewriting(_table(way, stream)) if way.voice is None else way.voice.edit
        rtp = way.inlet(least, edit, is_rtcp=False)
        rtcp = way.inlet(rtcp_least, hiding, is_rtcp=True)
        if way.voice is not None:
            way.voice.rewire(rtp, self._rules(way, n, stream, around))
        around.watch.set(way.pair.rtp, rtp)
        around.watch.set(way.pair.rtcp, rtcp)
        return Direction(way, (self._tally(way.end), self._tally(way.other)), (rtp, rtcp))

    def _rules(self, way: _Way, n: int, stream: wire.Stream, around: Surroundings) -> VoiceRules:
        types = stream.events or (wire.NO_EVENTS, wire.NO_EVENTS)
        side: wire.SideName = "ingress" if way.end is stream.ingress else "egress"
        heard, played = (0, 1) if side == "ingress" else (1, 0)
        report: Callable[[Digit], None] | None = None
        if side in stream.report_digits:
            ref = self.put.ref

            def report(digit: Digit) -> None:
                around.say(wire.DigitHeard(ref, n, side, digit.digit, digit.milliseconds))

        rates = stream.event_rates
        return VoiceRules(types[heard], rates[heard], types[played], rates[played], _table(way, stream), report)

    def _tally(self, end: wire.End) -> Tally:
        return self._tallies.setdefault((end.local, end.port), Tally())


def _knows_digits(stream: wire.Stream) -> bool:
    return stream.rtp and stream.events is not None and stream.events != (wire.NO_EVENTS, wire.NO_EVENTS)


def _table(way: _Way, stream: wire.Stream) -> bytes | None:
    return payload_table(stream.ingress_to_egress if way.end is stream.ingress else stream.egress_to_ingress)
