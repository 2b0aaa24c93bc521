"""What was said with each peer beside calls: REGISTER, OPTIONS, MESSAGE, SUBSCRIBE and the like, and INVITEs that were
turned back before they were calls. One small tape a peer, in memory, for `sbc trace PEER`, the API and the page.

It is kept by exchanges: a request, its copies and its answers. Of each method, and each direction, the last two that
went well at once stay, the last two that were challenged only, and the last six of all others, so that probes that are
answered push out nothing, nor does one method another. Of these six the host that has the most gives way first: who
guesses passwords does not hide the telephone that has a wrong one. Decisions are notes; of each kind the last six stay.

Bounded three ways: messages and octets of a peer, and peers. Calls have their own tapes, see `recorder`. Nothing is
rendered here before somebody looks. Who uses it: the engine writes, the admin server and the tests read.
"""

import re
from collections import Counter, deque
from collections.abc import Callable, Container, Hashable, Iterable
from operator import itemgetter
from typing import Any, Final, Literal

from msgspec import Struct

from sbc.core import limits
from sbc.core.address import Flow
from sbc.core.commands import Log
from sbc.trace.ladder import PEER
from sbc.trace.masking import masked, masked_in_place
from sbc.trace.recorder import Entry, Recorder

_Outcome = Literal["well", "challenged", "failed"]
_KEPT: Final[tuple[tuple[_Outcome, int], ...]] = (("well", 2), ("challenged", 2), ("failed", 6))
_NOTES: Final = 6  # of each event
_MESSAGES_PER_EXCHANGE: Final = 6  # a request that nobody answers is sent eleven times
_HEAD: Final = _MESSAGES_PER_EXCHANGE // 2
# Log lines that are decisions about a peer, and the field that names it.
_NOTED: Final = {
    **dict.fromkeys(("peer.down", "peer.up", "server.down", "server.up", "server.suspended"), "peer"),
    **{
        f"registration.{state}": "trunk"
        for state in ("registered", "rejected", "failing", "not_refreshed", "not_removed", "unregistered")
    },
    **dict.fromkeys(("binding.added", "binding.removed", "binding.expired", "binding.lost"), "pbx"),
    **dict.fromkeys(("busyout.on", "busyout.off"), "trunk"),
    **dict.fromkeys(("drill.on", "drill.off"), "pbx"),
    **dict.fromkeys(("request.refused", "request.relayed", "subscription.refused"), "ingress"),
}
_CREDENTIALS: Final = re.compile(rb"\n(?:proxy-)?authorization[ \t]*:", re.IGNORECASE)
_UNSAID: Final = frozenset({"alarm", "why", "ingress", "server"})  # the address says more than the server
_METHODS: Final = frozenset(
    {b"REGISTER", b"OPTIONS", b"MESSAGE", b"SUBSCRIBE", b"NOTIFY", b"PUBLISH", b"INVITE", b"ACK", b"CANCEL", b"BYE"}
)  # others share their places: a peer must not make kinds

# Number, time, sent by us, message, and its flow or the note. The numbers keep the order of what was at one time.
_Row = tuple[int, float, bool, bytes | None, Any]


class Decision(Struct, frozen=True):
    """A log line as a note: its event, by which the log is searched, and what it says."""

    event: str
    fields: tuple[tuple[str, object], ...]

    def __str__(self) -> str:
        values = dict(self.fields)
        words = [f"{name} {value}" for name, value in self.fields if name not in _UNSAID and value not in ("", None)]
        named = ", ".join([self.event, *words])
        return f"{named}: {values['why']}" if values.get("why") else named


