"""The descriptors that the supervisor was started with, besides the standard streams. Used by `main`, first of all."""

import contextlib
import os


def keep_to_ourselves() -> None:
    """What we were started with besides the standard streams is not for our children."""
    for number in _open_descriptors():
        with contextlib.suppress(OSError):  # the folder's own, closed by now
            os.set_inheritable(number, False)


def close_all() -> None:
    """What an earlier supervisor left and we cannot name: its addresses are needed. Nothing of ours is open yet."""
    for number in _open_descriptors():
        with contextlib.suppress(OSError):
            os.close(number)


def _open_descriptors() -> list[int]:
    return [number for name in os.listdir("/proc/self/fd") if (number := int(name)) > 2]  # noqa: PTH208 - costs memory
