"""The JSON documents of the admin API as types: what `openapi` publishes, and what tests hold real replies against.

They are described here and built elsewhere (`views`, `peer_views`, `control`), from the engine's snapshot. Pure.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct

from sbc.b2bua.snapshot import CallState
from sbc.peering.views import Direction, PeerState, RegistrationState, ServerState

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]
Time = Annotated[
    str, Meta(description="UTC", examples=["2025-01-31T09:00:00.123Z"], extra_json_schema={"format": "date-time"})
]

Duration = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$", examples=["10m"])]

Moment = Annotated[str, Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}", examples=["2025-01-31", "2025-01-31T09:00:00Z"])]


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """Published without its strictness: later versions may have more keys."""


class Problem(Document, frozen=True):
    """RFC 9457. `problems`: of a reload that was refused, every one with its place."""

    type: str
    title: str
    status: int
    detail: str
    problems: list[str] = []


class Healthy(Document, frozen=True):
    healthy: Literal[True]


class Ready(Document, frozen=True):
    ready: Literal[True]


class Pids(Document, frozen=True):
    """Process ids; `supervisor` null where there is none."""

    supervisor: int | None
    signalling: int


class Worker(Document, frozen=True):
    """A media worker. `reason`: why its engine is not the kernel. `devices`: where the kernel relays."""

    worker: Count
    pid: int | None
    engine: Literal["kernel", "userland", ""]
    reason: str
    devices: list[str]
    sessions: Count


class Rates(Document, frozen=True):
    """Of the last ten seconds."""

    calls_per_second: Seconds
    answered_per_second: Seconds


class Overload(Document, frozen=True):
    """`refused_percent`: of new work, now. `waited_ms`: how long the oldest message had waited. `refused`: requests
    since the start, which leave no records.
    """

    refused_percent: Count
    waited_ms: Count
    refused: Count


class Status(Document, frozen=True):
    """`ports`: media port pairs that calls hold. `tasks`: what works for calls in the background; 0 when idle."""

    name: str
    ready: bool
    draining: bool
    version: str
    started_at: Time
    uptime_seconds: Seconds
    calls: Count
    transactions: Count
    dialogs: Count
    ports: Count
    tasks: Count
    bans: Count
    rates: Rates
    overload: Overload
    pids: Pids
    media: list[Worker]


class Call(Document, frozen=True):
    """A running call. `quality`: the media of its record as it stands now. `joined`: refs of calls that it took in."""

    ref: str
    state: CallState
    ingress: str
    egress: str | None
    route: str | None
    caller: str
    called: str
    started_at: Time
    answered_at: Time | None
    media: dict[str, Any]
    quality: dict[str, Any]
    joined: list[str]


class Calls(Document, frozen=True):
    """`total`: all that run; more than are in `calls` where there are more than were asked for."""

    calls: list[Call]
    total: Count


class CallsEvent(Document, frozen=True):
    """Of the event stream, `event: calls`. `reset`: forget what was told before. `calls` are new or changed, `gone` are
    over, or no longer among the newest that are `shown`.
    """

    reset: bool
    calls: list[Call]
    gone: list[str]
    total: Count
    shown: Count


class Ladder(Document, frozen=True):
    ladder: str


class TraceEntry(Document, frozen=True):
    """A message of one leg (`sent`: by us), or a note. `at`: seconds after the first entry. `local` is our address."""

    at: float
    time: Time
    leg: str
    sent: bool
    label: str
    message: Annotated[str | None, Meta(description="the text; secrets and dialled digits are not shown")]
    note: Annotated[list[str] | None, Meta(description="lines: a decision and its reasons, a state, a verdict")]
    local: str | None
    remote: str | None
    transport: str | None


class Trace(Document, frozen=True):
    """`peers`: by leg; `ingress` is the caller's, `egress`, `egress-2` … one for each attempt."""

    ref: str
    running: bool
    peers: dict[str, str]
    entries: list[TraceEntry]


class PeerTrace(Document, frozen=True):
    """What was said with a peer beside calls, as far as it is kept; its one leg is `peer`."""

    peer: str
    peers: dict[str, str]
    entries: list[TraceEntry]


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


class Alarm(Document, frozen=True):
    """`text`: what it means, for people. `count`: how often it was said since `since`. `fields`: of its log line."""

    event: str
    subject: str
    text: str
    since: Time | None
    last: Time | None
    count: Count
    active: bool
    ended_at: Time | None
    fields: dict[str, Any]


class Alarms(Document, frozen=True):
    """Active ones first, then the newest first."""

    alarms: list[Alarm]


