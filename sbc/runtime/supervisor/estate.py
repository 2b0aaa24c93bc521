"""What a supervisor holds, written down for the next one and taken up again by it. Used by `main`."""

import socket
from collections.abc import Mapping

from sbc.runtime.supervisor import inheritance
from sbc.runtime.supervisor.children import Child
from sbc.runtime.supervisor.crew import Crew
from sbc.runtime.supervisor.held import Held
from sbc.runtime.supervisor.inheritance import Inheritance
from sbc.runtime.supervisor.reserve import Reserve
from sbc.runtime.supervisor.stand_by import StandBy


def written_down(
    held: Held,
    crew: Crew,
    reserve: Reserve,
    pids: Mapping[Child, int],
    *,
    status: int,
    was_ready: bool,
    stops: tuple[int, ...] = (),
    with_memory: bool = True,
) -> Inheritance:
    """`pids`: of the children that run. The rest as in `Inheritance`."""
    left = held.left(with_memory=with_memory)
    workers, seats = crew.left(pids)
    one = reserve.left()
    return Inheritance(
        inheritance.VERSION,
        (*left.sockets, *seats, *left.journal, *(() if one is None else (one.line.fileno(),))),
        left.listeners,
        left.pairs,
        workers,
        left.memories,
        status=status,
        was_ready=was_ready,
        stops=stops,
        stand_by=0 if one is None else one.pid,
    )


def taken_up(left: Inheritance, held: Held, crew: Crew, reserve: Reserve) -> dict[Child, int]:
    """The process ids of the workers that run."""
    descriptors = iter(left.descriptors)
    held.take_sockets(left, descriptors)
    running = crew.take(left.workers, descriptors)
    held.take_memories(left, descriptors)
    if left.stand_by:
        reserve.take(StandBy(left.stand_by, socket.socket(fileno=next(descriptors)), is_ready=True))
    return running
