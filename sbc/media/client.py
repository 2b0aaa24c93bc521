"""What signalling remembers about its media workers, so that one may die and a fresh one carries on (sans-IO).

It keeps every open port, every running session as last put, and every deletion that is not yet confirmed. A worker
that is connected is told all of it again (`worker_started`), whether it is a fresh process or the same one: the verbs
of `wire` are idempotent, so saying too much is harmless. Digits to be played are said once: they wait for a worker
where none runs, and are lost with the worker that was playing them.
A session lives in one of the workers for as long as it lasts. One worker has all port pairs. Several are lent theirs
when a session needs them: a pair is taken from the worker that had it and given to the one that puts the session.
It does not know descriptors, processes or time; `runtime.media_pool` does.
"""

from collections.abc import Collection, Iterable
from typing import Final

import msgspec
from msgspec import Struct

from sbc.core.tables import Table, fullest
from sbc.media import wire
from sbc.media.counting import Counts, Key, ends_of
from sbc.media.hand_overs import HandOvers
from sbc.media.handshakes import with_keys
from sbc.media.link import Link

POLL_SECONDS: Final = 2.0

Asked = wire.PutSession | wire.DeleteSession | wire.Query | wire.PlayDigit


class Outgoing(Struct, frozen=True):
    """One message for a worker. The descriptors of `ports` on `local` (RTP, RTCP each, in this order) go with it."""

    data: bytes
    local: str = ""
    ports: tuple[int, ...] = ()
    worker: int = 0


class _Session:
    """One session as last put, the worker that it lives in, and its counts."""

    __slots__ = ("counts", "deleted", "pairs", "put", "relayed", "worker")

    def __init__(self, put: wire.PutSession, worker: int) -> None:
        self.put = put
        self.worker = worker
        self.deleted = False
        self.relayed = False  # a worker was told of these ends: what waits in their sockets is this session's
        self.counts = Counts()
        self.pairs: tuple[Key, ...] = ()
        self.replace(put)

    def replace(self, put: wire.PutSession) -> None:
        pairs = _pairs(put)
        self.relayed = self.relayed and pairs == self.pairs
        self.put, self.pairs = put, pairs
        self.relayed = self.relayed or put.adopted
        self.counts.expect(put.generation, ends_of(put))

    def said_again(self, *, has_its_ports: bool) -> list[wire.PutSession | wire.DeleteSession]:
        """A deleted session is put and deleted, so that its ports are silent afterwards. One of which another worker
        has taken a port is not put: it would be refused, and that leg goes on elsewhere.
        """
        again: list[wire.PutSession | wire.DeleteSession] = []
        if has_its_ports and (self.put.streams or not self.deleted):
            again.append(msgspec.structs.replace(self.put, resumed=self.relayed))
        if self.deleted:
            again.append(wire.DeleteSession(self.put.ref))
        self.relayed = True
        return again


