"""What a test call showed, in words and as JSON, and whether that is good. Pure; `testcall` fills it in.

Numbers and reasons come from peers: whoever prints the lines makes them printable.
"""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from sbc.cli.tone import Ear

DIGITS: Final = "1234"
_SPEECH_RATIO: Final = 0.9  # of what was sent must be heard; the first packets of a call may outrun its relay

_HINTS: Final = {
    401: "the carrier wants to be logged in to: see `auth` of the trunk",
    403: "the carrier forbids it: may this trunk call this number, and as this caller? --caller NUMBER says another",
    404: "the carrier does not know the number in this form: see `numbers` of the trunk",
    407: "the carrier wants to be logged in to, or does not accept the credentials: see `auth` of the trunk",
    408: "nothing was heard from the carrier: sbc ping and sbc trunks say more",
    480: "nobody answered there",
    484: "the number is not complete in this form: see `numbers` of the trunk",
    486: "it is busy there; a carrier also says so when its own channels to us are all taken",
    488: "the carrier takes none of our codecs (G.711): see `codecs` of the trunk",
    503: "no call path, server or carrier is free: sbc trunks and sbc paths say which",
    603: "the carrier, or who was called, declines",
}


class Heard(Struct, frozen=True):
    """One direction. `sent` None: by somebody else, who does not tell. `tone`: packets of the tone that was sent."""

    way: str
    packets: int
    tone: int
    sound: int  # packets of the tone or of anything else that can be heard
    lost: int
    loss_percent: float
    jitter_ms: float
    mos: float | None
    codec: str | None
    sent: int | None = None

    @property
    def is_good(self) -> bool:
        return self.sound > 0 if self.sent is None else self.sent > 0 and self.tone >= self.sent * _SPEECH_RATIO


class Back(Struct, frozen=True):
    """How the call came in again, as the PBX sees it. `after`: seconds since it was placed."""

    after: float
    ref: str | None
    trunk: str
    caller: str
    called: str


class Outcome(Struct, frozen=True):
    """`ringing_after`, `answered_after`: seconds; None: never. `status` of a call that was not answered.

    `attempts`: what each server said, as the call's record has it. `refused_back`: how a call ended that came back in
    and was not answered. `early_packets`: heard before the answer. `digits`: what of DIGITS arrived; None: not tried.
    `turned_away`: callers of the number who were not this call, and went on to the PBX.
    """

    trunk: str
    called: str
    caller: str
    comes_back_from: str | None
    ref: str | None = None
    ringing_after: float | None = None
    answered_after: float | None = None
    status: int = 0
    cause: str = ""
    attempts: tuple[str, ...] = ()
    refused_back: str = ""
    early_packets: int = 0
    back: Back | None = None
    heard: tuple[Heard, ...] = ()
    digits: str | None = None
    paths: tuple[str, ...] = ()
    turned_away: tuple[str, ...] = ()

    @property
    def is_good(self) -> bool:
        has_come = self.back is not None or self.comes_back_from is None
        is_heard = bool(self.heard) and all(one.is_good for one in self.heard)
        return self.answered_after is not None and has_come and is_heard


def heard(way: str, ear: Ear, sent: int | None = None) -> Heard:
    return Heard(
        way,
        ear.packets,
        ear.tone,
        ear.tone + ear.other,
        ear.lost,
        round(100 * ear.loss, 2),
        round(ear.jitter_ms, 2),
        None if ear.mos is None else round(ear.mos, 2),
        ear.law,
        sent,
    )


def lines(outcome: Outcome) -> Iterator[str]:
    """After what was told while it happened."""
    if outcome.answered_after is None:
        yield from _failure(outcome)
    else:
        yield from (_heard_line(one) for one in outcome.heard)
    if outcome.digits is not None:
        arrived = "arrived" if outcome.digits == DIGITS else f"did NOT arrive: `{outcome.digits}` was heard"
        yield f"digits: {DIGITS} {arrived}"
    if outcome.paths:
        yield f"call paths held: {', '.join(outcome.paths)}"
    yield from (f"not ours, left to {outcome.comes_back_from}: {who}" for who in outcome.turned_away)
    refs = [ref for ref in (outcome.ref, outcome.back and outcome.back.ref) if ref]
    yield from (f"its messages: sbc trace {ref}" for ref in refs)
    yield _verdict(outcome)


def _failure(outcome: Outcome) -> Iterator[str]:
    cause = f", {outcome.cause}" if outcome.cause else ""
    yield f"not answered: {outcome.status}{cause}" if outcome.status else "not answered, and nothing was said about it"
    yield from (f"  {attempt}" for attempt in outcome.attempts)
    if outcome.refused_back:
        yield f"  it came back in, and ended here: {outcome.refused_back}"
    if outcome.early_packets:
        yield f"  {outcome.early_packets} packets of early media were heard: an announcement may say why"
    hint = _HINTS.get(outcome.status)
    if hint and not outcome.refused_back:
        yield f"  hint: {hint}"


def _heard_line(one: Heard) -> str:
    verdict = "" if one.is_good else "  NOT HEARD" if not one.sound else "  BAD"
    if not one.packets:
        return f"{one.way}: nothing came{verdict}"
    what = f"{one.packets} packets" if one.sent is None else f"heard {one.tone} of {one.sent} packets"
    score = "" if one.mos is None else f", MOS {one.mos:.1f}"
    return f"{one.way}: {what}, {one.loss_percent:g} % lost, jitter {one.jitter_ms:.1f} ms{score}, {one.codec}{verdict}"


def _verdict(outcome: Outcome) -> str:
    if outcome.answered_after is None:
        return "\nthe call was NOT answered."
    if outcome.comes_back_from is not None and outcome.back is None:
        return (
            "\nthe call was answered, but it did NOT come back in: something on the carrier's side took it, or the\n"
            "carrier does not send this number to us. (--one-way tests the way out alone.)"
        )
    if not all(one.is_good for one in outcome.heard):
        return "\nthe call was answered, but audio was NOT heard as it should be."
    return "\ngood: out and back in, and audio was heard both ways." if outcome.back else "\ngood: answered and heard."
