"""Which PBX owns a number, and which disaster plan it has: ranges cut into disjoint pieces, searched by bisection.

Ranges of one PBX may overlap. The narrowest one that has a plan of its own gives the plan, so a single number inside a
range may differ from its neighbours. `crosscheck` has refused overlaps between PBXs. Asked once or twice per call.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from itertools import pairwise

from msgspec import Struct

from sbc.policy.model import DidRange, DisasterStep
from sbc.policy.numbers import Number

_Kind = tuple[int, bool]  # length in characters, and whether a plus leads: only numbers of one kind compare
_Ranked = tuple[int, int, DidRange]  # width, position in the policy: the narrowest, then the first written


class Owned(Struct, frozen=True):
    """A piece of a range, first and last included. `plan` is empty where no range here has its own."""

    first: str
    last: str
    pbx: str
    plan: tuple[DisasterStep, ...] = ()


class DidTable:
    def __init__(self, ranges: Iterable[DidRange]) -> None:
        by_kind: dict[_Kind, list[_Ranked]] = {}
        for position, one in enumerate(ranges):
            by_kind.setdefault(_kind(one.first), []).append((int(one.last) - int(one.first), position, one))
        self._pieces = {kind: tuple(_pieces(ranked)) for kind, ranked in by_kind.items()}
        self._firsts = {kind: [piece.first for piece in pieces] for kind, pieces in self._pieces.items()}

    def find(self, number: Number) -> Owned | None:
        """By the number's E.164 form or as dialled."""
        if not number.is_numeric:
            return None
        return (self._find(number.e164) if number.e164 else None) or self._find(number.dialled)

    def owner(self, number: Number) -> str | None:
        """The name of the PBX that owns the number."""
        found = self.find(number)
        return None if found is None else found.pbx

    def owns(self, number: Number) -> bool:
        return self.find(number) is not None

    def _find(self, text: str) -> Owned | None:
        kind = _kind(text)
        firsts = self._firsts.get(kind)
        if firsts is None:
            return None
        at = bisect_right(firsts, text) - 1
        if at < 0:
            return None
        found = self._pieces[kind][at]
        return found if text <= found.last else None


def _kind(text: str) -> _Kind:
    return len(text), text[0] == "+"


def _pieces(ranked: Sequence[_Ranked]) -> Iterable[Owned]:
    """A sweep from the lowest number up. A piece begins and ends where a range does."""
    starts = sorted(ranked, key=lambda each: int(each[2].first))
    borders = sorted({int(one.first) for _, _, one in ranked} | {int(one.last) + 1 for _, _, one in ranked})
    open_now: list[_Ranked] = []
    with_plan: list[_Ranked] = []
    at = 0
    for first, end in pairwise(borders):
        while at < len(starts) and int(starts[at][2].first) == first:
            heappush(open_now, starts[at])
            if starts[at][2].disaster:
                heappush(with_plan, starts[at])
            at += 1
        narrowest = _narrowest(open_now, first)
        if narrowest is not None:
            planned = _narrowest(with_plan, first)
            plan = () if planned is None else planned.disaster
            yield Owned(_as_text(first, narrowest), _as_text(end - 1, narrowest), narrowest.pbx, plan)


def _narrowest(ranges: list[_Ranked], number: int) -> DidRange | None:
    while ranges and int(ranges[0][2].last) < number:
        heappop(ranges)
    return ranges[0][2] if ranges else None


def _as_text(number: int, like: DidRange) -> str:
    """With the leading zeros that an extension may have."""
    plus = "+" if like.first[0] == "+" else ""
    return plus + str(number).zfill(len(like.first) - len(plus))
