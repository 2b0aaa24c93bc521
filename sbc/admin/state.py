"""What the admin API may see and ask: the border between it and the running program.

`app` wires an object of this shape; tests bring their own.
"""

from typing import Protocol

from msgspec import Struct

from sbc.b2bua.snapshot import EngineView


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


class RuntimeView(Struct, frozen=True):
    """What only the runtime knows about itself. `supervisor`: None where nobody watches over this process."""

    tasks: int = 0
    lag_seconds: float = 0.0  # how late the engine's loop last woke up
    alive: bool = True  # False: the engine's loop does not turn
    dropped: tuple[tuple[str, int], ...] = ()  # reason, how many; besides what the engine dropped
    pid: int = 0
    supervisor: int | None = None
    workers: tuple[WorkerView, ...] = ()


class Why(Struct, frozen=True):
    """A dry run of the policy: whether the call would be refused, and the text of `sbc why`."""

    refused: bool
    text: str


class AdminState(Protocol):
    def engine(self) -> EngineView: ...

    def now(self) -> float:
        """Seconds of the engine's clock."""
        ...

    def runtime(self) -> RuntimeView: ...

    def ladder(self, ref: str) -> str | None:
        """The ladder of a running or recent call; None for a call that is not remembered."""
        ...

    def why(self, peer: str, called: str, caller: str | None) -> Why:
        """A dry run with the policy in force. ValueError says what is wrong with the question: an unknown peer."""
        ...
