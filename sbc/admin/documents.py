"""The JSON documents of the admin API as types: what `openapi` publishes, and what tests hold real replies against.

Here: what runs, alarms, bans and orders; peers and records have files of their own. They are built elsewhere (`views`,
`control`), from the engine's snapshot. Pure.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta

from sbc.admin.document import Count, Document, Duration, Seconds, Time
from sbc.admin.peer_documents import Limit, Pbx, SharedPath, Trunk
from sbc.b2bua.snapshot import CallState


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
    """`ready`: new calls are taken; `reason`: why they are not, emergency calls excepted. `ports`: media port pairs
    that calls hold. `tasks`: what works for calls in the background; 0 when idle.
    """

    name: str
    ready: bool
    draining: bool
    reason: str
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


class StateEvent(Document, frozen=True):
    """Of the event stream, `event: state`: the members that have changed; all of them in the first."""

    status: Status | None = None
    trunks: list[Trunk] | None = None
    pbxs: list[Pbx] | None = None
    paths: list[SharedPath] | None = None
    limits: list[Limit] | None = None
    alarms: list[Alarm] | None = None
    bans: Bans | None = None


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


class Restarting(Document, frozen=True):
    """It has begun; `pids.signalling` of the status is another one when it is done."""

    restarting: Literal[True]


class WhyDocument(Document, frozen=True):
    """What a dry run of the policy says."""

    refused: bool
    text: str
