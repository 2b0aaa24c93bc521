"""How a transaction's table is read. A table is total: every (state, input) pair is in it, also what changes nothing.

There is no default, because a default hides the pair that was forgotten. Timers are armed on entry to a state.
"""

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from sbc.sip.transaction.outputs import Out

StateT = TypeVar("StateT", bound=str)
InputT = TypeVar("InputT", bound=str)
Action = Callable[[Any, Any, float], list[Out]]
Table = dict[tuple[StateT, InputT], tuple[Action | None, StateT]]


def drops(state: StateT, *inputs: InputT) -> Table[StateT, InputT]:
    """Inputs that may arrive in `state` and change nothing: said aloud."""
    return {(state, input_): (None, state) for input_ in inputs}


def edges(table: Table[StateT, InputT]) -> Iterable[tuple[StateT, InputT, StateT]]:
    """(state, input, next state) of every row that does something; for diagrams."""
    for (state, input_), (action, target) in table.items():
        if action is not None or target != state:
            yield state, input_, target