class PeerTapes:
    """`whom`: the peer that a request of ours went to, by the user of its transaction, where that does not name it."""

    def __init__(self, recorder: Recorder) -> None:
        self.whom: Callable[[Hashable], str] = lambda _user: ""
        self._recorder = recorder
        self._tapes: dict[str, _Tape] = {}
        self._exchanges: dict[Hashable, _Exchange] = {}  # those on the tapes, by the user of their transactions
        self._number = 0

    # --- what happens -------------------------------------------------------------------------------------------------

    def new_user(self, peer: str) -> Hashable:
        """For the transaction of a request of this peer, so that its answers are found."""
        self._number += 1
        return ("asked", peer, self._number)

    def message(self, user: Hashable, at: float, sent: bool, data: bytes, flow: Flow | None) -> None:  # noqa: FBT001
        """`user`: of the transaction; what is no peer's is not kept."""
        exchange = self._exchanges.get(user)
        is_answer = data.startswith(b"SIP/")
        if exchange is None or (sent and not is_answer and data != exchange.request):
            peer = self._peer_of(user)
            exchange = self._begin(user, peer, sent, data, flow) if peer and not is_answer else None
            if peer and exchange is None:  # there was no room for it, or is none any more: a capture server has it
                self._recorder.pass_on((at, PEER, sent, data, flow))
        if exchange is None:
            return
        self._append(exchange, at, sent, data, flow)
        if exchange.is_settled_by(data) if is_answer else exchange.is_repeated():
            _trim(exchange.kind, self._exchanges)

    def exchange(self, peer: str, rows: Iterable[tuple[float, bool, bytes, Flow]], note: str = "") -> None:
        """A request and its answer that no transaction was made for. `note`: why it was answered so."""
        user = self.new_user(peer)
        at = 0.0
        for at, sent, data, flow in rows:
            self.message(user, at, sent, data, flow)
        exchange = self._exchanges.get(user)
        if note and exchange is not None:
            exchange.rows.append((self._next(), at, False, None, note))

    def log(self, line: Log, at: float) -> None:
        """A line of the log; a note if it is a decision about a peer."""
        naming = _NOTED.get(line.event)
        if naming is None:
            return
        fields = dict(line.fields)
        if line.event == "request.relayed" and not fields.get("why"):
            return  # the messages say it
        tape = self._tape_of(str(fields.get(naming, "")))
        if tape is None:
            return
        tape.is_troubled = tape.is_troubled or line.level != "info"
        note = Decision(line.event, tuple([(name, value) for name, value in line.fields if name != naming]))
        tape.notes.setdefault(line.event, deque(maxlen=_NOTES)).append((self._next(), at, False, None, note))

    def keep_only(self, peers: Container[str]) -> None:
        """The others are gone."""
        for name in [name for name in self._tapes if name not in peers]:
            self._forget(name)

    # --- what is known ------------------------------------------------------------------------------------------------

    def entries(self, peer: str, *, keeps_length: bool = False) -> tuple[Entry, ...]:
        """Everything kept of this peer, oldest first, less what nobody may see; empty when there is nothing.

        `keeps_length`: what is hidden has a filler of its length.
        """
        tape = self._tapes.get(peer)
        if tape is None:
            return ()
        mask = masked_in_place if keeps_length else masked
        rows = [row for notes in tape.notes.values() for row in notes]
        rows += [row for kind in tape.kinds.values() for exchange in kind for row in exchange.shown()]
        return tuple([_entry(row, mask) for row in sorted(rows, key=itemgetter(0))])

    def __len__(self) -> int:
        return len(self._tapes)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _peer_of(self, user: Hashable) -> str:
        match user:
            case ("asked" | "health" | "register", str(name), int()):
                return name
            case ("beside", str(), int()):
                return self.whom(user)
            case _:
                return ""

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _begin(
        self, user: Hashable, peer: str, sent: bool, data: bytes, flow: Flow | None  # noqa: FBT001
    ) -> "_Exchange | None":  # fmt: skip
        tape = self._tape_of(peer)
        if tape is None:
            return None
        method = data.partition(b" ")[0]
        kind = tape.kinds.setdefault((method if method in _METHODS else b"", sent), [])
        exchange = self._exchanges[user] = _Exchange(user, tape, kind, data, "" if flow is None else flow.remote.host)
        kind.append(exchange)
        _trim(kind, self._exchanges)
        return exchange

    def _append(self, exchange: "_Exchange", at: float, sent: bool, data: bytes, flow: Flow | None) -> None:  # noqa: FBT001
        row = (self._next(), at, sent, data, flow)
        exchange.append(row)
        tape = exchange.tape
        while tape.octets > limits.TRACE_OCTETS_PER_PEER or tape.messages > limits.TRACE_MESSAGES_PER_PEER:
            if not tape.drop_one(exchange, self._exchanges):
                break
        self._recorder.pass_on((at, PEER, sent, data, flow))

    def _tape_of(self, peer: str) -> "_Tape | None":
        """None where there is no room for another one: whoever has no trouble makes room."""
        tape = self._tapes.get(peer)
        if tape is None and peer:
            if len(self._tapes) >= limits.TRACE_PEERS:
                happy = next((name for name, one in self._tapes.items() if not one.is_troubled), None)
                if happy is None:
                    return None
                self._forget(happy)
            tape = self._tapes[peer] = _Tape()
        return tape

    def _forget(self, peer: str) -> None:
        for kind in self._tapes.pop(peer).kinds.values():
            for exchange in kind:
                self._exchanges.pop(exchange.user, None)


