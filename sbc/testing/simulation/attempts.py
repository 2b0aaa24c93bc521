"""Every call that a simulation's phones attempt: what was planned, what each side saw, what may excuse its end."""

from typing import Literal

from msgspec import Struct

from sbc.testing.party import Party, Stage

Kind = Literal["outbound", "inbound", "emergency", "transfer"]
Fate = Literal["answer", "busy", "unavailable", "rings"]
Side = Literal["caller", "callee"]
_SETTLED_SECONDS = 1.0  # after its answer a call is established on both sides, with its ACKs
_OVER_SECONDS = 40.0  # after the end of both sides nothing of a call is in flight any more


class Plan(Struct, frozen=True):
    """What the two sides mean to do. Seconds count from the INVITE, those of `moves` and `talks` from the answer."""

    fate: Fate
    rings_after: float
    answers_after: float
    has_early_media: bool
    cancels_after: float | None
    talks: float
    hangs_up: Side
    moves: tuple[tuple[float, Side, str], ...] = ()


class Attempt(Struct, eq=False):
    """`number`: what no other call has in its INVITEs. `arrivals`: by station, each dialog that its INVITEs made."""

    n: int
    kind: Kind
    number: str
    plan: Plan
    caller: str  # the station's name; "" of a transfer: the SBC calls
    begun_at: float
    party: Party | None = None
    arrivals: list[tuple[str, Party]] = []
    answered_at: float | None = None  # as the caller saw it
    ends: dict[str, float] = {}  # when each side's dialog was over
    had_timer: bool = False  # the side that ended first had a session timer
    hung_up: str = ""  # the side that meant to end it
    excuses: list[str] = []  # faults because of which it may have ended otherwise than planned
    touched: list[str] = []  # faults that it had to survive
    changed_at: float = 0.0  # when it was held, resumed or changed otherwise last
    is_transferred: bool = False

    @property
    def call_id(self) -> str:
        return self.party.call_id if self.party else ""

    @property
    def callee(self) -> Party | None:
        """Who has answered it. Of several, whose answers have crossed a CANCEL, the one that it was left to."""
        answered = [party for _, party in self.arrivals if party.answered_at is not None]
        return next((party for party in answered if party.stage is Stage.TALKING), answered[-1] if answered else None)

    def is_established(self, now: float) -> bool:
        """On both sides, and neither has said BYE."""
        caller, callee = self.party, self.callee
        if caller is None or callee is None or self.answered_at is None:
            return False
        are_up = caller.stage is Stage.TALKING and callee.stage is Stage.TALKING
        return are_up and not self.hung_up and now - self.answered_at >= _SETTLED_SECONDS and callee.invite_seq >= 0

    def is_over(self, now: float) -> bool:
        parties = [party for party in (self.party, *(party for _, party in self.arrivals)) if party]
        if not all(party.stage is Stage.ENDED for party in parties):
            return False
        return now - max(self.ends.values(), default=self.begun_at) >= _OVER_SECONDS


class Book:
    """The attempts that are not over, and those of this shift that are."""

    def __init__(self) -> None:
        self.all: list[Attempt] = []
        self.open: dict[int, Attempt] = {}
        self.made = 0
        self._by_number: dict[str, Attempt] = {}

    def add(self, attempt: Attempt) -> Attempt:
        self.all.append(attempt)
        self.open[attempt.n] = attempt
        self._by_number[attempt.number] = attempt
        return attempt

    def numbered(self) -> int:
        self.made += 1
        return self.made

    def find(self, number: str) -> Attempt | None:
        return self._by_number.get(number)

    def excuse(self, why: str, now: float, *, whose: str = "") -> None:
        """Of every attempt that is under way, or those that have to do with this station."""
        for attempt in self.under_way(now):
            stations = {attempt.caller, *(station for station, _ in attempt.arrivals)}
            is_open = attempt.answered_at is None  # may still be offered to any
            if not whose or whose in stations or is_open:
                attempt.excuses.append(why)

    def under_way(self, now: float) -> list[Attempt]:
        for n in [n for n, attempt in self.open.items() if attempt.is_over(now)]:
            del self.open[n]
        return list(self.open.values())

    def turn_page(self) -> None:
        """A shift is over and all is judged."""
        self.all.clear()
        self.open.clear()
        self._by_number.clear()
