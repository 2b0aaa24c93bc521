"""What is known of the keys of legs that went from one worker to another: how far they had come (sans-IO).

A worker that gets a pair with a leg waits for word of the one that had it (`wire.Handed`), which may come while it is
away itself; and after its death the next one has to be told anew, because what it had been told may not have been
written down. So the word is kept for as long as the leg has the keys that it went with. Used by `media.client`.
"""

from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from sbc.media import wire
from sbc.media.counting import Key

States = tuple[wire.KeyState, ...]
_UNTOLD: Final = None


class HandOvers:
    """By port pair: the keys that its end had when it went, and what the worker before said of them."""

    __slots__ = ("_went",)

    def __init__(self) -> None:
        self._went: dict[Key, tuple[str, States | None]] = {}

    def goes(self, key: Key, put: wire.PutSession) -> None:
        """The pair is lent to another worker, with a leg of this session. Where nobody has told anything of an earlier
        time yet, nobody has used the keys since: then that word is as good.
        """
        self._went[key] = (_keys_at(key, put), _UNTOLD)

    def told(self, handed: wire.Handed) -> wire.TakeOver | None:
        """For the worker that has the pair now. None: nobody waits for it."""
        key = (handed.local, handed.port)
        keys, states = self._went.get(key, ("", ()))
        if states is not _UNTOLD:
            return None
        self._went[key] = (keys, handed.states)
        return wire.TakeOver(*key, handed.states)

    def is_on_its_way(self, key: Key, put: wire.PutSession) -> bool:
        """Whether the end still has the keys with which it came from another worker."""
        went = self._went.get(key)
        return went is not None and went[0] == _keys_at(key, put)

    def again(self, key: Key) -> wire.TakeOver | None:
        """None: nothing was told yet."""
        states = self._went[key][1]
        return None if states is _UNTOLD else wire.TakeOver(*key, states)

    def forget(self, used: Collection[Key]) -> None:
        """All pairs but these."""
        for key in [key for key in self._went if key not in used]:
            del self._went[key]


def _keys_at(key: Key, put: wire.PutSession) -> str:
    """What tells one key of that end from another. Only as text: a key has no business in this table."""
    for stream in put.streams:
        for end in (stream.ingress, stream.egress):
            if (end.local, end.port) == key:
                return _mark(end.secured)
    return ""


def _mark(secured: wire.Crypto | wire.Dtls | None) -> str:
    if isinstance(secured, wire.Dtls):
        return repr(replace(secured, keys=None, rtcp_keys=None))
    return "" if secured is None else str(hash(secured.send))
