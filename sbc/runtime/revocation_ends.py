"""Revocation lists that end: said in time, for from its `nextUpdate` on a list has everything refused that its
authority has signed (RFC 5280 §5.1.2.5, §6.3.3).

A list lives for hours or days, and somebody has to bring the next one: so the notice is a part of its life. Lists of
one authority count as one, by the first that ends. Used by `certificates`, which reads new ones by a reload.
"""

import math
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog
from msgspec import Struct

from sbc.policy.certificates import ends_of_lists
from sbc.policy.model import Interface, Peer

LIFE_LEFT: Final = 0.25  # of a list's life: whoever brings the next one has missed it several times by then
EARLY_SECONDS: Final = 3 * 86_400.0  # and no sooner: there is time for it after a weekend
_SAID_AGAIN_SECONDS: Final = 86_400.0

log = structlog.get_logger("certificates")


class PolicyOfLists(Protocol):
    @property
    def interfaces(self) -> Mapping[str, Interface]: ...
    @property
    def peers(self) -> Mapping[str, Peer]: ...


class _End(Struct, frozen=True):
    """Seconds since 1970. `early`: from when on it is said."""

    at: float
    early: float


class RevocationEnds:
    def __init__(self) -> None:
        self._read: dict[str, tuple[tuple[str, float, float], ...]] = {}  # by PEM, of the policy in force
        self._ends: dict[str, _End] = {}  # by authority
        self._said: dict[str, tuple[str, float]] = {}  # event, and when it was said last

    def read(self, policy: PolicyOfLists) -> None:
        """A list may be long, and takes its time: to be called in a thread."""
        texts = dict.fromkeys(_texts(policy))
        self._read = {text: self._read.get(text) or tuple(ends_of_lists(text)) for text in texts}
        ends: dict[str, _End] = {}
        for of_text in self._read.values():
            for authority, begins, at in of_text:
                known = ends.get(authority)
                if known is None or at < known.at:
                    ends[authority] = _End(at, at - min(LIFE_LEFT * max(0.0, at - begins), EARLY_SECONDS))
        self._ends = ends

    def expiries(self) -> tuple[tuple[str, float], ...]:
        """When the list of each authority ends, in seconds since 1970."""
        return tuple([(name, end.at) for name, end in self._ends.items()])

    def say(self, now: float) -> None:
        for name, end in self._ends.items():
            self._say(name, end, now)
        for name in self._said.keys() - self._ends.keys():
            del self._said[name]
            log.info("crl.unused", authority=name)

    def _say(self, name: str, end: _End, now: float) -> None:
        if now < end.early:
            if self._said.pop(name, None) is not None:
                log.info("crl.renewed", authority=name, ends=date(end.at))
            return
        event = "crl.expired" if end.at <= now else "crl.expires"
        before, said_at = self._said.get(name, ("", -math.inf))
        if before == event and now - said_at < _SAID_AGAIN_SECONDS:
            return
        self._said[name] = event, now
        if event == "crl.expired":
            log.error("crl.expired", alarm=True, authority=name, ends=date(end.at))
        else:
            log.warning("crl.expires", alarm=True, authority=name, ends=date(end.at))


def date(seconds: float) -> str:
    """Seconds since 1970, for people."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")


def _texts(policy: PolicyOfLists) -> Iterator[str]:
    """Also of an interface whose peers have all their own: what is in the policy is to be good."""
    for interface in policy.interfaces.values():
        if interface.tls.trust.crl:
            yield interface.tls.trust.crl
    for peer in policy.peers.values():
        if peer.tls.trust is not None and peer.tls.trust.crl:
            yield peer.tls.trust.crl
