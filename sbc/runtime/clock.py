"""The two clocks: the engine's (seconds since boot, sleep included) and the wall.

CLOCK_BOOTTIME means the same to every process of this machine and survives a restart, so deadlines can be written down.
Nothing above the runtime reads a clock: the engine gets `now` as an argument and `ClockSet` as an event.
"""

import time
from typing import Final

WALL_STEP_SECONDS: Final = 0.05  # a wall clock that moved by more than this against ours is said to the engine again


def boot_seconds() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def wall_at_zero() -> float:
    """UTC seconds at zero of the engine's clock."""
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME)
