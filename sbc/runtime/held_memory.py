"""The memory that the supervisor holds for the memory journal, mapped.

Mapped whole and sparse: pages are taken an extent at a time, by fallocate(2), which says that there are none where a
store would be a SIGBUS. Pages count for the control group of whoever takes them: signalling. Used by `opening`.
"""

import contextlib
import mmap
import os
from typing import Final

import structlog

from sbc.core import limits
from sbc.runtime.keeper import Keeper
from sbc.runtime.memory_journal import EXTENT_OCTETS, MemoryJournal

log = structlog.get_logger("state")

_OCTETS: Final = limits.STATE_OCTETS // EXTENT_OCTETS * EXTENT_OCTETS


def open_journal(keeper: Keeper, stack: contextlib.ExitStack, identity: bytes) -> MemoryJournal | None:
    """`stack` closes our part of it. `identity`: of the `state.db` that it is about. None where nothing outlives us.
    Raises OSError.
    """
    fd = keeper.journal_memory(identity.hex())
    if fd is None:
        return None
    if not os.fstat(fd).st_nlink:
        log.info("state.memory_unnamed")
    held = HeldMemory(fd)
    stack.callback(held.close)
    return held.journal()


class HeldMemory:
    """Takes `fd` over: it is closed here. Raises OSError."""

    def __init__(self, fd: int, octets: int = _OCTETS) -> None:
        self._fd = fd
        try:
            if os.fstat(fd).st_size != octets:  # a new one, or of a version with another bound
                os.ftruncate(fd, 0)
                os.ftruncate(fd, octets)
            os.posix_fallocate(fd, 0, mmap.PAGESIZE)  # which is read before anything is known of it
            self.memory = mmap.mmap(fd, octets)
        except BaseException:
            os.close(fd)
            raise

    def journal(self) -> MemoryJournal:
        return MemoryJournal(self.memory, self)

    def grow(self, offset: int, octets: int) -> None:
        os.posix_fallocate(self._fd, offset, octets)

    def clear(self) -> None:
        self.memory.madvise(mmap.MADV_REMOVE)

    def close(self) -> None:
        """The memory stays, with who holds it."""
        self.memory.close()
        os.close(self._fd)
