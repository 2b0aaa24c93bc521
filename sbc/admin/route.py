"""What one operation of the admin API is, as data: method, path, parameters, replies, and the function that answers.

The table of them all is in `api`; `openapi` makes the published document of it. Pure.
"""

from collections.abc import Callable
from typing import Any, Final, Literal

from msgspec import Struct

from sbc.admin.exchange import JSON, Answer, Request
from sbc.admin.state import AdminState

Method = Literal["GET", "POST", "DELETE"]
# The request, the program, and what stands in the path where its template has a name in braces ("" without one).
Handler = Callable[[Request, AdminState, str], Answer]

# What the one name in a path may be, by the word in its braces.
PATH_NAMES: Final = {
    "ref": "our name of the call, as in logs, `sbc calls` and call records",
    "trunk": "a trunk's name in the policy",
    "pbx": "a PBX's name in the policy",
    "peer": "a trunk's or a PBX's name in the policy",
    "address": "an IP address; of IPv6 any one of a /64",
}


class Parameter(Struct, frozen=True):
    """One of the query. `type` is an annotated type; what it means is made a JSON Schema by msgspec."""

    name: str
    text: str
    type: Any = str
    is_required: bool = False


class Returns(Struct, frozen=True):
    """A successful reply. `type` None: what `content_type` says is all there is to say.

    `or_text`: the same as plain text for `Accept: text/plain`. `pieces`: types of JSON documents that stand in it.
    """

    type: Any = None
    status: int = 200
    text: str = "as asked"
    content_type: str = JSON
    or_text: bool = False
    pieces: tuple[Any, ...] = ()


class Operation(Struct, frozen=True):
    """`path` has at most one name in braces. `problems`: statuses of refusals that are its own, besides 401 and 500.

    `body`: the type of a JSON body, which may be missing unless `needs_body`. `is_open`: no token is asked for.
    """

    method: Method
    path: str
    name: str  # operationId
    summary: str
    handler: Handler
    returns: Returns
    parameters: tuple[Parameter, ...] = ()
    problems: tuple[int, ...] = ()
    body: Any = None
    needs_body: bool = False
    is_open: bool = False


class Routes:
    """Finds the operations of a path. Of two that fit, the one without a name in it counts."""

    def __init__(self, operations: tuple[Operation, ...]) -> None:
        self._found: dict[tuple[str, ...], dict[str, Operation]] = {}
        self._prefixes = {_place_of_name(operation.path) for operation in operations} - {None}
        for operation in operations:
            key = tuple("" if part.startswith("{") else part for part in operation.path.split("/")[1:])
            self._found.setdefault(key, {})[operation.method] = operation

    def find(self, path: str) -> tuple[dict[str, Operation], str]:
        """By method, and the name in the path; empty where there is nothing."""
        parts = tuple(path.split("/")[1:])
        exact = self._found.get(parts)
        if exact is not None and "" not in parts:
            return exact, ""
        for place in self._prefixes:
            if place is not None and place < len(parts) and parts[place]:
                found = self._found.get((*parts[:place], "", *parts[place + 1 :]))
                if found is not None:
                    return found, parts[place]
        return {}, ""


def _place_of_name(path: str) -> int | None:
    """Which part of the path it is."""
    parts = path.split("/")[1:]
    return next((place for place, part in enumerate(parts) if part.startswith("{")), None)
