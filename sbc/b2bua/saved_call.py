"""An established call as a value: what the journal keeps, and the call that is made of it again.

Everything that an operator, a peer or a record may still ask of the call is in it: legs, media, call paths, limits,
what it was billed so far, calls that it has taken in. What is on its way at that moment is not: an exchange of
descriptions that was begun is marked (`is_unsettled`), and made anew after a while unless a peer does it first; a
transfer is given up, and the call that it was to change goes on. Values only; the journal writes them, `recovery` uses
them.
"""

from collections.abc import Iterable
from typing import Final

from msgspec import Struct

from sbc.b2bua.account import Account, SavedAccount
from sbc.b2bua.call import Call
from sbc.b2bua.context import Context
from sbc.b2bua.holdings import Holdings
from sbc.b2bua.identity import Parties
from sbc.b2bua.joining import Joined
from sbc.b2bua.leg import Leg
from sbc.b2bua.leg.saved import SavedLeg, restore_leg, save_leg
from sbc.b2bua.leg.state import State as LegState
from sbc.b2bua.modify import RECOVERY
from sbc.b2bua.saved_media import SavedMedia, restore_media, save_media
from sbc.b2bua.session_ids import SavedSessionIds, SessionIds
from sbc.b2bua.spooling import set_interim
from sbc.b2bua.states import Talking
from sbc.b2bua.telling import SavedTelling
from sbc.core.limits import ATTEMPTS_PER_CALL, TRANSFERS_PER_CALL
from sbc.peering.rates import Usage
from sbc.peering.views import Direction, HolderView
from sbc.policy.model import Decision, Peer
from sbc.sip.message import Fields

SETTLE_SECONDS: Final = 4.0  # for a peer to send again what has got no answer, before we ask both

_LEGS: Final = (TRANSFERS_PER_CALL + 1) * (ATTEMPTS_PER_CALL + 1)  # of one call, at most


class SavedParties(Struct, frozen=True, omit_defaults=True):
    """What is asked of `Parties` once somebody has answered."""

    called: str
    caller: str
    display: str = ""
    asserted: str = ""
    is_anonymous: bool = False
    identity: str = ""
    is_sips: bool = False


class SavedJoined(Struct, frozen=True, omit_defaults=True):
    """`joining.Joined`; its media session is over."""

    ref: str
    account: SavedAccount
    leg: int
    number: str
    into: str
    usages: tuple[str, ...] = ()
    is_turned: bool = False
    is_private: bool = False


class SavedCall(Struct, frozen=True, omit_defaults=True, tag="call", tag_field="is"):
    """Times are the engine's clock. `legs`: those that have something left to say, by number. `paths`: trunk, leg,
    direction, since, whether for an emergency. `tags`: of our dialogs, and the legs that they are of. `told`: by leg,
    who is there. `ends_at`: by limits.max_duration. `telling`: who has asked for a transfer, and what he was told.
    """

    account: SavedAccount
    parties: SavedParties
    pair: tuple[int, int]
    legs: dict[int, SavedLeg]
    tags: tuple[tuple[str, int], ...] = ()
    media: SavedMedia | None = None
    emergency: bool = False
    paths: tuple[tuple[str, int, Direction, float, bool], ...] = ()
    usages: tuple[str, ...] = ()
    ends_at: float | None = None
    told: dict[int, Fields] = {}
    session_ids: SavedSessionIds | None = None
    joined: tuple[SavedJoined, ...] = ()
    transfers: int = 0
    is_unsettled: bool = False
    telling: SavedTelling | None = None


def save_call(call: Call) -> SavedCall:
    """Of a call that talks."""
    context, ref = call.context, call.ref
    quotas, paths = context.relations.quotas, context.relations.paths
    ids, said = context.session_ids.get(ref), call.parties
    return SavedCall(
        call.account.saved(),
        SavedParties(
            said.called, said.caller, said.display, said.asserted, said.is_anonymous, said.identity, said.is_sips
        ),
        call.pair,
        {leg.n: save_leg(leg, context.layer) for leg in call.legs if leg.is_remembered(context.layer)},
        tuple([(tag, context.dialogs[tag][1]) for tag in call.tags if tag in context.dialogs]),
        save_media(call.media),
        call.decision.emergency,
        tuple([(one.trunk, one.leg, one.direction, one.since, one.emergency) for one in paths.held_by(ref)]),
        quotas.keys_of(call.holdings.usages),
        call.timers.at("max_duration"),
        dict(call.passing.told),
        None if ids is None else ids.saved(),
        tuple([_joined(one, context) for one in call.joined]),
        call.transfer.count,
        call.modification.is_under_way or call.modification.has_wishes,
        call.transfer.saved(),
    )


