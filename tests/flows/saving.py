"""What every flow test shows besides: a call's media can be written down in each state that it reaches while the call
is up, and what is read again is the same.
"""

import msgspec

from sbc.b2bua.saved_media import SavedMedia, restore_media, save_media
from sbc.b2bua.states import Talking

_OF_SIDE = (
    "_others", "codecs", "dtmf", "epoch", "fax", "is_plain", "latching", "local", "media_from", "origin", "ports",
    "recodes", "sent", "settled", "shown", "wills",
)  # fmt: skip
_OF_LISTENING = (
    "_ways", "_generation", "_is_fresh", "_before", "_began", "_began_at", "_at", "_not_heard", "_said_at", "_heard_at",
    "_fell_silent", "_forged", "_past", "_told",
)  # fmt: skip


class Pool:
    """Ports of nobody."""

    def hold(self, local, ports):
        pass

    def give_back(self, local, ports, now):
        pass


class Around:
    def __init__(self, context):
        self.ports, self.media_rules, self.ids = Pool(), context.media_rules, context.ids
        self.totals, self.fingerprint = context.totals, context.fingerprint


def check(call, now):
    """Raises AssertionError where something is lost."""
    media = call.media
    if not isinstance(call.state, Talking) or "ingress" not in media.sides:
        return
    saved = save_media(media)
    data = msgspec.msgpack.encode(saved)
    again = restore_media(msgspec.msgpack.decode(data, type=SavedMedia), call.ref, Around(call.context), now)
    assert list(again.sides) == sorted(media.sides, reverse=True)
    for name, side in media.sides.items():
        _same(side, again.sides[name])
    for name in _OF_LISTENING:
        assert getattr(again.listening, name) == getattr(media.listening, name), name
    if media.offer is None and all(side.now is side.settled for side in media.sides.values()):
        _same_put(media, again, now)


def _same(side, again):
    for name in _OF_SIDE:
        if name == "epoch" and side._followed is not side.settled.said:
            continue
        one, other = getattr(side, name), getattr(again, name)
        assert (list(one) if name == "_others" else one) == (list(other) if name == "_others" else other), name
    assert (again.sent is again.settled.told) == (side.sent is side.settled.told)
    numbers = side.numbers
    assert (again.numbers._told, again.numbers._said) == (numbers._told, numbers._said)
    assert again.numbers._unread == numbers._unread
    assert (again.securing is None) == (side.securing is None)
    if side.securing is not None:
        assert again.securing.saved() == side.securing.saved()
        assert again.securing._fingerprint == side.securing._fingerprint


def _same_put(media, again, now):
    put = again.resume(now)
    if put is None:
        assert not media.is_up
        return
    if all(side._followed is side.now.said for side in media.sides.values()):
        assert put == msgspec.structs.replace(media._as_put(), adopted=True)
    assert again.is_answered == media.is_answered
