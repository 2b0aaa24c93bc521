"""The kernel engine (`worker.engine.Engine`): puts flows into pinned maps, and has a helper attach the program.

Everything here is a system call of a microsecond or two. What takes long, pyroute2 and netlink, happens in the helper
(`attach`), whose answer `turn` reads. Flows go on when this process dies, until `alive` runs out; the next worker opens
the same pins, finds them in `flows` and may go on with them before its own helper has answered.
"""

import contextlib
import errno
import mmap
import select
import struct
import time
from collections.abc import Collection
from typing import Final

import msgspec

from sbc.media import wire
from sbc.media.worker.engine import NOT_YET, Flow
from sbc.media.worker.kernel import pins
from sbc.media.worker.kernel.addresses import AddressWatch
from sbc.media.worker.kernel.flow import WORKERS, Unfit, flow_of, is_of, key_of, place_of, value_of
from sbc.media.worker.kernel.helper import Helper, bury
from sbc.media.worker.kernel.leftovers import take_away
from sbc.media.worker.kernel.pins import KernelError
from sbc.media.worker.kernel.report import Report, handle_of

_NANOSECONDS: Final = 1_000_000_000
_FOREVER: Final = 2**63


def open_kernel(configure: wire.Configure) -> "tuple[KernelEngine, mmap.mmap]":
    """The engine, and the memory of the slots that it counts in (`slots.Slots`). Raises KernelError."""
    if not 0 <= configure.number < WORKERS:
        raise KernelError(f"there are counters for {WORKERS} workers")
    held = pins.open_pins(configure.node)
    try:
        return KernelEngine(held, configure), held.slots.memory()
    except OSError as error:
        held.close()
        raise KernelError(f"the maps cannot be used: {error.strerror}") from error


