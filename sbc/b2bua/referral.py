"""The implicit subscription that a REFER makes: who asked for a transfer is told how it goes (RFC 3515 §2.4.4 to §2.4.7
and §3, RFC 6665 §4.2).

One NOTIFY at a time, so that none overtakes another. A state that is out of date when its turn comes is left out. It
knows no dialog and sends nothing: what it returns is asked of the transferor's leg. `transfer` uses it.
"""

import re
from typing import Final

from msgspec import Struct

from sbc.sip.headers.event import Event, SubscriptionState
from sbc.sip.message import Fields, Request, Response
from sbc.sip.status import reason_phrase

# "The duration SHOULD be chosen to be longer than the time the referenced request will be given to complete", §3.4
SUBSCRIPTION_SECONDS: Final = 600.0
_BETWEEN_NOTIFIES: Final = 1.0  # "SHOULD NOT be sent more frequently than once per second", §3.10
_SIPFRAG: Final = ("Content-Type", "message/sipfrag;version=2.0")
_STATUS_LINE: Final = re.compile(rb"SIP/2\.0[ \t]++([1-6][0-9]{2})(?![0-9])")


class Notification(Struct, frozen=True):
    """A NOTIFY to be sent; its final response comes back with `n`."""

    n: int
    fields: Fields
    body: bytes


class Subscribed(Struct, frozen=True):
    """How a SUBSCRIBE is answered."""

    status: int
    fields: Fields = ()


class SavedReferral(Struct, frozen=True, array_like=True):
    """`id`: of the REFER. `final`: why the NOTIFY that has no answer yet is the last one; "": it is not."""

    id: str
    is_first: bool
    expires_at: float
    status: int
    final: str = ""


class Referral:
    """`cseq` is that of the REFER. `is_first`: no REFER came in this dialog before."""

    __slots__ = ("_due", "_expires_at", "_final", "_id", "_in_flight", "_is_first", "_n", "_owed", "_status", "_told")

    def __init__(self, cseq: int, now: float, *, is_first: bool) -> None:
        self._id = str(cseq)
        self._is_first = is_first
        self._expires_at: float | None = now + SUBSCRIPTION_SECONDS
        self._status = 100
        self._told = 0
        self._final = ""  # why the next NOTIFY is the last one
        self._owed = False  # one must go out whether there is news or not
        self._n = 0
        self._in_flight = False
        self._due = now

    def saved(self) -> SavedReferral:
        """While it is not over."""
        return SavedReferral(self._id, self._is_first, self._expires_at or 0.0, self._status, self._final)

    def remind(self, now: float) -> list[Notification]:
        """In another life: what was said last may not have been heard."""
        self._owed = True
        return self._next(now)

    @property
    def is_over(self) -> bool:
        """The last NOTIFY has its answer, or none will be sent."""
        return self._expires_at is None and not self._in_flight

    def report(self, status: int, now: float) -> list[Notification]:
        """The target is being called: 100 or another provisional status. The first makes the subscription known."""
        if not self._final:
            self._status = status
        return self._next(now)

    def finish(self, status: int, now: float) -> list[Notification]:
        """It is decided."""
        if not self._final:
            # "MUST indicate the subscription has been "terminated" with a reason of "noresource"", RFC 3515 §2.4.7
            self._status, self._final = status, "noresource"
        return self._next(now)

    def hurry(self, now: float) -> list[Notification]:
        """What is still to be said, at once: the dialog is about to go."""
        self._in_flight = False
        return self._next(now) if self._final else []

    def close(self) -> None:
        """The dialog is gone: there is nobody left to be told."""
        self._expires_at, self._in_flight = None, False

    def is_meant(self, event: Event) -> bool:
        """Whether a SUBSCRIBE is about this one. "A SUBSCRIBE sent to refresh or terminate this subscription MUST
        contain this id parameter", §2.4.6; for the first one it may be missing."""
        return event.id == self._id or (event.id is None and self._is_first)

    def take_subscribe(self, request: Request, now: float) -> tuple[Subscribed, list[Notification]]:
        """Refresh, or the end by the transferor's will, which takes nothing back (§2.4.4)."""
        if self._expires_at is None or self._final:
            return Subscribed(403), []  # "for a subscription that does not already exist", §2.4.4
        wanted = request.expires
        seconds = SUBSCRIPTION_SECONDS if wanted is None else min(float(wanted), SUBSCRIPTION_SECONDS)
        if seconds == 0:
            self._final = "timeout"
        self._expires_at, self._owed = now + seconds, True
        return Subscribed(200, (("Expires", str(int(seconds))),)), self._next(now)

    def answered(self, n: int, response: Response | None, now: float) -> list[Notification]:
        """The final response to NOTIFY `n`; None: silence."""
        if n != self._n or not self._in_flight:
            return []
        self._in_flight = False
        # "If the NOTIFY request fails due to expiration of SIP Timer F …, the notifier SHOULD remove the subscription",
        # RFC 6665 §4.2.2; so it does on an error, unless that says when to try again.
        if response is None or (response.status >= 300 and response.header("Retry-After") is None):
            self.close()
        return self._next(now)

    def tick(self, now: float) -> list[Notification]:
        if self._expires_at is not None and now >= self._expires_at and not self._final:
            self._final = "timeout"
        return self._next(now)

    def next_deadline(self) -> float | None:
        if self._expires_at is None or self._in_flight:
            return None
        return min(self._due, self._expires_at) if self._has_news else self._expires_at

    @property
    def _has_news(self) -> bool:
        return self._owed or self._status != self._told or self._final != ""

    def _next(self, now: float) -> list[Notification]:
        if self._expires_at is None or self._in_flight or not self._has_news:
            return []
        # What ends the waiting for somebody is said at once.
        if now < self._due and not (self._final or self._owed):
            return []
        seconds = max(0, int(self._expires_at - now))
        if self._final:
            state = SubscriptionState("terminated", reason=self._final)
            self._expires_at = None
        else:
            state = SubscriptionState("active", expires=seconds)
        self._n += 1
        self._told, self._owed, self._in_flight, self._due = self._status, False, True, now + _BETWEEN_NOTIFIES
        # "for the second and subsequent REFER requests a UA receives in a given dialog, it MUST include an id", §2.4.6
        event = "refer" if self._is_first else f"refer;id={self._id}"
        fields = (("Event", event), ("Subscription-State", str(state)), _SIPFRAG)
        return [Notification(self._n, fields, sipfrag(self._status))]


def restored_referral(saved: SavedReferral, now: float) -> Referral:
    referral = Referral(0, now, is_first=saved.is_first)
    referral._id, referral._status, referral._final = saved.id, saved.status, saved.final
    referral._expires_at, referral._told = saved.expires_at, saved.status
    return referral


def sipfrag(status: int) -> bytes:
    """ "MUST begin with a SIP Response Status-Line", §2.4.5; nothing else is said of the target."""
    return f"SIP/2.0 {status} {reason_phrase(status)}\r\n".encode("ascii")


def status_of(body: bytes) -> int | None:
    """Of a peer's NOTIFY; None where its body is none."""
    match = _STATUS_LINE.match(body)
    return None if match is None else int(match[1])