class MediaClient:
    """The one voice of signalling towards its workers. Before `worker_started` everything is only remembered.

    `configure` is what each worker is told first, with its own number; `configure.workers` is how many there are.
    `is_settled`: False where sessions of an earlier life of signalling are still to be asked for
    (`PutSession.adopted`). Until `settled` no worker hears `Synced`, by which it forgets sources, counters and keys of
    sessions that it was not told of: one that has died meanwhile, and came back, has nothing but that.
    """

    def __init__(self, configure: wire.Configure | None = None, *, is_settled: bool = True) -> None:
        self._configure = configure or wire.Configure("sbc")
        self._links = [Link() for _ in range(self._configure.workers)]
        self._homes: dict[Key, int | None] = {}  # every open pair: the worker that has it
        self._users: dict[Key, str] = {}  # the session that put it last
        self._sessions: dict[str, _Session] = {}
        self._due: list[Outgoing] = []
        self._hand_overs = HandOvers()
        self._keys: dict[Key, wire.Dtls] = {}  # what came of the handshakes of ports that sessions use
        self._is_settled = is_settled

    # --- what signalling wants ------------------------------------------------------------------------------------

    def ask(self, request: Asked) -> list[Outgoing]:
        """Remember the request; the messages to send now, or none while no worker runs (it is said when one does).

        A ref names one session for ever: it is not put again after its deletion.
        """
        match request:
            case wire.PutSession():
                return self._put(request)
            case wire.DeleteSession(ref=ref):
                return self._delete(ref)
            case wire.Query(ref=""):
                return [self._outgoing(request, n) for n, link in enumerate(self._links) if link.may_say(request)]
            case wire.Query(ref=ref) | wire.PlayDigit(ref=ref):
                worker = self._find(ref) or 0
                return [self._outgoing(request, worker)] if self._links[worker].may_say(request) else []

    def change(
        self,
        engine: wire.EngineChoice,
        orphan_seconds: float,
        *,
        own: Collection[str] | None = None,
        media: Collection[str] | None = None,
        anew: bool = False,
    ) -> list[Outgoing]:
        """For the workers that run, where it is not so already, and for each that follows. `own`, `media`: None: as
        they are. `anew`: the marks of sockets have changed, which the kernel engine looks at when it is configured.
        """
        was = self._configure
        changed = msgspec.structs.replace(
            was,
            engine=engine,
            orphan_seconds=orphan_seconds,
            own=was.own if own is None else tuple(sorted(own)),
            media=was.media if media is None else tuple(sorted(media)),
        )
        if changed == was and not anew:
            return []
        self._configure = changed
        return [self._introduction(n) for n, link in enumerate(self._links) if link.is_running]

    def ports_opened(self, local: str, ports: Iterable[int]) -> list[Outgoing]:
        """More port pairs are open. A single worker gets them, and each that will follow it; several wait."""
        added = [(local, port) for port in ports]
        is_single = len(self._links) == 1
        self._homes.update(dict.fromkeys(added, 0 if is_single else None))
        return list(_add_ports(added, 0)) if is_single and self._links[0].is_running else []

    def ports_closed(self, local: str, ports: Iterable[int]) -> list[Outgoing]:
        """These pairs, which no session uses any more, are about to be closed."""
        gone: dict[int, list[Key]] = {}
        for key in [(local, port) for port in ports]:
            worker = self._homes.pop(key, None)
            if worker is not None:
                gone.setdefault(worker, []).append(key)
        messages: list[Outgoing] = []
        for worker, keys in gone.items():
            if self._links[worker].is_running:
                messages += _drop_ports(keys, worker)
            else:
                self._links[worker].left.update(keys)
        return messages

    def poll(self) -> list[Outgoing]:
        """Ask for the counters of all sessions, so that little is lost if a worker dies, and orphans are known."""
        everything = wire.Query()
        return [
            self._outgoing(everything, n)
            for n, link in enumerate(self._links)
            if link.is_running and (self._has_sessions(n) or link.is_in_use) and link.may_say(everything)
        ]

    # --- what becomes of the workers ------------------------------------------------------------------------------

    def worker_started(self, worker: int = 0, *, continues: bool = False) -> list[Outgoing]:
        """It said `Running`: all that it has to know, what running sessions wait for first.

        `continues`: as `Running` has it; else what it counts is added to what its predecessor had counted.
        """
        link = self._links[worker]
        link.started()
        sessions = [session for session in self._sessions.values() if session.worker == worker]
        used = {key: session.put for session in sessions for key in session.pairs}
        has = [key for key, home in self._homes.items() if home == worker]
        coming = [key for key in has if key in used and self._hand_overs.is_on_its_way(key, used[key])]
        messages = [
            self._introduction(worker),
            *_drop_ports(link.left, worker),
            *_add_ports((key for key in has if key in used and key not in coming), worker),
            *_add_ports(coming, worker, in_use=True),
            *(self._outgoing(told, worker) for key in coming if (told := self._hand_overs.again(key)) is not None),
        ]
        link.left.clear()
        again: list[wire.PutSession | wire.DeleteSession] = []
        for session in sessions:
            if not continues:
                session.counts.begin_again()
            again += session.said_again(has_its_ports=self._is_whole(session))
        # The heir of a leg before the end of the call that it comes from: else its keys are forgotten in between.
        again.sort(key=lambda request: isinstance(request, wire.DeleteSession))
        messages += [self._outgoing(request, worker) for request in again]
        messages += _add_ports((key for key in has if key not in used), worker)
        for request in (wire.Query(), *link.waiting()):
            link.may_say(request)
            messages.append(self._outgoing(request, worker))
        if self._is_settled:
            messages.append(self._outgoing(wire.Synced(), worker))
        return messages

    def settled(self) -> list[Outgoing]:
        """All sessions of an earlier life have been asked for; whatever else workers have is nobody's."""
        if self._is_settled:
            return []
        self._is_settled = True
        return [self._outgoing(wire.Synced(), n) for n, link in enumerate(self._links) if link.is_running]

    def _introduction(self, worker: int) -> Outgoing:
        return self._outgoing(msgspec.structs.replace(self._configure, number=worker), worker)

    def worker_lost(self, worker: int = 0) -> None:
        """The connection to it is gone, and most likely the worker too."""
        self._links[worker].lost()

    def received(self, data: bytes, worker: int = 0) -> list[wire.News]:
        """Read one message of a worker. A `Running` with our version comes back as it is; others become `Refused`."""
        try:
            reply = wire.decode_reply(data)
        except msgspec.DecodeError as error:
            return [wire.Refused("", f"the media worker sent what is no reply: {error}")]
        match reply:
            case wire.Running(version=version) if version != wire.VERSION:
                return [wire.Refused("", f"the media worker speaks version {version}, expected {wire.VERSION}")]
            case wire.EngineReady():
                self._links[worker].engine = reply
                return [reply]
            case wire.SessionEnded(ref=ref, streams=streams):
                return [self._ended(ref, streams, worker)]
            case wire.Report():
                return [self._report(reply, worker)]
            case wire.Handed():
                self._hand_on(reply)
                return []
            case wire.Keyed():
                self._learn_keys(reply)
                return [msgspec.structs.replace(reply, keys=None)]
            case _:
                return [reply]

    def due(self) -> list[Outgoing]:
        """What to send because of what was received."""
        due, self._due = self._due, []
        return due

    # --- what there is --------------------------------------------------------------------------------------------

    @property
    def sessions(self) -> int:
        """How many sessions workers are to relay now."""
        return sum(len(link.refs) for link in self._links)

    @property
    def ports(self) -> int:
        """How many port pairs are open."""
        return len(self._homes)

    @property
    def engines(self) -> tuple[wire.EngineReady | None, ...]:
        """What each worker said last of its engine; None: it does not run, or has not said yet."""
        return tuple(link.engine for link in self._links)

    @property
    def is_known(self) -> bool:
        """Every worker has said, once at least, what sessions it had: `busy_ports` is complete."""
        return all(link.is_known for link in self._links)

    def tables(self) -> tuple[Table, ...]:
        """Of each kind that of the worker where it is fullest."""
        return fullest(table for link in self._links for table in link.tables)

    def busy_ports(self) -> frozenset[Key]:
        """(local, RTP port) of pairs that sessions use which nobody here has put."""
        return frozenset(
            key for link in self._links for keys in link.orphans.values() for key in keys if key not in self._users
        )

    def sessions_of(self, worker: int) -> int:
        return len(self._links[worker].refs)

    # --- sessions -------------------------------------------------------------------------------------------------

    def _put(self, asked: wire.PutSession) -> list[Outgoing]:
        request = with_keys(asked, self._keys)
        session = self._sessions.pop(request.ref, None)
        if session is None or session.deleted:
            session = _Session(request, self._choose(request) if session is None else session.worker)
            self._links[session.worker].refs.add(request.ref)
        elif request.generation >= session.put.generation:
            self._let_go(session)
            session.replace(request)
        self._sessions[request.ref] = session  # at the end: the order of the latest words, should two want one port
        moving = {key for key in session.pairs if self._users.get(key, request.ref) != request.ref}
        self._users.update(dict.fromkeys(session.pairs, request.ref))
        self._forget_keys()
        messages = self._lend(session, moving)
        if self._links[session.worker].is_running:
            session.relayed = True
            messages.append(self._outgoing(request, session.worker))
        return messages

    def _delete(self, ref: str) -> list[Outgoing]:
        session = self._sessions.get(ref)
        if session is None:
            session = self._sessions[ref] = _Session(wire.PutSession(ref, -1, ()), self._find(ref) or 0)
        session.deleted = True
        link = self._links[session.worker]
        link.refs.discard(ref)
        return [self._outgoing(wire.DeleteSession(ref), session.worker)] if link.is_running else []

    def _ended(self, ref: str, streams: tuple[wire.StreamCount, ...], worker: int) -> wire.SessionEnded:
        self._links[worker].orphans.pop(ref, None)
        session = self._sessions.get(ref)
        if session is None or not session.deleted:
            return wire.SessionEnded(ref, streams)  # asked twice and answered twice, or an orphan's end
        del self._sessions[ref]
        self._let_go(session)
        self._forget_keys()
        return wire.SessionEnded(ref, session.counts.totals(session.put.generation, streams))

    def _learn_keys(self, keyed: wire.Keyed) -> None:
        """Keys of a handshake that is asked for still: the session is said again with them."""
        session = self._sessions.get(keyed.ref)
        if session is None or keyed.keys is None or keyed.stream not in range(len(session.put.streams)):
            return
        stream = session.put.streams[keyed.stream]
        end = stream.ingress if keyed.side == "ingress" else stream.egress
        if isinstance(end.secured, wire.Dtls) and end.secured.association == keyed.association:
            changes = {"rtcp_keys" if keyed.is_rtcp else "keys": keyed.keys}
            self._keys[end.local, end.port] = msgspec.structs.replace(end.secured, **changes)
            session.put = with_keys(session.put, self._keys)

    def _hand_on(self, handed: wire.Handed) -> None:
        """To the worker that has the pair now; where none runs, the next one is told when it does."""
        home, told = self._homes.get((handed.local, handed.port)), self._hand_overs.told(handed)
        if told is not None and home is not None and self._links[home].is_running:
            self._due.append(self._outgoing(told, home))

    def _forget_keys(self) -> None:
        """Of ports that nobody uses."""
        self._hand_overs.forget(self._users)
        for key in [key for key in self._keys if key not in self._users]:
            del self._keys[key]

    def _report(self, report: wire.Report, worker: int) -> wire.Report:
        strangers = {count.ref: count.ports for count in report.sessions if count.ref not in self._sessions}
        self._links[worker].reported(strangers, last=report.last, tables=report.tables)
        return wire.Report(tuple(map(self._counted, report.sessions)), report.last)

    def _counted(self, count: wire.SessionCount) -> wire.SessionCount:
        session = self._sessions.get(count.ref)
        if session is None:
            return count
        streams = session.counts.totals(count.generation, count.streams)
        return wire.SessionCount(count.ref, count.generation, streams, count.ports)

    # --- which worker, and its ports ------------------------------------------------------------------------------

    def _choose(self, put: wire.PutSession) -> int:
        """The worker that has it already. Else where sessions use most of its ports, because it takes their legs over;
        else where the fewest sessions are.
        """
        if len(self._links) == 1:
            return 0
        found = self._find(put.ref)
        if found is not None:
            return found
        votes = [0] * len(self._links)
        for pair in _pairs(put):
            user = self._sessions.get(self._users.get(pair, ""))
            if user is not None:
                votes[user.worker] += 1
        return min(
            range(len(votes)),
            key=lambda n: (-votes[n], not self._links[n].is_running, len(self._links[n].refs)),
        )

    def _find(self, ref: str) -> int | None:
        """The worker that has this session, put by us or by an earlier signalling."""
        session = self._sessions.get(ref)
        if session is not None:
            return session.worker
        return next((n for n, link in enumerate(self._links) if ref in link.orphans), None)

    def _lend(self, session: _Session, moving: set[Key]) -> list[Outgoing]:
        """Give its worker the ports that it lacks, and let those that had them forget them. `moving`: with a leg."""
        worker = session.worker
        lacking = [key for key in session.pairs if self._homes.get(key, worker) != worker]
        if not lacking:
            return []
        messages: list[Outgoing] = []
        for n, link in enumerate(self._links):
            taken = [key for key in lacking if self._homes[key] == n]
            if link.is_running:
                messages += _drop_ports(taken, n)
            else:
                link.left.update(taken)
        self._homes.update(dict.fromkeys(lacking, worker))
        for key in moving.intersection(lacking):
            self._hand_overs.goes(key, session.put)
        link = self._links[worker]
        link.left.difference_update(lacking)
        if link.is_running:
            messages += _add_ports((key for key in lacking if key not in moving), worker)
            messages += _add_ports((key for key in lacking if key in moving), worker, in_use=True)
        return messages

    def _let_go(self, session: _Session) -> None:
        """Its ports have no user for now; those that another session has put later are left alone."""
        for key in session.pairs:
            if self._users.get(key) == session.put.ref:
                del self._users[key]

    def _is_whole(self, session: _Session) -> bool:
        return all(self._homes.get(key, session.worker) == session.worker for key in session.pairs)

    def _has_sessions(self, worker: int) -> bool:
        return bool(self._links[worker].refs) or any(one.worker == worker for one in self._sessions.values())

    def _outgoing(self, request: wire.Request, worker: int) -> Outgoing:
        return Outgoing(wire.encode(request), worker=worker)


def _pairs(put: wire.PutSession) -> tuple[Key, ...]:
    return tuple(pair for ends in ends_of(put) for pair in ends)


def _add_ports(keys: Iterable[Key], worker: int, *, in_use: bool = False) -> Iterable[Outgoing]:
    for local, some in _by_message(keys):
        yield Outgoing(wire.encode(wire.AddPorts(local, some, in_use)), local, some, worker)


def _drop_ports(keys: Iterable[Key], worker: int) -> Iterable[Outgoing]:
    for local, some in _by_message(keys):
        yield Outgoing(wire.encode(wire.DropPorts(local, some)), worker=worker)


def _by_message(keys: Iterable[Key]) -> Iterable[tuple[str, tuple[int, ...]]]:
    """By local address, and no more at once than the kernel passes descriptors for."""
    ports: dict[str, list[int]] = {}
    for local, port in keys:
        ports.setdefault(local, []).append(port)
    for local, all_of_it in ports.items():
        for at in range(0, len(all_of_it), wire.PORT_PAIRS_PER_MESSAGE):
            yield local, tuple(all_of_it[at : at + wire.PORT_PAIRS_PER_MESSAGE])
