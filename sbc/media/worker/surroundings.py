"""What the sessions of a worker share: its ports, its poller, its clock, its engine and the memory of its counters.

`service` makes them and may set `engine` and `own` anew; `session` and `way` use them.
"""

from collections.abc import Callable
from typing import Protocol

import msgspec
from msgspec import Struct

from sbc.media import wire
from sbc.media.worker.agenda import Agenda
from sbc.media.worker.engine import Engine, NoEngine
from sbc.media.worker.far_end import Key, Latches
from sbc.media.worker.inlet import Clock, Inlet
from sbc.media.worker.ports import Pair, Udp
from sbc.media.worker.slots import Slots


class Watch(Protocol):
    """The poller's side: which inlet a socket belongs to. Setting one that is watched already replaces its inlet."""

    def set(self, socket: Udp, inlet: Inlet) -> None: ...
    def unset(self, socket: Udp) -> None: ...


def _unmarked(_socket: Udp) -> int:
    return 0


class Surroundings(Struct):
    """What every session of a worker uses. `say`: a reply that nobody asked for.

    `clock`: seconds of CLOCK_MONOTONIC, as the slots have it. `slots`: None: counters that die with us. `engine` and
    `own` (`wire.Configure.own`, canonical) may be set anew; every session is to be rewired then. `dscp`: of what leaves
    by a socket. `latches`: of each pair that a session has, or had last.
    """

    find: Callable[[wire.End], Pair]
    watch: Watch
    agenda: Agenda
    clock: Clock
    say: Callable[[wire.Reply], None]
    slots: Slots | None = None
    engine: Engine = NoEngine()
    own: frozenset[str] = frozenset()
    dscp: Callable[[Udp], int] = _unmarked
    latches: dict[Key, Latches] = msgspec.field(default_factory=dict)
