"""Every key of a policy, as data: its type, default, meaning, reader, and whether its feature is built.

The reader walks YAML nodes by these tables, so the keys that are read, the keys that are documented and the keys that
are suggested for a misspelt one are the same. A key without a reader is known but not built yet; that is an error too.
"""

import difflib
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct, field

from sbc.policy.documents import Node
from sbc.policy.model import Where
from sbc.policy.problems import Problems, UnfitError

Reader = Callable[[Node, Problems], Any]


class At(Struct, frozen=True):
    """A value and its place."""

    value: Any
    where: Where


class Key(Struct, frozen=True):
    """One key. Without `read` its feature is not built; `harmless` are values that ask for what happens anyway.

    `misplaced`: it belongs elsewhere, and this says where; such keys are not documented.
    """

    name: str
    type: str
    about: str
    read: Reader | None = None
    default: str = ""
    required: bool = False
    harmless: tuple[str, ...] = ()
    misplaced: str = ""


class Fields(Struct):
    """What a mapping held: known keys with good values, each with its place; `written` has bad ones too."""

    where: Where
    found: dict[str, At] = field(default_factory=dict)
    written: frozenset[str] = frozenset()

    def get(self, name: str, default: Any = None) -> Any:
        at = self.found.get(name)
        return default if at is None else at.value

    def place(self, name: str) -> Where:
        at = self.found.get(name)
        return self.where if at is None else at.where


def read_fields(node: Node, keys: Sequence[Key], what: str, problems: Problems) -> Fields:
    """A mapping by its table. Every problem is reported; a key with a problem is missing from the result."""
    fields = Fields(node.where)
    known = {key.name: key for key in keys}
    suggested = [key.name for key in keys if not key.misplaced]
    named = read_names(node, what, problems)
    if node.pairs is None and not node.is_null:
        return fields  # one mistake, one message
    fields.written = frozenset(named)
    for name, (key_node, value) in named.items():
        key = known.get(name)
        if key is None:
            problems.wrong(key_node.where, f"unknown key `{name}` in {what}", nearest(name, suggested))
            continue
        if value.is_null and key.read is not None:
            problems.wrong(value.where, f"`{name}` is empty", f"expected {key.type}")
            continue
        read = _read_key(key, key_node, value, problems)
        if read is not None:
            fields.found[name] = At(read, value.where)
    for key in keys:
        if key.required and key.name not in named:
            problems.wrong(node.where, f"{what} has no `{key.name}`", f"expected {key.type}")
    return fields


def read_names(node: Node, what: str, problems: Problems) -> dict[str, tuple[Node, Node]]:
    """A mapping's keys and values; a key that stands twice is a problem that cites both places."""
    if node.is_null:
        return {}
    if node.pairs is None:
        problems.wrong(node.where, f"{what} is {node.kind}", "expected a mapping")
        return {}
    named: dict[str, tuple[Node, Node]] = {}
    for key, value in node.pairs:
        name = key.text
        if name is None:
            problems.wrong(key.where, f"{key.kind} as a key of {what}", "expected a text")
        elif name in named:
            problems.wrong(
                key.where, f"`{name}` is defined twice", f"expected it once; first at {named[name][0].where}"
            )
        else:
            named[name] = (key, value)
    return named


def _read_key(key: Key, key_node: Node, value: Node, problems: Problems) -> Any:
    if key.read is not None:
        return key.read(value, problems)
    if key.misplaced:
        problems.wrong(key_node.where, f"`{key.name}` does not belong here", key.misplaced)
        return None
    if value.text is None or value.text not in key.harmless:
        hint = f"leave it out, or say {' or '.join(key.harmless)}" if key.harmless else "leave it out for now"
        problems.wrong(key_node.where, f"`{key.name}` is not built yet", hint)
    return None


def nearest(name: str, known: Sequence[str] | dict[str, Any]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f"did you mean `{close[0]}`?" if close else f"expected one of {', '.join(known)}"


def one(parse: Callable[[str], Any]) -> Reader:
    """One scalar."""

    def read(node: Node, problems: Problems) -> Any:
        text = node.text
        if text is None:
            problems.wrong(node.where, f"this is {node.kind}", "expected a single value")
            return None
        try:
            return parse(text)
        except UnfitError as error:
            problems.wrong(node.where, error.wrong, error.expected)
            return None

    return read


def some(read_one: Reader) -> Reader:
    """One, or a list of at least one; gives a tuple of `At`."""

    def read(node: Node, problems: Problems) -> tuple[At, ...] | None:
        items = node.items
        if items is None:
            items = (node,)
        elif not items:
            problems.wrong(node.where, "an empty list", "expected at least one element")
            return None
        values = [At(read_one(item, problems), item.where) for item in items]
        return tuple(at for at in values if at.value is not None)

    return read


def every(read_one: Reader) -> Reader:
    """Like `some`, but nothing where an element is bad: for lists that are searched for what they lack."""
    read_some = some(read_one)

    def read(node: Node, problems: Problems) -> tuple[At, ...] | None:
        found: tuple[At, ...] = read_some(node, problems) or ()
        written = 1 if node.items is None else len(node.items)
        return found if found and len(found) == written else None

    return read


def mapping(keys: Sequence[Key], what: str) -> Reader:
    def read(node: Node, problems: Problems) -> Fields:
        return read_fields(node, keys, what, problems)

    return read


def choice(*allowed: str, later: Sequence[str] = ()) -> Reader:
    """One of a few words; those of `later` are known but not built."""

    def parse(text: str) -> str:
        expected = f"expected {' or '.join(allowed)}"
        if text in later:
            raise UnfitError(f"`{text}` is not built yet", expected)
        if text not in allowed:
            raise UnfitError(f"`{text}` is not a choice here", expected)
        return text

    return one(parse)
