"""Dialogs that have ended a moment ago, known across a death of signalling: a peer may say its last word once more.

A BYE whose 200 was lost is repeated for half a minute (RFC 3261 §17.1.2.2). As long as its transaction lives, that
answers; in another life of the program nothing but this knows that the dialog was there, and a 481 would be a lie. The
journal keeps the value, `recovery` brings it back, `delivery` asks.
"""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from msgspec import Struct
from msgspec.structs import replace

from sbc.b2bua.account import Ending, SavedAccount
from sbc.b2bua.leftovers import Leftovers, left_of
from sbc.b2bua.leg.saved import SavedLeg
from sbc.b2bua.leg.state import State as LegState
from sbc.b2bua.states import Ended
from sbc.sip.message import Request

if TYPE_CHECKING:
    from sbc.b2bua.call import Call

REPEATED_SECONDS: Final = 32.0  # 64*T1: timer F of whoever sends the BYE


class EndedDialog(Struct, frozen=True, array_like=True):
    call_id: str
    local_tag: str
    remote_tag: str


class SavedEnd(Struct, frozen=True, omit_defaults=True, tag="end", tag_field="is"):
    """Beside the value of an established call, which stays as it was: that it has ended. Small, because each call has
    several: when it ends, when its media is counted, when its record is stored and its peers know (`is_over`).

    `at`: seconds of the engine's clock. `closed`: legs that have said BYE, or heard it. `media`: as the record has it.
    """

    ending: Ending
    at: float
    closed: tuple[int, ...] = ()
    media: str | None = None
    is_over: bool = False


class SavedEnded(Struct, frozen=True, omit_defaults=True, tag="ended", tag_field="is"):
    """A call that has ended before anybody had answered. `legs`: those of which something is still on its way, by
    number: our final response, a CANCEL. `at`, `until`: seconds of the engine's clock; after `until` nothing of it need
    be known any more.

    `account`, `ending`: for its record, which is not on the disk for certain.
    """

    dialogs: tuple[EndedDialog, ...]
    at: float
    until: float
    account: SavedAccount
    ending: Ending
    legs: dict[int, SavedLeg] = {}


def save_ended(call: "Call", state: Ended) -> SavedEnded:
    dialogs = [leg.dialog for leg in call.legs if leg.dialog is not None and leg.dialog.remote_tag]
    return SavedEnded(
        tuple([EndedDialog(one.call_id, one.local_tag, one.remote_tag) for one in dialogs]),
        state.ended_at,
        state.ended_at + REPEATED_SECONDS,
        call.account.saved(),
        state.ending,
        left_of(call.legs, call.context.layer),
    )


def save_end(call: "Call", state: Ended, *, is_over: bool = False) -> SavedEnd:
    if is_over:
        return SavedEnd(state.ending, state.ended_at, is_over=True)
    closed = tuple([leg.n for leg in call.legs if leg.is_closed])
    return SavedEnd(state.ending, state.ended_at, closed, call.account.media)


class EndedDialogs:
    """Those of the life before. Bounded by the journal; each is forgotten when its time is over."""

    def __init__(self, leftovers: Leftovers) -> None:
        self._leftovers = leftovers
        self._until: dict[EndedDialog, float] = {}

    def __len__(self) -> int:
        return len(self._until)

    def restore(self, ref: str, saved: SavedEnded, now: float) -> None:
        """What was still on its way goes on."""
        self._leftovers.go_on(ref, saved.legs)
        self._remember(saved.dialogs, saved.until, now)

    def restore_end(self, ref: str, legs: Mapping[int, SavedLeg], end: SavedEnd, now: float) -> None:
        """Of an established call. Who has not heard the BYE hears it."""
        if not end.is_over:
            open_ = {n: replace(leg, state=LegState.ENDING) for n, leg in legs.items() if n not in end.closed}
            self._leftovers.go_on(ref, open_)
        known = [leg.dialog for leg in legs.values() if leg.dialog is not None]
        dialogs = [EndedDialog(one.call_id, one.local_tag, one.remote_tag) for one in known]
        self._remember(dialogs, end.at + REPEATED_SECONDS, now)

    def _remember(self, dialogs: Iterable[EndedDialog], until: float, now: float) -> None:
        for dialog in dialogs if until > now else ():
            self._until[dialog] = min(until, now + REPEATED_SECONDS)

    def has(self, request: Request, now: float) -> bool:
        """Whether this was said in a dialog that has just ended."""
        if not self._until:
            return False
        self.tick(now)
        return EndedDialog(request.call_id, request.to.tag or "", request.from_.tag or "") in self._until

    def tick(self, now: float) -> None:
        over = [dialog for dialog, until in self._until.items() if until <= now]
        for dialog in over:
            del self._until[dialog]

    def next_deadline(self) -> float | None:
        return min(self._until.values(), default=None)
