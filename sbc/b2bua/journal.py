"""The call journal: what each call would need after a death of signalling, said as `StoreState` at each change.

A value per call, under `call/REF`, and how an established one has ended under `call/REF/end`: one octet of version,
then msgpack. Fields have names and defaults, so that a version reads what the one before it has written; what it cannot
read ends that call and no other. The switch asks for what is to be written before it lets out anything that a step has
ordered: nothing that a peer has heard is missing.

It knows nothing of files and memory: `runtime` keeps what it says, and `recovery` makes calls of it again.
"""

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from typing import Final

import msgspec

from sbc.b2bua.call import Call
from sbc.b2bua.ended_dialogs import REPEATED_SECONDS, SavedEnd, SavedEnded, save_end, save_ended
from sbc.b2bua.leftovers import SavedSetup, save_setup, setup_mark
from sbc.b2bua.saved_call import SavedCall, save_call
from sbc.b2bua.states import Ended, Talking
from sbc.b2bua.unanswered import Unanswered
from sbc.core.commands import Log, StoreState
from sbc.core.surrogates import plain
from sbc.sip.transaction.outputs import ResponseReceived
from sbc.trace.masking import shown_error

PREFIX: Final = "call/"
END: Final = "/end"  # after the ref
VERSION: Final = 1  # of the values; raised when an older program would misread them
READS: Final = frozenset({1})  # this version, and the one before it

Saved = SavedSetup | SavedCall | SavedEnded | SavedEnd

_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODER: Final[msgspec.msgpack.Decoder[Saved]] = msgspec.msgpack.Decoder(Saved)
_HEAD: Final = bytes((VERSION,))
_UNWRITABLE: Final = "unwritable"  # a mark


class UnreadableError(Exception):
    """The value is of another version, or damaged."""


def encode(saved: Saved) -> bytes:
    try:
        return _HEAD + _ENCODE(saved)
    except UnicodeEncodeError:
        return _HEAD + _ENCODE(plain(saved))


def decode(value: bytes) -> Saved:
    """Raises UnreadableError."""
    if not value or value[0] not in READS:
        raise UnreadableError(f"of version {value[0] if value else 0}, and this program reads {sorted(READS)}")
    try:
        return _DECODER.decode(memoryview(value)[1:])
    except (msgspec.DecodeError, ValueError) as error:
        raise UnreadableError(str(error)) from None


