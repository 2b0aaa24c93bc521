"""What the runtime tells the engine, besides received octets. Past tense: facts."""

from msgspec import Struct

from sbc.media import wire
from sbc.sip.events import FlowFailed, Resolved


class MediaReplied(Struct, frozen=True):
    reply: wire.SessionEnded | wire.Report | wire.Refused


class PortsOpened(Struct, frozen=True):
    """Answer to `OpenPorts`: the even ports that are open now; fewer than asked where the system had no more."""

    local: str
    ports: tuple[int, ...]


class CdrDurable(Struct, frozen=True):
    """The record of this call is on disk."""

    ref: str


class CdrFailed(Struct, frozen=True):
    """The record of this call could not be stored, and why; the runtime keeps it and tries again."""

    ref: str
    reason: str


class HangUpOrdered(Struct, frozen=True):
    """An operator wants this call ended."""

    ref: str


class DrainOrdered(Struct, frozen=True):
    """No new calls from now on; what is left at `deadline` (seconds of the engine's clock) is ended."""

    deadline: float


class ClockSet(Struct, frozen=True):
    """Wall-clock seconds (UTC) at zero of the engine's clock; said at start and after a step of the wall clock."""

    wall_at_zero: float


Event = (
    FlowFailed
    | Resolved
    | MediaReplied
    | PortsOpened
    | CdrDurable
    | CdrFailed
    | HangUpOrdered
    | DrainOrdered
    | ClockSet
)
