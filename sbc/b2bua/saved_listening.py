"""What was heard of a call's media as a value for the call journal, and again of it (see `listening`).

Counts are written down as often as the call is. A worker that has gone on without signalling has later ones; where it
has died as well, and begins at zero, what is here is added to what it counts from now on. Used by `saved_media`.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from sbc.b2bua.listening import Listening, Way
from sbc.b2bua.sides import SideName
from sbc.media import wire

_Rows = dict[SideName, list[dict[str, object]]]


class SavedListening(Struct, frozen=True, omit_defaults=True):
    """See `Listening`. `told`: by local address and port."""

    ways: tuple[Way, ...] = ()
    generation: int = -1
    is_fresh: bool = True
    before: tuple[wire.StreamCount, ...] = ()
    began: tuple[wire.StreamCount, ...] = ()
    began_at: float = 0.0
    at: float = 0.0
    not_heard: tuple[SideName, ...] = ()
    fell_silent: tuple[SideName, ...] = ()
    forged: tuple[SideName, ...] = ()
    said_at: dict[SideName, float] = {}
    heard_at: tuple[tuple[int, SideName, float], ...] = ()
    past: _Rows = {}
    told: tuple[tuple[str, int, wire.EndCount], ...] = ()


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(SavedListening)


def save_listening(listening: Listening) -> Raw:
    """Costs little where no counts have come, and the relay is the same, since it was asked last."""
    # Everything else of it changes only with one of these.
    state = (listening._generation, listening._before, listening._at, listening._is_fresh)
    known, saved = listening.saved
    if known != state:
        saved = Raw(_encoder.encode(_saved(listening)))
        listening.saved = state, saved
    return saved


def _saved(one: Listening) -> SavedListening:
    return SavedListening(
        one._ways,
        one._generation,
        one._is_fresh,
        one._before,
        one._began,
        one._began_at,
        one._at,
        tuple(one._not_heard),
        tuple(one._fell_silent),
        tuple(one._forged),
        one._said_at,
        tuple([(i, side, at) for (i, side), at in one._heard_at.items()]),
        {side: rows for side, rows in one._past.items() if rows},
        tuple([(local, port, count) for (local, port), count in one._told.items()]),
    )


def restore_listening(listening: Listening, saved: Raw) -> None:
    """Into one that has heard nothing yet. Raises msgspec.DecodeError."""
    one = _decoder.decode(saved)
    listening._ways, listening._generation, listening._is_fresh = one.ways, one.generation, one.is_fresh
    listening._before, listening._began = one.before, one.began
    listening._began_at, listening._at = one.began_at, one.at
    listening._not_heard = dict.fromkeys(one.not_heard)
    listening._fell_silent = dict.fromkeys(one.fell_silent)
    listening._forged = dict.fromkeys(one.forged)
    listening._said_at = dict(one.said_at)
    listening._heard_at = {(i, side): at for i, side, at in one.heard_at}
    for side, rows in one.past.items():
        listening._past[side] = rows
    listening._told = {(local, port): count for local, port, count in one.told}
    listening.goes_on()
