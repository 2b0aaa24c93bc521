"""Holds a value against the JSON Schemas of an OpenAPI document. It knows the keywords that ours has, and no others.

Stricter than the standard in one thing: a key that an object's schema does not name is a fault.
"""

import re

_SILENT = {"title", "description", "default", "examples", "format", "required"}


def faults(value, schema, components, where="$"):
    """A sentence for each."""
    for keyword, argument in schema.items():
        if keyword not in _SILENT:
            yield from _CHECKS[keyword](value, argument, schema, components, where)
    if isinstance(value, dict):
        yield from (f"{where}: `{key}` is missing" for key in schema.get("required", ()) if key not in value)


def _reference(value, reference, _schema, components, where):
    return faults(value, components[reference.removeprefix("#/components/schemas/")], components, where)


def _type(value, name, _schema, _components, where):
    if not _TYPES[name](value):
        yield f"{where}: {value!r} is no {name}"


def _any_of(value, schemas, _schema, components, where):
    if not any(not list(faults(value, one, components, where)) for one in schemas):
        yield f"{where}: {value!r} is none of {schemas}"


def _enum(value, choices, _schema, _components, where):
    if value not in choices:
        yield f"{where}: {value!r} is none of {choices}"


def _at_least(value, least, _schema, _components, where):
    if not isinstance(value, int | float) or value < least:
        yield f"{where}: {value!r} is below {least}"


def _at_most(value, most, _schema, _components, where):
    if not isinstance(value, int | float) or value > most:
        yield f"{where}: {value!r} is above {most}"


def _pattern(value, pattern, _schema, _components, where):
    if isinstance(value, str) and not re.search(pattern, value):
        yield f"{where}: {value!r} does not match {pattern}"


def _longer(value, least, _schema, _components, where):
    if isinstance(value, str) and len(value) < least:
        yield f"{where}: {value!r} is too short"


def _items(value, schema, _schema, components, where):
    for place, one in enumerate(value if isinstance(value, list) else ()):
        yield from faults(one, schema, components, f"{where}[{place}]")


def _properties(value, properties, _schema, components, where):
    for key, one in value.items() if isinstance(value, dict) else ():
        if key in properties:
            yield from faults(one, properties[key], components, f"{where}.{key}")
        else:
            yield f"{where}: `{key}` is not described"


def _additional(value, schema, _schema, components, where):
    for key, one in value.items():
        yield from faults(one, schema, components, f"{where}.{key}")


_TYPES = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
}
_CHECKS = {
    "pattern": _pattern,
    "minLength": _longer,
    "$ref": _reference,
    "type": _type,
    "anyOf": _any_of,
    "enum": _enum,
    "minimum": _at_least,
    "maximum": _at_most,
    "items": _items,
    "properties": _properties,
    "additionalProperties": _additional,
}
