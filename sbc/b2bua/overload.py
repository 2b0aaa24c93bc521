"""How much new work is let in: judged by how long what arrives has waited, and peer by peer.

A rate is found (`steering`) at which what all peers share stays short: the datagrams' queues, and the lag of the loop.
Each peer has its fair share of it: who asks for less than his share has all of it. The queue of a stream says something
about that stream alone, since a peer that floods one keeps it long whatever is refused: so it has a rate of its own,
which binds nobody but whose it is. What one peer may have is a fraction, and a call is let in or not by its Call-ID, so
that asking again is no lottery. It reads no message, and sends nothing: `shedding` does. Times are seconds of the
engine's clock.

Units of work: a new call is one; what else begins something costs a fifth of it.
"""

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Final

from msgspec import Struct

from sbc.b2bua.steering import INTERVAL, TARGET, Steering

LATE: Final = 0.3  # whoever has more than his share gets nothing more until the queue is shorter
TOO_LATE: Final = 0.5  # peers repeat by now what waits (T1, RFC 3261 §17): a refusal would not come in time either
_SMOOTHING: Final = 0.5
_LEAST_TOLD: Final = 0.05  # a client that is told to send nothing could never show that it has less
_NOTHING: Final = 0.05  # units a second: such a peer is forgotten
_SAYS_IT_FITS: Final = 0.98  # of what is asked for: all of it

CALL: Final = 1.0
BESIDE: Final = 0.2


class Kind(Enum):
    """What begins something, in the order in which it is refused: what goes on beside calls first, then calls, then
    registrations. Without those nobody would be reachable when it is over, and all would register at once.
    """

    BESIDE = "beside"
    CALL = "call"
    REGISTER = "register"


class Verdict(Enum):
    ADMIT = "admit"
    REFUSE = "refuse"
    DROP = "drop"  # without a word


class OverloadView(Struct, frozen=True):
    """`level`: the fraction of new work that is refused now, 0 to 1. `age`: seconds that the oldest message waited in
    the last interval. `shed`: peer, method and "refused" or "dropped", how many since the start.
    """

    is_on: bool = False
    level: float = 0.0
    age: float = 0.0
    rate: float | None = None  # units a second that are let in of all peers; None: whatever comes
    shed: tuple[tuple[str, str, str, int], ...] = ()


class _Peer:
    __slots__ = ("admitted", "demand", "fraction", "offered", "told")

    def __init__(self) -> None:
        self.offered = 0.0  # units in this interval
        self.admitted = 0.0
        self.demand = 0.0  # units a second, smoothed
        self.fraction = 1.0  # of what arrives
        self.told = 1.0  # RFC 7339: of what it would send


