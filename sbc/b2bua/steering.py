"""The rate of new work at which some queues stay short: sought ten times a second, by how old they are.

What is measured is the age of the oldest message when it is read (as CoDel does, RFC 8289): a queue that
stands for an interval means that more comes than can be served; one that empties in between was a burst. It knows
neither peers nor shares: `overload` has one for the queues that all share, and one for each peer whose own stands.
Times are seconds of the engine's clock, rates units a second.
"""

from typing import Final

INTERVAL: Final = 0.1  # between two judgements
TARGET: Final = 0.1  # age that is aimed at: a call's messages wait as long each, and no peer repeats any of them
CALM_SECONDS: Final = 2.0  # without anything to refuse, until it is over
_BY_GROWTH: Final = 0.5  # of the rate, by seconds that the queue has grown in a second
_BY_LENGTH: Final = 0.6  # of the rate, by seconds that the queue is longer than it should be
_LARGEST_DECREASE: Final = 0.4
_LARGEST_INCREASE: Final = 0.05
_FAST_INCREASE: Final = 0.2  # while the rate is far below where the queue began to stand
_FAR_BELOW: Final = 0.6  # of that
_AT_ONCE: Final = 0.3  # of that: it is not lowered further at first, however old the queue is
_KNEE_FADES: Final = 0.93  # in each interval that the queue stands on
_LEAST_RATE: Final = 40.0  # any machine serves so many


class Steering:
    """`rate`: what may be let in; None: whatever comes. `is_limit`: more is asked for, as its owner says. `age`: of
    the oldest of its queues in the last interval, by the youngest that each was told to be; `last_age`: the newest
    word.
    """

    __slots__ = (
        "_calm_since", "_has_knee", "_is_watched", "_judged_from", "_knee", "_youngest",
        "age", "is_limit", "last_age", "rate",
    )  # fmt: skip

    def __init__(self, now: float) -> None:
        self.rate: float | None = None
        self.is_limit = False
        self.age = 0.0
        self.last_age = 0.0
        self._youngest: dict[str, float] = {}  # by queue: the least age in this interval
        self._is_watched = False  # one has been too old lately
        self._judged_from = now  # a whole interval after that: it may be a burst
        self._calm_since = now
        self._knee = 0.0  # the rate at which the queue began to stand last
        self._has_knee = False  # and it stands still

    def queued(self, age: float, queue: str, now: float) -> None:
        if age > TARGET and not self._is_watched:
            self._is_watched, self._judged_from, self._youngest = True, now + INTERVAL, {}
        youngest = self._youngest
        youngest[queue] = min(age, youngest.get(queue, age))
        self.last_age = age

    def steer(self, served: float, now: float) -> None:
        """To be called once in each interval, in which so many units a second were let in.

        A queue grows by what comes beyond what is served: that much less is let in, and a little less or more than
        that, so that it gets to the length that is aimed at.
        """
        if self._is_watched and now < self._judged_from:
            return
        age = max(self._youngest.values(), default=0.0)
        grown, self.age, self._youngest = (age - self.age) / INTERVAL, age, {}
        self._is_watched = age > TARGET or self.rate is not None
        if age > TARGET or self.is_limit:
            self._calm_since = now
        if self.rate is None:
            if age <= TARGET or not served:
                return  # a queue in which nothing new was, as after a pause of the process, tells no rate either
            self.rate = served
        if age <= TARGET and not self.is_limit:
            return  # a limit that nothing reaches says nothing about what can be served
        if age > TARGET:
            self._knee = self._knee * _KNEE_FADES if self._has_knee else self.rate
        self._has_knee = age > TARGET
        self.rate = max(_LEAST_RATE, self.rate * (1.0 + self._change(self.rate, age, grown)))

    def _change(self, rate: float, age: float, grown: float) -> float:
        """As a fraction of `rate`."""
        change = -_BY_GROWTH * grown - _BY_LENGTH * (age - TARGET)
        if age <= TARGET and rate < _FAR_BELOW * self._knee:
            return _FAST_INCREASE * (1.0 - age / TARGET)
        least = min(0.0, _AT_ONCE * self._knee / rate - 1.0)
        return min(_LARGEST_INCREASE, max(-_LARGEST_DECREASE, change, least))

    def is_over(self, now: float) -> bool:
        """Its queues have been short for some time, and nobody has asked for more than it lets in."""
        return now - self._calm_since >= CALM_SECONDS
