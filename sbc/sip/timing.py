"""The timers of RFC 3261 §17 (table 4) and RFC 6026, derived from T1, T2 and T4. Seconds."""

from typing import Final

from msgspec import Struct


class Timing(Struct, frozen=True):
    """Passed in and never changed: a test that wants other timers makes another value."""

    t1: float = 0.5  # round-trip estimate, §17.1.1.1
    t2: float = 4.0  # longest interval of a non-INVITE request or an INVITE response, §17.1.2.2
    t4: float = 5.0  # how long a message stays in the network, §17.1.2.2

    @property
    def give_up(self) -> float:
        """64*T1: timers B, F, H, J, L and M."""
        return 64 * self.t1

    def d(self, *, reliable: bool) -> float:
        """Timer D: "at least 32 seconds for unreliable transports", zero for reliable ones, §17.1.1.2."""
        return 0.0 if reliable else max(32.0, 64 * self.t1)

    def linger(self, *, reliable: bool) -> float:
        """Timers I and K: T4, zero for reliable transports, §17.2.1 and §17.1.2.2."""
        return 0.0 if reliable else self.t4


DEFAULT_TIMING: Final = Timing()
