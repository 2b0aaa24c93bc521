"""Text of a peer that was no UTF-8, and came in as lone surrogates, cannot be written as UTF-8: it is made plain first.

Slow, and for the rare case alone: who writes values down tries without it. Used by the call journal, whose texts go
into messages again, and by all that keeps call records, whose texts people read.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Struct
from msgspec.structs import replace


def asked(text: str) -> str:
    """A question mark for each lone surrogate."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def spelled(text: str) -> str:
    """Each lone surrogate written out, as `\\udce9`."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def plain(value: Any, how: Callable[[str], str] = asked) -> Any:
    """The same value with each text in it made plain. Goes into structs, tuples, lists and dicts."""
    match value:
        case str():
            return how(value)
        case Struct():
            changes = {name: plain(getattr(value, name), how) for name in value.__struct_fields__}
            return replace(value, **changes)
        case tuple():
            return tuple([plain(one, how) for one in value])
        case list():
            return [plain(one, how) for one in value]
        case dict():
            return {plain(key, how): plain(one, how) for key, one in value.items()}
        case _:
            return value
