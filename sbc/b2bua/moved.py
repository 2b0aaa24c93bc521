"""Where legs are now that began in another call: late messages of their transactions still name the old place.

Two calls that were joined live on as one; a response, a CANCEL or a report of the media worker may come for the other
for half a minute and more. The switch looks here before it says that a call is gone. Forgotten with the call that the
leg is in.
"""

from collections.abc import Hashable, Iterator

Place = tuple[str, int]
"""A call's ref and the number of a leg in it."""


class Moves:
    __slots__ = ("_arrived", "_now_at")

    def __init__(self) -> None:
        self._now_at: dict[Place, Place] = {}
        self._arrived: dict[Place, list[Place]] = {}  # where each leg is: under which names it was known

    def __len__(self) -> int:
        return len(self._now_at)

    def note(self, old: Place, new: Place) -> None:
        """The leg at `old`, with all names that it had, is at `new` from now on."""
        names = [*self._arrived.pop(old, ()), old]
        for name in names:
            self._now_at[name] = new
        self._arrived[new] = names

    def place_of(self, ref: str, leg: int) -> Place | None:
        """Where that leg is; None: it has not moved."""
        return self._now_at.get((ref, leg))

    def call_of(self, ref: str) -> str | None:
        """Which call has taken this one in; None: none has."""
        place = self._now_at.get((ref, 0))
        return None if place is None else place[0]

    def origin(self, ref: str, leg: int) -> str:
        """In which call that leg began."""
        names = self._arrived.get((ref, leg))
        return ref if names is None else names[0][0]

    def origins(self) -> Iterator[tuple[str, str]]:
        """Of each leg that has moved: in which call it began, and in which one it is."""
        return ((names[0][0], place[0]) for place, names in self._arrived.items())

    def user_of(self, user: Hashable) -> Hashable:
        """A transaction's user (ref, leg, number) with the place where its leg is now; others as they are."""
        if not self._now_at or not isinstance(user, tuple) or len(user) != 3:
            return user
        place = self._now_at.get(user[:2])
        return user if place is None else (*place, user[2])

    def forget(self, ref: str, legs: int) -> None:
        """The call `ref`, which had so many legs, is gone."""
        if not self._now_at:
            return
        for leg in range(legs):
            for name in self._arrived.pop((ref, leg), ()):
                self._now_at.pop(name, None)
