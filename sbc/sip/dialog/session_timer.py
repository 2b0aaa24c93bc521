"""The session timer of one dialog (RFC 4028): what its requests and 2xxs say of it, and when to refresh or give up.

Every INVITE and UPDATE negotiates anew, whatever it is sent for: what its 2xx says counts from then on, and a 2xx
without Session-Expires stops the timer (§7.2). The leg sends the refreshes and lists `timer` under Supported; this file
neither sends nor knows what a session is. One machine for both ends: as UAC `request_fields`, `is_too_small` and
`agreed`, as UAS `refusal_of`, `take_request` and `response_fields`.

Where a peer leaves the choice to us, we refresh (table 2, row 4): calls die of peers that promise it and do not.
"""

import math
from typing import Final

from msgspec import Struct

from sbc.core.limits import REFUSED_SESSION_INTERVALS, SESSION_SECONDS
from sbc.sip.headers.session import SessionExpires, min_se_of, session_expires_of
from sbc.sip.message import Fields, Request, Response

ABSOLUTE_MINIMUM: Final = 90  # "The absolute minimum for the Session-Expires header field is 90 seconds", §4
_GIVE_UP_SECONDS: Final = 32.0  # before the end, or a third of the interval where that is less: §10
_RETRY_SECONDS: Final = 5.0  # at least, after a refresh that failed
_GRACE_SECONDS: Final = 32.0  # for a refresh after our death: as long as its sender repeats it (64*T1, RFC 3261 §17)

_METHODS: Final = frozenset(("INVITE", "UPDATE"))  # "placed only in INVITE or UPDATE requests", §4


class SessionTimerRules(Struct, frozen=True):
    """In seconds: the interval that we ask for, and the shortest that we agree to."""

    expires: float = 1800.0
    minimum: float = 90.0


class SavedTimer(Struct, frozen=True, omit_defaults=True):
    """Of a dialog in which no request that negotiates is open. Times are the engine's clock."""

    min_se: int | None = None
    asks: bool = True
    is_established: bool = True
    interval: int | None = None
    refreshes: bool = False
    refresh_at: float | None = None
    expire_at: float | None = None


class RefreshDue(Struct, frozen=True):
    """Half of the interval is over: send an UPDATE or a re-INVITE with `request_fields`."""


class SessionExpired(Struct, frozen=True):
    """Nobody has refreshed: "send a BYE to terminate the session, slightly before the session expiration", §10."""


class _Asked(Struct, frozen=True):
    """What a peer's request says: its interval, its Min-SE, and whether it lists `timer`."""

    expires: SessionExpires | None
    minimum: int | None
    supports: bool


