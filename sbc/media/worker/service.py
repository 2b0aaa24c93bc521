"""What the worker does with each request of `media.wire` (sans-IO): the sessions, their ports, the replies.

A request either is carried out whole or is `Refused` and changes nothing. Whoever calls gives the sockets that came
with `AddPorts`, a `Watch` that the sessions tell which socket to listen to, and the clock; it asks the `agenda` when
its time has come, and sends the `news` that packets have made. It does not read packets.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import msgspec

from sbc.core.limits import PORT_QUARANTINE_MINIMUM_SECONDS
from sbc.media import wire
from sbc.media.worker.agenda import Agenda
from sbc.media.worker.latch import canonical
from sbc.media.worker.ports import Pair, Ports, Udp
from sbc.media.worker.session import Session, Surroundings, Watch
from sbc.media.worker.voice import Clock

STREAMS_PER_REPORT: Final = 128  # 49 KiB when every counter is at its largest; CONTROL_MESSAGE_OCTETS holds
# A pair that was let go rests longer than this before another call gets it: sooner, it is the same leg in another call.
_MOVED_SECONDS: Final = PORT_QUARANTINE_MINIMUM_SECONDS / 2
_RATES: Final = range(1000, 192_001)  # Hz


class Service:
    __slots__ = ("_clock", "_ports", "_sessions", "_surroundings", "_watch", "agenda", "news")

    def __init__(self, watch: Watch, clock: Clock) -> None:
        self.agenda = Agenda()
        self.news: list[wire.Reply] = []  # for signalling, unasked
        self._watch = watch
        self._clock = clock
        self._surroundings = Surroundings(self._pair, watch, self.agenda, clock, self.news.append)
        self._ports = Ports()
        self._sessions: dict[str, Session] = {}

    def receive(self, data: bytes, sockets: Sequence[Udp] = ()) -> list[wire.Reply]:
        """One message of signalling, and the sockets that came with it."""
        try:
            request = wire.decode_request(data)
        except msgspec.DecodeError as error:
            return [wire.Refused("", f"no request: {error}")]
        match request:
            case wire.AddPorts(local=local, ports=ports):
                return self._add(local, ports, sockets)
            case wire.PutSession():
                return self._put(request)
            case wire.DeleteSession(ref=ref):
                return [wire.SessionEnded(ref, self._delete(ref))]
            case wire.PlayDigit():
                return self._play(request)
            case wire.Query(ref=""):
                return list(_reports(self._sessions.values()))
            case wire.Query(ref=ref):
                session = self._sessions.get(ref)
                return list(_reports([session] if session else []))

    def _add(self, local: str, ports: tuple[int, ...], sockets: Sequence[Udp]) -> list[wire.Reply]:
        if len(sockets) != 2 * len(ports):
            return [wire.Refused("", f"{len(ports)} port pairs on {local} came with {len(sockets)} descriptors")]
        self._ports.add(local, ports, sockets)
        return []

    def _put(self, put: wire.PutSession) -> list[wire.Reply]:
        session = self._sessions.get(put.ref)
        if session is not None and put.generation < session.put.generation:
            return []
        ends = _ends(put)
        problem = self._problem(put, ends)
        if problem:
            return [wire.Refused(put.ref, problem)]
        pairs = [self._pair(end) for end in ends]
        if session is None:
            session = self._sessions[put.ref] = Session(put)
        before, session.put = session.put, put
        robbed = {pair.owner for pair in pairs} - {put.ref, ""}
        moved = self._own(put, pairs)
        for ref in robbed:
            self._sessions[ref].rewire(self._surroundings)
        session.rewire(self._surroundings, moved)
        self._release(put.ref, [pair for pair in map(self._pair, _ends(before)) if pair not in pairs])
        return []

    def _own(self, put: wire.PutSession, pairs: Iterable[Pair]) -> list[Pair]:
        """All pairs are this session's now; returns those that come with a leg of another session."""
        now = self._clock()
        moved: list[Pair] = []
        for pair in pairs:
            if pair.owner == put.ref:
                continue
            if not put.resumed and (pair.owner or now - pair.closed_at < _MOVED_SECONDS):
                moved.append(pair)
            if not pair.owner:
                pair.open(drained=pair not in moved and not put.resumed)
            pair.owner = put.ref
        return moved

    def _delete(self, ref: str) -> tuple[wire.StreamCount, ...]:
        session = self._sessions.pop(ref, None)
        if session is None:
            return ()
        self._release(ref, [self._pair(end) for end in _ends(session.put)])
        session.close()
        return session.counts()

    def _play(self, play: wire.PlayDigit) -> list[wire.Reply]:
        session = self._sessions.get(play.ref)
        code = wire.DIGITS.find(play.digit) if len(play.digit) == 1 else -1
        if code < 0:
            return [wire.Refused(play.ref, "no such digit")]
        if session is None:
            return []
        if not 0 <= play.stream < len(session.put.streams):
            return [wire.Refused(play.ref, f"no such stream: {play.stream}")]
        session.play(play, code)
        return []

    def _release(self, ref: str, pairs: Iterable[Pair]) -> None:
        """Nobody's from now on; a pair that another session has taken is left alone."""
        for pair in pairs:
            if pair.owner == ref:
                pair.owner = ""
                self._watch.unset(pair.rtp)
                self._watch.unset(pair.rtcp)
                pair.close(self._clock())

    def _problem(self, put: wire.PutSession, ends: Sequence[wire.End]) -> str:
        """What is wrong with these streams, or nothing."""
        if not put.ref:
            return "a session needs a name"
        for stream in put.streams:
            if not _is_playable(stream):
                return f"no payload type, or no rate, can be so: {stream.events} {stream.event_rates}"
        seen = set()
        for end in ends:
            key = (end.local, end.port)
            if key not in self._ports:
                return f"no such media port: {end.local} {end.port}"
            if key in seen:
                return f"a media port is named twice: {end.local} {end.port}"
            seen.add(key)
            if end.remote is not None and not _is_usable(end.remote, end.local):
                return (
                    f"no remote address for {end.local}: {end.remote.host!r} {end.remote.port} {end.remote.rtcp_port}"
                )
        return ""

    def _pair(self, end: wire.End) -> Pair:
        return self._ports.pair(end.local, end.port)


