"""`kill -9` of the processes of a running `sbc run`, found among its children; never by name alone."""

import contextlib
import os
import resource
import signal
import time
from pathlib import Path

from .children import until
from .node import Node

_TICKS = os.sysconf("SC_CLK_TCK")
_SIGNALLING, _WORKER = "sbc-signalling", "sbc-media-"  # a worker is the child of one that only starts it


def signalling(node: Node) -> int:
    until(lambda: _named(node, _SIGNALLING), "signalling to be there", 10, lambda: node.child.log[-2000:])
    return _named(node, _SIGNALLING)[0]


def worker(node: Node) -> int:
    until(lambda: _named(node, _WORKER), "a media worker to be there", 10, lambda: node.child.log[-2000:])
    return _named(node, _WORKER)[0]


def everybody(node: Node) -> list[int]:
    """The supervisor first: nobody is started again."""
    return [node.child.pid, *_descendants(node.child.pid)]


def kill(*pids: int) -> float:
    """When it was done."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return time.time()


def _named(node: Node, name: str) -> list[int]:
    return [pid for pid in _descendants(node.child.pid) if _name(pid).startswith(name)]


def _descendants(pid: int) -> list[int]:
    return [pid for child in _children(pid) for pid in (child, *_descendants(child))]


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _name(pid: int) -> str:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/comm").read_text().strip()
    return ""


def is_alive(pid: int) -> bool:
    """It has not ended; a zombie has."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


class Others:
    """What of the machine's time went to programs that are not of this test, since this was made."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._busy, self._all = _machine()
        self._ours = self._of_ours()

    def share(self) -> float:
        busy, all_ = _machine()
        others = busy - self._busy - (self._of_ours() - self._ours)
        return max(0.0, others / max(all_ - self._all, 0.01))

    def _of_ours(self) -> float:
        """Seconds; children that have ended are counted by who has waited for them."""
        waited = resource.getrusage(resource.RUSAGE_CHILDREN)
        return time.process_time() + waited.ru_utime + waited.ru_stime + sum(map(_spent, everybody(self._node)))


def _machine() -> tuple[float, float]:
    """Seconds of all CPUs: busy, and altogether (proc(5), /proc/stat)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    idle = fields[3] + fields[4]
    return (sum(fields) - idle) / _TICKS, sum(fields) / _TICKS


def _spent(pid: int) -> float:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / _TICKS
    return 0.0
