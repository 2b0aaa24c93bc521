"""The engine as the operator sees it: values of `snapshot`, made when somebody asks.

Peers and numbers of a call are those of who talks now, or is to talk: after a transfer they need not be those of the
record. It changes nothing, but for call paths that have outlived their call. Used by the switch.
"""

from collections import Counter
from collections.abc import Iterable

from sbc.b2bua.beside.beside import Beside
from sbc.b2bua.call import Call
from sbc.b2bua.context import Context
from sbc.b2bua.joining import number_of_party
from sbc.b2bua.sides import Side
from sbc.b2bua.snapshot import CallState, CallView, EngineView, LoadView, MediaView
from sbc.b2bua.states import Asking, Hunting, Recording, Talking
from sbc.sip.endpoint import Endpoint


def engine_view(
    context: Context, endpoint: Endpoint, beside: Beside, newest: int | None, now: float, *, is_ready: bool
) -> EngineView:
    """`newest`: shows at most so many calls, and nobody who holds a call path; None: everything."""
    calls, relations, wall = context.calls, context.relations, context.wall
    is_whole = newest is None
    relations.paths.reconcile(calls)
    every = list(calls.values())
    shown = every if newest is None else every[max(0, len(every) - newest) :]
    return EngineView(
        name=context.policy.name,
        ready=is_ready,
        calls=tuple(_view_of(call, wall.of(0.0)) for call in shown),
        states=_states_of(every),
        transactions=len(endpoint.layer),
        dialogs=len(context.dialogs),
        subscriptions=beside.subscriptions,
        ports=context.ports.in_use,
        ports_resting=context.ports.resting,
        attempts=tuple((*key, count) for key, count in context.outcomes.items()),
        messages=tuple((*key, count) for key, count in endpoint.counts.items()),
        dropped=tuple(endpoint.dropped.items()),
        peers=relations.views(),
        paths=relations.paths.views(now, with_holders=is_whole),
        limits=relations.quotas.views(now, wall.of(now)),
        paths_leaked=relations.paths.leaked,
        pings=relations.health.pings(),
        bans=context.keeping_out.bans.views(),
        wall_at_zero=wall.at_zero,
        now=now,
        emergencies=context.emergencies,
        transfers=tuple(context.totals.transfers.items()),
        media=_media_view(context),
    )


def call_view(ref: str, context: Context) -> CallView | None:
    """The running call of this ref, or the one that has taken it in."""
    call = context.calls.get(ref)
    if call is None:
        call = next((one for one in context.calls.values() if any(ref == old.ref for old in one.joined)), None)
    return None if call is None else _view_of(call, context.wall.of(0.0))


def load_view(context: Context, endpoint: Endpoint, *, begun: int) -> LoadView:
    """`begun`: INVITEs that asked for a new call."""
    totals, paths = context.totals, context.relations.paths
    return LoadView(
        begun=begun,
        answered=totals.setup.sum_and_count[1],
        calls=len(context.calls),
        transactions=len(endpoint.layer),
        packets=totals.packets.total(),
        lost=totals.lost,
        mos=totals.mos.sum_and_count,
        jitter_seconds=totals.jitter.sum_and_count,
        paths=tuple((name, paths.used(name)) for name, peer in context.policy.peers.items() if peer.kind == "trunk"),
    )


def _view_of(call: Call, wall_at_zero: float) -> CallView:
    account, egress = call.account, call.egress
    return CallView(
        ref=call.ref,
        state=_word(call.state),
        ingress=call.legs[call.pair[0]].peer.name,
        egress=None if egress is None else egress.peer.name,
        route=account.route,
        caller=number_of_party(call, call.pair[0]),
        called=number_of_party(call, call.pair[1]),
        started_at=wall_at_zero + account.started_at,
        answered_at=None if account.answered_at is None else wall_at_zero + account.answered_at,
        media=_streams_of(call),
        quality=call.media.listening.live(),
        emergency=call.is_emergency,
        joined=tuple([joined.ref for joined in call.joined]),
    )


def _streams_of(call: Call) -> tuple[tuple[str, str], ...]:
    """(side, "codec local > remote") of each stream, and by what it is encrypted."""
    return tuple(
        (name, f"{remote.codec} {side.local}:{port} > {remote.host or '-'}:{remote.port}{_encrypted(side, i)}")
        for name, side in call.media.sides.items()
        for i, (port, remote) in enumerate(zip(side.ports, side.now.remotes, strict=False))
        if not remote.refused
    )


def _encrypted(side: Side, i: int) -> str:
    by = side.protection(i)
    return f", SRTP {by}" if by else ""


def _states_of(calls: Iterable[Call]) -> tuple[tuple[CallState, int], ...]:
    """How many calls are in which state."""
    return tuple(Counter(_word(call.state) for call in calls).items())


def _word(state: object) -> CallState:
    if isinstance(state, Hunting):
        return "ringing" if state.rang else "trying"
    if isinstance(state, Recording):
        return "ringing"
    if isinstance(state, Talking):
        return "answered"
    return "trying" if isinstance(state, Asking) else "ending"


def _media_view(context: Context) -> MediaView:
    """What all calls have heard, by interface: one address is one interface's, or counts for the first that has it."""
    totals = context.totals
    interface_of: dict[str, str] = {}
    for interface in context.policy.interfaces.values():
        for address in interface.media:
            interface_of.setdefault(address, interface.name)
    packets = dict.fromkeys(interface_of.values(), 0)
    for local, count in totals.packets.items():
        name = interface_of.get(local, local)
        packets[name] = packets.get(name, 0) + count
    engines = Counter(engine for call in context.calls.values() for engine in call.media.listening.engines)
    return MediaView(
        packets=tuple(packets.items()),
        lost=totals.lost,
        foreign=totals.foreign,
        streams=tuple((engine, engines[engine]) for engine in ("userland", "kernel")),
        mos=totals.mos.value(),
        jitter_seconds=totals.jitter.value(),
        round_trip_seconds=totals.round_trip.value(),
        setup_seconds=totals.setup.value(),
    )
