"""The keys `methods` and `events` of a peer: which requests it may send us, and which events they may be about.

Everything else it sends is refused: 405 for a method, 489 for an event (RFC 6665 §7.3.2). `b2bua` does that.
"""

import difflib
from collections.abc import Iterable
from typing import Final

from sbc.policy.model import EVENTS
from sbc.policy.problems import UnfitError
from sbc.policy.schema import At, nearest
from sbc.sip.method import KNOWN_METHODS
from sbc.sip.scan import is_token

IMPLIED_METHODS: Final = frozenset({"ACK", "BYE", "CANCEL", "PRACK"})
"""They belong to a call that was let through already: without BYE, a peer could not hang up what it has answered."""

IMPLIED_EVENTS: Final = frozenset({"refer"})
"""It belongs to a transfer, which `transfer` rules."""

EVENT_METHODS: Final = frozenset({"SUBSCRIBE", "NOTIFY", "PUBLISH"})

_PACKAGES: Final = EVENTS | {
    "as-feature-event", "call-completion", "call-info", "check-sync", "hold", "kpml", "line-seize", "talk",
    "ua-profile", "vq-rtcpxr", "xcap-diff",
}  # fmt: skip
_NICKNAMES: Final = {"mwi": "message-summary", "voicemail": "message-summary", "blf": "dialog", "blfs": "dialog"}

_LISTED: Final = tuple(sorted(KNOWN_METHODS - {"REGISTER"}))


def method(text: str) -> str:
    """In any case, though on the wire methods are in capitals."""
    name = text.upper()
    if name == "REGISTER":
        raise UnfitError("`REGISTER` is none of the methods here", "expected `registers: true` on a pbx that registers")
    if name not in _LISTED:
        raise UnfitError(f"`{text}` is no method that we know", nearest(name, _LISTED))
    return name


def event(text: str) -> str:
    """An event package, with its templates: `presence.winfo`. "The event-type portion … is compared byte by byte"
    (RFC 6665 §8.2.1), so only the packages that we know are put into their case."""
    if not is_token(text) or not all(text.split(".")) or len(text) > 64:
        raise UnfitError(f"`{text}` is no event package", "expected a name such as message-summary")
    return text.lower() if text.lower() in EVENTS else text


def meant_by(name: str) -> str | None:
    """The event package that was probably meant by a name that we do not know; None: any may be somebody's own."""
    base = name.partition(".")[0].lower()
    if base in _PACKAGES:
        return None
    return next(iter(difflib.get_close_matches(base, _PACKAGES, n=1, cutoff=0.75)), _NICKNAMES.get(base))


def allowed_methods(listed: Iterable[At]) -> frozenset[str]:
    return IMPLIED_METHODS.union(at.value for at in listed)


def allowed_events(listed: Iterable[At]) -> frozenset[str]:
    return IMPLIED_EVENTS.union(at.value for at in listed)
