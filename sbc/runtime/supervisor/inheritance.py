"""What one supervisor leaves to the next: which descriptor is what (values only; no descriptor is touched).

The next one is this process after execve, or a new process that systemd has started (see `handing_on`); it may be of
another version of this program. So it is a MessagePack map with a version: a new field has a default, which makes the
table readable both ways, and a change that an older reader would get wrong is a new VERSION. What cannot be read is
refused, and the next one begins with nothing. Used by `main`, `held` and `handing_on`.
"""

from typing import Final

import msgspec
from msgspec import Struct

VERSION: Final = 1
READABLE: Final = frozenset({1})  # what this program can take over from: its own and the one before


class UnreadableError(ValueError):
    """What was left cannot be taken over; the text says why."""


class LeftListener(Struct, frozen=True):
    """A SIP socket; one descriptor."""

    kind: str
    host: str
    port: int


class LeftPairs(Struct, frozen=True):
    """Media port pairs of one address: two descriptors each, RTP then RTCP, in the order of `ports`."""

    local: str
    ports: tuple[int, ...]


class LeftWorker(Struct, frozen=True):
    """A media worker's seat, two descriptors: its listener and the memory of its counters. Where it runs (`pid`, not 0)
    a third one follows, our end of its life line. `wire`: the version of `media.wire` that it speaks.
    """

    number: int
    pid: int
    wire: int


class Inheritance(Struct, frozen=True):
    """`descriptors` stand for, in this order: listeners, pairs, workers, memories, and the line to who stands by.
    `stand_by`: the process that is to be the next signalling, of the reader's version; 0: none.

    `status`: how signalling ended. `was_ready`: this program has taken calls, so that what ends before it is ready is
    tried again. `stops`: signals that came too late for the one who left this.
    """

    version: int
    descriptors: tuple[int, ...]
    listeners: tuple[LeftListener, ...] = ()
    pairs: tuple[LeftPairs, ...] = ()
    workers: tuple[LeftWorker, ...] = ()
    memories: tuple[str, ...] = ()
    status: int = 0
    was_ready: bool = False
    stops: tuple[int, ...] = ()
    stand_by: int = 0

    @property
    def descriptors_needed(self) -> int:
        pairs = sum(len(one.ports) for one in self.pairs)
        workers = sum(3 if worker.pid else 2 for worker in self.workers)
        return len(self.listeners) + 2 * pairs + workers + len(self.memories) + bool(self.stand_by)


class _Head(Struct, frozen=True):
    version: int


def encode(left: Inheritance) -> bytes:
    return msgspec.msgpack.encode(left)


def decode(data: bytes) -> Inheritance:
    """Raises UnreadableError."""
    try:
        version = msgspec.msgpack.decode(data, type=_Head).version
        if version not in READABLE:
            raise UnreadableError(f"it has version {version}, and this program reads {_versions()}")
        left = msgspec.msgpack.decode(data, type=Inheritance)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UnreadableError(str(error)) from error
    if len(left.descriptors) != left.descriptors_needed:
        raise UnreadableError(f"it has {len(left.descriptors)} descriptors and needs {left.descriptors_needed}")
    return left


def _versions() -> str:
    return ", ".join(str(version) for version in sorted(READABLE))