class _Tape:
    __slots__ = ("is_troubled", "kinds", "messages", "notes", "octets")

    def __init__(self) -> None:
        self.kinds: dict[tuple[bytes, bool], list[_Exchange]] = {}  # by method, and whether we ask
        self.notes: dict[str, deque[_Row]] = {}  # by event
        self.messages = 0
        self.octets = 0
        self.is_troubled = False

    def drop_one(self, latest: "_Exchange", exchanges: dict[Hashable, "_Exchange"]) -> bool:
        """The oldest exchange goes, those that went well first; of the `latest`, a message. False: nothing can go."""
        others = [one for kind in self.kinds.values() for one in kind if one is not latest and one.rows]
        for outcome, _ in _KEPT:
            oldest = min((one for one in others if one.outcome == outcome), key=_age, default=None)
            if oldest is not None:
                oldest.leave(exchanges)
                return True
        return latest.drop_middle()


class _Exchange:
    """Without a final answer it counts as failed: nobody has answered it yet, and perhaps nobody will. So it does if it
    took a second copy: something was lost, or late.
    """

    __slots__ = ("copies", "host", "kind", "left_out", "outcome", "request", "rows", "tape", "user")

    def __init__(self, user: Hashable, tape: _Tape, kind: "list[_Exchange]", request: bytes, host: str) -> None:
        self.user = user
        self.tape = tape
        self.kind = kind
        self.request = request
        self.host = host
        self.rows: list[_Row] = []
        self.outcome: _Outcome = "failed"
        self.copies = 0
        self.left_out = 0

    def append(self, row: _Row) -> None:
        self.rows.append(row)
        self.tape.messages += 1
        self.tape.octets += len(row[3] or b"")
        if len(self.rows) > _MESSAGES_PER_EXCHANGE:
            self.drop_middle()

    def is_repeated(self) -> bool:
        """Whether this copy of the request has undone its outcome."""
        self.copies += 1
        if self.copies == 1 or self.outcome == "failed":
            return False
        self.outcome = "failed"
        return True

    def is_settled_by(self, answer: bytes) -> bool:
        """Whether this answer is a final one; from then on the outcome is known."""
        status = answer[8:11]
        if status < b"200":
            return False
        if status < b"300":
            self.outcome = "well" if self.copies < 2 else "failed"
        elif (
            self.copies < 2
            and status in (b"401", b"407")
            and (b"stale=true" in answer or _CREDENTIALS.search(self.request) is None)
        ):
            self.outcome = "challenged"  # it comes again by itself
        else:
            self.outcome, self.tape.is_troubled = "failed", True
        return True

    def drop_middle(self) -> bool:
        if len(self.rows) < 2:
            return False
        row = self.rows.pop(min(_HEAD, len(self.rows) - 2))
        self.tape.messages -= row[3] is not None
        self.tape.octets -= len(row[3] or b"")
        self.left_out += 1
        return True

    def leave(self, exchanges: dict[Hashable, "_Exchange"]) -> None:
        self.kind.remove(self)
        self.tape.messages -= sum(row[3] is not None for row in self.rows)
        self.tape.octets -= sum(len(row[3] or b"") for row in self.rows)
        if exchanges.get(self.user) is self:
            del exchanges[self.user]

    def shown(self) -> list[_Row]:
        if not self.left_out:
            return self.rows
        number, at, *_ = self.rows[min(_HEAD, len(self.rows) - 1)]
        words = "1 message" if self.left_out == 1 else f"{self.left_out} messages"
        return [*self.rows, (number, at, False, None, f"… {words} left out …")]


def _trim(kind: list[_Exchange], exchanges: dict[Hashable, _Exchange]) -> None:
    if len(kind) <= _KEPT[0][1]:
        return
    for outcome, most in _KEPT:
        those = [one for one in kind if one.outcome == outcome]
        if len(those) > most:
            counts = Counter([one.host for one in those])
            at_most = max(counts.values())
            next(one for one in those if counts[one.host] == at_most).leave(exchanges)


def _age(exchange: _Exchange) -> int:
    return exchange.rows[0][0]


def _entry(row: _Row, mask: Callable[[bytes], bytes]) -> Entry:
    _, at, sent, data, more = row
    if data is not None:
        return Entry(at, PEER, sent, mask(data), None, more)
    # A contact that somebody has registered may have a password in it.
    return Entry(at, "", False, None, masked(str(more).encode("utf-8", "surrogateescape")).decode("utf-8", "replace"))
