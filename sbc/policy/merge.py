"""Several documents become one: a section may stand in several files, a name in a section may not.

Settings merge key by key, named sections name by name, lists one after the other in the order of the files.
"""

from collections.abc import Iterable

from msgspec import Struct, field

from sbc.policy.documents import Node
from sbc.policy.model import Where
from sbc.policy.problems import Problems
from sbc.policy.schema import At, Fields, nearest, read_fields, read_names
from sbc.policy.sections import SECTIONS, Section


class Draft(Struct):
    """What was read of all files, not yet checked across."""

    settings: dict[str, Fields] = field(default_factory=dict)
    named: dict[str, dict[str, Fields]] = field(default_factory=dict)
    lists: dict[str, list[Fields]] = field(default_factory=dict)


def read_sections(documents: Iterable[Node], start: Where, problems: Problems) -> Draft:
    draft = Draft(
        settings={s.name: Fields(start) for s in SECTIONS if s.shape in ("settings", "values")},
        named={s.name: {} for s in SECTIONS if s.shape == "named"},
        lists={s.name: [] for s in SECTIONS if s.shape == "list"},
    )
    known = {section.name: section for section in SECTIONS}
    for document in documents:
        for name, (key_node, value) in read_names(document, "a policy", problems).items():
            section = known.get(name)
            if section is None:
                problems.wrong(key_node.where, f"unknown section `{name}`", nearest(name, known))
            else:
                _read_section(section, value, draft, problems)
    return draft


def _read_section(section: Section, node: Node, draft: Draft, problems: Problems) -> None:
    if section.shape == "settings":
        _merge_settings(section, node, draft.settings[section.name], problems)
    elif section.shape == "values":
        _merge_values(section, node, draft.settings[section.name], problems)
    elif section.shape == "named":
        _merge_names(section, node, draft.named[section.name], problems)
    else:
        draft.lists[section.name] += _read_list(section, node, problems)


def _merge_settings(section: Section, node: Node, into: Fields, problems: Problems) -> None:
    if node.is_null:
        return
    fields = read_fields(node, section.keys, f"`{section.name}`", problems)
    for name, at in fields.found.items():
        first = into.found.setdefault(name, at)
        if first is not at:
            problems.wrong(
                at.where, f"`{section.name}.{name}` is defined twice", f"expected it once; first at {first.where}"
            )


def _merge_names(section: Section, node: Node, into: dict[str, Fields], problems: Problems) -> None:
    for name, (key_node, value) in read_names(node, f"`{section.name}`", problems).items():
        what = f"`{section.name}.{name}`"
        fields = read_fields(value, section.keys, what, problems)
        fields.where = key_node.where
        if name in into:
            first = into[name].where
            problems.wrong(key_node.where, f"{what} is defined twice", f"expected it once; first at {first}")
            continue
        into[name] = fields


def _merge_values(section: Section, node: Node, into: Fields, problems: Problems) -> None:
    """Each value's place is that of its name."""
    (key,) = section.keys
    for name, (key_node, value) in read_names(node, f"`{section.name}`", problems).items():
        if name in into.found:
            first = into.found[name].where
            problems.wrong(
                key_node.where, f"`{section.name}.{name}` is defined twice", f"expected it once; first at {first}"
            )
        elif key.read is not None:
            into.found[name] = At(key.read(value, problems), key_node.where)


def _read_list(section: Section, node: Node, problems: Problems) -> list[Fields]:
    if node.is_null:
        return []
    if node.items is None:
        problems.wrong(node.where, f"`{section.name}` is {node.kind}", "expected a list")
        return []
    what = f"an entry of `{section.name}`"
    entries = [(item, read_fields(item, section.keys, what, problems)) for item in node.items]
    return [fields for item, fields in entries if item.pairs is not None]
