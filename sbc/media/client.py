"""What signalling remembers about the media worker, so that a worker may die and a fresh one carries on (sans-IO).

It keeps every open port, every running session as last put, and every deletion that is not yet confirmed. A fresh
worker is told all of it again (`worker_started`); the verbs of `wire` are idempotent, so saying too much is harmless.
Counters continue over a death: the last counts seen become a base that is added to what the fresh worker reports, so
totals never go backwards. Lost are only the packets counted since the last report: `POLL_SECONDS` worth of them at
most, when the runtime polls that often. Digits to be played are said once: they wait for a worker where none runs, and
are lost with the worker that was playing them. It does not know descriptors, processes or time; `runtime.media_pool`
does.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from sbc.core.limits import DIGITS_UNSAID
from sbc.media import wire

POLL_SECONDS: Final = 2.0
_GENERATIONS_REMEMBERED: Final = 8  # generations whose report may still be on its way

Asked = wire.PutSession | wire.DeleteSession | wire.Query | wire.PlayDigit
_Key = tuple[str, int]  # an end, by our address and RTP port
_NOTHING: Final = wire.EndCount()


class Outgoing(Struct, frozen=True):
    """One message for the worker. The descriptors of `ports` on `local` (RTP, RTCP each, in this order) go with it."""

    data: bytes
    local: str = ""
    ports: tuple[int, ...] = ()


class _Session:
    """One session as last put, and its counts: `base` from workers that are gone, `last` from the one that runs."""

    __slots__ = ("base", "deleted", "ends", "last", "put", "relayed")

    def __init__(self, put: wire.PutSession) -> None:
        self.put = put
        self.deleted = False
        self.relayed = False  # a worker was told of these ends: what waits in their sockets is this session's
        self.ends: dict[int, tuple[tuple[_Key, _Key], ...]] = {put.generation: _ends(put)}
        self.base: dict[_Key, wire.EndCount] = {}
        self.last: dict[_Key, wire.EndCount] = {}

    def replace(self, put: wire.PutSession) -> None:
        self.relayed = self.relayed and _ends(put) == _ends(self.put)
        self.put = put
        self.ends[put.generation] = _ends(put)
        while len(self.ends) > _GENERATIONS_REMEMBERED:
            del self.ends[next(iter(self.ends))]

    def said_again(self) -> list[wire.PutSession | wire.DeleteSession]:
        """For a fresh worker. A deleted session is put and deleted, so that its ports are silent afterwards."""
        again: list[wire.PutSession | wire.DeleteSession] = []
        if self.put.streams or not self.deleted:
            again.append(msgspec.structs.replace(self.put, resumed=self.relayed))
        if self.deleted:
            again.append(wire.DeleteSession(self.put.ref))
        self.relayed = True
        return again

    def worker_lost(self) -> None:
        for key, count in self.last.items():
            self.base[key] = _sum(self.base.get(key, _NOTHING), count)
        self.last = {}

    def totals(self, generation: int, streams: tuple[wire.StreamCount, ...]) -> tuple[wire.StreamCount, ...]:
        """What the worker counted, with what its predecessors counted added."""
        ends = self.ends.get(generation)
        if ends is None:
            return streams
        for (ingress, egress), count in zip(ends, streams, strict=False):
            self.last[ingress] = count.ingress
            self.last[egress] = count.egress
        return tuple(wire.StreamCount(self._total(ingress), self._total(egress)) for ingress, egress in ends)

    def _total(self, key: _Key) -> wire.EndCount:
        return _sum(self.base.get(key, _NOTHING), self.last.get(key, _NOTHING))


class MediaClient:
    """The one voice of signalling towards a worker. Before `worker_started` everything is only remembered."""

    def __init__(self) -> None:
        self._running = False
        self._ports: dict[str, list[int]] = {}
        self._sessions: dict[str, _Session] = {}
        self._queries: dict[str, None] = {}
        self._digits: deque[wire.PlayDigit] = deque(maxlen=DIGITS_UNSAID)

    def ask(self, request: Asked) -> list[Outgoing]:
        """Remember the request; the message to send now, or none while no worker runs (it is said when one does).

        A ref names one session for ever: it is not put again after its deletion.
        """
        match request:
            case wire.PutSession():
                self._put(request)
            case wire.DeleteSession(ref=ref):
                session = self._sessions.setdefault(ref, _Session(wire.PutSession(ref, -1, ())))
                session.deleted = True
            case wire.Query(ref=ref) if not self._running:
                self._queries[ref] = None
            case wire.PlayDigit() if not self._running:
                self._digits.append(request)
            case wire.Query() | wire.PlayDigit():
                pass
        return [Outgoing(wire.encode(request))] if self._running else []

    def ports_opened(self, local: str, ports: Iterable[int]) -> list[Outgoing]:
        """More port pairs are open: hand them to the worker, and to each that will follow it."""
        added = list(ports)
        self._ports.setdefault(local, []).extend(added)
        return list(_add_ports(local, added)) if self._running else []

    def worker_started(self) -> list[Outgoing]:
        """A fresh worker said `Running`: all that it has to know, what running sessions wait for first."""
        self._running = True
        used = {key for session in self._sessions.values() for ends in _ends(session.put) for key in ends}
        messages: list[Outgoing] = []
        for local, ports in self._ports.items():
            messages += _add_ports(local, [port for port in ports if (local, port) in used])
        for session in self._sessions.values():
            messages += [Outgoing(wire.encode(request)) for request in session.said_again()]
        for local, ports in self._ports.items():
            messages += _add_ports(local, [port for port in ports if (local, port) not in used])
        messages += [Outgoing(wire.encode(wire.Query(ref))) for ref in self._queries]
        messages += [Outgoing(wire.encode(digit)) for digit in self._digits]
        self._queries.clear()
        self._digits.clear()
        return messages

    def worker_lost(self) -> None:
        """The worker is gone: what it counted becomes the base of what the next one counts."""
        self._running = False
        for session in self._sessions.values():
            session.worker_lost()

    def poll(self) -> list[Outgoing]:
        """Ask for the counters of all sessions, so that little is lost if the worker dies."""
        if not self._running or not self._sessions:
            return []
        return [Outgoing(wire.encode(wire.Query()))]

    def received(self, data: bytes) -> list[wire.Reply]:
        """Read one message of the worker. A `Running` with our version comes back as it is; others become `Refused`."""
        try:
            reply = wire.decode_reply(data)
        except msgspec.DecodeError as error:
            return [wire.Refused("", f"the media worker sent what is no reply: {error}")]
        match reply:
            case wire.Running(version=version) if version != wire.VERSION:
                return [wire.Refused("", f"the media worker speaks version {version}, expected {wire.VERSION}")]
            case wire.SessionEnded(ref=ref, streams=streams):
                return self._ended(ref, streams)
            case wire.Report(sessions=sessions, last=last):
                return [wire.Report(tuple(self._counted(session) for session in sessions), last)]
            case _:
                return [reply]

    @property
    def sessions(self) -> int:
        """How many sessions a worker is to relay now."""
        return sum(not session.deleted for session in self._sessions.values())

    @property
    def ports(self) -> int:
        """How many port pairs are open."""
        return sum(len(ports) for ports in self._ports.values())

    def _put(self, request: wire.PutSession) -> None:
        session = self._sessions.pop(request.ref, None)
        if session is None or session.deleted:
            session = _Session(request)
        elif request.generation >= session.put.generation:
            session.replace(request)
        session.relayed = session.relayed or self._running
        self._sessions[request.ref] = session  # at the end: the order of the latest words, should two want one port

    def _ended(self, ref: str, streams: tuple[wire.StreamCount, ...]) -> list[wire.Reply]:
        session = self._sessions.get(ref)
        if session is None or not session.deleted:
            return [wire.SessionEnded(ref, streams)]  # asked twice: answered twice
        del self._sessions[ref]
        return [wire.SessionEnded(ref, session.totals(session.put.generation, streams))]

    def _counted(self, count: wire.SessionCount) -> wire.SessionCount:
        session = self._sessions.get(count.ref)
        if session is None:
            return count
        return wire.SessionCount(count.ref, count.generation, session.totals(count.generation, count.streams))


def _add_ports(local: str, ports: list[int]) -> Iterable[Outgoing]:
    for at in range(0, len(ports), wire.PORT_PAIRS_PER_MESSAGE):
        some = tuple(ports[at : at + wire.PORT_PAIRS_PER_MESSAGE])
        yield Outgoing(wire.encode(wire.AddPorts(local, some)), local, some)


def _ends(put: wire.PutSession) -> tuple[tuple[_Key, _Key], ...]:
    return tuple(
        ((stream.ingress.local, stream.ingress.port), (stream.egress.local, stream.egress.port))
        for stream in put.streams
    )


def _sum(one: wire.EndCount, other: wire.EndCount) -> wire.EndCount:
    if other is _NOTHING:
        return one
    return wire.EndCount(
        one.received + other.received,
        one.received_octets + other.received_octets,
        one.sent + other.sent,
        one.sent_octets + other.sent_octets,
        one.rtcp_received + other.rtcp_received,
        one.rtcp_sent + other.rtcp_sent,
        one.dropped + other.dropped,
        one.digits_received + other.digits_received,
        one.digits_sent + other.digits_sent,
    )
