"""Reliable provisional responses of one INVITE, both ways (RFC 3262 §3, §4): 100rel, RSeq and PRACK.

`ReliableSender` numbers what we send, repeats it until its PRACK, and keeps back what comes after it.
`ReliableReceiver` says which of a peer's provisionals are to be acknowledged. Neither knows what is offered in them,
nor whether 100rel was agreed: the leg does, and it answers and sends the PRACKs.
"""

import enum

from msgspec import Struct
from msgspec.structs import replace

from sbc.core.limits import EARLY_DIALOGS_PER_LEG, PROVISIONALS_WAITING
from sbc.sip.commands import Order, ResendResponse, Respond
from sbc.sip.headers.reliable import RAck, parse_rack, rseq_of
from sbc.sip.message import Fields, Request, Response
from sbc.sip.timing import Timing
from sbc.sip.transaction.key import ServerKey

_REQUIRE: Fields = (("Require", "100rel"),)


class PrackMissing(Struct, frozen=True):
    """64*T1 have passed since a reliable provisional without its PRACK.

    "The UAS SHOULD reject the original request with a 5xx response", §3.
    """


class ReliableSender:
    """One unacknowledged response at a time; the others wait, in order, and unreliable ones too: `ResendResponse`
    repeats what was sent last, and that must be the unacknowledged one.

    `key` and `cseq` are those of the INVITE. `first_rseq`: 1 to 2**31 - 1, random: "RECOMMENDED that it be chosen
    uniformly in this range", §3; so the numbers cannot wrap around.
    """

    __slots__ = (
        "_cseq",
        "_give_up_at",
        "_interval",
        "_is_stopped",
        "_key",
        "_resend_at",
        "_rseq",
        "_timing",
        "_unacknowledged",
        "_waiting",
    )

    def __init__(self, key: ServerKey, timing: Timing, first_rseq: int, *, cseq: int) -> None:
        self._key = key
        self._cseq = cseq
        self._timing = timing
        self._rseq = first_rseq - 1
        self._unacknowledged: Respond | None = None
        self._waiting: list[tuple[Respond, bool]] = []  # with whether it is to go out reliably
        self._is_stopped = False
        self._interval = timing.t1
        self._resend_at: float | None = None
        self._give_up_at: float | None = None

    @property
    def awaits_prack(self) -> bool:
        return self._unacknowledged is not None and not self._is_stopped

    @property
    def awaits_prack_of_description(self) -> bool:
        """ "The UAS MUST delay sending the 2xx until the provisional response is acknowledged", §5."""
        return self.awaits_prack and self._unacknowledged is not None and bool(self._unacknowledged.body)

    def send(self, respond: Respond, now: float, *, reliably: bool = True) -> list[Order]:
        """Send a provisional response now, or as soon as those before it are acknowledged.

        A 100 is never reliable (§3), and says nothing once another has gone out. After a final response: nothing.
        """
        if self._is_stopped:
            return []
        if respond.status == 100:
            return [] if self.awaits_prack else [respond]
        if self.awaits_prack:
            self._wait(respond, reliably=reliably)
            return []
        return [self._start(respond, now) if reliably else respond]

    def take_prack(self, request: Request, now: float) -> tuple[bool, list[Order]]:
        """(True, what may go out now) for the PRACK that was awaited, to be answered with a 2xx; (False, []) for one
        that "does not match any unacknowledged reliable provisional response", to be answered with 481 (§3).

        After a final response too: the UAS "MUST be prepared to process PRACK requests for those outstanding
        responses".
        """
        rack = parse_rack(request.header("RAck") or "")
        if self._unacknowledged is None or rack != RAck(self._rseq, self._cseq, "INVITE"):
            return (False, [])
        self._unacknowledged = None
        self._resend_at = self._give_up_at = None
        return (True, self._release(now))

    def stop(self) -> None:
        """A final response is out: nothing is repeated any more, and what waited is not sent (§3)."""
        self._is_stopped = True
        self._waiting.clear()
        self._resend_at = self._give_up_at = None

    def tick(self, now: float) -> list[Order | PrackMissing]:
        if self._give_up_at is not None and now >= self._give_up_at:
            self.stop()
            return [PrackMissing()]
        if self._resend_at is None or now < self._resend_at:
            return []
        # "an interval that starts at T1 seconds and doubles for each retransmission", not capped at T2 as a 2xx's, §3
        self._interval *= 2
        self._resend_at = now + self._interval
        return [ResendResponse(self._key)]

    def next_deadline(self) -> float | None:
        if self._resend_at is None or self._give_up_at is None:
            return None
        return min(self._resend_at, self._give_up_at)

    def _start(self, respond: Respond, now: float) -> Respond:
        # "The value of the RSeq in each subsequent reliable provisional response … MUST be greater by exactly one", §3
        self._rseq += 1
        self._unacknowledged = respond
        self._interval = self._timing.t1
        self._resend_at = now + self._interval
        self._give_up_at = now + self._timing.give_up
        return replace(respond, fields=(*respond.fields, *_REQUIRE, ("RSeq", str(self._rseq))))

    def _wait(self, respond: Respond, *, reliably: bool) -> None:
        """A mere "it rings" tells nothing beside a newer one; the last gives way where too many wait."""
        last = self._waiting[-1][0] if self._waiting else None
        is_outdated = last is not None and not last.body and not respond.body
        if is_outdated or len(self._waiting) >= PROVISIONALS_WAITING:
            self._waiting.pop()
        self._waiting.append((respond, reliably))

    def _release(self, now: float) -> list[Order]:
        orders: list[Order] = []
        while self._waiting and not self.awaits_prack:
            respond, reliably = self._waiting.pop(0)
            orders.append(self._start(respond, now) if reliably else respond)
        return orders