def _ends(put: wire.PutSession) -> list[wire.End]:
    return [end for stream in put.streams for end in (stream.ingress, stream.egress)]


def _is_playable(stream: wire.Stream) -> bool:
    """Payload types have seven bits (RFC 3550 §5.1), and each is rewritten to one."""
    types = [number for pair in (*stream.ingress_to_egress, *stream.egress_to_ingress) for number in pair]
    types += [number for number in stream.events or () if number != wire.NO_EVENTS]
    return all(0 <= number < 128 for number in types) and all(rate in _RATES for rate in stream.event_rates)


def _is_usable(remote: wire.Remote, local: str) -> bool:
    """An IP literal of our socket's family, and ports that exist."""
    if (":" in remote.host) != (":" in local):
        return False
    try:
        canonical(remote.host)
    except (OSError, ValueError):
        return False
    return 0 < remote.port < 65_536 and 0 <= remote.rtcp_port < 65_536


def _reports(sessions: Iterable[Session]) -> Iterator[wire.Report]:
    """Every session in reports of bounded size; at least one report, and only the final one is `last`."""
    part: list[wire.SessionCount] = []
    streams = 0
    for session in sessions:
        put = session.put
        if part and streams + len(put.streams) > STREAMS_PER_REPORT:
            yield wire.Report(tuple(part), last=False)
            part, streams = [], 0
        part.append(wire.SessionCount(put.ref, put.generation, session.counts()))
        streams += max(len(put.streams), 1)
    yield wire.Report(tuple(part), last=True)
