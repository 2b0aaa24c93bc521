"""How much of a table that all peers fill each of them has: so that one of them cannot leave the others nothing.

A peer may have `limits.PEER_SHARE` of it. It holds no entries; whoever owns the table says what is taken and given
back. Used by the transaction layer, and by the tables of calls and of what is beside calls.
"""

from sbc.core import limits


class Shares:
    """Of one table, in places, or in octets."""

    __slots__ = ("_of", "total")

    def __init__(self) -> None:
        self.total = 0
        self._of: dict[str, int] = {}  # by peer; one that has nothing is not in there

    def take(self, peer: str, amount: int = 1) -> None:
        try:
            self._of[peer] += amount
        except KeyError:
            self._of[peer] = amount
        self.total += amount

    def give_back(self, peer: str, amount: int = 1) -> None:
        left = self._of.get(peer, 0) - amount
        self.total -= amount
        if left > 0:
            self._of[peer] = left
        else:
            self._of.pop(peer, None)

    def of(self, peer: str) -> int:
        return self._of.get(peer, 0)

    def is_full(self, peer: str, most: int) -> bool:
        """Whether this peer may have no more of a table that holds `most`: it is full, or his share is."""
        share = most * limits.PEER_SHARE
        if self.total < share:
            return False  # nobody has so much: what nearly always is
        return self.total >= most or self._of.get(peer, 0) >= max(1, int(share))