class Arrival(enum.StrEnum):
    """What is to be done with a provisional response."""

    UNRELIABLE = "unreliable"  # take it, as it is
    NEW = "new"  # take it, and send a PRACK
    REPEATED = "repeated"  # ignore it: the transaction of our PRACK repeats that
    OUT_OF_ORDER = "out of order"  # ignore it: it "MUST NOT be acknowledged" nor "processed further", §4


class ReliableReceiver:
    """The provisionals that peers send to one INVITE of ours. The same INVITE with credentials is another one.

    Each early dialog counts for itself: forks number their responses without knowing each other.
    """

    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: dict[str, int] = {}  # RSeq of the latest in order, by To tag

    def take(self, response: Response) -> Arrival:
        """A 100 is never reliable, whatever it requires (§4)."""
        if response.status == 100 or not _is_reliable(response):
            return Arrival.UNRELIABLE
        tag = response.to.tag or ""
        rseq, last = rseq_of(response), self._last.get(tag)
        if last is None:
            return self._first(tag, rseq)
        if rseq == last + 1:
            self._last[tag] = rseq
            return Arrival.NEW
        return Arrival.OUT_OF_ORDER if rseq is None or rseq > last else Arrival.REPEATED

    def _first(self, tag: str, rseq: int | None) -> Arrival:
        if rseq is None:
            return Arrival.UNRELIABLE  # Interop: reliable by its word alone; no PRACK could name it
        if len(self._last) >= EARLY_DIALOGS_PER_LEG:
            return Arrival.OUT_OF_ORDER  # of a fork beyond those that are kept, in which no PRACK can be sent
        self._last[tag] = rseq
        return Arrival.NEW


def rack_of(response: Response) -> str:
    """The RAck value for a response that arrived as NEW. Raises ValueError for one without RSeq."""
    rseq = rseq_of(response)
    if rseq is None:
        raise ValueError("no RSeq to acknowledge")
    return str(RAck(rseq, response.cseq.number, response.cseq.method))


def _is_reliable(response: Response) -> bool:
    return any(tag.lower() == "100rel" for tag in response.require)
