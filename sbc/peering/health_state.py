"""What is known of one address of one server: a machine of four states, without messages.

unknown -> up after `rise` proofs of life in a row; any -> down after `fall` failures in a row; a 503 (RFC 3261 §21.5.4)
suspends: reachable, but not for new calls. Usable are unknown and up. It counts and sets its own deadlines; what is
sent, and what is said to whom, is the table's business (`health`), its only user.
"""

import math
from typing import Final, Literal

from msgspec import Struct

from sbc.peering.hop import Hop
from sbc.peering.views import ServerState
from sbc.policy.model import Health

RETRY_AFTER_SECONDS: Final = (1.0, 600.0)  # a longer absence is for the next probe or the next call to find out
LIVE_SECONDS: Final = 1.0  # live traffic is one proof of life in so long: copies of one response are not several

Returning = Literal["up", "unknown"]


class SavedServer(Struct, frozen=True, omit_defaults=True):
    """What the next life of signalling shall know of an address. Times are of the engine's clock."""

    state: ServerState
    since: float
    why: str
    failures: int = 0
    successes: int = 0
    refusals: int = 0
    refused_at: float = -math.inf
    back_at: float = math.inf
    back_as: Returning = "up"
    held_until: float = -math.inf


class ServerHealth:
    """`health` None: looked at for views alone, never out of service. Times are of the engine's clock."""

    __slots__ = (
        "_back_as",
        "_failures",
        "_held_until",
        "_live_at",
        "_refusals",
        "_refused_at",
        "_successes",
        "_why_down",
        "asked",
        "back_at",
        "has_turn",
        "health",
        "heard_at",
        "hop",
        "is_settled",
        "probe_at",
        "sent_at",
        "since",
        "state",
        "why",
    )

    def __init__(self, hop: Hop, health: Health | None, now: float) -> None:
        self.hop = hop
        self.health = health
        self.state: ServerState = "unknown"
        self.since = now
        self.why = "nothing heard yet"
        self.is_settled = False  # up, and nothing speaks against it: most of the time
        self.heard_at = -math.inf  # the last response of live traffic, while settled
        self.probe_at = math.inf  # the next OPTIONS
        self.asked = 0  # the number of the OPTIONS under way, 0: none
        self.sent_at = -math.inf  # when the last OPTIONS went out
        self.has_turn = False  # to be asked at `probe_at`, when those are done who are asked before it
        self.back_at = math.inf  # usable again by itself
        self._back_as: Returning = "up"
        self._held_until = -math.inf  # suspended by calls: no probe's answer ends it earlier
        self._failures = 0  # in a row
        self._successes = 0  # in a row
        self._refusals = 0  # 503s to calls, with no call served between them
        self._refused_at = -math.inf
        self._live_at = -math.inf
        self._why_down = ""  # when it went down; later failures say the same with other numbers

    @property
    def is_usable(self) -> bool:
        return self.state not in ("down", "suspended")

    @property
    def is_probed(self) -> bool:
        return self.health is not None and not self.health.passive

    @property
    def interval(self) -> float:
        """Between probes, now."""
        if self.health is None:
            return math.inf
        return self.health.options if self.state == "up" and not self._failures else self.health.retry

    @property
    def patience(self) -> float:
        """For the answer to a probe."""
        return math.inf if self.health is None else self.health.timeout

    def reconfigure(self, hop: Hop, health: Health | None, now: float) -> None:
        """After a reload. What is known stays, unless nothing could ever change it again."""
        self.hop = hop
        if health == self.health:
            return
        self.health = health
        if not self.is_usable:
            self._become("unknown", "the policy has changed", now)
        if not self.is_probed:
            self.probe_at = math.inf
        self._settle()

    def saved(self) -> SavedServer | None:
        """None: nothing is known. Numbers that change nothing any more are left out, so that what is stored is news."""
        health = self.health
        if health is None or (self.state == "unknown" and not self._failures):
            return None
        is_down = self.state == "down"
        return SavedServer(
            self.state,
            self.since,
            self.why if not is_down else self._why_down,
            min(self._failures, health.fall),
            min(self._successes, health.rise) if is_down else 0,
            self._refusals,
            self._refused_at if self._refusals else -math.inf,
            self.back_at,
            self._back_as,
            self._held_until,
        )

    def restore(self, saved: SavedServer, now: float) -> None:
        """What an earlier life has saved. Where the policy has changed since, nothing that could never change again."""
        if self.health is None:
            return
        self.state, self.since, self.why = saved.state, min(saved.since, now), saved.why
        self._why_down = saved.why
        self._failures, self._successes, self._refusals = saved.failures, saved.successes, saved.refusals
        self._refused_at = saved.refused_at
        self.back_at, self._back_as, self._held_until = saved.back_at, saved.back_as, saved.held_until
        if not self.is_usable and self.health.passive and self.back_at == math.inf:
            self.back_at, self._back_as = now + self.health.retry, "unknown"
        self._settle()

    # --- what is learned ----------------------------------------------------------------------------------------------

    def succeed(self, why: str, now: float) -> None:
        """A proof of life."""
        self._failures = 0
        self._successes += 1
        if self.state == "suspended":
            if now >= self._held_until:
                self._become("up", why, now)
        elif self.state != "up" and (self.health is None or self._successes >= self.health.rise):
            self._become("up", why, now)
        self._settle()

    def hear(self, status: int | None, now: float) -> bool:
        """Live traffic: a response's status (no 503), or None: a request. True: worth a probe at once.

        A request shows that the server lives, not that we reach it: where there are probes, one shall tell.
        """
        if status is None:
            if self.is_probed:
                return now >= self._held_until
        elif status == 100:
            return False  # from a hop on the way as likely as not, and what follows may be a 503 or silence
        elif status < 200:
            self._refusals = 0
        if now - self._live_at >= LIVE_SECONDS:
            self._live_at = now
            self.succeed("live traffic", now)
        self._settle()
        return False

    def fail(self, why: str, now: float) -> None:
        """Silence, or a transport failure."""
        self._successes = 0
        if self.health is None:
            self._become("unknown", why, now)
        else:
            self._failures += 1
            if self._failures >= self.health.fall:
                self._go_down(f"{why}; {self._failures} failures in a row", now)
        self._settle()

    def suspend(self, why: str, retry_after: float | None, now: float) -> None:
        """A probe got a 503. One other reply, or the end of `retry_after` seconds, brings it back."""
        if self.health is None:
            return self.succeed("answered 503", now)
        self._failures = self._successes = 0
        held_until = self._held_until if self.state == "suspended" else -math.inf
        if retry_after is None and now < held_until:
            return None
        self._become("suspended", why, now)
        self._held_until, self._back_as = held_until, "up"
        if retry_after is not None:
            self.back_at = max(now + _bounded(retry_after), held_until)
        return self._settle()

    def refuse(self, retry_after: float | None, now: float) -> None:
        """A call got a 503. With Retry-After it says itself for how long; without, `fall` of them suspend as well."""
        health = self.health
        if health is None:
            return
        if retry_after is not None:
            seconds = _bounded(retry_after)
            self._hold(f"503 with Retry-After, for {seconds:g} s", seconds, now)
            self.back_at = self._held_until
        else:
            # Answers to other requests do not end the row: an overloaded server says 200 to BYE and OPTIONS.
            self._refusals = self._refusals + 1 if now - self._refused_at <= health.options else 1
            self._refused_at = now
            if self._refusals >= health.fall:
                self._hold(f"503 to {self._refusals} calls in a row", 0.0 if health.passive else health.options, now)
                if health.passive:
                    self.back_at, self._back_as = now + health.retry, "unknown"
        self._settle()

    # --- time ---------------------------------------------------------------------------------------------------------

    def come_back(self, now: float) -> None:
        """`back_at` has come. A passive server is given a trial: one more failure, and it is down again."""
        if now < self.back_at:
            return
        why = "the time that it asked for is over" if self._back_as == "up" else "on trial"
        self._become(self._back_as, why, now)
        self._settle()

    def postpone(self, now: float) -> bool:
        """True: it has answered live traffic lately and needs no probe yet."""
        if not self.is_settled or self.health is None or self.heard_at + self.health.options <= now:
            return False
        self.probe_at = self.heard_at + self.health.options
        return True

    def timed_out(self, now: float) -> bool:
        return self.sent_at + self.patience <= now

    def next_deadline(self) -> float | None:
        at = min(self.sent_at + self.patience if self.asked else self.probe_at, self.back_at)
        return None if at == math.inf else at

    # --- inside -------------------------------------------------------------------------------------------------------

    def _go_down(self, why: str, now: float) -> None:
        if self.state != "down":
            self._why_down = why
        self._become("down", why, now)
        if self.health is not None and self.health.passive:
            self.back_at, self._back_as = now + self.health.retry, "unknown"

    def _hold(self, why: str, seconds: float, now: float) -> None:
        self._failures = self._successes = self._refusals = 0
        until = max(self._held_until, now + seconds) if self.state == "suspended" else now + seconds
        self._become("suspended", why, now)
        self._held_until, self._back_as = until, "up"

    def _become(self, state: ServerState, why: str, now: float) -> None:
        if state != self.state:
            self.state, self.since = state, now
        self.why = why
        if state != "down":
            self._refusals = 0
        self.back_at, self._held_until = math.inf, -math.inf

    def _settle(self) -> None:
        self.is_settled = self.state == "up" and not self._failures and not self._refusals


def _bounded(seconds: float) -> float:
    low, high = RETRY_AFTER_SECONDS
    return min(max(seconds, low), high)
