"""What happens in a call besides its messages, as notes of its ladder: whom it tries, who refuses, answers, holds.

Values that are rendered when somebody looks; a call pays for making them only. Used by the parts of a call.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from sbc.b2bua.hunt import Attempt
from sbc.media import wire
from sbc.trace.verdict import MediaVerdict

if TYPE_CHECKING:
    from sbc.b2bua.call import Call


class Dialling(Struct, frozen=True):
    """The attempt with this number."""

    n: int
    attempt: Attempt

    def __str__(self) -> str:
        attempt = self.attempt
        return f"trying {attempt.target.peer.name} (attempt {self.n}): {attempt.target.called} by {attempt.label}"


class Ringing(Struct, frozen=True):
    peer: str
    seconds: float

    def __str__(self) -> str:
        return f"ringing at {self.peer} after {self.seconds:.1f} s"


class Answered(Struct, frozen=True):
    peer: str
    seconds: float

    def __str__(self) -> str:
        return f"answered by {self.peer} after {self.seconds:.1f} s"


class Refusing(Struct, frozen=True):
    """`goes_on`: this refusal lets another target be tried. `has_rung`: but nobody is, once it has rung."""

    peer: str
    status: int
    q850: int | None
    goes_on: bool
    has_rung: bool

    def __str__(self) -> str:
        said = f"{self.peer} refuses with {self.status}" + ("" if self.q850 is None else f" (Q.850 {self.q850})")
        if not self.goes_on:
            return f"{said}: nobody else is tried after that"
        return f"{said}: nobody else is tried once it has rung" if self.has_rung else f"{said}: the hunt goes on"


class Held(Struct, frozen=True):
    """Who holds the call now; nobody: it has been resumed."""

    peers: tuple[str, ...]

    def __str__(self) -> str:
        return f"held by {' and by '.join(self.peers)}" if self.peers else "resumed: both sides hear each other"


class Encrypted(Struct, frozen=True):
    """By what media with a peer is encrypted; empty: it is plain RTP, though it might have been SRTP."""

    peer: str
    by: str

    def __str__(self) -> str:
        return f"media with {self.peer}: {f'SRTP {self.by}' if self.by else 'plain RTP'}"


def note_dialling(call: "Call", attempt: Attempt, now: float) -> None:
    call.context.trace.note(call.ref, now, Dialling(len(call.account.tries), attempt))


def note_ringing(call: "Call", peer: str, now: float) -> None:
    call.context.trace.note(call.ref, now, Ringing(peer, now - call.account.started_at))


def note_answered(call: "Call", now: float) -> None:
    egress = call.egress
    peer = call.account.called_peer if egress is None else egress.peer.name
    call.context.trace.note(call.ref, now, Answered(peer, now - call.account.started_at))


def note_held(call: "Call", now: float) -> None:
    """After a change of the session: only what is new."""
    held = tuple(
        [
            call.legs[call.pair[i]].peer.name
            for i, side in enumerate(("ingress", "egress"))
            if _holds(call, side) and call.pair[i] < len(call.legs)
        ]
    )
    if held != call.held_by:
        call.held_by = held
        call.context.trace.note(call.ref, now, Held(held))


def note_encrypted(call: "Call", now: float) -> None:
    """After an exchange, of each side that may have SRTP: only what is new."""
    for name, side in call.media.sides.items():
        if side.securing is None:
            continue
        n = call.pair[0 if name == "ingress" else 1]
        found = [side.protection(i) for i, port in enumerate(side.ports) if port]
        by = " and ".join(dict.fromkeys(filter(None, found)))
        if side.now.told is not None and n < len(call.legs) and call.encrypted.get(n) != by:
            call.encrypted[n] = by
            call.context.trace.note(call.ref, now, Encrypted(call.legs[n].peer.name, by))


def note_media(call: "Call", counts: Sequence[wire.StreamCount], now: float) -> None:
    """The verdict, by the media worker's last word, which is in the account by now."""
    media = call.account.media
    if media is None:
        return
    names = tuple([call.legs[n].peer.name if n < len(call.legs) else "" for n in call.pair])
    engines = (tuple([one.ingress.engine for one in counts]), tuple([one.egress.engine for one in counts]))
    call.context.trace.note(call.ref, now, MediaVerdict(media, (names[0], names[1]), engines))


def _holds(call: "Call", side: str) -> bool:
    """It wants to hear nothing of any stream that it has."""
    known = call.media.sides.get(side)  # type: ignore[call-overload]
    if known is None or not known.wills:
        return False
    wills = [will for remote, will in zip(known.now.remotes, known.wills, strict=False) if not remote.refused]
    return bool(wills) and not any(will.receives for will in wills)
