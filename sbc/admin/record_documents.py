"""The JSON documents about what has been: call records, the report, the minutes of the last day, as types. Pure.

Built by `records`, `report` and `figures`; used by `api`'s table.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta

from sbc.admin.document import Count, Document, Seconds, Time


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
    estimated: Literal[0, 1] | None
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
