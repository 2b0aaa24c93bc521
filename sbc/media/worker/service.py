"""What the worker does with each request of `media.wire` (sans-IO): the sessions, their ports, the replies.

A request either is carried out whole or is `Refused` and changes nothing. Whoever calls gives the sockets that came
with `AddPorts`, a `Watch` that the sessions tell which socket to listen to, and the clock; it says when signalling has
come and gone, asks the `agenda` when its time has come, and sends the `news` that packets and time have made. It does
not read packets. Sessions outlive signalling: what is not put again before `Synced` has no owner, and ends by `sweep`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

import msgspec

from sbc.core.limits import HANDED_SECONDS, PORT_QUARANTINE_MINIMUM_SECONDS
from sbc.core.tables import Table
from sbc.media import wire
from sbc.media.worker.agenda import Agenda
from sbc.media.worker.engine_choice import EngineChoice, OpenEngine
from sbc.media.worker.fullness import tables
from sbc.media.worker.inlet import Clock
from sbc.media.worker.peak import Peak
from sbc.media.worker.ports import Key, Pair, Ports, Udp, dscp
from sbc.media.worker.refusals import STREAMS_AT_MOST, is_host_of, problem
from sbc.media.worker.resting import Rest
from sbc.media.worker.session import Session
from sbc.media.worker.slots import Memory, owner_of
from sbc.media.worker.surroundings import Connector, Surroundings, Watch
from sbc.media.worker.sweep import Life, Sweep

STREAMS_PER_REPORT: Final = STREAMS_AT_MOST  # 57 KiB when everything is at its largest; CONTROL_MESSAGE_OCTETS holds
# A pair that was let go rests longer than this before another call gets it: sooner, it is the same leg in another call.
_MOVED_SECONDS: Final = PORT_QUARANTINE_MINIMUM_SECONDS / 2


class Service:
    """`memory`: of the slots, None: a private one. `open_engine`: see `engine_choice`; None: there is none to open.

    A service is born connected.
    """

    __slots__ = (
        "_added",
        "_around",
        "_choice",
        "_clock",
        "_is_connected",
        "_is_synced",
        "_lives",
        "_media",
        "_ports",
        "_put_here",
        "_sweep",
        "_unread",
        "_watch",
        "agenda",
        "news",
    )

    def __init__(
        self,
        watch: Watch,
        clock: Clock,
        memory: Memory | None = None,
        open_engine: OpenEngine | None = None,
        connector: Connector | None = None,
    ) -> None:
        self.agenda = Agenda()
        self.news: list[wire.Reply] = []  # for signalling, unasked; whoever sends them clears the list
        self._watch = watch
        self._clock = clock
        self._around = Surroundings(
            self._pair, watch, self.agenda, clock, self._say, dscp=dscp, connector=connector, memory=memory
        )
        self._choice = EngineChoice(self._around, memory, open_engine)
        self._ports = Ports(None if connector is None else connector.disconnect)
        self._lives: dict[str, Life] = {}
        self._sweep = Sweep(self._around, self._lives, self._give_up, clock())
        self._media: frozenset[str] = frozenset()
        self._is_connected = True
        self._is_synced = False
        self._unread = Peak()
        self._put_here: set[str] = set()  # on this connection
        self._added: set[Key] = set()

    # --- connections --------------------------------------------------------------------------------------------------

    def connected(self) -> None:
        """Signalling is there, perhaps another than before: it says everything again, and `Synced` then."""
        self.news.clear()
        self._is_connected, self._is_synced = True, False
        self._unread = Peak()
        self._put_here.clear()
        self._added.clear()

    def disconnected(self, now: float) -> None:
        """Nobody owns anything. All goes on until its time is over, or somebody comes."""
        self.news.clear()
        self._is_connected = False
        for life in self._lives.values():
            if life.ownerless_since is None:
                life.ownerless_since = now

    def turn_engine(self) -> None:
        """Something is to be read at the engine's descriptor."""
        ready = self._choice.turn()
        if ready is not None:
            self._say(ready)

    def unread(self, replies: int) -> None:
        """So many have been sent that signalling has not read yet."""
        self._unread.note(replies)

    def _say(self, reply: wire.Reply) -> None:
        if self._is_connected:
            self.news.append(reply)

    # --- requests -----------------------------------------------------------------------------------------------------

    def receive(self, data: bytes, sockets: Sequence[Udp] = ()) -> list[wire.Reply] | Iterator[wire.Reply]:
        """One message of signalling, and the sockets that came with it.

        Reports on all sessions are made when they are asked for: none should keep packets waiting.
        """
        try:
            request = wire.decode_request(data)
        except msgspec.DecodeError as error:
            return [wire.Refused("", f"no request: {error}")]
        match request:
            case wire.Configure():
                return [self._configure(request)]
            case wire.AddPorts():
                return self._add(request, sockets)
            case wire.DropPorts(local=local, ports=ports):
                return self._drop([(local, port) for port in ports])
            case wire.TakeOver():
                self._take_over(request)
                return []
            case wire.PutSession():
                return self._put(request)
            case wire.DeleteSession(ref=ref):
                return [wire.SessionEnded(ref, self._delete(ref))]
            case wire.Synced():
                self._clear_away()
                return []
            case wire.PlayDigit():
                return self._play(request)
            case wire.Query(ref=""):
                refs = list(self._lives)
                sessions = (life.session for ref in refs if (life := self._lives.get(ref)) is not None)
                return _reports(sessions, self._tables)
            case wire.Query(ref=ref):
                life = self._lives.get(ref)
                return list(_reports([life.session] if life else []))

    def _tables(self) -> tuple[Table, ...]:
        return tables(self._around, self._unread.tell())

    def _configure(self, configure: wire.Configure) -> wire.EngineReady:
        self._sweep.orphan_seconds = configure.orphan_seconds
        self._media = frozenset(configure.media)
        self._around.dtls = configure.dtls
        sessions = [life.session for life in self._lives.values()]
        ready = self._choice.configure(configure, sessions, is_greeting=not self._is_synced)
        if self._is_synced:
            self._attach()
        return ready

    def _add(self, add: wire.AddPorts, sockets: Sequence[Udp]) -> list[wire.Reply]:
        local, ports = add.local, add.ports
        if len(sockets) != 2 * len(ports):
            return [wire.Refused("", f"{len(ports)} port pairs on {local} came with {len(sockets)} descriptors")]
        self._ports.add(local, ports, sockets)
        self._added.update((local, port) for port in ports)
        if add.in_use:
            for port in ports:
                self._await(self._ports.pair(local, port))
        if self._is_synced:
            self._choice.attach({local}, is_all=False)
        return []

    def _await(self, pair: Pair) -> None:
        """It comes with a leg, and perhaps with keys, of which the other worker tells in a moment."""
        now = self._clock()
        pair.closed_at = now
        pair.is_awaited = True
        self.agenda.book(now + HANDED_SECONDS, Awaited(pair, self._go_on))

    def _take_over(self, told: wire.TakeOver) -> None:
        pair = self._ports.pair(told.local, told.port)
        if pair.is_awaited:
            if told.states:
                self._around.keyring().take_over(told.states)
            self._go_on(pair)

    def _go_on(self, pair: Pair) -> None:
        """With the keys of its end, as far as they are known."""
        pair.is_awaited = False
        life = self._lives.get(pair.owner)
        if life is not None:
            life.session.secure(pair.key)
            pair.is_lost = False  # a key that is not in use yet was never used

    def _drop(self, keys: Iterable[Key]) -> list[wire.Reply]:
        """Forget pairs; a session that still names one is cut off there."""
        pairs = [pair for key in keys if (pair := self._ports.drop(*key))]
        owners = {pair.owner for pair in pairs} - {""}
        handed = [
            (pair.key, self._lives[pair.owner].session.key_states(pair.key, self._around))
            for pair in pairs
            if pair.owner and not pair.is_awaited  # whoever had it before has not told yet, and nobody used its keys
        ]
        for pair in pairs:
            pair.owner, pair.is_leaving = "", True
            self._added.discard(pair.key)
            self._around.latches.pop(pair.key, None)
            self._around.forget_associations(pair.key)
            self._watch.unset(pair.rtp)
            self._watch.unset(pair.rtcp)
        for ref in owners:
            self._lives[ref].session.rewire(self._around)
        for pair in pairs:
            pair.let_go()
        return [wire.Handed(*key, states) for key, states in handed]

    def _put(self, put: wire.PutSession) -> list[wire.Reply]:
        life = self._lives.get(put.ref)
        if life is not None and put.generation < life.session.put.generation:
            return []
        if put.adopted:
            if life is not None and _is_the_same(put, life.session.put):
                return self._own_up(life, put)
            put = msgspec.structs.replace(put, resumed=True)
        ends = _ends(put)
        wrong = problem(put, ends, self._ports, self._around.dtls_problem)
        if wrong:
            return [wire.Refused(put.ref, wrong)]
        if self._around.slots is None:
            self._choice.count_privately()
        pairs = [self._pair(end) for end in ends]
        if life is None:
            life = self._lives[put.ref] = Life(Session(put))
        session = life.session
        before, session.put = session.put, put
        robbed = {pair.owner for pair in pairs} - {put.ref, ""}
        moved = self._own(put, pairs)
        for ref in robbed:
            self._lives[ref].session.rewire(self._around)
        session.rewire(self._around, moved)
        self._release(session, [pair for pair in map(self._pair, _ends(before)) if pair not in pairs])
        life.begin(self._clock())
        self._put_here.add(put.ref)
        return []

    def _own_up(self, life: Life, put: wire.PutSession) -> list[wire.Reply]:
        """Signalling that was started again knows a session that has gone on: nothing of it changes."""
        life.ownerless_since = None
        life.is_told = False
        self._put_here.add(put.ref)
        return [*life.session.known_keys()]

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
        life = self._lives.pop(ref, None)
        if life is None:
            return ()
        session = life.session
        session.close()
        self._release(session, map(self._pair, _ends(session.put)))
        self._put_here.discard(ref)
        return session.counts()

    def _give_up(self, ref: str) -> None:
        """Of a session that nobody owns."""
        self._say(wire.SessionEnded(ref, self._delete(ref)))

    def _play(self, play: wire.PlayDigit) -> list[wire.Reply]:
        life = self._lives.get(play.ref)
        code = wire.DIGITS.find(play.digit) if len(play.digit) == 1 else -1
        if code < 0:
            return [wire.Refused(play.ref, "no such digit")]
        if life is None:
            return []
        if not 0 <= play.stream < len(life.session.put.streams):
            return [wire.Refused(play.ref, f"no such stream: {play.stream}")]
        life.session.play(play, code)
        return []

    # --- pairs --------------------------------------------------------------------------------------------------------

    def _release(self, session: Session, pairs: Iterable[Pair]) -> None:
        """Nobody's from now on; a pair that another session has taken is let be."""
        now = self._clock()
        for pair in pairs:
            if pair.owner != session.put.ref:
                continue
            pair.owner = ""
            pair.closed_at = now
            pair.is_awaited = pair.is_lost = False
            self._around.forget_associations(pair.key)
            self._watch.unset(pair.rtp)
            self._watch.unset(pair.rtcp)
            host = next((host for host, _ in session.former(*pair.key)), "")
            if self._is_synced and pair.key not in self._added:
                self._drop([pair.key])  # it was kept for this session alone
            elif is_host_of(host, pair.local):
                pair.rest = Rest(pair, host, self.agenda, self._say, now)
            else:
                pair.mute()

    def _clear_away(self) -> None:
        """What was not said again on this connection has no owner, or goes."""
        now = self._clock()
        self._is_synced = True
        for ref, life in self._lives.items():
            if ref not in self._put_here and life.ownerless_since is None:
                life.ownerless_since = now
        unused = [pair for pair in self._ports if not pair.owner]
        self._drop([pair.key for pair in unused if pair.key not in self._added])
        for pair in unused:
            if pair.key in self._added and pair.rest is None:
                pair.mute()  # the worker before us may have left it open
        ends = [(ref, key) for ref, life in self._lives.items() for key in life.keys]
        owners = {owner_of(ref, *key) for ref, key in ends}
        self._choice.clear_away({key for _, key in ends}, owners)
        self._around.forget_secrets(owners)
        self._attach()

    def _attach(self) -> None:
        self._choice.attach({pair.local for pair in self._ports} | self._media, is_all=True)

    def _pair(self, end: wire.End) -> Pair:
        return self._ports.pair(end.local, end.port)


