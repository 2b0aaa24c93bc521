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
    """The oldest is forgotten when there are too many."""

    def __init__(self, ids: IdSource) -> None:
        self._ids = ids
        self._of: OrderedDict[str, Publication] = OrderedDict()

    def __len__(self) -> int:
        return len(self._of)

    def find(self, tag: str, peer: str, package: str, now: float) -> Publication | None:
        found = self._of.get(tag)
        if found is None or (found.peer, found.package) != (peer, package) or found.expires_at <= now:
            return None
        return found

    def published(self, publication: Publication, was: str) -> str:
        """Our tag, which takes the place of the one that it `was` known by (§6: a new one with each 2xx)."""
        self._of.pop(was, None)
        if len(publication.tag) > _LONGEST_TAG or not is_token(publication.tag):
            return ""
        ours = self._ids.tag()
        self._of[ours] = publication
        while len(self._of) > limits.PUBLICATIONS:
            self._of.popitem(last=False)
        return ours

    def forget(self, tag: str) -> None:
        self._of.pop(tag, None)

    def forget_expired(self, now: float) -> None:
        """From the oldest on, as far as they have expired: one that outlives its neighbours keeps them a while."""
        while self._of and next(iter(self._of.values())).expires_at <= now:
            self._of.popitem(last=False)
