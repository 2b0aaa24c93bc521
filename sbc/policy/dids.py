"""Which PBX owns a number: disjoint ranges, searched by bisection. `crosscheck` has refused overlaps between PBXs."""

from bisect import bisect_right
from collections.abc import Iterable

from sbc.policy.model import DidRange
from sbc.policy.numbers import Number


class DidTable:
    """Ranges of one length together, because a number is only ever inside ranges of its own length."""

    def __init__(self, ranges: Iterable[DidRange]) -> None:
        by_length: dict[int, list[DidRange]] = {}
        for one in sorted(ranges, key=lambda r: r.first):
            same_length = by_length.setdefault(len(one.first), [])
            if same_length and one.first <= same_length[-1].last:  # overlaps within one PBX
                last = same_length.pop()
                one = DidRange(last.first, max(last.last, one.last), one.pbx, last.where)  # noqa: PLW2901
            same_length.append(one)
        self._firsts = {length: [r.first for r in ranges] for length, ranges in by_length.items()}
        self._ranges = by_length

    def owner(self, number: Number) -> str | None:
        """The name of the PBX that owns the number, by its E.164 form or as dialled."""
        if not number.is_numeric:
            return None
        return (self._find(number.e164) if number.e164 else None) or self._find(number.dialled)

    def owns(self, number: Number) -> bool:
        return self.owner(number) is not None

    def _find(self, text: str) -> str | None:
        firsts = self._firsts.get(len(text))
        if firsts is None:
            return None
        at = bisect_right(firsts, text) - 1
        if at < 0:
            return None
        found = self._ranges[len(text)][at]
        return found.pbx if text <= found.last else None
