"""A request of a test phone outside of any dialog, and what became of it: OPTIONS, MESSAGE, PUBLISH and the like."""

from msgspec import Struct

from sbc.sip.message import Response


class Asked(Struct, eq=False):
    """`status` of the final response, 0 before; 408 and 503 also where nobody said so."""

    n: int
    method: str
    status: int = 0
    response: Response | None = None
