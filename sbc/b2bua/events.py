"""What the runtime tells the engine, besides received octets. Past tense: facts."""

from msgspec import Struct

from sbc.core.address import Flow
from sbc.media import wire
from sbc.policy.engine import Policy
from sbc.sip.events import FlowClosed, FlowFailed, LookedUp, Ponged

# What a media worker tells that concerns a call or the port pool.
News = (
    wire.EngineReady
    | wire.SessionEnded
    | wire.Report
    | wire.DigitHeard
    | wire.Silent
    | wire.Keyed
    | wire.KeySpent
    | wire.StillHeard
    | wire.Refused
)


class MediaReplied(Struct, frozen=True):
    reply: News


class PortsOpened(Struct, frozen=True):
    """Answer to `OpenPorts`: the even ports that are open now; fewer than asked where the system had no more."""

    local: str
    ports: tuple[int, ...]


class PortsLost(Struct, frozen=True):
    """Answer to `HoldPorts`: these cannot be opened again, and why, for people."""

    local: str
    ports: tuple[int, ...]
    reason: str


class CdrDurable(Struct, frozen=True):
    """The record of this call is on disk."""

    ref: str


class CdrFailed(Struct, frozen=True):
    """The record of this call could not be stored, and why; the runtime keeps it and tries again."""

    ref: str
    reason: str


class CdrStarted(Struct, frozen=True):
    """That this call was answered is on disk."""

    ref: str


class CdrStalled(Struct, frozen=True):
    """The disk takes nothing of calls any more, and why."""

    why: str = ""


class CdrFlows(Struct, frozen=True):
    """It does again."""


class HangUpOrdered(Struct, frozen=True):
    """An operator wants this call ended."""

    ref: str


class DrainOrdered(Struct, frozen=True):
    """No new calls from now on; what is left at `deadline` (seconds of the engine's clock) is ended. Emergencies are
    not refused, and not ended but where `is_final`. `is_leaving`: with the last call our registrations go too, which a
    restart must not do.
    """

    deadline: float
    is_leaving: bool = False
    is_final: bool = False


class DrainRevoked(Struct, frozen=True):
    """New calls again, and carriers that we had left are registered with anew. Not while the program is stopping: then
    it changes nothing.
    """


class LeaveOrdered(Struct, frozen=True):
    """The program ends on purpose, and leaves its calls to the next start. A drain ends with it."""


class DrillOrdered(Struct, frozen=True):
    """Treat this PBX as down, or as what it is again."""

    pbx: str
    on: bool


class BusyOutOrdered(Struct, frozen=True):
    """No new calls from or to this trunk, or again. Calls that are up stay up."""

    trunk: str
    on: bool


class PingOrdered(Struct, frozen=True):
    """Send OPTIONS to every server address of this peer; the results show in the snapshot under `token`."""

    peer: str
    token: str


class BanOrdered(Struct, frozen=True):
    """Do not hear this source (`bans.source_of`) for so long. Nothing happens where it is a peer's."""

    source: str
    seconds: float
    why: str


class LiftOrdered(Struct, frozen=True):
    """Hear this source again."""

    source: str


class QueueAged(Struct, frozen=True):
    """The oldest message of this queue had waited so many seconds when it was read; 0: there is no queue any more.

    `queue`: a listener, or "loop" for how late the engine's turn was, or a stream. `flow`: that stream, whose age says
    nothing about anybody else; None: all wait in this queue.
    """

    seconds: float
    queue: str
    flow: Flow | None = None


class StateRestored(Struct, frozen=True):
    """What `StoreState` kept before the last stop, said before `start`. `is_late`: what was said last may be missing,
    because the machine has died, or nobody has listened for longer than peers repeat it.
    """

    items: tuple[tuple[str, bytes], ...]
    is_late: bool = False


class PolicyChanged(Struct, frozen=True):
    """A reloaded policy, valid, its listeners open: it counts for what comes from now on."""

    policy: Policy


class InterfaceChanged(Struct, frozen=True):
    """Addresses (SIP or media) of this interface that the machine has not, or whose link is down, and why, for people.
    None missing: all is well.
    """

    interface: str
    missing: tuple[str, ...]
    why: str = ""


class ClockSet(Struct, frozen=True):
    """Wall-clock seconds (UTC) at zero of the engine's clock; said at start and after a step of the wall clock."""

    wall_at_zero: float


Event = (
    FlowFailed
    | FlowClosed
    | Ponged
    | LookedUp
    | MediaReplied
    | PortsOpened
    | PortsLost
    | CdrDurable
    | CdrFailed
    | CdrStarted
    | CdrStalled
    | CdrFlows
    | HangUpOrdered
    | DrainOrdered
    | DrainRevoked
    | LeaveOrdered
    | DrillOrdered
    | BusyOutOrdered
    | PingOrdered
    | BanOrdered
    | LiftOrdered
    | QueueAged
    | StateRestored
    | PolicyChanged
    | InterfaceChanged
    | ClockSet
)
