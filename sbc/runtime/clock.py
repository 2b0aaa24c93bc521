"""The two clocks: the engine's, in seconds that nobody can set, sleep included, and the wall.

The engine's is CLOCK_BOOTTIME, which means the same to every process of this machine, plus an offset: after a reboot it
goes on from where it was, by what the wall says that the machine was off, so that times that were written down stay
true. `ClockMark` is what has to be written down for that; `state_store` keeps it and calls `go_on` before the engine
begins. Nothing above the runtime reads a clock: the engine gets `now` as an argument and `ClockSet` as an event.
"""

import time
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from sbc.core import limits

WALL_STEP_SECONDS: Final = 0.05  # a wall clock that moved by more than this against ours is said to the engine again
_DOUBTED_SECONDS: Final = 3_600.0  # that a wall clock which is behind its own past is not believed: NTP needs minutes
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


class ClockMark(Struct, frozen=True):
    """The clocks at one moment. `engine` and `wall` in seconds, `offset` of the engine's to CLOCK_BOOTTIME."""

    boot: str
    engine: float
    wall: float
    offset: float


class _Origin(Struct):
    """Of this process's engine clock. `wall`: the least that the wall can have said at `engine`."""

    offset: float = 0.0
    engine: float = 0.0
    wall: float = 0.0


_origin = _Origin()


def boot_seconds() -> float:
    """The engine's clock."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) + _origin.offset


def wall_at_zero() -> float:
    """UTC seconds at zero of the engine's clock."""
    return time.time() - boot_seconds()


def offset() -> float:
    return _origin.offset


def go_on(offset: float, last: ClockMark | None = None) -> None:
    """The engine's clock from now on. `last`: what was written down last."""
    _origin.offset = offset
    _origin.engine, _origin.wall = (0.0, 0.0) if last is None else (last.engine, last.wall)


def mark() -> ClockMark:
    engine, wall = boot_seconds(), time.time()
    return ClockMark(boot_id(), engine, believed_wall(engine, wall, time.clock_gettime(time.CLOCK_BOOTTIME)), offset())


def believed_wall(engine: float, wall: float, up_seconds: float) -> float:
    """A machine without a clock of its own believes for some minutes after a boot that it is long ago. That must not be
    written down: the next boot would take the difference for time that has passed.
    """
    least = _origin.wall + engine - _origin.engine
    return max(wall, least) if up_seconds < _DOUBTED_SECONDS else wall


def read_mark(data: bytes | None) -> ClockMark | None:
    """None where it cannot be read."""
    try:
        return None if data is None else _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def write_mark(mark: ClockMark) -> bytes:
    return _encoder.encode(mark)


def offset_after(last: ClockMark | None, boot: str, up_seconds: float, wall: float) -> float:
    """The offset with which the engine's clock goes on from `last`.

    The same boot: the same offset. Another one: the machine was off for what the wall has gone on meanwhile, but no
    less than it is up already, and no more than `limits.CLOCK_GAP_SECONDS`, whatever the wall says.
    """
    if last is None:
        return 0.0
    if boot and boot == last.boot and up_seconds + last.offset >= last.engine:
        return last.offset
    gap = min(max(wall - last.wall, up_seconds), max(limits.CLOCK_GAP_SECONDS, up_seconds))
    return last.engine + gap - up_seconds


def offset_now(last: ClockMark | None) -> float:
    return offset_after(last, boot_id(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time())


def boot_id() -> str:
    """Empty where the machine does not say."""
    try:
        return _BOOT_ID.read_text("ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


_encoder = msgspec.msgpack.Encoder()
_decoder: msgspec.msgpack.Decoder[ClockMark] = msgspec.msgpack.Decoder(ClockMark)