class KernelEngine:
    """`devices`: where the program is attached. `reason`: what keeps it from some of our addresses, for people."""

    __slots__ = (
        "_epoll",
        "_generation",
        "_helper",
        "_is_stale",
        "_is_wanted",
        "_locals",
        "_node",
        "_number",
        "_orphan_ns",
        "_pins",
        "_places",
        "_watch",
        "_workers",
        "devices",
        "reason",
    )

    def __init__(self, held: pins.Pins, configure: wire.Configure) -> None:
        self.devices: tuple[str, ...] = ()
        self.reason = ""
        self._pins = held
        self._node = configure.node
        self._number = configure.number
        self._workers = configure.workers
        self._orphan_ns = int(min(configure.orphan_seconds * _NANOSECONDS, _FOREVER))
        self._generation = time.monotonic_ns()
        self._places: dict[str, str] = {}  # local address: empty, or why not
        self._locals: frozenset[str] = frozenset()
        self._is_stale = False  # an address has appeared
        self._is_wanted = False  # asked for while a helper was at work
        self._helper: Helper | None = None
        self._watch = _watch()
        self._epoll = select.epoll()
        if self._watch is not None:
            self._epoll.register(self._watch.fileno(), select.EPOLLIN)
        self._end_what_ran_out()
        self.beat()

    # --- flows ---------------------------------------------------------------------------------------------------

    def put(self, flow: Flow) -> str:
        try:
            why = self._unready(flow)
            if not why:
                self._generation += 1
                value = value_of(flow, self._number, self._generation)
                self._pins.flows.update(key_of(flow.local, flow.port), value)
        except (Unfit, OverflowError, struct.error) as error:
            why = str(error)
        except OSError as error:
            why = "the table of flows is full" if error.errno == errno.E2BIG else f"the kernel says: {error}"
        if why:
            self.remove(flow.local, flow.port)
        return why

    def remove(self, local: str, port: int) -> None:
        with contextlib.suppress(OSError, OverflowError):
            self._pins.flows.delete(key_of(local, port))

    def flows(self) -> set[tuple[str, int]]:
        return {place_of(key) for key in self._our_keys()}

    def held(self, local: str, port: int) -> Flow | None:
        try:
            key = key_of(local, port)
            value = self._pins.flows.lookup(key)
        except (OSError, OverflowError):
            return None
        return None if value is None else flow_of(key, value)

    def beat(self) -> None:
        until = min(time.monotonic_ns() + self._orphan_ns, _FOREVER)
        bury()
        if self._helper is not None:
            self._helper.kill_if_late()
        elif self._is_stale:
            self._start_helper()
        with contextlib.suppress(OSError):
            self._pins.alive.update(self._number.to_bytes(4, "little"), until.to_bytes(8, "little"))

    def _unready(self, flow: Flow) -> str:
        """Why no packet of it would come to the program. A flow that a former worker has put shows that they do."""
        why = self._places.get(flow.local)
        if why is None and self._pins.flows.lookup(key_of(flow.local, flow.port)) is None:
            return NOT_YET
        return why or ""

    def _our_keys(self) -> list[bytes]:
        try:
            items = self._pins.flows.entries()
        except OSError:
            return []
        return [key for key, value in items if is_of(value, self._number, self._workers)]

    def _end_what_ran_out(self) -> None:
        """Flows that have ended by themselves must not begin anew because a worker is there again."""
        until = self._pins.alive.lookup(self._number.to_bytes(4, "little"))
        if until is None or int.from_bytes(until, "little") <= time.monotonic_ns():
            for key in self._our_keys():
                self._pins.flows.delete(key)

    # --- devices -------------------------------------------------------------------------------------------------

    def attach(self, locals_: Collection[str]) -> None:
        """Have the program attached to every device that holds one of these addresses; again at any time. `turn` tells
        the outcome. Never detaches: a device that has lost its address gets no packets for it.
        """
        wanted = frozenset(locals_)
        if wanted != self._locals:
            self._locals, self._is_wanted = wanted, True
        if self._helper is None:  # one at a time
            self._start_helper()

    def fileno(self) -> int:
        """Readable when `turn` has something to do; the same number for life."""
        return self._epoll.fileno()

    def turn(self) -> bool:
        """Read what there is to be read, without waiting; true when `devices` and `reason` are new."""
        if self._watch is not None:
            appeared = self._watch.appeared()
            if appeared is None or appeared & self._locals:
                self._is_stale = True  # `beat` sees to it, so that a flapping device costs one helper a second at most
        answer = None if self._helper is None else self._helper.read()
        if answer is None:
            return False
        why = "has not answered in time" if self._helper is not None and self._helper.is_killed else "has failed"
        self._end_helper()
        try:
            self._learn(msgspec.json.decode(answer, type=Report))
        except msgspec.DecodeError:
            self._learn(Report(reason=f"the process that attaches the program {why}"))
        if self._is_wanted:
            self._start_helper()
        return True

    def close(self, *, detach: bool) -> None:
        """`detach`: nothing is left of this node in the kernel, of its other workers neither. Else flows go on."""
        self._end_helper()
        if detach:
            take_away(self._node)
        self._pins.close()
        if self._watch is not None:
            self._watch.close()
        self._epoll.close()

    def _learn(self, report: Report) -> None:
        """What was found out before stays where the helper failed altogether: its filters are still there."""
        self.reason = report.reason
        if report.places:
            self.devices, self._places = report.devices, report.places
        else:
            self._places = dict.fromkeys(self._locals, report.reason) | self._places

    def _start_helper(self) -> None:
        self._is_wanted = self._is_stale = False
        try:
            self._helper = Helper("attach", self._pins.program, str(handle_of(self._node)), *sorted(self._locals))
        except OSError as error:
            self._learn(Report(reason=f"no process to attach the program could be started: {error.strerror}"))
        else:
            self._epoll.register(self._helper.pipe, select.EPOLLIN)

    def _end_helper(self) -> None:
        if self._helper is not None:
            self._epoll.unregister(self._helper.pipe)
            self._helper.end()
            self._helper = None


def _watch() -> AddressWatch | None:
    """Without it the program is attached again only when it is asked for."""
    try:
        return AddressWatch()
    except OSError:
        return None
