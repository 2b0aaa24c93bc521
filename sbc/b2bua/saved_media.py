"""A call's media as a value for the call journal, and the media again of it, when signalling has died and lives again.

It is for calls that are up. An exchange of descriptions that was on its way is only marked: what was settled before it
is what holds (RFC 3264 §8). The first exchange of a call is kept, where the callee has made the offer and the caller's
ACK is to bring the answer (RFC 3261 §13.2.1). Worker and ports go on without signalling: `CallMedia.resume` says the
same session again, in the same generation, so that a worker that still has it has nothing to change.
Keys are in it, and nothing of it is ever shown. Used by the call journal.
"""

from typing import Final

from msgspec import Raw, Struct

from sbc.b2bua.context import Context
from sbc.b2bua.media import CallMedia
from sbc.b2bua.offers import Offer
from sbc.b2bua.saved_listening import restore_listening, save_listening
from sbc.b2bua.saved_side import restore_side, save_side
from sbc.b2bua.sides import SideName
from sbc.sdp.model import Session
from sbc.sdp.remotes import MediaRemote

_NOBODY: Final = Raw()


class SavedOffer(Struct, frozen=True, array_like=True):
    """See `Offer`."""

    by: SideName
    received: Session
    forwarded: Session
    remotes: tuple[MediaRemote, ...]
    is_ours: bool


class SavedMedia(Struct, frozen=True, omit_defaults=True):
    """`ingress`, `egress`: a `SavedSide` each, encoded; empty: there is none. `listening`: a `SavedListening`, encoded.

    `is_changing`: an exchange is on its way, of which nothing else is kept but `offer`, where it is the first.
    """

    generation: int
    ingress: Raw = _NOBODY
    egress: Raw = _NOBODY
    listening: Raw = _NOBODY
    offer: SavedOffer | None = None
    dead: tuple[tuple[str, int], ...] = ()
    is_answered: bool = False
    is_changing: bool = False
    is_renumbered: bool = False
    waits: bool = False


def save_media(media: CallMedia) -> SavedMedia:
    """Costs a few microseconds where nothing has changed since it was asked last."""
    sides = media.sides
    ingress, egress = sides.get("ingress"), sides.get("egress")
    offer = media.offer
    is_changing = offer is not None
    for side in sides.values():
        if side.now is not side.settled:
            is_changing = True
    first = None
    if offer is not None and ingress is not None and ingress.settled.said is None:
        first = SavedOffer(offer.by, offer.received, offer.forwarded, offer.remotes, offer.is_ours)
    return SavedMedia(
        media._generation,
        _NOBODY if ingress is None else save_side(ingress),
        _NOBODY if egress is None else save_side(egress),
        save_listening(media.listening),
        first,
        tuple(media.ports.dead),
        media.is_answered,
        is_changing,
        media._is_renumbered,
        media.waits,
    )


def restore_media(saved: SavedMedia, ref: str, context: Context, now: float) -> CallMedia:
    """What was saved, with its ports taken out of the pool.

    Raises msgspec.DecodeError where a part of it cannot be read; then no port is taken.
    """
    pool = context.ports
    ingress = restore_side(saved.ingress, context.ids, context.fingerprint)
    egress = restore_side(saved.egress, context.ids, context.fingerprint) if bytes(saved.egress) else None
    media = CallMedia(ref, ingress, context.media_rules, pool, context.ids, context.totals)
    if egress is not None:
        media.sides["egress"] = egress
    restore_listening(media.listening, saved.listening)
    offer = saved.offer
    if offer is not None:
        media.offer = Offer(offer.by, offer.received, offer.forwarded, offer.remotes, offer.is_ours)
    media.is_answered = saved.is_answered
    media.was_changing = saved.is_changing
    media.waits = saved.waits
    media._generation = saved.generation
    media._is_renumbered = saved.is_renumbered
    media.ports.may_bury = True
    for side in media.sides.values():
        pool.hold(side.local, [port for port in side.ports if port])
    for local, port in saved.dead:
        pool.hold(local, [port])
        pool.give_back(local, [port], now)
    media._wire()
    return media


__all__ = ["SavedMedia", "SavedOffer", "restore_media", "save_media"]
