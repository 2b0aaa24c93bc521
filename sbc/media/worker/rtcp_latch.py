"""Which source may send RTCP to one of our ports, and where RTCP goes: beside RTP, and never before it.

`RtcpLatch` is for a port of its own, `MuxLatch` for RTCP on the port of RTP (RFC 5761). Neither moves RTP. An end
has one of them; `carry` asks it.
"""

from collections.abc import Collection

from sbc.media.wire import End
from sbc.media.worker.inlet import RTCP_OCTETS
from sbc.media.worker.latch import (
    FOREIGN,
    LOCKED,
    NOWHERE,
    OURS,
    Kept,
    Latch,
    Source,
    Target,
    canonical,
    is_news,
    origin,
)


class RtcpLatch:
    """The RTCP source of one end that does not multiplex. `source`: the one that was heard last."""

    __slots__ = ("_end", "_of", "_own", "_rtp", "foreign", "source", "stranger")

    def __init__(self, rtp: Latch) -> None:
        self._rtp = rtp
        self._end: End | None = None
        self._own: Collection[str] = ()
        self._of: Target = NOWHERE  # the RTP source at which `source` was learned
        self.source: Source | None = None
        self.foreign = 0
        self.stranger: Source | None = None

    def put(self, end: End, own: Collection[str]) -> None:
        if self._end is None or is_news(self._end, end):
            self.source = None
        self._end, self._own = end, own

    def moved(self) -> None:
        """RTP's source is another."""
        if self._end is not None and self._end.latching == "nat" and self._of != self._rtp.locked:
            self.source = None

    def may_hear(self, source: Source) -> bool:
        return self._end is not None and (source == self.source or self._is_ours(self._end, source))

    def may_learn(self, source: Source, _now: float) -> bool:
        return self.may_hear(source)

    def hears(self, packet: bytearray, size: int, source: Source, _now_ns: int) -> int:
        """With strict from the SDP's RTCP port, with address from its address, with nat from RTP's host, any port.

        With nat the first port that was heard there stays, because that is where RTCP is sent.
        """
        end = self._end
        if source == self.source:
            return OURS
        if end is None or not self._is_ours(end, source):
            return FOREIGN
        if size < RTCP_OCTETS or packet[0] >> 6 != 2:  # ours, but nothing is learned from it
            return OURS
        self.source, self._of = source, self._rtp.locked
        return LOCKED if end.latching == "nat" else OURS

    def take_kept(self) -> list[Kept]:
        return []

    def _is_ours(self, end: End, source: Source) -> bool:
        host, port = origin(source)
        if end.remote is None or host in self._own:
            return False
        if end.latching == "nat":
            return self.source is None and host == self._rtp.locked[0]
        return host == canonical(end.remote.host) and (end.latching == "address" or port == end.remote.rtcp_port)

    def target(self) -> Target | None:
        """Where RTCP for this end goes. With nat "else RTP's port + 1" is RFC 3550 §11's rule for what was not said."""
        end = self._end
        if end is None or end.remote is None or not end.remote.rtcp_port:
            return None
        if end.latching == "nat" and self._rtp.source is not None:
            if self.source is not None:
                return (self.source[0], self.source[1])
            host, port = self._rtp.source[:2]
            return (host, port + 1) if port < 0xFFFF else None
        return None if canonical(end.remote.host) in self._own else (end.remote.host, end.remote.rtcp_port)


class MuxLatch:
    """The RTCP source of one end that multiplexes: `Latch` knows it."""

    __slots__ = ("_rtp", "foreign", "stranger")

    def __init__(self, rtp: Latch) -> None:
        self._rtp = rtp
        self.foreign = 0
        self.stranger: Source | None = None

    def may_hear(self, source: Source) -> bool:
        return self._rtp.hears_rtcp(source)

    def may_learn(self, source: Source, _now: float) -> bool:
        return self._rtp.hears_rtcp(source)

    def hears(self, _packet: bytearray, _size: int, source: Source, _now_ns: int) -> int:
        return OURS if self._rtp.hears_rtcp(source) else FOREIGN

    def take_kept(self) -> list[Kept]:
        return []
