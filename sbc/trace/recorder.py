"""What happened in each call: its messages and decisions, kept in memory for `sbc trace`, the API and the log.

Bounded three ways: entries and octets per call, finished calls, octets of finished calls. A failed call is kept longer
than one that went well. Nothing is rendered here, see `ladder`; nothing is written anywhere. While messages are sent on
to a capture server, each is laid out for that as well; who sends them fetches them.
Who uses it: the engine writes, the admin server, `runtime.hep` and the tests read.
"""

import re
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from msgspec import Struct

from sbc.core import limits
from sbc.core.address import Flow
from sbc.trace.masking import masked, masked_in_place

# The beginning of a call says why it was routed so; of a long one the middle is left out.
_HEAD: Final = limits.TRACE_MESSAGES_PER_CALL // 4
_SUM_SECONDS: Final = 1.0  # between two sums over all running calls, while long ones are to be bounded
_OCTETS_ALWAYS: Final = limits.TRACE_OCTETS_PER_CALL // 8  # of one call, however much others have
_CUT: Final = limits.TRACE_MESSAGES_PER_CALL // 4
# However many calls fail, this part of the ring stays for those that did not.
_KEPT_FOR_GOOD_ONES: Final = limits.TRACE_CALLS // 4

_CALL_ID: Final = re.compile(rb"\n(?:call-id|i)[ \t]*:[ \t]*([^\s]{1,200})", re.IGNORECASE)

# The last: the flow of a message, or the note.
_Row = tuple[float, str, bool, bytes | None, Any]


class Entry(Struct, frozen=True):
    """A message (`data`) on a leg, or a note: a text, or a value that is rendered when somebody looks.

    `flow`: the way that the message has come or gone; `local` is our end of it, whoever has sent it.
    """

    at: float
    leg: str
    sent: bool
    data: bytes | None
    note: object | None
    flow: Flow | None = None


class LeftOut(Struct, frozen=True):
    """Stands where entries were dropped from the middle of a long call."""

    entries: int

    def __str__(self) -> str:
        return f"… {self.entries} entries left out …"


