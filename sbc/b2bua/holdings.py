"""What a call holds of what is scarce: call paths of trunks, and shares of the limits of its PBX and route.

A path is held by a leg (contract, section 7). What is left of all this goes back at the call's one exit. Ports are
`media`'s. It admits nothing; `admission` and `choosing` do.
"""

from collections.abc import Mapping, Sequence

from sbc.b2bua.context import Context
from sbc.b2bua.leg import Leg
from sbc.peering.rates import Usage


class Holdings:
    """`legs`: the call's own list. `usages`: of whose limits the call uses some."""

    def __init__(self, ref: str, legs: Sequence[Leg], context: Context) -> None:
        self.usages: list[Usage] = []
        self._ref = ref
        self._legs = legs
        self._context = context
        self._closing: set[int] = set()  # legs given up that hold a path until their peer has said its last word

    def answered(self, now: float) -> None:
        """From now on the call spends minutes."""
        for usage in self.usages:
            usage.answered(self._ref, now, self._context.wall.of(now))

    def give_back(self, now: float) -> None:
        """Everything."""
        self._context.relations.paths.give_back_all(self._ref)
        self._closing.clear()
        for usage in self.usages:
            usage.end(self._ref, now, self._context.wall.of(now))
        self.usages.clear()

    def give_back_path(self, leg: int) -> None:
        """Of an attempt that is over. A peer that has answered 100 holds its end until its final response is here."""
        if self._legs[leg].heard and not self._legs[leg].is_quiet:
            self._closing.add(leg)
        else:
            self._context.relations.paths.give_back(self._ref, leg)

    def hand_over_path(self, trunk: str) -> bool:
        """The path of an attempt on this trunk that is being cancelled, for the next one on the same trunk."""
        for leg in self._closing:
            if self._legs[leg].peer.name == trunk:
                self._closing.discard(leg)
                self._context.relations.paths.give_back(self._ref, leg)
                return True
        return False

    def take_in(self, other: "Holdings", moved: Mapping[int, int]) -> None:
        """The legs of another call are this one's now. `moved`: their new numbers."""
        self._closing |= {moved[leg] for leg in other._closing}
        other._closing.clear()

    def goes_on(self) -> None:
        """In another life: paths of attempts that were given up wait for their peers' last word again."""
        held = self._context.relations.paths.held_by(self._ref)
        self._closing = {one.leg for one in held if self._legs[one.leg].is_closed}

    def return_paths(self) -> None:
        """Of attempts whose peers have said their last word meanwhile."""
        for leg in [n for n in self._closing if self._legs[n].is_quiet]:
            self._closing.discard(leg)
            self._context.relations.paths.give_back(self._ref, leg)
