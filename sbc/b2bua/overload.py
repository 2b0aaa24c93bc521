"""How much new work is let in: judged by how long what arrives has waited, and peer by peer.

What is measured is the age of the oldest message when it is read (as CoDel does, RFC 8289): a queue that
stands for an interval means that more comes than can be served; one that empties in between was a burst. From then on a
rate is found at which the queue stays short, and each peer has its fair share of it: who asks for less than his share
has all of it. What one peer may have is a fraction, and a call is let in or not by its Call-ID, so that asking again is
no lottery. It reads no message, and sends nothing: `shedding` does. Times are seconds of the engine's clock.

Units of work: a new call is one; what else begins something costs a fifth of it.
"""

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Final

from msgspec import Struct

INTERVAL: Final = 0.1  # between two judgements
TARGET: Final = 0.1  # age that is aimed at: a call's messages wait as long each, and no peer repeats any of them
LATE: Final = 0.3  # whoever has more than his share gets nothing more until the queue is shorter
TOO_LATE: Final = 0.5  # peers repeat by now what waits (T1, RFC 3261 §17): a refusal would not come in time either
CALM_SECONDS: Final = 2.0  # without anything to refuse, until it is over
_BY_GROWTH: Final = 0.5  # of the rate, by seconds that the queue has grown in a second
_BY_LENGTH: Final = 0.6  # of the rate, by seconds that the queue is longer than it should be
_LARGEST_DECREASE: Final = 0.4
_LARGEST_INCREASE: Final = 0.05
_FAST_INCREASE: Final = 0.2  # while the rate is far below where the queue began to stand
_FAR_BELOW: Final = 0.6  # of that
_AT_ONCE: Final = 0.3  # of that: it is not lowered further at first, however old the queue is
_KNEE_FADES: Final = 0.93  # in each interval that the queue stands on
# Units a second that are always let in. A peer that floods a stream keeps its own queue long whatever is refused, and
# must not bring the rate below what the others need; any machine serves so many.
_LEAST_RATE: Final = 40.0
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
    rate: float | None = None  # units a second that are let in; None: whatever comes
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
        self._rate: float | None = None
        self._knee = 0.0  # the rate at which the queue began to stand last
        self._has_knee = False  # and it stands still
        self._peers: dict[str, _Peer] = {}
        self._youngest: dict[str, float] = {}  # by queue: the least age in this interval
        self._last_age = 0.0  # the newest word
        self._due = 0.0
        self._calm_since = 0.0

    # --- what it is told ----------------------------------------------------------------------------------------------

    def queued(self, age: float, queue: str, now: float) -> None:
        """The oldest message of this queue has waited so long. To be told while there is a queue, and when there is
        none any more.
        """
        youngest = self._youngest
        youngest[queue] = min(age, youngest.get(queue, age))
        self._last_age = age
        if not self.is_on and age > TARGET:
            self.is_on, self._due, self._calm_since = True, now + INTERVAL, now
            self._youngest = {queue: age}

    def admits(self, peer: str, kind: Kind, mark: float) -> Verdict:
        """`mark`: a number in [0, 1) that is drawn of what asks, the same each time that it asks."""
        one = self._peers.get(peer)
        if one is None:
            one = self._peers[peer] = _Peer()
        units = CALL if kind is Kind.CALL else BESIDE
        one.offered += units
        if one.fraction < 1.0 and mark >= self._allowed(one.fraction, kind):
            return Verdict.DROP if self._last_age > TOO_LATE else Verdict.REFUSE
        one.admitted += units
        return Verdict.ADMIT

    def _allowed(self, fraction: float, kind: Kind) -> float:
        if kind is Kind.REGISTER:
            return 0.0 if self._last_age > TOO_LATE else 2.0 * fraction
        if self._last_age > LATE:
            return 0.0
        return fraction if kind is Kind.CALL else 2.0 * fraction - 1.0

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
        """Units a second that are let in; None: whatever comes."""
        return self._rate if self.is_shedding else None

    # --- judgement ----------------------------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        return self._due if self.is_on else None

    def tick(self, now: float, *, speakers: Collection[str] = ()) -> None:
        """Judge anew where it is time. `speakers`: peers that do as RFC 7339 tells them."""
        if not self.is_on or now < self._due:
            return
        seconds = INTERVAL + now - self._due
        self._due = now + INTERVAL
        age = max(self._youngest.values(), default=0.0)
        self._measure(seconds, speakers)
        self._steer(age)
        self._youngest = {}
        self._share(speakers)
        self.changed_at = now
        if self.is_shedding or age > TARGET:
            self._calm_since = now
        elif now - self._calm_since >= CALM_SECONDS:
            self._end()

    def _measure(self, seconds: float, speakers: Collection[str]) -> None:
        """What everybody asks for; a client that already leaves some out would send more if it were not told to."""
        for name, one in list(self._peers.items()):
            asked = one.offered / seconds / (one.told if name in speakers else 1.0)
            one.demand = asked if one.demand == 0.0 else one.demand + _SMOOTHING * (asked - one.demand)
            if one.demand < _NOTHING and one.fraction >= 1.0:
                del self._peers[name]

    def _steer(self, age: float) -> None:
        """A queue grows by what comes beyond what is served: that much less is let in, and a little less or more than
        that, so that it gets to the length that is aimed at.
        """
        served = sum(one.admitted for one in self._peers.values()) / INTERVAL
        grown, self.age = (age - self.age) / INTERVAL, age
        if self._rate is None:
            if age <= TARGET or not served:
                return  # a queue in which nothing new was, as after a pause of the process, tells no rate either
            self._rate = served
        if age <= TARGET and not self.is_shedding:
            return  # a limit that nothing reaches says nothing about what can be served
        if age > TARGET:
            self._knee = self._knee * _KNEE_FADES if self._has_knee else self._rate
        self._has_knee = age > TARGET
        self._rate = max(_LEAST_RATE, self._rate * (1.0 + self._change(self._rate, age, grown)))

    def _change(self, rate: float, age: float, grown: float) -> float:
        """As a fraction of `rate`."""
        change = -_BY_GROWTH * grown - _BY_LENGTH * (age - TARGET)
        if age <= TARGET and rate < _FAR_BELOW * self._knee:
            return _FAST_INCREASE * (1.0 - age / TARGET)
        least = min(0.0, _AT_ONCE * self._knee / rate - 1.0)
        return min(_LARGEST_INCREASE, max(-_LARGEST_DECREASE, change, least))

    def _share(self, speakers: Collection[str]) -> None:
        rate, peers = self._rate, self._peers
        demands = {name: one.demand for name, one in peers.items()}
        shares = demands if rate is None else fair_shares(demands, rate)
        wanted = given = 0.0
        for name, one in peers.items():
            share, demand = shares[name], demands[name]
            fits = share >= _SAYS_IT_FITS * demand
            one.told = 1.0 if fits else max(_LEAST_TOLD, share / demand)
            arriving = demand * one.told if name in speakers and not fits else demand
            one.fraction = 1.0 if share >= _SAYS_IT_FITS * arriving else share / arriving
            one.offered = one.admitted = 0.0
            wanted += demand
            given += min(share, demand)
        self.is_shedding = any(one.told < 1.0 for one in peers.values())
        self.level = 1.0 - given / wanted if self.is_shedding and wanted else 0.0

    def _end(self) -> None:
        self.is_on = self.is_shedding = False
        self._rate, self.level, self.age, self._last_age = None, 0.0, 0.0, 0.0
        self._peers, self._youngest = {}, {}


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
