"""What should never happen, in the worker's log: once for each place, because a packet may repeat it a thousand times.

The worker outlives it: the other calls are not to hear that one of them has met a mistake of ours, or a kernel without
memory. Used by `main`, `agenda` and `control`.
"""

import contextlib
import sys
from typing import Final

_PLACES_AT_MOST: Final = 100

_said: set[tuple[str, str, int]] = set()


def say_once(error: Exception) -> None:
    """To standard error, with its traceback."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = (type(error).__name__, at.tb_frame.f_code.co_filename if at else "", at.tb_lineno if at else 0)
    if place in _said or len(_said) >= _PLACES_AT_MOST:
        return
    _said.add(place)
    import traceback  # noqa: PLC0415 - costs start-up time, which is a gap that callers hear

    text = "".join(traceback.format_exception(error))
    with contextlib.suppress(OSError):
        sys.stderr.write(f"the media worker goes on after: {text}")
        sys.stderr.flush()