class CallJournal:
    """`touched` by every step of a call, `over` when it is forgotten, `take` at the end of what the switch does."""

    __slots__ = ("_ended", "_kept", "_marks", "_over", "_talking", "_tombs", "_touched", "_unstored", "unanswered")

    def __init__(self) -> None:
        self._touched: dict[str, Call] = {}
        self._over: dict[str, Call] = {}
        self._kept: set[str] = set()  # calls of which something is kept
        self._talking: set[str] = set()  # of those: that are kept as established calls
        self._ended: set[str] = set()  # of those: how they have ended is kept too
        self._marks: dict[str, Hashable] = {}  # by call that does not talk: what a new value would be written for
        self._tombs: deque[tuple[float, str]] = deque()  # calls that are over, and when that need not be known any more
        self._unstored: set[str] = set()  # of those: whose records are not on the disk for certain
        self.unanswered = Unanswered()  # of those: what the life before has left, and this one has said

    def __len__(self) -> int:
        return len(self._kept)

    def touched(self, call: Call) -> None:
        self._touched[call.ref] = call

    def over(self, call: Call) -> None:
        self._touched.pop(call.ref, None)
        self._over[call.ref] = call

    def restored(self, ref: str) -> None:
        """It was kept in an earlier life, and goes on."""
        self._kept.add(ref)
        self._talking.add(ref)

    def is_over(self, ref: str, until: float, *, is_stored: bool, has_end: bool = False) -> None:
        """What was kept of this one is needed until then, and until its record is stored. `has_end`: under two keys."""
        self._kept.add(ref)
        self._tombs.append((until, ref))
        if not is_stored:
            self._unstored.add(ref)
        if has_end:
            self._ended.add(ref)

    def record_stored(self, ref: str) -> None:
        self._unstored.discard(ref)

    def forget(self, ref: str) -> list[StoreState]:
        """Nothing is to be known of it any more. The end goes last: without it, the call would be taken up again."""
        self._kept.discard(ref)
        self._talking.discard(ref)
        self._marks.pop(ref, None)
        self.unanswered.forget(ref)
        outs = [StoreState(PREFIX + ref, None)]
        if ref in self._ended:
            self._ended.discard(ref)
            outs.append(StoreState(PREFIX + ref + END, None))
        return outs

    def answered(self, user: Hashable, out: ResponseReceived) -> list[StoreState]:
        """A response to something that no call has said: what need not be said in a further life."""
        found = self.unanswered.take(user, out)
        if found is None:
            return []
        ref, left = found
        return [StoreState(PREFIX + ref + (END if isinstance(left, SavedEnd) else ""), encode(left))]

    def take(self, now: float) -> list[StoreState | Log]:
        """What is to be written now; empty where nothing has changed."""
        if not self._touched and not self._over:
            return []
        outs: list[StoreState | Log] = []
        for call in self._touched.values():
            outs += self._guarded(self._changed, call, now)
        for call in self._over.values():
            outs += self._guarded(self._bury, call, now)
        self._touched.clear()
        self._over.clear()
        return outs

    def tick(self, now: float) -> list[StoreState]:
        outs: list[StoreState] = []
        tombs = self._tombs
        while tombs and tombs[0][0] <= now:
            ref = tombs.popleft()[1]
            if ref in self._unstored:
                tombs.append((now + REPEATED_SECONDS, ref))
            elif ref in self._kept:
                outs += self.forget(ref)
        return outs

    def next_deadline(self) -> float | None:
        return self._tombs[0][0] if self._tombs else None

    def _guarded(
        self, write: Callable[[Call, float], list[StoreState]], call: Call, now: float
    ) -> Sequence[StoreState | Log]:
        """A call that cannot be written down goes on, and is lost if signalling dies; said once."""
        try:
            return write(call, now)
        except Exception as error:  # noqa: BLE001  what the step has ordered must go out
            if self._marks.get(call.ref) == _UNWRITABLE:
                return ()
            self._marks[call.ref] = _UNWRITABLE
            reason = ("reason", shown_error(error))
            return (Log("error", "call.not_journaled", (("alarm", True), ("ref", call.ref), reason)),)

    def _changed(self, call: Call, now: float) -> list[StoreState]:  # noqa: ARG002
        ref, state = call.ref, call.state
        if isinstance(state, Talking):
            self._talking.add(ref)
            return self._write(ref, save_call(call))
        mark: Hashable = state.written if isinstance(state, Ended) else setup_mark(call)
        if self._marks.get(ref) == mark:
            return []
        self._marks[ref] = mark
        if not isinstance(state, Ended):
            return self._write(ref, save_setup(call))
        return self._end(call, state) if ref in self._talking else self._write(ref, save_ended(call, state))

    def _bury(self, call: Call, now: float) -> list[StoreState]:
        """It is over and its record is stored. A peer may not know the first yet."""
        ref, state = call.ref, call.state
        self._marks.pop(ref, None)
        if not call.legs or not isinstance(state, Ended):
            return self.forget(ref) if ref in self._kept else []
        self._tombs.append((max(state.ended_at + REPEATED_SECONDS, now), ref))
        if ref in self._talking:
            return self._end(call, state, is_over=True)
        return [] if ref in self._kept else self._write(ref, save_ended(call, state))

    def _end(self, call: Call, state: Ended, *, is_over: bool = False) -> list[StoreState]:
        self._ended.add(call.ref)
        return [StoreState(PREFIX + call.ref + END, encode(save_end(call, state, is_over=is_over)))]

    def _write(self, ref: str, saved: Saved) -> list[StoreState]:
        self._kept.add(ref)
        return [StoreState(PREFIX + ref, encode(saved))]
