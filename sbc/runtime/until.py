"""Waiting for what tells nobody that it has happened. Used at the two ends of a program, where looking is cheap."""

from collections.abc import Callable
from typing import Final

import trio

_LOOK_SECONDS: Final = 0.05


async def until(condition: Callable[[], bool]) -> None:
    """Returns at once where it is true already."""
    while not condition():  # noqa: ASYNC110
        await trio.sleep(_LOOK_SECONDS)
