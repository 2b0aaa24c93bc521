"""Entity-tags of published state (RFC 3903 §4.1), ours for theirs: one of our own names each publication.

A tag means something only to the server that gave it, so that what refreshes a publication goes there first; and it may
name that server. Bounded, and forgotten when the publication expires: then the publisher is told 412, and sends its
state anew (§5). Used by `exchange`.
"""

from collections import OrderedDict
from typing import Final

from msgspec import Struct

from sbc.b2bua.hunt import Attempt
from sbc.core import limits
from sbc.core.ids import IdSource
from sbc.sip.scan import is_token

_LONGEST_TAG: Final = 256  # characters


class Publication(Struct, frozen=True):
    """`tag` is the server's; `peer`: who publishes, and nobody else may; `package`: of the event."""

    peer: str
    package: str
    tag: str
    attempt: Attempt
    expires_at: float


class Publications:
    """When there are too many, the oldest of the peer that has the most is forgotten: nobody can push out others'."""

    def __init__(self, ids: IdSource) -> None:
        self._ids = ids
        self._of: dict[str, OrderedDict[str, Publication]] = {}  # by peer
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def find(self, tag: str, peer: str, package: str, now: float) -> Publication | None:
        theirs = self._of.get(peer)
        found = None if theirs is None else theirs.get(tag)
        if found is None or found.package != package or found.expires_at <= now:
            return None
        return found

    def published(self, publication: Publication, was: str) -> str:
        """Our tag, which takes the place of the one that it `was` known by (§6: a new one with each 2xx)."""
        peer = publication.peer
        self.forget(was, peer)
        if len(publication.tag) > _LONGEST_TAG or not is_token(publication.tag):
            return ""
        ours = self._ids.tag()
        self._of.setdefault(peer, OrderedDict())[ours] = publication
        self._count += 1
        if self._count > limits.PUBLICATIONS:
            most = max(self._of, key=lambda name: len(self._of[name]))
            self.forget(next(iter(self._of[most])), most)
        return ours

    def forget(self, tag: str, peer: str) -> None:
        theirs = self._of.get(peer)
        if theirs is None or theirs.pop(tag, None) is None:
            return
        self._count -= 1
        if not theirs:
            del self._of[peer]

    def forget_expired(self, now: float) -> None:
        """Of each peer from the oldest on, as far as they have expired: one that outlives its neighbours keeps them a
        while.
        """
        for peer, theirs in list(self._of.items()):
            while theirs and next(iter(theirs.values())).expires_at <= now:
                self.forget(next(iter(theirs)), peer)
