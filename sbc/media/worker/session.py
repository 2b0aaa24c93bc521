"""One session: the streams of one call, wired as four inlets each (RTP and RTCP, both ways), and their counters.

An end keeps its counters for as long as the session uses its port pair: they are folded out of the inlets whenever the
streams are wired anew. Ends whose pair another session has taken are cut off. It decides nothing and reads no packet.
"""

from collections.abc import Callable
from typing import Protocol

from sbc.media import wire
from sbc.media.worker.latch import NOBODY, NOWHERE, latch, target
from sbc.media.worker.ports import Pair, Udp
from sbc.media.worker.relay import RTCP_OCTETS, RTP_OCTETS, Inlet, catch_up


class Watch(Protocol):
    """The poller's side: which inlet a socket belongs to. Setting one that is watched already replaces its inlet."""

    def set(self, socket: Udp, inlet: Inlet) -> None: ...
    def unset(self, socket: Udp) -> None: ...


class Tally:
    """Counters of one end, apart from what its inlets have counted since they were wired."""

    __slots__ = ("dropped", "received", "received_octets", "rtcp_received", "rtcp_sent", "sent", "sent_octets")

    def __init__(self) -> None:
        self.received = 0
        self.received_octets = 0
        self.sent = 0
        self.sent_octets = 0
        self.rtcp_received = 0
        self.rtcp_sent = 0
        self.dropped = 0

    def value(self) -> wire.EndCount:
        return wire.EndCount(
            self.received,
            self.received_octets,
            self.sent,
            self.sent_octets,
            self.rtcp_received,
            self.rtcp_sent,
            self.dropped,
        )


class Direction:
    """RTP and RTCP from one end towards the other."""

    __slots__ = ("_from", "_rtcp", "_rtp", "_to")

    def __init__(self, from_: Tally, to: Tally, rtp: Inlet, rtcp: Inlet) -> None:
        self._from = from_
        self._to = to
        self._rtp = rtp
        self._rtcp = rtcp

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

    def catch_up(self) -> None:
        catch_up(self._rtp)
        catch_up(self._rtcp)


class _Way:
    """From one end's sockets to the other's. `is_cut`: the other end's pair is no longer ours."""

    __slots__ = ("end", "is_cut", "opposite", "other", "pair")

    def __init__(self, end: wire.End, other: wire.End, pair: Pair, opposite: Pair, *, is_cut: bool) -> None:
        self.end = end
        self.other = other
        self.pair = pair
        self.opposite = opposite
        self.is_cut = is_cut

    def inlet(self, least: int, names: bytes | None = None, *, is_rtcp: bool) -> Inlet:
        """Where there is nowhere to send to, nobody is let in: packets are dropped and counted."""
        socket = self.pair.rtcp if is_rtcp else self.pair.rtp
        outlet = self.opposite.rtcp if is_rtcp else self.opposite.rtp
        to = None if self.is_cut else target(self.other, is_rtcp=is_rtcp)
        if to is None:
            return Inlet(socket, outlet, NOBODY, NOWHERE, least)
        return Inlet(socket, outlet, latch(self.end, is_rtcp=is_rtcp), to, least, names)


class Session:
    __slots__ = ("_directions", "_is_early", "_tallies", "put")

    def __init__(self, put: wire.PutSession) -> None:
        self.put = put
        self._tallies: dict[tuple[str, int], Tally] = {}
        self._directions: list[Direction] = []
        self._is_early = False

    def rewire(self, find: Callable[[wire.End], Pair], watch: Watch) -> None:
        """Relay as `put` says from now on, through those of its pairs that are ours."""
        self.fold()
        self._directions = []
        was_early, self._is_early = self._is_early, self.put.early
        for stream in self.put.streams:
            least = (RTP_OCTETS, RTCP_OCTETS) if stream.rtp else (0, 0)
            for end, other in ((stream.ingress, stream.egress), (stream.egress, stream.ingress)):
                pair, opposite = find(end), find(other)
                if pair.owner != self.put.ref:
                    continue
                if self.put.early:
                    watch.unset(pair.rtp)
                    watch.unset(pair.rtcp)
                else:
                    way = _Way(end, other, pair, opposite, is_cut=opposite.owner != self.put.ref)
                    self._directions.append(self._direction(way, least, watch))
        if was_early and not self.put.early:
            for direction in self._directions:
                direction.catch_up()

    def fold(self) -> None:
        for direction in self._directions:
            direction.fold()

    def counts(self) -> tuple[wire.StreamCount, ...]:
        self.fold()
        return tuple(
            wire.StreamCount(self._tally(stream.ingress).value(), self._tally(stream.egress).value())
            for stream in self.put.streams
        )

    def _direction(self, way: _Way, least: tuple[int, int], watch: Watch) -> Direction:
        rtp = way.inlet(least[0], is_rtcp=False)
        rtcp = way.inlet(least[1], self.put.ref.encode() if least[1] else None, is_rtcp=True)
        watch.set(way.pair.rtp, rtp)
        watch.set(way.pair.rtcp, rtcp)
        return Direction(self._tally(way.end), self._tally(way.other), rtp, rtcp)

    def _tally(self, end: wire.End) -> Tally:
        return self._tallies.setdefault((end.local, end.port), Tally())
