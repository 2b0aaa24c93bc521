"""What leftovers have said and nobody has answered yet: of each call the value that says so in the next life, too.

Who says that he knows of a BYE, or refuses the INVITE that was cancelled, makes the value a smaller one: a further life
that begins within the half minute does not tell him once more. A 503 to a caller is said again, since no transaction
tells of its ACK; he takes it for a repetition. Pure; the call journal owns it, writes what has changed, and says when a
call need not be known any more.
"""

from collections.abc import Hashable

from msgspec.structs import replace

from sbc.b2bua.ended_dialogs import SavedEnd, SavedEnded
from sbc.b2bua.leftovers import LEFT, SavedSetup
from sbc.b2bua.leg.state import State
from sbc.sip.transaction.outputs import ResponseReceived

Left = SavedSetup | SavedEnded | SavedEnd


class Unanswered:
    """Bounded by the calls that the journal has kept."""

    def __init__(self) -> None:
        self._left: dict[str, Left] = {}  # by ref
        self._places: dict[int, tuple[str, int]] = {}  # ref and leg, by the last part of the user

    def __len__(self) -> int:
        return len(self._left) + len(self._places)

    def keep(self, ref: str, left: Left) -> None:
        self._left[ref] = left

    def said(self, serial: int, ref: str, leg: int) -> None:
        """Something to this leg, with this last part of its user."""
        if ref in self._left:
            self._places[serial] = ref, leg

    def forget(self, ref: str) -> None:
        if self._left.pop(ref, None) is not None and not self._left:
            self._places.clear()

    def take(self, user: Hashable, out: ResponseReceived) -> tuple[str, Left] | None:
        """What is left of which call now; None: nothing has changed by this response."""
        ref, n = self._places.get(_serial_of(user), ("", 0))
        left = self._left.get(ref)
        less = None if left is None or out.response.status < 200 else _without(left, n, out)
        if less is None:
            return None
        self._left[ref] = less
        return ref, less


def _serial_of(user: Hashable) -> int:
    """-1: of something else. What follows from an answer (a BYE to a late 2xx, or with credentials) names it first."""
    match user:
        case (str(kind), str(), int(serial)) | ((str(kind), str(), int(serial)), str()) if kind == LEFT:
            return serial
    return -1


def _without(left: Left, n: int, out: ResponseReceived) -> Left | None:
    method, status = out.request.method, out.response.status
    # RFC 3261 §12.2.1.2: by 481 and 408 the dialog is over, too.
    is_bye = method == "BYE" and (status < 300 or status in (408, 481))
    if isinstance(left, SavedEnd):
        return replace(left, closed=(*left.closed, n)) if is_bye and n not in left.closed else None
    leg = left.legs.get(n)
    if leg is None:
        return None
    # After a refusal no fork can answer (RFC 3261 §16.7); after a 2xx another one still may, and has its BYE.
    is_refused = method == "INVITE" and status >= 300 and leg.state not in (State.TALKING, State.ENDING)
    if is_refused or (is_bye and leg.invite is None):
        return replace(left, legs={one: saved for one, saved in left.legs.items() if one != n})
    return None