class SessionTimer:
    """Made with the dialog's first INVITE, ours or the peer's, and kept as long as the dialog."""

    __slots__ = (
        "_asked",
        "_asks",
        "_expire_at",
        "_interval",
        "_is_established",
        "_min_se",
        "_minimum",
        "_refresh_at",
        "_refreshes",
        "_refusals",
        "_wanted",
    )

    def __init__(self, rules: SessionTimerRules) -> None:
        self._minimum = max(ABSOLUTE_MINIMUM, math.ceil(rules.minimum))
        self._wanted = max(self._minimum, int(rules.expires))
        self._min_se = self._own_min_se  # what our requests say
        self._asks = True  # whether our requests ask for a timer at all
        self._refusals = 0  # 422s since the last 2xx
        self._is_established = False
        self._asked: dict[str, _Asked] = {}  # the last requests of the peer, by method
        self._interval: int | None = None
        self._refreshes = False
        self._refresh_at: float | None = None
        self._expire_at: float | None = None

    def saved(self) -> SavedTimer:
        return SavedTimer(
            self._min_se,
            self._asks,
            self._is_established,
            self._interval,
            self._refreshes,
            self._refresh_at,
            self._expire_at,
        )

    def restore(self, saved: SavedTimer) -> None:
        """As it was, in another life of this program; it goes on with `resume`."""
        self._min_se, self._asks, self._is_established = saved.min_se, saved.asks, saved.is_established
        self._interval, self._refreshes = saved.interval, saved.refreshes
        self._refresh_at, self._expire_at = saved.refresh_at, saved.expire_at

    def resume(self, now: float) -> None:
        """Time went on while we were dead. A refresh of ours that was under way then is sent anew. A session that ran
        out meanwhile may live: who was to refresh it may have tried in vain, and tries on.
        """
        if self._expire_at is None:
            return
        if self._refreshes and self._refresh_at is None:
            self._refresh_at = now
        self._expire_at = max(self._expire_at, now + _GRACE_SECONDS)

    @property
    def is_running(self) -> bool:
        return self._interval is not None

    @property
    def _own_min_se(self) -> int | None:
        """Left out where it says what is meant without it: "its default value … is 90 seconds", §5."""
        return self._minimum if self._minimum > ABSOLUTE_MINIMUM else None

    # --- our requests -------------------------------------------------------------------------------------------------

    def request_fields(self) -> Fields:
        """Of an INVITE or UPDATE of ours. The refresher is named once there is one, so that it stays (§7.4)."""
        if not self._asks or (self._min_se or 0) > SESSION_SECONDS:
            return ()
        expires = SessionExpires(self._interval_to_ask)
        if self.is_running:
            expires = SessionExpires(expires.seconds, "uac" if self._refreshes else "uas")
        fields: Fields = (("Session-Expires", str(expires)),)
        return fields if self._min_se is None else (*fields, ("Min-SE", str(self._min_se)))

    @property
    def _interval_to_ask(self) -> int:
        """ "The maximum of the Min-SE header field … and the current session interval", §7.4."""
        return max(self._min_se or 0, self._interval or self._wanted)

    def is_too_small(self, response: Response) -> bool:
        """Whether to send the request again, with the new `request_fields`: the response is a 422 (§7.3).

        What it asks for is taken over where that is more than we asked for, and no nonsense. Else, and in the end, the
        request goes without a timer: better a call without one than none. A few times at most, until a 2xx comes.
        """
        if response.status != 422:
            return False
        self._refusals += 1
        least = min_se_of(response)
        if not self._asks or self._refusals > REFUSED_SESSION_INTERVALS:
            return False
        is_usable = least is not None and self._interval_to_ask < least <= SESSION_SECONDS
        if is_usable and self._refusals < REFUSED_SESSION_INTERVALS:
            self._min_se = least
        else:
            self._asks = False
        return True

    def agreed(self, response: Response, now: float) -> None:
        """A 2xx to our INVITE or UPDATE. Without Session-Expires no timer runs from now on (§7.2).

        An interval below 90 s counts as 90: nobody can make us refresh faster (§4, §11.1).
        """
        self._refusals = 0
        if not self._is_established:
            # what proxies asked for before there was a dialog is "effectively 'cleared' once the dialog is established"
            self._is_established, self._min_se = True, self._own_min_se
        expires = session_expires_of(response)
        if expires is None:
            self.stop()
            return
        # Interop: the refresher "will be present" (§7.2). Where it is not, it is who it was, or else us: a refresh too
        # many does no harm.
        refreshes = self._role if expires.refresher is None else expires.refresher == "uac"
        self._run(max(expires.seconds, ABSOLUTE_MINIMUM), now, refreshes=refreshes)

    # --- the peer's requests ------------------------------------------------------------------------------------------

    def refusal_of(self, request: Request) -> Fields | None:
        """Not None: the interval is too short for us; answer 422 with these fields (§9)."""
        expires = session_expires_of(request)
        if expires is None or expires.seconds >= self._minimum or not _supports(request):
            return None
        return (("Min-SE", str(self._minimum)),)

    def take_request(self, request: Request) -> None:
        """An INVITE or UPDATE of the peer that is not refused for its interval; others are ignored."""
        if request.method not in _METHODS:
            return
        minimum = min_se_of(request)
        if minimum is not None:
            # Ours have to say "the largest value among all Min-SE header field values … received", §7.4.
            self._min_se = max(minimum, self._min_se or ABSOLUTE_MINIMUM)
        self._asked.pop(request.method, None)
        self._asked[request.method] = _Asked(session_expires_of(request), minimum, _supports(request))

    def response_fields(self, now: float, *, method: str | None = None) -> Fields:
        """Of our 2xx, sent now; starts the timer, or stops it where nothing is agreed.

        `method`: of the request that is answered, where an UPDATE may have come while an INVITE has no response; None:
        the one taken last. Where none was taken: () and nothing changes.
        """
        latest = method or next(reversed(self._asked), "")
        asked = self._asked.get(latest)
        if method is None:
            self._asked.pop(latest, None)  # else it is kept: an UPDATE may be answered before one whose offer waits
        if asked is None:
            return ()
        self._is_established = True
        seconds = self._interval_for(asked)
        if seconds is None:
            self.stop()
            return ()
        self._run(seconds, now, refreshes=self._refreshes_for(asked))
        expires = SessionExpires(seconds, "uas" if self._refreshes else "uac")
        fields: Fields = (("Session-Expires", str(expires)),)
        # "uac": "the UAS MUST place a Require header field into the response"; "uas" and a UAC that supports it: SHOULD
        return (*fields, ("Require", "timer")) if asked.supports else fields

    def _interval_for(self, asked: _Asked) -> int | None:
        """ "The UAS response MAY reduce its value", not below the request's Min-SE; it "MUST NOT increase" it, §9."""
        minimum = asked.minimum or 0
        if asked.expires is None:
            # we may ask for one ourselves, of a peer that knows timers
            seconds = max(self._interval or self._wanted, minimum)
            return seconds if asked.supports and seconds <= SESSION_SECONDS else None
        seconds = asked.expires.seconds
        if seconds < self._minimum:
            return None  # a proxy asked for it, and its UAC would not understand a 422
        # Reduced to our own only where we refresh: a peer that does it in its own time, whatever our 2xx says, would be
        # hung up.
        longest = self._wanted if self._refreshes_for(asked) else SESSION_SECONDS
        return min(seconds, max(longest, minimum))

    def _refreshes_for(self, asked: _Asked) -> bool:
        """Table 2 (§9): the UAC's choice, if it made one. "NA" counts as a UAC that does not support timers."""
        if not asked.supports:
            return True
        if asked.expires is not None and asked.expires.refresher is not None:
            return asked.expires.refresher == "uas"
        return self._role

    # --- time ---------------------------------------------------------------------------------------------------------

    def refresh_failed(self, now: float) -> None:
        """The refresh that was due could not be sent, or did not get its 2xx: another one is due later.

        Ever sooner, but never continuously (§10), until the session expires: each time after half of what is left.
        """
        if self._expire_at is None or self._refresh_at is not None or not self._refreshes:
            return
        again = now + max((self._expire_at - now) / 2, _RETRY_SECONDS)
        self._refresh_at = again if again < self._expire_at else None

    def stop(self) -> None:
        """No timer runs, until another is agreed."""
        self._interval = self._refresh_at = self._expire_at = None

    def tick(self, now: float) -> list[RefreshDue | SessionExpired]:
        if self._expire_at is not None and now >= self._expire_at:
            self.stop()
            return [SessionExpired()]
        if self._refresh_at is not None and now >= self._refresh_at:
            self._refresh_at = None
            return [RefreshDue()]
        return []

    def next_deadline(self) -> float | None:
        return self._expire_at if self._refresh_at is None else self._refresh_at

    @property
    def _role(self) -> bool:
        """Whether we refresh where nobody says who does."""
        return self._refreshes if self.is_running else True

    def _run(self, seconds: int, now: float, *, refreshes: bool) -> None:
        self._interval = seconds
        self._refreshes = refreshes
        # "It is RECOMMENDED that this refresh be sent once half the session interval has elapsed", §7.2, §9
        self._refresh_at = now + seconds / 2 if refreshes else None
        self._expire_at = now + seconds - min(_GIVE_UP_SECONDS, seconds / 3)


def _supports(request: Request) -> bool:
    """Interop: `Require: timer` alone counts too; §7.1 wants it under Supported as well."""
    return any(tag.lower() == "timer" for tag in (*request.supported, *request.require))
