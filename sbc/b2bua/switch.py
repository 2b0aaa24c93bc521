"""The engine: every call, every dialog, every transaction, behind the four methods that move it.

It finds who speaks, has `delivery` say to which call a message belongs, and guards the others against one call's bug.
It decides nothing that a call or policy could decide. The runtime feeds it one thing at a time and performs everything
that comes out.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Final

from msgspec.structs import replace

from sbc.b2bua.beside.beside import Beside
from sbc.b2bua.between_calls import BetweenCalls
from sbc.b2bua.call import Call
from sbc.b2bua.call import Out as CallOut
from sbc.b2bua.commands import (
    Alert,
    AskMedia,
    BlockAll,
    BlockSource,
    ClosePorts,
    Command,
    HoldPorts,
    Log,
    NoteCdr,
    OpenPorts,
    StoreState,
    WriteCdr,
)
from sbc.b2bua.context import Context
from sbc.b2bua.delivery import Delivery, Out
from sbc.b2bua.draining import Draining
from sbc.b2bua.entrance import is_emergency
from sbc.b2bua.events import (
    BanOrdered,
    BusyOutOrdered,
    CdrDurable,
    CdrFailed,
    CdrFlows,
    CdrStalled,
    CdrStarted,
    ClockSet,
    DrainOrdered,
    DrainRevoked,
    DrillOrdered,
    Event,
    HangUpOrdered,
    InterfaceChanged,
    LeaveOrdered,
    LiftOrdered,
    MediaReplied,
    PingOrdered,
    PolicyChanged,
    PortsLost,
    PortsOpened,
    QueueAged,
    StateRestored,
)
from sbc.b2bua.former import may_connect
from sbc.b2bua.identity import parties_of
from sbc.b2bua.in_force import PolicyInForce, media_addresses, media_rules
from sbc.b2bua.journal import CallJournal
from sbc.b2bua.keeping_out import KeepingOut
from sbc.b2bua.living import LivingCalls, crash_log
from sbc.b2bua.media_news import MediaNews
from sbc.b2bua.ports import PortPool
from sbc.b2bua.reachable import locals_of
from sbc.b2bua.reception import Reception
from sbc.b2bua.recovery import Recovery
from sbc.b2bua.securing import Fingerprint
from sbc.b2bua.shedding import Shedding
from sbc.b2bua.snapshot import CallView, EngineView, LoadView
from sbc.b2bua.strangers import Strangers
from sbc.b2bua.tables import engine_tables
from sbc.b2bua.ticking import Ticks, apart
from sbc.b2bua.view import call_view, engine_view, load_view
from sbc.b2bua.whose import asked, is_of_probe, ref_of, user_of
from sbc.core import limits
from sbc.core.address import Address, Flow, Transport
from sbc.core.cause import Cause
from sbc.core.ids import IdSource
from sbc.core.tables import Table
from sbc.peering.bindings import BindingMoved
from sbc.peering.relations import Relations
from sbc.policy.engine import Policy
from sbc.policy.model import Peer
from sbc.sip.commands import CloseFlow, LookUp, Order, Respond, SendMessage
from sbc.sip.endpoint import Endpoint
from sbc.sip.endpoint import Out as SipOut
from sbc.sip.events import FlowClosed, FlowFailed, LookedUp, Ponged
from sbc.sip.message import Request
from sbc.sip.timing import DEFAULT_TIMING, Timing
from sbc.sip.transaction.outputs import RequestReceived
from sbc.trace.recorder import Recorder

SERVER_NAME: Final = "sbc"
_COMMANDS: Final = frozenset(
    {
        SendMessage,
        CloseFlow,
        LookUp,
        AskMedia,
        OpenPorts,
        HoldPorts,
        ClosePorts,
        WriteCdr,
        NoteCdr,
        StoreState,
        BlockSource,
        BlockAll,
        Alert,
        Log,
    }
)


class Switch:
    def __init__(self, policy: Policy, ids: IdSource, *, timing: Timing = DEFAULT_TIMING) -> None:
        self.policy = policy
        self.trace = Recorder()
        self.endpoint = Endpoint(locals_of(policy.interfaces.values()), ids, SERVER_NAME, timing)
        media = policy.media
        self.ports = PortPool(media_addresses(policy), media.first_port, media.last_port, ids)
        self.relations = Relations(policy, ids, self.endpoint.locator.candidates)
        rules = media_rules(policy)
        self._context = Context(
            policy, self.relations, ids=ids, timing=timing, ports=self.ports, media_rules=rules, trace=self.trace
        )
        self._context.layer = self.endpoint.layer
        self.beside = Beside(self._context)
        self._context.dropped = self.endpoint.dropped
        self.keeping_out = self._context.keeping_out = KeepingOut(policy, self.endpoint.dropped)
        self.endpoint.layer.is_spared = self._is_spared
        self.peer_tapes = self._context.peer_tapes
        self.peer_tapes.whom = lambda user: asked(user, self._context, self.beside)
        self._in_force = PolicyInForce(self._context, self.endpoint, self.beside)
        self._listeners = self._in_force.listeners
        self._journal = CallJournal()
        self._living = LivingCalls(self._context, self._in_force.forget, self._journal)
        self.calls = self._context.calls = self._living.calls
        self._media_news = MediaNews(self._context, self._living)
        self._strangers = Strangers()
        self._unstored: set[str] = set()  # calls whose records the disk does not take
        self._between = BetweenCalls(self._living, self._context, self._unstored)
        self._drain = Draining(self.calls, self.beside, self.relations)
        self.shedding = Shedding(self._context, self.endpoint, lambda: self._drain.is_on)
        self.shedding.speak_by(self.endpoint.layer)
        self.reception = Reception(
            self._context, self.endpoint, self._living, self._between, self.beside, self._drain, self._unstored
        )
        self._delivery = Delivery(
            self._context, self.endpoint, self._living, self._between, self.beside, self.reception, self.shedding
        )
        self._recovery = Recovery(self._context, self._living, self._journal)
        parts = (self.shedding, self.relations, self.beside, self.keeping_out)
        self._ticks: Ticks[Out] = Ticks(
            (self._tick_endpoint, self.endpoint.next_deadline),
            (self.ports.close_rested, self.ports.next_deadline),
            *[(part.tick, part.next_deadline) for part in parts],
        )

    def show_fingerprint(self, fingerprint: Fingerprint) -> None:
        """Of the certificate that the media workers show in DTLS handshakes."""
        self._context.fingerprint = fingerprint

    # --- what moves it ------------------------------------------------------------------------------------------------

    def start(self, now: float) -> list[Command]:
        parts = (self.relations, self.keeping_out, self._recovery, self._drain)
        begun = apart(*[partial(part.start, now) for part in parts])
        commands = self._run([*self.ports.start(), *self._in_force.watch_names(now), *begun], now)
        return self._written_first(commands, now)

    def receive(self, data: bytes, flow: Flow, now: float) -> list[Command]:
        """One whole SIP message. A stranger gets silence and leaves no state."""
        return self._written_first(self._receive(data, flow, now), now)

    def _receive(self, data: bytes, flow: Flow, now: float) -> list[Command]:
        remote = flow.remote
        peer = self.policy.identify(flow.interface, remote.host, remote.port, flow.transport, flow.proved)
        if peer is None or (self._listeners.removed and self._listeners.is_removed(flow)):
            peer = self._in_force.former.identify(flow) or peer
            if peer is not None:
                return self._receive_of_former(peer, data, flow, now)
            # Deviation: RFC 3261 §8.2 has every request answered; an answer to a stranger tells a scanner that we are
            # here, and a spoofed one would hit a third party.
            self.endpoint.dropped["unknown_source"] += 1
            return [*self._strangers.heard(flow, now)]
        is_anybody = peer.is_anybody
        if is_anybody and not self.keeping_out.hears(data, flow, now):
            return self._run(self.keeping_out.take(), now)
        if self.shedding.overload.is_on:
            shed = self.shedding.take(peer, data, flow, now)
            if shed is not None:
                return shed
        is_asked = peer.kind != "trunk" and peer.auth is not None
        door = self.reception.door(peer, flow, now) if is_asked or peer.rate is not None else None
        message, received = self.endpoint.receive(data, flow, now, door, is_quiet=is_anybody, peer=peer.name)
        if message is None:
            self.reception.turned_back(peer, data, flow, received, now, at_door=door is not None)
        outs: list[Out] = [*received] if door is None else [*received, *self.reception.news()]
        if message is not None:
            taken_by = self.endpoint.layer.taken_by
            self._living.trace_received(taken_by, data, flow, now)
            if taken_by is None and received and type(received[0]) is SendMessage:
                self.reception.answered_at_once(peer, data, flow, received, now)
            # A response that answers nothing may be anybody's, with a forged source: it proves nothing about its peer.
            proves = taken_by is not None or type(message) is Request
            if proves and not is_anybody and not is_of_probe(taken_by):
                name = asked(taken_by, self._context, self.beside) or peer.name
                outs += self.relations.heard(name, flow, message, now)
        return self._run(outs, now, peer, data)

    def knows(self, interface: str, host: str, port: int, transport: Transport = Transport.TCP) -> bool:
        """Whether anything that comes from there by this transport is listened to; over TLS: may be, by its proof."""
        if self.keeping_out.refuses(host):
            return False
        if may_connect(self.policy, interface, host, port, transport):
            return True
        return self._in_force.former.knows(interface, host, port, transport)

    def _receive_of_former(self, peer: Peer, data: bytes, flow: Flow, now: float) -> list[Command]:
        """A reload has taken this peer, its address, or our listener, away; calls that are up stay up, and it may end
        them.
        """
        message, outs = self.endpoint.receive(data, flow, now, self._in_force.turn_back, is_quiet=True, peer=peer.name)
        if message is not None:
            self._living.trace_received(self.endpoint.layer.taken_by, data, flow, now)
        return self._run(outs, now, peer, data)

    def bad_frame(self, data: bytes, flow: Flow, reason: str, now: float) -> list[Command]:
        """A stream whose next message cannot be found: answered if possible, then closed."""
        remote = flow.remote
        peer = self.policy.identify(flow.interface, remote.host, remote.port, flow.transport, flow.proved)
        if peer is None:
            self.endpoint.dropped["unknown_source"] += 1
            return [*self._strangers.heard(flow, now), CloseFlow(flow)]
        self.endpoint.dropped["bad_frame"] += 1
        if peer.is_anybody:
            self.keeping_out.offends(flow, "what is no SIP", now)
            return [CloseFlow(flow), *self._run(self.keeping_out.take(), now)]  # anybody: no answer, no line in the log
        log = Log("warning", "sip.bad_frame", (("source", str(flow.remote)), ("reason", reason)))
        return [log, *self._run(self.endpoint.bad_frame(data, flow), now)]

    def handle(self, event: Event, now: float) -> list[Command]:
        return self._written_first(self._handle(event, now), now)

    def _handle(self, event: Event, now: float) -> list[Command]:
        match event:
            case FlowFailed(flow):
                failed = self.endpoint.handle(event, now)
                return self._run([*self.relations.flow_failed(flow, now), *failed], now)
            case FlowClosed(flow):
                again = self.endpoint.handle(event, now)
                return self._run([*self.relations.flow_closed(flow, now), *again], now)
            case Ponged(flow):
                self.relations.ponged(flow)
                return []
            case LookedUp():
                outs = self.endpoint.handle(event, now)
                return self._run([*self._in_force.learn_names(now), *outs], now)
            case MediaReplied(reply):
                return self._run(self._media_news.take(reply, now), now)
            case PortsOpened(local, ports):
                self.ports.opened(local, ports, now)
                return [*self.ports.close_rested(now)]  # where a reload has taken the address away meanwhile
            case PortsLost():
                return self._run(self._media_news.ports_lost(event, now), now)
            case CdrDurable(ref):
                self._unstored.discard(ref)
                self._journal.record_stored(ref)
                return self._with_call(ref, Call.record_stored, now)
            case CdrFailed(ref):
                self._unstored.add(ref)
                return []
            case CdrStarted(ref):
                return self._with_call(ref, lambda call: call.start_stored(now), now)
            case CdrStalled() | CdrFlows():
                self._context.is_disk_stalled = isinstance(event, CdrStalled)
                return self._run(self.reception.say_strictness(), now)
            case HangUpOrdered(known):
                ref = self._context.moves.call_of(known) or self._with(known)  # another call may have taken it in
                return self._with_call(ref, lambda call: call.hang_up(Cause.OPERATOR, now), now)
            case DrainOrdered():
                said = self._run(self._drain.begin(event, now), now)
                return [*said, *self._tick(now)]
            case DrainRevoked():
                return self._run(self._drain.revoke(now), now)
            case LeaveOrdered():
                return self._run(self._drain.forget(), now)
            case DrillOrdered(pbx, on):
                return self._run(self.relations.order("drill", pbx, now, on=on), now)
            case BusyOutOrdered(trunk, on):
                return self._run(self.relations.order("busyout", trunk, now, on=on), now)
            case PingOrdered(name, token):
                return self._run(self.relations.ping(name, token, now), now)
            case QueueAged(seconds, queue, flow):
                return self._run(self.shedding.queued(seconds, queue, flow, now), now)
            case StateRestored(items, is_late):
                at_zero = self._context.wall.at_zero
                refused = apart(
                    lambda: self.relations.restore(items, now, at_zero),
                    lambda: self.keeping_out.restore(items, now, at_zero),
                    lambda: self._drain.restore(items),
                    lambda: self._recovery.restore(items, now, is_late=is_late),
                    self._in_force.find_ways,
                )
                return self._run(refused, now)
            case PolicyChanged(policy):
                self.policy = policy
                self.peer_tapes.keep_only(policy.peers)
                changed = self._in_force.change(policy, now)
                self.keeping_out.set_policy(policy, now)
                return self._run([*changed, *self.keeping_out.take(), *self.reception.say_strictness()], now)
            case BanOrdered(source, seconds, why):
                self.keeping_out.add(source, seconds, why, now)
                return self._run(self.keeping_out.take(), now)
            case LiftOrdered(source):
                self.keeping_out.lift(source, now)
                return self._run(self.keeping_out.take(), now)
            case InterfaceChanged(name, missing, why):
                return self._run(self.relations.interface_changed(name, missing, why, now), now)
            case ClockSet(wall_at_zero):
                self._context.wall.at_zero = wall_at_zero
                self.relations.registrar.set_wall(wall_at_zero)
                self.relations.paths.today.set_wall(wall_at_zero, now)
                return []

    def tick(self, now: float) -> list[Command]:
        return self._written_first([*self._journal.tick(now), *self._tick(now)], now)

    def _tick(self, now: float) -> list[Command]:
        commands = self._run(self._ticks.tick(now), now)
        drain = self._drain
        if drain.is_on and drain.is_due(now):
            commands += self._run(self.beside.end(now), now)
            for ref in drain.unspared():
                commands += self._with_call(ref, lambda call: call.hang_up(Cause.SHUTDOWN, now), now)
        for ref in self._living.deadlines.pop_due(now, limits.CALLS_DUE_AT_ONCE):
            commands += self._with_call(ref, lambda call: call.tick(now), now)
        return [*commands, *self._run(drain.leave(now), now)] if drain.is_on else commands

    def _tick_endpoint(self, now: float) -> list[Out]:
        outs = self.endpoint.tick(now)
        return [*self._in_force.learn_names(now), *outs]  # by look-ups that were given up, too

    def next_deadline(self) -> float | None:
        deadlines = (
            self._ticks.next_deadline(),
            self._living.deadlines.next(),
            self._drain.next_deadline() if self._drain.is_on else None,
            self._journal.next_deadline(),
        )
        return min((at for at in deadlines if at is not None), default=None)

    # --- what can be seen of it ---------------------------------------------------------------------------------------

    @property
    def is_idle(self) -> bool:
        """No call is left, and nothing that waits for a peer or for the disk on a call's behalf."""
        return not self.calls

    @property
    def unrecorded(self) -> set[str]:
        """Calls whose record is still to come, those that others have taken in included."""
        return {ref for call in self.calls.values() for ref in (call.ref, *(one.ref for one in call.joined))}

    @property
    def has_emergencies(self) -> bool:
        return any(call.is_emergency for call in self.calls.values())

    def snapshot(self, now: float, newest: int | None = None) -> EngineView:
        """`newest`: shows at most so many calls, and nobody who holds a call path; for whoever looks often."""
        view = engine_view(self._context, self.endpoint, self.beside, newest, now, is_ready=not self._drain.is_on)
        refusing = self.reception.why_refusing()
        return replace(view, tables=self.tables(), overload=self.shedding.view(), refusing=refusing)

    def tables(self) -> tuple[Table, ...]:
        """How full each is; cheap."""
        former, doorstep = self._in_force.former, self.reception.doorstep
        tables = engine_tables(self._context, self.endpoint, self.beside, former, doorstep, self._unstored)
        return (*tables, self.shedding.table())

    def call_view(self, ref: str) -> CallView | None:
        """The running call of this ref, or the one that has taken it in."""
        return call_view(ref, self._context)

    def load(self) -> LoadView:
        """For whoever looks every few seconds, however many calls there are."""
        return load_view(self._context, self.endpoint, begun=self.reception.begun)

    def lets_go(self, transport: Transport, local: Address) -> bool:
        """Whether nothing needs a removed listener any more; then it counts as closed."""
        return self._in_force.lets_go(transport, local)

    @property
    def has_former_peers(self) -> bool:
        """Whether anybody may speak only because calls are up that began before a reload."""
        return bool(self._in_force.former)

    @property
    def removed_listeners(self) -> tuple[tuple[Transport, Address], ...]:
        """Those that a reload has taken away and that have not been let go of."""
        return tuple(self._listeners.removed)

    # --- inside: what comes out is run until nothing is left ----------------------------------------------------------

    def _written_first(self, commands: list[Command], now: float) -> list[Command]:
        """What has changed of calls goes before what anybody hears of it."""
        changed = self._journal.take(now)
        return [*changed, *commands] if changed else commands

    def _run(self, outs: Iterable[Out], now: float, peer: Peer | None = None, data: bytes = b"") -> list[Command]:
        """Carry out orders, deliver reports, until only commands for the runtime are left. `peer`: who sent `data`."""
        queue: deque[Out] = deque(outs)
        commands: list[Command] = []
        while queue:
            out = queue.popleft()
            kind = type(out)
            if kind is SendMessage:
                self._living.trace_sent(out, now)  # type: ignore[arg-type]
                commands.append(out)  # type: ignore[arg-type]
            elif kind in _COMMANDS:
                if kind is Log:
                    self.peer_tapes.log(out, now)  # type: ignore[arg-type]
                commands.append(out)  # type: ignore[arg-type]
            else:
                queue.extendleft(reversed(self._follow_guarded(out, now, peer, data)))  # type: ignore[arg-type]
        return commands

    def _follow_guarded(
        self, out: Order | SipOut | BindingMoved, now: float, peer: Peer | None, data: bytes
    ) -> Sequence[Out]:
        """The outer barrier: what goes wrong between the calls ends the one call that it is about, if there is one."""
        try:
            return self._delivery.take(out, now, peer, data)
        except Exception as error:  # noqa: BLE001  see `LivingCalls.guarded`
            ref = ref_of(user_of(out, self.endpoint.layer))
            call = self.calls.get(ref)
            outs: list[Out] = [crash_log(ref, error)]
            if call is not None:
                outs = [*self._living.crashed(call, error, now)]
            if isinstance(out, RequestReceived):
                outs.append(Respond(out.key, 500))
            return outs

    def _with_call(self, ref: str, step: Callable[[Call], Sequence[CallOut]], now: float) -> list[Command]:
        return self._run(self._living.guarded(ref, step, now), now)

    def _with(self, ref: str) -> str:
        """The call that has taken this one in, in whatever life; or itself."""
        return next((call.ref for call in self.calls.values() if any(ref == one.ref for one in call.joined)), ref)

    def _is_spared(self, request: Request, name: str) -> bool:
        """What must be served though its sender's share of the transactions is used up."""
        tag = request.to.tag
        if tag is not None:
            return tag in self._context.dialogs or tag in self.beside.tags
        peer = self.policy.peers.get(name)
        if peer is None or request.method != "INVITE":
            return False
        # Who shares his source with others is not known by his name here.
        called = parties_of(request, peer).called
        return is_emergency(request, peer, self._context) or self.policy.may_be_emergency(name, called)
