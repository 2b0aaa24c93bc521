"""What the operator sees of peers: health, registration, call paths. Values, made when somebody asks.

Times are seconds of the engine's clock; whoever shows them adds the wall clock. Used by the engine's snapshot.
"""

from typing import Literal

from msgspec import Struct

ServerState = Literal["unknown", "up", "down", "suspended"]
PeerState = Literal["up", "down", "busyout", "drill", "excluded"]
RegistrationState = Literal["registering", "registered", "failing", "rejected", "unregistered"]
Direction = Literal["inbound", "outbound"]


class BanView(Struct, frozen=True):
    """A source that is not heard. `source`: an address, or the /64 of an IPv6 one. `by`: sbc or operator."""

    source: str
    since: float
    until: float
    by: Literal["sbc", "operator"]
    why: str


class ServerView(Struct, frozen=True):
    """One address of one server. `why` is a sentence: what brought it into this state."""

    server: str  # as written in the policy
    address: str  # udp:192.0.2.1:5060
    state: ServerState
    since: float
    why: str


class RegistrationView(Struct, frozen=True):
    """`failing`: for now, retried with back-off; `rejected`: for good as it seems, retried every ten minutes."""

    state: RegistrationState
    aor: str
    since: float
    why: str
    expires_at: float | None = None
    next_at: float | None = None  # the next REGISTER
    registrar: str = ""  # the address that holds the binding


class BindingView(Struct, frozen=True):
    """A contact that a PBX has registered with us."""

    aor: str
    contact: str
    address: str
    expires_at: float


class PeerView(Struct, frozen=True):
    """`why` belongs to `state`. `calls`: legs that are up or being set up."""

    name: str
    kind: Literal["pbx", "trunk"]
    state: PeerState
    since: float
    why: str
    servers: tuple[ServerView, ...] = ()
    registration: RegistrationView | None = None
    bindings: tuple[BindingView, ...] = ()


class HolderView(Struct, frozen=True):
    """Who holds a call path: leg `leg` of call `ref`."""

    trunk: str
    ref: str
    leg: int
    direction: Direction
    since: float
    emergency: bool


class PathView(Struct, frozen=True):
    """Call paths of a trunk, or of a pool. `limit` None: unlimited; of a trunk in a pool: the pool's."""

    trunk: str  # the trunk's or the pool's name
    limit: int | None
    used: int
    holders: tuple[HolderView, ...] = ()  # oldest first; none for whoever looks often
    kind: Literal["trunk", "pool"] = "trunk"
    pool: str = ""  # that the trunk shares with others
    peak_today: int = 0  # most that were held at once on this day (UTC)
    inbound: int = 0  # of `used`; emergencies count in their direction
    outbound: int = 0


class LimitView(Struct, frozen=True):
    """What counts against the `limits` of a PBX or a route (`pbx NAME`, `route NAME`). None: it has no such limit."""

    name: str
    call_paths_used: int
    call_paths: int | None
    minutes_today: float  # of a day in UTC; calls that are up count with their time so far
    minutes_per_day: int | None
    cps: int | None


class PingView(Struct, frozen=True):
    """One answer to a ping; `status` None: not answered yet, 0: nothing came, `why` says what happened instead."""

    token: str
    server: str
    address: str
    status: int | None
    milliseconds: float | None
    why: str = ""