class Recorder:
    """One tape per call. `begins`, `message` and `note` only store; everything else is paid by whoever reads."""

    __slots__ = (
        "_failed",
        "_former",
        "_good",
        "_outbox",
        "_running",
        "_sum",
        "_summed_at",
        "octets_finished",
        "octets_waiting",
        "unfetched",
    )

    def __init__(self) -> None:
        self._former: dict[str, tuple[str, int]] = {}
        self._outbox: deque[tuple[str, _Row]] | None = None
        self.unfetched = 0  # messages that nobody has fetched in time
        self._running: dict[str, _Tape] = {}
        self._good: dict[str, _Tape] = {}
        self._failed: dict[str, _Tape] = {}
        self.octets_finished = 0  # of finished calls
        self._sum = 0  # of the others, as of `_summed_at`
        self._summed_at = float("-inf")
        self.octets_waiting = 0  # of messages that are laid out

    def begins(self, ref: str, leg: int, peer: str) -> None:
        """Leg number `leg` of the call is one with this peer."""
        tape = self._running.get(ref) or self._open(ref)
        tape.peers[leg] = peer

    def message(
        self,
        ref: str,
        at: float,
        leg: str,
        sent: bool,  # noqa: FBT001 - hot path
        data: bytes,
        flow: Flow | None = None,
    ) -> None:
        """`leg`: "ingress", "egress", "egress-2" and so on, see `leg_name`. `sent`: by us."""
        tape = self._running.get(ref) or self._open(ref)
        octets = len(data)
        tape.octets += octets
        row = (at, leg, sent, data, flow)
        tape.rows.append(row)
        if self._outbox is not None:
            self._lay_out(ref, row)
        if tape.octets > tape.unasked or len(tape.rows) > limits.TRACE_MESSAGES_PER_CALL:
            self._bound(tape, octets, at)

    def note(self, ref: str, at: float, note: object) -> None:
        """Anything with a readable str(), or a tuple of such: one line each."""
        tape = self._running.get(ref) or self._open(ref)
        tape.rows.append((at, "", False, None, note))
        if len(tape.rows) > limits.TRACE_MESSAGES_PER_CALL:
            self._bound(tape, 0, at)

    def end(self, ref: str, failed: bool, at: float) -> None:  # noqa: ARG002, FBT001 - `now` is last everywhere
        """The call is over. What still comes under its ref is added while it is kept."""
        tape = self._running.pop(ref, None)
        if tape is None:
            return
        (self._failed if failed else self._good)[ref] = tape
        tape.is_over, tape.unasked = True, 0
        self.octets_finished += tape.octets
        while len(self._good) + len(self._failed) > limits.TRACE_CALLS or self.octets_finished > limits.TRACE_OCTETS:
            self._forget_one()

    def dialog_over(self, tag: str, place: tuple[str, int] | None) -> None:
        """`place`: the call and the number of the leg whose dialog had this tag of ours."""
        if place is None:
            return
        self._former[tag] = place
        if len(self._former) > limits.TRACE_FORMER_DIALOGS:
            del self._former[next(iter(self._former))]

    def former_dialog(self, tag: str) -> tuple[str, int] | None:
        """Whose dialog it was, as long as that is remembered: what comes late belongs in its ladder."""
        return self._former.get(tag)

    def entries(self, ref: str, *, keeps_length: bool = False) -> tuple[Entry, ...]:
        """Everything known of a call, oldest first, less what nobody may see; empty when nothing is.

        `keeps_length`: what is hidden has a filler of its length, so that messages fit their Content-Length.
        """
        tape = self._running.get(ref) or self._good.get(ref) or self._failed.get(ref)
        mask = masked_in_place if keeps_length else masked
        return () if tape is None else tuple([_entry(row, mask) for row in tape.all_rows()])

    def peers(self, ref: str) -> dict[str, str]:
        """The peer of each leg that has been told of, by the leg's name; empty when nothing is known of the call."""
        tape = self._running.get(ref) or self._good.get(ref) or self._failed.get(ref)
        return {} if tape is None else {leg_name(n): peer for n, peer in tape.peers.items()}

    def is_running(self, ref: str) -> bool:
        return ref in self._running

    # --- for a capture server -----------------------------------------------------------------------------------------

    def lay_out(self, *, on: bool) -> None:
        """From now on each message is laid out for whoever sends it on, as far as there is room; or none is."""
        if on is (self._outbox is None):
            self._outbox = deque() if on else None
            self.octets_waiting = 0

    def fetch(self, most: int) -> list[tuple[str, Entry]]:
        """The oldest of what is laid out, with the call's ref, or beside calls its Call-ID; masked, at its length."""
        outbox = self._outbox
        if not outbox:
            return []
        rows = [outbox.popleft() for _ in range(min(most, len(outbox)))]
        self.octets_waiting -= sum(len(row[3] or b"") for _, row in rows)
        return [(ref or _call_id_of(row), _entry(row, masked_in_place)) for ref, row in rows]

    def pass_on(self, row: _Row) -> None:
        """A message that is no call's, for the capture server alone. It goes by its Call-ID."""
        if self._outbox is not None:
            self._lay_out("", row)

    def _lay_out(self, ref: str, row: _Row) -> None:
        octets = len(row[3] or b"")
        outbox, waiting = self._outbox, self.octets_waiting
        if outbox is not None and len(outbox) < limits.HEP_QUEUE and waiting + octets <= limits.HEP_QUEUE_OCTETS:
            outbox.append((ref, row))
            self.octets_waiting += octets
        else:
            self.unfetched += 1

    # --- what there is ------------------------------------------------------------------------------------------------

    def refs(self) -> tuple[str, ...]:
        """Every call of which something is known: finished ones first, oldest first."""
        return (*self._failed, *self._good, *self._running)

    @property
    def finished(self) -> int:
        """Calls."""
        return len(self._good) + len(self._failed)

    @property
    def octets_running(self) -> int:
        """Of calls that are not finished. Added up when somebody asks: a sum kept with every message costs more."""
        return sum(tape.octets for tape in self._running.values())

    @property
    def former_dialogs(self) -> int:
        return len(self._former)

    @property
    def waiting(self) -> int:
        """Messages that are laid out."""
        return len(self._outbox or ())

    def __contains__(self, ref: str) -> bool:
        return ref in self._running or ref in self._good or ref in self._failed

    def __len__(self) -> int:
        return len(self._running) + len(self._good) + len(self._failed)

    def _open(self, ref: str) -> "_Tape":
        finished = self._good.get(ref) or self._failed.get(ref)
        if finished is not None:
            return finished
        if len(self._running) >= limits.CALLS:
            del self._running[next(iter(self._running))]
        tape = self._running[ref] = _Tape()
        return tape

    def _bound(self, tape: "_Tape", octets: int, at: float) -> None:
        """`octets`: of the message that has just been kept; of a call that is over it came late, and counts there."""
        is_long = len(tape.rows) > limits.TRACE_MESSAGES_PER_CALL or tape.octets > limits.TRACE_OCTETS_PER_CALL
        was = tape.octets
        if is_long or (not tape.is_over and self._is_tight(at)):
            tape.cut()
        if not tape.is_over:
            self._sum -= was - tape.octets
            return
        self.octets_finished += octets - (was - tape.octets)
        while self.octets_finished > limits.TRACE_OCTETS:
            self._forget_one()

    def _is_tight(self, at: float) -> bool:
        if at >= self._summed_at + _SUM_SECONDS:
            self._sum, self._summed_at = self.octets_running, at
        return self._sum > limits.TRACE_OCTETS_RUNNING

    def _forget_one(self) -> None:
        ring = self._good if len(self._good) > _KEPT_FOR_GOOD_ONES or not self._failed else self._failed
        self.octets_finished -= ring.pop(next(iter(ring))).octets


