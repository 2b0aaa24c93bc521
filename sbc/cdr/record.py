"""A call detail record is a value: one per call, with one row per attempt. Columns as `docs/reference/cdr.md` has them.

Times are seconds of the wall clock (UTC); durations come from the monotonic clock, so that a clock step cannot bill.
Who makes it: the call, in its one exit. Who reads it: the store, `sbc cdr`, the HTTP API.
"""

from msgspec import Struct


class AttemptRecord(Struct, frozen=True):
    """One INVITE that we sent for a call."""

    n: int
    peer: str
    server: str
    called_as_sent: str
    started_at: float
    ended_at: float | None
    sip_status: int | None
    cause: str
    call_id: str


class CallRecord(Struct, frozen=True):
    """One call. `media`: JSON `{"ingress": [], "egress": []}`, a stream each: codec, packets, lost, jitter_ms, mos."""

    ref: str
    ingress: str
    egress: str | None
    route: str | None
    caller: str
    called: str
    called_as_sent: str | None
    started_at: float
    ringing_at: float | None
    answered_at: float | None
    ended_at: float
    billable_ms: int
    sip_status: int
    q850: int
    ended_by: str  # caller | callee | sbc
    cause: str
    emergency: bool
    disaster: bool
    media: str | None
    ingress_call_id: str
    egress_call_id: str | None
    joined_to: str | None = None  # the ref of the call that it became part of
    estimated: bool = False  # nobody saw its end: `ended_at` is when it was heard last
    attempts: tuple[AttemptRecord, ...] = ()
