"""Keeps what the CDR will say while a call lives. Times are the engine clock's; the record has the wall clock's.

Durations are differences of the engine's clock, so that a step of the wall clock bills nobody.
"""

from typing import Final, Literal

from msgspec import Struct

from sbc.b2bua.hunt import Attempt
from sbc.cdr.record import AttemptRecord, CallRecord
from sbc.core.cause import Cause
from sbc.policy.model import Limits
from sbc.sip.message import Fields

Who = Literal["caller", "callee", "sbc"]


class WallClock:
    """Wall-clock seconds at zero of the engine's clock; set by the runtime."""

    __slots__ = ("at_zero",)

    def __init__(self, at_zero: float = 0.0) -> None:
        self.at_zero = at_zero

    def of(self, now: float) -> float:
        return self.at_zero + now


class Try(Struct, omit_defaults=True):
    """One attempt of the hunt, for the record. `server`: the label of the attempt."""

    peer: str
    server: str
    called: str
    call_id: str
    started_at: float
    ended_at: float | None = None
    status: int | None = None
    cause: Cause = Cause.NORMAL


class SavedAccount(Struct, frozen=True, omit_defaults=True):
    """What the call journal keeps of an account; names and units are the account's own."""

    ingress: str
    ingress_call_id: str
    started_at: float
    ringing_at: float | None = None
    answered_at: float | None = None
    route: str | None = None
    caller: str = ""
    called: str = ""
    aimed_at: str | None = None
    emergency: bool = False
    disaster: bool = False
    tries: tuple[Try, ...] = ()
    media: str | None = None
    heard_at: float = 0.0


class Ending(Struct, frozen=True):
    """How a call ended."""

    cause: Cause
    status: int
    q850: int
    by: Who
    fields: Fields = ()  # of the final response, besides what others put there


_UNKNOWN: Final = Ending(Cause.INTERNAL, 200, Cause.INTERNAL.q850, "sbc")


class Account:
    def __init__(self, ref: str, ingress: str, call_id: str, now: float) -> None:
        self.ref = ref
        self.ingress = ingress
        self.ingress_call_id = call_id
        self.started_at = now
        self.ringing_at: float | None = None
        self.answered_at: float | None = None
        self.route: str | None = None
        self.caller = ""
        self.called = ""
        self.aimed_at: str | None = None  # whom the hunt would have dialled, had it been able to
        self.emergency = False
        self.disaster = False
        self.tries: list[Try] = []
        self.media: str | None = None
        self.heard_at = 0.0  # when its media was heard last, as the spool knows
        self.limits: tuple[tuple[str, Limits], ...] = ()  # of the last attempt's target, besides the call's own

    def saved(self) -> SavedAccount:
        return SavedAccount(
            self.ingress,
            self.ingress_call_id,
            self.started_at,
            self.ringing_at,
            self.answered_at,
            self.route,
            self.caller,
            self.called,
            self.aimed_at,
            self.emergency,
            self.disaster,
            tuple(self.tries),
            self.media,
            self.heard_at,
        )

    @classmethod
    def restored(cls, ref: str, saved: SavedAccount) -> "Account":
        account = cls(ref, saved.ingress, saved.ingress_call_id, saved.started_at)
        account.ringing_at, account.answered_at = saved.ringing_at, saved.answered_at
        account.route, account.caller, account.called = saved.route, saved.caller, saved.called
        account.aimed_at, account.emergency, account.disaster = saved.aimed_at, saved.emergency, saved.disaster
        account.tries = list(saved.tries)
        account.media, account.heard_at = saved.media, saved.heard_at
        return account

    def dialled(self, attempt: Attempt, call_id: str, now: float) -> None:
        target = attempt.target
        self.tries.append(Try(target.peer.name, attempt.label, target.called, call_id, now))
        self.limits = target.limits

    def attempt_ended(self, status: int | None, cause: Cause, now: float) -> None:
        """The attempt under way is over; the last one's end says nothing if it was said before."""
        last = self.tries[-1] if self.tries else None
        if last is not None and last.ended_at is None:
            last.ended_at, last.status, last.cause = now, status, cause

    @property
    def called_peer(self) -> str:
        """Whom the last attempt has called; "" where there was none."""
        return self.tries[-1].peer if self.tries else ""

    @property
    def called_as_sent(self) -> str:
        """The number that the last attempt has called."""
        return self.tries[-1].called if self.tries else ""

    def rang(self, now: float) -> None:
        if self.ringing_at is None:
            self.ringing_at = now

    def record(self, ending: Ending, ended_at: float, wall: WallClock, joined_to: str | None = None) -> CallRecord:
        last = self.tries[-1] if self.tries else None
        answered_at = self.answered_at
        return CallRecord(
            ref=self.ref,
            ingress=self.ingress,
            egress=self.aimed_at if last is None else last.peer,
            route=self.route,
            caller=self.caller,
            called=self.called,
            called_as_sent=None if last is None else last.called,
            started_at=wall.of(self.started_at),
            ringing_at=None if self.ringing_at is None else wall.of(self.ringing_at),
            answered_at=None if answered_at is None else wall.of(answered_at),
            ended_at=wall.of(ended_at),
            billable_ms=0 if answered_at is None else round((ended_at - answered_at) * 1000),
            sip_status=ending.status,
            q850=ending.q850,
            ended_by=ending.by,
            cause=ending.cause,
            emergency=self.emergency,
            disaster=self.disaster,
            media=self.media,
            ingress_call_id=self.ingress_call_id,
            egress_call_id=None if last is None else last.call_id,
            joined_to=joined_to,
            attempts=tuple(self._row(i, one, wall) for i, one in enumerate(self.tries, 1)),
        )

    def so_far(self, now: float, wall: WallClock) -> CallRecord:
        """The record if nothing more were ever heard of it, and it had ended now."""
        return self.record(_UNKNOWN, now, wall)

    def talks_still(self, heard_at: float, wall: WallClock) -> CallRecord:
        """The same, as if it had ended when it was heard last; never earlier than was said before."""
        self.heard_at = max(self.heard_at, heard_at, self.answered_at or 0.0)
        return self.so_far(self.heard_at, wall)

    def _row(self, n: int, one: Try, wall: WallClock) -> AttemptRecord:
        return AttemptRecord(
            n=n,
            peer=one.peer,
            server=one.server,
            called_as_sent=one.called,
            started_at=wall.of(one.started_at),
            ended_at=None if one.ended_at is None else wall.of(one.ended_at),
            sip_status=one.status,
            cause=one.cause,
            call_id=one.call_id,
        )
