"""Read-only views of the engine, for the HTTP API, the metrics and the tests: values, made when somebody asks.

Nothing in here can reach into the engine. Counters are totals since the start.
"""

from collections.abc import Mapping
from typing import Literal

from msgspec import Struct

from sbc.b2bua.overload import OverloadView
from sbc.core.histogram import Counted
from sbc.core.tables import Table
from sbc.peering.views import BanView, LimitView, PathView, PeerView, PingView

CallState = Literal["trying", "ringing", "answered", "ending"]


class CallView(Struct, frozen=True):
    """One running call. Times are wall-clock seconds; `media` are key and value pairs for people."""

    ref: str
    state: CallState
    ingress: str
    egress: str | None
    route: str | None
    caller: str
    called: str
    started_at: float
    answered_at: float | None = None
    media: tuple[tuple[str, object], ...] = ()
    quality: Mapping[str, object] = {}  # of what came from each side, as the CDR's `media` has it
    emergency: bool = False
    joined: tuple[str, ...] = ()  # refs of calls that this one has taken in


class MediaView(Struct, frozen=True):
    """What calls have heard since the start. `packets`: by interface. `streams`: ends that each engine relays now."""

    packets: tuple[tuple[str, int], ...] = ()
    lost: int = 0
    foreign: int = 0
    streams: tuple[tuple[str, int], ...] = ()
    mos: Counted = Counted()
    jitter_seconds: Counted = Counted()
    round_trip_seconds: Counted = Counted()
    setup_seconds: Counted = Counted()


class LoadView(Struct, frozen=True):
    """How much there is to do, cheap to make. All but `calls`, `transactions` and `paths` are totals since the start.

    `begun`: INVITEs that asked for a new call, refused ones included. `mos` and `jitter_seconds`: of streams that have
    ended. `paths`: call paths that are held, by trunk.
    """

    begun: int = 0
    answered: int = 0
    calls: int = 0
    transactions: int = 0
    packets: int = 0
    lost: int = 0
    mos: tuple[float, int] = (0.0, 0)  # sum, and how many
    jitter_seconds: tuple[float, int] = (0.0, 0)
    paths: tuple[tuple[str, int], ...] = ()


class EngineView(Struct, frozen=True):
    """What is alive now, and what has been counted. `ready`: it does not drain."""

    name: str
    ready: bool
    calls: tuple[CallView, ...] = ()  # oldest first; the newest where whoever asks wants only so many
    states: tuple[tuple[CallState, int], ...] = ()  # all running calls, by their state
    transactions: int = 0
    dialogs: int = 0
    subscriptions: int = 0
    ports: int = 0  # media port pairs lent to calls
    ports_resting: int = 0
    attempts: tuple[
        tuple[str, str, str, int], ...
    ] = ()  # ended calls: ingress, egress or "", the CDR's cause, how many
    messages: tuple[
        tuple[str, str, str, int], ...
    ] = ()  # received or sent, method, status ("" for a request), how many
    dropped: tuple[tuple[str, int], ...] = ()  # reason, how many
    peers: tuple[PeerView, ...] = ()
    paths: tuple[PathView, ...] = ()  # of every trunk and pool, limited or not
    limits: tuple[LimitView, ...] = ()  # of PBXs and routes that have some
    pings: tuple[PingView, ...] = ()
    bans: tuple[BanView, ...] = ()  # the newest first
    wall_at_zero: float = 0.0  # add it to a time of the engine's clock
    emergencies: int = 0  # calls since the start
    media: MediaView = MediaView()
    now: float = 0.0  # of the engine's clock
    transfers: tuple[tuple[str, int], ...] = ()  # by what came of them: transferred, failed, refused
    tables: tuple[Table, ...] = ()  # how full each is
    overload: OverloadView = OverloadView()
    paths_leaked: int = 0  # call paths that outlived their call, since the start: must be none
    refusing: str = ""  # why new calls get 503 though it does not drain, emergencies excepted; empty: they are taken

    @property
    def takes_calls(self) -> bool:
        return self.ready and not self.refusing

    @property
    def running(self) -> int:
        """Calls, also those that are not in `calls`."""
        return sum(count for _, count in self.states)