class Overload:
    """`is_on`: somebody must ask about each new piece of work; while it is not, nothing need be counted."""

    def __init__(self) -> None:
        self.is_on = False
        self.is_shedding = False
        self.level = 0.0
        self.age = 0.0
        self.changed_at = 0.0  # when peers were told something else last; the sequence of RFC 7339
        self._shared = Steering(0.0)  # by what all peers wait in
        self._own: dict[str, Steering] = {}  # by peer: by its streams alone, while those are or were long
        self._peers: dict[str, _Peer] = {}
        self._due = 0.0

    # --- what it is told ----------------------------------------------------------------------------------------------

    def queued(self, age: float, queue: str, now: float, *, whose: str | None = None) -> None:
        """The oldest message of this queue has waited so long. To be told while there is a queue, and when there is
        none any more. `whose`: the peer that alone has filled it; None: all wait in it.
        """
        if not self.is_on:
            if age <= TARGET:
                return
            self.is_on, self._due, self._shared = True, now + INTERVAL, Steering(now)
        steering = self._shared if whose is None else self._own.get(whose)
        if steering is None:
            if age <= TARGET or whose is None:
                return
            steering = self._own[whose] = Steering(now)
        steering.queued(age, queue, now)

    def admits(self, peer: str, kind: Kind, mark: float) -> Verdict:
        """`mark`: a number in [0, 1) that is drawn of what asks, the same each time that it asks."""
        one = self._peers.get(peer)
        if one is None:
            one = self._peers[peer] = _Peer()
        units = CALL if kind is Kind.CALL else BESIDE
        one.offered += units
        if one.fraction < 1.0:
            age = self._last_age(peer)
            if mark >= _allowed(one.fraction, kind, age):
                return Verdict.DROP if age > TOO_LATE else Verdict.REFUSE
        one.admitted += units
        return Verdict.ADMIT

    def _last_age(self, peer: str) -> float:
        """Of what this peer waits in."""
        own = self._own.get(peer)
        return self._shared.last_age if own is None else max(own.last_age, self._shared.last_age)

    def fraction(self, peer: str) -> float:
        """Of the calls of this peer that arrive, how many are let in."""
        one = self._peers.get(peer)
        return 1.0 if one is None else one.fraction

    def loss(self, peer: str) -> int:
        """Percent of its new work that a client who speaks RFC 7339 is asked to leave out."""
        one = self._peers.get(peer)
        return 0 if one is None or not self.is_shedding else round(100 * (1.0 - one.told))

    def busiest(self) -> str:
        """Who asks for more than he gets, the most of all."""
        over = [(one.demand, name) for name, one in self._peers.items() if one.fraction < 1.0]
        return max(over)[1] if over else ""

    @property
    def rate(self) -> float | None:
        """Units a second that are let in of all peers together; None: whatever comes."""
        return self._shared.rate if self._shared.is_limit else None

    # --- judgement ----------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        return self._due if self.is_on else None

    def tick(self, now: float, *, speakers: Collection[str] = ()) -> None:
        """Judge anew where it is time. `speakers`: peers that do as RFC 7339 tells them."""
        if not self.is_on or now < self._due:
            return
        seconds = INTERVAL + now - self._due
        self._due = now + INTERVAL
        self._measure(seconds, speakers)
        self._steer(now)
        self._share(speakers)
        self.changed_at = now
        if not self._own and not self.is_shedding and self._shared.is_over(now):
            self._end()

    def _measure(self, seconds: float, speakers: Collection[str]) -> None:
        """What everybody asks for; a client that already leaves some out would send more if it were not told to."""
        for name, one in list(self._peers.items()):
            asked = one.offered / seconds / (one.told if name in speakers else 1.0)
            one.demand = asked if one.demand == 0.0 else one.demand + _SMOOTHING * (asked - one.demand)
            if one.demand < _NOTHING and one.fraction >= 1.0:
                del self._peers[name]

    def _steer(self, now: float) -> None:
        self._shared.steer(sum(one.admitted for one in self._peers.values()) / INTERVAL, now)
        if self._own and self._shared.rate is not None and self._shared.is_over(now):
            self._shared = Steering(now)  # a flood on one stream may go on for hours; the others' limit is forgotten
        for name, own in list(self._own.items()):
            peer = self._peers.get(name)
            own.steer(0.0 if peer is None else peer.admitted / INTERVAL, now)
            if own.is_over(now):
                del self._own[name]
        self.age = max(self._shared.age, max((own.age for own in self._own.values()), default=0.0))

    def _share(self, speakers: Collection[str]) -> None:
        peers = self._peers
        shares = self._shares()
        wanted = given = 0.0
        for name, one in peers.items():
            share, demand = shares[name], one.demand
            fits = share >= _SAYS_IT_FITS * demand
            one.told = 1.0 if fits else max(_LEAST_TOLD, share / demand)
            arriving = demand * one.told if name in speakers and not fits else demand
            one.fraction = 1.0 if share >= _SAYS_IT_FITS * arriving else share / arriving
            one.offered = one.admitted = 0.0
            wanted += demand
            given += min(share, demand)
        self.is_shedding = any(one.told < 1.0 for one in peers.values())
        self.level = 1.0 - given / wanted if self.is_shedding and wanted else 0.0

    def _shares(self) -> dict[str, float]:
        """By peer, units a second: no more than its own streams bear, and of that its part of what all share."""
        wishes = {name: one.demand for name, one in self._peers.items()}
        for name, own in self._own.items():
            demand = wishes.get(name, 0.0)
            own.is_limit = own.rate is not None and own.rate < _SAYS_IT_FITS * demand
            if own.rate is not None and own.rate < demand:
                wishes[name] = own.rate
        rate = self._shared.rate
        shares = wishes if rate is None else fair_shares(wishes, rate)
        self._shared.is_limit = any(shares[name] < _SAYS_IT_FITS * wish for name, wish in wishes.items())
        return shares

    def _end(self) -> None:
        self.is_on = self.is_shedding = False
        self.level, self.age = 0.0, 0.0
        self._peers = {}


def _allowed(fraction: float, kind: Kind, age: float) -> float:
    """Of what has waited so long, by a peer of whose calls this fraction may be let in."""
    if kind is Kind.REGISTER:
        return 0.0 if age > TOO_LATE else 2.0 * fraction
    if age > LATE:
        return 0.0
    return fraction if kind is Kind.CALL else 2.0 * fraction - 1.0


def fair_shares(demands: Mapping[str, float], rate: float) -> dict[str, float]:
    """Nobody gets more than he asks for, and what one leaves is shared by the others (max-min fairness)."""
    shares: dict[str, float] = {}
    left = rate
    waiting = sorted(demands, key=lambda name: demands[name])
    for n, name in enumerate(waiting):
        share = min(demands[name], left / (len(waiting) - n))
        shares[name] = share
        left -= share
    return shares
