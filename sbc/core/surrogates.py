"""Text of a peer that was no UTF-8, and came in as lone surrogates, cannot be written as UTF-8: it is made plain first.

Slow, and for the rare case alone: who writes values down tries without it. Used by the call journal.
"""

from typing import Any

from msgspec import Struct
from msgspec.structs import replace


def plain(value: Any) -> Any:
    """The same value with a question mark for each lone surrogate. Goes into structs, tuples, lists and dicts."""
    match value:
        case str():
            return value if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
        case Struct():
            changes = {name: plain(getattr(value, name)) for name in value.__struct_fields__}
            return replace(value, **changes)
        case tuple():
            return tuple([plain(one) for one in value])
        case list():
            return [plain(one) for one in value]
        case dict():
            return {plain(key): plain(one) for key, one in value.items()}
        case _:
            return value