class Awaited:
    """A pair of whose keys another worker should tell. When its time is over, it has not."""

    __slots__ = ("_go_on", "_pair")

    def __init__(self, pair: Pair, go_on: Callable[[Pair], None]) -> None:
        self._pair = pair
        self._go_on = go_on

    def tick(self, _now: float) -> None:
        if self._pair.is_awaited:
            self._pair.is_lost = True
            self._go_on(self._pair)


def _ends(put: wire.PutSession) -> list[wire.End]:
    return [end for stream in put.streams for end in (stream.ingress, stream.egress)]


def _is_the_same(put: wire.PutSession, before: wire.PutSession) -> bool:
    """But for what came of handshakes, and by whom it was said."""
    if (
        put.generation != before.generation
        or put.early != before.early
        or put.silence_seconds != before.silence_seconds
    ):
        return False
    return _asked(put) == _asked(before)


def _asked(put: wire.PutSession) -> list[wire.Stream]:
    return [
        msgspec.structs.replace(one, ingress=_without_keys(one.ingress), egress=_without_keys(one.egress))
        for one in put.streams
    ]


def _without_keys(end: wire.End) -> wire.End:
    if not isinstance(end.secured, wire.Dtls):
        return end
    return msgspec.structs.replace(end, secured=msgspec.structs.replace(end.secured, keys=None, rtcp_keys=None))


def _reports(sessions: Iterable[Session], tables_now: Callable[[], tuple[Table, ...]] = tuple) -> Iterator[wire.Report]:
    """Every session in reports of bounded size; at least one report, and only the final one is `last`."""
    part: list[wire.SessionCount] = []
    streams = 0
    for session in sessions:
        put = session.put
        if part and streams + max(len(put.streams), 1) > STREAMS_PER_REPORT:
            yield wire.Report(tuple(part), last=False)
            part, streams = [], 0
        ports = tuple((end.local, end.port) for end in _ends(put))
        part.append(wire.SessionCount(put.ref, put.generation, session.counts(), ports))
        streams += max(len(put.streams), 1)
    yield wire.Report(tuple(part), last=True, tables=tables_now())
