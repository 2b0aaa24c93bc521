"""YAML text to nodes that know their places. Scalars stay text: the only thing that YAML may guess is null.

Not data but nodes, because an error must cite line and column, and because PyYAML's data has lost duplicate keys.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import yaml
from msgspec import Struct

from sbc.policy.model import Where
from sbc.policy.problems import Problems

# What a password that nobody quoted may turn into; the place says enough.
_MAY_BE_A_SECRET: Final = re.compile(r"(alias|anchor|escape character|tag handle) (?:'.*'|\".*\")")
_NULL: Final = "tag:yaml.org,2002:null"
_GUESSED: Final = ("tag:yaml.org,2002:str", _NULL, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


class Node(Struct, frozen=True):
    """A YAML node and the file that it stands in."""

    file: str
    yaml: yaml.Node

    @property
    def where(self) -> Where:
        mark = self.yaml.start_mark
        return Where(self.file, mark.line + 1, mark.column + 1)

    @property
    def is_null(self) -> bool:
        return self.yaml.tag == _NULL

    @property
    def text(self) -> str | None:
        """The scalar; None where this is no scalar."""
        return self.yaml.value if isinstance(self.yaml, yaml.ScalarNode) and not self.is_null else None

    @property
    def items(self) -> tuple["Node", ...] | None:
        """The list's elements; None where this is no list."""
        if not isinstance(self.yaml, yaml.SequenceNode):
            return None
        return tuple(Node(self.file, item) for item in self.yaml.value)

    @property
    def pairs(self) -> tuple[tuple["Node", "Node"], ...] | None:
        """The mapping's keys and values as written, duplicates and all; None where this is no mapping."""
        if not isinstance(self.yaml, yaml.MappingNode):
            return None
        return tuple((Node(self.file, key), Node(self.file, value)) for key, value in self.yaml.value)

    @property
    def kind(self) -> str:
        """For people."""
        if self.is_null:
            return "nothing"
        if isinstance(self.yaml, yaml.ScalarNode):
            return "a text"
        return "a list" if isinstance(self.yaml, yaml.SequenceNode) else "a mapping"


def read_documents(file: str, text: str, problems: Problems) -> list[Node]:
    """The documents of one file; what is no YAML becomes a problem."""
    loader = _TextLoader(text) if _is_readable(file, text, problems) else None
    nodes: list[Node] = []
    try:
        while loader and loader.check_node():
            root = loader.get_node()
            nodes += [Node(file, root)] if root is not None else []
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = Where(file, mark.line + 1, mark.column + 1) if mark else Where(file, 1)
        problem = _MAY_BE_A_SECRET.sub(r"\1", f"{error.problem or error.context}")
        problems.wrong(where, f"not YAML: {problem}", "expected valid YAML")
    except RecursionError:
        problems.wrong(Where(file, 1), "nested too deeply", "expected a few levels")
    finally:
        if loader:
            loader.dispose()
    return [node for node in nodes if not node.is_null and _has_no_tags(node, problems)]


class _TextLoader(yaml.SafeLoader):
    """Resolves nothing but null, so that +14155550100, 0441234, NO and 5:30 stay what was typed."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012


for _first in ("~", "n", "N", ""):
    _TextLoader.yaml_implicit_resolvers[_first] = [
        resolver for resolver in yaml.SafeLoader.yaml_implicit_resolvers[_first] if resolver[0] == _NULL
    ]


def _is_readable(file: str, text: str, problems: Problems) -> bool:
    """YAML admits no control characters; PyYAML's own complaint has an offset but no line."""
    found = yaml.reader.Reader.NON_PRINTABLE.search(text)
    if found is None:
        return True
    line = text.count("\n", 0, found.start()) + 1
    column = found.start() - text.rfind("\n", 0, found.start())
    problems.wrong(
        Where(file, line, column), f"not YAML: the character U+{ord(found[0]):04X}", "expected printable characters"
    )
    return False


def _has_no_tags(root: Node, problems: Problems) -> bool:
    """Tags ask for types; there are none here. Visits every node once, however often it is aliased."""
    seen: set[int] = set()
    waiting = [root]
    clean = True
    while waiting:
        node = waiting.pop()
        if id(node.yaml) in seen:
            continue
        seen.add(id(node.yaml))
        if node.yaml.tag not in _GUESSED:
            problems.wrong(node.where, "a value with a tag", "expected it without; a text that begins with ! in quotes")
            clean = False
        waiting += _children(node)
    return clean


def _children(node: Node) -> Iterator[Node]:
    yield from node.items or ()
    for pair in node.pairs or ():
        yield from pair
