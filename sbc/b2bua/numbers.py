"""What payload types have meant on one leg since its session began (RFC 3264 §8.3.2).

"The mapping from a particular dynamic payload type number to a particular codec within that media stream MUST NOT
change for the duration of a session." An offer that crosses was written for another session, so that its numbers may
mean something else here; then it is renumbered. What the peer itself has said is remembered too, though it may break
the rule: we do not. An ordinary call only puts its descriptions by; they are read when there is something to compare.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final

from msgspec import Struct

from sbc.sdp.model import Media, Session
from sbc.sdp.payload_types import EXPLAINING, Meaning, meanings_of, renumbered, speaks_alike

_UNREAD: Final = 8  # descriptions put by before they are read, so that hold and resume for hours cost no memory
_DYNAMIC: Final = (*range(96, 128), *range(35, 64))  # RFC 3551 §6; 64 to 95 look like RTCP (RFC 5761 §4)

_Streams = dict[int, dict[str, Meaning]]  # by m= line
_NONE: Final[_Streams] = {}  # of everybody who has read nothing yet; never written to


class Numbers:
    """`readings`: how often descriptions that were put by have been read; a change of what is known otherwise."""

    __slots__ = ("_said", "_told", "_unread", "readings")

    def __init__(self) -> None:
        self._told: _Streams = _NONE
        self._said: _Streams = _NONE
        self._unread: list[tuple[bool, Session]] = []
        self.readings = 0

    @property
    def is_fresh(self) -> bool:
        """Nothing was told or said on this leg: any number may mean anything."""
        return not self._unread and not self._told and not self._said

    def told(self, session: Session) -> None:
        """We have sent it, whether it was agreed to or not."""
        self._unread.append((True, session))
        if len(self._unread) > _UNREAD:
            self._read()

    def said(self, session: Session) -> None:
        """Its peer has sent it."""
        self._unread.append((False, session))
        if len(self._unread) > _UNREAD:
            self._read()

    def fit(self, i: int, media: Media, preferred: Mapping[str, str] | None = None) -> Media:
        """The m= line in numbers that mean the same as ever in stream `i` of this leg.

        `preferred`: numbers that this leg's peer has just used for these. A format for which no number is left is left
        out. Changes nothing here: `told` does, once it is sent.
        """
        if preferred is None and self._is_usual(i, media):
            return media
        self._read()
        meanings = meanings_of(media)
        numbers = dict(preferred or {})
        taken = set(numbers.values())
        for number, meaning in meanings.items():
            if number not in numbers:
                found = self._number(i, number, meaning, taken, meanings)
                if found is not None:
                    numbers[number] = found
                    taken.add(found)
        return renumbered(media, numbers)

    def _is_usual(self, i: int, media: Media) -> bool:
        """The same numbers as in what was put by last, which is hold and resume, or nothing at all yet."""
        if self.is_fresh or not media.is_rtp or media.port == 0:
            return True
        for by_us, session in reversed(self._unread):
            if by_us:
                return i < len(session.media) and speaks_alike(media, session.media[i], EXPLAINING)
        return False

    def _read(self) -> None:
        if self._told is _NONE:
            self._told, self._said = {}, {}
        for by_us, session in self._unread:
            known = self._told if by_us else self._said
            for i, media in enumerate(session.media):
                if media.port == 0 or not media.is_rtp:
                    continue
                stream = known.setdefault(i, {})
                for number, meaning in meanings_of(media).items():
                    if meaning.is_known and not (by_us and number in stream):
                        stream[number] = meaning
        self._unread.clear()
        self.readings += 1

    def _number(
        self, i: int, number: str, meaning: Meaning, taken: set[str], others: Mapping[str, Meaning]
    ) -> str | None:
        if not meaning.is_known:
            return None if number in taken or self._is_used(i, number) else number
        for candidate in chain((number,), self._former(i, meaning)):
            if candidate not in taken and self._may_mean(i, candidate, meaning):
                return candidate
        for free in map(str, _DYNAMIC):
            if free not in taken and free not in others and not self._is_used(i, free):
                return free
        return None

    def _former(self, i: int, meaning: Meaning) -> Iterator[str]:
        for known in (self._said, self._told):
            for number, meant in known.get(i, {}).items():
                if meant == meaning:
                    yield number

    def _may_mean(self, i: int, number: str, meaning: Meaning) -> bool:
        return all(known.get(i, {}).get(number, meaning) == meaning for known in (self._told, self._said))

    def _is_used(self, i: int, number: str) -> bool:
        return number in self._told.get(i, {}) or number in self._said.get(i, {})


# --- for the call journal ---------------------------------------------------------------------------------------------


class SavedNumbers(Struct, frozen=True, array_like=True):
    """`unread`: (told by us, place of the description among those that are kept with it)."""

    told: _Streams = {}
    said: _Streams = {}
    unread: tuple[tuple[bool, int], ...] = ()


def save_numbers(numbers: Numbers, place: Callable[[Session], int]) -> SavedNumbers:
    unread = tuple([(by_us, place(session)) for by_us, session in numbers._unread])
    return SavedNumbers(numbers._told, numbers._said, unread)


def restored_numbers(saved: SavedNumbers, sessions: Sequence[Session]) -> Numbers:
    numbers = Numbers()
    if saved.told or saved.said:
        numbers._told, numbers._said = saved.told, saved.said
    numbers._unread = [(by_us, sessions[place]) for by_us, place in saved.unread]
    return numbers
