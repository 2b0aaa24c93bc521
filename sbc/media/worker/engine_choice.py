"""Which engine relays what it can: chosen by `Configure`, changed by the next one, told by `EngineReady` (sans-IO).

The kernel engine has slots of its own, which every worker of a node shares; what was counted moves there with the
sessions. Opening an engine, and closing the one before it, is the caller's `OpenEngine`. Used by `service`.
"""

import contextlib
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Protocol, cast

from msgspec import structs

from sbc.media import wire
from sbc.media.worker.engine import Engine, NoEngine
from sbc.media.worker.latch import canonical
from sbc.media.worker.ports import Key, Pair
from sbc.media.worker.session import Session
from sbc.media.worker.slots import SLOT_OCTETS, SLOTS, Memory, Slots
from sbc.media.worker.surroundings import Surroundings

# Closes what it opened before. The memory is that of the slots which the engine counts in; None: any will do. Where it
# cannot open what is asked for it gives a `NoEngine` that says why.
OpenEngine = Callable[[wire.Configure], tuple[Engine, Memory | None]]


class Attaching(Engine, Protocol):
    """An engine that must be brought to the devices that carry media. `reason`: what keeps it from some, for people."""

    devices: tuple[str, ...]
    reason: str

    def attach(self, locals_: Collection[str], /) -> None:
        """Begin to listen where these addresses are. Does not wait: `turn` tells."""

    def turn(self) -> bool:
        """Read what there is to be read; true where `devices` and `reason` are new."""


class EngineChoice:
    """Sets `engine`, `slots` and `own` of `around`. `memory`: of the slots where the engine has none; None: private."""

    __slots__ = ("_around", "_asked", "_attaching", "_locals", "_memory", "_open", "_private", "_share")

    def __init__(self, around: Surroundings, memory: Memory | None, open_engine: OpenEngine | None) -> None:
        self._around = around
        self._open = open_engine or _none_to_open
        self._memory = memory
        self._private: Slots | None = None  # looked through only when it is needed: a start is a gap that callers hear
        self._share = range(SLOTS)  # the slots that are ours
        self._asked: wire.Configure | None = None
        self._attaching: Attaching | None = None
        self._locals: set[str] = set()  # to which it has been attached

    def configure(
        self, configure: wire.Configure, sessions: Sequence[Session], *, is_greeting: bool = False
    ) -> wire.EngineReady:
        """An engine that is in force and that is asked for again stays as it is, and so do its flows. `is_greeting`:
        it is what a connection begins with. Where that says nothing new, and no engine is to be tried once more,
        nothing at all is touched.
        """
        former, self._asked = self._asked, configure
        around = self._around
        if is_greeting and former == configure and (self._attaching is not None or configure.engine == "userland"):
            return self._ready()
        around.own = frozenset(_canonical(configure.own))
        if former is None or _question(former) != _question(configure) or self._attaching is None:
            self._change(configure, sessions)
        else:
            for session in sessions:
                session.rewire(around)
        return self._ready()

    def attach(self, locals_: Collection[str], *, is_all: bool) -> None:
        """Have the engine listen where these addresses are too.

        `is_all`: they are all that there are, and those that are known are looked at again: devices come and go.
        """
        if self._attaching is None or not (is_all or self._locals.isdisjoint(locals_)):
            return
        self._locals = {*locals_} if is_all else self._locals.union(locals_)
        if self._locals:
            self._attaching.attach(self._locals)

    def turn(self) -> wire.EngineReady | None:
        """What there is to say when something is to be read at the engine's descriptor."""
        if self._attaching is None or not self._attaching.turn():
            return None
        return self._ready()

    def clear_away(self, keys: Collection[Key], owners: Collection[int]) -> None:
        """Flows of no session's ends, and slots of no session, are left by workers that are gone."""
        engine = self._around.engine
        for flow in engine.flows():
            if flow not in keys:
                engine.remove(*flow)
        slots = self._around.slots
        if slots is None:
            return
        for owner in slots.owners().difference(owners):
            offset = slots.find(owner)
            if offset is not None and offset // SLOT_OCTETS in self._share:
                slots.give_back(owner)

    def _change(self, configure: wire.Configure, sessions: Sequence[Session]) -> None:
        """The sessions let go of the engine and of its slots first, and then begin again with what they counted.

        Nothing stays in the old one. What a worker before us left in the new one does: the sessions that it belongs to
        are still to be put.
        """
        around = self._around
        held = [(session, session.put, _pairs(session, around)) for session in sessions]
        for session, put, _ in held:
            session.put = structs.replace(put, streams=())
            session.rewire(around)
            session.put = put
        for flow in around.engine.flows():
            around.engine.remove(*flow)
        around.engine, memory = self._open(configure)
        self._attaching = None if isinstance(around.engine, NoEngine) else cast("Attaching", around.engine)
        self._locals.clear()
        self._count_in(memory, configure)
        for session, _, pairs in held:
            session.rewire(around, pairs)

    def count_privately(self) -> None:
        """In memory that no engine shares."""
        if self._private is None:
            self._private = Slots(bytearray(SLOTS * SLOT_OCTETS) if self._memory is None else self._memory)
        self._around.slots, self._share = self._private, range(SLOTS)

    def _count_in(self, memory: Memory | None, configure: wire.Configure) -> None:
        """An engine's slots are shared out between the workers of its node; those of ours are ours."""
        if memory is None:
            self.count_privately()
            return
        count = SLOTS // max(configure.workers, configure.number + 1)
        first = configure.number * count
        self._around.slots, self._share = Slots(memory, first, count), range(first, first + count)

    def _ready(self) -> wire.EngineReady:
        engine, attaching = self._around.engine, self._attaching
        dtls = "" if self._around.dtls is None else self._around.dtls_obstacle()
        if attaching is not None and attaching.devices:
            return wire.EngineReady("kernel", attaching.reason, attaching.devices, dtls)
        if attaching is not None:
            return wire.EngineReady("userland", attaching.reason or wire.BEGINNING, dtls=dtls)
        is_asked_for = self._asked is not None and self._asked.engine != "userland"
        why = engine.why if isinstance(engine, NoEngine) and is_asked_for else ""
        return wire.EngineReady("userland", why, dtls=dtls)


def _none_to_open(_configure: wire.Configure) -> tuple[Engine, None]:
    return NoEngine("this worker has no other engine"), None


def _question(configure: wire.Configure) -> tuple[str, str, int, int]:
    """What another engine follows from."""
    return configure.node, configure.engine, configure.number, configure.workers


def _canonical(hosts: Collection[str]) -> Iterator[str]:
    for host in hosts:
        with contextlib.suppress(OSError, ValueError):  # what is no address sends nothing
            yield canonical(host)


def _pairs(session: Session, around: Surroundings) -> list[Pair]:
    """Those that are the session's."""
    ends = [end for stream in session.put.streams for end in (stream.ingress, stream.egress)]
    return [pair for pair in map(around.find, ends) if pair.owner == session.put.ref]
