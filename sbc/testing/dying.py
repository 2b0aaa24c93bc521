"""Stories in which signalling dies and lives again whenever a call has just been answered, held or resumed.

What a story shows of calls must hold all the same: they are made again of what the journal has kept. Nothing is being
set up at that moment, and no exchange is on its way. For tests that tell other tests' stories once more.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sbc.b2bua.states import Talking
from sbc.testing.phone import Phone
from sbc.testing.world import World

_MOVES = ("answers", "holds", "resumes")


@contextmanager
def deaths(worlds: list[World]) -> Iterator[Callable[[], int]]:
    """In these worlds, those that are made meanwhile included. Gives how many deaths there were."""
    count = 0

    def die_if_quiet(phone: Phone) -> None:
        nonlocal count
        for world in worlds:
            if world.net is phone.net and _is_quiet(world):
                world.signalling_dies()
                world.signalling_lives()
                count += 1

    def dying(move: Callable[..., Any]) -> Callable[..., Any]:
        def moved(phone: Phone, *args: Any, **options: Any) -> Any:
            result = move(phone, *args, **options)
            phone.net.settle()
            die_if_quiet(phone)
            return result

        return moved

    before = {name: getattr(Phone, name) for name in _MOVES}
    for name, move in before.items():
        setattr(Phone, name, dying(move))
    try:
        yield lambda: count
    finally:
        for name, move in before.items():
            setattr(Phone, name, move)


def _is_quiet(world: World) -> bool:
    if world.lives.is_dead or not world.switch.calls:
        return False
    return all(
        isinstance(call.state, Talking) and not call.modification.is_under_way and not call.transfer.is_active
        for call in world.switch.calls.values()
    )
