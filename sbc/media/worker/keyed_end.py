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
        far.secure(around.keyring(), now.ref, {}, is_resumed=now.resumed)
    elif secured is not None:
        from sbc.media.worker.keying import settle  # noqa: PLC0415

        associations = settle(far, secured, around, _told(far, secured.association, put, around))
        far.secure(around.keyring(), now.ref, associations, is_resumed=now.resumed)


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
