"""What a supervisor holds, written down for the next one and taken up again by it. Used by `main`."""

from collections.abc import Mapping

from sbc.runtime.supervisor import inheritance
from sbc.runtime.supervisor.children import Child
from sbc.runtime.supervisor.crew import Crew
from sbc.runtime.supervisor.held import Held
from sbc.runtime.supervisor.inheritance import Inheritance


def written_down(
    held: Held, crew: Crew, pids: Mapping[Child, int], *, status: int, was_ready: bool, stops: tuple[int, ...] = ()
) -> Inheritance:
    """`pids`: of the children that run. The rest as in `Inheritance`."""
    left = held.left()
    workers, seats = crew.left(pids)
    return Inheritance(
        inheritance.VERSION,
        (*left.sockets, *seats, *left.journal),
        left.listeners,
        left.pairs,
        workers,
        left.memories,
        status=status,
        was_ready=was_ready,
        stops=stops,
    )


def taken_up(left: Inheritance, held: Held, crew: Crew) -> dict[Child, int]:
    """The process ids of the workers that run."""
    descriptors = iter(left.descriptors)
    held.take_sockets(left, descriptors)
    running = crew.take(left.workers, descriptors)
    held.take_memories(left, descriptors)
    return running
