"""What becomes of the keys of one end whenever its session is put: handshakes are settled, shields get their keys.

Nothing heavy is imported before an end is secured: what plain calls need none of would make each start of a worker
longer. Used by `session`.
"""

from collections.abc import Callable, Iterator
from typing import Final

from sbc.media import wire
from sbc.media.worker.far_end import FarEnd, Key
from sbc.media.worker.surroundings import Surroundings

_SIDES: Final[tuple[wire.SideName, ...]] = ("ingress", "egress")


def secure(far: FarEnd, put: Callable[[], wire.PutSession], around: Surroundings) -> None:
    """As the end says, which may be plain. `put`: what its session was put as last, whenever it is asked."""
    secured, now = far.end.secured, put()
    if not isinstance(secured, wire.Dtls):
        around.forget_associations(far.pair.key)
    if isinstance(secured, wire.Crypto):
        far.secure(around.keyring(), now.ref, {}, is_resumed=now.resumed, is_adopted=now.adopted)
    elif secured is not None:
        from sbc.media.worker.keying import settle  # noqa: PLC0415

        associations = settle(far, secured, around, _told(far, secured.association, put, around))
        far.secure(around.keyring(), now.ref, associations, is_resumed=now.resumed, is_adopted=now.adopted)
    if far.shield is not None and (far.shield.is_spent or (now.adopted and _lacks_keys(far))):
        for n, side in _places(now, far.pair.key):
            around.say(wire.KeySpent(now.ref, now.generation, n, side))


def known_keys(far: FarEnd, put: wire.PutSession) -> Iterator[wire.Keyed]:
    """What the handshakes of this end have come to, for signalling that has been started again."""
    shield, secured = far.shield, far.end.secured
    if shield is None or not isinstance(secured, wire.Dtls):
        return
    for is_rtcp, association in shield.associations.items():
        if association.keys is not None:
            for n, side in _places(put, far.pair.key):
                number = secured.association
                yield wire.Keyed(put.ref, put.generation, n, side, number, association.keys, "", is_rtcp)


def _lacks_keys(far: FarEnd) -> bool:
    """Of a handshake that was in another life, and which the far end does not begin anew by itself."""
    return far.shield is not None and any(one.keys is None for one in far.shield.associations.values())


def _told(
    far: FarEnd, association: int, put: Callable[[], wire.PutSession], around: Surroundings
) -> Callable[[bool, wire.Crypto | None, str], None]:
    """What is done when a handshake of this end has come to something."""

    def told(is_rtcp: bool, keys: wire.Crypto | None, error: str) -> None:  # noqa: FBT001 - see `keying.Told`
        now = put()
        if keys is not None and far.security is not None and not far.pair.is_awaited:
            far.security.put(far.end, now.ref, around.keyring(), is_resumed=False)
        for n, side in _places(now, far.pair.key):
            around.say(wire.Keyed(now.ref, now.generation, n, side, association, keys, error, is_rtcp))

    return told


def _places(put: wire.PutSession, key: Key) -> Iterator[tuple[int, wire.SideName]]:
    """Where this end stands in the session."""
    for n, stream in enumerate(put.streams):
        for side in _SIDES:
            end = stream.ingress if side == "ingress" else stream.egress
            if (end.local, end.port) == key:
                yield n, side