def restore_call(ref: str, saved: SavedCall, context: Context, now: float) -> Call:
    """It holds what it held, and has not said anything yet. Raises what a value raises that does not fit."""
    account, said = Account.restored(ref, saved.account), saved.parties
    parties = Parties(
        said.called,
        said.caller,
        said.display,
        max_forwards=0,
        asserted=said.asserted,
        is_anonymous=said.is_anonymous,
        identity=said.identity,
        is_sips=said.is_sips,
    )
    ingress = peer_named(account.ingress, context)
    call = Call(ref, ingress, parties, account.ingress_call_id, context, account.started_at)
    call.account = account
    call.decision = Decision(route=account.route, emergency=saved.emergency)
    call.pair = saved.pair
    call.legs[:] = [_leg(ref, n, saved, ingress, context) for n in range(_count(saved))]
    call.ingress = call.legs[0]
    for leg in call.legs:
        context.trace.begins(ref, leg.n, leg.peer.name)
    for tag, n in saved.tags:
        context.dialogs[tag] = (ref, n)
        call.tags.append(tag)
    _restore_holdings(call.holdings, ref, saved, context, now)
    if saved.session_ids is not None:
        ids = context.session_ids[ref] = SessionIds(context.ids)
        ids.restore(saved.session_ids)
    call.passing.told.update(saved.told)
    for one in saved.joined:
        usages = _used_again(one.ref, one.usages, one.account, context, now)
        call.joined.append(joined_again(one, usages))
    call.transfer.count = saved.transfers
    if saved.telling is not None:
        call.transfer.restore(saved.telling, now)
    call.state = Talking(saved.account.answered_at or saved.account.started_at)
    if saved.ends_at is not None:
        call.timers.set("max_duration", saved.ends_at)
    set_interim(call, now)
    if saved.is_unsettled:
        call.timers.set(RECOVERY, now + SETTLE_SECONDS)
    if saved.media is not None:  # the last, because it takes ports, or nothing
        call.media = restore_media(saved.media, ref, context, now)
    return call


def peer_named(name: str, context: Context, interface: str = "") -> Peer:
    """Of the policy in force. Where that has it no more, as much of one as a BYE needs."""
    known = context.policy.peers.get(name)
    return Peer(name, "trunk", interface or next(iter(context.interfaces)), ()) if known is None else known


def _count(saved: SavedCall) -> int:
    """Of its legs: numbers of those that are closed are known too, and no other leg may have them."""
    known = (*saved.legs, *saved.pair, *(n for _, n in saved.tags), *(one.leg for one in saved.joined))
    if min(known) < 0 or max(known) >= _LEGS:
        raise ValueError("a leg that no call has")
    return max(known) + 1


def _leg(ref: str, n: int, saved: SavedCall, ingress: Peer, context: Context) -> Leg:
    """One that is closed counts, and nothing more is asked of it."""
    number, one = context.ids.number, saved.legs.get(n)
    if one is None:
        leg = Leg(ref, n, ingress, "", context.timing, number=number)
        leg.state = LegState.CLOSED
        return leg
    peer = peer_named(one.peer, context, one.interface)
    credentials = context.relations.credentials(peer.name)
    return restore_leg(one, ref, n, peer, context.timing, number=number, credentials=credentials)


def _restore_holdings(holdings: Holdings, ref: str, saved: SavedCall, context: Context, now: float) -> None:
    """Whatever the caps say now: it has them."""
    held = [HolderView(trunk, ref, leg, way, since, urgent) for trunk, leg, way, since, urgent in saved.paths]
    context.relations.paths.take_again(held)
    holdings.goes_on()
    holdings.usages += _used_again(ref, saved.usages, saved.account, context, now)


def _used_again(ref: str, keys: tuple[str, ...], account: SavedAccount, context: Context, now: float) -> list[Usage]:
    """What was spent up to some moment of the last life was written down with the limit itself."""
    usages = [usage for key in keys if (usage := context.relations.quotas.usage(key)) is not None]
    for usage in usages:
        usage.resume(ref, account.answered_at, now, context.wall.of(now))
    return usages


def _joined(one: Joined, context: Context) -> SavedJoined:
    keys = context.relations.quotas.keys_of(one.usages)
    return SavedJoined(one.ref, one.account.saved(), one.leg, one.number, one.into, keys, one.is_turned, one.is_private)


def joined_again(saved: SavedJoined, usages: Iterable[Usage] = ()) -> Joined:
    """`usages`: what it goes on using; nothing where it has ended."""
    account = Account.restored(saved.ref, saved.account)
    joined = Joined(account, usages, None, saved.leg, saved.number, is_turned=saved.is_turned)
    joined.into, joined.is_private = saved.into, saved.is_private
    return joined