class Ban(Document, frozen=True):
    """`address`: of IPv6 the /64, such as 2001:db8:0:1::/64. `by`: who has banned it."""

    address: str
    since: Time | None
    until: Time | None
    by: Literal["sbc", "operator"]
    why: str


class Bans(Document, frozen=True):
    bans: list[Ban]
    total: Count


class BanBody(Document, frozen=True, rename={"lasts": "for"}):
    """1h where it is missing; 30d at most."""

    lasts: Duration | None = None
    why: str | None = None


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


class HistorySample(Document, frozen=True):
    """One minute. `calls` and `paths`: most at once; quality is of streams that ended in it, null where none did."""

    at: Time
    calls: Count
    attempts: int
    answered: int
    mos: float | None
    lost_percent: float | None
    jitter_ms: float | None
    paths: dict[str, int]


class HistoryDocument(Document, frozen=True):
    step_seconds: Count
    samples: list[HistorySample]


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


class StateEvent(Document, frozen=True):
    """Of the event stream, `event: state`: the members that have changed; all of them in the first."""

    status: Status | None = None
    trunks: list[Trunk] | None = None
    pbxs: list[Pbx] | None = None
    paths: list[SharedPath] | None = None
    limits: list[Limit] | None = None
    alarms: list[Alarm] | None = None
    bans: Bans | None = None


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


class DrainBody(Document, frozen=True):
    deadline: Duration | None = None


class Draining(Document, frozen=True):
    """`ends_at`: when what is left is ended; null when nothing is draining."""

    draining: bool
    calls: Count
    ends_at: Time | None


class Change(Document, frozen=True):
    """Names of one kind."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: tuple[str, ...]


class Changes(Document, frozen=True):
    """What a reload has changed. `dids` are numbers and ranges, `settings` keys of the sections `sbc` and `media`."""

    interfaces: Change
    listeners: Change
    pbxs: Change
    trunks: Change
    routes: Change
    dids: Change
    settings: Change


class Reloaded(Document, frozen=True):
    """`summary`: the changes in one line."""

    reloaded: Literal[True]
    changes: Changes
    summary: str


class Attempt(Document, frozen=True):
    """One INVITE that we sent for a call."""

    n: Annotated[int, Meta(ge=1)]
    peer: str
    server: str
    called_as_sent: str
    started_at: Time
    ended_at: Time | None
    sip_status: int | None
    cause: str
    call_id: str


class Cdr(Document, frozen=True):
    """A call detail record."""

    ref: str
    ingress: str
    egress: str | None
    route: str | None
    caller: str
    called: str
    called_as_sent: str | None
    started_at: Time
    ringing_at: Time | None
    answered_at: Time | None
    ended_at: Time
    billable_ms: Count
    sip_status: int
    q850: int
    ended_by: Literal["caller", "callee", "sbc"]
    cause: str
    emergency: Literal[0, 1]
    disaster: Literal[0, 1]
    media: dict[str, Any] | None
    ingress_call_id: str
    egress_call_id: str | None
    joined_to: str | None
    attempts: list[Attempt]


class Cdrs(Document, frozen=True):
    """`next`: the cursor of the following page; null at the end."""

    cdrs: list[Cdr]
    next: str | None


class ReportRow(Document, frozen=True):
    """One trunk, direction and day; `day` null: all days. `minutes`: each call's seconds rounded up, summed;
    `minutes_started`: each call's minutes rounded up, summed. `peak_paths`: most call paths at once in this direction,
    `trunk_peak_paths` in both. `busy_hour`: start of the clock hour with the most traffic.
    """

    day: Annotated[str, Meta(examples=["2025-01-31"])] | None
    trunk: str
    direction: Literal["inbound", "outbound", "both"]
    calls: Count
    answered: Count
    asr_percent: float | None
    minutes: Seconds
    minutes_started: Count
    acd_seconds: float | None
    peak_paths: Count
    peak_at: Time | None
    busy_hour: Time | None
    busy_hour_paths: Count
    trunk_peak_paths: Count
    trunk_peak_at: Time | None
    emergency: Count
    disaster: Count


class Report(Document, frozen=True):
    """`rows`: by day, trunk and direction `in` or `out`. `totals`: by trunk, for `in`, `out` and `both`."""

    timezone: str
    since: Time
    until: Time
    rows: list[ReportRow]
    totals: list[ReportRow]


class WhyDocument(Document, frozen=True):
    """What a dry run of the policy says."""

    refused: bool
    text: str
