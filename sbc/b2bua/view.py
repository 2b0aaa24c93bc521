"""A running call as the operator sees it: a value of `snapshot`, made when somebody asks.

Peers and numbers are those of who talks now, or is to talk: after a transfer they need not be those of the record.
"""

from collections import Counter
from collections.abc import Iterable

from sbc.b2bua.call import Call
from sbc.b2bua.context import Context
from sbc.b2bua.joining import number_of_party
from sbc.b2bua.snapshot import CallState, CallView, MediaView
from sbc.b2bua.states import Asking, Hunting, Talking


def view_of(call: Call, wall_at_zero: float) -> CallView:
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
        media=call.media.describe_live(),
        quality=call.media.listening.live(),
        emergency=call.is_emergency,
        joined=tuple([joined.ref for joined in call.joined]),
    )


def states_of(calls: Iterable[Call]) -> tuple[tuple[CallState, int], ...]:
    """How many calls are in which state."""
    return tuple(Counter(_word(call.state) for call in calls).items())


def _word(state: object) -> CallState:
    if isinstance(state, Hunting):
        return "ringing" if state.rang else "trying"
    if isinstance(state, Talking):
        return "answered"
    return "trying" if isinstance(state, Asking) else "ending"


def media_view(context: Context) -> MediaView:
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