def leg_name(n: int) -> str:
    """What the leg with this number is called on the tape: one for each attempt, and for each that is taken in."""
    return "ingress" if n == 0 else "egress" if n == 1 else f"egress-{n}"


def _entry(row: _Row, mask: Callable[[bytes], bytes]) -> Entry:
    at, leg, sent, data, more = row
    if data is None:
        return Entry(at, leg, sent, None, more)
    return Entry(at, leg, sent, mask(data), None, more)


def _call_id_of(row: _Row) -> str:
    found = _CALL_ID.search(row[3] or b"")
    return "" if found is None else found[1].decode("utf-8", "replace")


class _Tape:
    __slots__ = ("head", "is_over", "octets", "peers", "rows", "skipped", "unasked")

    def __init__(self) -> None:
        self.peers: dict[int, str] = {}  # by the number of the leg
        self.rows: list[_Row] = []
        self.octets = 0
        self.unasked = _OCTETS_ALWAYS  # up to which nothing else is asked about
        self.is_over = False
        self.skipped = 0
        self.head = 0  # entries before the gap

    def cut(self) -> None:
        """Drop from the middle: a quarter at a time, so that it costs nothing per entry."""
        if not self.skipped:
            self.head = min(_HEAD, len(self.rows) // 4)
        head = self.head
        end = max(head + 1, min(head + _CUT, len(self.rows) - 1))
        self.octets -= sum(len(row[3]) for row in self.rows[head:end] if row[3] is not None)
        self.skipped += end - head
        del self.rows[head:end]

    def all_rows(self) -> list[_Row]:
        if not self.skipped:
            return self.rows
        head = self.head
        at = self.rows[min(head, len(self.rows) - 1)][0]
        gap: _Row = (at, "", False, None, LeftOut(self.skipped))
        return [*self.rows[:head], gap, *self.rows[head:]]
