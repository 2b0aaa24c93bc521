"""What every JSON document of the admin API is, the kinds of values in them, and what a failure is told by. Pure.

Used by `documents`, `peer_documents` and `record_documents`, and by `openapi`.
"""

from typing import Annotated

from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=0)]
Seconds = Annotated[float, Meta(ge=0)]
Time = Annotated[
    str, Meta(description="UTC", examples=["2025-01-31T09:00:00.123Z"], extra_json_schema={"format": "date-time"})
]

Duration = Annotated[str, Meta(pattern=r"^[0-9]+(\.[0-9]+)?(ms|s|m|h|d)$", examples=["10m"])]

Moment = Annotated[str, Meta(pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}", examples=["2025-01-31", "2025-01-31T09:00:00Z"])]


class Document(Struct, frozen=True, forbid_unknown_fields=True):
    """Published without its strictness: later versions may have more keys."""


class Problem(Document, frozen=True):
    """RFC 9457. `problems`: of a reload that was refused, every one with its place."""

    type: str
    title: str
    status: int
    detail: str
    problems: list[str] = []
