"""The JSON documents about peers: trunks, PBXs, call paths and limits, as types. Pure.

Built by `peer_views` and `figures`; used by `api`'s table, and by `documents` for the event stream.
"""

from typing import Annotated, Literal

from msgspec import Meta

from sbc.admin.document import Count, Document, Seconds, Time
from sbc.peering.views import Direction, PeerState, RegistrationState, ServerState


class Server(Document, frozen=True):
    """One address of one server. `why`: what brought it into this state."""

    server: str
    address: str
    state: ServerState
    since: Time | None
    why: str


class Registration(Document, frozen=True):
    """Ours, at a carrier."""

    state: RegistrationState
    aor: str
    since: Time | None
    why: str
    expires_at: Time | None
    next_at: Time | None
    registrar: str | None


class CallPaths(Document, frozen=True):
    """`limit` null: unlimited; the pool's, of a trunk in a pool. `peak_today`: most at once on this day (UTC)."""

    used: Count
    limit: Count | None
    inbound: Count
    outbound: Count
    peak_today: Count
    pool: str | None


class Trunk(Document, frozen=True):
    name: str
    state: PeerState
    since: Time | None
    why: str
    servers: list[Server]
    registration: Registration | None
    call_paths: CallPaths


class Trunks(Document, frozen=True):
    trunks: list[Trunk]


class Binding(Document, frozen=True):
    """A contact that a PBX has registered with us."""

    aor: str
    contact: str
    address: str
    expires_at: Time | None


class Pbx(Document, frozen=True):
    name: str
    state: PeerState
    since: Time | None
    why: str
    servers: list[Server]
    bindings: list[Binding]


class Pbxs(Document, frozen=True):
    pbxs: list[Pbx]


class Holder(Document, frozen=True):
    """Who holds a call path: leg `leg` of call `ref`."""

    trunk: str
    ref: str
    leg: int
    direction: Direction
    since: Time | None
    age_seconds: Seconds
    emergency: bool


class Path(Document, frozen=True):
    """Of a trunk, or of a pool."""

    trunk: str
    limit: Count | None
    used: Count
    inbound: Count
    outbound: Count
    peak_today: Count
    kind: Literal["trunk", "pool"]
    pool: str | None
    holders: list[Holder]


class Paths(Document, frozen=True):
    paths: list[Path]


class SharedPath(Document, frozen=True):
    """A path of the event stream; who holds it is told by GET paths."""

    trunk: str
    limit: Count | None
    used: Count
    inbound: Count
    outbound: Count
    peak_today: Count
    kind: Literal["trunk", "pool"]
    pool: str | None


class Limit(Document, frozen=True):
    """What counts against the limits of a PBX or a route; null: it has no such limit."""

    name: Annotated[str, Meta(examples=["pbx office", "route outbound"])]
    call_paths_used: Count
    call_paths: Count | None
    minutes_today: Seconds
    minutes_per_day: Count | None
    cps: Count | None


class Limits(Document, frozen=True):
    limits: list[Limit]


class PingResult(Document, frozen=True):
    """`status` null: nothing came, and `why` says what happened instead."""

    server: str
    address: str
    status: int | None
    milliseconds: float | None
    why: str


class Pinged(Document, frozen=True):
    peer: str
    results: list[PingResult]
