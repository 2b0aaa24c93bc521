"""What the admin API may see and ask: the border between it and the running program.

`app` wires an object of this shape; tests bring their own.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from msgspec import Struct

from sbc.admin.history import Sample
from sbc.b2bua.snapshot import CallView, EngineView
from sbc.core.tables import Table
from sbc.trace.recorder import Entry


class WorkerView(Struct, frozen=True):
    """One media worker. `pid` None: none runs now. `engine`: kernel, userland, "" while it has not said yet; `reason`:
    why it is not the kernel; `devices`: where the kernel relays. `sessions`: calls that it relays.
    """

    number: int
    pid: int | None
    engine: str = ""
    reason: str = ""
    devices: tuple[str, ...] = ()
    sessions: int = 0


class SpoolView(Struct, frozen=True):
    """Of call records. `unsafe`: those that the disk has not yet; `pending`: by destination, those that it has not."""

    octets: int = 0
    unsafe: int = 0
    pending: tuple[tuple[str, int], ...] = ()


class RuntimeView(Struct, frozen=True):
    """What only the runtime knows about itself. `supervisor`: None where nobody watches over this process.

    `started_at`: wall-clock seconds. Rates are those of the last ten seconds.
    """

    tasks: int = 0
    lag_seconds: float = 0.0  # how late the engine's loop last woke up
    queue_age_seconds: float = 0.0  # how long the oldest message had waited in the kernel lately
    alive: bool = True  # False: the engine's loop does not turn
    dropped: tuple[tuple[str, int], ...] = ()  # reason, how many; besides what the engine dropped
    pid: int = 0
    version: str = ""
    started_at: float = 0.0
    uptime_seconds: float = 0.0
    calls_per_second: float = 0.0
    answered_per_second: float = 0.0
    supervisor: int | None = None
    tables: tuple[Table, ...] = ()  # besides those of the engine
    spool: SpoolView = SpoolView()
    copy_pending: int | None = None  # call records that another database has not yet; None: there is none
    state_pending: int = 0  # values that the disk does not have yet
    state_behind_seconds: float = 0.0  # that the oldest of them has waited
    workers: tuple[WorkerView, ...] = ()
    certificates: tuple[tuple[str, float], ...] = ()  # name, end in seconds since 1970; of peers' `peer NAME`
    revocation_lists: tuple[tuple[str, float], ...] = ()  # by their authority


class AlarmView(Struct, frozen=True):
    """One alarm. Times are seconds of the engine's clock; `ended_at` None: it is active. `count`: how often it was said
    since `since`. `fields`: of its last line, as the log shows them.
    """

    event: str
    subject: str
    text: str
    since: float
    last: float
    count: int
    ended_at: float | None
    fields: Mapping[str, Any]

    @property
    def is_active(self) -> bool:
        return self.ended_at is None


class TraceView(Struct, frozen=True):
    """What is remembered of a call, oldest first; `running`: it goes on. `peers`: by leg. Masked.

    Of a peer beside calls: `ref` is its name, and it is the only one of `peers`.
    """

    ref: str
    running: bool
    peers: Mapping[str, str]
    entries: tuple[Entry, ...]
    wall_at_zero: float  # add it to a time of an entry


class Why(Struct, frozen=True):
    """A dry run of the policy: whether the call would be refused, and the text of `sbc why`."""

    refused: bool
    text: str


class AdminState(Protocol):
    def engine(self) -> EngineView:
        """Everything. It costs 12 µs a running call, which the engine's loop waits for."""
        ...

    def glance(self, newest: int) -> EngineView:
        """As `engine`, but at most so many calls, the newest, and nobody who holds a call path."""
        ...

    def call(self, ref: str) -> CallView | None:
        """The running call of this ref, or the one that has taken it in."""
        ...

    def now(self) -> float:
        """Seconds of the engine's clock."""
        ...

    def runtime(self) -> RuntimeView: ...

    def alarms(self) -> tuple[AlarmView, ...]:
        """Active ones first, then those that ended within the last hour; the newest first."""
        ...

    def history(self, minutes: int) -> Sequence[Sample]:
        """The last minutes, oldest first."""
        ...

    def ladder(self, ref: str) -> str | None:
        """The ladder of a running or recent call; None for a call that is not remembered."""
        ...

    def trace(self, ref: str, *, keeps_length: bool = False) -> TraceView | None:
        """What is remembered of it. `keeps_length`: what is masked has a filler of its length."""
        ...

    def peer_trace(self, name: str, *, keeps_length: bool = False) -> TraceView | None:
        """What was said with this peer beside calls, as far as it is kept; None: there is no such peer."""
        ...

    def why(self, peer: str, called: str, caller: str | None) -> Why:
        """A dry run with the policy in force. ValueError says what is wrong with the question: an unknown peer."""
        ...
