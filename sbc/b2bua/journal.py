"""The call journal: what each call would need after a death of signalling, said as `StoreState` at each change.

A value per call, under `call/REF`: one octet of version, then msgpack. Fields have names and defaults, so that a
version reads what the one before it has written; what it cannot read ends that call and no other. The switch asks for
what is to be written before it lets out anything that a step has ordered: nothing that a peer has heard is missing.

It knows nothing of files and memory: `runtime` keeps what it says, and `recovery` makes calls of it again.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

import msgspec

from sbc.b2bua.call import Call
from sbc.b2bua.saved_call import SavedCall, save_call
from sbc.b2bua.states import Ended, Talking
from sbc.core.commands import StoreState

PREFIX: Final = "call/"
VERSION: Final = 1  # of the values; raised when an older program would misread them
READS: Final = frozenset({1})  # this version, and the one before it
REMEMBERED_SECONDS: Final = 32.0  # 64*T1: so long a peer may send again what ended a dialog

Saved = SavedCall

_ENCODE: Final = msgspec.msgpack.Encoder().encode
_DECODE: Final = msgspec.msgpack.Decoder(Saved).decode
_HEAD: Final = bytes((VERSION,))


class UnreadableError(Exception):
    """The value is of another version, or damaged."""


def encode(saved: Saved) -> bytes:
    return _HEAD + _ENCODE(saved)


def decode(value: bytes) -> Saved:
    """Raises UnreadableError."""
    if not value or value[0] not in READS:
        raise UnreadableError(f"of version {value[0] if value else 0}, and this program reads {sorted(READS)}")
    try:
        return _DECODE(memoryview(value)[1:])
    except (msgspec.DecodeError, ValueError) as error:
        raise UnreadableError(str(error)) from None


class CallJournal:
    """`touched` by every step of a call, `over` when it is forgotten, `take` at the end of what the switch does."""

    __slots__ = ("_kept", "_marks", "_over", "_tombs", "_touched")

    def __init__(self) -> None:
        self._touched: dict[str, Call] = {}
        self._over: dict[str, Call] = {}
        self._kept: dict[str, int] = {}  # by call: the hash of what was written last
        self._marks: dict[str, object] = {}  # by call: what of it a new value would be written for
        self._tombs: deque[tuple[float, str]] = deque()  # calls that are over, and when that need not be known any more

    def touched(self, call: Call) -> None:
        self._touched[call.ref] = call

    def over(self, call: Call) -> None:
        self._touched.pop(call.ref, None)
        self._over[call.ref] = call

    def restored(self, ref: str, value: bytes, until: float | None = None) -> None:
        """What was kept of it in an earlier life. `until`: it is over, and to be remembered so long."""
        self._kept[ref] = hash(value)
        if until is not None:
            self._tombs.append((until, ref))

    def forget(self, ref: str) -> StoreState:
        """Nothing is to be known of it any more."""
        self._kept.pop(ref, None)
        self._marks.pop(ref, None)
        return StoreState(PREFIX + ref, None)

    def take(self, now: float) -> list[StoreState]:
        """What is to be written now; empty where nothing has changed."""
        if not self._touched and not self._over:
            return []
        outs: list[StoreState] = []
        for call in self._touched.values():
            outs += self._changed(call)
        for ref in self._over:
            outs += self._bury(ref)
        self._touched.clear()
        self._over.clear()
        return outs

    def tick(self, now: float) -> Iterable[StoreState]:
        while self._tombs and self._tombs[0][0] <= now:
            yield self.forget(self._tombs.popleft()[1])

    def next_deadline(self) -> float | None:
        return self._tombs[0][0] if self._tombs else None

    def _changed(self, call: Call) -> list[StoreState]:
        ref, state = call.ref, call.state
        mark: object = None
        if isinstance(state, Ended):
            mark = (state.written, state.durable)
        elif not isinstance(state, Talking):
            return []
        if mark is not None and self._marks.get(ref) == mark:
            return []
        self._marks[ref] = mark
        value = encode(save_call(call))
        if self._kept.get(ref) == hash(value):
            return []
        self._kept[ref] = hash(value)
        return [StoreState(PREFIX + ref, value)]

    def _bury(self, ref: str) -> list[StoreState]:
        return [self.forget(ref)] if ref in self._kept else []
