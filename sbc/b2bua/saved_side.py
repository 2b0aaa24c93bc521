"""One side of a call's media as a value for the call journal, and the side again of it.

What is kept is what holds between the two ends when no exchange is under way: what was settled, what was sent last and
in which version (RFC 3264 §8), the numbers that payload types have had (§8.3.2), ports, keys. Descriptions are kept as
values, so that what comes back is equal to what was there. A side that has not changed is not written down again.
There are SRTP master keys in it: whoever keeps it keeps it from others. Used by `saved_media`.
"""

from typing import Final

import msgspec
from msgspec import Raw, Struct

from sbc.b2bua.numbers import SavedNumbers, restored_numbers, save_numbers
from sbc.b2bua.securing import Fingerprint, SavedSecuring, Securing
from sbc.b2bua.sides import Agreed, Dtmf, Side
from sbc.core.ids import IdSource
from sbc.core.surrogates import plain
from sbc.policy.model import CodecRules, Latching
from sbc.sdp.direction import Direction
from sbc.sdp.model import Origin, Session
from sbc.sdp.remotes import MediaRemote

_NONE: Final = -1


class SavedSide(Struct, frozen=True, omit_defaults=True):
    """`sessions`: descriptions, each once; `said`, `told` and `sent` are places among them, -1: there is none.

    `is_followed`: the relay goes by `said`. The rest is `Side`'s. `dtmf` has no default, because text is left out where
    it is that very object: two programs would write one side in two ways. So `is_held_inactive` is `hold`, and no text.
    """

    local: str
    shown: str
    session_id: int
    version: int
    latching: Latching
    dtmf: Dtmf
    sessions: tuple[Session, ...] = ()
    said: int = _NONE
    told: int = _NONE
    sent: int = _NONE
    remotes: tuple[MediaRemote, ...] = ()
    ports: tuple[int, ...] = ()
    epoch: int = 0
    is_followed: bool = True
    wills: tuple[Direction, ...] = ()
    numbers: SavedNumbers = SavedNumbers()
    codecs: CodecRules = CodecRules()
    fax: bool = True
    is_plain: bool = True
    media_from: tuple[str, ...] = ()
    recodes: bool = True
    others: tuple[tuple[str, str], ...] = ()
    securing: SavedSecuring | None = None
    is_held_inactive: bool = False


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(SavedSide)


def save_side(side: Side) -> Raw:
    """Costs little where nothing has changed since it was asked last."""
    numbers, securing = side.numbers, side.securing
    state = (
        side.settled,
        side.sent,
        side.origin,
        tuple(side.ports),
        side.epoch,
        side.wills,
        side._followed,
        numbers.readings,
        tuple(numbers._unread),
        None if securing is None else securing.saved(),
    )
    known, saved = side.saved
    if known != state:
        saved = Raw(_written(_saved(side)))
        side.saved = state, saved
    return saved


def _written(saved: SavedSide) -> bytes:
    try:
        return _encoder.encode(saved)
    except UnicodeEncodeError:
        return _encoder.encode(plain(saved))


def _saved(side: Side) -> SavedSide:
    settled = side.settled
    sessions = _Sessions()
    return SavedSide(
        side.local,
        side.shown,
        side.origin.session_id,
        side.origin.version,
        side.latching,
        side.dtmf,
        said=sessions.place(settled.said),
        told=sessions.place(settled.told),
        sent=sessions.place(side.sent),
        remotes=settled.remotes,
        ports=tuple(side.ports),
        epoch=side.epoch,
        is_followed=side._followed is settled.said or side._followed == settled.said,
        wills=side.wills,
        numbers=save_numbers(side.numbers, sessions.place),
        codecs=side.codecs,
        fax=side.fax,
        is_plain=side.is_plain,
        media_from=side.media_from,
        recodes=side.recodes,
        others=tuple(side._others),
        securing=None if side.securing is None else side.securing.saved(),
        sessions=sessions.all,
        is_held_inactive=side.hold == "inactive",
    )


def restore_side(saved: Raw, ids: IdSource, fingerprint: Fingerprint | None) -> Side:
    """Raises msgspec.DecodeError where that is no `SavedSide`. `fingerprint`: see `Securing`."""
    one = read_side(saved)
    side = Side(
        one.local,
        one.shown,
        one.latching,
        one.session_id,
        codecs=one.codecs,
        hold="inactive" if one.is_held_inactive else "pass",
        dtmf=one.dtmf,
        media_from=one.media_from,
        recodes=one.recodes,
        others=one.others,
        securing=None if one.securing is None else Securing.restored(one.securing, ids, fingerprint),
    )
    side.fax, side.is_plain = one.fax, one.is_plain
    said, told, sent = (_session(one, place) for place in (one.said, one.told, one.sent))
    if said is not None or told is not None:
        side.now = side.settled = Agreed(said, told, one.remotes)
    # Deviation: "the version in the origin field MUST increment by one from the previous SDP", RFC 3264 §8. Of what was
    # on its way when signalling died nobody knows whether it was heard: its number is not used again, and may lack.
    side.origin = Origin(one.session_id, one.version, one.shown)
    side.sent = sent
    side._before = (side.origin, sent)
    side.ports = list(one.ports)
    side.wills = one.wills
    side.numbers = restored_numbers(one.numbers, one.sessions)
    side.epoch = one.epoch
    side._followed = said
    if not one.is_followed and said is not None:
        # It was on its way to another description, which the worker may have been told of: this one is a new one.
        side.epoch += 1
    return side


def read_side(saved: Raw) -> SavedSide:
    """Raises msgspec.DecodeError."""
    one = _decoder.decode(saved)
    places = (one.said, one.told, one.sent, *(place for _, place in one.numbers.unread))
    if any(place >= len(one.sessions) for place in places):
        raise msgspec.ValidationError("a description that is not there")
    return one


def _session(one: SavedSide, place: int) -> Session | None:
    return None if place < 0 else one.sessions[place]


class _Sessions:
    """The descriptions of a side, each once."""

    __slots__ = ("_all",)

    def __init__(self) -> None:
        self._all: list[Session] = []

    def place(self, session: Session | None) -> int:
        if session is None:
            return _NONE
        for i, known in enumerate(self._all):
            if known is session:
                return i
        self._all.append(session)
        return len(self._all) - 1

    @property
    def all(self) -> tuple[Session, ...]:
        return tuple(self._all)
